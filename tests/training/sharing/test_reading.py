"""Shared models of strangers: nothing in them is executed, and what is not valid is explained."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from keras_mixer.weights.hub import LARGEST_CONFIG_BYTES
from keras_mixer.weights.layouts import TIMM
from tests.support.command_line import flat
from tests.support.hub import Hub
from tests.support.layouts import in_layout
from tests.support.models import random_arrays, random_pixels, small_architecture
from tests.support.runs import CLASS_NAMES
from tests.support.shared import finished_run
from tests.support.special_files import make_special
from training.model_argument import load_model, parse
from training.sharing.shared_folder import SharedFolder, is_shared
from training.sharing.shared_model import SharedModel
from training.sharing.writing import share_to_folder

pytestmark = pytest.mark.backend("torch")  # files are read; test_share.py is for all backends
NAME = "user/mixer"


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A shared model."""
    folder = tmp_path_factory.mktemp("honest")
    argument = parse(str(finished_run(folder / "run").path))
    share_to_folder(folder / "shared", argument, load_model(argument))
    return folder / "shared"


@pytest.fixture
def shared(honest, tmp_path, monkeypatch):
    """A copy of it, in a working folder that has an image."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(random_pixels((20, 30, 3))).save("photo.jpg")
    return shutil.copytree(honest, tmp_path / "shared")


def refusal(call, model):
    """Return the message of `predict` with a model that must be refused."""
    status, out, err = call("predict", model, "photo.jpg")
    assert (status, out) == (2, ""), err
    assert "Traceback" not in err
    return flat(err)


def change_config(folder, change):
    path = folder / "config.json"
    entries = json.loads(path.read_text())
    change(entries["keras_mixer"])
    path.write_text(json.dumps(entries))


class TestFolder:
    def test_a_shared_folder_is_told_from_a_run(self, shared, tmp_path):
        run = finished_run(tmp_path / "run")
        assert is_shared(shared) and not is_shared(run.path) and not is_shared(tmp_path)
        (run.path / "model.safetensors").touch()  # as `convert` may write there
        assert not is_shared(run.path)
        assert parse(str(shared)) == SharedModel(str(shared), SharedFolder(shared))

    @pytest.mark.parametrize("content", ["", "[]", "1", "[" * 100_000, '{"keras_mixer"', "\xff"])
    def test_a_configuration_of_another_form_is_not_shared(self, call, shared, content):
        (shared / "config.json").write_text(content, encoding="latin-1")
        assert not is_shared(shared)
        assert "config.json must be" in refusal(call, shared)

    @pytest.mark.parametrize(
        "field, value",
        [
            ("hidden_dim", 10**12),
            ("version", 9),
            ("constructor", "__import__"),
            ("auto_map", {"AutoModel": "evil.Model"}),
            ("input_shape", [10**9, 10**9, 3]),
            ("classes", 10**10),
            ("value_range", [0, 1]),
            ("transform", 3),
        ],
    )
    def test_fields_that_are_not_of_the_weights(self, call, shared, field, value):
        change_config(shared, lambda section: section.update({field: value}))
        message = refusal(call, shared)
        assert "MODEL must name a valid shared model" in message and field in message
        assert "share it again" in message

    def test_a_key_that_is_there_twice(self, call, shared):
        text = (shared / "config.json").read_text().rstrip().removesuffix("}")
        (shared / "config.json").write_text(text + ', "keras_mixer": {}}')
        assert not is_shared(shared)
        assert "config.json must be" in refusal(call, shared)

    def test_a_configuration_that_is_too_large(self, call, shared):
        text = (shared / "config.json").read_text()
        (shared / "config.json").write_text(text + " " * LARGEST_CONFIG_BYTES)
        assert not is_shared(shared)

    @pytest.mark.parametrize(
        "content, expected",
        [
            ('["cat", "dog"]', "it has 2 names for 3 classes"),
            ('["cat", "dog", 3]', "must be a string"),
            ('{"cat": 0}', "must be a list"),
            ("[" * 100_000, "nested too deeply"),
            (None, "No such file"),
        ],
    )
    def test_names_of_classes(self, call, shared, content, expected):
        path = shared / "class_names.json"
        path.unlink()
        if content is not None:
            path.write_text(content)
        message = refusal(call, shared)
        assert "MODEL must name a valid shared model" in message and expected in message

    @pytest.mark.parametrize("name", ["class_names.json", "model.safetensors"])
    @pytest.mark.parametrize("kind", ["FIFO", "device"])
    def test_what_is_no_regular_file(self, call, shared, tmp_path, name, kind):
        if kind == "device":
            special = Path(os.devnull)
        else:
            special = make_special("FIFO", tmp_path / "special")
        (shared / name).unlink()
        (shared / name).symlink_to(special)
        assert "MODEL must name a valid shared model" in refusal(call, shared)

    @pytest.mark.parametrize("kind", ["pickle", "npz", "nothing", "truncated", "no head"])
    def test_weights(self, call, shared, kind):
        path = shared / "model.safetensors"
        content = path.read_bytes()
        path.unlink()
        arrays = random_arrays(small_architecture(num_patches=4, classes=3).shapes())
        if kind == "pickle":
            path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch canary'\ntR.")
        elif kind == "npz":
            with path.open("wb") as file:
                np.savez(file, **arrays)
        elif kind == "truncated":
            path.write_bytes(content[:-8])
        elif kind == "no head":
            body = {name: array for name, array in arrays.items() if "head/" not in name}
            safetensors.numpy.save_file(in_layout(TIMM, body), path)
        expected = {
            "pickle": "is a Python pickle",
            "npz": "is not in the format safetensors but in npz",
            "nothing": "does not exist",
            "truncated": "cannot be read as safetensors",
            "no head": "its weights are without a head",
        }
        assert expected[kind] in refusal(call, shared)
        assert not Path("canary").exists()

    def test_code_beside_it_is_not_executed(self, call, shared, tmp_path):
        canary = f"open({str(tmp_path / 'canary')!r}, 'w')\n"
        for name in ("modeling.py", "__init__.py", "keras_mixer.py", "config.py", "model.py"):
            (shared / name).write_text(canary)
        (shared / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n(S'touch canary'\ntR.")
        change_config(shared, lambda section: None)
        status, _, err = call("predict", shared, "photo.jpg")
        assert status == 0, err
        assert not (tmp_path / "canary").exists() and not Path("canary").exists()

    def test_names_are_no_commands_to_the_terminal(self, call, shared):
        (shared / "class_names.json").write_text('["\\u001b]0;title\\u0007", "b", "c"]')
        status, out, _ = call("predict", shared, "photo.jpg")
        assert status == 0 and "title" in out and "\x1b" not in out


class TestTimm:
    """Repositories without a section of this library."""

    @pytest.fixture
    def hub(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        Image.fromarray(random_pixels((20, 30, 3))).save("photo.jpg")
        with Hub() as hub:
            hub.use(monkeypatch, tmp_path / "cache")
            yield hub

    def put(self, hub, **entries):
        arrays = random_arrays(small_architecture(num_patches=4, classes=3).shapes())
        pretrained = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear"}
        config = {"pretrained_cfg": pretrained | {"crop_pct": 0.875}} | entries
        content = safetensors.numpy.save(in_layout(TIMM, arrays))
        hub.put(NAME, {"model.safetensors": content, "config.json": json.dumps(config).encode()})

    def test_what_their_configuration_says(self, hub):
        self.put(hub, label_names=list(CLASS_NAMES))
        loaded = load_model(parse(f"hf://{NAME}"))
        assert loaded.class_names == CLASS_NAMES
        assert (loaded.evaluation_transform, loaded.activation) == ("timm-bilinear", "softmax")
        assert parse(f"hf://{NAME}").output_dir("evaluation") == Path("evaluations/user-mixer")

    @pytest.mark.parametrize("names", [None, ["a", "b"], [1, 2, 3], {"0": "a"}, "abc"])
    def test_names_that_are_not_of_the_classes(self, hub, names):
        self.put(hub, label_names=names)
        assert load_model(parse(f"hf://{NAME}")).names_or_numbers == ("0", "1", "2")

    def test_no_configuration(self, hub, call):
        self.put(hub)
        files = hub.files(NAME)
        del files["config.json"]
        hub.repositories[NAME] = {}
        hub.put(NAME, files)
        loaded = load_model(parse(f"hf://{NAME}"))
        assert loaded.evaluation_transform == "resmall-crop"

    @pytest.mark.parametrize("content", [b"{", b"[]", b'{"a": 1, "a": 2}', b"\xff"])
    def test_a_configuration_that_is_not_valid(self, hub, call, content):
        self.put(hub)
        hub.put(NAME, {"config.json": content})
        message = refusal(call, f"hf://{NAME}")
        assert "config.json" in message and "MODEL must name a valid shared model" in message

    def test_a_section_that_is_not_valid(self, hub, call):
        self.put(hub, keras_mixer={"version": 1})
        message = refusal(call, f"hf://{NAME}")
        assert "keras_mixer.constructor is missing" in message
