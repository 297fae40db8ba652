"""The command `share`: folders and uploads, and what other commands and people make of them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy
import yaml
from PIL import Image

import keras_mixer
from keras_mixer.convert import convert
from run import BACKENDS, ROOT
from tests.support.command_line import flat
from tests.support.hub import TOKEN, Hub
from tests.support.models import random_pixels, randomize, small_mixer
from tests.support.runs import CLASS_NAMES
from tests.support.shared import IMAGE_SIZE, finished_run
from training.config import Model
from training.config.schema import conform
from training.model_argument import load_model, parse
from training.sharing.shared_config import SharedConfig
from training.sharing.shared_model import SharedModel

once = pytest.mark.backend("torch")
FILES = {"README.md", "class_names.json", "config.json", "model.safetensors"}
PIXELS = random_pixels((4, IMAGE_SIZE, IMAGE_SIZE, 3))
NAME = "user/mixer"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def work(tmp_path, monkeypatch):
    """An empty working folder with a photo."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(random_pixels((20, 30, 3))).save("photo.jpg")
    return tmp_path


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with Hub() as hub:
        hub.use(monkeypatch, tmp_path / "cache")
        yield hub


def logits(text):
    return load_model(parse(str(text))).model.predict(PIXELS, verbose=0)


def share(call, *arguments):
    status, out, err = call("share", *arguments)
    assert status == 0, err
    assert TOKEN not in out + err
    return out


def refusal(call, *arguments):
    """Return the message of a command that must be refused."""
    status, _, err = call("share", *arguments)
    assert status == 2 and "Traceback" not in err
    assert TOKEN not in err
    return flat(err)


def snippet(card):
    """Return the Python code in a model card."""
    return card.partition("```python\n")[2].partition("```")[0]


