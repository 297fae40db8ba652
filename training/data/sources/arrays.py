"""Images in a .npz file, under the names that keras.datasets uses."""

import zipfile
import zlib

import numpy as np

from training.data.source import SPLITS, Source, complete
from training.data.splits import in_memory
from training.errors import UserError

# What NumPy raises for files that are damaged, or of other kinds.
DAMAGE = (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


def load(path, data):
    """Return the set in `path`: `x_train` and `y_train`, and the same for validation and test.

    Images are uint8, (examples, height, width) or (examples, height, width, channels); labels
    are integers from 0 on. `class_names`, strings, are optional. Without `x_test` the share
    `--test-fraction` of every class is held out, without `x_validation` `--validation-fraction`.
    """
    arrays = _read(path)
    parts = {part: _check(path, part, arrays) for part in SPLITS if f"x_{part}" in arrays}
    if "train" not in parts:
        _fail(path, f"must hold x_train and y_train. Received: {', '.join(arrays) or 'nothing'}")
    shapes = {part: images.shape[1:] for part, (images, _) in parts.items()}
    if len(set(shapes.values())) > 1:
        _fail(path, f"must hold images of one size. Received: {shapes}")
    num_classes = 1 + max(int(labels.max(initial=-1)) for _, labels in parts.values())
    class_names = arrays.get("class_names", np.arange(num_classes)).astype(str)
    if len(class_names) < num_classes:
        _fail(path, f"has labels up to {num_classes - 1} and {len(class_names)} class_names")
    complete(parts, data)
    return Source(
        class_names=tuple(class_names),
        channels=shapes["train"][-1],
        **{part: in_memory(*parts[part]) for part in SPLITS},
    )


def _read(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except DAMAGE as error:
        raise UserError(
            f"--source arrays:FILE.npz must name a file of NumPy arrays. Received: {path}: "
            f"{error}. Write one by np.savez(FILE, x_train=…, y_train=…)."
        ) from error


def _check(path, part, arrays):
    """Return images as (examples, height, width, channels), and labels."""
    images, labels = arrays[f"x_{part}"], arrays.get(f"y_{part}")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        _fail(
            path,
            f"must hold x_{part} as uint8 of shape (examples, height, width) or with 1 or 3 "
            f"channels. Received: {images.dtype} of shape {arrays[f'x_{part}'].shape}",
        )
    if labels is None or labels.size != len(images) or labels.dtype.kind not in "iu":
        received = "none" if labels is None else f"{labels.dtype} of shape {labels.shape}"
        _fail(path, f"must hold {len(images)} integers as y_{part}. Received: {received}")
    labels = labels.reshape(-1)
    if labels.size and labels.min() < 0:
        _fail(path, f"must hold labels from 0 on. Received: y_{part} with {labels.min()}")
    return images, labels


def _fail(path, rule):
    raise UserError(f"--source arrays: {path} {rule}. Write the file again with np.savez.")
