import zipfile

import keras
import numpy as np
import pytest

import keras_mixer
from tests.support import reference
from tests.support.models import SMALL_IMAGE, random_pixels, randomize, small_mixer
from training.errors import UserError
from training.keras_file import mixer_weights, open_logits, open_model

PIXELS = random_pixels((3, *SMALL_IMAGE))
CLASSES = 5


def mixer(**changes):
    model = small_mixer(**changes)
    return model, randomize(model)


def body_and_head(activation, *layers):
    """A user's own model around the body of a Mixer."""
    body, arrays = mixer(include_top=False, pooling="avg")
    model = keras.Sequential([body, keras.layers.Dense(CLASSES, activation=activation), *layers])
    head = model.layers[1]
    arrays["head/kernel"] = np.random.default_rng(1).standard_normal((16, CLASSES), "float32")
    arrays["head/bias"] = np.linspace(-1, 1, CLASSES, dtype="float32")
    head.kernel.assign(arrays["head/kernel"])
    head.bias.assign(arrays["head/bias"])
    return model, arrays


def functional(activation):
    """A head of the user's own on the output of the body."""
    body, arrays = mixer(include_top=False, pooling="avg")
    head = keras.layers.Dense(CLASSES, activation=activation, name="mine")
    model = keras.Model(body.input, head(body.output))
    arrays["head/kernel"] = np.array(keras.ops.convert_to_numpy(head.kernel))
    arrays["head/bias"] = np.zeros(CLASSES, "float32")
    return model, arrays


def with_operation():
    body, arrays = body_and_head(None)
    return keras.Model(body.inputs, keras.ops.sigmoid(body.outputs[0])), arrays


def in_sequential(model, arrays):
    return keras.Sequential([keras.Input(SMALL_IMAGE), model]), arrays


MODELS = {
    "mixer with softmax": (lambda: mixer(classifier_activation="softmax"), "softmax"),
    "mixer with sigmoid": (lambda: mixer(classifier_activation="sigmoid"), "sigmoid"),
    "mixer with logits": (lambda: mixer(classifier_activation=None), None),
    "Sequential with softmax": (lambda: body_and_head("softmax"), "softmax"),
    "Sequential with logits": (lambda: body_and_head(None), None),
    "Sequential with Softmax": (lambda: body_and_head(None, keras.layers.Softmax()), "softmax"),
    "Sequential with Activation": (
        lambda: body_and_head(None, keras.layers.Activation("sigmoid")),
        "sigmoid",
    ),
    "a Mixer in a Sequential": (
        lambda: in_sequential(*mixer(classifier_activation="softmax")),
        "softmax",
    ),
    "Softmax in a nested Sequential": (
        lambda: in_sequential(*body_and_head(None, keras.layers.Softmax())),
        "softmax",
    ),
    "a head on the output of a body": (lambda: functional("softmax"), "softmax"),
    "keras.ops.sigmoid": (with_operation, "sigmoid"),
}


