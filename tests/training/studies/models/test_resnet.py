"""The ResNet of BiT: published parameter counts, and logits by independent NumPy code."""

import keras
import numpy as np
import pytest

from keras_mixer.model_config import OBJECTS
from tests.support.reference import LARGEST_ERROR, relative_error
from training.config.study_models import RESNETS, ResnetSize
from training.studies.models.resnet import WeightStandardizedConv2D, build_resnet

# Norms of 12, 24, 48 and 96 channels: 4, 8, 16 and 32 groups.
TINY = {stem: ResnetSize(12, (2, 1), stem) for stem in ("small", "large")}
IMAGE_SIZE = 14
CLASSES = 5


def parameters(size, channels, classes):
    """Return the number of parameters, counted from the description of the network."""
    count = size.width * channels * {"small": 3, "large": 7}[size.stem] ** 2
    before = size.width
    for stage, blocks in enumerate(size.blocks):
        width = size.width * 2**stage
        count += before * 4 * width  # projection
        for _ in range(blocks):
            convolutions = before * width + 9 * width**2 + width * 4 * width
            count += convolutions + 2 * (before + width + width)  # and scale and bias of norms
            before = 4 * width
    return count + 2 * before + (before + 1) * classes


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "size, expected",
    [
        (RESNETS["resnet-50"], 25_549_352),
        (ResnetSize(64, (3, 4, 23, 3)), 44_541_480),
        (ResnetSize(3 * 64, (3, 4, 6, 3)), 217_319_080),
    ],
)
def test_published_parameter_counts(size, expected):
    """Of BiT-R50x1, R101x1 and R50x3, and of timm's resnetv2_50x1_bit and so on."""
    assert parameters(size, channels=3, classes=1000) == expected


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "size",
    [
        *TINY.values(),
        RESNETS["resnet-tiny"],
        pytest.param(RESNETS["resnet-50"], marks=pytest.mark.long),
    ],
)
def test_the_model_has_as_many_parameters_as_the_description(size):
    model = build_resnet(size, 224, classes=1000)
    assert model.count_params() == parameters(size, channels=3, classes=1000)


@pytest.mark.backend("torch")
@pytest.mark.long
def test_resnet_50_has_the_kernels_and_norms_of_keras():
    """Keras's ResNet-v2 differs by biases of convolutions and statistics of BatchNorm."""
    peer = keras.applications.ResNet50V2(weights=None)
    convolutions = [layer for layer in peer.layers if isinstance(layer, keras.layers.Conv2D)]
    biases = sum(layer.filters for layer in convolutions if layer.use_bias)
    trainable = sum(np.prod(weight.shape) for weight in peer.trainable_weights)
    assert parameters(RESNETS["resnet-50"], channels=3, classes=1000) == trainable - biases


@pytest.mark.backend("torch")
@pytest.mark.parametrize("stem, stride", [("small", 4), ("large", 8)])
def test_positions_of_the_last_stage(stem, stride):
    model = build_resnet(TINY[stem], 32)
    assert model.get_layer("stage_1_block_0_add").output.shape[1:3] == (32 // stride, 32 // stride)


def random_resnet(stem="small", seed=0, channels=3, **arguments):
    model = build_resnet(TINY[stem], IMAGE_SIZE, channels, CLASSES, **arguments)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.weights])
    return model


def random_pixels(channels=3):
    shape = (3, IMAGE_SIZE, IMAGE_SIZE, channels)
    return np.random.default_rng(1).integers(0, 256, shape).astype("float32")


def windows(x, side, stride):
    """Return the windows of `x` with a margin of zeros: (batch, rows, columns, C, side, side)."""
    margin = side // 2
    x = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    all_windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    return all_windows[:, ::stride, ::stride]


def convolve(x, kernel, stride):
    """Section 2 of BiT: each filter of the kernel has mean 0 and variance 1."""
    filters = kernel.reshape(-1, kernel.shape[-1])
    filters = (filters - filters.mean(axis=0)) / np.sqrt(filters.var(axis=0) + 1e-10)
    return np.einsum(
        "nijcuv,uvcf->nijf", windows(x, len(kernel), stride), filters.reshape(kernel.shape)
    )


