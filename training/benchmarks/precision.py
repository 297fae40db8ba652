"""Benchmark of inference and training in bfloat16, compared with float32."""

import dataclasses
import functools

import keras
import numpy as np

import keras_mixer
from keras_mixer.sizes import SIZES
from training.benchmarks.matrix_products import bfloat16_instructions, describe_products
from training.benchmarks.timing import interleave, medians, seconds

DTYPES = ("float32", "mixed_bfloat16", "bfloat16")
REFERENCE = DTYPES[0]


@dataclasses.dataclass(frozen=True)
class Speed:
    """Results for one dtype.

    Args:
        dtype: The model's `dtype`: mixed_bfloat16 keeps the variables in float32 and casts them in
            every call, bfloat16 keeps them in bfloat16.
        images_per_second: Median over the repeats.
        to_float32: Ratio of the medians.
        to_float32_range: Smallest and largest ratio to the float32 run of the same repeat.
        logit_error: Largest difference from the logits in float32, relative to the largest logit.
        products: What computes the matrix products, and in which precision.
    """

    dtype: str
    images_per_second: float
    to_float32: float
    to_float32_range: tuple[float, float]
    logit_error: float
    products: str


@dataclasses.dataclass(frozen=True)
class Precision:
    """Results for one variant.

    Args:
        variant: A variant of the paper, such as "B/16".
        backend: Keras backend.
        batch_size: Images per batch.
        images: Number of images per call of `model.predict`.
        training: Whether `model.train_on_batch` with SGD is timed, instead of `model.predict`.
        jit_compile: As passed to `model.compile`.
        repeats: Number of times that each dtype is timed.
        instructions: The CPU's instructions for bfloat16; empty except on Linux.
        speeds: A `Speed` for each dtype.
    """

    variant: str
    backend: str
    batch_size: int
    images: int
    training: bool
    jit_compile: bool | str
    repeats: int
    instructions: tuple[str, ...]
    speeds: tuple[Speed, ...]


def measure(
    variant, batch_size, images, repeats, training=False, jit_compile="auto", image_size=224
):
    """Measure a model in each dtype, with the same random weights, and return a `Precision`.

    Args:
        variant: A variant of the paper, such as "B/16".
        batch_size: Images per batch.
        images: Images per call of `model.predict`; one batch trains.
        repeats: Number of times that each dtype is timed.
        training: Whether to time `model.train_on_batch` instead of `model.predict`.
        jit_compile: As for `model.compile`.
        image_size: Side of the images in pixels.
    """
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images, image_size, image_size, 3)).astype("float32")
    models, weights = {}, None
    for dtype in DTYPES:
        models[dtype] = build_model(variant, dtype, jit_compile, image_size)
        weights = weights or models[dtype].get_weights()
        models[dtype].set_weights(weights)
    predict = {
        dtype: functools.partial(model.predict, pixels, batch_size=batch_size, verbose=0)
        for dtype, model in models.items()
    }
    logits = {dtype: call().astype("float64") for dtype, call in predict.items()}  # compiles
    calls, images_per_call = predict, images
    if training:
        images_per_call = batch_size
        labels = rng.integers(0, 1000, batch_size)
        calls = {
            dtype: functools.partial(model.train_on_batch, pixels[:batch_size], labels)
            for dtype, model in models.items()
        }
        for model, call in zip(models.values(), calls.values(), strict=True):
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.SGD(0.01), loss, jit_compile=jit_compile)
            call()  # compiles
    timed = {dtype: functools.partial(seconds, call) for dtype, call in calls.items()}
    times = interleave(timed, repeats)
    median = medians(times)
    speeds = []
    for dtype in DTYPES:
        ratios = [r / own for r, own in zip(times[REFERENCE], times[dtype], strict=True)]
        error = np.abs(logits[dtype] - logits[REFERENCE]).max() / np.abs(logits[REFERENCE]).max()
        model = variant, dtype, jit_compile, image_size
        speeds.append(
            Speed(
                dtype=dtype,
                images_per_second=images_per_call / median[dtype],
                to_float32=median[REFERENCE] / median[dtype],
                to_float32_range=(min(ratios), max(ratios)),
                logit_error=float(error),
                products=describe_products(models[dtype], pixels[:batch_size], __name__, model),
            )
        )
    return Precision(
        variant=variant,
        backend=keras.backend.backend(),
        batch_size=batch_size,
        images=images,
        training=training,
        jit_compile=jit_compile,
        repeats=repeats,
        instructions=bfloat16_instructions(),
        speeds=tuple(speeds),
    )


def build_model(variant, dtype, jit_compile, image_size):
    """Return a model with random weights, the head's too, that returns logits."""
    keras.utils.set_random_seed(0)
    model = getattr(keras_mixer, SIZES[variant].constructor_name)(
        weights=None,
        input_shape=(image_size, image_size, 3),
        classifier_activation=None,
        dtype=dtype,
    )
    kernel = model.get_layer("head").kernel
    values = np.random.default_rng(1).standard_normal(kernel.shape)
    kernel.assign((values / np.sqrt(len(values))).astype("float32"))
    if jit_compile != "auto":
        model.compile(jit_compile=jit_compile)
    return model
