"""The classes of single image files."""

import dataclasses

import keras
import numpy as np
from PIL import UnidentifiedImageError

from training.errors import UserError
from training.evaluation.accuracy import log_softmax


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The likeliest classes of an image file, best first, as `(class name, probability)`."""

    image: str
    classes: tuple[tuple[str, float], ...]


def read_image(path, shape):
    """Return the image at `path` as uint8 of `shape`, (height, width, channels).

    Raises:
        UserError: If it cannot be read as an image.
    """
    height, width, channels = shape
    try:
        image = keras.utils.load_img(
            path,
            color_mode={1: "grayscale", 3: "rgb"}[channels],
            target_size=(height, width),
            interpolation="bilinear",
        )
    except (OSError, UnidentifiedImageError) as error:
        reason = "it is not an image" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(
            f"IMAGE must be a readable image file. Received: {path}: {reason}. "
            "Pass a PNG, JPEG or another format that Pillow reads."
        ) from error
    return np.asarray(image, "uint8").reshape(shape)


def predict_images(model, class_names, paths, top):
    """Return one `Prediction` per path, of the `top` likeliest classes.

    All files are read before the model runs.

    Raises:
        UserError: If a file cannot be read as an image.
    """
    shape = model.input_shape[1:]
    images = np.stack([read_image(path, shape) for path in paths])
    probabilities = np.exp(log_softmax(model.predict(images, verbose=0).astype("float64")))
    return [
        Prediction(
            str(path), tuple((class_names[i], float(row[i])) for i in np.argsort(-row)[:top])
        )
        for path, row in zip(paths, probabilities, strict=True)
    ]
