"""Images in folders, one folder per class."""

import difflib
import hashlib
import itertools
import os
import sys
import unicodedata
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.data import image_files
from training.data.brightness import require_bright_files
from training.data.decode import Encoded
from training.data.litter import is_document, is_litter
from training.data.source import Source, hold_out_missing_splits, is_all_test
from training.data.split_names import RULE, SPLITS, find_split
from training.data.splits import IndexedSplit
from training.errors import UserError

FORM = "folder:PATH"


def load(data):
    """Return the dataset in a folder.

    `PATH/train/CLASS/IMAGE`, and `validation` and `test` likewise, or under another usual name of
    the split: see `training.data.split_names`. A split without a folder is held out of `train`,
    stratified by class: see `--validation-fraction` and `--test-fraction`. Without folders of
    splits, the folders in PATH itself are the classes. The classes are those of `train`, of which
    other splits may have fewer. What operating systems leave behind is ignored. Images that cannot
    be decoded, or that are in no class, are errors or, with `--on-bad-image skip`, left out.
    """
    path = data.source.partition(":")[2]
    root = Path(path)
    folders = _split_folders(root, data)
    classes = {split: _class_folders(folder) for split, folder in folders.items()}
    class_names = _require_classes(folders, classes, data)
    files = {
        split: [_class_files(found[name]) if name in found else [] for name in class_names]
        for split, found in classes.items()
    }
    all_files = [file for found in files.values() for file in _flatten(found)]
    findings = dict(zip(all_files, image_files.inspect_files(all_files, root), strict=True))
    faults = [f"{file}: it is in no class" for file in _files_in_no_class(root, folders)]
    faults += _faults(all_files, findings.values())
    if faults and data.on_bad_image == "error":
        _refuse(path, faults, len(all_files))
    valid = {file: found for file, found in findings.items() if not found.fault}
    require_bright_files(root, valid, is_all_test(data))

    splits = {}
    for split, listed in files.items():
        kept = [[file for file in found if file in valid] for found in listed]
        every_class = split == "train" and not is_all_test(data)
        _require_images(folders[split], class_names, kept, every_class)
        labels = np.repeat(np.arange(len(kept)), [len(found) for found in kept])
        splits[split] = np.array(_flatten(kept), object), labels
    valid_files = list(valid)
    hold_out_missing_splits(splits, class_names, data)
    return Source(
        class_names=class_names,
        channels=3,
        skipped=tuple(faults),
        find_faults=lambda: _faults(valid_files, image_files.inspect_files(valid_files, root)),
        fingerprint=lambda: _fingerprint(findings, root),
        **{split: _as_split(*splits[split], findings) for split in SPLITS},
    )


def _split_folders(root, data):
    """Return `{split: folder}`; of a dataset without folders of splits, all is `train`.

    To evaluate a folder, only one split is needed, and it becomes the test split.
    """
    if not root.is_dir():
        _fail(root, "must be a folder", "none", "Check the path.")
    subfolders = _subfolders(root)
    named = {split: [f for f in subfolders if find_split(f.name) == split] for split in SPLITS}
    named = {split: found for split, found in named.items() if found}
    others = [folder for folder in subfolders if not find_split(folder.name)]
    # A single folder of images among others is a class, such as `valid` beside `invalid`.
    if not any(map(_subfolders, _flatten(named.values()))) and others and len(named) < 2:
        for folder in _flatten(named.values()):
            print(f"note: {folder} is read as a class, since it has no folders", file=sys.stderr)
        return {"train": root}
    if not named:
        return {"train": root}
    for split, found in named.items():
        if len(found) > 1:
            _fail(
                root,
                "must have one folder for each split",
                f"{_listed(found)}, which are all {split} splits",
                "Move the images into one of them, or rename the others.",
            )
    folders = {split: found[0] for split, found in named.items()}
    if others:
        step = f"Move them out of {root}, or into {folders.get('train', root / 'train')}"
        _fail(
            root,
            "must have folders of splits only, or of classes only",
            f"{_listed(others)} beside {_listed(folders.values())}",
            f"{step} if they are classes; a split is named {RULE}.",
        )
    if is_all_test(data):
        if folder := folders.get("test", folders.get("train")):
            return {"train": folder}
    elif "train" in folders:
        return folders
    (found, *_) = folders.values()
    _fail(
        root,
        "must have a folder train beside the other splits",
        f"{_listed(folders.values())} without train",
        f"Add {root / 'train'} with a folder per class, or pass --source folder:{found}.",
    )


def _subfolders(folder):
    return sorted(p for p in folder.iterdir() if p.is_dir() and not is_litter(p))


