"""Calibration images, from which a quantizer learns the ranges of the activations."""

import numpy as np

from training.errors import UserError
from training.validation import refuse_unless

NUMBER = 256  # images, unless the user chooses
FEWEST = 16  # with fewer, single images decide the ranges


def load_calibration_images(source, data, number=NUMBER):
    """Return images of the training split, prepared as for evaluation.

    They are a random sample, the same one in every call. Images of the test split are never used,
    since it measures the accuracy after quantization.

    Args:
        source: The `training.data.source.Source`.
        data: The `training.config.Data`, with the size and the transform of the model's input.
        number: Number of images.

    Returns:
        uint8 pixels, `(number, image_size, image_size, channels)`.

    Raises:
        UserError: If the number is too small, or the split has fewer images.
    """
    from training.data import crop

    refuse_unless(
        number >= FEWEST, "calibration_images", f"must be at least {FEWEST}", number, "Pass 256."
    )
    source.require("train", data)
    refuse_unless(
        number <= (available := len(source.train)),
        "calibration_images",
        "must be at most the number of images in the training split",
        f"{number} with {available} images in {data.source}",
        f"Pass {available}." if available >= FEWEST else "Choose a larger --source.",
    )

    def prepare(_, image, label):
        return crop.prepare_evaluation_image(image, data, source.channels)

    images = source.train.shuffled(0, number, prepare=prepare).take(number)
    return np.stack(list(images.as_numpy_iterator()))


def as_calibration_array(images, shape):
    """Return calibration images as one checked float32 array, `(number, *shape)`.

    Args:
        images: An array of pixels in [0, 255], or an iterable of batches of them. A batch may be a
            tuple that begins with the images.
        shape: Shape of one image, `(height, width, channels)`.

    Raises:
        UserError: If there are too few, or they have another shape.
    """
    if images is None:
        images = ()
    if not hasattr(images, "shape"):
        batches = [np.asarray(b[0] if isinstance(b, tuple) else b) for b in images]
        images = np.concatenate(batches) if batches else np.empty((0, *shape))
    images = np.asarray(images, np.float32)
    if len(images) < FEWEST:
        raise UserError(
            f"Calibration needs at least {FEWEST} images. Received: {len(images)}. Pass more "
            f"images of the training split, such as {NUMBER}."
        )
    if images.shape[1:] != tuple(shape):
        raise UserError(
            f"Calibration images must have the shape of the model's input, {tuple(shape)}. "
            f"Received: {images.shape[1:]}. Prepare them with load_calibration_images."
        )
    return images
