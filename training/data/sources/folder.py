"""Images in folders, one for each class."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from training.data.source import PARTS, Source, complete
from training.data.splits import IndexedSplit
from training.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


def load(path, data):
    """Return the set in a folder.

    `PATH/train/CLASS/IMAGE`, and `validation` and `test` likewise; a part that is not there is
    held out of `train`, by class, as `--validation-fraction` and `--test-fraction` say. Without
    `PATH/train` the classes are the folders in PATH itself. Files whose names begin with a dot
    are left alone.
    """
    root = Path(path)
    if not root.is_dir():
        _fail(path, "is not a folder", "Check the path; it is relative to the working folder.")
    parts = {part: root / part for part in PARTS if (root / part).is_dir()}
    if "train" not in parts:
        if parts:
            _fail(path, f"has a folder {next(iter(parts))} and none called train", "Add it.")
        parts = {"train": root}

    class_names = _class_names(parts["train"])
    files = {}
    for part, folder in parts.items():
        if others := set(_class_names(folder)) ^ set(class_names):
            _fail(folder, f"has other classes than train: {sorted(others)}", "Make them agree.")
        files[part] = _files(folder, class_names)
    complete(files, data)
    return Source(
        class_names=class_names,
        channels=3,
        **{part: _split_of(*files[part]) for part in PARTS},
    )


def _class_names(folder):
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(names) < 2:
        _fail(
            folder,
            f"holds {len(names)} class folders, and at least two are needed",
            "Sort the images into one folder for each class.",
        )
    seen = {}
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
    """Return the paths and labels of all images of a part, in the order of their names."""
    files, labels = [], []
    for label, name in enumerate(class_names):
        found = sorted(p for p in (folder / name).iterdir() if not p.name.startswith("."))
        for file in found:
            if file.is_dir():
                _fail(
                    file,
                    "is a folder inside a class",
                    "Classes must not be nested: move its images up, or make it a class.",
                )
            if file.suffix.lower() not in SUFFIXES:
                _fail(file, f"is none of {', '.join(SUFFIXES)}", "Convert or remove it.")
        if not found:
            _fail(folder / name, "is a class without images", "Add some, or remove the folder.")
        files += map(str, found)
        labels += [label] * len(found)
    return np.array(files), np.array(labels)


def _split_of(files, labels):
    with tf.device("CPU"):
        files = tf.constant(files, tf.string)
        labels = tf.constant(labels, tf.int64)
    return IndexedSplit(len(labels), lambda index: (tf.io.read_file(files[index]), labels[index]))


def _fail(path, cause, advice):
    raise UserError(f"--source folder: {path} {cause}. {advice}")
