"""Comparison of an exported model, in its own runtime, with the Keras model."""

import contextlib
import dataclasses
import itertools

import keras
import numpy as np

from training.benchmarks.timing import medians, seconds
from training.evaluation.logits import probabilities
from training.evaluation.predict_batch import predict_batch
from training.export.serving_model import LOGITS, PROBABILITIES

TOLERANCE = 1e-4  # of a logit, relative to the largest one
BATCH_SIZE = 8
SECONDS_TO_TIME = 2.0
MOST_REPEATS = 30


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How an exported model differs from the Keras model.

    Args:
        images: Number of images.
        difference: Largest difference of a logit, divided by the largest absolute logit.
        probability_difference: Largest difference between the probabilities of the exported model
            and those that its logits have by definition.
        agreement: Share of the images for which both have the same most likely class. Classes whose
            logits in the Keras model differ by no more than two logits of the tolerance are the
            same.
        milliseconds: Median time for one image, alone in its batch, in the runtime.
        keras_milliseconds: The same of the Keras model, on the running backend.
    """

    images: int
    difference: float
    probability_difference: float
    agreement: float
    milliseconds: float
    keras_milliseconds: float

    def is_within(self, tolerance):
        """Return whether the difference is at most `tolerance`, and all predictions agree."""
        differences = (self.difference, self.probability_difference)
        return all(d <= tolerance for d in differences) and self.agreement == 1  # NaN is not


def compute_reference(model, images):
    """Return the logits of the Keras model in exact float32, `(images, classes)`.

    Args:
        model: A model from `training.export.serving_model`.
        images: Pixels, `(images, height, width, channels)`.
    """
    with exact_products():
        return model.predict(_pixels(images), batch_size=BATCH_SIZE, verbose=0)[LOGITS]


def compare(run, model, reference, images, activation):
    """Return the `Comparison` of an exported model with its Keras model.

    The first image is a batch of its own, so that two or three sizes of batches are computed.

    Args:
        run: What `load` of a format returned.
        model: The Keras model, from `training.export.serving_model`.
        reference: Its logits, from `compute_reference`.
        images: The pixels of `reference`.
        activation: How logits become probabilities.
    """
    pixels = _pixels(images)
    bounds = [0, *range(1, len(pixels), BATCH_SIZE), len(pixels)]
    with exact_products():  # a SavedModel is computed on the accelerators of TensorFlow
        batches = [run(pixels[a:b]) for a, b in itertools.pairwise(bounds)]
    logits, reported = (
        np.concatenate([batch[name] for batch in batches]) for name in (LOGITS, PROBABILITIES)
    )
    largest = np.abs(reference).max() or 1.0
    chosen = np.take_along_axis(reference, logits.argmax(axis=-1)[:, None], axis=-1)[:, 0]
    expected = probabilities(logits.astype("float64"), activation)
    times = _time(lambda: run(pixels[:1]), lambda: predict_batch(model, pixels[:1]))
    return Comparison(
        images=len(pixels),
        difference=float(np.abs(logits - reference).max() / largest),
        probability_difference=float(np.abs(reported - expected).max()),
        agreement=float(np.mean(reference.max(axis=-1) - chosen <= 2 * TOLERANCE * largest)),
        milliseconds=1000 * times["exported"],
        keras_milliseconds=1000 * times["keras"],
    )


def _time(exported, model):
    """Return the median seconds of two functions, called in turn."""
    alternatives = {"exported": exported, "keras": model}
    for function in alternatives.values():
        function()  # compiles
    slowest = max(map(seconds, alternatives.values()))
    repeats = int(np.clip(SECONDS_TO_TIME / slowest, 3, MOST_REPEATS))
    times: dict[str, list] = {name: [] for name in alternatives}
    for _ in range(repeats):  # in turn, so that other load affects both alike
        for name, function in alternatives.items():
            times[name].append(seconds(function))
    return medians(times)


@contextlib.contextmanager
def exact_products():
    """Multiply matrices in float32, also where the backend uses fewer bits on accelerators."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        with jax.default_matmul_precision("highest"):
            yield
    elif backend == "tensorflow":
        from tensorflow.config import experimental

        before = experimental.tensor_float_32_execution_enabled()
        experimental.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            experimental.enable_tensor_float_32_execution(before)
    else:  # PyTorch does so by default, but not in convolutions
        from torch.backends import cudnn

        before, cudnn.allow_tf32 = cudnn.allow_tf32, False
        try:
            yield
        finally:
            cudnn.allow_tf32 = before


def _pixels(images):
    return np.ascontiguousarray(images, "float32")
