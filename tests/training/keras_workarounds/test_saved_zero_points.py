"""Zero points are not saved. If the test of Keras fails, the workaround can go."""

import keras
import numpy as np
import pytest

from training.keras_workarounds.saved_zero_points import save_zero_points

pytestmark = [
    pytest.mark.backend("torch"),
    pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize` method"),
]


@pytest.fixture
def model():
    dense = keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((2,)), dense])
    structure = {"pre_block_layers": [lambda i: keras.ops.ones((1, 2))]}
    structure["sequential_blocks"] = [dense]
    config = keras.quantizers.AWQConfig(
        *([np.arange(4)], str),
        num_samples=4,
        sequence_length=1,
        quantization_layer_structure=structure,
    )
    model.quantize("awq", config=config)
    config.dataset = config.tokenizer = config.quantization_layer_structure = None
    return model


def test_keras_cannot_load_what_it_saved(model, tmp_path):
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="expected 6 variables, but received 5"):
        keras.saving.load_model(tmp_path / "model.keras")


def test_zero_points_are_saved(model, tmp_path):
    save_zero_points(model.layers)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).standard_normal((5, 2)).astype("float32")
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
