"""The classes of single image files."""

import dataclasses

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_mixer.preprocessing import prepare_image
from training.errors import UserError
from training.evaluation.logits import likeliest, probabilities

# What Pillow raises for files that are damaged, not images, or absurdly large.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The likeliest classes of an image file, best first, as `(class name, probability)`."""

    image: str
    classes: tuple[tuple[str, float], ...]


def read_image(path, channels):
    """Return the image at `path` as uint8 `(height, width, channels)`, of 1 or 3 channels.

    Raises:
        UserError: If it cannot be read as an image.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)  # as it is to be seen
            if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip to 8
                image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
            image = image.convert({1: "L", 3: "RGB"}[channels])
    except UNREADABLE as error:
        reason = "it is not an image" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(
            f"IMAGE must be a readable image file. Received: {path}: {reason}. "
            "Pass a PNG, JPEG or another format that Pillow reads."
        ) from error
    return np.asarray(image, "uint8").reshape(image.height, image.width, channels)


def predict_images(model, class_names, paths, top, transform, activation="softmax"):
    """Return one `Prediction` per path, of the `top` likeliest classes.

    All files are read before the model runs; `transform`, of `keras_mixer.preprocessing`, brings
    them to its size, and `activation`, of `training.evaluation.logits`, makes probabilities.

    Raises:
        UserError: If a file cannot be read as an image.
    """
    height, width, channels = model.input_shape[1:]

    images = [read_image(path, channels) for path in paths]
    prepared = [prepare_image(image, transform, (height, width)) for image in images]
    pixels = np.stack(prepared)[..., :channels]
    logits = model.predict(pixels, verbose=0).astype("float64")  # (images, classes)
    classes, values = likeliest(logits, top), probabilities(logits, activation)
    return [
        Prediction(str(path), tuple((class_names[c], float(values[i, c])) for c in classes[i]))
        for i, path in enumerate(paths)
    ]
