"""What each field of `training.config.Model` does to the model."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_mixer.weights.transfer import MIRROR_VARIABLE
from tests.support.models import random_arrays, random_pixels, small_architecture
from tests.support.runs import CLASS_NAMES, train_run
from training.config import Config, Data, Model, Optimization
from training.data.source import Source
from training.data.splits import in_memory
from training.errors import UserError
from training.model import build_model, check_weights
from training.model_argument import load_model, parse
from training.optimization.schedule import Schedule
from training.run.compiled_model import compiled_model
from training.run.folder import RunFolder
from training.run.train import train

SMALL = Model(patch_size=4, hidden_dim=16, num_blocks=2, tokens_mlp_dim=8, channels_mlp_dim=24)
ARCHITECTURE = small_architecture(num_patches=4)  # of 8 × 8 pixels


def source(classes=5, channels=3, side=8):
    pixels = random_pixels((6, side, side, channels))
    split = in_memory(pixels, np.arange(6) % classes)
    return Source(tuple(map(str, range(classes))), channels, split, split, split)


def build(image_size=8, classes=5, channels=3, **fields):
    return build_model(
        dataclasses.replace(SMALL, **fields), image_size, source(classes, channels, image_size)
    )


def array(variable):
    return keras.ops.convert_to_numpy(variable)


@pytest.fixture(scope="module")
def arrays():
    return random_arrays(ARCHITECTURE.shapes())


@pytest.fixture(scope="module")
def path(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.npz"
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.backend("torch")
@pytest.mark.long
@pytest.mark.parametrize(
    "variant, parameters",  # without head, at 224 pixels: arXiv 2105.01601, and counted
    [("S/32", 18_591_624), ("S/16", 18_015_264), ("B/32", 59_524_428)],
)
def test_a_variant_has_the_numbers_of_the_paper(variant, parameters):
    mixer = build_model(Model(variant=variant), 224, source(side=224))
    body = sum(layer.count_params() for layer in mixer.layers if layer.name != "head")
    assert body == parameters
    assert mixer.output_shape == (None, 5)


@pytest.mark.backend("torch")
def test_without_a_variant_the_numbers_count():
    mixer = build(hidden_dim=12, num_blocks=3, tokens_mlp_dim=10, channels_mlp_dim=20, patch_size=2)
    assert mixer.get_layer("stem").kernel.shape == (2, 2, 3, 12)
    block = mixer.get_layer("MixerBlock_2")
    assert (block.tokens_mlp_dim, block.channels_mlp_dim) == (10, 20)
    assert "MixerBlock_3" not in {layer.name for layer in mixer.layers}


def test_rates_and_rematerialization_reach_the_blocks():
    last = build(drop_path_rate=0.2, dropout_rate=0.1, rematerialize=True).get_layer("MixerBlock_1")
    assert (last.drop_path_rate, last.dropout_rate, last.rematerialize) == (0.2, 0.1, True)
    last = build().get_layer("MixerBlock_1")
    assert (last.drop_path_rate, last.dropout_rate, last.rematerialize) == (0, 0, False)


@pytest.mark.parametrize("classes", [5, 3])
def test_weights_are_loaded_below_a_new_head(path, arrays, classes):
    mixer = build(weights=path, classes=classes, head_bias=-6.9)
    block = mixer.get_layer("MixerBlock_1")
    np.testing.assert_array_equal(array(mixer.get_layer("stem").kernel), arrays["stem/kernel"])
    np.testing.assert_array_equal(
        array(block.token_mixing.dense_0.kernel),
        arrays["MixerBlock_1/token_mixing/Dense_0/kernel"],
    )
    logits = mixer.predict(random_pixels((2, 8, 8, 3)), verbose=0)
    np.testing.assert_array_equal(logits, np.full((2, classes), -6.9, "float32"))


def test_the_bias_of_a_head_over_random_weights():
    assert (array(build(head_bias=-10.0).get_layer("head").bias) == -10).all()
    assert (array(build().get_layer("head").bias) == 0).all()


def test_resolution(path, arrays):
    kernel = arrays["MixerBlock_0/token_mixing/Dense_0/kernel"]
    dense = build(16, weights=path).get_layer("MixerBlock_0").token_mixing.dense_0
    assert dense.kernel.shape == (4 * 4, 4 * 8)  # the four parts side by side
    np.testing.assert_array_equal(array(dense.kernel)[[0, 1, 4, 5], :8], kernel)
    larger = build(12, weights=path, resolution="interpolate").get_layer("MixerBlock_0")
    assert larger.token_mixing.dense_0.kernel.shape == (9, 8)
    with pytest.raises(UserError, match="integer multiple.*pass resolution='interpolate'"):
        build(12, weights=path)


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"weights": "imagenet1k"}, "for the variants of the paper only"),
        ({"weights": "no/such.npz"}, "does not exist"),
        ({"hidden_dim": 17}, "hidden_dim"),
        ({"channels": 1}, "channels"),
    ],
)
def test_weights_that_do_not_fit_are_refused(path, fields, expected):
    fields = {"weights": path, **fields}
    with pytest.raises(UserError) as error:
        build(**fields)
    message = str(error.value)
    assert message.startswith(
        f"--weights must be valid weights of this model. Received: {fields['weights']}. "
    )
    assert expected in message or "stem/kernel" in message


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_run(tmp_path_factory.mktemp("run"))


def named_source(names):
    return dataclasses.replace(source(len(names)), class_names=tuple(names))


def weights_of(mixer, skip=()):
    return {
        variable.path: array(variable)
        for layer in mixer.layers
        if layer.name not in skip
        for variable in layer.weights
    }


@pytest.mark.parametrize("form", ["RUN", "RUN@best", "RUN@step-3"])
def test_a_run_is_continued_with_its_head_where_the_classes_are_the_same(run, capsys, form):
    text = form.replace("RUN", str(run.path))
    expected = weights_of(load_model(parse(text)).model)
    model = dataclasses.replace(SMALL, weights=text, head_bias=-6.9)
    mixer = build_model(model, 8, named_source(CLASS_NAMES))
    found = weights_of(mixer)
    assert found.keys() == expected.keys() and "head/kernel" in found
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert found["head/kernel"].any()
    assert capsys.readouterr().out == f"Keeping the head of {text}: same 3 classes.\n"


@pytest.mark.backend("torch")
@pytest.mark.parametrize("names", [("cat", "emu", "dog"), ("a", "b", "c"), ("cat", "dog")])
def test_a_run_with_other_classes_gets_a_new_head(run, capsys, names):
    model = dataclasses.replace(SMALL, weights=str(run.path), head_bias=-2.0)
    mixer = build_model(model, 8, named_source(names))
    head = mixer.get_layer("head")
    assert not array(head.kernel).any() and (array(head.bias) == -2).all()
    expected = weights_of(load_model(parse(str(run.path))).model, skip=["head"])
    for name, value in weights_of(mixer, skip=["head"]).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    line = f"New head for {len(names)} classes: {run.path} has other classes.\n"
    assert capsys.readouterr().out == line


@pytest.mark.parametrize("kind", ["copy", "Sequential"])
def test_the_body_of_a_keras_file_is_loaded_below_a_new_head(run, tmp_path, capsys, kind):
    """Nobody knows which classes the file has."""
    original = load_model(parse(str(run.path))).model
    path = tmp_path / "model.keras"
    if kind == "copy":
        path.write_bytes(run.model.read_bytes())
    else:
        body = keras.Model(original.input, original.get_layer("avg_pool").output)
        keras.Sequential([body, keras.layers.Dense(3, activation="softmax")]).save(path)
    model = dataclasses.replace(SMALL, weights=str(path))
    mixer = build_model(model, 8, named_source(CLASS_NAMES))
    expected = weights_of(original, skip=["head"])
    for name, value in weights_of(mixer, skip=["head"]).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert not array(mixer.get_layer("head").kernel).any()
    out = capsys.readouterr().out
    assert out == f"New head for 3 classes: {path} is not known to have the same ones.\n"


def test_a_file_that_names_more_than_a_mixer_must_be_trusted(run, tmp_path):
    body = load_model(parse(str(run.path))).model
    path = tmp_path / "mine.keras"
    keras.Sequential([body, keras.layers.Lambda(lambda x: 2 * x, (3,))]).save(path)
    model = dataclasses.replace(SMALL, weights=str(path))
    with pytest.raises(UserError, match="which names keras.layers.Lambda in .*--trust-model"):
        build_model(model, 8, named_source(CLASS_NAMES))
    mixer = build_model(model, 8, named_source(CLASS_NAMES), trust_model=True)
    np.testing.assert_array_equal(weights_of(mixer)["stem/kernel"], weights_of(body)["stem/kernel"])


@pytest.mark.backend("torch")
def test_models_of_another_size_are_refused_by_name(run):
    model = dataclasses.replace(SMALL, hidden_dim=32, weights=str(run.path))
    with pytest.raises(UserError) as error:
        build_model(model, 8, source())
    assert str(error.value) == (
        f"--weights must have the size of the model. Received: {run.path}, with hidden_dim 16 "
        "instead of 32. Pass --patch-size 4 --hidden-dim 16 --num-blocks 2 --tokens-mlp-dim 8 "
        "--channels-mlp-dim 24, or other weights."
    )
    model = Model(variant="S/32", weights="MixerB32:sam")
    with pytest.raises(UserError, match="hidden_dim 768 instead of 512.*Pass --variant B/32, or"):
        build_model(model, 224, source(side=224))
    with pytest.raises(UserError, match="^--weights must be a folder of a run .*MixerS32:gsam"):
        check_weights(dataclasses.replace(model, weights="MixerS33:gsam"))


@pytest.mark.backend("torch")
def test_weights_are_checked_before_data_is_read(tmp_path):
    config = Config(data=Data(source="cats"), model=Model(weights=str(tmp_path)))
    with pytest.raises(UserError, match="^--weights must be a folder of a run"):
        train(config, RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.backend("torch")
def test_damaged_weights_are_refused(path, tmp_path):
    with open(path, "rb") as whole:
        (tmp_path / "cut.npz").write_bytes(whole.read()[:2000])
    with pytest.raises(UserError, match="--weights must be valid.*cut.npz.*cannot be read"):
        build(weights=str(tmp_path / "cut.npz"))


@pytest.mark.backend("torch")
def test_weights_that_the_variant_does_not_have_are_refused():
    model = Model(variant="S/16", weights="imagenet1k")
    with pytest.raises(UserError, match="MixerS16 was published as gsam"):
        build_model(model, 224, source(side=224))


@pytest.mark.backend("torch")
def test_weights_that_cannot_be_fetched_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("keras_mixer.weights.download.RETRY_WAITS_SECONDS", ())
    monkeypatch.setenv(MIRROR_VARIABLE, "http://127.0.0.1:1")  # where nobody listens
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    model = Model(variant="S/16", weights="gsam")
    with pytest.raises(UserError, match="--weights must .*could not be downloaded: no connection"):
        build_model(model, 224, source(side=224))


@pytest.mark.backend("torch")
def test_what_weights_are_not_to_blame_for_is_no_mistake_of_theirs():
    with pytest.raises(ValueError, match="divisible by the patch") as error:
        build(9)
    assert not isinstance(error.value, UserError)


def test_sharpness_aware_training_rematerializes_too():
    """Both of its gradients, of the same masks."""
    results = []
    for rematerialize in (False, True):
        keras.utils.set_random_seed(0)
        model = dataclasses.replace(
            SMALL, drop_path_rate=0.5, dropout_rate=0.3, rematerialize=rematerialize
        )
        config = Config(
            data=Data(image_size=8),
            model=model,
            optimization=Optimization(
                sam_rho=0.5, optimizer="sgd", clip_global_norm=0, weight_decay=0
            ),
        )
        mixer = compiled_model(config, source(), Schedule(0.5, "constant", 0, 3))
        rng = np.random.default_rng(0)
        kernel = mixer.get_layer("head").kernel
        kernel.assign(rng.standard_normal(kernel.shape))
        keras.utils.set_random_seed(1)
        pixels, labels = random_pixels((12, 8, 8, 3)), np.eye(5)[np.arange(12) % 5]
        loss = mixer.fit(pixels, labels, batch_size=4, shuffle=False, verbose=0).history["loss"]
        results.append((loss, [array(w) for w in mixer.trainable_weights]))
    (loss, weights), (other_loss, other_weights) = results
    assert other_loss == pytest.approx(loss, rel=5e-6)
    for one, other in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(other, one, atol=5e-6)
