"""Quantization by Keras: every mode, with and without calibration."""

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy as to_numpy

from tests.support.models import random_pixels, randomize, small_mixer
from training.errors import UserError
from training.export.quantization_keras import dense_layers, quantize_keras

IMAGES = random_pixels((16, 8, 12, 3))
LARGEST_ERRORS = {  # root mean square over that of the logits
    "int8": 0.02,
    "int8-weights": 0.02,
    "int4": 0.2,
    "float8": 0.1,
    "gptq": 0.25,
    "awq": 0.25,
}


def mixer():
    model = small_mixer(num_blocks=1)
    randomize(model)
    return model


def logits(model, images=IMAGES):
    return model.predict(images.astype("float32"), verbose=0)


def error(model, expected):
    return np.sqrt(np.mean((logits(model) - expected) ** 2) / np.mean(expected**2))


# GPTQ takes minutes on JAX, which compiles hundreds of small operations.
SLOW = [pytest.mark.slow] if keras.backend.backend() == "jax" else []


@pytest.mark.long
@pytest.mark.parametrize(
    "mode", [pytest.param(mode, marks=SLOW * (mode == "gptq")) for mode in LARGEST_ERRORS]
)
def test_a_quantized_mixer_computes_almost_the_same(mode, tmp_path):
    model = mixer()
    expected = logits(model)
    quantize_keras(model, mode, IMAGES)
    found = error(model, expected)
    assert 0 < found <= LARGEST_ERRORS[mode]
    assert {layer.quantization_mode for layer in dense_layers(model)} == {mode.split("-")[0]}

    model.save(tmp_path / "quantized.keras")
    loaded = keras.saving.load_model(tmp_path / "quantized.keras")
    np.testing.assert_allclose(logits(loaded), logits(model), atol=1e-6)


@pytest.mark.long
@pytest.mark.backend("torch")  # the fastest
@pytest.mark.parametrize("mode", ["gptq", "awq"])
def test_calibration_depends_on_the_images(mode):
    """With the defect that `calibration_through_call` works around, it would not."""
    kernels = []
    for images in (IMAGES, IMAGES // 16):
        model = mixer()
        quantize_keras(model, mode, images)
        kernels.append([to_numpy(layer.quantized_kernel) for layer in dense_layers(model)])
    assert any((one != other).any() for one, other in zip(*kernels, strict=True))


@pytest.mark.long
@pytest.mark.backend("torch")
def test_calibration_leaves_nothing_in_the_layers():
    model = mixer()
    quantize_keras(model, "gptq", IMAGES)
    for layer in dense_layers(model):
        assert "quantized_call" not in vars(layer)
        config = layer.quantization_config
        assert config.dataset is config.tokenizer is config.quantization_layer_structure is None


@pytest.mark.long
@pytest.mark.backend("torch")
def test_batches_of_images_are_one_array():
    one, other = mixer(), mixer()
    quantize_keras(one, "awq", IMAGES)
    quantize_keras(other, "awq", [(IMAGES[:10], "labels"), (IMAGES[10:], "labels")])
    np.testing.assert_array_equal(logits(one), logits(other))


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_float8_uses_its_range():
    scaled, plain = mixer(), mixer()
    expected = logits(scaled)
    quantize_keras(scaled, "float8", IMAGES)
    plain.quantize("float8")
    assert error(scaled, expected) < error(plain, expected)


class TestErrors:
    def test_unknown_mode(self):
        with pytest.raises(UserError, match="one of int8, .*awq. Received: int2. Pass int8"):
            quantize_keras(mixer(), "int2")

    def test_quantized_model(self):
        model = mixer()
        quantize_keras(model, "int8")
        with pytest.raises(UserError, match="Received: a model in mode int8. Pass the model as"):
            quantize_keras(model, "int4")

    @pytest.mark.parametrize("mode", ["gptq", "awq"])
    def test_no_images(self, mode):
        with pytest.raises(UserError, match="at least 16 images. Received: 0. Pass more"):
            quantize_keras(mixer(), mode)

    def test_too_few_images(self):
        with pytest.raises(UserError, match="at least 16 images. Received: 15. Pass more"):
            quantize_keras(mixer(), "gptq", IMAGES[:15])

    def test_images_of_another_size(self):
        with pytest.raises(UserError, match=r"\(8, 12, 3\). Received: \(8, 8, 3\). Prepare"):
            quantize_keras(mixer(), "gptq", IMAGES[:, :, :8])

    def test_a_model_without_blocks(self):
        model = keras.Sequential([keras.Input((8, 12, 3)), keras.layers.Flatten()])
        model.add(keras.layers.Dense(2))
        with pytest.raises(UserError, match="without MixerBlock layers.*Pass int8 or int4"):
            quantize_keras(model, "gptq", IMAGES)
