"""Images in folders, one folder per class."""

import hashlib
import itertools
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.data import image_files
from training.data.decode import Encoded
from training.data.source import SPLITS, Source, hold_out_missing_splits
from training.data.splits import IndexedSplit
from training.errors import UserError

FORM = "folder:PATH"
LISTED_FAULTS = 10  # in a message; skipped_images.txt of a run lists all


def load(data):
    """Return the dataset in a folder.

    `PATH/train/CLASS/IMAGE`, and `validation` and `test` likewise. A split without a folder is
    held out of `train`, stratified by class: see `--validation-fraction` and `--test-fraction`.
    Without `PATH/train`, the folders in PATH itself are the classes. Files whose names begin with
    a dot are ignored. Images that cannot be decoded are errors or, with `--on-bad-image skip`,
    left out.
    """
    path = data.source.partition(":")[2]
    root = Path(path)
    folders = _split_folders(root)
    class_names = _class_names(folders["train"])
    for folder in folders.values():
        if difference := set(_class_names(folder)) ^ set(class_names):
            _fail(
                folder,
                "must have the classes of train",
                f"a difference in {sorted(difference)}",
                "Add the missing class folders.",
            )
    files = {split: _class_files(folder, class_names) for split, folder in folders.items()}
    all_files = [file for classes in files.values() for file in _flatten(classes)]
    findings = dict(zip(all_files, image_files.inspect_files(all_files, root), strict=True))
    faults = tuple(f"{file}: {found.fault}" for file, found in findings.items() if found.fault)
    if faults and data.on_bad_image == "error":
        _refuse(path, faults, len(all_files))

    splits = {}
    for split, classes in files.items():
        valid = [[file for file in found if not findings[file].fault] for found in classes]
        for name, found in zip(class_names, valid, strict=True):
            if not found:
                _fail(
                    folders[split] / name,
                    "must have images that can be decoded",
                    "none",
                    "Add some, or remove the folder.",
                )
        labels = np.repeat(np.arange(len(valid)), [len(found) for found in valid])
        splits[split] = np.array(_flatten(valid), object), labels
    hold_out_missing_splits(splits, data)
    return Source(
        class_names=class_names,
        channels=3,
        skipped=faults,
        fingerprint=_fingerprint(findings, root) if data.cache == "disk" else "",
        **{split: _as_split(*splits[split], findings) for split in SPLITS},
    )


def _split_folders(root):
    """Return the folder of each split that has one; always that of the training split."""
    if not root.is_dir():
        _fail(root, "must be a folder", "none", "Check the path.")
    folders = {split: root / split for split in SPLITS if (root / split).is_dir()}
    if folders and "train" not in folders:
        found = next(iter(folders))
        _fail(
            root,
            "must have a folder train beside the other splits",
            f"{found} without train",
            "Add PATH/train/CLASS.",
        )
    return folders or {"train": root}


def _class_names(folder):
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(names) < 2:
        _fail(
            folder,
            "must have at least two class folders",
            len(names),
            "Put the images into one folder per class.",
        )
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold() in seen:
            _fail(
                folder,
                "must have class names that differ in more than case",
                f"{seen[name.casefold()]} and {name}",
                "Merge or rename them.",
            )
        seen[name.casefold()] = name
    return tuple(names)


def _class_files(folder, class_names):
    """Return the files of each class in a split, sorted by name."""
    classes = []
    for name in class_names:
        found = sorted(p for p in (folder / name).iterdir() if not p.name.startswith("."))
        for file in found:
            if file.is_dir():
                _fail(
                    folder / name,
                    "must not have folders, since classes are not nested",
                    file.name,
                    f"Move the images of {file} into {folder / name}, or make it a class.",
                )
        classes.append(found)
    return classes


def _flatten(lists):
    return list(itertools.chain.from_iterable(lists))


def _as_split(files, labels, findings):
    with tf.device("CPU"):
        paths = tf.constant([os.fsencode(file) for file in files], tf.string)
        orientations = tf.constant([findings[file].orientation for file in files], tf.int32)
    return IndexedSplit(
        labels, lambda index: Encoded(tf.io.read_file(paths[index]), orientations[index])
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
    listed = "\n  ".join(faults[:LISTED_FAULTS])
    more = f"\n  and {len(faults) - LISTED_FAULTS} more" if len(faults) > LISTED_FAULTS else ""
    raise UserError(
        f"--source folder: the images in {path} must be valid. Received: {len(faults)} of "
        f"{total} files that cannot be decoded:\n  {listed}{more}\nReplace these files, or leave "
        "them out with --on-bad-image skip."
    )


def _fail(path, rule, received, next_step):
    raise UserError(f"--source folder: {path} {rule}. Received: {received}. {next_step}")
