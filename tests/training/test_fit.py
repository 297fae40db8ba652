import csv
import dataclasses
import json

import keras
import numpy as np
import pytest

from training import fit
from training.data.splits import IndexedSplit
from training.errors import UserError
from training.recipes import RECIPES
from training.run_folder import RunFolder

TINY = RECIPES["tiny"].CONFIG
DIGITS = RECIPES["digits"].CONFIG


def change(config, part, **fields):
    return dataclasses.replace(
        config, **{part: dataclasses.replace(getattr(config, part), **fields)}
    )


def epochs(folder):
    with open(folder.history, newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def test_a_run_writes_its_folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    summary = fit.train(TINY, folder)
    assert json.loads(folder.summary.read_text()) == summary
    assert folder.read_config() == TINY
    assert epochs(folder) == [0, 1, 2]
    assert summary["test_examples"] == 360
    assert 0.5 < summary["test_accuracy"] <= 1  # it learns something even in three epochs
    assert 0 < summary["test_loss"] < np.log(10)
    assert summary["train_images_per_second"] > 0
    assert summary["wall_seconds"] > 0
    assert summary["backend"] == keras.backend.backend()
    assert summary["versions"]["keras"] == keras.__version__
    assert summary["precision"] == "float32"
    assert summary["distribution"] == "one device"
    assert summary["class_names"] == list("0123456789")
    model = keras.saving.load_model(folder.model)
    assert model.count_params() == summary["parameters"]
    for path in (folder.curves, folder.checkpoints, folder.tensorboard):
        assert path.exists()
    assert list(folder.tensorboard.rglob("events.out*"))


def state(model):
    """Everything that a checkpoint must bring back."""
    return [np.array(v) for v in (*model.weights, *model.optimizer.variables)]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    left, found, steps, starts = [], [], [], []
    batches = fit.training_batches

    def interrupt(self, epoch, logs=None):
        if epoch == 1:
            left.extend(state(self.model))
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit.Throughput, "on_epoch_begin", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit.train(TINY, folder)
    assert epochs(folder) == [0]
    assert not folder.is_finished()

    def look(self, epoch, logs=None):
        if not found:
            assert epoch == 1
            found.extend(state(self.model))

    monkeypatch.setattr(fit.Throughput, "on_epoch_begin", look)
    monkeypatch.setattr(fit, "training_batches", lambda *a: starts.append(a[4]) or batches(*a))
    monkeypatch.setattr(fit.Throughput, "on_train_batch_end", lambda *_, **__: steps.append(1))
    summary = fit.train(TINY, folder)
    assert len(left) > 40
    for before, after in zip(left, found, strict=True):
        np.testing.assert_array_equal(after, before)
    assert len(steps) == 2 * (1293 // 128)
    assert starts == [1293 // 128]  # the images that come next, not the first ones again
    assert epochs(folder) == [0, 1, 2]
    assert summary["train_images_per_second"] is None  # nothing was timed here


def test_a_run_killed_between_training_and_summary_is_completed(tmp_path):
    folder = RunFolder(tmp_path / "run")
    first = fit.train(TINY, folder)
    for file in (folder.summary, folder.model, folder.curves):
        file.unlink()
    second = fit.train(TINY, folder)
    assert epochs(folder) == [0, 1, 2]
    assert second["test_accuracy"] == first["test_accuracy"]
    assert folder.model.exists() and folder.curves.exists()


def test_a_finished_run_is_left_as_it_is(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    config = change(TINY, "optimization", total_epochs=1, warmup_steps=0)
    summary = fit.train(config, folder)
    monkeypatch.setattr(fit, "load_source", None)  # it must not come as far as the data
    assert fit.train(config, folder) == summary
    with pytest.raises(UserError, match="optimization.total_epochs is 1 there and 2 here"):
        fit.train(change(config, "optimization", total_epochs=2), folder)


def test_the_seed_decides_the_weights(tmp_path):
    config = change(TINY, "optimization", total_epochs=1, warmup_steps=0)

    def kernel(name, seed):
        folder = RunFolder(tmp_path / name)
        fit.train(dataclasses.replace(config, seed=seed), folder)
        return keras.saving.load_model(folder.model).get_layer("stem").get_weights()[0]

    first, again, other = kernel("a", 0), kernel("b", 0), kernel("c", 1)
    np.testing.assert_allclose(first, again, atol=1e-5)
    assert np.abs(first - other).max() > 0.1


def test_all_images_can_be_trained_on(tmp_path):
    config = change(TINY, "data", validation_fraction=0.0)
    config = change(config, "optimization", total_epochs=1, warmup_steps=0)
    folder = RunFolder(tmp_path / "run")
    fit.train(config, folder)
    assert folder.history.read_text().splitlines()[-1].endswith("NA,NA")
    assert folder.curves.exists()


@pytest.mark.parametrize(
    "part, fields, message",
    [
        ("data", {"batch_size": 1294}, "--batch-size must be at most .* 1293. Received: 1294"),
        ("optimization", {"warmup_steps": 30}, r"--warmup-steps must be below .* 30 \(3 epochs"),
        ("optimization", {"learning_rate": 0.0}, "--learning-rate must be above 0"),
        ("data", {"validation_fraction": 0.001}, "--validation-fraction must leave"),
    ],
)
def test_what_is_unsound_is_refused_before_anything_is_written(tmp_path, part, fields, message):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match=message):
        fit.train(change(TINY, part, **fields), folder)
    assert not folder.path.exists()


def test_throughput_leaves_out_the_first_step_and_the_pauses(monkeypatch):
    clock = iter([10.0, 12.0, 100.0, 101.0, 103.0])
    monkeypatch.setattr(fit.time, "perf_counter", lambda: next(clock))
    throughput = fit.Throughput(batch_size=30)
    throughput.on_epoch_begin(0)
    throughput.on_train_batch_end(0)  # at 10: compiled
    throughput.on_train_batch_end(1)  # at 12: two seconds
    throughput.on_epoch_begin(1)  # at 100: validation lies behind
    throughput.on_train_batch_end(0)  # at 101
    throughput.on_train_batch_end(1)  # at 103
    assert throughput.images_per_second() == 3 * 30 / 5


def test_digits_learns(tmp_path):
    """One short run in every test; `test_digits_accuracy` holds the full recipe to its figure."""
    config = change(DIGITS, "optimization", total_epochs=15)
    assert fit.train(config, RunFolder(tmp_path / "run"))["test_accuracy"] >= 0.95


@pytest.mark.slow
def test_digits_accuracy(tmp_path):
    accuracies = [
        fit.train(dataclasses.replace(DIGITS, seed=seed), RunFolder(tmp_path / str(seed)))[
            "test_accuracy"
        ]
        for seed in (0, 1, 2)
    ]
    assert np.mean(accuracies) >= 0.985, accuracies


def test_images_that_were_left_out_are_counted_and_listed(tmp_path):
    from PIL import Image

    for name, grey in (("dark", 0), ("light", 255)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(20):
            Image.new("L", (8, 8), grey).save(tmp_path / "images" / name / f"{i}.png")
    bad = tmp_path / "images" / "dark" / "bad.png"
    bad.write_bytes(b"")
    source = f"folder:{tmp_path / 'images'}"
    config = change(TINY, "data", source=source, batch_size=8)
    config = change(config, "optimization", total_epochs=1, warmup_steps=1)
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match="bad.png: it is empty"):
        fit.train(config, folder)
    assert not folder.path.exists()
    summary = fit.train(change(config, "data", on_bad_image="skip"), folder)
    assert summary["skipped_images"] == 1
    assert folder.skipped_images.read_text() == f"{bad}: it is empty\n"


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_source_without_images_for_a_part_is_refused(tmp_path, monkeypatch, part):
    source = fit.load_source(TINY.data)
    without = dataclasses.replace(source, **{part: IndexedSplit(np.zeros(0, int))})
    monkeypatch.setattr(fit, "load_source", lambda data: without)
    with pytest.raises(UserError, match=f"--source must have images for {part}"):
        fit.train(TINY, RunFolder(tmp_path / "run"))
