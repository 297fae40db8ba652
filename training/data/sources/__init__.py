"""Where labelled images come from; one file each."""

import dataclasses

import numpy as np

from training.data.sources import arrays, digits, folder, presets, tfds
from training.data.splits import IndexedSplit
from training.errors import UserError

READERS = {"arrays": arrays.load, "folder": folder.load, "tfds": tfds.load}


def test_only(data):
    """Return a `training.config.Data` of which only the part for the test is read, if it can be."""
    if not _is_tfds(data):
        return data
    return dataclasses.replace(data, train_split=tfds.NO_SPLIT, validation_split=tfds.NO_SPLIT)


def _is_tfds(data):
    return data.source.startswith("tfds:") or data.source in presets.PRESETS


def load_source(data):
    """Return the `Source` that a `training.config.Data` names.

    Raises:
        UserError: If there is no such source, or it is unsound.
    """
    for field in ("train_split", "validation_split", "test_split"):
        if getattr(data, field) and not _is_tfds(data):
            raise UserError(
                f"--{field.replace('_', '-')} must be left out where the source is not of "
                f"TensorFlow Datasets. Received: {getattr(data, field)} with --source "
                f"{data.source}. See --validation-fraction and --test-fraction."
            )
    source = _read(data)
    _require_every_class(source, data.source)
    return source


def _read(data):
    kind, _, where = data.source.partition(":")
    if data.source == "digits":
        return digits.load(data)
    if data.source in presets.PRESETS:
        return presets.load(data.source, data)
    if kind not in READERS or not where:
        raise UserError(
            "--source must be digits, folder:PATH, arrays:FILE.npz, tfds:NAME or one of "
            f"{', '.join(presets.PRESETS)}. Received: {data.source}. Name one of these."
        )
    return READERS[kind](where, data)


def _require_every_class(source, name):
    """Refuse a training part that lacks a class, where its labels are known."""
    if not isinstance(source.train, IndexedSplit) or not len(source.train):
        return
    counts = np.bincount(source.train.labels, minlength=len(source.class_names))
    missing = [n for n, count in zip(source.class_names, counts, strict=True) if not count]
    if missing:
        raise UserError(
            f"--source {name} must have training images of every class. Received: none of "
            f"{', '.join(missing[:10])}{' and others' if len(missing) > 10 else ''}. Add some, or "
            "number the classes without gaps."
        )
