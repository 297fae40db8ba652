"""The backbone: the same function as in keras_mixer, and the features of KerasHub's backbones."""

import keras
import numpy as np
import pytest

from keras_mixer.keras_hub import MixerBackbone
from tests.support.keras_hub import SIZES, small_backbone
from tests.support.models import random_pixels, randomize, small_mixer
from tests.support.reference import LARGEST_ERROR, relative_error

FLAGS = {"drop_path_rate": 0.1, "dropout_rate": 0.2, "rescale_drop_path": True}


@pytest.fixture
def images():
    return random_pixels((4, 8, 12, 3)) / 127.5 - 1.0


@pytest.fixture
def channels_first():
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format(before)


def test_tokens_are_those_of_keras_mixer(images):
    model = small_mixer(include_top=False, include_preprocessing=False)
    randomize(model)
    tokens = model.predict(images, verbose=0)  # (batch, patches, hidden_dim)
    features = small_backbone().predict(images, verbose=0)
    assert features.shape == (4, 2, 3, 16)
    np.testing.assert_array_equal(features.reshape(tokens.shape), tokens)


def test_channels_first(images, channels_first):
    expected = small_backbone(data_format="channels_last").predict(images, verbose=0)
    backbone = small_backbone(image_shape=(3, 8, 12))
    assert backbone.data_format == "channels_first"
    features = backbone.predict(images.transpose(0, 3, 1, 2), verbose=0)
    np.testing.assert_allclose(features.transpose(0, 2, 3, 1), expected, atol=1e-6)
    assert MixerBackbone(16, 4, 1, 2, 8).image_shape == (3, 224, 224)


@pytest.mark.backend("torch")
def test_every_argument_is_in_the_configuration():
    backbone = small_backbone(
        **FLAGS, rematerialize=True, approximate_gelu=False, name="x", trainable=False
    )
    config = backbone.get_config()
    again = MixerBackbone.from_config(config)
    assert again.get_config() == config
    block = again.get_layer("MixerBlock_1")
    for name, value in {**FLAGS, "rematerialize": True, "approximate_gelu": False}.items():
        assert getattr(block, name) == value
    assert (again.name, again.trainable) == ("x", False)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
@pytest.mark.backend("torch")
def test_dtype_policies(policy, images):
    backbone = MixerBackbone(**SIZES, image_shape=(8, 12, 3), dtype=policy)
    assert backbone.dtype_policy.name == policy
    expected = keras.dtype_policies.get(policy)
    assert backbone.output.dtype == expected.compute_dtype
    assert {w.dtype for w in backbone.weights} == {expected.variable_dtype}
    again = MixerBackbone.from_config(backbone.get_config())
    assert again.get_layer("MixerBlock_0").dtype_policy.name == policy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 0}, "`patch_size` must be a positive integer"),
        ({"hidden_dim": 1.5}, "`hidden_dim` must be a positive integer"),
        ({"dropout_rate": 1}, "`dropout_rate` is the probability"),
        ({"approximate_gelu": None}, "`approximate_gelu` must be True or False"),
        ({"data_format": "NCHW"}, "`data_format` must be one of"),
        ({"image_shape": (None, None, 3)}, r"`image_shape` must be \(height, width, channels\)"),
        ({"image_shape": (8, 12)}, r"such as \(224, 224, 3\)"),
        ({"image_shape": (3, 8, 13)}, r"must divide `image_shape`.* Pass \(4, 8, 13\)"),
        (
            {"image_shape": (3, 9, 12), "data_format": "channels_first"},
            r"\(channels, height, width\). Received: .* Pass \(3, 8, 12\)",
        ),
    ],
)
@pytest.mark.backend("torch")
def test_invalid_arguments(changes, message):
    with pytest.raises(ValueError, match=f"MixerBackbone: .*{message}"):
        MixerBackbone(**{**SIZES, "image_shape": (8, 12, 3), **changes})


@pytest.mark.long
def test_lora(images, tmp_path):
    backbone = small_backbone()
    before = backbone.predict(images, verbose=0)
    backbone.enable_lora(2)
    np.testing.assert_allclose(backbone.predict(images, verbose=0), before, atol=1e-6)
    # Two factors and a bias in each of four dense layers of two blocks.
    assert len(backbone.trainable_variables) == 3 * 4 * 2
    frozen = keras.ops.convert_to_numpy(backbone.get_layer("stem").kernel).copy()
    backbone.compile("sgd", "mse")
    backbone.fit(images, before + 1, verbose=0)
    tuned = backbone.predict(images, verbose=0)
    assert np.abs(tuned - before).max() > 1e-3
    np.testing.assert_array_equal(backbone.get_layer("stem").get_weights()[0], frozen)

    backbone.save_lora_weights(tmp_path / "mixer.lora.h5")
    biases = [v for v in backbone.trainable_variables if v.path.endswith("bias")]
    for bias, start in zip(biases, biases_of(small_backbone()), strict=True):
        bias.assign(start)  # which KerasHub's file does not hold
    tuned = backbone.predict(images, verbose=0)
    again = small_backbone()
    again.load_lora_weights(tmp_path / "mixer.lora.h5")
    np.testing.assert_allclose(again.predict(images, verbose=0), tuned, atol=1e-6)

    backbone.save_to_preset(str(tmp_path / "preset"))  # with LoRA merged into the kernels
    merged = MixerBackbone.from_preset(str(tmp_path / "preset"))
    assert relative_error(merged.predict(images, verbose=0), tuned) <= LARGEST_ERROR


def biases_of(backbone):
    """Return the biases of the layers that LoRA trains."""
    return [v.numpy() for v in backbone.weights if "Dense_" in v.path and v.path.endswith("bias")]


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.long
@pytest.mark.backend("torch")
def test_quantization(mode, images, tmp_path):
    backbone = small_backbone()
    before = backbone.predict(images, verbose=0)
    backbone.quantize(mode)
    quantized = backbone.predict(images, verbose=0)
    assert 0 < relative_error(quantized, before) < (0.1 if mode == "int8" else 1)
    config = backbone.get_config()
    dense = backbone.get_layer("MixerBlock_0").channel_mixing.dense_0
    assert dense.dtype_policy.name.startswith(mode)  # get_config left it as it was
    assert MixerBackbone.from_config(config).get_config() == config
    backbone.save(tmp_path / "backbone.keras")
    again = keras.saving.load_model(tmp_path / "backbone.keras")
    np.testing.assert_allclose(again.predict(images, verbose=0), quantized, atol=1e-5)
