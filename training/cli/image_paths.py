"""Image files that arguments name: files, folders, patterns, and a list on standard input."""

import glob
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import tyro

from training.data.image_suffixes import SUFFIXES
from training.data.litter import NAMES, is_litter
from training.errors import UserError

Images = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="IMAGE...", help_behavior_hint="(one or more)"),
]
STANDARD_INPUT = "-"
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def find_image_files(arguments):
    """Return the paths of the image files that arguments name, in the order of the arguments.

    A file that is named itself may have any suffix, and need not exist as long as another one
    does: what cannot be read is found out when it is decoded.

    Args:
        arguments: Texts, each one a file; a folder, whose files and those of its subfolders are
            sorted; a pattern such as `photos/**/*.jpg`; or `-`, for files and folders that
            standard input lists.

    Raises:
        UserError: If an argument names no image file, or something that is not in the file system.
    """
    paths = []
    for argument in arguments:
        if argument == STANDARD_INPUT:
            for line in _read_list():
                paths += _find(line)
        else:
            paths += _find(argument, is_pattern=_is_pattern(argument))
    if paths and not any(map(os.path.lexists, paths)):
        raise UserError(
            f"IMAGE... must exist. Received: {paths[0]}, which does not. Check the path, or pass "
            "the folder of the images."
        )
    return paths


def _find(text, is_pattern=False):
    """Return the paths of the image files that one argument or line names."""
    if not text:
        raise UserError(
            "IMAGE... must be the paths of image files. Received: an empty argument. Leave it out, "
            "or pass . for the current folder."
        )
    if URL.match(text):
        raise _refuse_url(text)
    if is_pattern:
        return _match(text)
    return _walk(text) if os.path.isdir(text) else [Path(text)]


def _is_pattern(text):
    return glob.has_magic(text) and not os.path.lexists(text)


def _read_list():
    """Return the lines of standard input, or what NUL separates, as `find -print0` writes it."""
    contents = sys.stdin.buffer.read()
    lines = contents.split(b"\0") if b"\0" in contents else contents.splitlines()
    names = [os.fsdecode(line) for line in lines if line]
    if not names:
        raise UserError(
            "IMAGE... - must be a list of paths on standard input, one on each line. Received: "
            "none. Pass the images as arguments, or check the program that writes the list."
        )
    return names


def _walk(folder):
    """Return the image files in a folder and its subfolders, sorted."""
    files = []
    for root, folders, names in os.walk(folder, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not is_litter(Path(name))]
        files += [Path(root, name) for name in names if _is_image(Path(name))]
    if not files:
        raise UserError(
            f"IMAGE... must be folders with image files. Received: {folder}, in which no name ends "
            f"in {', '.join(SUFFIXES)}. Pass another folder, or the files themselves."
        )
    return sorted(files)


def _match(pattern):
    """Return the image files that match a pattern, sorted; `**` matches any folders."""
    matches = [Path(text) for text in glob.glob(pattern, recursive=True)]
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    files = [
        path
        for path in matches
        if _is_image(path)
        and not path.is_dir()
        and not any(part.casefold() in NAMES for part in path.parts[fixed:])
    ]
    if not files:
        received = f"{len(matches)} paths" if matches else "nothing"
        raise UserError(
            f"IMAGE... must match image files. Received: {pattern}, which matches {received}, and "
            f"no file that ends in {', '.join(SUFFIXES)}. Check the pattern, or pass a folder."
        )
    return sorted(files)


def _is_image(path):
    return path.suffix.lower() in SUFFIXES and not is_litter(path)


def _refuse_folder(error):
    raise UserError(
        f"IMAGE... must be folders that can be read. Received: {error.filename}: "
        f"{error.strerror}. Change its permissions, or pass the folders beside it."
    ) from error


def _refuse_url(url):
    scheme, _, rest = url.partition("://")
    advice = "Copy the file to this computer, and pass its path."
    if scheme.lower() in ("http", "https", "ftp"):
        advice = f"Download it, as with `curl -LO '{url}'`, and pass the path of the file."
    elif scheme.lower() == "file":
        advice = f"Pass {rest}."
    return UserError(
        "IMAGE... must be files on this computer: nothing is downloaded, since an address in a "
        f"list could reach any server from here. Received: {url}. {advice}"
    )


def refuse_faults(faults, number, advice):
    """Raise UserError if image files could not be decoded, with a line for each.

    Args:
        faults: Path and reason of each of them.
        number: Number of all image files.
        advice: What else than replacing the files helps.
    """
    if not faults:
        return
    lines = "".join(f"\n  {fault}" for fault in faults)
    others = "The results of the others are complete. " if len(faults) < number else ""
    raise UserError(
        f"IMAGE... must be image files that can be decoded. Received: {len(faults)} of {number} "
        f"that cannot:{lines}\n{others}Replace these files, or {advice}."
    )