class TestFolder:
    def test_a_run_is_shared_and_used_from_another_place(self, call, run, work):
        out = share(call, run.path, "--to", "shared")
        assert "python -m training predict shared IMAGE" in flat(out)
        expected = logits(run.path)
        elsewhere = shutil.move(work / "shared", work / "else where")
        assert {path.name for path in elsewhere.iterdir()} == FILES
        argument = parse(str(elsewhere))
        assert isinstance(argument, SharedModel)
        assert argument.output_dir("evaluation") == Path("evaluations/else where")
        loaded = load_model(argument)
        np.testing.assert_allclose(
            loaded.model.predict(PIXELS, verbose=0), expected, atol=1e-6 * np.abs(expected).max()
        )
        assert loaded.class_names == CLASS_NAMES
        assert (loaded.activation, loaded.evaluation_transform) == ("sigmoid", "resize-crop")
        assert loaded.data is None
        status, out, err = call("predict", elsewhere, "photo.jpg", "--json")
        assert status == 0, err
        same = call("predict", run.path, "photo.jpg", "--json")[1]
        for ours, theirs in zip(json.loads(out), json.loads(same), strict=True):
            assert [name for name, _ in ours["classes"]] == [name for name, _ in theirs["classes"]]

    def test_the_snippet_of_the_card_runs(self, call, run, work, monkeypatch, capsys):
        share(call, run.path, "--to", "shared")
        shutil.copy("photo.jpg", "shared")
        monkeypatch.chdir("shared")
        exec(snippet(Path("README.md").read_text()), {"__name__": "__main__"})
        printed = capsys.readouterr().out.split()[-1]
        assert printed in CLASS_NAMES
        predicted = json.loads(call("predict", ".", "photo.jpg", "--json", "--top", "1")[1])
        assert predicted[0]["classes"][0][0] == printed

    @once
    def test_the_weights_are_timms(self, call, run, work):
        share(call, run.path, "--to", "shared")
        convert(run.model, "converted.safetensors")
        shared, converted = (
            safetensors.numpy.load_file(path)
            for path in ("shared/model.safetensors", "converted.safetensors")
        )
        assert shared.keys() == converted.keys()
        assert all((shared[name] == converted[name]).all() for name in shared)
        assert shared["stem.proj.weight"].shape == (16, 3, 4, 4)
        assert shared["blocks.1.mlp_tokens.fc1.weight"].shape == (8, 4)

    @once  # its model is one of PyTorch
    def test_pytorch_computes_the_same_from_timms_arguments(self, call, work):
        import safetensors.torch
        import torch

        from tests.support.timm_mixer import TimmMixer

        mixer = small_mixer(input_shape=(8, 12, 3), approximate_gelu=False)
        randomize(mixer)
        mixer.save("mixer.keras")
        Path("names").write_text("a\nb\nc\nd\ne\n")
        share(call, "mixer.keras", "--to", "shared", "--class-names", "names")
        config = json.loads(Path("shared/config.json").read_text())["keras_mixer"]
        model = TimmMixer(**conform(config, SharedConfig).timm_arguments())
        model.load_state_dict(safetensors.torch.load_file("shared/model.safetensors"))
        pixels = random_pixels((2, 8, 12, 3))
        images = torch.from_numpy(pixels / 255).float().permute(0, 3, 1, 2)
        with torch.no_grad():
            found = model((images - 0.5) / 0.5).numpy()
        np.testing.assert_allclose(found, mixer.predict(pixels, verbose=0), rtol=1e-4, atol=1e-6)

    @once
    def test_a_gray_mixer_of_another_shape(self, call, work, monkeypatch, capsys):
        mixer = small_mixer(input_shape=(8, 12, 1), approximate_gelu=False, value_range=(0, 1))
        randomize(mixer)
        mixer.save("gray.keras")
        Path("names").write_text("a\nb\nc\nd\ne\n")
        share(call, "gray.keras", "--to", "gray", "--class-names", "names", "--license", "mit")
        pixels = random_pixels((2, 8, 12, 1))
        loaded = load_model(parse("gray"))
        np.testing.assert_allclose(
            loaded.model.predict(pixels, verbose=0), mixer.predict(pixels, verbose=0), rtol=1e-5
        )
        shutil.copy("photo.jpg", "gray")
        monkeypatch.chdir("gray")
        card = Path("README.md").read_text()
        assert 'license: "mit"' in card and "shared from a file" in card
        exec(snippet(card), {"__name__": "__main__"})
        assert capsys.readouterr().out.split()[-1] in "abcde"

    @once
    def test_weights_of_a_larger_image_are_shared_as_they_are(self, call, work):
        """Block-diagonal weights of a variant are as wide as their image is large."""
        Path("names").write_text("a\nb\n")
        sizes = {"patch_size": 4, "hidden_dim": 16, "num_blocks": 1}
        small = keras_mixer.MlpMixer(
            **sizes, tokens_mlp_dim=4, channels_mlp_dim=8, input_shape=(8, 8, 3), classes=2
        )
        randomize(small)
        small.save("small.keras")
        large = keras_mixer.MlpMixer(
            **sizes,
            tokens_mlp_dim=4,
            channels_mlp_dim=8,
            input_shape=(16, 16, 3),
            weights="small.keras",
            classifier_activation=None,
        )
        large.save("large.keras")
        share(call, "large.keras", "--to", "large", "--class-names", "names")
        pixels = random_pixels((2, 16, 16, 3))
        np.testing.assert_allclose(
            load_model(parse("large")).model.predict(pixels, verbose=0),
            large.predict(pixels, verbose=0),
            rtol=1e-5,
        )

    @once
    def test_a_shared_model_is_shared_again_and_replaced(self, call, run, work):
        share(call, run.path, "--to", "first")
        share(call, "first", "--to", "second", "--json")
        card = Path("second/README.md").read_text()
        assert "Shared again: see the card of first." in card
        np.testing.assert_array_equal(logits("first"), logits("second"))
        Path("second/notes.txt").write_text("mine")
        share(call, run.path, "--to", "second")
        assert Path("second/notes.txt").read_text() == "mine"
        assert "Shared again" not in Path("second/README.md").read_text()
        assert {path.name for path in work.iterdir()} == {"first", "second", "photo.jpg"}

    @once
    def test_an_empty_folder_is_filled(self, call, run, work):
        Path("empty").mkdir()
        share(call, run.path, "--to", "empty")
        assert {path.name for path in Path("empty").iterdir()} == FILES

    @once
    def test_a_model_in_half_precision_is_shared_in_float32(self, call, work):
        mixer = small_mixer(input_shape=(8, 8, 3), classes=3, dtype="mixed_bfloat16")
        randomize(mixer)
        mixer.save("half.keras")
        Path("names").write_text("\n".join(CLASS_NAMES))
        share(call, "half.keras", "--to", "half", "--class-names", "names")
        assert load_model(parse("half")).model.get_layer("stem").compute_dtype == "float32"


