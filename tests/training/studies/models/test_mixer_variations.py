"""Variations of the Mixer: logits by independent NumPy code, and identities with the Mixer."""

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer.sizes import MixerSize
from tests.support.reference import LARGEST_ERROR, gelu, layer_norm, relative_error
from training.config.study_models import MIXERS
from training.errors import UserError
from training.studies.models.mixer_variations import build_mixer_variation

TINY = MixerSize("", 2, hidden_dim=12, num_blocks=3, tokens_mlp_dim=8, channels_mlp_dim=20)
IMAGE_SIZE = 12
PATCHES = 36
PYRAMID = [(36, 36), (36, 9), (9, 3)]  # tokens before and after each block
CLASSES = 5


def build(variation, **arguments):
    return build_mixer_variation(variation, TINY, IMAGE_SIZE, classes=CLASSES, **arguments)


def randomize(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.weights])
    return model


def random_pixels(channels=3):
    shape = (3, IMAGE_SIZE, IMAGE_SIZE, channels)
    return np.random.default_rng(1).integers(0, 256, shape).astype("float32")


def weights(model, layer):
    return [np.asarray(weight, np.float64) for weight in model.get_layer(layer).get_weights()]


def mlp(x, kernel_0, bias_0, kernel_1, bias_1):
    return gelu(x @ kernel_0 + bias_0, True) @ kernel_1 + bias_1


class Reference:
    """Token mixing of the block `name` of a model, column by column, in float64."""

    def __init__(self, model, name):
        self.model, self.name = model, name

    def weights(self, *layers):
        return [array for layer in layers for array in weights(self.model, f"{self.name}_{layer}")]

    def untied(self, x):
        arrays = self.weights("token_mixing_dense_0", "token_mixing_dense_1")
        columns = [mlp(x[..., c], *(array[c] for array in arrays)) for c in range(x.shape[-1])]
        return np.stack(columns, axis=-1)

    def grouped(self, x):
        return self.mix_in_pairs([x[..., 0::2], x[..., 1::2]])

    def views(self, x):
        (kernel,) = self.weights("views")
        return self.mix_in_pairs([x @ kernel[:, 0::2], x @ kernel[:, 1::2]])

    def mix_in_pairs(self, members):
        """Mix column q of the first member with column q of the second."""
        first, second = members
        columns = []
        for q in range(first.shape[-1]):
            vector = np.concatenate([first[..., q], second[..., q]], axis=-1)
            columns += np.split(mlp(vector, *self.weights("token_mixing")), 2, axis=-1)
        return np.stack(columns, axis=-1)

    def pyramid(self, x):
        arrays = self.weights("token_mixing_dense_0", "token_mixing_dense_1")
        return np.stack([mlp(x[..., c], *arrays) for c in range(x.shape[-1])], axis=-1)

    def skip(self, x, tokens):
        if tokens == x.shape[1]:
            return x
        (kernel,) = self.weights("skip")
        return np.einsum("bsc,st->btc", x, kernel)


def reference_logits(model, variation, pixels):
    images = pixels.astype(np.float64) / 127.5 - 1
    kernel, bias = weights(model, "stem")
    p = TINY.patch_size
    patches = [
        images[:, i : i + p, j : j + p].reshape(len(images), -1)
        for i in range(0, IMAGE_SIZE, p)
        for j in range(0, IMAGE_SIZE, p)
    ]
    x = np.stack(patches, axis=1) @ kernel.reshape(-1, TINY.hidden_dim) + bias
    for i in range(TINY.num_blocks):
        block = Reference(model, f"block_{i}")
        mix_tokens = getattr(block, variation.removeprefix("mixer-"))
        y = mix_tokens(layer_norm(x, *block.weights("layer_norm_0")))
        x = block.skip(x, y.shape[1]) + y
        y = layer_norm(x, *block.weights("layer_norm_1"))
        x = x + mlp(y, *block.weights("channel_mixing"))
    kernel, bias = weights(model, "head")
    return layer_norm(x, *weights(model, "pre_head_layer_norm")).mean(axis=1) @ kernel + bias


@pytest.mark.parametrize("variation", MIXERS)
@pytest.mark.parametrize("channels", [3, 1])
def test_logits(variation, channels):
    model, pixels = randomize(build(variation, channels=channels)), random_pixels(channels)
    expected = reference_logits(model, variation, pixels)
    assert relative_error(model.predict(pixels, verbose=0), expected) <= LARGEST_ERROR


