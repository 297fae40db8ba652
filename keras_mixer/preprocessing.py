"""Evaluation transforms of the published weights: resize and crop images to the input size.

The result is uint8 in [0, 255], since the model scales its input itself.
"""

import difflib
import os
import sys
import warnings

import keras
import numpy as np

from keras_mixer.resizing import cast, resize_like_pillow, resize_like_tensorflow
from keras_mixer.transforms import TRANSFORMS
from keras_mixer.validation import check_positive_int


def preprocess_input(x, data_format=None):
    """Return `x` unchanged, and warn if it is not pixels in [0, 255].

    The model scales its input itself, so images that are already scaled would train and predict
    badly without any error. Call this function on images once, outside of `tf.data` and of the
    model. It looks at no more than 64 images, and not at symbolic tensors, which have no values.

    Args:
        x: Images, pixels in [0, 255]: an array or tensor, one image or a batch.
        data_format: Ignored; programs written for `keras.applications` may pass it.

    Returns:
        `x` itself.

    Warns:
        UserWarning: If the values are fractions up to 1, negative, above 255 or NaN.

    Examples:
        >>> import keras_mixer
        >>> images = [[[255, 255, 255]]]
        >>> keras_mixer.preprocess_input(images) is images
        True
    """
    values = _values(x)
    if values is not None and values.size:
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 255):  # NaN is neither
            received = f"values from {low} to {high}"
        elif high <= 1 and (values % 1).any():
            received = f"fractions from {low} to {high}"
        else:
            return x
        warnings.warn(
            "preprocess_input: `x` must be pixels from 0 to 255, since the model scales its input "
            f"itself. Received: {received}. Undo the scaling, for example x * 255, or build the "
            "model with include_preprocessing=False.",
            stacklevel=2,
        )
    return x


def _values(x):
    """Return the first images of `x` as a NumPy array of numbers; None if there are none."""
    try:
        if len(getattr(x, "shape", ())) == 4:
            x = x[:64]
        x = keras.ops.convert_to_numpy(x) if keras.ops.is_tensor(x) else np.asarray(x)
    except Exception:  # symbolic tensors have no values, and each backend its own error
        return None
    return x.astype("float32") if x.dtype.kind in "iuf" or "float" in x.dtype.name else None


def prepare_image(image, transform: str = "resmall-crop", image_size: int | tuple[int, int] = 224):
    """Resize and crop one image to the size of the model, as for the published accuracies.

    Given the same decoded pixels, the result is bit for bit that of the named library. Only
    "resize" is rounded to uint8 here, while the authors' code keeps floats.

    Args:
        image: A path (decoded to RGB with Pillow, which does not apply the EXIF orientation), or
            an array or tensor of shape `(height, width, channels)`, uint8 or floating, in
            [0, 255]. Floats are rounded first. `channels` is 1, which is repeated, or 3.
        transform: `"resmall-crop"` (the paper's table 3: resize the shorter side to 256 for 224
            pixels, method "area", and crop the center), `"resize-crop"` (table 2: resize both
            sides to 256 and crop), `"resize"` (the authors' fine-tuning code: resize both sides
            to 224, bilinear, without crop), `"timm-bicubic"` or `"timm-bilinear"` (as the first,
            with Pillow's filters).
        image_size: Size of the result in pixels, one integer or `(height, width)`. If it is not
            square, "shorter side" means the smallest scale that covers both directions.

    Returns:
        Pixels of shape `(height, width, 3)`, uint8, as a NumPy array or, if `image` is a symbolic
        TensorFlow tensor (as in `tf.data.Dataset.map`), as a tensor with this static shape.

    Raises:
        ValueError: If the transform is unknown, `image_size` is not positive integers, or the
            image has a wrong shape or dtype, no pixels, values outside [0, 255], or fractions of
            1 (values cannot be checked in a TensorFlow graph, which clips them).
        OSError: If the file cannot be read; FileNotFoundError if it does not exist.

    Examples:
        >>> import keras_mixer
        >>> import numpy as np
        >>> photo = np.zeros((300, 400, 3), "uint8")
        >>> image = keras_mixer.preprocessing.prepare_image(photo, "resmall-crop")
        >>> image.shape, image.dtype.name
        ((224, 224, 3), 'uint8')
    """
    row, crop = _find_transform(transform), _check_image_size(image_size)
    if isinstance(image, (str, os.PathLike)):
        image = _read(image)
    # Do not import TensorFlow here: a caller that passes one of its tensors has imported it.
    tf = sys.modules.get("tensorflow")
    if tf is not None and tf.is_symbolic_tensor(image):
        return _prepare_in_graph(tf, image, row, crop)

    image = keras.ops.convert_to_numpy(image) if keras.ops.is_tensor(image) else np.asarray(image)
    _check_shape_and_dtype(image.shape, image.dtype.name)
    if image.dtype != np.uint8:
        image = image.astype("float32")
        if not (image.min() >= 0 and image.max() <= 255):  # NaN fails as well
            raise ValueError(
                "prepare_image: the pixels of `image` must be numbers from 0 to 255. Received: "
                f"values from {image.min()} to {image.max()}. Undo any scaling."
            )
        rounded = np.rint(image)
        if image.max() <= 1 and (rounded != image).any():
            raise ValueError(
                "prepare_image: the pixels of `image` must be from 0 to 255. Received: fractions "
                f"from {image.min()} to {image.max()}. Multiply them by 255."
            )
        image = rounded.astype("uint8")
    if image.shape[2] == 1:  # `np.repeat` would copy a color image, too
        image = np.repeat(image, 3, axis=2)  # (height, width, 3)
    size = np.array(image.shape[:2], np.int32)
    resized = _resized_size(np, size, row, crop)
    start = _margin(np, resized, row, crop)
    if row.antialias:
        return resize_like_pillow(np, image, row.method, size, resized, start, crop)
    return resize_like_tensorflow(image, row.method, size, resized, start, crop)