def _class_folders(folder):
    """Return `{class name: folder}`, sorted by name, of a split."""
    classes: dict[str, Path] = {}
    seen: dict[str, Path] = {}
    for path in _subfolders(folder):
        name = unicodedata.normalize("NFC", path.name)  # macOS decomposes accents
        if other := seen.get(name.casefold()):
            _fail(
                folder,
                "must have class names that differ in more than case and form of accents",
                f"{_listed([other, path])}",
                "Merge or rename them.",
            )
        classes[name] = seen[name.casefold()] = path
    return dict(sorted(classes.items()))


def _require_classes(folders, classes, data):
    """Return the class names, those of `train`; refuse a split with others."""
    names, folder = tuple(classes["train"]), folders["train"]
    nested = [path for path in classes["train"].values() if _subfolders(path)]
    if len(names) == 1 and nested:
        _fail(
            folder,
            "must have the class folders, or those of the splits",
            f"one folder, {names[0]}, in which they may be",
            f"Pass --source folder:{nested[0]}.",
        )
    if len(names) < (1 if is_all_test(data) else 2):
        _fail(
            folder,
            f"must have {'class' if is_all_test(data) else 'at least two class'} folders",
            _listed(classes["train"].values()) or "none",
            "Put the images into one folder per class.",
        )
    for split, found in classes.items():
        if not found:
            _fail(
                folders[split],
                "must have class folders, as train has",
                "none",
                f"Sort its images into the folders of their classes, or move {folders[split].name} "
                f"out of {folders[split].parent}.",
            )
        if unknown := [name for name in found if name not in names]:
            folded = {name.casefold(): name for name in names}
            near = difflib.get_close_matches(unknown[0].casefold(), folded, n=1, cutoff=0.8)
            hint = f"Add images of it to {folder}"
            if near:
                hint = f"If it is {folded[near[0]]}, rename it"
            _fail(
                folders[split],
                "must have no classes that train does not have",
                _listed(found[name] for name in unknown),
                f"{hint}, or move it out of {folders[split]}.",
            )
    return names


def _class_files(folder):
    """Return the files of a class, sorted by name."""
    files = sorted(path for path in folder.iterdir() if not is_litter(path))
    for file in files:
        if file.is_dir():
            if find_split(file.name):
                _fail(
                    folder.parent,
                    "must have the folders of splits itself",
                    f"{file.name} in {folder.name}",
                    f"Pass --source folder:{folder}.",
                )
            _fail(
                folder,
                "must not have folders, since classes are not nested",
                file.name,
                f"Move the images of {file} into {folder}, or make it a class. If {folder.name} "
                f"is a split, rename it: {RULE}.",
            )
    return files


def _files_in_no_class(root, folders):
    """Return the files beside class folders and splits, except documents."""
    return [
        path
        for folder in sorted({root, *folders.values()})
        for path in sorted(folder.iterdir())
        if not (path.is_dir() or is_litter(path) or is_document(path))
    ]


def _faults(files, findings):
    return [f"{file}: {f.fault}" for file, f in zip(files, findings, strict=True) if f.fault]


def _require_images(folder, class_names, files, every_class):
    """Refuse a split without images, or one of the classes without images if all need some."""
    empty = [name for name, found in zip(class_names, files, strict=True) if not found]
    if empty and (every_class or len(empty) == len(class_names)):
        _fail(
            folder / empty[0] if every_class else folder,
            "must have images that can be decoded",
            "none",
            "Add some, or remove the folder.",
        )


def _listed(paths):
    return " and ".join(path.name for path in paths)


def _flatten(lists):
    return list(itertools.chain.from_iterable(lists))


def _as_split(files, labels, findings):
    with tf.device("CPU"):
        paths = tf.constant([os.fsencode(file) for file in files], tf.string)
        orientations = tf.constant([findings[file].orientation for file in files], tf.int32)
    return IndexedSplit(
        labels,
        lambda index: Encoded(tf.io.read_file(paths[index]), orientations[index]),
        lambda index: str(files[index]),
    )


def _fingerprint(findings, root):
    """Return a digest of the folder and of the names, sizes and times of the valid files."""
    digest = hashlib.sha256(os.fsencode(root.resolve()))
    for file, found in findings.items():
        if not found.fault:
            status = file.stat()
            digest.update(os.fsencode(file.relative_to(root)))
            digest.update(f" {status.st_size} {status.st_ctime_ns}\n".encode())
    return digest.hexdigest()


def _refuse(path, faults, total):
    raise UserError(
        f"--source folder: the images in {path} must be valid. Received: {len(faults)} of "
        f"{total} files that cannot be decoded:{image_files.list_faults(faults)}\nReplace these "
        "files, or leave them out with --on-bad-image skip."
    )


def _fail(path, rule, received, next_step):
    raise UserError(f"--source folder: {path} {rule}. Received: {received}. {next_step}")
