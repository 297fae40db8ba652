"""Contract of every layer and of the model, on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_mixer
from tests.support.models import SMALL_IMAGE, randomize, small_mixer

TOKENS = (6, 16)  # patches, hidden_dim of the small model

LAYERS = {
    "MlpBlock": (keras_mixer.MlpBlock, {"mlp_dim": 5, "dropout_rate": 0.1}),
    "MlpBlock erf": (keras_mixer.MlpBlock, {"mlp_dim": 5, "approximate_gelu": False}),
    "StochasticDepth": (
        keras_mixer.StochasticDepth,
        {"drop_path_rate": 0.5, "rescale": True, "seed": 3},
    ),
    "MixerBlock": (
        keras_mixer.MixerBlock,
        {
            "tokens_mlp_dim": 5,
            "channels_mlp_dim": 7,
            "drop_path_rate": 0.1,
            "dropout_rate": 0.1,
            "approximate_gelu": False,
            "rescale_drop_path": True,
        },
    ),
}
MODELS = {
    "probabilities": {"classifier_activation": "softmax", "drop_path_rate": 0.1},
    "logits": {"include_preprocessing": False, "dropout_rate": 0.1},
    "tokens": {"include_top": False},
    "avg": {"include_top": False, "pooling": "avg"},
    "max": {"include_top": False, "pooling": "max"},
}
OUTPUT_SHAPES = {
    "probabilities": (5,),
    "logits": (5,),
    "tokens": TOKENS,
    "avg": TOKENS[1:],
    "max": TOKENS[1:],
}
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
TOLERANCE = {"float32": 1e-5, "mixed_bfloat16": 5e-2, "mixed_float16": 1e-2}


def model_of(case, policy):
    """Return a model with random weights, one batch for it, and its output shape."""
    rng = np.random.default_rng(1)
    if case in LAYERS:
        layer_class, arguments = LAYERS[case]
        inputs = keras.Input(TOKENS)
        model = keras.Model(inputs, layer_class(**arguments, dtype=policy)(inputs))
        batch = rng.standard_normal((8, *TOKENS)).astype("float32")
        shape = TOKENS
    else:
        model = small_mixer(**MODELS[case], dtype=policy)
        batch = rng.uniform(0, 255, (8, *SMALL_IMAGE)).astype("float32")
        if not MODELS[case].get("include_preprocessing", True):
            batch = batch / 127.5 - 1
        shape = OUTPUT_SHAPES[case]
    randomize(model)
    return model, batch, shape


def model_compute_dtype(policy):
    return keras.dtype_policies.get(policy).compute_dtype


def run(model, batch, **arguments):
    outputs = model(batch, **arguments)
    return ops.convert_to_numpy(ops.cast(outputs, "float32"))


@pytest.mark.parametrize("case", LAYERS)
def test_config_round_trip(case):
    layer_class, arguments = LAYERS[case]
    layer = layer_class(**arguments, name="a_name", dtype="mixed_bfloat16")
    config = layer.get_config()
    twin = layer_class.from_config(config)
    assert twin.get_config() == config
    for argument, value in arguments.items():
        assert config[argument] == value
    assert (twin.name, twin.dtype_policy.name) == ("a_name", "mixed_bfloat16")


@pytest.mark.parametrize("case", MODELS)
def test_model_config_round_trip(case):
    model, batch, _ = model_of(case, "float32")
    twin = keras.Model.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    assert twin.get_config() == model.get_config()
    np.testing.assert_allclose(run(twin, batch), run(model, batch), atol=1e-6)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("case", [*LAYERS, *MODELS])
class TestContract:
    def test_symbolic_shape(self, case, policy):
        model, _, shape = model_of(case, policy)
        assert model.output_shape == (None, *shape)
        assert model.compute_output_shape((5, *model.input_shape[1:])) == (5, *shape)

    def test_eager_and_compiled_calls_agree(self, case, policy):
        model, batch, shape = model_of(case, policy)
        eager = run(model, batch)
        compiled = np.asarray(model.predict(batch, batch_size=8, verbose=0), "float32")
        assert eager.shape == (8, *shape)
        assert np.isfinite(eager).all()
        scale = np.abs(eager).max()
        np.testing.assert_allclose(compiled, eager, atol=TOLERANCE[policy] * scale, rtol=0)

    def test_half_precision_is_close_to_float32(self, case, policy):
        model, batch, _ = model_of(case, policy)
        exact_model, _, _ = model_of(case, "float32")
        exact = run(exact_model, batch)
        scale = np.abs(exact).max()
        np.testing.assert_allclose(run(model, batch), exact, atol=TOLERANCE[policy] * scale, rtol=0)
        assert {variable.dtype for variable in model.weights} <= {"float32"}
        for layer in model._flatten_layers(include_self=False):
            if isinstance(layer, keras.layers.InputLayer):
                continue
            kept = layer.name in ("preprocessing", "avg_pool", "max_pool", "head")
            expected = "float32" if kept else model_compute_dtype(policy)
            assert layer.compute_dtype == expected, layer.path

    def test_one_step_changes_every_trainable_variable(self, case, policy):
        if case == "StochasticDepth":
            pytest.skip("it has no variables")
        model, batch, _ = model_of(case, policy)
        model.compile(keras.optimizers.Adam(0.1), "mse")
        before = [ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
        loss = model.train_on_batch(batch, np.ones((8, *model.output_shape[1:]), "float32"))
        assert np.isfinite(loss)
        for variable, old in zip(model.trainable_variables, before, strict=True):
            assert not np.array_equal(ops.convert_to_numpy(variable), old), variable.path

    def test_a_loaded_model_computes_the_same(self, case, policy, tmp_path):
        model, batch, _ = model_of(case, policy)
        model.save(tmp_path / "model.keras")
        twin = keras.saving.load_model(tmp_path / "model.keras")
        assert [v.path for v in twin.weights] == [v.path for v in model.weights]
        np.testing.assert_allclose(run(twin, batch), run(model, batch), atol=1e-6)