def group_norm_relu(x, scale, bias):
    """Groups of neighbouring channels, over all positions; then ReLU."""
    groups = max(number for number in (1, 2, 4, 8, 16, 32) if x.shape[-1] % number == 0)
    normalized = []
    for group in np.split(x, groups, axis=-1):
        centered = group - group.mean(axis=(1, 2, 3), keepdims=True)
        variance = (centered**2).mean(axis=(1, 2, 3), keepdims=True)
        normalized.append(centered / np.sqrt(variance + 1e-5))
    return np.maximum(np.concatenate(normalized, axis=-1) * scale + bias, 0)


def reference_logits(model, size, pixels):
    """Return the logits of the model's weights in float64."""

    def weights(layer):
        return [np.asarray(w, np.float64) for w in model.get_layer(layer).get_weights()]

    def activate(x, name):
        return group_norm_relu(x, *weights(f"{name}_group_norm"))

    x = pixels.astype(np.float64) / 127.5 - 1
    x = convolve(x, *weights("stem"), 2)
    if size.stem == "large":
        x = windows(x, 3, 2).max(axis=(-2, -1))
    for stage, blocks in enumerate(size.blocks):
        for block in range(blocks):
            name = f"stage_{stage}_block_{block}"
            stride = 2 if stage and not block else 1
            y = activate(x, f"{name}_0")
            if block == 0:
                x = convolve(y, *weights(f"{name}_projection"), stride)
            y = convolve(y, *weights(f"{name}_conv_0"), 1)
            y = convolve(activate(y, f"{name}_1"), *weights(f"{name}_conv_1"), stride)
            y = convolve(activate(y, f"{name}_2"), *weights(f"{name}_conv_2"), 1)
            x = x + y
    kernel, bias = weights("head")
    return activate(x, "pre_head").mean(axis=(1, 2)) @ kernel + bias


@pytest.mark.parametrize("stem, channels", [("small", 3), ("large", 1)])
def test_logits(stem, channels):
    model, pixels = random_resnet(stem, channels=channels), random_pixels(channels)
    expected = reference_logits(model, TINY[stem], pixels)
    assert relative_error(model.predict(pixels, verbose=0), expected) <= LARGEST_ERROR


def test_new_model_predicts_zero_logits_in_float32():
    model = build_resnet(TINY["small"], IMAGE_SIZE, classes=CLASSES, dtype="mixed_bfloat16")
    logits = model.predict(random_pixels(), verbose=0)
    assert logits.dtype == "float32" and not logits.any()


def test_kernels_are_standardized_in_float32():
    """In half precision, a kernel with this mean would lose the variation that is normalized."""
    convolution = WeightStandardizedConv2D(8, 3, use_bias=False, dtype="mixed_bfloat16")
    convolution.build((None, 3, 3, 4))
    rng = np.random.default_rng(0)
    kernel = (100 + rng.normal(0, 0.01, (3, 3, 4, 8))).astype("float32")
    convolution.set_weights([kernel])
    x = rng.integers(-8, 9, (5, 3, 3, 4)).astype("float32")  # exact in half precision
    found = keras.ops.convert_to_numpy(keras.ops.cast(convolution(x), "float32"))
    expected = convolve(x, kernel.astype(np.float64), 1)[:, 1:2, 1:2]
    assert relative_error(found, expected) < 0.01


def shapes(model):
    return {layer.name: layer.output.shape for layer in model.layers[1:]}


def test_channels_last_whatever_the_image_data_format_is():
    expected = shapes(build_resnet(TINY["large"], IMAGE_SIZE))
    keras.config.set_image_data_format("channels_first")
    try:
        found = shapes(build_resnet(TINY["large"], IMAGE_SIZE))
    finally:
        keras.config.set_image_data_format("channels_last")
    assert found == expected


@pytest.mark.backend("torch")
def test_layers_that_a_file_may_name():
    layers = {type(layer).__name__ for layer in build_resnet(TINY["large"], IMAGE_SIZE).layers}
    assert layers - OBJECTS["keras.layers"] == {"WeightStandardizedConv2D"}


def test_training_and_saving(tmp_path):
    model, pixels = random_resnet(dtype="mixed_bfloat16"), random_pixels()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()
    model.fit(pixels, np.arange(3), verbose=0)
    changed = [np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(changed)
    model.save(tmp_path / "resnet.keras")
    loaded = keras.saving.load_model(tmp_path / "resnet.keras")
    np.testing.assert_allclose(
        loaded.predict(pixels, verbose=0), model.predict(pixels, verbose=0), rtol=1e-6
    )
