"""Benchmark of all variants: cost and speed here, beside the accuracies that others report."""

import dataclasses
import functools

import keras
import numpy as np

import keras_mixer
from keras_mixer.sizes import SIZES
from keras_mixer.weights.catalog import CATALOG
from training.benchmarks.timing import interleave, medians, seconds
from training.devices.cpu import cores
from training.studies.cost import cost
from training.studies.paper_tables import I1K, TABLE_3

IMAGE_SIZE = 224
CHANNELS = 3


@dataclasses.dataclass(frozen=True)
class Variant:
    """A variant of the paper for images of 224 × 224 pixels and 1,000 classes.

    Args:
        variant: Its name, such as "B/16".
        parameters: Number of weights.
        gigaflops: Of inference, for one image.
        batch_size: Images per batch.
        images_per_second: Median over the repeats.
        to_fastest: Time of an image, divided by that of the fastest variant; medians.
    """

    variant: str
    parameters: int
    gigaflops: float
    batch_size: int
    images_per_second: float
    to_fastest: float


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy of a variant on the validation images of ImageNet, reported by others.

    Args:
        variant: Name of the variant, such as "B/16".
        weights: Name of the weights in `keras_mixer`; else dataset and epochs of the pre-training.
        published: Whether anyone can download these weights.
        pixels: Side of the images; None if not stated.
        top1: Accuracy in percent.
        source: Who reports it.
    """

    variant: str
    weights: str
    published: bool
    pixels: int | None
    top1: float
    source: str


@dataclasses.dataclass(frozen=True)
class Variants:
    """Results.

    Args:
        backend: Keras backend.
        cores: Number of CPU cores that this process may use.
        repeats: Number of times that each variant is timed.
        variants: A `Variant` each.
        accuracies: The known accuracies of these variants.
    """

    backend: str
    cores: int
    repeats: int
    variants: tuple[Variant, ...]
    accuracies: tuple[Accuracy, ...]


def measure(variants, batch_size, repeats, image_size=IMAGE_SIZE):
    """Time `predict_on_batch` of each variant in turn, and return the `Variants`.

    All models exist at the same time: 4.1 GB of weights for the eight of them.

    Args:
        variants: Names of variants, such as "B/16".
        batch_size: Images per batch.
        repeats: Number of times that each variant is timed.
        image_size: Side of the images in pixels.
    """
    shape = (batch_size, image_size, image_size, CHANNELS)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
    calls = {}
    for variant in variants:
        build = getattr(keras_mixer, SIZES[variant].constructor_name)
        model = build(weights=None, input_shape=shape[1:])
        predict = functools.partial(model.predict_on_batch, pixels)
        predict()  # compiles
        calls[variant] = functools.partial(seconds, predict)
    times = medians(interleave(calls, repeats))
    fastest = min(times.values())
    rows = []
    for variant in variants:
        counted = cost(SIZES[variant], image_size, CHANNELS)
        rows.append(
            Variant(
                variant=variant,
                parameters=counted.parameters,
                gigaflops=counted.inference_flops / 1e9,
                batch_size=batch_size,
                images_per_second=batch_size / times[variant],
                to_fastest=times[variant] / fastest,
            )
        )
    return Variants(
        backend=keras.backend.backend(),
        cores=cores(),
        repeats=repeats,
        variants=tuple(rows),
        accuracies=tuple(a for variant in variants for a in accuracies(variant)),
    )


def accuracies(variant):
    """Return the known `Accuracy`s of a variant: of published weights, then only in the paper."""
    constructor = SIZES[variant].constructor_name
    published = [
        Accuracy(variant, row.name, True, IMAGE_SIZE, top1, source)
        for row in CATALOG
        if row.variant == constructor
        for top1, source in row.top1
    ]
    # Those of ImageNet alone are the accuracies of published weights.
    in_paper = [
        Accuracy(
            variant,
            f"{row.pretraining}, {row.epochs} epochs",
            False,
            row.resolution,
            row.imagenet,
            f"paper, table {row.table}",
        )
        for row in TABLE_3
        if row.model == f"Mixer-{variant}" and row.pretraining != I1K
    ]
    return published + in_paper
