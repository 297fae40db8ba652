"""Accuracy on corrupted images, and the results that are kept."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from tests.support.models import randomize, small_mixer
from training.config import Data
from training.data.corruptions import corrupt
from training.data.pipeline import evaluation_batches
from training.data.source import Source
from training.data.splits import in_memory
from training.errors import UserError
from training.evaluation.accuracy import evaluate_accuracy
from training.model_argument import LoadedModel
from training.studies import robustness
from training.studies.robustness import CLEAN, Contestant, Result, measure
from training.studies.robustness_report import summarize, write_report

EXAMPLES = 11  # padded to 12
IMAGES = np.random.default_rng(0).integers(0, 256, (EXAMPLES, 8, 8, 3), np.uint8)
LABELS = np.arange(EXAMPLES) % 5
DATA = Data(source="arrays:some.npz", batch_size=4, evaluation_transform="resize")
NAMES, SEVERITIES = ("gaussian_noise", "contrast"), (2, 5)


def source_of(images=IMAGES, fingerprint="a"):
    split = in_memory(images, LABELS)
    return Source(tuple("abcde"), 3, split, split, split, fingerprint=lambda: fingerprint)


@pytest.fixture(scope="module")
def models():
    mixers = [small_mixer(input_shape=(8, 8, 3)) for _ in range(2)]
    for seed, mixer in enumerate(mixers):
        randomize(mixer, seed)
    return mixers


@pytest.fixture
def contestant(models):
    return Contestant("A", LoadedModel(models[0]), source_of(), DATA)


@pytest.fixture
def evaluations(monkeypatch):
    """The models that are evaluated, in a list."""
    calls = []

    def counting(model, batches, activation):
        calls.append(model)
        return evaluate_accuracy(model, batches, activation)

    monkeypatch.setattr(robustness, "evaluate_accuracy", counting)
    return calls


def run(folder, *contestants, names=NAMES, severities=SEVERITIES, seed=0):
    return measure(contestants, folder, names, severities, seed, show_progress=False)


def metrics(result):
    """Return the fields of a `Result` that an `Accuracy` has."""
    names = ("accuracy", "top5_accuracy", "loss", "calibration_error", "examples")
    return {name: getattr(result, name) for name in names}


def test_results_are_those_of_evaluation(contestant, models, tmp_path):
    other = dataclasses.replace(contestant, label="B", loaded=LoadedModel(models[1], None))
    results = run(tmp_path, contestant, other)
    conditions = [(CLEAN, 0)] + [(name, s) for name in NAMES for s in SEVERITIES]
    assert [(r.model, r.corruption, r.severity) for r in results] == [
        (label, *condition) for label in "AB" for condition in conditions
    ]
    for result in results:
        images = IMAGES
        if result.corruption != CLEAN:
            images = np.stack(
                [
                    corrupt(x, result.corruption, result.severity, (0, i))
                    for i, x in enumerate(IMAGES)
                ]
            )
        batches = evaluation_batches(source_of(images).test, source_of(), DATA)
        expected = evaluate_accuracy(models["AB".index(result.model)], batches)
        assert metrics(result) == dataclasses.asdict(expected)
        assert result.examples == EXAMPLES
    assert len({r.loss for r in results}) == len(results)


def test_results_depend_on_the_seed_and_not_on_the_batches(contestant, tmp_path):
    results = run(tmp_path, contestant)
    data = dataclasses.replace(DATA, batch_size=5)
    (tmp_path / "other").mkdir()
    others = run(tmp_path / "other", dataclasses.replace(contestant, data=data))
    for result, other in zip(results, others, strict=True):
        assert metrics(result) == pytest.approx(metrics(other), rel=1e-5)
    noisy = [r.loss for r in run(tmp_path, contestant, seed=1) if r.corruption == NAMES[0]]
    assert noisy != [r.loss for r in results if r.corruption == NAMES[0]]


def test_models_of_different_sizes_have_their_own_images(contestant, tmp_path):
    large = small_mixer(input_shape=(16, 16, 3))
    randomize(large)
    data = dataclasses.replace(DATA, image_size=16)
    other = Contestant("large", LoadedModel(large), source_of(), data)
    results = run(tmp_path, contestant, other, names=())
    assert [(r.model, r.corruption) for r in results] == [("A", CLEAN), ("large", CLEAN)]
    expected = evaluate_accuracy(large, evaluation_batches(source_of().test, source_of(), data))
    assert metrics(results[1]) == dataclasses.asdict(expected)


def test_an_interrupted_study_goes_on(contestant, models, tmp_path, monkeypatch, evaluations):
    counting = robustness.evaluate_accuracy

    def interrupted(*arguments):
        if len(evaluations) == 3:
            raise KeyboardInterrupt
        return counting(*arguments)

    monkeypatch.setattr(robustness, "evaluate_accuracy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, contestant)
    assert [path.name for path in tmp_path.iterdir()] == ["finished"]  # no images
    monkeypatch.setattr(robustness, "evaluate_accuracy", counting)
    results = run(tmp_path, contestant)
    assert len(evaluations) == 5
    assert run(tmp_path, dataclasses.replace(contestant, label="B"))[3].loss == results[3].loss
    more = run(tmp_path, contestant, names=(*NAMES, "jpeg"))
    assert len(evaluations) == 7
    assert [r for r in more if r.corruption != "jpeg"] == results


def test_results_of_others_are_not_used(contestant, models, tmp_path, evaluations):
    run(tmp_path, contestant)
    changes = (
        {"loaded": LoadedModel(models[1])},
        {"loaded": LoadedModel(models[0], activation="sigmoid")},
        {"source": source_of(fingerprint="b")},
        {"data": dataclasses.replace(DATA, evaluation_transform="resmall-crop")},
        {"data": dataclasses.replace(DATA, test_split="validation")},
    )
    for change in changes:
        evaluations.clear()
        run(tmp_path, dataclasses.replace(contestant, **change), names=())
        assert len(evaluations) == 1, change
    assert len(list((tmp_path / "finished").iterdir())) == 1 + len(changes)


def test_a_damaged_file_is_named(contestant, tmp_path):
    run(tmp_path, contestant, names=())
    (path,) = (tmp_path / "finished").iterdir()
    for text in ("{", "[]", '{"results": [{}]}', '{"results": 3}', '{"results": ["a"]}'):
        path.write_text(text)
        with pytest.raises(UserError, match="must have the results .* Delete the file"):
            run(tmp_path, contestant)


def test_a_folder_that_cannot_be_written_is_named(contestant, tmp_path):
    (tmp_path / "finished").touch()
    with pytest.raises(UserError, match="--output-dir must be a folder that can be written"):
        run(tmp_path, contestant)


def result_of(corruption, severity, accuracy, model="A"):
    return Result(model, corruption, severity, accuracy, 1.0, 2 - accuracy, accuracy / 2, 100)


EXPECTED = [
    result_of(CLEAN, 0, 0.8),
    *(result_of("fog", s, 0.8 - 0.1 * s) for s in (1, 3)),
    *(result_of("jpeg", s, 0.7 - 0.1 * s) for s in (1, 3)),
]


@pytest.mark.backend("torch")
def test_the_summary_has_means_over_corruptions_and_severities():
    (summary,) = summarize(EXPECTED)
    assert (summary.clean_accuracy, summary.clean_calibration_error) == (0.8, 0.4)
    assert summary.mean_corrupted_accuracy == pytest.approx((0.7 + 0.5 + 0.6 + 0.4) / 4)
    assert summary.mean_corrupted_error == pytest.approx(0.45)
    assert summary.relative_drop == pytest.approx(0.25 / 0.8)
    assert summary.mean_corrupted_calibration_error == pytest.approx(0.275)
    assert summarize([result_of(CLEAN, 0, 0.0), result_of("fog", 1, 0.0)])[0].relative_drop is None
    assert summarize(EXPECTED[:1]) == []


@pytest.mark.backend("torch")
def test_the_report(tmp_path):
    others = [dataclasses.replace(r, model="a $10 model, $5 off") for r in EXPECTED]
    results = EXPECTED + others
    entries, paths = write_report(results, {"source": "digits"}, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(paths) and len(paths) == 3
    assert json.loads(paths[0].read_text()) == entries and entries["source"] == "digits"
    assert [s["model"] for s in entries["summary"]] == ["A", others[0].model]
    with paths[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Result(*map(str, dataclasses.astuple(r))) for r in results] == [
        Result(**row) for row in rows
    ]
    with Image.open(paths[2]) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10
    _, paths = write_report(EXPECTED[:1], {}, tmp_path)  # replaces the earlier report
    assert sorted(tmp_path.iterdir()) == sorted(paths) and len(paths) == 2


@pytest.mark.backend("torch")
def test_a_report_that_cannot_be_written(tmp_path):
    (tmp_path / "results.csv").mkdir()
    with pytest.raises(UserError, match="--output-dir must be a folder"):
        write_report(EXPECTED, {}, tmp_path)
