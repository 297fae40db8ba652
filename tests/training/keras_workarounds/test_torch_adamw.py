"""Subclasses of AdamW are slow. If the test of Keras fails, the workaround can go."""

import keras
import numpy as np
import pytest
from keras import ops

from training.keras_workarounds.torch_adamw import adamw_base

pytestmark = pytest.mark.backend("torch")


class Subclass(keras.optimizers.AdamW):
    pass


def test_a_subclass_of_the_public_class_updates_one_variable_at_a_time():
    assert hasattr(keras.optimizers.AdamW(), "_parallel_update_step")
    assert not hasattr(Subclass(), "_parallel_update_step")


def test_the_base_updates_all_variables_at_once():
    assert hasattr(type("Sub", (adamw_base(),), {})(), "_parallel_update_step")


@pytest.mark.parametrize("clip", [None, 0.1, 1e6])
def test_the_fused_update_against_float64(clip):
    """Keras's formula. Its own powers of β₂ in float32 cost it 3e-5 of the first update."""
    rate, decay, epsilon, beta_1, beta_2 = 0.02, 0.1, 1e-3, 0.9, 0.999
    rng = np.random.default_rng(0)
    shapes = [(3, 5), (1000,), ()]
    weights = [rng.standard_normal(shape) for shape in shapes]
    gradients = [[rng.standard_normal(shape) for shape in shapes] for _ in range(3)]

    variables = [keras.Variable(w.astype("float32")) for w in map(np.asarray, weights)]
    made = adamw_base()(rate, weight_decay=decay, epsilon=epsilon, global_clipnorm=clip)
    for step in gradients:
        # Transposed twice: gradients need not have the order in memory of their variable.
        made.apply(
            [ops.transpose(ops.convert_to_tensor(g.T.copy(), "float32")) for g in step], variables
        )

    ms, vs = [[np.zeros(shape) for shape in shapes] for _ in "mv"]
    for t, step in enumerate(gradients, 1):
        norm = np.sqrt(sum((g**2).sum() for g in step))
        step = [g * min(1, (clip or np.inf) / norm) for g in step]
        alpha = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        ms = [beta_1 * m + (1 - beta_1) * g for m, g in zip(ms, step, strict=True)]
        vs = [beta_2 * v + (1 - beta_2) * g**2 for v, g in zip(vs, step, strict=True)]
        weights = [
            w * (1 - rate * decay) - alpha * m / (np.sqrt(v) + epsilon)
            for w, m, v in zip(weights, ms, vs, strict=True)
        ]
    for variable, expected in zip(variables, weights, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(variable), expected, rtol=1e-6, atol=5e-7)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_clipping_shows_gradients_that_are_not_finite(bad):
    clipped = adamw_base()(global_clipnorm=1.0)._clip_gradients(
        [ops.convert_to_tensor(np.array([1, 2], "float32")), ops.convert_to_tensor(bad)]
    )
    assert all(np.isnan(ops.convert_to_numpy(gradient)).all() for gradient in clipped)
