"""`study weights` on a small run, from its options to its files."""

import csv
import json

import keras
import numpy as np
import pytest

from tests.support.models import randomize, small_mixer
from tests.support.runs import train_run
from training.cli.studies.weights import Weights
from training.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_run(tmp_path_factory.mktemp("finished"), accumulation_steps=2)


def study(model, folder, **options):
    command = Weights(str(model), output_dir=folder, **options)
    command.check()
    command.run()
    return json.loads((folder / "results.json").read_text())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_run_with_its_checkpoints(run, tmp_path, capsys):
    found = study(run.path, tmp_path / "new" / "folder", as_json=True)
    assert json.loads(capsys.readouterr().out) == found
    assert names(tmp_path / "new" / "folder") == [
        "changes.png",
        "results.json",
        "stem.png",
        "tokens_block_0.png",
        "tokens_block_1.png",
        "units.csv",
    ]
    assert (found["model"], found["grid"]) == (str(run.path), [2, 2])
    assert [(b["block"], b["units"]) for b in found["blocks"]] == [(0, 8), (1, 8)]
    assert found["stem"]["patch_size"] == [4, 4] and found["stem"]["filters"] == 16
    with (tmp_path / "new" / "folder" / "units.csv").open() as file:
        rows = list(csv.DictReader(file))
    for block in found["blocks"]:
        own = [row for row in rows if row["block"] == str(block["block"])]
        assert sorted(int(row["unit"]) for row in own) == list(range(8))
        mean = np.mean([float(row["cosine"]) for row in own])
        assert np.isclose(mean, block["mean_cosine"], atol=1e-5)
    steps = [change["step"] for change in found["changes"] if change["block"] == 0]
    assert len(steps) > 1 and steps == sorted(set(steps))
    for change, last in zip(found["changes"][:2], found["changes"][-2:], strict=True):
        assert change["relative_change"] == 0 < last["relative_change"]
        # The finished run is its last checkpoint.
        assert np.isclose(last["mean_cosine"], found["blocks"][last["block"]]["mean_cosine"])


def test_one_checkpoint_and_chosen_blocks(run, tmp_path, capsys):
    found = study(f"{run.path}@best", tmp_path, blocks=(1,))
    assert names(tmp_path) == ["results.json", "stem.png", "tokens_block_1.png", "units.csv"]
    assert found["changes"] == [] and [b["block"] for b in found["blocks"]] == [1]
    printed = capsys.readouterr().out
    assert found["blocks"][0]["verdict"] in printed and "Chance is the largest 95th" in printed


def test_a_mixer_inside_a_keras_file(tmp_path):
    mixer = small_mixer(num_blocks=5)
    randomize(mixer)
    keras.Sequential([keras.Input((8, 12, 3)), mixer]).save(tmp_path / "model.keras")
    found = study(tmp_path / "model.keras", tmp_path / "study")
    assert [b["block"] for b in found["blocks"]] == [0, 1, 2] and found["grid"] == [2, 3]


@pytest.mark.parametrize(
    "blocks, message",
    [
        ((0, 2), "--blocks must be below 2, the number of blocks of the model. Received: 0 2"),
        ((-1,), "--blocks must be numbers from 0. Received: -1. Pass 0"),
        ((1, 1), "--blocks must name each block once. Received: 1 1"),
    ],
)
def test_blocks_that_the_model_does_not_have(blocks, message, run, tmp_path):
    with pytest.raises(UserError, match=message):
        study(run.path, tmp_path, blocks=blocks)
    assert names(tmp_path) == []


@pytest.mark.backend("torch")
def test_mistakes_are_found_before_the_model_is_loaded(run, tmp_path):
    with pytest.raises(UserError, match="MODEL must be"):
        Weights("no/such", output_dir=tmp_path).check()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output-dir must be a folder"):
        Weights(str(run.path), output_dir=tmp_path / "file").check()


def test_a_model_without_a_mixer(tmp_path):
    layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    keras.Sequential(layers).save(tmp_path / "model.keras")
    with pytest.raises(UserError, match="must hold a Mixer"):
        study(tmp_path / "model.keras", tmp_path / "study")
    assert names(tmp_path / "study") == []


@pytest.mark.backend("torch")
def test_a_folder_that_cannot_be_written_any_more(run, tmp_path):
    (tmp_path / "stem.png").mkdir()
    with pytest.raises(UserError, match="--output-dir must be a folder that can be written to"):
        study(run.path, tmp_path)
