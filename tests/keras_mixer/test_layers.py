import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_mixer import MixerBlock, MlpBlock, StochasticDepth
from tests.support.models import small_mixer


@pytest.mark.parametrize("rate", [-0.1, 1, 1.0, 2, "0.1", None, True])
@pytest.mark.parametrize(
    "make, argument",
    [
        (lambda rate: MlpBlock(4, dropout_rate=rate), "dropout_rate"),
        (lambda rate: StochasticDepth(rate), "drop_path_rate"),
        (lambda rate: MixerBlock(4, 4, dropout_rate=rate), "dropout_rate"),
        (lambda rate: MixerBlock(4, 4, drop_path_rate=rate), "drop_path_rate"),
    ],
)
def test_rates_outside_the_unit_interval_are_refused(make, argument, rate):
    with pytest.raises(ValueError, match=rf"`{argument}` .* below 1. Received: {argument}="):
        make(rate)


@pytest.mark.parametrize("width", [0, -1, 1.5, "8", True])
@pytest.mark.parametrize(
    "make, argument",
    [
        (lambda width: MlpBlock(width), "mlp_dim"),
        (lambda width: MixerBlock(width, 4), "tokens_mlp_dim"),
        (lambda width: MixerBlock(4, width), "channels_mlp_dim"),
    ],
)
def test_widths_must_be_positive_integers(make, argument, width):
    with pytest.raises(ValueError, match=rf"`{argument}` must be a positive integer"):
        make(width)


@pytest.mark.parametrize("shape", [(None, 4), (None, None, 4), (None, 6, None), (None, 2, 3, 4)])
def test_a_block_takes_tokens_only(shape):
    with pytest.raises(ValueError, match=r"MixerBlock: the input must be \(batch, patches"):
        MixerBlock(4, 4)(keras.Input(shape[1:]))


def test_numpy_numbers_are_accepted():
    assert MlpBlock(np.int64(4), dropout_rate=np.float32(0.5)).dropout_rate == 0.5


