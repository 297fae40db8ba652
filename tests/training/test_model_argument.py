import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.support import reference
from tests.support.models import random_pixels
from tests.support.runs import CLASS_NAMES as NAMES
from tests.support.runs import train_run
from training.cli.model_options import read_class_names
from training.errors import UserError
from training.model_argument import (
    KerasModel,
    PretrainedModel,
    RunModel,
    load_model,
    parse,
)

PIXELS = random_pixels((4, 8, 8, 3))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_run(tmp_path_factory.mktemp("finished"), loss="sigmoid")


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    return train_run(tmp_path_factory.mktemp("averaged"), ema_momentum=0.8)


def read(path):
    """Return `{name: array}` of the weights in a checkpoint, read without the library."""
    with zipfile.ZipFile(path) as archive:
        entries = json.loads(archive.read("progress.json"))["weights"]
        return {
            name: np.lib.format.read_array(archive.open(f"{entry}.npy"))
            for name, entry in entries.items()
        }


def logits(loaded):
    return loaded.model.predict(PIXELS, verbose=0)


def newest(run):
    return max(run.checkpoints.glob("batch-*.npz"))


@pytest.mark.backend("torch")
class TestParse:
    def test_runs(self, run):
        text = str(run.path)
        assert parse(text) == RunModel(text, run)
        for name in ("best", "step-4"):
            assert parse(f"{text}@{name}") == RunModel(f"{text}@{name}", run, name)

    def test_a_folder_with_an_at_sign(self, run, tmp_path):
        (tmp_path / "a@best").symlink_to(run.path)
        argument = parse(str(tmp_path / "a@best"))
        assert (argument.folder.path, argument.checkpoint) == (tmp_path / "a@best", "")

    def test_files_and_constructors(self, run):
        text = str(run.model)
        assert parse(text) == KerasModel(text, run.model)
        for weights in ("imagenet1k", "some/where.npz", "C:/odd.npz"):
            text = f"MixerB16:{weights}"
            assert parse(text) == PretrainedModel(text, "MixerB16", weights)

    @pytest.mark.parametrize(
        "text, expected",
        [
            ("RUN@newest", "Received: RUN@newest. Pass RUN@best, or a step such as RUN@step-1200"),
            ("RUN@step-", "Pass RUN@best"),
            ("no/such", "Received: no/such, which does not exist. Check the path"),
            ("no/such@best", "Received: no/such, which does not exist. Check the path"),
            ("no/such.keras", "no/such.keras, which does not exist"),
            ("A_FILE", "A_FILE, a file. Name the constructor of its weights: MixerB16:A_FILE."),
            (
                "LEGACY",
                "LEGACY, a file. Save the model with model.save('model.keras'); Keras's .h5",
            ),
            ("FOLDER", "FOLDER, a folder without config.json. Pass the folder that `train` wrote"),
            ("FOLDER@best", "FOLDER, a folder without config.json"),
            ("MixerB17:imagenet1k", "Did you mean MixerB16:imagenet1k?"),
            ("mixer_l16:imagenet1k", "Did you mean MixerL16:imagenet1k?"),
            ("mixerh14", "Did you mean MixerH14:FILE.npz?"),
            ("MixerS16", "Received: MixerS16, without weights. Pass MixerS16:gsam."),
            ("MixerB32:", "without weights. Pass MixerB32:sam or MixerB32:gsam."),
            ("MixerH14", "Pass MixerH14:FILE.npz."),
        ],
    )
    def test_mistakes_are_refused_with_the_forms(self, run, tmp_path, text, expected):
        for name in ("weights.npz", "model.h5"):
            (tmp_path / name).touch()
        for name, path in (
            ("RUN", run.path),
            ("A_FILE", tmp_path / "weights.npz"),
            ("LEGACY", tmp_path / "model.h5"),
            ("FOLDER", tmp_path),
        ):
            text, expected = text.replace(name, str(path)), expected.replace(name, str(path))
        with pytest.raises(UserError) as error:
            parse(text)
        message = str(error.value)
        assert message.startswith("MODEL must be a folder of a run (")
        assert "MixerB16:imagenet1k" in message and expected in message
        with pytest.raises(UserError, match="^--weights must be"):
            parse(text, "--weights")


