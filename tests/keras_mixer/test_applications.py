"""What users of keras.applications and of KerasHub's backbones expect of a model."""

import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_mixer
from keras_mixer.layers.initialization import skip_initialization
from tests.support.models import SMALL_IMAGE, random_pixels, randomize, small_mixer


@pytest.mark.parametrize("name, width", [("MixerS32", 512), ("MixerB32", 768)])
@skip_initialization()
def test_bodies_of_the_variants(name, width):
    build = getattr(keras_mixer, name)
    for channels in (1, 4):
        shape = (64, 32, channels)
        body = build(
            weights=None, input_shape=shape, include_top=False, include_preprocessing=channels < 4
        )
        assert body.output_shape == (None, 2, width)
    for pooling in ("avg", "max"):
        body = build(weights=None, include_top=False, pooling=pooling, input_shape=(32, 32, 3))
        assert body.output_shape == (None, width)
    images = keras.layers.Conv2D(3, 2, strides=2)(keras.Input((64, 64, 4), name="custom_input"))
    body = build(weights=None, include_top=False, input_tensor=images)
    assert (body.input_shape, body.output_shape) == ((None, 64, 64, 4), (None, 1, width))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_the_activation_of_the_head(activation):
    head = small_mixer(classifier_activation=activation).layers[-1]
    assert head.activation is keras.activations.get(activation)


def test_weights_from_a_file(tmp_path):
    model = small_mixer()
    randomize(model)
    model.save_weights(tmp_path / "all.weights.h5")
    pixels = random_pixels((2, *SMALL_IMAGE))
    same = small_mixer(weights=tmp_path / "all.weights.h5", classes=None)
    np.testing.assert_array_equal(same.predict(pixels, verbose=0), model.predict(pixels, verbose=0))
    assert small_mixer(weights=tmp_path / "all.weights.h5", classes=7).output_shape == (None, 7)


@keras.saving.register_keras_serializable("tests")
class SmallBackbone(keras.Model):
    """A backbone of six lines around a Mixer without its head."""

    def __init__(self, image_shape=SMALL_IMAGE, dtype=None, **kwargs):
        body = small_mixer(input_shape=image_shape, include_top=False, dtype=dtype)
        super().__init__(inputs=body.input, outputs=body.output, dtype=dtype, **kwargs)
        self.image_shape = image_shape

    def get_config(self):
        return {"image_shape": self.image_shape, "name": self.name}


class TestBackbone:
    pixels = random_pixels((2, *SMALL_IMAGE))

    def test_configuration(self):
        backbone = SmallBackbone(name="small")
        serialized = json.loads(json.dumps(keras.saving.serialize_keras_object(backbone)))
        twin = keras.saving.deserialize_keras_object(serialized)
        assert isinstance(twin, SmallBackbone)
        assert json.dumps(twin.get_config()) == json.dumps(backbone.get_config())
        assert [v.path for v in twin.weights] == [v.path for v in backbone.weights]

    @pytest.mark.parametrize("lora", [False, True])
    def test_saving(self, lora, tmp_path):
        backbone = SmallBackbone()
        randomize(backbone)
        if lora:
            backbone.get_layer("MixerBlock_0").channel_mixing.dense_0.enable_lora(2)
        expected = backbone.predict(self.pixels, verbose=0)
        backbone.save(tmp_path / "backbone.keras")
        loaded = keras.saving.load_model(tmp_path / "backbone.keras")
        assert isinstance(loaded, SmallBackbone)
        np.testing.assert_allclose(loaded.predict(self.pixels, verbose=0), expected, atol=1e-6)

    @pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
    def test_precision(self, policy):
        backbone = SmallBackbone(dtype=policy)
        policy = keras.dtype_policies.get(policy)
        output = backbone(self.pixels)
        assert tuple(output.shape) == (2, 6, 16)
        assert ops.dtype(output) == policy.compute_dtype
        assert {v.dtype for v in backbone.weights} == {policy.variable_dtype}

    def test_intermediate_features(self):
        backbone = SmallBackbone()
        names = ["MixerBlock_0", "MixerBlock_1"]
        outputs = {name: backbone.get_layer(name).output for name in names}
        features = keras.Model(backbone.input, outputs)(self.pixels)
        assert {name: tuple(x.shape) for name, x in features.items()} == dict.fromkeys(
            names, (2, 6, 16)
        )