def token_mixing_parameters(variation):
    """Return the number of parameters of the token mixing of all blocks."""
    c, d = TINY.hidden_dim, TINY.tokens_mlp_dim

    def mlp_parameters(inputs, outputs):
        return (inputs + 1) * d + (d + 1) * outputs

    if variation == "mixer-pyramid":
        skips = sum(before * after for before, after in PYRAMID if before != after)
        return skips + sum(mlp_parameters(*tokens) for tokens in PYRAMID)
    return (
        TINY.num_blocks
        * {
            "mixer-untied": c * mlp_parameters(PATCHES, PATCHES),
            "mixer-grouped": mlp_parameters(2 * PATCHES, 2 * PATCHES),
            "mixer-views": c * c + mlp_parameters(2 * PATCHES, 2 * PATCHES),
        }[variation]
    )


@pytest.mark.backend("torch")
@pytest.mark.parametrize("variation", MIXERS)
def test_parameter_counts(variation):
    c, hidden = TINY.hidden_dim, TINY.channels_mlp_dim
    stem = (3 * TINY.patch_size**2 + 1) * c
    channel_mixing = (c + 1) * hidden + (hidden + 1) * c
    expected = stem + TINY.num_blocks * (channel_mixing + 2 * 2 * c) + 2 * c + (c + 1) * CLASSES
    expected += token_mixing_parameters(variation)
    assert build(variation).count_params() == expected


@pytest.mark.backend("torch")
def test_tokens_of_the_pyramid():
    model = build("mixer-pyramid")
    shapes = [model.get_layer(f"block_{i}").output.shape for i in range(TINY.num_blocks)]
    assert shapes == [(None, after, TINY.hidden_dim) for _, after in PYRAMID]


def plain_mixer(tokens_mlp_dim):
    sizes = {**TINY.dimensions, "tokens_mlp_dim": tokens_mlp_dim}
    shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
    model = keras_mixer.MlpMixer(
        **sizes, input_shape=shape, classes=CLASSES, classifier_activation=None
    )
    return randomize(model)


def copy_of(plain, variation, token_mixing):
    """Return a variation with the weights of a plain Mixer.

    `token_mixing` maps the four arrays of the Mixer's token mixing to the arrays of each layer of
    the variation's.
    """
    model = build(variation)
    for layer in ("stem", "pre_head_layer_norm", "head"):
        model.get_layer(layer).set_weights(plain.get_layer(layer).get_weights())
    for i in range(TINY.num_blocks):
        block = plain.get_layer(f"MixerBlock_{i}")
        arrays = {
            "layer_norm_0": block.layer_norm_0.get_weights(),
            "layer_norm_1": block.layer_norm_1.get_weights(),
            "channel_mixing": block.channel_mixing.get_weights(),
            **token_mixing(*block.token_mixing.get_weights()),
        }
        for layer, values in arrays.items():
            model.get_layer(f"block_{i}_{layer}").set_weights(values)
    return model


def untied(*arrays):
    """Return the arrays of a plain Mixer once for each channel."""
    kernel_0, bias_0, kernel_1, bias_1 = (np.stack([a] * TINY.hidden_dim) for a in arrays)
    return {"token_mixing_dense_0": [kernel_0, bias_0], "token_mixing_dense_1": [kernel_1, bias_1]}


def grouped(kernel_0, bias_0, kernel_1, bias_1):
    """Return arrays that mix each channel of a pair by itself: block-diagonal kernels."""
    twice = np.eye(2)
    kernel_0, kernel_1 = np.kron(twice, kernel_0), np.kron(twice, kernel_1)
    return {"token_mixing": [kernel_0, np.tile(bias_0, 2), kernel_1, np.tile(bias_1, 2)]}


def views(*arrays):
    """Return arrays with the channels themselves as their views."""
    return {"views": [np.eye(TINY.hidden_dim)], **grouped(*arrays)}


