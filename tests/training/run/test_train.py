import contextlib
import csv
import dataclasses
import io
import json
import os
import shutil
import signal
import sys
import zipfile

import keras
import numpy as np
import pytest

from training.data.splits import IndexedSplit
from training.errors import UserError
from training.recipes import RECIPES
from training.run import compiled_model
from training.run import train as fit
from training.run.callbacks.stop_on_signal import StopOnSignal
from training.run.folder import RunFolder
from training.run.signals import Interrupted

pytestmark = pytest.mark.usefixtures("full_optimization")  # as users train

TINY = RECIPES["tiny"].CONFIG
DIGITS = RECIPES["digits"].CONFIG


def change(config, part, **fields):
    return dataclasses.replace(
        config, **{part: dataclasses.replace(getattr(config, part), **fields)}
    )


def epochs(folder):
    with open(folder.history, newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A finished run: its folder, what `train` returned, and what it printed.

    The name of the folder is not UTF-8, and a formula that cannot be drawn.
    """
    name = os.fsdecode(b"$x_\xff$") if sys.platform == "linux" else "$x_$"
    folder = RunFolder(tmp_path_factory.mktemp("tiny") / name)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        summary = fit.train(TINY, folder)
    return folder, summary, printed.getvalue()


@pytest.fixture(scope="module")
def one_epoch(tmp_path_factory):
    """A finished run of one epoch: its configuration, its folder, and what `train` returned."""
    config = change(TINY, "optimization", total_epochs=1, warmup_steps=0)
    folder = RunFolder(tmp_path_factory.mktemp("one_epoch") / "run")
    return config, folder, fit.train(config, folder)


def test_a_run_writes_its_folder(tiny):
    folder, summary, printed = tiny
    compiler = ", compiled with XLA" if keras.backend.backend() == "jax" else ""  # a short run
    line = f"Training on one CPU{compiler}, in float32 on {keras.backend.backend()}."
    assert line in printed
    assert json.loads(folder.summary.read_text()) == summary
    assert folder.read_config() == change(TINY, "hardware", precision="float32")
    assert epochs(folder) == [1, 2, 3]
    assert summary["test_examples"] == 360
    assert 0.5 < summary["test_accuracy"] <= 1  # it learns something even in three epochs
    assert 0 < summary["test_loss"] < np.log(10)
    assert summary["train_images_per_second"] > 0
    assert summary["wall_seconds"] > 0
    assert summary["backend"] == keras.backend.backend()
    assert summary["versions"]["keras"] == keras.__version__
    assert summary["precision"] == "float32"
    assert summary["distribution"] == "one device"
    assert summary["class_names"] == folder.read_class_names() == list("0123456789")
    model = keras.saving.load_model(folder.model)
    assert model.count_params() == summary["parameters"]
    for path in (folder.curves, folder.checkpoints, folder.tensorboard):
        assert path.exists()
    assert list(folder.tensorboard.rglob("events.out*"))


# Everything that has a state; 24 batches, 4 of them in the last epoch.
RANDOM = change(TINY, "model", drop_path_rate=0.2, dropout_rate=0.1)
RANDOM = change(RANDOM, "augmentation", shift_fraction=0.1, mixup_alpha=0.4)
RANDOM = change(RANDOM, "checkpointing", checkpoint_steps=2)
RANDOM = change(
    RANDOM,
    "optimization",
    total_steps=8,
    warmup_steps=2,
    accumulation_steps=3,
    ema_momentum=0.5,
    sam_rho=0.05,
)


def state(folder):
    """Return the arrays of the last checkpoint, the history, and the saved weights."""
    with zipfile.ZipFile(sorted(folder.checkpoints.glob("batch-*"))[-1]) as archive:
        arrays = {n: archive.read(n) for n in archive.namelist() if n.endswith(".npy")}
    model = keras.saving.load_model(folder.model)  # of the averages
    return arrays, folder.history.read_text(), [w.tobytes() for w in model.get_weights()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "whole")
    fit.train(RANDOM, folder)
    return state(folder)


@contextlib.contextmanager
def at_batch(monkeypatch, number, action):
    """Call `action` before the batch after `number`, or during a validation that follows."""

    def hook(method):
        def hooked(self, *args, **kwargs):
            if self.run.progress.batches == number:
                action()
            method(self, *args, **kwargs)

        return hooked

    with monkeypatch.context() as patch:
        for name in ("on_train_batch_begin", "on_test_batch_end"):
            patch.setattr(StopOnSignal, name, hook(getattr(StopOnSignal, name)))
        yield


class Killed(BaseException):
    pass


def kill():
    raise Killed


@pytest.mark.long
def test_killed_runs_are_bitwise_identical_to_an_uninterrupted_one(
    tmp_path, monkeypatch, uninterrupted
):
    """In weights, optimizer, random states and history."""
    folder = RunFolder(tmp_path / "run")
    # Before the first checkpoint, after a later one, during a validation, after an epoch.
    for number in (2, 13, 20, 22):
        with at_batch(monkeypatch, number, kill), pytest.raises(Killed):
            fit.train(RANDOM, folder)
    fit.train(RANDOM, folder)
    assert state(folder) == uninterrupted
    assert epochs(folder) == [1, 2, 3]


@pytest.mark.long
@pytest.mark.backend("tensorflow")
def test_killed_runs_are_bitwise_identical_with_xla(tmp_path, monkeypatch, capfd):
    """As `train` compiles longer runs of TensorFlow on CPUs; JAX always uses XLA."""
    monkeypatch.setattr(compiled_model, "XLA_UPDATES", 0)
    killed, whole = RunFolder(tmp_path / "killed"), RunFolder(tmp_path / "whole")
    fit.train(RANDOM, whole)
    assert "compiled with XLA" in capfd.readouterr().out
    with at_batch(monkeypatch, 13, kill), pytest.raises(Killed):
        fit.train(RANDOM, killed)
    fit.train(RANDOM, killed)
    assert state(killed) == state(whole)


@pytest.mark.long
def test_signalled_runs_are_bitwise_identical_to_an_uninterrupted_one(
    tmp_path, monkeypatch, uninterrupted
):
    folder = RunFolder(tmp_path / "run")
    # Within an epoch, during a validation, and during the last validation.
    for number, saved in ((5, 6), (10, 10), (11, 12), (24, 24)):
        terminate = at_batch(monkeypatch, number, lambda: signal.raise_signal(signal.SIGTERM))
        with terminate, pytest.raises(Interrupted):
            fit.train(RANDOM, folder)
        assert sorted(folder.checkpoints.glob("batch-*"))[-1].stem == f"batch-{saved:09}"
    fit.train(RANDOM, folder)
    assert state(folder) == uninterrupted


def test_a_run_killed_between_training_and_summary_is_completed(tiny, tmp_path):
    finished, first, _ = tiny
    folder = RunFolder(shutil.copytree(finished.path, tmp_path / "run"))
    for file in (folder.model, folder.curves, folder.history):
        file.unlink()
    folder.summary.write_text("{}")
    second = fit.train(TINY, folder)
    assert epochs(folder) == [1, 2, 3]
    assert second["test_accuracy"] == first["test_accuracy"]
    assert folder.model.exists() and folder.curves.exists()


def test_a_finished_run_is_unchanged(one_epoch, monkeypatch):
    config, folder, summary = one_epoch
    monkeypatch.setattr(fit, "load_source", None)  # the data must not be loaded
    assert fit.train(config, folder) == summary
    with pytest.raises(UserError, match="optimization.total_epochs is 1 there and 2 here"):
        fit.train(change(config, "optimization", total_epochs=2), folder)


@pytest.mark.long
def test_the_seed_decides_the_weights(one_epoch, tmp_path):
    config, folder, _ = one_epoch

    def kernel(folder):
        return keras.saving.load_model(folder.model).get_layer("stem").get_weights()[0]

    def trained(seed):
        folder = RunFolder(tmp_path / str(seed))
        fit.train(dataclasses.replace(config, seed=seed), folder)
        return kernel(folder)

    first, again, other = kernel(folder), trained(config.seed), trained(1)
    np.testing.assert_allclose(first, again, atol=1e-5)
    assert np.abs(first - other).max() > 0.1


@pytest.mark.long
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(tmp_path, monkeypatch, precision):
    """With everything that has a state, interrupted, and loaded by Keras."""
    config = change(RANDOM, "hardware", precision=precision)
    folder = RunFolder(tmp_path / "run")
    with at_batch(monkeypatch, 14, kill), pytest.raises(Killed):
        fit.train(config, folder)
    summary = fit.train(config, folder)
    assert summary["precision"] == precision and keras.config.dtype_policy().name == "float32"
    assert 0.9 * np.log(10) < summary["test_loss"] < 1.1 * np.log(10)  # the EMA changes slowly
    model = keras.saving.load_model(folder.model)
    assert model.get_layer("MixerBlock_0").compute_dtype == precision.removeprefix("mixed_")
    assert {weight.dtype for weight in model.weights} == {"float32"}


def test_all_images_can_be_trained_on(tmp_path):
    config = change(TINY, "data", validation_fraction=0.0)
    config = change(config, "optimization", total_epochs=1, warmup_steps=0)
    folder = RunFolder(tmp_path / "run")
    fit.train(config, folder)
    assert "val_" not in folder.history.read_text()
    assert folder.curves.exists()


@pytest.mark.parametrize(
    "part, fields, message",
    [
        ("data", {"batch_size": 1294}, "--batch-size must be at most .* 1293. Received: 1294"),
        ("optimization", {"warmup_steps": 30}, r"--warmup-steps must be below .* 30 \(3 epochs"),
        ("optimization", {"learning_rate": 0.0}, "--learning-rate must be above 0"),
    ],
)
def test_invalid_options_are_rejected_before_anything_is_written(tmp_path, part, fields, message):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match=message):
        fit.train(change(TINY, part, **fields), folder)
    assert not folder.path.exists()


def test_two_processes_in_one_folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.lock(), pytest.raises(UserError, match="where another process is training"):
        fit.train(TINY, folder)


@pytest.mark.long
def test_checkpointing_may_change_between_sessions(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    with at_batch(monkeypatch, 13, kill), pytest.raises(Killed):
        fit.train(RANDOM, folder)
    fit.train(change(RANDOM, "checkpointing", checkpoint_steps=7), folder)
    assert folder.is_finished()


@pytest.mark.long
def test_digits_learns(tmp_path):
    """A short run; `test_digits_accuracy` verifies the accuracy of the full recipe."""
    config = change(DIGITS, "optimization", total_epochs=8)
    assert fit.train(config, RunFolder(tmp_path / "run"))["test_accuracy"] >= 0.9


@pytest.mark.slow
def test_digits_accuracy(tmp_path):
    accuracies = [
        fit.train(dataclasses.replace(DIGITS, seed=seed), RunFolder(tmp_path / str(seed)))[
            "test_accuracy"
        ]
        for seed in (0, 1, 2)
    ]
    assert np.mean(accuracies) >= 0.985, accuracies


def test_skipped_images_are_counted_and_listed(tmp_path):
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
def test_a_source_without_images_in_a_split_is_rejected(tmp_path, monkeypatch, part):
    source = fit.load_source(TINY.data)
    without = dataclasses.replace(source, **{part: IndexedSplit(np.zeros(0, int))})
    monkeypatch.setattr(fit, "load_source", lambda data: without)
    with pytest.raises(UserError, match=f"--source must have images in its {part} split"):
        fit.train(TINY, RunFolder(tmp_path / "run"))
