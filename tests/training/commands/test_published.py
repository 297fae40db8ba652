"""`evaluate` and `predict` with published weights, against float64."""

import dataclasses
import json
from urllib.parse import urlsplit

import keras
import numpy as np
import pytest
import scipy.special
from PIL import Image

from keras_mixer import labels
from keras_mixer.weights import download
from keras_mixer.weights.catalog import find
from tests.support import reference
from tests.support.class_lists import INDEX
from tests.support.command_line import flat
from tests.support.loopback import Loopback
from tests.support.models import random_arrays
from tests.support.published import CLASS_INDEX, serve_everything, weight_file, weight_shapes
from tests.support.tfds import build_tfds
from training.config import Model
from training.data import presets
from training.data.source import Source
from training.data.splits import in_memory
from training.errors import UserError
from training.model import build_model

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("full_optimization")]  # of a large model

MODEL = "MixerS32:gsam"  # the smallest published file, of the same form as MixerB16:imagenet1k
IDS = ["n01440764", *(INDEX[str(i)][0] for i in range(1, 1000))]
SIDE = 256  # the transform of the weights keeps the central 224 pixels, and changes none


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A server of random weights in the published format, with the arrays in float64."""
    cache = tmp_path_factory.mktemp("cache")
    with Loopback() as server, pytest.MonkeyPatch.context() as patch:
        serve_everything(server, patch, cache)
        checkpoint = find(*MODEL.split(":"))
        arrays = random_arrays(weight_shapes(checkpoint))
        server.serve(urlsplit(checkpoint.url).path, weight_file(checkpoint, arrays))
        labels.class_names.cache_clear()
        yield server, arrays
        labels.class_names.cache_clear()


@pytest.fixture(scope="module")
def examples(published, tmp_path_factory):
    """ImageNet in small: its folder, images, labels, and the logits in float64.

    The labels of eight images are their best classes, those of four others are the third ones.
    """
    import tensorflow_datasets as tfds

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (14, 4, 4, 3), np.uint8)
    images = coarse.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)
    logits = reference.mixer(published[1], images[:, 16:240, 16:240])
    order = np.argsort(-logits, axis=1)
    rank = np.array([0] * 8 + [2] * 4 + [700] * 2)
    classes = order[np.arange(14), rank]
    folder = tmp_path_factory.mktemp("sets")
    pairs = [(image, int(label)) for image, label in zip(images, classes, strict=True)]
    feature = tfds.features.ClassLabel(names=IDS)
    splits = {"train": pairs[:4], "validation": pairs}
    build_tfds(folder, "small_imagenet", feature, splits, image_shape=(None, None, 3))
    few = sorted(set(classes.tolist()), reverse=True)
    feature = tfds.features.ClassLabel(names=[IDS[c] for c in few])
    splits = {"validation": [(image, few.index(label)) for image, label in pairs]}
    build_tfds(folder, "few_classes", feature, splits, image_shape=(None, None, 3))
    feature = tfds.features.ClassLabel(names=["n99999999", *IDS[1:]])
    build_tfds(folder, "other_classes", feature, splits, image_shape=(None, None, 3))
    return folder, images, classes, logits


@pytest.fixture
def imagenet(monkeypatch):
    """The preset of that name, for the small dataset."""
    small = dataclasses.replace(presets.PRESETS["imagenet"], dataset="small_imagenet")
    monkeypatch.setitem(presets.PRESETS, "imagenet", small)


def test_evaluate_gives_the_accuracy_and_the_loss_of_float64(call, imagenet, examples, tmp_path):
    folder, _, classes, logits = examples
    options = ["--data-dir", folder, "--output-dir", tmp_path / "out", "--batch-size", "4"]
    status, out, err = call("evaluate", MODEL, "--source", "imagenet", *options, "--json")
    assert status == 0, err
    result = json.loads(out)
    assert (result["accuracy"], result["top5_accuracy"]) == (8 / 14, 12 / 14)
    losses = scipy.special.logsumexp(logits, axis=1) - logits[np.arange(14), classes]
    assert result["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert result["examples"] == 14 and "warning" not in err
    status, out, _ = call("evaluate", MODEL, "--source", "imagenet", *options)
    assert "in float32 on" in out and "confusion matrix" in flat(out)
    options += ["--activation", "sigmoid", "--json"]
    result = json.loads(call("evaluate", MODEL, "--source", "imagenet", *options)[1])
    own = logits[np.arange(14), classes]
    losses = np.logaddexp(0, logits).sum(axis=1) - own
    assert result["loss"] == pytest.approx(losses.mean(), rel=1e-5)


@pytest.mark.backend("torch")
def test_evaluate_writes_to_a_folder_of_its_own(call, imagenet, examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = call("evaluate", MODEL, "--source", "imagenet", "--data-dir", examples[0])
    assert status == 0, err
    assert (tmp_path / "evaluations" / "MixerS32-gsam" / "evaluation.json").exists()


@pytest.mark.backend("torch")
def test_evaluate_matches_classes_by_name(call, examples, tmp_path):
    folder, _, classes, _ = examples
    options = ["--data-dir", folder, "--output-dir", tmp_path, "--test-split", "validation"]
    status, out, err = call("evaluate", MODEL, "--source", "tfds:few_classes", *options, "--json")
    assert status == 0, err
    result = json.loads(out)
    assert (result["accuracy"], result["top5_accuracy"]) == (8 / 14, 12 / 14)
    assert set(IDS) - set(result["missing_classes"]) == {IDS[c] for c in classes}
    status, _, err = call("evaluate", MODEL, "--source", "tfds:other_classes", *options)
    assert status == 2
    assert "those of the model, 1000: n01440764, n00000001, " in err
    assert "Received: 1: n99999999. Leave their images out" in err


@pytest.mark.backend("torch")
def test_evaluate_asks_for_a_dataset_before_anything_is_downloaded(call, published):
    before = len(published[0].requests)
    status, _, err = call("evaluate", "MixerB16:imagenet1k")
    assert status == 2
    assert "--source must name a dataset for MixerB16:imagenet1k" in err
    assert "Pass --source imagenet" in err and len(published[0].requests) == before


def test_predict_names_the_classes(call, examples, tmp_path):
    _, images, classes, logits = examples
    Image.fromarray(images[0]).save(tmp_path / "photo.png")
    status, out, err = call("predict", MODEL, tmp_path / "photo.png", "--json")
    assert status == 0, err
    names, probabilities = zip(*json.loads(out)[0]["classes"], strict=True)
    assert names[0] == f"thing_{classes[0]}"
    expected = np.sort(scipy.special.softmax(logits[0]))[::-1][:3]
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4)
    (tmp_path / "names").write_text("\n".join(f"mine {i}" for i in range(1000)))
    options = ["--class-names", tmp_path / "names", "--top", "1", "--json"]
    _, out, _ = call("predict", MODEL, tmp_path / "photo.png", *options)
    assert json.loads(out)[0]["classes"][0][0] == f"mine {classes[0]}"


@pytest.mark.backend("torch")
def test_predict_numbers_classes_whose_names_cannot_be_downloaded(
    call, published, examples, tmp_path, monkeypatch
):
    _, images, classes, _ = examples
    monkeypatch.setattr(labels, "class_names", labels.class_names.__wrapped__)
    monkeypatch.setattr(download, "RETRY_WAITS_SECONDS", ())
    monkeypatch.setitem(labels.DIGESTS, CLASS_INDEX.split("/")[-1], "sha256:" + "0" * 64)
    Image.fromarray(images[0]).save(tmp_path / "photo.png")
    status, out, err = call("predict", MODEL, tmp_path / "photo.png", "--top", "1", "--json")
    assert status == 0
    assert json.loads(out)[0]["classes"][0][0] == str(classes[0])
    assert "warning: classes are numbered, not named: " in err


def source(class_names):
    split = in_memory(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1, int))
    return Source(tuple(class_names), 3, split, split, split)


def array(variable):
    return keras.ops.convert_to_numpy(variable)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("weights", ["gsam", MODEL])
def test_a_published_head_is_kept_for_the_same_classes_only(published, capsys, weights):
    model = Model(variant="S/32", weights=weights)
    head = build_model(model, 224, source(IDS)).get_layer("head")
    np.testing.assert_array_equal(array(head.kernel), published[1]["head/kernel"])
    np.testing.assert_array_equal(array(head.bias), published[1]["head/bias"])
    assert f"Keeping the head of {weights}: same 1000 classes." in capsys.readouterr().out
    for names in (IDS[::-1], IDS[:10], map(str, range(1000))):
        head = build_model(model, 224, source(names)).get_layer("head")
        assert not array(head.kernel).any() and not array(head.bias).any()
        assert "New head for 10" in capsys.readouterr().out


@pytest.mark.backend("torch")
def test_a_published_head_is_not_dropped_because_a_download_fails(published, monkeypatch):
    monkeypatch.setattr(labels, "class_names", labels.class_names.__wrapped__)
    monkeypatch.setattr(download, "RETRY_WAITS_SECONDS", ())
    monkeypatch.setitem(labels.DIGESTS, CLASS_INDEX.split("/")[-1], "sha256:" + "0" * 64)
    model = Model(variant="S/32", weights="gsam")
    with pytest.raises(UserError, match="--weights must have known classes.*gsam: .*network conn"):
        build_model(model, 224, source(IDS))