def save(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


@pytest.mark.parametrize("kind", MODELS)
def test_logits_are_those_before_the_activation(tmp_path, kind):
    make, activation = MODELS[kind]
    model, arrays = make()
    expected = reference.mixer(arrays, PIXELS)
    opened, found = open_logits(save(model, tmp_path))
    logits = opened.predict(PIXELS, verbose=0)
    assert reference.relative_error(logits, expected) < reference.LARGEST_ERROR
    assert found == activation
    again = open_logits(save(opened, tmp_path))  # the activation is gone for good
    np.testing.assert_array_equal(again[0].predict(PIXELS, verbose=0), logits)
    assert again[1] is None


def refused(model, tmp_path, expected):
    path = save(model, tmp_path)
    with pytest.raises(UserError, match=f"A .keras file must map images.*{path}.*{expected}"):
        open_logits(path)


@pytest.mark.backend("torch")
def test_models_that_are_not_classifiers_are_refused(tmp_path):
    refused(mixer(include_top=False)[0], tmp_path, r"outputs of shape \(None, 6, 16\). Add a head")
    refused(mixer(classifier_activation="tanh")[0], tmp_path, "tanh at the end. End it with soft")
    any_size = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(any_size)
    refused(keras.Model(any_size, pooled), tmp_path, "images of any size.*Fix it with keras.Input")
    huge = keras.layers.GlobalAveragePooling2D()(keras.Input((10**6, 10**6, 3), name="huge"))
    refused(keras.Model(huge._keras_history.operation.input, huge), tmp_path, "images of 1000000 ×")
    vector = keras.Input((4,))
    refused(
        keras.Model(vector, keras.layers.Dense(2)(vector)), tmp_path, r"inputs of shape \(None, 4\)"
    )
    image = keras.Input((4, 4, 1))
    flat = keras.layers.Flatten()(image)
    refused(keras.Model(image, [flat, flat]), tmp_path, "2 outputs")
    refused(keras.Model([image, vector], flat), tmp_path, "inputs of shape")


@pytest.mark.backend("torch")
def test_code_in_a_file_is_never_executed(tmp_path):
    image = keras.Input((4, 4, 1))
    flat = keras.layers.Flatten()(image)
    model = keras.Model(image, keras.layers.Lambda(lambda x: x[:, :2], output_shape=(2,))(flat))
    path = save(model, tmp_path)
    with pytest.raises(
        UserError, match="model.keras must consist of .*keras.layers.Lambda in .*--trust-model"
    ):
        open_logits(path)
    trusted, _ = open_logits(path, trusted=True)
    assert trusted.output_shape == (None, 2)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("damage", ["truncated", "corrupt", "text"])
def test_a_corrupt_file_is_named(tmp_path, damage):
    path = save(mixer()[0], tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(
        {"truncated": content[:1000], "corrupt": content, "text": b"not a model"}[damage]
    )
    with pytest.raises(UserError, match=f"model.keras must be .* Received: {path}: .*. Do this"):
        open_logits(path, "Do this.")


def same_body(path, arrays, **changes):
    """Whether the library reads the body from `path`."""
    model = small_mixer(weights=path, include_top=False, pooling="avg", **changes)
    expected = reference.mixer_features(arrays, PIXELS, changes.get("approximate_gelu", True))
    features = model.predict(PIXELS, verbose=0)
    return reference.relative_error(features, expected) < reference.LARGEST_ERROR


@pytest.mark.backend("torch")
@pytest.mark.parametrize("kind", MODELS)
def test_the_library_reads_the_mixer_inside(tmp_path, kind):
    model, arrays = MODELS[kind][0]()
    path = save(model, tmp_path)
    with mixer_weights(path) as weights:
        assert same_body(weights, arrays)
        assert (weights == path) == kind.startswith("mixer with")
    assert path.exists()


@pytest.mark.backend("torch")
def test_the_numerics_of_the_mixer_inside_are_kept(tmp_path):
    body, arrays = mixer(include_top=False, pooling="avg", approximate_gelu=False)
    path = save(keras.Sequential([body, keras.layers.Dense(2)]), tmp_path)
    with mixer_weights(path) as weights:
        model = small_mixer(weights=weights, include_top=False, pooling="avg")
    assert model.get_layer("MixerBlock_0").approximate_gelu is False
    expected = reference.mixer_features(arrays, PIXELS, approximate_gelu=False)
    features = model.predict(PIXELS, verbose=0)
    assert reference.relative_error(features, expected) < reference.LARGEST_ERROR


@pytest.mark.backend("torch")
def test_a_model_without_a_mixer_has_no_weights_for_one(tmp_path):
    image = keras.Input((4, 4, 1))
    path = save(keras.Model(image, keras.layers.Flatten()(image)), tmp_path)
    with pytest.raises(UserError, match="--weights must be a .keras file with a Mixer.*keras_mix"):
        with mixer_weights(path):
            pass


@pytest.mark.backend("torch")
def test_what_the_library_says_of_a_file_that_is_not_keras_is_left_to_it(tmp_path):
    for name in ("model.weights.h5", "text.keras"):
        (tmp_path / name).write_text("no archive")
        with mixer_weights(tmp_path / name) as weights:
            assert weights == tmp_path / name
            with pytest.raises(ValueError, match="is of no known format|cannot be read"):
                keras_mixer.MixerB16(weights=weights)
    with zipfile.ZipFile(tmp_path / "arrays.keras", "w") as archive:
        archive.writestr("config.json", "[]")
    with mixer_weights(tmp_path / "arrays.keras") as weights:
        assert weights == tmp_path / "arrays.keras"


def with_lora(model):
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dense):
            layer.enable_lora(2)
    return model


def quantized(model, *arguments, **options):
    model.quantize(*arguments, **options)
    return model


def with_dtype_map(**changes):
    policies = keras.dtype_policies.DTypePolicyMap("float32")
    policies["MixerBlock_0"] = keras.dtype_policies.DTypePolicy("mixed_bfloat16")
    return small_mixer(dtype=policies, **changes)


WEIGHT_ONLY = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
VARIATIONS = {
    "LoRA": lambda: with_lora(small_mixer()),
    "int8": lambda: quantized(small_mixer(), "int8"),
    "weight-only int8": lambda: quantized(small_mixer(), config=WEIGHT_ONLY),
    "int4": lambda: quantized(small_mixer(), "int4"),
    "float8": lambda: quantized(small_mixer(), "float8"),
    "mixed precision": lambda: small_mixer(dtype="mixed_bfloat16"),
    "dtype map": with_dtype_map,
    "dropout": lambda: small_mixer(dropout_rate=0.1, drop_path_rate=0.1, rematerialize=True),
    "compiled": lambda: compiled(small_mixer()),
}


def torch_only(kind):
    return pytest.param(kind, marks=pytest.mark.backend("torch"))


def compiled(model):
    model.compile("adam", "mse", metrics=["accuracy"])
    return model


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.parametrize(
    "kind",  # one on every backend, since each initializes the variables in its own way
    [kind if kind == "int8" else torch_only(kind) for kind in VARIATIONS],
)
def test_what_keras_saves_of_a_mixer_is_loaded(tmp_path, kind):
    model = VARIATIONS[kind]()
    expected = model.predict(PIXELS, verbose=0)
    path = save(model, tmp_path)
    np.testing.assert_array_equal(open_model(path).predict(PIXELS, verbose=0), expected)
    loaded = open_model(path, trusted=True)
    np.testing.assert_array_equal(loaded.predict(PIXELS, verbose=0), expected)