def test_approximate_gelu_selects_the_gelu():
    """The two GELUs differ by at most 4.73e-4, near |x| = 2.7."""
    x = np.linspace(-4, 4, 801, dtype="float32").reshape(-1, 1)

    def block(approximate_gelu):
        layer = MlpBlock(1, approximate_gelu=approximate_gelu)
        layer.build((None, 1))
        layer.set_weights([np.ones((1, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1)])
        return ops.convert_to_numpy(layer(x))

    tanh, erf = block(True), block(False)
    assert np.abs(tanh - erf).max() == pytest.approx(4.73e-4, abs=1e-5)
    exact = 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    np.testing.assert_allclose(erf, exact, atol=1e-6)


class TestStochasticDepth:
    x = np.random.default_rng(0).standard_normal((400, 3, 2)).astype("float32")

    def call(self, layer, **arguments):
        return ops.convert_to_numpy(layer(self.x, **arguments))

    def test_inference_is_the_identity(self):
        layer = StochasticDepth(0.9, rescale=True)
        np.testing.assert_array_equal(self.call(layer), self.x)
        np.testing.assert_array_equal(self.call(layer, training=False), self.x)

    def test_each_example_is_kept_or_dropped_as_a_whole(self):
        y = self.call(StochasticDepth(0.3, seed=0), training=True)
        kept = np.array([np.array_equal(a, b) for a, b in zip(y, self.x, strict=True)])
        dropped = ~y.any(axis=(1, 2))
        assert np.all(kept ^ dropped)
        assert dropped.mean() == pytest.approx(0.3, abs=0.09)  # four standard deviations

    def test_rescaling_keeps_the_expectation(self):
        y = self.call(StochasticDepth(0.3, rescale=True, seed=0), training=True)
        kept = y.any(axis=(1, 2))
        np.testing.assert_allclose(y[kept], self.x[kept] / 0.7, rtol=1e-6)

    def test_each_call_samples_new_masks(self):
        layer = StochasticDepth(0.5, seed=0)
        first, second = (self.call(layer, training=True) for _ in range(2))
        assert not np.array_equal(first, second)

    def test_a_seed_determines_the_masks(self):
        first, second = (self.call(StochasticDepth(0.5, seed=7), training=True) for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_the_two_branches_of_a_block_are_dropped_independently():
    block = MixerBlock(4, 4, drop_path_rate=0.5)
    x = np.tile(np.random.default_rng(0).standard_normal((1, 3, 2)), (200, 1, 1))
    keras.utils.set_random_seed(0)
    y = ops.convert_to_numpy(block(x.astype("float32"), training=True))
    outcomes = np.unique(np.round(y, 5), axis=0)
    assert len(outcomes) == 4  # neither, tokens only, channels only, both


def test_the_training_flag_reaches_inner_layers():
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32")
    block = MlpBlock(50, dropout_rate=0.9)
    inference, training = (ops.convert_to_numpy(block(x, training=t)) for t in (False, True))
    assert not np.allclose(inference, training)


TOKENS = np.random.default_rng(0).standard_normal((8, 6, 4)).astype("float32")
RANDOM_LAYERS = {
    "MlpBlock": lambda: MlpBlock(5, dropout_rate=0.5),
    "MixerBlock": lambda: MixerBlock(5, 5, drop_path_rate=0.5, dropout_rate=0.5),
    "rematerialized": lambda: MixerBlock(5, 5, 0.5, dropout_rate=0.5, rematerialize=True),
    "StochasticDepth": lambda: StochasticDepth(0.5),
}


@pytest.mark.parametrize("make", RANDOM_LAYERS.values(), ids=RANDOM_LAYERS)
def test_the_training_flag_can_be_passed_to_each_way_to_call_a_layer(make):
    layer, x = make(), ops.convert_to_tensor(TOKENS)
    layer(x)
    trainable = [v.value for v in layer.trainable_variables]
    state = [ops.copy(v.value) for v in layer.non_trainable_variables]

    def stateless_call(x, **flags):
        return layer.stateless_call(trainable, state, x, **flags)[0]

    outputs = []
    for call in (stateless_call, layer.call, layer):
        for variable, value in zip(layer.non_trainable_variables, state, strict=True):
            variable.assign(value)
        keras.utils.set_random_seed(0)  # PyTorch's dropout samples from a global generator
        outputs.append(ops.convert_to_numpy(call(x, training=True)))
        inference = ops.convert_to_numpy(call(x, training=False))
        np.testing.assert_allclose(inference, ops.convert_to_numpy(layer(x)), atol=1e-6)
    assert not np.allclose(outputs[0], inference)
    for output in outputs[1:]:
        np.testing.assert_allclose(output, outputs[0], atol=1e-6)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("make", RANDOM_LAYERS.values(), ids=RANDOM_LAYERS)
def test_other_flags_are_refused(make):
    with pytest.raises(TypeError, match="tranining"):
        make()(TOKENS, tranining=True)


@pytest.mark.parametrize("make", RANDOM_LAYERS.values(), ids=RANDOM_LAYERS)
@pytest.mark.parametrize("training", [False, True])
def test_a_mask_is_passed_on(make, training, recwarn):
    tokens = TOKENS.copy()
    tokens[:, 4:] = 0  # the padding of four patches
    masked = keras.layers.Masking()(tokens)
    mask = make()(masked, training=training)._keras_mask
    np.testing.assert_array_equal(ops.convert_to_numpy(mask), tokens.any(axis=-1))
    assert not [w for w in recwarn if "mask" in str(w.message)]


@pytest.mark.parametrize(
    "base, arguments", [(StochasticDepth, [0.5]), (MlpBlock, [3]), (MixerBlock, [3, 5])]
)
def test_a_subclass_can_build_weights(base, arguments):
    """A class that is built in `__init__` would never call `build`."""

    class Scaled(base):
        def build(self, input_shape):
            super().build(input_shape)
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones")

        def call(self, x):
            return super().call(x) * self.scale

    layer = Scaled(*arguments)
    layer(TOKENS)
    assert tuple(layer.scale.shape) == (4,)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("value", ["no", "yes", 3, 0.0, None, [True]])
@pytest.mark.parametrize(
    "make, argument",
    [
        (lambda value: MlpBlock(4, approximate_gelu=value), "approximate_gelu"),
        (lambda value: MixerBlock(4, 4, approximate_gelu=value), "approximate_gelu"),
        (lambda value: MixerBlock(4, 4, rescale_drop_path=value), "rescale_drop_path"),
        (lambda value: MixerBlock(4, 4, rematerialize=value), "rematerialize"),
        (lambda value: StochasticDepth(0.1, rescale=value), "rescale"),
        (lambda value: small_mixer(rescale_drop_path=value), "rescale_drop_path"),
        (lambda value: small_mixer(rematerialize=value), "rematerialize"),
        (lambda value: small_mixer(include_preprocessing=value), "include_preprocessing"),
        (lambda value: small_mixer(include_top=value, classes=5), "include_top"),
    ],
)
def test_flags_must_be_booleans(make, argument, value):
    with pytest.raises(ValueError, match=rf"`{argument}` must be True or False. Received: "):
        make(value)


@pytest.mark.backend("torch")
def test_flags_may_be_numbers_that_files_of_0_1_0_have():
    assert MlpBlock(4, approximate_gelu=np.bool_(False)).approximate_gelu is False
    assert StochasticDepth(0.1, rescale=1).rescale is True


@pytest.mark.backend("torch")
@pytest.mark.parametrize("seed", ["1", 1.5, True])
def test_a_seed_must_be_an_integer(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer or None. Received: seed="):
        StochasticDepth(0.1, seed=seed)


def test_random_states_are_called_after_their_layers():
    """Keras would number them in the process, and with them the keys of a `state_dict`."""
    models = [small_mixer(dropout_rate=0.1, drop_path_rate=0.1) for _ in range(2)]
    paths, other_paths = ([v.path for v in model.variables] for model in models)
    assert paths == other_paths
    assert len(set(paths)) == len(paths)
    assert "MixerBlock_1/stochastic_depth/seed_generator/seed_generator_state" in paths
    assert "MixerBlock_1/token_mixing/dropout/seed_generator/seed_generator_state" in paths
    if keras.backend.backend() == "torch":
        keys, other_keys = (list(model.state_dict()) for model in models)
        assert keys == other_keys
        layer = StochasticDepth(0.1)  # by itself, as Keras's Dropout
        assert [key.split("/", 1)[1] for key in layer.state_dict()] == [
            "seed_generator/seed_generator_state"
        ]
