import keras
import numpy as np
import pytest
from keras import ops

from tests.support import optimization as reference
from training.optimization.sharpness_aware import SharpnessAwareModel, ascent, sharpness_aware

CASES = {
    "sgd": {},
    "adamw, clipped, decayed, averaged": {
        "optimizer": "adamw",
        "learning_rate": 0.02,
        "clip_global_norm": 0.1,
        "weight_decay": 0.5,
        "ema_momentum": 0.8,
    },
    "sgd, accumulated": {"accumulation_steps": 4, "clip_global_norm": 0.1, "weight_decay": 0.5},
}


def against_numpy(chosen, **how):
    x, y = reference.batches(10 * chosen.accumulation_steps)
    model, losses = reference.fit(chosen, x, y, **how)
    rates = reference.rates(chosen, 10)
    weights, averages, expected_losses = reference.train(chosen, x, y, rates)
    expected = averages if chosen.ema_momentum else weights
    assert reference.largest_error(model, expected) < reference.LARGEST_ERROR
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-3)  # the losses at w
    return expected


@pytest.mark.parametrize("name", CASES)
def test_ten_updates_against_numpy(name):
    chosen = reference.settings(sam_rho=0.5, **CASES[name])
    expected = against_numpy(chosen)
    x, y = reference.batches(10 * chosen.accumulation_steps)
    plain = reference.settings(**CASES[name])
    other, _, _ = reference.train(plain, x, y, reference.rates(plain, 10))
    assert np.abs(other["hidden/kernel"] - expected["hidden/kernel"]).max() > 1e-3


def test_loss_scaling_does_not_change_the_ascent():
    chosen = reference.settings(sam_rho=0.5, accumulation_steps=2)
    against_numpy(chosen, wrap=keras.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize("how", [{"run_eagerly": True}, {"jit_compile": True}])
def test_eager_and_compiled(how):
    if keras.backend.backend() == "torch" and "jit_compile" in how:
        pytest.skip("torch.compile takes a C++ compiler and minutes")
    against_numpy(reference.settings(sam_rho=0.5), **how)


def test_a_gradient_of_zero_gives_no_ascent():
    steps = ascent([ops.zeros((3,)), ops.zeros((2, 2))], 0.5)
    assert all((np.array(step) == 0).all() for step in steps)
    steps = ascent([ops.convert_to_tensor([3e4]), ops.convert_to_tensor([4e4])], 0.5)
    np.testing.assert_allclose([float(step[0]) for step in steps], [0.3, 0.4], rtol=1e-6)


def test_without_rho_the_model_is_returned():
    model = reference.keras_model()
    assert sharpness_aware(model, 0.0) is model
    aware = sharpness_aware(model, 0.1)
    assert isinstance(aware, SharpnessAwareModel)
    assert [id(v) for v in aware.weights] == [id(v) for v in model.weights]


@pytest.mark.parametrize("seed", [7, None])
def test_both_gradients_have_the_same_masks(seed):
    """The output is linear in w, so its gradient is the mask for any w."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 30)).astype("float32")

    def kernel(rho):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((30,))
        dropped = keras.layers.Dropout(0.5, seed=seed)(inputs)
        output = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(dropped)
        model = sharpness_aware(keras.Model(inputs, output), rho)
        model.compile(keras.optimizers.SGD(0.1), loss=lambda y, output: ops.mean(output))
        model.fit(x, x[:, :1], batch_size=4, shuffle=False, verbose=0)
        return model.get_weights()[0]

    np.testing.assert_allclose(kernel(0.5), kernel(0.0), rtol=1e-6)


def test_float16_trains():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        chosen = reference.settings(sam_rho=0.05, warmup_steps=0)
        x, y = reference.batches(20)
        model, losses = reference.fit(chosen, x, y)
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    _, _, expected = reference.train(chosen, x, y, reference.rates(chosen, 20))
    np.testing.assert_allclose(losses, expected, atol=0.05)
