"""Loading presets: by name, from weight files, folders and hubs."""

import os
import subprocess
import sys
from urllib.parse import urlsplit

import keras
import keras_hub
import numpy as np
import pytest

import keras_mixer
from keras_mixer.keras_hub import (
    MixerBackbone,
    MixerImageClassifier,
    MixerImageClassifierPreprocessor,
    MixerImageConverter,
)
from keras_mixer.keras_hub.presets import PRESETS, ROWS
from keras_mixer.weights.download import DownloadError
from keras_mixer.weights.formats import WeightsError
from keras_mixer.weights.transfer import MIRROR_VARIABLE
from tests.support.keras_hub import google_file, timm_file
from tests.support.loopback import Answer, Loopback
from tests.support.models import random_pixels, small_mixer
from tests.support.published import weight_file
from tests.support.reference import LARGEST_ERROR, relative_error

CLASSES = (
    MixerBackbone,
    MixerImageConverter,
    MixerImageClassifierPreprocessor,
    MixerImageClassifier,
)


@pytest.fixture
def pixels():
    return random_pixels((4, 8, 12, 3))


def same_file_in_keras_mixer(path, **arguments):
    return small_mixer(weights=path, classes=None, **{"input_shape": (8, 12, 3), **arguments})


def test_a_google_file_gives_the_logits_of_keras_mixer(pixels, tmp_path):
    path = google_file(tmp_path / "mixer.npz")
    expected = same_file_in_keras_mixer(path).predict(pixels, verbose=0)
    classifier = MixerImageClassifier.from_preset(path, image_shape=(8, 12, 3))
    assert classifier.backbone.approximate_gelu is True
    assert classifier.activation is None
    logits = classifier.predict(pixels, verbose=0)
    assert relative_error(logits, expected) <= LARGEST_ERROR


def test_a_timm_file_gives_the_logits_of_keras_mixer(pixels, tmp_path):
    path = timm_file(tmp_path / "mixer.safetensors", (0.0, 1.0))
    expected = same_file_in_keras_mixer(path).predict(pixels, verbose=0)
    classifier = MixerImageClassifier.from_preset(path)  # the file states the image size
    assert classifier.backbone.approximate_gelu is False
    assert classifier.preprocessor.image_size == (8, 12)
    logits = classifier.predict(pixels, verbose=0)
    assert relative_error(logits, expected) <= LARGEST_ERROR


@pytest.mark.parametrize(
    ("image_shape", "resolution"), [((16, 36, 3), "block_diagonal"), ((12, 20, 3), "interpolate")]
)
@pytest.mark.backend("torch")
def test_another_image_size(image_shape, resolution, tmp_path):
    path = timm_file(tmp_path / "mixer.safetensors", (-1.0, 1.0))
    model = same_file_in_keras_mixer(path, input_shape=image_shape, resolution=resolution)
    arguments = {"image_shape": image_shape, "resolution": resolution}
    classifier = MixerImageClassifier.from_preset(path, **arguments)
    assert classifier.preprocessor.image_size == image_shape[:2]
    pixels = random_pixels((2, *image_shape))
    logits = classifier.predict(pixels, verbose=0)
    assert relative_error(logits, model.predict(pixels, verbose=0)) <= LARGEST_ERROR
    empty = MixerBackbone.from_preset(path, load_weights=False, **arguments)
    assert empty.tokens_mlp_dim == classifier.backbone.tokens_mlp_dim
    with pytest.raises(ValueError, match="must be an integer multiple of the size"):
        MixerBackbone.from_preset(path, image_shape=(12, 12, 3))


@pytest.mark.backend("torch")
def test_mixed_precision_is_that_of_keras_mixer(pixels, tmp_path):
    path = timm_file(tmp_path / "mixer.safetensors", (-1.0, 1.0))
    expected = same_file_in_keras_mixer(path, dtype="mixed_bfloat16").predict(pixels, verbose=0)
    classifier = MixerImageClassifier.from_preset(path, dtype="mixed_bfloat16")
    logits = classifier.predict(pixels, verbose=0)
    assert logits.dtype == "float32"
    assert relative_error(logits, expected) <= LARGEST_ERROR