class TestRun:
    def test_a_finished_run_is_its_model(self, run):
        loaded = load_model(parse(str(run.path)))
        expected = keras.saving.load_model(run.model, compile=False).predict(PIXELS, verbose=0)
        np.testing.assert_array_equal(logits(loaded), expected)
        assert loaded.class_names == loaded.names_or_numbers == NAMES
        assert loaded.data == run.read_config().data
        facts = (loaded.evaluation_transform, loaded.activation, loaded.precision)
        assert facts == ("resize-crop", "sigmoid", "float32")

    @pytest.mark.parametrize("name", ["best", "step-1", "step-4"])
    def test_a_checkpoint_is_read(self, run, name):
        loaded = load_model(parse(f"{run.path}@{name}"))
        path = run.find_checkpoint(name)
        expected = reference.mixer(read(path), PIXELS)
        assert reference.relative_error(logits(loaded), expected) < reference.LARGEST_ERROR
        assert (loaded.class_names, loaded.activation) == (NAMES, "sigmoid")
        assert loaded.evaluation_transform == "resize-crop"

    def test_an_unfinished_run_is_its_newest_checkpoint(self, averaged, tmp_path):
        unfinished = tmp_path / "run"
        unfinished.mkdir()
        for name in ("config.json", "class_names.json", "checkpoints"):
            (unfinished / name).symlink_to(averaged.path / name)
        loaded = load_model(parse(str(unfinished)))
        expected = load_model(parse(str(averaged.path)))
        np.testing.assert_allclose(logits(loaded), logits(expected), atol=1e-6)

    def test_with_ema_a_checkpoint_is_its_averages(self, averaged):
        path = newest(averaged)
        loaded = load_model(parse(f"{averaged.path}@step-6"))
        kernel = keras.ops.convert_to_numpy(loaded.model.get_layer("stem").kernel)
        np.testing.assert_array_equal(kernel, read(path)["stem/kernel"])
        with zipfile.ZipFile(path) as archive:
            assert json.loads(archive.read("progress.json"))["weights"]["stem/kernel"].startswith(
                "optimizer/"
            )

    def test_a_run_with_a_corrupt_model_names_a_checkpoint(self, run, tmp_path):
        copy = tmp_path / "run"
        copy.mkdir()
        for path in run.path.iterdir():
            if path != run.model:
                (copy / path.name).symlink_to(path)
        (copy / "model.keras").write_bytes(run.model.read_bytes()[:1000])
        with pytest.raises(UserError, match=f"model.keras must be.*Pass {copy}@best, a checkpoint"):
            load_model(parse(str(copy)))
        load_model(parse(f"{copy}@best"))

    def test_class_names_must_be_those_of_the_checkpoint(self, run, tmp_path):
        copy = tmp_path / "run"
        copy.mkdir()
        for name in ("config.json", "checkpoints"):
            (copy / name).symlink_to(run.path / name)
        (copy / "class_names.json").write_text('["cat", "dog"]')
        with pytest.raises(
            UserError, match="must name the 3 classes of the run. Received: 2 names"
        ):
            load_model(parse(f"{copy}@best"))

    def test_a_checkpoint_that_is_not_there_is_refused(self, run):
        with pytest.raises(UserError, match="run@step-99. Pass .*@step-1 or .* or .*run@best"):
            load_model(parse(f"{run.path}@step-99"))


class TestFiles:
    def test_a_copy_of_model_keras_knows_neither_names_nor_activation(self, run, tmp_path):
        path = tmp_path / "copy.keras"
        path.write_bytes(run.model.read_bytes())
        loaded = load_model(parse(str(path)))
        np.testing.assert_array_equal(logits(loaded), logits(load_model(parse(str(run.path)))))
        assert loaded.class_names is None and loaded.names_or_numbers == ("0", "1", "2")
        assert (loaded.activation, loaded.data) == ("softmax", None)
        assert loaded.evaluation_transform == "resmall-crop"
        loaded = load_model(parse(str(path)), "sigmoid", NAMES)
        assert (loaded.activation, loaded.class_names) == ("sigmoid", NAMES)
        with pytest.raises(UserError, match="one name for each class of the model, 3. Received: 2"):
            load_model(parse(str(path)), class_names=NAMES[:2])

    def test_the_activation_of_a_file_is_known(self, tmp_path):
        images = keras.Input((8, 8, 3))
        dense = keras.layers.Dense(3, activation="sigmoid")
        model = keras.Model(images, dense(keras.layers.Flatten()(images)))
        model.save(tmp_path / "mine.keras")
        loaded = load_model(parse(str(tmp_path / "mine.keras")))
        assert loaded.activation == "sigmoid"
        expected = model.predict(PIXELS / 255, verbose=0)
        found = loaded.model.predict(PIXELS / 255, verbose=0)
        np.testing.assert_allclose(1 / (1 + np.exp(-found)), expected, rtol=1e-5)

    @pytest.mark.parametrize(
        "weights, expected",
        [
            ("imagenet1k", "was published as gsam"),
            ("no/such.npz", "no/such.npz': does not exist"),
            ("nothing", "must be the name of a published checkpoint|No variant has"),
        ],
    )
    def test_weights_that_do_not_exist_are_refused(self, weights, expected):
        with pytest.raises(UserError, match="^MODEL must name valid weights") as error:
            load_model(parse(f"MixerS16:{weights}"))
        assert f"Received: {weights}. " in str(error.value)
        assert any(part in str(error.value) for part in expected.split("|"))


@pytest.mark.backend("torch")
class TestClassNames:
    @pytest.mark.parametrize("text", ["cat\ndog\nemu\n", "cat\ndog\nemu", '["cat", "dog", "emu"]'])
    def test_lines_or_json(self, tmp_path, text):
        (tmp_path / "names").write_text(text)
        assert read_class_names(tmp_path / "names") == NAMES

    def test_the_names_of_a_run(self, run):
        assert read_class_names(run.path / "class_names.json") == NAMES

    @pytest.mark.parametrize(
        "text",
        [
            "cat\n\ndog",
            '{"cat": 1}',
            "[1, 2]",
            '["cat"',
            None,
            pytest.param("[" * 100_000, id="deep"),
        ],
    )
    def test_other_files_are_refused(self, tmp_path, text):
        if text is not None:
            Path(tmp_path / "names").write_text(text)
        with pytest.raises(UserError, match="--class-names must be a file with one name on each"):
            read_class_names(tmp_path / "names")