def _prepare_in_graph(tf, image, row, crop):
    shape = None if image.shape.rank is None else tuple(image.shape)
    _check_shape_and_dtype(shape, image.dtype.name)
    image = tf.round(tf.clip_by_value(tf.cast(image, "float32"), 0, 255))
    image = tf.repeat(image, 3 // image.shape[2], axis=2)  # (height, width, 3)
    size = tf.shape(image)[:2]
    resized = _resized_size(tf, size, row, crop)
    start = _margin(tf, resized, row, crop)
    if row.antialias:
        image = resize_like_pillow(tf, image, row.method, size, resized, start, crop)
    else:
        image = tf.image.resize(image, resized, row.method)
        image = image[start[0] : start[0] + crop[0], start[1] : start[1] + crop[1]]
        image = tf.saturate_cast(image if row.method == "area" else tf.round(image), "uint8")
    return tf.ensure_shape(image, (*crop, 3))


# Sizes are (height, width) in pixels; `xp` is NumPy or TensorFlow.


def _resized_size(xp, size, row, crop):
    if not row.crop:
        return np.array(crop, np.int32)
    if row.library == "timm":
        goal = np.array([n * 8 // 7 for n in crop], np.int32)  # timm: floor(n / 0.875)
    else:
        goal = np.array([round(n * 8 / 7) for n in crop], np.int32)  # big_vision names 256 itself
    if row.resize == "squash":
        return goal
    if row.library == "timm":  # torchvision rounds the other side down
        return xp.maximum(goal, size * goal[::-1] // size[::-1])
    size = cast(xp, size, "float32")  # big_vision rounds both sides after a float32 factor
    factors = goal.astype("float32") / size
    return cast(xp, xp.round(size * xp.maximum(factors[0], factors[1])), "int32")


def _margin(xp, resized, row, crop):
    margin = resized - np.array(crop, np.int32)
    if row.library == "timm":  # torchvision rounds half to even
        return cast(xp, xp.round(margin / 2), "int32")
    return margin // 2


def _find_transform(name):
    if isinstance(name, str) and name in TRANSFORMS:
        return TRANSFORMS[name]
    near = difflib.get_close_matches(str(name), TRANSFORMS, n=1)
    advice = f"Did you mean {near[0]!r}?" if near else "Pass one of these names."
    raise ValueError(
        f"prepare_image: `transform` must be one of {', '.join(map(repr, TRANSFORMS))}. "
        f"Received: transform={name!r}. {advice}"
    )


def _check_image_size(image_size):
    pair = image_size if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    if len(pair) != 2:
        raise ValueError(
            "prepare_image: `image_size` must be one integer or (height, width). "
            f"Received: image_size={image_size!r}. Leave out batch and channels."
        )
    return tuple(check_positive_int("prepare_image", "image_size", pixels) for pixels in pair)


def _check_shape_and_dtype(shape, dtype):
    if shape is None or len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
        raise ValueError(
            "prepare_image: `image` must be a path or one image of shape (height, width, "
            "channels), not empty, with 1 or 3 channels. Received: an image of shape "
            f"{'unknown' if shape is None else shape}. Put channels last, drop a batch axis or "
            "alpha; in tf.data decode with channels=3 and expand_animations=False."
        )
    if dtype != "uint8" and "float" not in dtype:
        raise ValueError(
            "prepare_image: the pixels of `image` must be uint8 or floating, from 0 to 255. "
            f"Received: dtype {dtype}. Convert them to uint8."
        )


def _read(path):
    path = os.fspath(path)
    try:
        return np.asarray(keras.utils.load_img(path))
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises each for a broken file
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else OSError
        raise kind(
            "prepare_image: `image` must be the path of an image file that Pillow can read. "
            f"Received: image={path!r}. Check the path and the file."
        ) from error