@pytest.mark.backend("torch")
def test_arguments_replace_those_of_the_checkpoint(pixels, tmp_path):
    path = timm_file(tmp_path / "mixer.safetensors", (-1.0, 1.0))
    expected = MixerImageClassifier.from_preset(path).predict(pixels, verbose=0)
    backbone = MixerBackbone.from_preset(path, drop_path_rate=0.1, name="mine")
    assert (backbone.drop_path_rate, backbone.name) == (0.1, "mine")
    classifier = MixerImageClassifier.from_preset(path, backbone=backbone, activation="softmax")
    np.testing.assert_allclose(
        classifier.predict(pixels, verbose=0), keras.ops.softmax(expected), atol=1e-6
    )
    other = MixerImageClassifier.from_preset(path, num_classes=3, preprocessor=None)
    assert other.output_shape == (None, 3)
    assert other.preprocessor is None
    stem = [model.get_layer("stem").get_weights()[0] for model in (backbone, other.backbone)]
    np.testing.assert_array_equal(*stem)
    with pytest.raises(ValueError, match="`dtype` cannot be given with `backbone`"):
        MixerImageClassifier.from_preset(path, backbone=backbone, dtype="bfloat16")
    with pytest.raises(WeightsError, match="misshapen"):
        MixerBackbone.from_preset(path, hidden_dim=8)


@pytest.mark.backend("torch")
def test_a_file_without_a_head(tmp_path):
    path = google_file(tmp_path / "mixer.npz", num_patches=4, classes=None)
    assert MixerBackbone.from_preset(path).output_shape == (None, 2, 2, 16)
    with pytest.raises(ValueError, match="`num_classes` must be given for weights without a head"):
        MixerImageClassifier.from_preset(path)
    assert MixerImageClassifier.from_preset(path, num_classes=2).num_classes == 2


@pytest.mark.backend("torch")
def test_a_file_that_does_not_state_its_size(tmp_path):
    path = google_file(tmp_path / "mixer.npz")  # 6 patches
    with pytest.raises(ValueError, match="MixerBackbone: `image_shape` must be .*mixer.npz"):
        MixerBackbone.from_preset(path)
    with pytest.raises(ValueError, match="MixerImageConverter: `image_size` must be .*mixer.npz"):
        MixerImageConverter.from_preset(path)
    assert MixerImageConverter.from_preset(path, image_size=(8, 12)).image_size == (8, 12)
    for load_weights in (True, False):
        backbone = MixerBackbone.from_preset(path, load_weights, image_shape=(12, 8, 3))
        assert backbone.output_shape == (None, 3, 2, 16)


@pytest.mark.backend("torch")
def test_every_published_checkpoint_is_a_preset():
    assert len(PRESETS) == len(keras_mixer.weights.catalog.CATALOG) == 13
    assert {"mixer_b16_imagenet1k", "mixer_s8_gsam", "mixer_b16_miil_in21k"} <= PRESETS.keys()
    for cls in CLASSES:
        assert cls.presets.keys() == PRESETS.keys()
    metadata = MixerBackbone.presets["mixer_b16_imagenet1k"]["metadata"]
    assert metadata["params"] == 59_880_472 - (768 * 1000 + 1000)
    assert metadata["description"].startswith("Mixer-B/16 with the weights 'imagenet1k' and 1000 ")
    assert "76.44 % ImageNet accuracy (paper, table 3)." in metadata["description"]


@pytest.mark.backend("torch")
def test_unknown_presets():
    for cls in CLASSES:
        with pytest.raises(ValueError, match="Unknown preset identifier"):
            cls.from_preset("mixer_b16_imagenet22k")
    with pytest.raises(ValueError, match="must be a string"):
        MixerBackbone.from_preset(3)
    with pytest.raises(WeightsError, match="nowhere.npz"):
        MixerBackbone.from_preset("nowhere.npz")


@pytest.fixture(scope="module")
def hub():
    """The file of one published checkpoint on a local server."""
    with Loopback() as server, pytest.MonkeyPatch.context() as monkeypatch:
        row = ROWS["mixer_s32_gsam"]
        server.serve(urlsplit(row.url).path, Answer(weight_file(row)))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv(MIRROR_VARIABLE, server.url)
        yield server