class TestCard:
    @pytest.fixture
    def card(self, call, run, work):
        share(call, run.path, "--to", "shared")
        return Path("shared/README.md").read_text()

    @once
    def test_its_metadata_are_those_of_the_run(self, card):
        metadata = yaml.safe_load(card.split("---\n")[1])
        assert metadata["license"] == "unknown" and metadata["library_name"] == "keras_mixer"
        assert metadata["datasets"] == ["digits"]
        (result,) = metadata["model-index"][0]["results"]
        assert result["dataset"] == {"name": "digits", "type": "digits", "split": "test"}
        assert [(m["name"], m["value"]) for m in result["metrics"]] == [
            ("accuracy", 0.5),
            ("top-5 accuracy", 0.9),
        ]

    @once
    def test_the_hub_reads_it(self, card):
        from huggingface_hub import ModelCard

        data = ModelCard(card, ignore_metadata_errors=False).data
        assert data.license == "unknown" and data.pipeline_tag == "image-classification"
        (result, _) = data.eval_results
        assert (result.metric_type, result.metric_value) == ("accuracy", 0.5)

    @once
    def test_it_states_data_recipe_results_and_versions(self, card):
        for expected in (
            "| `--loss` | `sigmoid` |",
            "| `--hidden-dim` | `16` |",
            "Initial weights: random.",
            "On the test split of `digits`, 6 images",
            "| accuracy | 0.5000 |",
            "| loss | 1.0000 |",
            f"| shared with keras | {keras.__version__} |",
            f"| trained with keras_mixer | {keras_mixer.__version__} |",
            "stated no license",
            "The code of keras_mixer: Apache-2.0.",
            "`cat`, `dog`, `emu`",
            "timm's names, which has no model of this size",
            "embed_dim=16",
            "mlp_ratio=(0.5, 1.5)",
        ):
            assert expected in card

    @once
    def test_paths_stay_private(self, call, work):
        model = Model(**{**vars(finished_run(work / "r").read_config().model)})
        source = "folder:/home/someone/secret/photos"
        private = finished_run(work / "private", model, source)
        share(call, private.path, "--to", "shared")
        text = "".join(Path("shared", name).read_text() for name in FILES if name[-1] != "s")
        assert "folder:photos" in text
        for word in ("someone", "secret", str(work)):
            assert word not in text
        metadata = yaml.safe_load(text.split("---\n")[1]) if text.startswith("---") else {}
        assert "datasets" not in metadata
        assert "The dataset is not public" in text

    @once
    def test_names_are_no_markup(self, call, work):
        run = finished_run(work / "run")
        names = ["<script>alert(1)</script>", "a`b\n---\nlicense: mit", "[x](http://evil)"]
        run.write_class_names(names)
        (run.path / "summary.json").write_text(
            json.dumps(json.loads(run.summary.read_text()) | {"class_names": names})
        )
        share(call, run.path, "--to", "shared")
        card = Path("shared/README.md").read_text()
        assert "<script>" not in card and "](http://evil)" not in card
        assert yaml.safe_load(card.split("---\n")[1])["license"] == "unknown"
        assert load_model(parse("shared")).class_names == tuple(names)


