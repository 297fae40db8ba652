"""Images in a .npz file, with the names that keras.datasets uses."""

import zipfile
import zlib

import numpy as np

from keras_mixer.files import open_regular
from training.data.source import SPLITS, Source, hold_out_missing_splits
from training.data.splits import in_memory
from training.errors import UserError

FORM = "arrays:FILE.npz"
# Errors of NumPy for corrupt files and for files of other kinds.
UNREADABLE = (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


def load(data):
    """Return the dataset in FILE: `x_train` and `y_train`, and the same for validation and test.

    Images are uint8, (examples, height, width) or (examples, height, width, channels); labels
    are integers from 0. `class_names`, strings, are optional. Without `x_test`, a share of
    `--test-fraction` of every class is held out; without `x_validation`, `--validation-fraction`.
    """
    path = data.source.partition(":")[2]
    arrays = _read(path)
    splits = {name: _check(path, name, arrays) for name in SPLITS if f"x_{name}" in arrays}
    if "train" not in splits:
        _fail(path, f"must contain x_train and y_train. Received: {', '.join(arrays) or 'nothing'}")
    shapes = {name: images.shape[1:] for name, (images, _) in splits.items()}
    if len(set(shapes.values())) > 1:
        _fail(path, f"must contain images of one size. Received: {shapes}")
    num_classes = 1 + max(int(labels.max(initial=-1)) for _, labels in splits.values())
    class_names = arrays.get("class_names", np.arange(num_classes)).astype(str)
    if len(class_names) < num_classes:
        _fail(
            path,
            "must contain a name for each class. Received: "
            f"labels up to {num_classes - 1} and {len(class_names)} class_names",
        )
    hold_out_missing_splits(splits, data)
    return Source(
        class_names=tuple(class_names),
        channels=shapes["train"][-1],
        **{name: in_memory(*splits[name]) for name in SPLITS},
    )


def _read(path):
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except UNREADABLE as error:
        raise UserError(
            f"--source arrays:FILE.npz must name a file of NumPy arrays. Received: {path}: "
            f"{error}. Write one with np.savez(FILE, x_train=…, y_train=…)."
        ) from error


def _check(path, split, arrays):
    """Return images of shape (examples, height, width, channels) and labels."""
    images, labels = arrays[f"x_{split}"], arrays.get(f"y_{split}")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        _fail(
            path,
            f"must contain x_{split} as uint8 of shape (examples, height, width) or with 1 or 3 "
            f"channels. Received: {images.dtype} of shape {arrays[f'x_{split}'].shape}",
        )
    if labels is None or labels.size != len(images) or labels.dtype.kind not in "iu":
        received = "none" if labels is None else f"{labels.dtype} of shape {labels.shape}"
        _fail(path, f"must contain {len(images)} integers as y_{split}. Received: {received}")
    labels = labels.reshape(-1)
    if labels.size and labels.min() < 0:
        _fail(path, f"must contain labels from 0 upwards. Received: {labels.min()} in y_{split}")
    return images, labels


def _fail(path, rule_and_received):
    raise UserError(
        f"--source arrays: {path} {rule_and_received}. Write the file again with np.savez."
    )