@pytest.mark.long
@pytest.mark.backend("torch")
def test_a_published_checkpoint_by_name(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    pixels = random_pixels((2, 224, 224, 3))
    classifier = MixerImageClassifier.from_preset("mixer_s32_gsam")
    assert classifier.num_classes == 1000
    model = keras_mixer.MixerS32(weights="gsam", classifier_activation=None)
    expected = model.predict(pixels, verbose=0)
    assert relative_error(classifier.predict(pixels, verbose=0), expected) <= LARGEST_ERROR
    assert len(hub.requests) == 1  # both use the same cached file


@pytest.mark.backend("torch")
def test_nothing_is_downloaded_without_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv(MIRROR_VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("keras_mixer.weights.download.RETRY_WAITS_SECONDS", ())
    classifier = MixerImageClassifier.from_preset("mixer_s32_gsam", load_weights=False)
    backbone = classifier.backbone
    assert backbone.count_params() == PRESETS["mixer_s32_gsam"]["metadata"]["params"]
    assert (backbone.patch_size, backbone.output_shape) == ((32, 32), (None, 7, 7, 512))
    assert classifier.num_classes == 1000
    with pytest.raises(DownloadError):
        MixerBackbone.from_preset("mixer_s32_gsam")


@pytest.fixture
def saved(pixels, tmp_path):
    """The folder of a saved classifier, and its logits for `pixels`."""
    path = timm_file(tmp_path / "mixer.safetensors", (0.0, 1.0))
    classifier = MixerImageClassifier.from_preset(path)
    classifier.save_to_preset(str(tmp_path / "preset"))
    return str(tmp_path / "preset"), classifier.predict(pixels, verbose=0)


@pytest.mark.parametrize("cls", [MixerImageClassifier, keras_hub.models.ImageClassifier])
def test_a_saved_folder(cls, saved, pixels):
    folder, logits = saved
    classifier = cls.from_preset(folder)
    assert type(classifier) is MixerImageClassifier
    np.testing.assert_array_equal(classifier.predict(pixels, verbose=0), logits)
    backbone = keras_hub.models.Backbone.from_preset(folder)
    assert type(backbone) is MixerBackbone
    assert backbone.approximate_gelu is False
    converter = keras_hub.layers.ImageConverter.from_preset(folder)
    assert type(converter) is MixerImageConverter
    assert converter.offset == 0.0
    preprocessor = keras_hub.models.ImageClassifierPreprocessor.from_preset(folder)
    assert type(preprocessor) is MixerImageClassifierPreprocessor
    assert cls.from_preset(folder, num_classes=2).num_classes == 2


@pytest.mark.backend("torch")
def test_a_repository_of_the_hugging_face_hub(saved, pixels, monkeypatch):
    import huggingface_hub
    from huggingface_hub.utils import EntryNotFoundError

    folder, logits = saved

    def download(repo_id, filename):
        assert repo_id == "me/mixer"
        path = os.path.join(folder, filename)
        if not os.path.exists(path):
            raise EntryNotFoundError(filename)
        return path

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    classifier = MixerImageClassifier.from_preset("hf://me/mixer")
    np.testing.assert_array_equal(classifier.predict(pixels, verbose=0), logits)


@pytest.mark.long
@pytest.mark.backend("torch")
def test_a_folder_on_another_backend(saved, pixels, tmp_path):
    folder, logits = saved
    np.save(tmp_path / "pixels.npy", pixels)
    code = (
        "import sys, numpy as np\n"
        "from keras_mixer.keras_hub import MixerImageClassifier\n"
        "classifier = MixerImageClassifier.from_preset(sys.argv[1])\n"
        "np.save(sys.argv[3], classifier.predict(np.load(sys.argv[2]), verbose=0))\n"
    )
    arguments = [folder, tmp_path / "pixels.npy", tmp_path / "logits.npy"]
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert relative_error(np.load(tmp_path / "logits.npy"), logits) <= LARGEST_ERROR
