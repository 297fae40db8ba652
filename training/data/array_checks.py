"""Checks of arrays of images and labels; a message has the expression that fixes the array."""

import math

import numpy as np

from training.data.brightness import FULL, is_too_dark
from training.errors import UserError

SHAPE = "of shape (examples, height, width) or with 1 or 3 channels last"


def check_images(path, arrays):
    """Return the arrays of all splits as uint8, (examples, height, width, channels).

    Args:
        path: Path of the file, for messages.
        arrays: `{name: array}`, the images of each split.

    Raises:
        UserError: If they are not uint8 of such a shape, of one size, or use a small part of the
            range, so that all images are almost black.
    """
    low, high = _range(arrays.values())
    for name, array in arrays.items():
        reshaped = _reshape(name, array)
        fixed = reshaped and _rescale(reshaped, array.dtype, low, high)
        if fixed != name:
            refuse_array(
                path,
                f"must contain {name} as uint8 from 0 to 255, {SHAPE}",
                f"{array.dtype} of shape {array.shape}{_describe_range(low, high)}",
                f"Save `{fixed}` as {name}, and so for every split."
                if fixed
                else "Save such images.",
            )
    sizes = {name: array.shape[1:] for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        refuse_array(
            path,
            "must contain images of one size",
            ", ".join(f"{name} of {size}" for name, size in sizes.items()),
            "Resize them to one size.",
        )
    return {
        name: array[..., np.newaxis] if array.ndim == 3 else array for name, array in arrays.items()
    }


def check_labels(path, name, labels, examples):
    """Return labels as integers, (examples,), of any size from 0 upwards.

    Args:
        path: Path of the file, for messages.
        name: Name of the array.
        labels: The array.
        examples: Number of images.

    Raises:
        UserError: If they are not one integer from 0 for each image.
    """
    if fix := _fix_of_labels(name, labels, examples):
        some = f": {labels.reshape(-1)[0]!r}, …" if labels.size and labels.ndim == 1 else ""
        refuse_array(
            path,
            f"must contain {examples} integers as {name}, the classes of the images",
            f"{labels.dtype} of shape {labels.shape}{some}",
            fix,
        )
    labels = labels.reshape(-1)
    if labels.size and labels.min() < 0:
        refuse_array(
            path,
            f"must contain labels from 0 upwards as {name}",
            int(labels.min()),
            f"Leave these examples out, with {name} >= 0 as a mask, or number the classes, "
            f"`{numbered(name)}`, and save both.",
        )
    return labels


def numbered(name):
    """Return the statement that numbers the classes of an array of labels."""
    return f"class_names, {name} = np.unique({name}, return_inverse=True)"


def refuse_array(path, rule, received, next_step):
    """Raise UserError about a file of arrays."""
    raise UserError(f"--source arrays: {path} {rule}. Received: {received}. {next_step}")


def _range(arrays):
    """Return the smallest and the largest value of arrays of numbers; NaN if one is NaN."""
    arrays = [array for array in arrays if array.size and array.dtype.kind in "biuf"]
    lows, highs = [float(a.min()) for a in arrays], [float(a.max()) for a in arrays]
    return np.min(lows, initial=math.inf), np.max(highs, initial=-math.inf)


def _describe_range(low, high):
    return "" if low > high else f", from {low:g} to {high:g}"  # without numbers, above


def _reshape(name, array):
    """Return the expression for the array in a valid shape, `name` itself if it has one."""
    shape = array.shape
    if 0 in shape[1:]:
        return None
    if array.ndim == 2:
        side = math.isqrt(shape[1])
        return f"{name}.reshape(-1, {side}, {side})" if side**2 == shape[1] else None
    if array.ndim == 4 and shape[3] not in (1, 3):
        if shape[3] in (2, 4):  # with transparency
            return f"{name}[..., :{shape[3] - 1}]"
        if shape[1] in (1, 3):
            return f"{name}.transpose(0, 2, 3, 1)"
        if shape[2] in (1, 3):  # as in files of MATLAB
            return f"{name}.transpose(3, 0, 1, 2)"
        return None
    return name if array.ndim in (3, 4) else None


def _rescale(name, dtype, low, high):
    """Return the expression for values `low` to `high` as uint8; `name` itself if they are.

    Args:
        name: The expression for the array.
        dtype: Its dtype.
        low: Smallest value in all splits.
        high: Largest one.
    """
    if dtype.kind not in "biuf":
        return None
    if not (np.isfinite(low) and np.isfinite(high)):  # without values, or with NaN
        return name if dtype == np.uint8 else f"np.nan_to_num({name})"
    if low >= 0 and high <= FULL and not is_too_dark(high):
        if dtype == np.uint8:
            return name
        rounded = f"{name}.round()" if dtype.kind == "f" else name
        return f'{rounded}.astype("uint8")'
    if low == high:
        return None  # nothing to see at any scale
    if -1 <= low < 0 and high <= 1:
        scaled = f"({name} + 1) * 127.5"
    elif low < 0:
        scaled = f"(({name} + {-low:.6g}) * {FULL / (high - low):.6g}).clip(0, 255)"
    elif high <= 1:
        scaled = f"{name} * 255"
    else:  # of sensors with 10, 12 or 16 bits, or a small number of levels
        top = 2 ** math.ceil(math.log2(high + 1)) - 1 if high > FULL else high
        scaled = f"{name} * (255 / {top:g})"
    return f'({scaled}).round().astype("uint8")'


def _fix_of_labels(name, labels, examples):
    """Return the next step for labels that are not one integer for each image, else None."""
    if labels.ndim == 2 and len(labels) == examples and labels.shape[1] > 1:
        is_one_hot = labels.dtype.kind in "biuf" and np.allclose(labels.sum(axis=1), 1)
        if is_one_hot:
            return f"Save `{name}.argmax(axis=1)` as {name}."
        return "Save one class for each image; several are not trained on."
    if labels.size != examples:
        return "Save one label for each image."
    if labels.dtype.kind in "SUO":
        return f"Number the classes, `{numbered(name)}`, and save both."
    if labels.dtype.kind == "f" and np.all(np.isfinite(labels)) and np.all(labels % 1 == 0):
        return f'Save `{name}.astype("int64")` as {name}.'
    if labels.dtype.kind not in "biu":
        return f"Save the numbers of the classes, such as `np.digitize({name}, bins)`."
    return None
