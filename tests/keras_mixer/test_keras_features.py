"""Features of Keras that a Mixer supports as any model does."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_mixer
from tests.support.models import random_pixels, randomize, small_mixer

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")


def mixer():
    model = small_mixer()
    randomize(model)
    return model


@pytest.fixture
def pixels():
    return random_pixels((4, 8, 12, 3))


def fit_one_step(model, pixels):
    model.compile(
        keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model.train_on_batch(pixels, np.array([0, 1, 2, 3]))


def test_lora(pixels, tmp_path):
    model = mixer()
    before = model.predict(pixels, verbose=0)
    dense_layers = [x for x in model._flatten_layers() if isinstance(x, keras.layers.Dense)]
    assert len(dense_layers) == 2 * 4 + 1
    frozen = {layer.path: ops.convert_to_numpy(layer.kernel).copy() for layer in dense_layers}
    for layer in dense_layers:
        layer.enable_lora(2)
    np.testing.assert_allclose(model.predict(pixels, verbose=0), before, atol=1e-6)
    fit_one_step(model, pixels)
    for layer in dense_layers:
        np.testing.assert_array_equal(ops.convert_to_numpy(layer._kernel), frozen[layer.path])
    tuned = model.predict(pixels, verbose=0)
    assert not np.allclose(tuned, before)
    model.save(tmp_path / "lora.keras")
    loaded = keras.saving.load_model(tmp_path / "lora.keras")
    np.testing.assert_allclose(loaded.predict(pixels, verbose=0), tuned, atol=1e-5)


@pytest.mark.long
def test_int8_quantization(pixels, tmp_path):
    model = mixer()
    before = model.predict(pixels, verbose=0)
    model.quantize("int8")
    quantized = model.predict(pixels, verbose=0)
    assert ops.dtype(model.get_layer("MixerBlock_0").token_mixing.dense_0._kernel) == "int8"
    np.testing.assert_allclose(quantized, before, atol=0.05 * np.abs(before).max())
    assert not np.array_equal(quantized, before)
    for _ in range(2):  # a loaded model can be saved and loaded again
        model.save(tmp_path / "int8.keras")
        model = keras.saving.load_model(tmp_path / "int8.keras")
        np.testing.assert_allclose(model.predict(pixels, verbose=0), quantized, atol=1e-5)


@pytest.mark.parametrize(
    "layer", [keras_mixer.MixerBlock(4, 8), keras_mixer.MlpBlock(4, name="any_name")]
)
@pytest.mark.parametrize("sequential", [True, False])
@pytest.mark.long
def test_int8_quantization_of_a_single_layer(layer, sequential, tmp_path):
    layer = type(layer).from_config(layer.get_config())
    tokens = np.random.default_rng(0).standard_normal((2, 6, 5)).astype("float32")
    if sequential:
        model = keras.Sequential([keras.Input((6, 5)), layer, keras.layers.Dense(3)])
    else:
        inputs = keras.Input((6, 5))
        model = keras.Model(inputs, keras.layers.Dense(3)(layer(inputs)))
    model.quantize("int8")
    expected = model.predict(tokens, verbose=0)
    model.save(tmp_path / "int8.keras")
    loaded = keras.saving.load_model(tmp_path / "int8.keras")
    np.testing.assert_allclose(loaded.predict(tokens, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("mode", ["list_of_layers", "activations", "full"])
def test_rematerialization(mode, pixels, monkeypatch):
    if mode == "full" and BACKEND == "tensorflow":
        pytest.skip("Keras's mode 'full' fails on TensorFlow; 'list_of_layers' works")
    names = ["MixerBlock_0", "MixerBlock_1"] if mode == "list_of_layers" else None
    plain = mixer()
    with keras.RematScope(mode=mode, layer_names=names):
        saving = mixer()
    wrapped = []  # not the functions: JAX would reuse the trace of one that is kept alive
    remat = keras.src.backend.common.remat.remat
    monkeypatch.setattr(
        keras.src.backend.common.remat, "remat", lambda f: wrapped.append(1) or remat(f)
    )
    losses = [fit_one_step(model, pixels) for model in (plain, saving)]
    assert wrapped  # rematerialization took place
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for one, other in zip(plain.get_weights(), saving.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_export(pixels, tmp_path):
    model = mixer()
    expected = model.predict(pixels, verbose=0)
    if BACKEND == "torch":
        import torch

        path = str(tmp_path / "model.pt2")
        model.export(
            path,
            format="torch",
            verbose=False,
            dynamic_shapes={0: torch.export.Dim("batch")},
        )
        exported = torch.export.load(path).module()
        outputs = exported(torch.from_numpy(pixels.astype("float32"))).detach().numpy()
    else:
        path = str(tmp_path / "model")
        model.export(path, format="tf_saved_model", verbose=False)
        import tensorflow as tf

        exported = tf.saved_model.load(path)
        outputs = exported.serve(pixels.astype("float32")).numpy()
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_freezing(pixels):
    """Freezing by name, as in transfer learning."""
    model = mixer()
    for layer in model.layers:
        layer.trainable = layer.name == "head"
    before = model.get_layer("stem").get_weights()[0]
    fit_one_step(model, pixels)
    np.testing.assert_array_equal(model.get_layer("stem").get_weights()[0], before)
    assert len(model.trainable_variables) == 2


def ensemble(*members):
    """Return a model of one input that averages its members."""
    images = keras.Input((8, 12, 3))
    return keras.Model(images, keras.layers.Average()([member(images) for member in members]))


def pair(left, right):
    """Return a model of two inputs that averages its members."""
    inputs = [keras.Input((8, 12, 3), name="left"), keras.Input((8, 12, 3), name="right")]
    return keras.Model(inputs, keras.layers.Average()([left(inputs[0]), right(inputs[1])]))


@pytest.mark.parametrize("combine", [ensemble, pair])
def test_two_mixers_in_one_model(combine, pixels, tmp_path):
    members = [small_mixer(name=name, num_blocks=n) for name, n in (("a", 1), ("b", 2))]
    for seed, member in enumerate(members):
        randomize(member, seed)
    model = combine(*members)
    batch = pixels if combine is ensemble else [pixels, pixels]
    expected = np.mean([member.predict(pixels, verbose=0) for member in members], axis=0)
    np.testing.assert_allclose(model.predict(batch, verbose=0), expected, atol=1e-6)
    fit_one_step(model, batch)
    tuned = model.predict(batch, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(batch, verbose=0), tuned, atol=1e-6)
    assert len(loaded.get_layer("b").get_layer("MixerBlock_1").weights) == 12
    clone = keras.models.clone_model(loaded)
    assert [v.path for v in clone.weights] == [v.path for v in model.weights]


def test_two_mixers_taken_apart_have_layers_of_the_same_names():
    """The guide `two_mixers.md` says so."""
    images = keras.Input((8, 12, 3))
    for input_tensor in (None, images):
        a, b = (small_mixer(name=name, input_tensor=input_tensor) for name in "ab")
        inputs = [a.input, b.input] if input_tensor is None else images
        with pytest.raises(ValueError, match=r"The name \"\w+\" is used 2 times"):
            keras.Model(inputs, keras.layers.Average()([a.output, b.output]))
    same = [small_mixer(), small_mixer()]
    with pytest.raises(ValueError, match='The name "mlp_mixer" is used 2 times'):
        ensemble(*same)
