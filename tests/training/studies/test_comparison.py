"""Costs, Pareto fronts, results and figure of the study that compares models."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from matplotlib.image import imread

from tests.support.trials import STEPS, finished_trial
from training.config.study_models import VITS
from training.studies import comparison
from training.studies.comparison import Row, core_hours, draw, measure_rows, pareto_front, results
from training.studies.cost import cost
from training.studies.paper_tables import TABLE_2, TABLE_3
from training.studies.verdicts import spread

pytestmark = pytest.mark.backend("torch")  # no backend is used

ACCURACIES = {"mixer": (0.8, 0.82), "vit-tiny/4": (0.7, 0.75), "resnet-tiny": (0.85, 0.86)}
THROUGHPUT = {"mixer": 900.0, "vit-tiny/4": 700.0, "resnet-tiny": 300.0}
SPEED = {"mixer": 128.0, "vit-tiny/4": 64.0, "resnet-tiny": 32.0}


@pytest.fixture
def trials(tmp_path):
    return [
        finished_trial(tmp_path, m, seed, a, {"train_images_per_second": SPEED[m]})
        for m, values in ACCURACIES.items()
        for seed, a in enumerate(values)
    ]


@pytest.fixture
def rows(trials, monkeypatch):
    monkeypatch.setattr(comparison, "_throughput", lambda runs: {m: THROUGHPUT[m] for m in runs})
    return measure_rows(trials)


@pytest.mark.parametrize("seed", range(5))
def test_the_pareto_front_is_a_staircase(seed):
    """Sorted by the first number, a point is on the front if it is higher than all before it."""
    first, second = np.random.default_rng(seed).integers(0, 6, (2, 20)).tolist()
    expected, highest = set(), -1
    for a in sorted(set(first), reverse=True):
        best = max(y for x, y in zip(first, second, strict=True) if x == a)
        if best > highest:
            expected.add((a, best))
            highest = best
    points = list(zip(first, second, strict=True))
    assert pareto_front(first, second) == [point in expected for point in points]


def test_the_front_of_one_model():
    assert pareto_front([1.0], [0.5]) == [True]
    assert pareto_front([1.0, 1.0], [0.5, 0.5]) == [True, True]


@pytest.mark.parametrize(
    "devices, processors",
    [(["cpu:0"], 3), (["CPU:0", "CPU:1"], 3), (["cuda:0"], 1), (["TPU v3", "TPU v3"], 2)],
)
def test_core_hours(devices, processors, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "cores", lambda: 3)
    entries = {"train_images_per_second": 50.0, "devices": devices}
    options = {"accumulation_steps": 2, "batch_size": 16}
    finished = finished_trial(tmp_path, "mixer", 0, 0.5, entries, **options)
    images = STEPS[-1] * 2 * 16
    assert core_hours(finished) == pytest.approx(processors * images / 50 / 3600)


def test_rows(rows, trials):
    assert [row.model for row in rows] == list(ACCURACIES)
    for row in rows:
        own = [t for t in trials if t.trial.model == row.model]
        assert row.accuracy == spread(ACCURACIES[row.model])
        assert row.images_per_second == THROUGHPUT[row.model]
        assert row.parameters == own[0].summary["parameters"]
        assert row.core_hours == pytest.approx(sum(map(core_hours, own)) / 2)
    assert {r.model: r.on_front_of_throughput for r in rows} == {
        "mixer": True,  # the fastest
        "vit-tiny/4": False,
        "resnet-tiny": True,  # the most accurate
    }
    assert {r.model: r.on_front_of_cost for r in rows} == {
        "mixer": True,
        "vit-tiny/4": False,
        "resnet-tiny": True,
    }


def test_flops_are_those_of_the_formula(rows, tmp_path, trials):
    by_model = {row.model: row.training_gigaflops for row in rows}
    expected = cost(VITS["vit-tiny/4"], 32, classes=3).training_flops / 1e9  # of 3 class names
    assert by_model["vit-tiny/4"] == expected
    size = trials[0].trial.config.model.size
    assert by_model["mixer"] == cost(size, 32, classes=3).training_flops / 1e9
    (untied,) = measure_untied(tmp_path)
    assert untied.training_gigaflops is None


def measure_untied(folder):
    with pytest.MonkeyPatch.context() as changes:
        changes.setattr(comparison, "_throughput", lambda runs: dict.fromkeys(runs, 1.0))
        return measure_rows([finished_trial(folder, "mixer-untied", 0, 0.5)])


def test_results_are_complete(trials, rows):
    entries = results(trials, rows)
    assert json.loads(json.dumps(entries)) == entries
    assert list(entries) == ["rows", "runs", "paper"]
    assert [Row(**row) for row in entries["rows"]] == rows
    assert entries["runs"] == [{"core_hours": core_hours(t), **t.entries} for t in trials]
    paper = entries["paper"]["tables_2_and_3"]
    assert paper == [dataclasses.asdict(row) for row in (*TABLE_2, *TABLE_3)]


def test_the_figure_shows_these_runs_and_the_paper(rows, tmp_path):
    draw(rows, tmp_path / "three.png")
    draw(rows[:1], tmp_path / "one.png")
    three, one = (imread(tmp_path / name)[..., :3] for name in ("three.png", "one.png"))
    assert three.shape == one.shape
    assert (three != one).any(axis=2)[: len(one) // 2].mean() > 0.001
    lower = one[len(one) // 2 :]
    red, blue = ((lower[..., i] > lower[..., 2 - i] + 0.3).any() for i in (0, 2))
    assert red and blue


@pytest.mark.parametrize("ratio", [1.02, 1.5, 8, 1000])
def test_labels_of_ticks_do_not_overlap(ratio, rows, tmp_path, saved_figures):
    changes = ({"images_per_second": 900 * f, "core_hours": 0.02 * f} for f in (1, ratio))
    draw([dataclasses.replace(rows[0], **c) for c in changes], tmp_path / "a.png")
    (figure,) = saved_figures
    for axes in figure.axes:
        low, high = axes.get_window_extent().intervalx
        labels = [label for label in axes.xaxis.get_ticklabels(which="both") if label.get_text()]
        boxes = sorted(label.get_window_extent().intervalx.tolist() for label in labels)
        boxes = [(a, b) for a, b in boxes if low <= (a + b) / 2 <= high]
        assert len(boxes) > 1
        assert all(b < c for (_, b), (c, _) in itertools.pairwise(boxes))


def test_a_run_of_one_batch_has_no_core_hours(tmp_path):
    """The first batch of a run, which compiles, is not timed."""
    finished = finished_trial(tmp_path, "mixer", 0, 0.5, {"train_images_per_second": None})
    assert core_hours(finished) is None
