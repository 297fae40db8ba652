"""Maps of the patches that a class score depends on."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mixer import explain, kernels
from keras_mixer.explain import maps
from keras_mixer.explain.score_model import ScoreModel
from keras_mixer.kernels import reference as reference_kernels
from tests.support import planted_cause
from tests.support.models import SMALL_IMAGE, random_pixels, randomize, small_mixer
from tests.support.reference import LARGEST_ERROR, gelu, layer_norm, mixer, relative_error

GRID = (2, 3)  # of the patches of SMALL_IMAGE
CLASSES = 5
LAYERS = ["stem", "tokens", "MixerBlock_0", "MixerBlock_1", "pre_head_layer_norm"]
PIXELS = random_pixels((3, *SMALL_IMAGE))


def integrated_gradients(*arguments, steps=2, **options):
    """Call the method with few steps."""
    return explain.integrated_gradients(*arguments, steps=steps, **options)


METHODS = [explain.grad_cam, integrated_gradients, explain.occlusion]


def random_mixer(**changes):
    """Return a small Mixer and its arrays; biases and norms are random, too."""
    model = small_mixer(**changes)
    return model, randomize(model)


def network(arrays, layer, pixels=None, tokens=None):
    """Return the tokens of a layer, and logits, in float64; from the tokens if they are given."""
    w = {name: array.astype("float64") for name, array in arrays.items()}

    def norm(x, name):
        return layer_norm(x, w[f"{name}/scale"], w[f"{name}/bias"])

    def mlp(x, name):
        hidden = gelu(x @ w[f"{name}/Dense_0/kernel"] + w[f"{name}/Dense_0/bias"], True)
        return hidden @ w[f"{name}/Dense_1/kernel"] + w[f"{name}/Dense_1/bias"]

    def stem(_):
        patches = (pixels / 127.5 - 1).reshape(-1, GRID[0], 4, GRID[1], 4, 3).swapaxes(2, 3)
        return patches.reshape(-1, 6, 48) @ w["stem/kernel"].reshape(48, -1) + w["stem/bias"]

    def block(x, name):
        y = norm(x, f"{name}/LayerNorm_0").swapaxes(1, 2)
        x = x + mlp(y, f"{name}/token_mixing").swapaxes(1, 2)
        return x + mlp(norm(x, f"{name}/LayerNorm_1"), f"{name}/channel_mixing")

    steps = {
        "stem": stem,
        "MixerBlock_0": lambda x: block(x, "MixerBlock_0"),
        "MixerBlock_1": lambda x: block(x, "MixerBlock_1"),
        "pre_head_layer_norm": lambda x: norm(x, "pre_head_layer_norm"),
    }
    layer = "stem" if layer == "tokens" else layer
    names = list(steps)
    x = tokens
    for name in names[names.index(layer) + 1 if tokens is not None else 0 :]:
        x = steps[name](x)
        tokens = x if name == layer else tokens
    return tokens, x.mean(axis=1) @ w["head/kernel"] + w["head/bias"]


def derivative(arrays, layer, tokens, direction, classes):
    """Return the derivatives of the logits of classes along a direction of the tokens."""
    step = 1e-4

    def logits(size):
        return network(arrays, layer, tokens=tokens + size * direction)[1]

    differences = [(logits(h) - logits(-h)) / (2 * h) for h in (step, 2 * step)]
    return ((4 * differences[0] - differences[1]) / 3)[np.arange(len(classes)), classes]


def test_the_network_of_this_test_is_the_reference():
    _, arrays = random_mixer()
    expected = mixer(arrays, PIXELS)
    for layer in LAYERS:
        tokens, logits = network(arrays, layer, PIXELS)
        assert relative_error(logits, expected) < 1e-12
        assert relative_error(network(arrays, layer, tokens=tokens)[1], expected) < 1e-12


@pytest.mark.parametrize("layer", LAYERS)
def test_grad_cam_matches_finite_differences_in_float64(layer):
    """The mean gradient is the derivative if all tokens are shifted in one channel, by 1/S."""
    model, arrays = random_mixer()
    classes = np.array([4, 0, 2])
    found = explain.grad_cam(model, PIXELS, classes, layer)
    assert (found.shape, found.dtype) == ((3, *GRID), np.float32)
    tokens, _ = network(arrays, layer, PIXELS)
    weights = np.stack(
        [derivative(arrays, layer, tokens, one / 6, classes) for one in np.eye(tokens.shape[-1])],
        axis=-1,
    )  # (batch, channels)
    expected = (tokens * weights[:, None]).sum(axis=-1)
    assert relative_error(found, expected.reshape(found.shape)) < 10 * LARGEST_ERROR


@pytest.mark.parametrize("fill", [None, 20])
@pytest.mark.parametrize("steps", [1, 5])
def test_integrated_gradients_match_finite_differences_in_float64(steps, fill):
    model, arrays = random_mixer()
    classes = np.array([4, 0, 2])
    pixels = PIXELS.astype("float32")
    found = explain.integrated_gradients(model, pixels, classes, fill, steps)
    assert (found.shape, found.dtype) == ((3, *GRID), np.float32)
    color = pixels.mean(axis=(1, 2, 3), keepdims=True) if fill is None else fill
    end, _ = network(arrays, "stem", pixels)
    start, _ = network(arrays, "stem", np.broadcast_to(color, pixels.shape))
    expected = np.zeros((3, 6))
    for patch in range(6):
        direction = (end - start) * np.eye(6)[patch][:, None]
        for step in range(steps):
            tokens = start + (step + 0.5) / steps * (end - start)
            expected[:, patch] += derivative(arrays, "stem", tokens, direction, classes) / steps
    assert relative_error(found, expected.reshape(found.shape)) < 20 * LARGEST_ERROR


def test_integrated_gradients_sum_to_the_difference_of_the_logits():
    model, arrays = random_mixer(classifier_activation="softmax")
    flat = np.broadcast_to(np.rint(PIXELS.mean(axis=(1, 2, 3), keepdims=True)), PIXELS.shape)
    difference = (mixer(arrays, PIXELS) - mixer(arrays, flat))[:, 3]
    errors = [
        relative_error(
            explain.integrated_gradients(model, PIXELS, 3, steps=n).sum((1, 2)), difference
        )
        for n in (2, 64)
    ]
    assert errors[1] < 0.02 and errors[1] < errors[0] / 10


@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid"])
def test_grad_cam_of_the_last_tokens_is_a_sum(activation):
    """bias + sum of the map = logit, for every class."""
    model, arrays = random_mixer(classifier_activation=activation)
    logits = mixer(arrays, PIXELS)
    for label in range(CLASSES):
        sums = explain.grad_cam(model, PIXELS, label).sum(axis=(1, 2)) + arrays["head/bias"][label]
        np.testing.assert_allclose(sums, logits[:, label], atol=4e-6 * np.abs(logits).max())


def with_body(*layers):
    """Return a model around the body of a Mixer, and the Mixer with the same weights."""
    whole, arrays = random_mixer()
    body = small_mixer(include_top=False, pooling="avg")
    body.set_weights(whole.get_weights()[:-2])
    head = keras.layers.Dense(CLASSES, name="mine")
    model = keras.Sequential([keras.Input(SMALL_IMAGE), *layers, body, head])
    head.set_weights([arrays["head/kernel"], arrays["head/bias"]])
    return model, whole


def functional_around(activation):
    model, whole = with_body(keras.layers.RandomFlip(), keras.layers.Dropout(0.5))
    images = keras.Input(SMALL_IMAGE, dtype="uint8")
    scores = keras.layers.Activation(activation)(model(images))
    return keras.Model(images, scores), whole


def head_on_output():
    whole, arrays = random_mixer()
    body = small_mixer(include_top=False)
    body.set_weights(whole.get_weights()[:-2])
    head = keras.layers.Dense(CLASSES, "sigmoid", name="mine")
    x = keras.layers.GlobalAveragePooling1D("channels_last")(body.output)
    model = keras.Model(body.input, head(x))
    head.set_weights([arrays["head/kernel"], arrays["head/bias"]])
    return model, whole


def with_shortcut():
    """The Mixer is one of two paths: what the other one adds is not of its tokens."""
    whole, _ = random_mixer()
    images = keras.Input(SMALL_IMAGE)
    other = keras.layers.Dense(CLASSES, use_bias=False)(keras.layers.Flatten()(images))
    zeros = keras.layers.Rescaling(0.0)(other)
    return keras.Model(images, keras.layers.Add()([whole(images), zeros])), whole


AROUND = {
    "Sequential": with_body,
    "augmentation, dropout and softmax": lambda: functional_around("softmax"),
    "a head on the output": head_on_output,
    "another path": with_shortcut,
}


@pytest.mark.parametrize("around", AROUND)
def test_models_around_a_mixer_have_its_maps(around):
    model, whole = AROUND[around]()
    before = model.predict(PIXELS, verbose=0)
    for layer in LAYERS:
        expected = explain.grad_cam(whole, PIXELS, layer=layer)
        found = explain.grad_cam(model, PIXELS, layer=layer)
        assert relative_error(found, expected) < 10 * LARGEST_ERROR
    for method in (integrated_gradients, explain.occlusion):
        assert relative_error(method(model, PIXELS), method(whole, PIXELS)) < 10 * LARGEST_ERROR
    np.testing.assert_array_equal(model.predict(PIXELS, verbose=0), before)  # it did not change


@pytest.mark.parametrize("last", [keras.layers.Softmax(), keras.layers.Activation("sigmoid"), None])
def test_scores_are_those_before_the_last_activation(last):
    model, whole = with_body()
    if last is None:
        model = keras.Model(model.inputs, ops.softmax(model.outputs[0]))
    else:
        model = keras.Sequential([keras.Input(SMALL_IMAGE), model, last])
    logits = whole.predict(PIXELS, verbose=0)
    scores = ScoreModel(model).predict_on_batch(PIXELS)
    assert relative_error(ops.convert_to_numpy(scores), logits) < LARGEST_ERROR
    assert model.predict(PIXELS, verbose=0).max() <= 1


@pytest.mark.parametrize("fill", [None, 7, (200, 100, 0)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_occlusion_is_that_of_a_loop(fill, dtype):
    model, arrays = random_mixer(classifier_activation="softmax")
    pixels = PIXELS.astype(dtype)
    logits = mixer(arrays, pixels)
    classes = logits.argmax(axis=1)
    expected = np.empty((3, *GRID))
    for i, image in enumerate(pixels):
        color = image.mean() if fill is None else fill
        for row, column in np.ndindex(GRID):
            changed = image.astype("float64")
            changed[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = color
            changed = np.rint(changed) if dtype == "uint8" else changed
            without = mixer(arrays, changed[None])[0, classes[i]]
            expected[i, row, column] = logits[i, classes[i]] - without
    for batch_size in (1, 4, 100):
        found = explain.occlusion(model, pixels, fill=fill, batch_size=batch_size)
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() < 4 * LARGEST_ERROR * np.abs(logits).max()


def test_occlusion_computes_batches_of_one_size(monkeypatch):
    model, _ = random_mixer()
    sizes, predict = [], type(model).predict_on_batch
    monkeypatch.setattr(
        type(model), "predict_on_batch", lambda self, x: sizes.append(len(x)) or predict(self, x)
    )
    explain.occlusion(model, PIXELS, batch_size=4)
    assert sizes == [4] * 6  # 3 images, each with and without 6 patches: 21, and padding
    sizes.clear()
    explain.occlusion(model, PIXELS)
    assert sizes == [21]


@pytest.mark.parametrize("method", [explain.grad_cam, integrated_gradients])
def test_images_are_explained_in_batches(method, monkeypatch):
    model, _ = random_mixer()
    sizes, compute = set(), maps._gradient
    monkeypatch.setattr(
        maps,
        "_gradient",
        lambda model, images, *rest: sizes.add(len(images)) or compute(model, images, *rest),
    )
    found = method(model, PIXELS, batch_size=2)
    assert sizes == {2, 1}
    assert relative_error(found, method(model, PIXELS)) < 10 * LARGEST_ERROR


def test_the_predicted_class_is_explained_unless_others_are_given():
    model, arrays = random_mixer()
    predicted = mixer(arrays, PIXELS).argmax(axis=1)
    assert len({*predicted}) > 1
    for method in METHODS:
        maps = method(model, PIXELS)
        np.testing.assert_allclose(method(model, PIXELS, predicted), maps, rtol=1e-6)
        np.testing.assert_allclose(method(model, PIXELS, list(predicted)), maps, rtol=1e-6)
        assert np.abs(method(model, PIXELS, (predicted + 1) % CLASSES) - maps).max() > 0.01
    tensor = ops.convert_to_tensor(PIXELS)
    assert relative_error(explain.grad_cam(model, tensor), explain.grad_cam(model, PIXELS)) < 1e-6


class Subclass(keras.Model):
    def __init__(self, mixer):
        super().__init__()
        self.mixer = mixer

    def call(self, images):
        return self.mixer(images)


def test_only_occlusion_explains_a_subclass():
    mixer, _ = random_mixer()
    model = Subclass(mixer)
    expected = explain.occlusion(mixer, PIXELS)
    assert relative_error(explain.occlusion(model, PIXELS), expected) < LARGEST_ERROR
    for method in (explain.grad_cam, explain.integrated_gradients):
        with pytest.raises(ValueError, match="must be a Sequential or functional model.*Subclass"):
            method(model, PIXELS)
    with pytest.raises(ValueError, match="`class_index` must be .* from 0 to 4"):
        explain.occlusion(model, PIXELS, 5)


def test_images_of_another_size_than_the_mixer():
    """A patch is the same fraction of the image that the model resizes."""
    mixer, _ = random_mixer()
    height, width, _ = SMALL_IMAGE
    model = keras.Sequential(
        [
            keras.Input((height * 2, width * 2, 3)),
            keras.layers.Resizing(height, width, "nearest", data_format="channels_last"),
            mixer,
        ]
    )
    doubled = PIXELS.repeat(2, axis=1).repeat(2, axis=2)
    for method in METHODS:
        assert relative_error(method(model, doubled), method(mixer, PIXELS)) < 10 * LARGEST_ERROR


def test_a_quantized_model_has_gradients():
    model, _ = random_mixer()
    expected = [method(model, PIXELS, 2) for method in METHODS]
    model.quantize("int8")
    for method, before in zip(METHODS, expected, strict=True):
        assert 0 < relative_error(method(model, PIXELS, 2), before) < 0.3


def test_half_precision_has_nearly_the_same_maps():
    model, _ = random_mixer()
    half = small_mixer(dtype="mixed_bfloat16")
    half.set_weights(model.get_weights())
    for layer in LAYERS:
        expected = explain.grad_cam(model, PIXELS, 2, layer)
        maps = explain.grad_cam(half, PIXELS, 2, layer)
        assert maps.dtype == np.float32
        assert relative_error(maps, expected) < 0.1


def test_the_layers_with_a_token_for_each_patch():
    model, _ = with_body()
    assert explain.token_layers(model) == LAYERS
    outside = keras.Sequential([keras.Input(SMALL_IMAGE), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="one Mixer of keras_mixer. Received: a Sequential"):
        explain.token_layers(outside)


def two_mixers():
    images = keras.Input(SMALL_IMAGE)
    outputs = [small_mixer(name=name)(images) for name in ("one", "other")]
    return keras.Model(images, keras.layers.Add()(outputs))


INVALID = {
    "no model": ({"model": "MixerB16"}, "`model` must be a Keras model .* a str without one"),
    "two Mixers": ({"model": two_mixers}, "Received: 2 Mixers: one, other"),
    "tokens as outputs": (
        {"model": lambda: small_mixer(include_top=False)},
        r"`model` must return one score for each class.*\(None, 6, 16\)",
    ),
    "one image": ({"images": PIXELS[0]}, r"Received: images of shape \(8, 12, 3\).*images\[None\]"),
    "no image": ({"images": PIXELS[:0]}, "at least one"),
    "another size": ({"images": PIXELS[:, :4]}, r"the model takes, \(8, 12, 3\).*prepare_image"),
    "text": ({"images": PIXELS.astype(str)}, "Received: images of dtype <U"),
    "class": ({"class_index": 5}, "from 0 to 4, or one for each of the 3 images. Received: .*=5"),
    "negative class": ({"class_index": -1}, "`class_index` must be"),
    "fraction": ({"class_index": 1.0}, "`class_index` must be"),
    "two classes": ({"class_index": [1, 2]}, "`class_index` must be"),
    "name": ({"class_index": "cat"}, "`class_index` must be"),
    "batch size": ({"batch_size": 0}, "`batch_size` must be a positive integer"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", INVALID)
def test_invalid_arguments(case, method):
    changes, message = INVALID[case]
    arguments = {"model": small_mixer, "images": PIXELS, **changes}
    if callable(arguments["model"]):
        arguments["model"] = arguments["model"]()
    with pytest.raises(ValueError, match=message):
        method(**arguments)


def test_invalid_layers_and_colors():
    model = small_mixer()
    for layer, advice in {
        "MixerBlock_2": "Did you mean 'MixerBlock_",
        "head": "Leave it out",
        "avg_pool": "Leave it out",
        3: "Leave it out",
    }.items():
        with pytest.raises(ValueError, match=f"`layer` must be a layer of .*{layer}.*{advice}"):
            explain.grad_cam(model, PIXELS, layer=layer)
    for fill in ("gray", (1, 2), np.nan, True, [[1, 2, 3]]):
        for method in (explain.integrated_gradients, explain.occlusion):
            with pytest.raises(
                ValueError, match="`fill` must be a number, or one for each of the 3"
            ):
                method(model, PIXELS, fill=fill)
    with pytest.raises(ValueError, match="`steps` must be a positive integer"):
        explain.integrated_gradients(model, PIXELS, steps=0)


@pytest.mark.long
@pytest.mark.backend("torch")  # the maps are the same on each, as the tests above verify
@pytest.mark.parametrize("kind", planted_cause.PATTERNS)
def test_maps_find_a_planted_cause(kind):
    """The largest value is at the patch that decides the class, of 30, one of them a decoy.

    Grad-CAM fails, as its documentation says: after token mixing, evidence is anywhere.
    """
    model = planted_cause.trained_mixer(kind)
    images, classes, cause, decoy = planted_cause.planted_images(kind, 200, seed=2)
    predicted = model.predict(images, verbose=0).argmax(axis=1)
    assert np.mean(predicted == classes) > 0.98
    for found in (
        explain.integrated_gradients(model, images, batch_size=100),
        explain.occlusion(model, images, batch_size=620),
    ):
        assert planted_cause.share_found(found, cause) >= 0.95
        assert planted_cause.share_found(found, decoy) <= 0.03
    assert planted_cause.share_found(explain.grad_cam(model, images), cause) < 0.5

    # With other weights, the cause is no longer that of the score.
    randomize(model)
    for method in (explain.integrated_gradients, explain.occlusion):
        assert planted_cause.share_found(method(model, images[:100]), cause[:100]) < 0.5


def test_gradient_of_the_backend():
    x = np.array([1.0, -2.0], "float32")
    dx, other = kernels.gradient(lambda t: (ops.sum(t**3), t + 1), ops.convert_to_tensor(x))
    np.testing.assert_allclose(ops.convert_to_numpy(dx), 3 * x**2, rtol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(other), x + 1)
    with pytest.raises(NotImplementedError, match="one of the backends jax, tensorflow and torch"):
        reference_kernels.gradient(lambda t: (t, t), x)
