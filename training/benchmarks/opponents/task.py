"""What all contestants of `benchmark speed` compute: sizes, random weights and the SGD step."""

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_mixer.sizes import SIZES
from keras_mixer.weights.architecture import Architecture

EPSILON = 1e-6  # of LayerNorm
LEARNING_RATE = 0.01
MOMENTUM = 0.9


def task_of(variant, precision="float32", image_size=224, classes=1000):
    """Return the `Task` of a variant of the paper, such as "B/16"."""
    size = SIZES[variant]
    architecture = Architecture(
        **{**size.dimensions, "patch_size": (size.patch_size, size.patch_size)},
        channels=3,
        num_patches=(image_size // size.patch_size) ** 2,
        classes=classes,
    )
    return Task(architecture, (image_size, image_size), precision)


@dataclasses.dataclass(frozen=True)
class Task:
    """A Mixer on images `(batch, height, width, channels)` with values in [-1, 1].

    It returns logits. Training minimizes the mean cross-entropy of the labels, which are class
    indices, using SGD with momentum.

    Args:
        architecture: A `keras_mixer.weights.architecture.Architecture`, with a head.
        image_size: Height and width of the images in pixels.
        precision: "float32", or "mixed_bfloat16": weights, LayerNorm, head and loss in float32,
            and the rest in bfloat16.
    """

    architecture: Architecture
    image_size: tuple[int, int] = (224, 224)
    precision: str = "float32"

    @property
    def is_mixed(self):
        return self.precision == "mixed_bfloat16"

    def random_weights(self, seed=0):
        """Return `{name: float32 array}` with the names in the published files.

        All arrays are random, also those that a new model sets to zero or one.
        """
        rng = np.random.default_rng(seed)
        weights = {}
        for name, shape in self.architecture.shapes().items():
            kind = name.rpartition("/")[2]
            deviation = np.prod(shape[:-1]) ** -0.5 if kind == "kernel" else 0.1
            array = deviation * rng.standard_normal(shape, "float32") + (kind == "scale")
            weights[name] = array.astype("float32")
        return weights

    def random_images(self, number, seed=0):
        """Return float32 images `(number, height, width, channels)`."""
        shape = (number, *self.image_size, self.architecture.channels)
        return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")

    def random_labels(self, number, seed=0):
        """Return int32 class indices `(number,)`."""
        classes = self.architecture.classes
        return np.random.default_rng(seed).integers(0, classes, number, "int32")


class Contestant:
    """A Mixer whose speed is measured.

    Args:
        task: A `Task`.
        weights: `{name: array}` with the names in the published files.
    """

    name: str

    def __init__(self, task, weights):
        self.task = task

    def inference(self, images, batch_size) -> Callable:
        """Return a function that computes the logits of `images` as a NumPy array.

        Data that can be prepared in advance, such as a transposed copy, is: this is not timed.
        """
        raise NotImplementedError

    def training(self, images, labels) -> Callable:
        """Return a function that takes one SGD step on a batch and returns the loss, a float."""
        raise NotImplementedError

    def weights(self) -> dict:
        """Return the current weights, `{name: NumPy array}`, with the names in the files."""
        raise NotImplementedError


class Limit(Contestant):
    """The matrix products of all blocks alone: no model can be faster.

    A training step computes three times those of inference: for the output, and for two gradients.
    """

    def inference(self, images, batch_size):
        streams, times = self._streams(batch_size), -(-len(images) // batch_size)
        return lambda: self._run(streams, times)

    def training(self, images, labels):
        streams = self._streams(len(images))
        return lambda: self._run(streams, 3)

    def _streams(self, batch_size):
        """Return the inputs of the products."""
        raise NotImplementedError

    def _run(self, streams, times):
        """Compute the products of all blocks `times` times."""
        raise NotImplementedError


def batches(images, batch_size):
    """Split `images` into a list of batches."""
    return [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
