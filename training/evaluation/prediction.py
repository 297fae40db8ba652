"""Classification of image files."""

import dataclasses

import numpy as np

from keras_mixer.preprocessing import prepare_image
from training.data.decode import read_image
from training.evaluation.logits import most_likely, probabilities


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Most likely classes of an image file, best first, as `(class name, probability)`."""

    image: str
    classes: tuple[tuple[str, float], ...]


def predict_images(model, class_names, paths, top, transform, activation="softmax"):
    """Return a `Prediction` for each image file; all files are read before the model runs.

    Args:
        model: Keras model that returns logits.
        class_names: Names of the classes.
        paths: Paths of the image files.
        top: Number of classes in a prediction.
        transform: Name of the transform, of `keras_mixer.preprocessing`, that resizes images.
        activation: How logits become probabilities; see `training.evaluation.logits`.

    Raises:
        UserError: If a file cannot be read as an image.
    """
    height, width, channels = model.input_shape[1:]

    images = [read_image(path, channels) for path in paths]
    prepared = [prepare_image(image, transform, (height, width)) for image in images]
    pixels = np.stack(prepared)[..., :channels]
    logits = model.predict(pixels, verbose=0).astype("float64")  # (images, classes)
    classes, values = most_likely(logits, top), probabilities(logits, activation)
    return [
        Prediction(str(path), tuple((class_names[c], float(values[i, c])) for c in classes[i]))
        for i, path in enumerate(paths)
    ]
