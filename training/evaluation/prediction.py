"""The classes of single image files."""

import dataclasses

import numpy as np

from keras_mixer.preprocessing import prepare_image
from training.data.decode import read_image
from training.evaluation.logits import likeliest, probabilities


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The likeliest classes of an image file, best first, as `(class name, probability)`."""

    image: str
    classes: tuple[tuple[str, float], ...]


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
