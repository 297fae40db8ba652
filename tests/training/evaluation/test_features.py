"""Features of a model, and the files that keep them."""

import dataclasses

import keras
import numpy as np
import pytest

from tests.support.models import randomize, small_mixer
from tests.support.reference import LARGEST_ERROR, mixer_features, relative_error
from training.config import Data
from training.data.source import Source
from training.data.splits import in_memory
from training.errors import UserError
from training.evaluation import features
from training.evaluation.features import Features, features_model, read_features

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3), np.uint8)
LABELS = np.arange(11) % 5
DATA = Data(source="arrays:some.npz", batch_size=2, evaluation_transform="resize")


def source_of(images=IMAGES, labels=LABELS, fingerprint="a"):
    split = in_memory(images, labels)
    names = tuple("abcde")
    return Source(names, 3, split, split, split, fingerprint=lambda: fingerprint)


@pytest.fixture(scope="module")
def mixer():
    model = small_mixer(input_shape=(8, 8, 3))
    return model, randomize(model)


@pytest.fixture
def small_files(monkeypatch):
    """Four images in a file: eleven need three, with five images of padding in batches of two."""
    monkeypatch.setattr(features, "IMAGES_PER_FILE", 4)


def test_features_are_the_input_of_the_head(mixer, small_files, tmp_path):
    model, weights = mixer
    found = read_features(features_model(model), "train", source_of(), DATA, tmp_path, False)
    expected = mixer_features(weights, IMAGES)
    assert found.values.dtype == "float32"
    assert relative_error(found.values, expected) <= LARGEST_ERROR
    assert (found.labels == LABELS).all()
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [f"0000{i}.npz" for i in range(3)]


def test_the_head_may_be_behind_a_nested_model(mixer):
    model, _ = mixer
    body = keras.Model(model.input, model.get_layer("head").input)
    in_sequence = keras.Sequential([keras.Input((8, 8, 3)), body, keras.layers.Dense(3)])
    nested = keras.Sequential([keras.Input((8, 8, 3)), model])
    expected = body.predict(IMAGES, verbose=0)
    for other in (in_sequence, nested):
        found = features_model(other).predict(IMAGES, verbose=0)
        assert relative_error(found, expected) <= LARGEST_ERROR


def test_a_model_without_a_dense_head_is_refused():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="pool")(inputs))
    with pytest.raises(UserError, match="ends with 'pool', GlobalAveragePooling2D"):
        features_model(model)


def test_an_interrupted_extraction_goes_on_after_the_last_file(
    mixer, small_files, tmp_path, monkeypatch
):
    model = features_model(mixer[0])
    complete = read_features(model, "test", source_of(), DATA, tmp_path / "other", False)
    calls = []

    def predict_batch(model, images):
        calls.append(np.asarray(images))
        if len(calls) == 4:
            raise KeyboardInterrupt  # in the second file
        return model.predict_on_batch(np.asarray(images))

    monkeypatch.setattr(features, "predict_batch", predict_batch)
    with pytest.raises(KeyboardInterrupt):
        read_features(model, "test", source_of(), DATA, tmp_path, False)
    found = read_features(model, "test", source_of(), DATA, tmp_path, False)
    assert len(calls) == 4 + 4  # the first two batches were not computed again
    assert (calls[4] == IMAGES[4:6]).all()
    assert (found.values == complete.values).all() and (found.labels == LABELS).all()
    read_features(model, "test", source_of(), DATA, tmp_path, False)
    assert len(calls) == 8


def test_features_of_others_are_not_used(mixer, small_files, tmp_path):
    model = features_model(mixer[0])
    other_model = features_model(small_mixer(input_shape=(8, 8, 3)))
    transform = dataclasses.replace(DATA, evaluation_transform="resmall-crop")
    for arguments in (
        (model, "train", source_of(), DATA),
        (model, "test", source_of(), DATA),
        (model, "train", source_of(fingerprint="b"), DATA),
        (model, "train", source_of(), transform),
        (other_model, "train", source_of(), DATA),
    ):
        before = len(list(tmp_path.iterdir()))
        read_features(*arguments, tmp_path, False)
        assert len(list(tmp_path.iterdir())) == before + 1
    read_features(model, "train", source_of(), DATA, tmp_path, False)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_damaged_file_is_named(mixer, small_files, tmp_path):
    model = features_model(mixer[0])
    read_features(model, "train", source_of(), DATA, tmp_path, False)
    (folder,) = tmp_path.iterdir()
    (folder / "00001.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"00001\.npz must have the features .*Delete the folder"):
        read_features(model, "train", source_of(), DATA, tmp_path, False)


def test_features_must_be_finite(mixer, tmp_path, monkeypatch):
    model = features_model(mixer[0])
    monkeypatch.setattr(features, "predict_batch", lambda model, images: np.full((2, 3), np.nan))
    with pytest.raises(UserError, match="must be finite. Received: nan"):
        read_features(model, "train", source_of(), DATA, tmp_path, False)
    assert not list(tmp_path.rglob("*.npz"))


def test_images_without_a_label_are_left_out():
    found = Features(np.arange(6.0).reshape(3, 2), np.array([1, -1, 0])).labeled()
    assert found.values.tolist() == [[0, 1], [4, 5]] and found.labels.tolist() == [1, 0]
