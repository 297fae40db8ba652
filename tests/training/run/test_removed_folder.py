"""Run folders that are removed or replaced, as a whole or in part, while the run trains."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from training.errors import UserError
from training.recipes import RECIPES
from training.run import train as fit
from training.run.callbacks.stop_on_signal import StopOnSignal
from training.run.folder import RunFolder

pytestmark = pytest.mark.backend("torch")  # TensorFlow writes for TensorBoard on all backends

CONFIG = RECIPES["tiny"].CONFIG.vary(total_epochs=2, warmup_steps=0, checkpoint_steps=5)


def train(folder, monkeypatch, action, batch=13):
    """Train, and call `action` after a batch of the second of two epochs."""
    real = StopOnSignal.on_train_batch_end

    def hooked(self, step, logs=None):
        real(self, step, logs)
        if self.run.progress.batches == batch:
            self.run.checkpoints.finish()
            action()

    with monkeypatch.context() as patch:
        patch.setattr(StopOnSignal, "on_train_batch_end", hooked)
        return fit.train(CONFIG, folder, verbose=0)


def remove(folder):
    shutil.rmtree(folder.path)


def replace_by_a_file(folder):
    shutil.rmtree(folder.path)
    folder.path.write_text("a file")


def replace_by_another_run(folder):
    shutil.rmtree(folder.path)
    folder.write_config(CONFIG, "torch")


def remove_config(folder):
    folder.config.unlink()


@pytest.mark.parametrize(
    "action, cause",
    [
        (remove, "config.json was removed"),
        (remove_config, "config.json was removed"),
        (replace_by_a_file, "config.json cannot be read any more"),
        (replace_by_another_run, "config.json is of another run"),
    ],
)
def test_a_folder_that_was_removed_is_an_error(tmp_path, monkeypatch, action, cause):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match=f"must stay in place while the run trains.*{cause}"):
        train(folder, monkeypatch, lambda: action(folder))
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not names & {"model.keras", "summary.json", "curves.png"}
    if action is not remove_config:
        assert "history.csv" not in names


@pytest.mark.parametrize("name", ["checkpoints", "tensorboard"])
def test_other_parts_are_written_again(tmp_path, monkeypatch, name):
    folder = RunFolder(tmp_path / "run")

    def action():
        path = folder.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    train(folder, monkeypatch, action)
    assert folder.is_finished() and folder.read_class_names()
    assert {path.name for path in folder.checkpoints.iterdir()} >= {"batch-000000020.npz"}


def test_the_results_are_not_written_into_another_folder(tmp_path, monkeypatch):
    folder, write = RunFolder(tmp_path / "run"), fit.write_results

    def remove_first(*arguments):
        remove(folder)
        return write(*arguments)

    monkeypatch.setattr(fit, "write_results", remove_first)
    with pytest.raises(UserError, match="must stay in place while the run trains"):
        fit.train(CONFIG, folder, verbose=0)
    assert not folder.path.exists()


def test_a_folder_that_becomes_read_only_is_an_error(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    real = Path.replace

    def refuse(path, target):
        if path.suffix == ".draft" and folder.checkpoints.exists():
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(UserError, match="of batch 5 could not be written: Permission denied"):
        fit.train(CONFIG, folder, verbose=0)


def test_a_run_whose_images_changed_does_not_resume(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")

    class Stopped(Exception):
        pass

    def stop():
        raise Stopped

    with pytest.raises(Stopped):
        train(folder, monkeypatch, stop)
    load = fit.load_source
    fewer = dataclasses.replace(load(CONFIG.data), class_names=tuple("abcdefghij"))
    monkeypatch.setattr(fit, "load_source", lambda data: fewer)
    with pytest.raises(UserError, match="must have the classes that the run began with"):
        fit.train(CONFIG, folder, verbose=0)
    source = load(CONFIG.data)
    fewer = dataclasses.replace(source, train=source.validation)
    monkeypatch.setattr(fit, "load_source", lambda data: fewer)
    with pytest.raises(UserError, match="must have the images that the run began with"):
        fit.train(CONFIG, folder, verbose=0)
