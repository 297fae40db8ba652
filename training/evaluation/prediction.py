"""Classification of image files, batch by batch."""

import contextlib
import dataclasses
import math
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from training.errors import UserError
from training.evaluation.features import features_model
from training.evaluation.logits import most_likely, probabilities
from training.evaluation.predict_batch import predict_batch
from training.evaluation.prepared_images import prepared_images

BATCHES_AHEAD = 2  # one that is complete when the model asks for it, and one in preparation


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Most likely classes of an image file, best first, as `(class name, probability)`."""

    image: str
    classes: tuple[tuple[str, float], ...]


class Outputs(NamedTuple):
    """Outputs of a model for some of the image files, in their order.

    `features` is None unless the model returns them. `faults` are the files among them that
    cannot be decoded, as `path: reason`; the other fields do not have these.
    """

    paths: list[Path]
    logits: np.ndarray  # (images, classes), float64
    features: np.ndarray | None  # (images, features), float32
    faults: list[str]


def predict_images(model, paths, transform, batch_size):
    """Yield the `Outputs` of a model for image files; close the generator to stop its threads.

    Threads decode the next images while the model computes. No more than a few batches of images
    are in memory. All batches have one size, so that nothing is compiled twice: the last one is
    padded with black images, whose outputs are dropped.

    Args:
        model: Keras model that returns logits, or one that `with_features` returned.
        paths: Paths of the image files, at least one.
        transform: Name of the transform, of `keras_mixer.preprocessing`, that resizes images.
        batch_size: Largest number of images in a batch.

    Raises:
        UserError: If the logits are not finite.
    """
    # Batches as equal as possible, so that few images are padding.
    batch_size = math.ceil(len(paths) / math.ceil(len(paths) / batch_size))
    shape = tuple(model.input_shape[1:])
    images = prepared_images(paths, transform, shape, BATCHES_AHEAD * batch_size)
    with contextlib.closing(images):
        batch, faults = [], []
        for image in images:
            if image.fault:
                faults.append(f"{image.path}: {image.fault}")
            else:
                batch.append(image)
            if len(batch) == batch_size:
                yield _compute(model, batch, faults, batch_size)
                batch, faults = [], []
        if batch or faults:
            yield _compute(model, batch, faults, batch_size)


def _compute(model, images, faults, batch_size):
    """Return the `Outputs` for prepared images, which are padded to a batch."""
    paths = [image.path for image in images]
    if paths:
        pixels = np.zeros((batch_size, *images[0].pixels.shape), np.uint8)
        pixels[: len(images)] = [image.pixels for image in images]
        outputs = predict_batch(model, pixels)
        outputs = outputs if isinstance(outputs, list) else [outputs]
    else:
        outputs = [np.zeros((0, output.shape[-1])) for output in model.outputs]
    *features, logits = (np.asarray(output)[: len(paths)] for output in outputs)
    logits = logits.astype("float64")
    wrong = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(wrong):
        raise UserError(
            f"MODEL must return finite logits. Received: {logits[wrong[0]].max()} for "
            f"{paths[wrong[0]]}. Use another model, or one in float32."
        )
    return Outputs(paths, logits, features[0].astype("float32") if features else None, faults)


def with_features(model):
    """Return a model of the features and the logits, `[(batch, features), (batch, classes)]`.

    Both are computed in one pass.

    Args:
        model: A Keras model of logits.

    Raises:
        UserError: If the last layer is not dense; see `training.evaluation.features`.
    """
    body = features_model(model)
    return keras.Model(body.inputs[0], [body.outputs[0], _head(model)(body.outputs[0])])


def _head(model):
    """Return the last layer, which may be in a nested model."""
    last = model.outputs[0]._keras_history.operation
    return _head(last) if isinstance(last, keras.Model) else last


def name_classes(outputs, class_names, top, activation):
    """Return a `Prediction` for each image of a batch.

    Args:
        outputs: The `Outputs`.
        class_names: Names of the classes.
        top: Number of classes in a prediction.
        activation: How logits become probabilities; see `training.evaluation.logits`.
    """
    classes = most_likely(outputs.logits, top)
    values = probabilities(outputs.logits, activation)
    return [
        Prediction(str(path), tuple((class_names[c], float(values[i, c])) for c in classes[i]))
        for i, path in enumerate(outputs.paths)
    ]
