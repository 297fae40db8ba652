"""Benchmark of inference time against the number of patches: Mixer and Vision Transformer."""

import dataclasses
import functools
import statistics

import keras
import numpy as np

import keras_mixer
from keras_mixer.sizes import MixerSize
from training.benchmarks.timing import interleave, seconds
from training.config.study_models import VitSize
from training.studies.cost import cost
from training.studies.models.vit import build_vit

# Mixer-S/16, and a Vision Transformer of the same patches, width, depth and MLP.
PATCH_SIZE = 16
HIDDEN_DIM = 512
BLOCKS = 8
MLP_DIM = 4 * HIDDEN_DIM
TOKENS_MLP_DIM = 256
VIT = VitSize(PATCH_SIZE, HIDDEN_DIM, BLOCKS, MLP_DIM, num_heads=8)
CLASSES = 1000
CHANNELS = 3
MIXER = "Mixer"
GROWING_MIXER = "Mixer, D_S growing"
TRANSFORMER = "ViT"
MODELS = (MIXER, GROWING_MIXER, TRANSFORMER)
PATCHES_OF_TABLE_1 = 196  # of an image of 224 × 224 pixels, for which D_S is TOKENS_MLP_DIM
TOKENS_PER_BATCH = 3136
POINTS_AT_THE_END = 3


@dataclasses.dataclass(frozen=True)
class Point:
    """One model at one image size.

    Args:
        model: One of `MODELS`.
        image_size: Side of the images in pixels.
        patches: Number of patches of an image.
        batch_size: Images per call.
        milliseconds_per_image: Median over the repeats.
        gigaflops_per_image: Of all matrix products; a multiplication and an addition are two.
    """

    model: str
    image_size: int
    patches: int
    batch_size: int
    milliseconds_per_image: float
    gigaflops_per_image: float


@dataclasses.dataclass(frozen=True)
class Exponents:
    """Slopes of straight lines through logarithms, fitted by least squares.

    Args:
        model: One of `MODELS`.
        time: Exponent of the time in the number of patches, of all image sizes.
        time_range: Smallest and largest such exponent of a single repeat.
        time_at_the_end: Exponent of the three largest image sizes.
        flops: Exponent of the FLOPs, of all image sizes.
        flops_at_the_end: Exponent of the FLOPs of the three largest image sizes.
    """

    model: str
    time: float
    time_range: tuple[float, float]
    time_at_the_end: float
    flops: float
    flops_at_the_end: float


@dataclasses.dataclass(frozen=True)
class Patches:
    """Results.

    Args:
        backend: Keras backend.
        repeats: Number of times that each model is timed at each size.
        points: A `Point` for each model and size.
        exponents: `Exponents` of each model.
    """

    backend: str
    repeats: int
    points: tuple[Point, ...]
    exponents: tuple[Exponents, ...]


def measure(repeats, image_sizes):
    """Measure `predict_on_batch` of each model at each image size and return a `Patches`.

    A batch has the same number of patches at every size, as far as whole images allow.

    Args:
        repeats: Number of times that each model is timed at each size.
        image_sizes: Sides of the images in pixels, ascending.
    """
    calls, batch_sizes = {}, {}
    rng = np.random.default_rng(0)
    for image_size in image_sizes:
        batch_sizes[image_size] = max(1, TOKENS_PER_BATCH // patches_of(image_size))
        shape = (batch_sizes[image_size], image_size, image_size, CHANNELS)
        pixels = rng.integers(0, 256, shape).astype("float32")
        for name in MODELS:
            predict = functools.partial(build_model(name, image_size).predict_on_batch, pixels)
            predict()  # compiles
            calls[f"{name}, {image_size} pixels"] = functools.partial(seconds, predict)
    measured = interleave(calls, repeats).values()
    keys = [(name, image_size) for image_size in image_sizes for name in MODELS]
    times = dict(zip(keys, measured, strict=True))
    points = tuple(
        Point(
            model=name,
            image_size=image_size,
            patches=patches_of(image_size),
            batch_size=batch_sizes[image_size],
            milliseconds_per_image=1000 * statistics.median(values) / batch_sizes[image_size],
            gigaflops_per_image=flops(name, image_size) / 1e9,
        )
        for (name, image_size), values in times.items()
    )
    per_image = {
        key: np.array(values) / batch_sizes[key[1]] for key, values in times.items()
    }  # seconds of each repeat
    return Patches(
        backend=keras.backend.backend(),
        repeats=repeats,
        points=points,
        exponents=tuple(_exponents(name, points, per_image, image_sizes) for name in MODELS),
    )


def patches_of(image_size):
    return (image_size // PATCH_SIZE) ** 2


def tokens_mlp_dim(name, patches):
    """Return D_S: constant as in table 1 of the paper, or proportional to the number of patches."""
    if name == MIXER:
        return TOKENS_MLP_DIM
    return max(1, round(TOKENS_MLP_DIM * patches / PATCHES_OF_TABLE_1))


def build_model(name, image_size):
    """Return one of `MODELS` for square images, with random weights."""
    if name == TRANSFORMER:
        return build_vit(VIT, image_size, classes=CLASSES)
    return keras_mixer.MlpMixer(
        patch_size=PATCH_SIZE,
        hidden_dim=HIDDEN_DIM,
        num_blocks=BLOCKS,
        tokens_mlp_dim=tokens_mlp_dim(name, patches_of(image_size)),
        channels_mlp_dim=MLP_DIM,
        input_shape=(image_size, image_size, CHANNELS),
        classes=CLASSES,
        classifier_activation=None,
    )


def size_of(name, image_size):
    """Return the size of one of `MODELS`, a `MixerSize` or a `VitSize`."""
    if name == TRANSFORMER:
        return VIT
    tokens_dim = tokens_mlp_dim(name, patches_of(image_size))
    return MixerSize(name, PATCH_SIZE, HIDDEN_DIM, BLOCKS, tokens_dim, MLP_DIM)


def flops(name, image_size):
    """Return the FLOPs of all matrix products for one image."""
    return cost(size_of(name, image_size), image_size, CHANNELS, CLASSES).inference_flops


def exponent(patches, costs):
    """Return the slope of the logarithm of costs over that of the number of patches."""
    slope, _ = np.polyfit(np.log(patches), np.log(costs), 1)
    return float(slope)


def _exponents(name, points, per_image, image_sizes):
    own = [point for point in points if point.model == name]
    patches = [point.patches for point in own]
    times = [point.milliseconds_per_image for point in own]
    operations = [point.gigaflops_per_image for point in own]
    repeats = np.transpose([per_image[name, image_size] for image_size in image_sizes])
    single = [exponent(patches, row) for row in repeats]
    end = slice(-POINTS_AT_THE_END, None)
    return Exponents(
        model=name,
        time=exponent(patches, times),
        time_range=(min(single), max(single)),
        time_at_the_end=exponent(patches[end], times[end]),
        flops=exponent(patches, operations),
        flops_at_the_end=exponent(patches[end], operations[end]),
    )
