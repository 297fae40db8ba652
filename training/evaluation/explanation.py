"""Explanation of the class of an image: the patches that its score depends on."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from keras_mixer import explain
from keras_mixer.explain.tokens import LAST_TOKENS
from training.errors import UserError
from training.evaluation.logits import most_likely, probabilities
from training.evaluation.predict_batch import predict_batch

__all__ = ["GRAD_CAM", "INTEGRATED_GRADIENTS", "LAST_TOKENS", "OCCLUSION", "explain_image"]

INTEGRATED_GRADIENTS, OCCLUSION = "integrated-gradients", "occlusion"
GRAD_CAM = "grad-cam"


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Maps of the patches for one class of an image.

    Args:
        class_index: Number of the class.
        probability: Probability of the class.
        is_predicted: Whether it is the most likely class.
        maps: For each method the map, (rows, columns), in units of the logit.
    """

    class_index: int
    probability: float
    is_predicted: bool
    maps: dict[str, np.ndarray]

    def peak(self, method):
        """Return row and column of the patch with the largest value; of equal ones the first."""
        values = self.maps[method]
        row, column = np.unravel_index(values.argmax(), values.shape)
        return int(row), int(column)


def explain_image(loaded, pixels, class_index, methods, layer, batch_size):
    """Return the `Explanation` of an image.

    Args:
        loaded: A `training.model_argument.LoadedModel`.
        pixels: The image as the model takes it, (height, width, channels).
        class_index: Class to explain; None for the most likely one.
        methods: Names of the methods.
        layer: Name of the layer of Grad-CAM.
        batch_size: Number of occluded images that are computed at once.
    """
    images = pixels[None]
    logits = np.asarray(predict_batch(loaded.model, images), "float64")  # (1, classes)
    (predicted,) = most_likely(logits[0], 1)
    chosen = int(predicted if class_index is None else class_index)
    compute: dict[str, Callable] = {
        GRAD_CAM: functools.partial(explain.grad_cam, layer=layer),
        INTEGRATED_GRADIENTS: explain.integrated_gradients,
        OCCLUSION: functools.partial(explain.occlusion, batch_size=batch_size),
    }
    maps = {method: compute[method](loaded.model, images, chosen)[0] for method in methods}
    if not all(np.isfinite(values).all() for values in (logits, *maps.values())):
        raise UserError(
            "The logits of the model, and their gradients, must be finite. Received: some that are "
            "not. Use another model, or one in float32."
        )
    return Explanation(
        class_index=chosen,
        probability=float(probabilities(logits, loaded.activation)[0, chosen]),
        is_predicted=bool(chosen == predicted),
        maps=maps,
    )