@pytest.mark.parametrize(
    "variation, token_mixing, tokens_mlp_dim",
    [
        ("mixer-untied", untied, TINY.tokens_mlp_dim),
        ("mixer-grouped", grouped, TINY.tokens_mlp_dim // 2),
        ("mixer-views", views, TINY.tokens_mlp_dim // 2),
    ],
)
def test_a_variation_with_the_weights_of_a_mixer_is_that_mixer(
    variation, token_mixing, tokens_mlp_dim
):
    plain, pixels = plain_mixer(tokens_mlp_dim), random_pixels()
    found = copy_of(plain, variation, token_mixing).predict(pixels, verbose=0)
    assert relative_error(found, plain.predict(pixels, verbose=0)) <= LARGEST_ERROR


def test_each_untied_mlp_is_initialized_as_the_shared_one():
    model = build("mixer-untied")
    for name, inputs in [("dense_0", PATCHES), ("dense_1", TINY.tokens_mlp_dim)]:
        kernel, bias = weights(model, f"block_0_token_mixing_{name}")
        assert kernel.shape[:2] == (TINY.hidden_dim, inputs)
        np.testing.assert_allclose(kernel.std(), inputs**-0.5, rtol=0.1)
        assert not bias.any()


@pytest.mark.parametrize("variation", MIXERS)
@pytest.mark.parametrize(
    "dtype",
    [
        "mixed_bfloat16",
        pytest.param("float32", marks=[pytest.mark.long, pytest.mark.backend("torch")]),
    ],
)
def test_training_and_saving(variation, dtype, tmp_path):
    model, pixels = randomize(build(variation, dtype=dtype)), random_pixels()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()
    model.fit(pixels, np.arange(3), verbose=0)
    unchanged = {
        weight.path
        for weight, old, new in zip(model.weights, before, model.get_weights(), strict=True)
        if np.array_equal(old, new)
    }
    if variation == "mixer-pyramid":
        # These biases shift all channels of a token equally, which every LayerNorm undoes: their
        # gradient is 0, up to rounding.
        unchanged -= {f"block_{i}_token_mixing_dense_1/bias" for i in range(TINY.num_blocks)}
    assert not unchanged
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(pixels, verbose=0), model.predict(pixels, verbose=0), rtol=1e-6
    )


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "variation, rates",
    [
        *((variation, {"dropout_rate": 0.9}) for variation in MIXERS),
        ("mixer-pyramid", {"drop_path_rate": 0.9}),
    ],
)
def test_token_mixing_is_regularized_in_training_only(variation, rates):
    model, regularized, pixels = build(variation), build(variation, **rates), random_pixels()
    randomize(model)
    for i in range(TINY.num_blocks):
        channel_mixing = model.get_layer(f"block_{i}_channel_mixing")
        channel_mixing.set_weights([np.zeros_like(w) for w in channel_mixing.get_weights()])
    regularized.set_weights(model.get_weights())
    expected = keras.ops.convert_to_numpy(model(pixels))
    inference = keras.ops.convert_to_numpy(regularized(pixels, training=False))
    training = keras.ops.convert_to_numpy(regularized(pixels, training=True))
    np.testing.assert_array_equal(inference, expected)
    assert relative_error(training, expected) > 0.01


@pytest.mark.backend("torch")
def test_stochastic_depth_is_a_linear_ramp():
    model = build("mixer-untied", drop_path_rate=0.2)
    for i, rate in enumerate([0, 0.1, 0.2]):
        for branch in range(2):
            assert model.get_layer(f"block_{i}_drop_path_{branch}").drop_path_rate == rate


@pytest.mark.backend("torch")
@pytest.mark.parametrize("variation", MIXERS)
def test_the_head_starts_at_zero(variation):
    assert not build(variation).predict(random_pixels(), verbose=0).any()


@pytest.mark.backend("torch")
@pytest.mark.parametrize("variation", ["mixer-grouped", "mixer-views"])
def test_groups_must_divide_the_channels(variation):
    size = MixerSize("", 2, 13, 1, 8, 20)
    with pytest.raises(UserError, match=r"--hidden-dim must be a multiple of 2, .* 13\. Pass 14"):
        build_mixer_variation(variation, size, IMAGE_SIZE)


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "variation, image_size, message",
    [
        ("mixer", 12, r"`variation` must be one of mixer-untied, .*variation='mixer'"),
        ("mixer-untied", 13, r"must be divisible by the patch, 2 × 2 .* 13 × 13"),
    ],
)
def test_invalid_arguments(variation, image_size, message):
    with pytest.raises(ValueError, match=message):
        build_mixer_variation(variation, TINY, image_size)
