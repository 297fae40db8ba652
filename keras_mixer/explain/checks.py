"""Checks of the arguments of `keras_mixer.explain`."""

import numpy as np
from keras import ops

from keras_mixer.explain.score_model import graph_of


def check_images(model, images):
    """Return images as a NumPy array that the model takes."""
    images = ops.convert_to_numpy(images) if ops.is_tensor(images) else np.asarray(images)
    shape = model.input_shape if graph_of(model) is not None else (None,) * 4
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise ValueError(
            "explain: `model` must take one batch of images, (batch, height, width, channels). "
            f"Received: a model with inputs of shape {shape}. Pass one with a single input."
        )
    fits = len(images.shape) == 4 and len(images) > 0
    if not fits or any(
        n not in (None, m) for n, m in zip(shape[1:], images.shape[1:], strict=True)
    ):
        advice = (
            "Pass images[None] for one image."
            if images.shape == shape[1:]
            else ("Resize them with keras_mixer.preprocessing.prepare_image.")
        )
        raise ValueError(
            "explain: `images` must be (batch, height, width, channels), at least one, of the size "
            f"that the model takes, {shape[1:]}. Received: images of shape {images.shape}. {advice}"
        )
    if images.dtype.kind not in "uif":
        raise ValueError(
            "explain: `images` must be integers or floating. Received: images of dtype "
            f"{images.dtype}. Convert them with images.astype('float32')."
        )
    return images


def count_classes(model, images):
    """Return the number of scores; a subclass has to be called for it."""
    if graph_of(model) is not None:
        shape = model.output_shape
    else:
        shape = np.shape(model.predict_on_batch(images[:1]))
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            "explain: `model` must return one score for each class, (batch, classes). Received: a "
            f"model with outputs of shape {shape}. Pass the model with its head."
        )
    return shape[1]


def check_classes(class_index, number, classes):
    """Return the class of each image, `(number,)`; -1 for the one with the highest score.

    Args:
        class_index: What the user passed.
        number: Number of images.
        classes: Number of classes.
    """
    if class_index is None:
        return np.full(number, -1)
    given = np.asarray(class_index)
    valid = given.dtype.kind in "ui" and given.shape in ((), (number,))
    if not valid or given.min() < 0 or given.max() >= classes:
        raise ValueError(
            "explain: `class_index` must be a class of the model, an integer from 0 to "
            f"{classes - 1}, or one for each of the {number} images. Received: "
            f"class_index={class_index!r}. Leave it out for the predicted class."
        )
    return np.broadcast_to(given, number).astype("int64")


def check_fill(fill, images):
    """Return the color that takes the place of patches, for each image: `(batch, channels)`."""
    channels = images.shape[-1]
    if fill is None:  # no mean color: it would have the hue of what is taken away
        color = images.mean(axis=(1, 2, 3), dtype="float64")[:, None]
    else:
        color = np.asarray(fill)
        numeric = color.dtype.kind in "uif" and np.isfinite(color).all()
        if not numeric or isinstance(fill, bool) or color.shape not in ((), (channels,)):
            raise ValueError(
                f"explain: `fill` must be a number, or one for each of the {channels} channels. "
                f"Received: fill={fill!r}. Leave it out for the mean gray of the image."
            )
    color = np.broadcast_to(color, (len(images), channels))
    if images.dtype.kind in "ui":
        limits = np.iinfo(images.dtype)
        color = np.clip(np.rint(color), limits.min, limits.max)
    return color.astype(images.dtype)
