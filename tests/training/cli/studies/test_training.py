"""Options and output of the studies that train models."""

import csv
import dataclasses
import json
import statistics
from pathlib import Path

import keras
import pytest

from tests.support.command_line import flat
from tests.support.trials import finished_trial
from training.cli.studies.training import (
    Comparison,
    DataScaling,
    Permutations,
    Variations,
    format_mean,
)
from training.config.study_models import MIXERS
from training.run.folder import RunFolder
from training.studies import comparison, trials

STUDIES = {
    "comparison": Comparison,
    "permutations": Permutations,
    "data-scaling": DataScaling,
    "variations": Variations,
}


@pytest.fixture
def untrained(monkeypatch, tmp_path):
    """Replace training and the measurement of inference; return the trials and options."""
    calls = []

    def run_trials(wanted, folder, jobs, show_progress):
        calls.append((wanted, jobs, show_progress))
        return [
            finished_trial(folder, t.model, t.seed, 0.5 + 0.01 * i, **t.options)
            for i, t in enumerate(wanted)
        ]

    monkeypatch.setattr(trials, "run_trials", run_trials)
    monkeypatch.setattr(comparison, "_throughput", lambda runs: dict.fromkeys(runs, 1000.0))
    return calls


@pytest.mark.long
def test_a_study_end_to_end(call, tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")  # of the tests
    command = ("study", "comparison", "--preset", "smoke", "--study-dir", tmp_path)
    status, out, _ = call(*command)
    assert status == 0
    assert all(words in flat(out) for words in ("core-hours", "images/s", "mixer", "figure"))
    expected = {"logs", "runs", "results.json", "results.csv", "comparison.png"}
    if keras.backend.backend() == "jax":
        expected.add("jax-cache")
    assert {path.name for path in tmp_path.iterdir()} == expected
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["study"], results["preset"]) == ("comparison", "smoke")
    (run,), (row,) = results["runs"], results["rows"]
    summary = RunFolder(tmp_path / "runs" / "mixer-seed-0").read_summary()
    assert run["test_accuracy"] == row["accuracy"]["mean"] == summary["test_accuracy"]
    assert run["backend"] == keras.backend.backend()
    assert row["images_per_second"] > 0 and row["training_gigaflops"] > 0
    with (tmp_path / "results.csv").open(newline="") as file:
        assert [dict(line) for line in csv.DictReader(file)] == [
            {key: str(value) for key, value in run.items()}
        ]
    status, out, err = call(*command, "--json")
    assert (status, [line for line in err.splitlines() if "training:" in line]) == (0, [])
    again = json.loads(out)
    assert again["runs"] == results["runs"]  # it was not trained again


@pytest.mark.backend("torch")
@pytest.mark.parametrize("name", STUDIES)
def test_tables_and_files(name, untrained, tmp_path, call):
    command = ("study", name, "--study-dir", tmp_path / "new", "--jobs", 2)
    status, out, _ = call(*command)
    assert status == 0
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"results.json", "results.csv", f"{name}.png"}
    results = json.loads((tmp_path / "new" / "results.json").read_text())
    ((wanted, jobs, show_progress),) = untrained
    assert (jobs, show_progress) == (2, None)
    assert len(results["runs"]) == len(wanted)
    models = {trial.model for trial in wanted}
    assert all(f" {model} " in out for model in models) and " nan " not in out
    for claim in results.get("claims", []):
        assert claim["claim"] in out and claim["rule"] in out
        assert f"{claim['verdict'].capitalize()}." in out
    assert bool(results.get("claims")) == (name in ("permutations", "data-scaling"))
    status, out, _ = call(*command, "--json")
    assert (status, json.loads(out)) == (0, results)
    assert untrained[1][2] is False  # no progress bar


@pytest.mark.backend("torch")
@pytest.mark.parametrize("name", STUDIES)
def test_help(name, call):
    status, out, _ = call("study", name, "--help")
    fields = [field.name for field in dataclasses.fields(STUDIES[name])]
    assert status == 0
    for field in ("json" if field == "as_json" else field for field in fields):
        assert f"--{field.replace('_', '-')}" in out
    assert str(STUDIES[name].__doc__).partition("\n")[0] in flat(out)


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "words, message",
    [
        ("--models resnet-20", "--models must be models of the studies. Received: resnet-20"),
        ("--recipe shape", "--recipe must be a recipe. Received: shape. Pass one of"),
        ("--jobs 0", "--jobs must be at least 1. Received: 0. Pass 1."),
        ("--seeds -1", "--seeds must be at least 0. Received: -1. Pass 0."),
        ("--total-epochs -1", "--total-epochs must be at least 0"),
        ("--image-size -8", "--image-size must be at least 0"),
        ("--batch-size -8", "--batch-size must be at least 0"),
        ("--study-dir FILE", "--study-dir must be a folder that can be written"),
        ("--image-size 30", "--image-size must be a multiple of the patch size, 4"),
        ("--preset tiny", "preset"),
        ("--seed 3", "--seeds"),
    ],
)
def test_mistakes(words, message, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trials, "_start", lambda *_: pytest.fail("a run was started"))
    Path("FILE").touch()
    status, out, err = call("study", "comparison", *words.split())
    assert (status, out) == (2, "")
    assert message in flat(err) and "Traceback" not in err
    assert not Path("studies/comparison/results.json").exists()


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "source, message",
    [
        ("folder:nowhere", "nowhere must be a folder"),
        ("shapes:train=160,test=64,classes=shape", "--batch-size must be at most"),
    ],
)
def test_a_source_is_checked_for_the_smallest_fraction(
    source, message, call, tmp_path, monkeypatch
):
    monkeypatch.setattr(trials, "_start", lambda *_: pytest.fail("a run was started"))
    words = ("--source", source, "--batch-size", 32, "--study-dir", tmp_path)
    status, out, err = call("study", "data-scaling", *words)
    assert (status, out) == (2, "")
    assert message in flat(err)


@pytest.mark.backend("torch")
def test_options_replace_those_of_the_preset():
    preset = Permutations(models=("mixer", "vit-tiny/4", "mixer"), seeds=5).chosen_preset()
    assert (preset.recipe, preset.models, preset.seeds) == ("shapes", ("mixer", "vit-tiny/4"), 5)
    changed = Comparison(batch_size=8, total_epochs=2, image_size=64, source="digits")
    given = {"batch_size": 8, "total_epochs": 2, "image_size": 64, "source": "digits"}
    assert changed.chosen_preset().options == Comparison().chosen_preset().options | given
    other = Comparison(recipe="digits", total_epochs=2).chosen_preset()
    assert (other.recipe, other.options) == ("digits", {"total_epochs": 2})
    assert Comparison(recipe="shapes").chosen_preset() == Comparison().chosen_preset()
    assert Variations().chosen_preset().models == ("mixer", *MIXERS)
    assert Variations(models=("mixer",)).chosen_preset().models == ("mixer",)
    assert Permutations().folder == Path("studies/permutations")


@pytest.mark.backend("torch")
def test_a_full_disk_is_one_message(untrained, tmp_path, call, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.studies.permutations.draw", fail)
    status, _, err = call("study", "permutations", "--study-dir", tmp_path)
    assert status == 2 and "--study-dir" in err and "No space left on device" in err


@pytest.mark.backend("torch")
def test_accuracy_of_the_table():
    values = [0.5, 0.75]
    spread = {"mean": 0.625, "stddev": statistics.stdev(values)}
    assert format_mean(spread) == "0.625 ± 0.177"
    assert format_mean(spread | {"stddev": None}) == "0.625"