@once
class TestRefusals:
    def test_folders_with_other_files(self, call, run, work):
        Path("mine").mkdir()
        Path("mine/thesis.txt").write_text("all of it")
        assert "mine, which has other files" in refusal(call, run.path, "--to", "mine")
        message = refusal(call, run.path, "--to", run.path)
        assert "which has other files. Pass another folder" in message
        assert "photo.jpg, a file" in refusal(call, run.path, "--to", "photo.jpg")
        assert Path("mine/thesis.txt").read_text() == "all of it"

    def test_a_folder_that_cannot_be_written(self, call, run, work):
        message = refusal(call, run.path, "--to", "/proc/shared")
        assert "--to must be a folder that can be written to" in message

    @pytest.mark.parametrize(
        "options, expected",
        [
            (("--to", "hf://user"), "--to: hub: a repository must be named hf://USER/REPO"),
            (("--to", "s3://bucket/x"), "--to must be a folder or hf://USER/REPO"),
            (("--to", ""), "Received: nothing"),
            (("--to", "x", "--private"), "--private must be left out with a folder"),
            (("--to", "x", "--license", "My Own"), "--license must be an identifier"),
        ],
    )
    def test_options(self, call, run, work, options, expected):
        assert expected in refusal(call, run.path, *options)
        assert not Path("x").exists()

    def test_a_model_without_class_names(self, call, run, work):
        shutil.copy(run.model, "copy.keras")
        message = refusal(call, "copy.keras", "--to", "shared")
        assert "--class-names must be given for copy.keras" in message
        assert not Path("shared").exists()

    @pytest.mark.parametrize(
        "changes", [{"architecture": "mixer-untied"}, {"input_permutation": "pixels"}]
    )
    def test_models_of_studies(self, call, work, changes):
        run = finished_run(work / "study", Model(patch_size=4, **changes), save=False)
        message = refusal(call, run.path, "--to", "shared")
        assert "MODEL must be a plain Mixer to be shared" in message
        assert "mixer-untied" in message or "--input-permutation pixels" in message

    def test_a_mixer_inside_of_another_model(self, call, work):
        layers = keras.layers
        mixer = small_mixer(input_shape=(8, 8, 3), include_top=False, pooling="avg")
        keras.Sequential([mixer, layers.Dense(2)]).save("wrapped.keras")
        Path("names").write_text("a\nb")
        message = refusal(call, "wrapped.keras", "--to", "shared", "--class-names", "names")
        assert "MODEL must be a Mixer as keras_mixer builds it" in message
        assert {path.name for path in work.iterdir()} == {"wrapped.keras", "names", "photo.jpg"}

    @pytest.mark.parametrize("change", ["another layer", "no preprocessing"])
    def test_a_model_that_computes_something_else_with_the_same_arrays(self, call, work, change):
        arguments = {"input_shape": (8, 8, 3), "classes": 3}
        mixer = small_mixer(**arguments)
        if change == "no preprocessing":
            mixer = small_mixer(**arguments, include_preprocessing=False)
        randomize(mixer)
        if change == "another layer":
            mixer = keras.Model(mixer.input, keras.layers.Rescaling(3.0)(mixer.output))
        mixer.save("odd.keras")
        Path("names").write_text("\n".join(CLASS_NAMES))
        message = refusal(call, "odd.keras", "--to", "shared", "--class-names", "names")
        assert "a Mixer with its weights computes other logits" in message
        assert not Path("shared").exists()


