"""Weights from repositories on the Hugging Face Hub, of which a stand-in runs on loopback."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

import keras_mixer
from keras_mixer.convert import convert
from keras_mixer.weights.download import DownloadError
from keras_mixer.weights.formats import WeightsError
from keras_mixer.weights.hub import Repository, stated_numerics
from keras_mixer.weights.layouts import TIMM
from keras_mixer.weights.load import open_weights
from tests.support import reference
from tests.support.hub import TOKEN, Hub
from tests.support.layouts import in_layout
from tests.support.models import (
    random_arrays,
    random_pixels,
    small_architecture,
    small_mixer,
)

once = pytest.mark.backend("torch")
NAME = "user/mixer"
IMAGE = (8, 8, 3)
SHAPES = small_architecture(num_patches=4).shapes()
PIXELS = random_pixels((2, *IMAGE))
HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}  # timm's, for Google's weights
UNIT = {"mean": [0, 0, 0], "std": [1, 1, 1]}  # timm's, for MIIL's


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with Hub() as hub:
        hub.use(monkeypatch, tmp_path / "cache")
        yield hub


def timm_file(arrays=None):
    """Return a file as timm writes it, without metadata of this library."""
    return safetensors.numpy.save(in_layout(TIMM, arrays or random_arrays(SHAPES)))


def files(pretrained_cfg=None, arrays=None):
    """Return the files of a repository as timm uploads it."""
    config = {"architecture": "mixer", "pretrained_cfg": pretrained_cfg or HALF}
    return {"model.safetensors": timm_file(arrays), "config.json": json.dumps(config).encode()}


def build(weights, **arguments):
    return small_mixer(weights=weights, input_shape=IMAGE, **arguments)


@pytest.mark.parametrize("pretrained_cfg, value_range", [(HALF, (-1, 1)), (UNIT, (0, 1))])
def test_a_repository_of_timm(hub, pretrained_cfg, value_range):
    arrays = random_arrays(SHAPES)
    hub.put(NAME, files(pretrained_cfg, arrays))
    logits = build(f"hf://{NAME}").predict(PIXELS, verbose=0)
    expected = reference.mixer(arrays, PIXELS, approximate_gelu=False, value_range=value_range)
    assert reference.relative_error(logits, expected) < reference.LARGEST_ERROR


@once
class TestLoading:
    def test_every_constructor_takes_a_repository(self, hub):
        hub.put(NAME, files())
        with pytest.raises(WeightsError, match="does not hold exactly the arrays of this model"):
            keras_mixer.MixerS32(weights=f"hf://{NAME}")

    def test_the_metadata_of_the_file_comes_first(self, hub, tmp_path):
        np.savez(tmp_path / "mixer.npz", **random_arrays(SHAPES))
        target = tmp_path / "model.safetensors"
        convert(tmp_path / "mixer.npz", target, approximate_gelu=True, value_range=(-2, 2))
        hub.put(NAME, files(UNIT) | {"model.safetensors": target.read_bytes()})
        with open_weights(f"hf://{NAME}") as weights:
            assert weights.numerics.value_range == (-2, 2)
            assert weights.numerics.approximate_gelu is True

    def test_the_configuration_may_be_missing(self, hub):
        hub.put(NAME, {"model.safetensors": timm_file()})
        with open_weights(f"hf://{NAME}") as weights:
            assert (weights.numerics.value_range, weights.classes) == ((-1, 1), 5)

    def test_a_revision(self, hub):
        first, second = (random_arrays(SHAPES, seed) for seed in (1, 2))
        commit = hub.put(NAME, files(arrays=first))
        hub.put(NAME, files(arrays=second))
        for text, arrays in ((f"hf://{NAME}@{commit}", first), (f"hf://{NAME}", second)):
            with open_weights(text) as weights:
                np.testing.assert_array_equal(
                    weights.file.read("stem/kernel"), arrays["stem/kernel"]
                )

    def test_it_can_be_converted(self, hub, tmp_path):
        arrays = random_arrays(SHAPES)
        hub.put(NAME, files(arrays=arrays))
        convert(f"hf://{NAME}", tmp_path / "mixer.npz", value_range=(-1, 1))
        np.testing.assert_array_equal(
            np.load(tmp_path / "mixer.npz")["head/kernel"], arrays["head/kernel"]
        )

    def test_files_are_downloaded_once_and_then_used_offline(self, hub, monkeypatch):
        hub.put(NAME, files())
        build(f"hf://{NAME}")
        hub.requests.clear()
        build(f"hf://{NAME}")
        assert {*hub.requests} == {f"HEAD /{NAME}/resolve/main/model.safetensors"}
        hub.requests.clear()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        build(f"hf://{NAME}")
        assert not hub.requests

    def test_a_missing_configuration_is_remembered_offline(self, hub, monkeypatch):
        hub.put(NAME, {"model.safetensors": timm_file()})
        build(f"hf://{NAME}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        build(f"hf://{NAME}")

    def test_the_token_goes_to_the_hub_alone(self, hub):
        hub.put(NAME, files())
        hub.private.add(NAME)
        build(f"hf://{NAME}")
        pairs = list(zip(hub.requests, hub.authorizations, strict=True))
        assert {a for r, a in pairs if "/resolve/" in r} == {f"Bearer {TOKEN}"}
        assert {a for r, a in pairs if "/objects/" in r} == {""}


@once
def test_the_environment_names_the_server_the_cache_and_offline_mode(hub, tmp_path):
    hub.put(NAME, files())
    code = (
        "from keras_mixer.weights.hub import Repository\n"
        f"print(Repository.parse('hf://{NAME}').pin().read_config()['architecture'])"
    )
    environment = {**os.environ, **hub.environment(tmp_path / "other cache")}
    for offline in ("0", "1"):
        hub.requests.clear()
        result = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, "HF_HUB_OFFLINE": offline},
            capture_output=True,
            text=True,
        )
        assert result.stdout == "mixer\n", result.stderr
        assert bool(hub.requests) is (offline == "0")
    assert (tmp_path / "other cache/hub/models--user--mixer").is_dir()


def message_of(text):
    with pytest.raises(DownloadError) as error:
        build(text)
    assert TOKEN not in str(error.value)
    return str(error.value)


@once
class TestErrors:
    def test_there_is_no_such_repository(self, hub):
        message = message_of(f"hf://{NAME}")
        assert f"hub: model.safetensors of hf://{NAME} could not be downloaded" in message
        assert "no such repository, or a private one. Check the name" in message

    def test_a_private_repository_without_a_token(self, hub, monkeypatch, tmp_path):
        hub.use(monkeypatch, tmp_path / "cache", token="")
        hub.put(NAME, files())
        hub.private.add(NAME)
        assert "for a private one, log in with `hf auth login`" in message_of(f"hf://{NAME}")

    def test_there_is_no_such_revision(self, hub):
        hub.put(NAME, files())
        assert "no such revision. Pass a branch, tag" in message_of(f"hf://{NAME}@v9")

    def test_there_are_no_weights(self, hub):
        hub.put(NAME, {"pytorch_model.bin": b"\x80\x02"})
        message = message_of(f"hf://{NAME}")
        assert "model.safetensors" in message and "the repository has no such file" in message
        assert not any("pytorch_model" in request for request in hub.requests)

    @pytest.mark.parametrize("status", [500, 401])
    def test_the_server_fails(self, hub, status):
        hub.put(NAME, files())
        hub.failing["HEAD .*safetensors"] = status
        message = message_of(f"hf://{NAME}")
        if status == 500:
            assert "the server answered 500, and the file is not in the cache" in message
            assert "Try again later" in message
        else:
            assert "hf auth login" in message

    def test_the_server_cannot_be_reached(self, hub):
        hub.__exit__()
        message = message_of(f"hf://{NAME}")
        assert "and the file is not in the cache. Check the network" in message

    def test_a_truncated_download_is_not_used(self, hub):
        hub.put(NAME, files())
        hub.truncated.add("model.safetensors")
        assert "file should be of size" in message_of(f"hf://{NAME}")
        hub.truncated.clear()
        build(f"hf://{NAME}")

    def test_a_file_that_is_too_large_is_not_downloaded(self, hub):
        hub.put(NAME, files())
        hub.sizes["model.safetensors"] = 2**40
        message = message_of(f"hf://{NAME}")
        assert "must have at most 4,294,967,296 bytes. Received: 1,099,511,627,776" in message
        assert not any(request.startswith("GET /objects") for request in hub.requests)

    def test_offline_without_a_copy(self, hub, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        message = message_of(f"hf://{NAME}")
        assert "HF_HUB_OFFLINE forbids connections, and the file is not in the cache" in message
        assert not hub.requests

    def test_the_package_is_not_installed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(ValueError, match=r'Install it: pip install -e "\.\[hub\]"'):
            build(f"hf://{NAME}")

    @pytest.mark.parametrize(
        "config",
        [b"[]", b"{", b"[" * 100_000, b"\xff"],
    )
    def test_a_configuration_that_is_no_object(self, hub, config):
        hub.put(NAME, files() | {"config.json": config})
        assert "config.json of hf://" in message_of(f"hf://{NAME}")

    @pytest.mark.parametrize(
        "pretrained_cfg",
        [
            {"mean": [0.485, 0.456, 0.406], "std": [0.5] * 3},
            {"mean": [0.5] * 3, "std": [0.5]},
            {"mean": [0.5] * 3, "std": [0.0] * 3},
            {"mean": [0.5] * 3, "std": [-1.0] * 3},
            {"mean": ["a"] * 3, "std": [1.0] * 3},
            {"mean": [float("nan")] * 3, "std": [1.0] * 3},
            {"mean": 1, "std": 1},
            [],
        ],
    )
    def test_pixels_that_a_mixer_cannot_scale(self, hub, pretrained_cfg):
        config = json.dumps({"pretrained_cfg": pretrained_cfg}).encode()
        hub.put(NAME, files() | {"config.json": config})
        with pytest.raises(WeightsError, match="describes its model in a form that is not known"):
            build(f"hf://{NAME}")

    def test_a_file_of_another_kind(self, hub):
        hub.put(NAME, {"model.safetensors": b"\x80\x04not weights, but a pickle"})
        with pytest.raises(WeightsError, match="is a Python pickle"):
            build(f"hf://{NAME}")


@once
class TestNames:
    @pytest.mark.parametrize(
        "text, expected",
        [
            ("hf://user/repo", ("user/repo", None)),
            ("hf://timm/mixer_b16_224.goog_in21k", ("timm/mixer_b16_224.goog_in21k", None)),
            ("hf://u/r@main", ("u/r", "main")),
            ("hf://u/r@refs/pr/1", ("u/r", "refs/pr/1")),
        ],
    )
    def test_valid(self, text, expected):
        repository = Repository.parse(text)
        assert (repository.name, repository.revision) == expected
        assert str(repository) == text

    @pytest.mark.parametrize(
        "text",
        [
            "hf://",
            "hf://user",
            "hf://user/",
            "hf:///repo",
            "hf://user/repo/file",
            "hf://user/repo@",
            "hf://user/../../etc",
            "hf://user/..",
            "hf://user/repo@../../../etc",
            "hf://user/repo@a/../b",
            "hf://us--er/repo",
            "hf://user/re po",
            "hf://user/repo\n",
            "hf://user/répo",
            f"hf://user/{'a' * 97}",
        ],
    )
    def test_invalid(self, text):
        with pytest.raises(ValueError, match="hub: a repository must be named hf://USER/REPO"):
            Repository.parse(text)
        with pytest.raises(ValueError, match="hub: a repository must be named"):
            build(text)


@once
def test_the_range_that_timm_states():
    assert stated_numerics({}).value_range is None
    assert stated_numerics({"pretrained_cfg": HALF}).value_range == (-1, 1)
    assert stated_numerics(UNIT).value_range == (0, 1)  # as older configurations
