"""Sources of labeled images, one module for each kind.

A module has the function `load` and the constant `FORM`, the form of `--source` that it reads.
It is found by its name, which is the part of `--source` before the colon.
"""

import contextlib
import dataclasses
import importlib
import pkgutil

import numpy as np

from training.data.brightness import find_peak, is_too_dark
from training.data.decode import DecodeError, decode_contents
from training.data.presets import PRESETS, expand_preset
from training.data.splits import IndexedSplit, StreamedSplit
from training.errors import UserError

CHECKED_EXAMPLES = 64  # of a dataset that can only be read in order
KINDS = sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_source(data):
    """Return the `Source` that a `training.config.Data` names.

    Raises:
        UserError: If the source does not exist or is invalid.
    """
    expanded = expand_preset(data)
    reader = _find_reader(expanded)
    for field in ("train_split", "validation_split", "test_split"):
        if getattr(data, field) and not _is_tfds(expanded):
            option = f"--{field.replace('_', '-')}"
            raise UserError(
                f"{option} must be left out unless the source is from TensorFlow Datasets. "
                f"Received: {getattr(data, field)} with --source {data.source}. Remove {option}; "
                "--validation-fraction and --test-fraction hold out images."
            )
    if data.train_fraction != 1 and _is_tfds(expanded):
        raise UserError(
            "--train-fraction must be 1 with a source from TensorFlow Datasets. Received: "
            f"{data.train_fraction} with --source {data.source}. Pass a part of a split instead: "
            f"--train-split 'train[:{max(1, round(100 * data.train_fraction))}%]'."
        )
    source = reader.load(expanded)
    if data.train_fraction != 1:
        source = dataclasses.replace(source, train=source.train.fraction(data.train_fraction))
    _require_every_class(source, data.source)
    for split in (source.train, source.test):
        if isinstance(split, StreamedSplit) and len(split):
            _require_bright_examples(split, data.source)
            break
    return source


def test_only(data):
    """Return a `training.config.Data` that reads only the test split, if the source allows it."""
    if not _is_tfds(expand_preset(data)):
        return data
    return dataclasses.replace(data, train_split="none", validation_split="none")


def is_inert(data):
    """Return whether reading a source opens files of images or arrays, and does nothing else.

    TensorFlow Datasets executes code for a name, downloads and writes. So its datasets are read
    only if the user names them, not because the file of a run does. A preset is in our table, and
    is inert if it is prepared in the default folder, which is the user's.
    """
    expanded = expand_preset(data)
    if not _is_tfds(expanded):
        return True
    return data.source in PRESETS and not data.data_dir and _import("tfds").is_prepared(expanded)


def _is_tfds(data):
    return data.source.startswith("tfds:")


def _find_reader(data):
    """Return the module that reads `data.source`."""
    kind, _, location = data.source.partition(":")
    if kind in KINDS:
        reader = _import(kind)
        if location or data.source == reader.FORM:
            return reader
    forms = ", ".join(_import(kind).FORM for kind in KINDS)
    raise UserError(
        f"--source must be {forms} or one of {', '.join(PRESETS)}. Received: "
        f"{data.source or 'nothing'}. Pass one of these."
    )


def _import(kind):
    return importlib.import_module(f"{__name__}.{kind}")


def _require_bright_examples(split, name):
    """Refuse encoded images of TensorFlow Datasets that are almost black, by the first of them.

    Args:
        split: A `training.data.splits.StreamedSplit`.
        name: `--source`, for messages.
    """
    peaks: dict[int, list[int]] = {}
    for _, image, _ in split.in_order().take(CHECKED_EXAMPLES):
        with contextlib.suppress(DecodeError):  # those that are not read end the run later
            contents = image.file.numpy()
            peak, full = find_peak(contents, decode_contents(contents)[0])
            peaks.setdefault(full, []).append(peak)
    for full, found in peaks.items():
        if is_too_dark(max(found), full):
            raise UserError(
                f"--source {name} must have images that use the range 0 to {full}, because all "
                f"are scaled alike. Received: values up to {max(found)} in the first {len(found)} "
                "images, which would be almost black. Scale them where the dataset is built, and "
                "prepare it in another --data-dir."
            )


def _require_every_class(source, name):
    """Refuse a training split of one class, or one that lacks a class if its labels are known."""
    if len(source.train) and len(source.class_names) < 2:
        raise UserError(
            f"--source {name} must have at least two classes to train on. Received: "
            f"{', '.join(source.class_names)}. Add images of another class."
        )
    if not isinstance(source.train, IndexedSplit) or not len(source.train):
        return
    counts = np.bincount(source.train.labels, minlength=len(source.class_names))
    missing = [n for n, count in zip(source.class_names, counts, strict=True) if not count]
    if missing:
        raise UserError(
            f"--source {name} must have training images of every class. Received: none of "
            f"{', '.join(missing[:10])}{' and others' if len(missing) > 10 else ''}. Add images "
            "of these, or number the classes without gaps."
        )