class TestHub:
    def test_a_model_is_uploaded_and_used_by_its_name(self, call, run, work, hub, capsys):
        out = share(call, run.path, "--to", f"hf://{NAME}", "--json")
        assert json.loads(out)["commit"].startswith(f"{hub.url}/{NAME}/commit/")
        assert hub.files(NAME).keys() == FILES
        assert len(hub.repositories[NAME]) == 1 and not hub.private
        expected = logits(run.path)
        tolerance = {"atol": 1e-6 * np.abs(expected).max()}
        np.testing.assert_allclose(logits(f"hf://{NAME}"), expected, **tolerance)
        mixer = small_mixer(weights=f"hf://{NAME}", input_shape=(8, 8, 3), classes=3)
        np.testing.assert_allclose(mixer.predict(PIXELS, verbose=0), expected, **tolerance)
        status, out, err = call("predict", f"hf://{NAME}", "photo.jpg", "--json")
        assert status == 0, err
        exec(snippet(hub.files(NAME)["README.md"].decode()), {"__name__": "__main__"})
        printed = capsys.readouterr().out.split()[-1]
        assert printed == json.loads(out)[0]["classes"][0][0]

    @once
    def test_a_private_repository(self, call, run, work, hub):
        share(call, run.path, "--to", f"hf://{NAME}", "--private")
        assert hub.private == {NAME}
        share(call, run.path, "--to", f"hf://{NAME}", "--private")  # another commit
        assert len(hub.repositories[NAME]) == 2

    @once
    def test_private_is_not_public(self, call, run, work, hub):
        hub.put(NAME, {"README.md": b"public"})
        message = refusal(call, run.path, "--to", f"hf://{NAME}", "--private")
        assert "--private must name a private or new repository" in message
        assert hub.files(NAME) == {"README.md": b"public"}

    @once
    def test_without_a_token(self, call, run, work, hub, monkeypatch):
        hub.use(monkeypatch, work / "cache", token="")
        message = refusal(call, run.path, "--to", f"hf://{NAME}")
        assert "without a token" in message and "hf auth login" in message
        assert not hub.requests

    @once
    def test_with_a_token_that_is_not_valid(self, call, run, work, hub, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_of_someone_else")
        message = refusal(call, run.path, "--to", f"hf://{NAME}")
        assert "hf auth login" in message and "hf_of_someone_else" not in message
        assert not hub.repositories

    @once
    def test_offline(self, call, run, work, hub, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert "HF_HUB_OFFLINE" in refusal(call, run.path, "--to", f"hf://{NAME}")

    @once
    @pytest.mark.parametrize("step", ["create", "preupload", "batch", "PUT", "commit"])
    def test_a_hub_that_fails(self, call, run, work, hub, step):
        hub.failing[step] = 500
        message = refusal(call, run.path, "--to", f"hf://{NAME}")
        assert "--to must be a folder, or a repository that you may write to" in message
        assert "500" in message or "Error while uploading" in message
        assert not hub.files(NAME)

    @once
    def test_a_card_that_the_hub_refuses(self, call, run, work, hub):
        hub.metadata_errors.append('"license" must be one of [apache-2.0, mit]')
        message = refusal(call, run.path, "--to", f"hf://{NAME}", "--license", "no-such")
        assert 'Invalid metadata in README.md. - "license" must be one of' in message
        assert not hub.files(NAME)

    @once
    def test_it_is_not_installed(self, call, run, work, monkeypatch):
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        assert 'pip install -e ".[hub]"' in refusal(call, run.path, "--to", f"hf://{NAME}")

    @once
    @pytest.mark.parametrize(
        "text, expected",
        [
            ("hf://user", "MODEL: hub: a repository must be named"),
            ("MixerB16:hf://user", "MODEL: hub: a repository must be named"),
            ("hf://nobody/nothing", "no such repository, or a private one"),
        ],
    )
    def test_a_model_that_is_not_there(self, call, work, hub, text, expected):
        status, _, err = call("predict", text, "photo.jpg")
        assert status == 2 and expected in flat(err) and "Traceback" not in err

    @once
    def test_another_constructor(self, call, run, work, hub):
        share(call, run.path, "--to", f"hf://{NAME}")
        status, _, err = call("predict", f"MixerS32:hf://{NAME}", "photo.jpg")
        assert status == 2
        assert "does not hold exactly the arrays of this model" in flat(err)


READ = """
import numpy as np
from tests.support.models import random_pixels
from training.model_argument import load_model, parse
model = load_model(parse({shared!r})).model
np.save({out!r}, model.predict(random_pixels({shape}), verbose=0))
"""


@once
@pytest.mark.long
def test_all_backends_compute_the_same_with_a_shared_model(call, run, work):
    """Written on one backend, and read from another folder on the others."""
    share(call, run.path, "--to", "written")
    shared = shutil.move("written", work / "shared")
    expected = logits(run.path)
    for backend in {*BACKENDS} - {keras.backend.backend()}:
        code = READ.format(shared=str(shared), out=f"{backend}.npy", shape=PIXELS.shape)
        environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        error = np.abs(np.load(f"{backend}.npy") - expected).max() / np.abs(expected).max()
        print(f"{backend}: largest difference {error:.1e} of the largest logit")
        assert error < 2e-6
