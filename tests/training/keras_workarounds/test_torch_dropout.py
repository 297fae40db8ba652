"""Dropout ignores its layer's seed. If the test of Keras fails, the workaround can go."""

import keras
import numpy as np
import pytest

from training.keras_workarounds.torch_dropout import keep_generator

pytestmark = pytest.mark.backend("torch")


def masks(before_each):
    """Return the masks of two calls with the same state of the layer."""
    layer = keras.layers.Dropout(0.5)
    state = np.array(layer.seed_generator.state)
    outputs = []
    for _ in range(2):
        layer.seed_generator.state.assign(state)
        before_each()
        outputs.append(np.array(layer(np.ones((1, 100), "float32"), training=True)))
    return outputs


def test_the_state_of_the_layer_does_not_decide_the_mask():
    first, second = masks(lambda: None)
    assert np.any(first != second)


def test_the_global_generator_decides_the_mask():
    import torch

    first, second = masks(lambda: torch.manual_seed(3))
    np.testing.assert_array_equal(first, second)


def test_the_generator_is_kept():
    import torch

    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    with keep_generator():
        torch.rand(7)
    assert torch.equal(torch.rand(5), expected)
