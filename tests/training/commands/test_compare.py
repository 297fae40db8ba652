"""`compare` on the command line; tests/training/comparing has what it computes."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from run import ROOT
from tests.support.command_line import flat
from tests.support.compared import write_run
from training.cli.comparison_tables import COLUMNS
from training.comparing.compared_run import RESULTS

pytestmark = pytest.mark.backend("torch")  # no backend is used

FILES = ["comparison.csv", "comparison.json", "comparison.png"]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two seeds of one configuration, another one, and an unfinished run; all in `runs`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs"
    write_run(folder / "slow-0", (0.3, 0.6), {"test_accuracy": 0.5}, learning_rate=0.001)
    write_run(folder / "slow-1", (0.3, 0.6), {"test_accuracy": 0.7}, learning_rate=0.001, seed=1)
    write_run(folder / "fast-0", (0.5, 0.9), {"test_accuracy": 0.8}, learning_rate=0.5)
    write_run(folder / "fast-1", (0.4,), learning_rate=0.5, seed=1)
    return folder


def test_tables_and_files(call, runs, tmp_path):
    status, out, err = call("compare", "runs")
    assert (status, err) == (0, "")
    text = flat(out)
    assert text.startswith("Runs in runs # runs seeds --learning-rate ")
    for words in (
        " 1 fast-0 0 0.5 2 slow-0, slow-1 0, 1 0.001 3 fast-1 1 0.5 ",
        " 1 1 0.8000 0.9000 0.1000 2 ",
        " 2 2 0.6000 ± 0.1414 0.6000 ± 0.0000 0.4000 ± 0.0000 2 ± 0 ",
        " 3 1 of 60 epochs – 0.4000 0.6000 – ",
        "Mean ± sample standard deviation over runs that differ in the seed only.",
        "Unfinished runs count in no mean, and come last.",
    ):
        assert words in text
    folder = tmp_path / "comparison"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert all(str(Path("comparison", name)) in text for name in FILES)
    results = json.loads((folder / "comparison.json").read_text())
    assert [group["seeds"] for group in results["groups"]] == [[0], [0, 1], [1]]
    with (folder / "comparison.csv").open(newline="") as file:
        rows = [dict(row) for row in csv.DictReader(file)]
    assert rows == [
        {key: "" if value is None else str(value) for key, value in row.items()}
        for row in results["runs"]
    ]
    with Image.open(folder / "comparison.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10


def test_json_and_another_order(call, runs, tmp_path):
    output = tmp_path / "new" / "folder"
    status, out, _ = call("compare", "runs/slow-0", "runs/fast-0", "--json", "--output-dir", output)
    results = json.loads(out)
    assert status == 0 and results == json.loads((output / "comparison.json").read_text())
    assert results["metric"] == "test_accuracy"
    assert [run["run"] for run in results["runs"]] == ["runs/fast-0", "runs/slow-0"]
    write_run(runs / "slow-0", (0.3, 0.6), {"test_loss": 0.1}, learning_rate=0.001)
    _, out, _ = call("compare", "runs", "--json", "--metric", "test_loss")
    assert json.loads(out)["runs"][0]["run"] == "runs/slow-0"
    assert "test loss" in flat(call("compare", "runs", "--metric", "test_loss")[1])
    assert COLUMNS.keys() == {*RESULTS}


def test_a_run_without_an_epoch_has_no_figure(call, runs, tmp_path):
    write_run(tmp_path / "new", ())
    call("compare", "runs")
    status, out, _ = call("compare", "new")
    assert status == 0 and "none, since no run has finished an epoch" in flat(out)
    assert sorted(path.name for path in (tmp_path / "comparison").iterdir()) == FILES[:2]


def test_one_run_is_shown(call, runs):
    status, out, _ = call("compare", "runs/fast-0")
    assert status == 0 and "Runs in runs # runs seeds" in flat(out)
    assert "1 fast-0 0 Results" in flat(out) and "0.8000" in out


@pytest.mark.parametrize(
    "columns, groups, expected",
    [
        (300, 3, "# runs seeds --source --on-bad-image --learning-rate --weight-decay 1 0 0 "),
        (80, 3, "# 1 2 3 runs 0 1 2 seeds 0 0 0 --source "),
        (80, 9, "# runs seeds what differs 1 0 0 --source folder:"),
    ],
)
def test_many_differences_fit_into_the_terminal(
    call, tmp_path, monkeypatch, columns, groups, expected
):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("rich._console", None)  # the width is that of the environment
    for i in range(groups):
        options = {"source": f"folder:{'x' * 30}-{i}", "learning_rate": 1.0 + i}
        options |= {"on_bad_image": ("error", "skip")[i % 2], "weight_decay": 0.1 * i}
        write_run(tmp_path / "runs" / str(i), (0.9 - 0.1 * i,), {}, **options)
    arguments = ("--metric", "best_val_accuracy", "--output-dir", tmp_path / "comparison")
    _, out, _ = call("compare", tmp_path / "runs", *arguments)
    assert expected in flat(out).replace("─", "").replace("  ", " ")
    assert max(map(len, out.partition("┌")[0].splitlines())) <= columns
    assert "Test images may differ between the groups, because of --source." in flat(out)


def test_names_from_files_are_not_markup(call, tmp_path):
    write_run(tmp_path / "[red]a[/red]\x1b", summary={"distribution": "[bold]\x1b[2J"})
    write_run(tmp_path / "b", summary={}, learning_rate=0.5)
    status, out, _ = call("compare", tmp_path, "--output-dir", tmp_path / "comparison")
    assert status == 0 and "\x1b" not in out
    assert "[red]a[/red]\\x1b" in out and "[bold]\\x1b[2J" in "".join(out.split())


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], "RUN... must be one or more folders of runs"),
        (["no/such"], "Received: no/such, which does not exist."),
        (["runs/fast-0@best"], "Received: runs/fast-0@best, a checkpoint. Pass runs/fast-0, its"),
        (
            ["runs", "runs/fast-0"],
            "Received: runs/fast-0 twice. Pass it once, or a folder with it.",
        ),
        (["runs", "--metric", "speed"], "--metric"),
        (["runs", "--output-dir", "FILE"], "--output-dir must be a folder that can be written to"),
        (["runs", "--output-dir", "TAKEN"], "--output-dir must be a folder that can be written to"),
    ],
)
def test_mistakes(call, runs, tmp_path, arguments, expected):
    (tmp_path / "FILE").touch()
    (tmp_path / "TAKEN" / "comparison.csv").mkdir(parents=True)
    status, out, err = call("compare", *arguments)
    assert (status, out) == (2, "")
    assert expected in flat(err) and "Traceback" not in err


def test_a_corrupt_run_is_named(call, runs):
    (runs / "slow-1" / "history.csv").write_text("epoch,step\n1,ten\n")
    status, _, err = call("compare", "runs")
    assert status == 2
    assert "Received: runs/slow-1/history.csv: could not convert string to float: 'ten'" in err
    assert "Or compare the other runs: name each of them, without runs/slow-1." in err


def test_no_backend_is_imported(runs):
    code = (
        "import sys, training.__main__\n"
        "sys.argv = ['training', 'compare', 'runs']\n"
        "training.__main__.main()\n"
        "print(*sorted({'keras', 'tensorflow', 'jax', 'torch'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0 and result.stdout.endswith("\n\n"), result.stderr


@pytest.mark.long
def test_a_run_that_was_trained(call, finished, tmp_path):
    folder, _ = finished
    status, out, _ = call("compare", folder.path, "--json", "--output-dir", tmp_path)
    (run,) = json.loads(out)["runs"]
    summary = folder.read_summary()
    assert status == 0 and run["test_accuracy"] == summary["test_accuracy"]
    assert (run["steps"], run["devices"]) == (int(folder.read_history()[-1]["step"]), "cpu:0")
    assert run["keras_version"] == summary["versions"]["keras"]
