"""Images in folders, one for each class."""

import hashlib
import itertools
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.data import image_files
from training.data.decode import Encoded
from training.data.source import SPLITS, Source, complete
from training.data.splits import IndexedSplit
from training.errors import UserError

NAMED_FAULTS = 10  # in a message; all of them are listed where they are skipped


def load(path, data):
    """Return the set in a folder.

    `PATH/train/CLASS/IMAGE`, and `validation` and `test` likewise; a part that is not there is
    held out of `train`, by class, as `--validation-fraction` and `--test-fraction` say. Without
    `PATH/train` the classes are the folders in PATH itself. Files whose names begin with a dot
    are left alone. Images that cannot be read are refused or, by `--on-bad-image skip`, left out.
    """
    root = Path(path)
    if not root.is_dir():
        _fail(path, "is not a folder", "Check the path; it is relative to the working folder.")
    folders = {part: root / part for part in SPLITS if (root / part).is_dir()}
    if "train" not in folders:
        if folders:
            _fail(path, f"has a folder {next(iter(folders))} and none called train", "Add it.")
        folders = {"train": root}

    class_names = _class_names(folders["train"])
    for folder in folders.values():
        if others := set(_class_names(folder)) ^ set(class_names):
            _fail(folder, f"has other classes than train: {sorted(others)}", "Make them agree.")
    files = {part: _files(folder, class_names) for part, folder in folders.items()}
    everything = [file for classes in files.values() for file in _joined(classes)]
    findings = dict(zip(everything, image_files.inspect_files(everything, root), strict=True))
    faults = tuple(f"{file}: {found.fault}" for file, found in findings.items() if found.fault)
    if faults and data.on_bad_image == "error":
        _refuse(path, faults, len(everything))

    parts = {}
    for part, classes in files.items():
        sound = [[file for file in found if not findings[file].fault] for found in classes]
        for name, found in zip(class_names, sound, strict=True):
            if not found:
                advice = "Add some, or remove the folder."
                _fail(folders[part] / name, "is a class without images that can be read", advice)
        labels = np.repeat(np.arange(len(sound)), [len(found) for found in sound])
        parts[part] = np.array(_joined(sound), object), labels
    complete(parts, data)
    return Source(
        class_names=class_names,
        channels=3,
        skipped=faults,
        fingerprint=_fingerprint(findings, root) if data.cache == "disk" else "",
        **{part: _split_of(*parts[part], findings) for part in SPLITS},
    )


def _class_names(folder):
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(names) < 2:
        _fail(
            folder,
            f"holds {len(names)} class folders, and at least two are needed",
            "Sort the images into one folder for each class.",
        )
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold() in seen:
            _fail(
                folder,
                f"has two classes that differ in case only: {seen[name.casefold()]} and {name}",
                "Merge or rename them.",
            )
        seen[name.casefold()] = name
    return tuple(names)


def _files(folder, class_names):
    """Return the files of each class of a part, in the order of their names."""
    classes = []
    for name in class_names:
        found = sorted(p for p in (folder / name).iterdir() if not p.name.startswith("."))
        for file in found:
            if file.is_dir():
                _fail(
                    file,
                    "is a folder inside a class",
                    "Classes must not be nested: move its images up, or make it a class.",
                )
        classes.append(found)
    return classes


def _joined(lists):
    return list(itertools.chain.from_iterable(lists))


def _split_of(files, labels, findings):
    with tf.device("CPU"):
        paths = tf.constant([os.fsencode(file) for file in files], tf.string)
        orientations = tf.constant([findings[file].orientation for file in files], tf.int32)
    return IndexedSplit(
        labels, lambda index: Encoded(tf.io.read_file(paths[index]), orientations[index])
    )


def _fingerprint(findings, root):
    """Return a digest of the place, the names, sizes and times of the files that are read."""
    digest = hashlib.sha256(os.fsencode(root.resolve()))
    for file, found in findings.items():
        if not found.fault:
            status = file.stat()
            digest.update(os.fsencode(file.relative_to(root)))
            digest.update(f" {status.st_size} {status.st_ctime_ns}\n".encode())
    return digest.hexdigest()


def _refuse(path, faults, total):
    listed = "\n  ".join(faults[:NAMED_FAULTS])
    more = f"\n  and {len(faults) - NAMED_FAULTS} more" if len(faults) > NAMED_FAULTS else ""
    raise UserError(
        f"--source folder: the images in {path} must all be readable. Received: {len(faults)} of "
        f"{total} that are not:\n  {listed}{more}\nMend or remove them, or leave them out by "
        "--on-bad-image skip."
    )


def _fail(path, cause, advice):
    raise UserError(f"--source folder: {path} {cause}. {advice}")
