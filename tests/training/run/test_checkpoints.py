import errno
import json
import os
import threading
import zipfile

import keras
import numpy as np
import pytest

from training.errors import UserError
from training.run import checkpoint_file
from training.run import checkpoints as checkpoints_module
from training.run.checkpoints import Checkpoints, groups_of_variables
from training.run.progress import Progress

ROW = {"epoch": 1, "step": 5, "loss": 1.2345678901234567, "val_accuracy": 0.1 + 0.2}
PROGRESS = Progress(batches=7, history=(ROW,), metrics=[0.1, [2, 3]], wall_seconds=3.5)


def make_model(width=4, dtype=None, steps=0):
    """A model with random state and moving averages, after some steps."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(width, dtype=dtype)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, dtype=dtype)(hidden))
    adam = keras.optimizers.Adam(use_ema=True)
    model.compile(adam, "categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    for _ in range(max(steps, 1)):
        x, y = rng.standard_normal((8, 3)).astype("float32"), np.eye(2)[rng.integers(0, 2, 8)]
        model.train_on_batch(x, y) if steps else model.test_on_batch(x, y)
    return model


def values(model):
    return {
        f"{group} {number}": np.array(variable.numpy(), "float64")
        for group, variables in groups_of_variables(model).items()
        for number, variable in enumerate(variables)
    }


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", keep=2)


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_all_variables_are_restored(checkpoints, dtype):
    trained, new = make_model(dtype=dtype, steps=3), make_model(dtype=dtype)
    before = values(trained)
    assert any(np.any(before[name] != value) for name, value in values(new).items())
    assert [len(group) for group in groups_of_variables(trained).values()] > [4, 1, 10, 2]
    checkpoints.save(trained, PROGRESS)
    assert checkpoints.restore(new) == PROGRESS
    for name, value in values(new).items():
        np.testing.assert_array_equal(value, before[name])
    for model in (trained, new):  # and random states: the next masks are equal
        if keras.backend.backend() == "torch":  # whose global generator `TorchSeeding` seeds
            import torch

            torch.manual_seed(0)
        model.train_on_batch(np.ones((8, 3)), np.eye(2)[np.zeros(8, int)])
    for name, value in values(new).items():
        np.testing.assert_array_equal(value, values(trained)[name])


def test_without_checkpoints_the_model_is_unchanged(checkpoints):
    model = make_model()
    before = values(model)
    assert checkpoints.restore(model) == Progress()
    assert all(np.array_equal(before[name], value) for name, value in values(model).items())


def test_the_newest_and_the_best_are_kept(checkpoints):
    model = make_model()
    for step in (3, 20, 100):
        checkpoints.save(model, Progress(batches=step), as_best=step == 3)
    checkpoints.finish()
    names = sorted(path.name for path in checkpoints.folder.iterdir())
    assert names == ["batch-000000020.npz", "batch-000000100.npz", "best.npz"]
    assert checkpoints.restore(model).batches == 100


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_corrupt_checkpoint_is_reported_and_skipped(checkpoints, damage, capsys):
    model = make_model()
    for step in (1, 2):
        checkpoints.save(model, Progress(batches=step))
    checkpoints.finish()
    path = checkpoints.folder / "batch-000000002.npz"
    contents = path.read_bytes()
    value = contents.rindex(b"\x93NUMPY") + 128  # after the header of an array
    flipped = contents[:value] + bytes([contents[value] ^ 1]) + contents[value + 1 :]
    damaged = {
        "cut": contents[: len(contents) // 2],
        "flip": flipped,
        "empty": b"",
        "text": b"text",
    }
    path.write_bytes(damaged[damage])
    assert checkpoints.restore(model).batches == 1
    assert f"warning: {path} is corrupt" in capsys.readouterr().out
    assert not path.exists() and path.with_suffix(".damaged").exists()
    (checkpoints.folder / "batch-000000001.npz").write_bytes(b"")
    with pytest.raises(UserError, match="must hold a valid checkpoint"):
        checkpoints.restore(model)


def test_a_full_disk_keeps_the_last_checkpoint(checkpoints, monkeypatch):
    model = make_model()
    checkpoints.save(model, Progress(batches=1))
    checkpoints.finish()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="of batch 2 could not be written: No space left on device"):
        checkpoints.save(model, Progress(batches=2))
        checkpoints.finish()
    checkpoints.finish()  # the error is raised once
    assert [path.name for path in checkpoints.folder.iterdir()] == ["batch-000000001.npz"]


def test_a_checkpoint_of_the_first_version_is_restored(checkpoints):
    """It does not name its weights."""
    trained, new = make_model(steps=3), make_model()
    checkpoints.save(trained, PROGRESS)
    checkpoints.finish()
    path = checkpoints.folder / "batch-000000007.npz"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    entries = json.loads(members[checkpoint_file.PROGRESS])
    members[checkpoint_file.PROGRESS] = json.dumps(
        {key: entries[key] for key in entries if key not in ("weights", "numerics")}
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert checkpoints.restore(new) == PROGRESS
    for name, value in values(new).items():
        np.testing.assert_array_equal(value, values(trained)[name])


def test_drafts_of_a_killed_process_are_removed(checkpoints):
    model = make_model()
    checkpoints.save(model, Progress(batches=1))
    checkpoints.finish()
    (checkpoints.folder / "batch-000000002.draft").write_bytes(b"half")
    checkpoints.restore(model)
    assert [path.name for path in checkpoints.folder.iterdir()] == ["batch-000000001.npz"]


def test_checkpoints_of_another_model_are_rejected(checkpoints):
    checkpoints.save(make_model(), Progress(batches=1))
    with pytest.raises(UserError, match="must hold checkpoints of this model"):
        checkpoints.restore(make_model(width=5))


def test_a_checkpoint_holds_the_state_when_it_was_saved(checkpoints, monkeypatch):
    """The training continues while it is written."""
    write, resume = checkpoints_module.write_checkpoint_file, threading.Event()
    model = make_model()

    def wait_and_write(*arguments):
        assert resume.wait(60)
        write(*arguments)

    monkeypatch.setattr(checkpoints_module, "write_checkpoint_file", wait_and_write)
    before = values(model)
    checkpoints.save(model, Progress(batches=1))
    model.train_on_batch(np.ones((8, 3)), np.eye(2)[np.zeros(8, int)])
    after = values(model)
    resume.set()
    checkpoints.restore(model)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])
    assert any(np.any(after[name] != value) for name, value in before.items())


def test_a_corrupt_checkpoint_does_not_replace_later_ones(tmp_path):
    model, checkpoints = make_model(), Checkpoints(tmp_path, keep=2)
    for batches in (10, 20):
        checkpoints.save(model, Progress(batches=batches))
    checkpoints.finish()
    (tmp_path / "batch-000000020.npz").write_bytes(b"")
    checkpoints = Checkpoints(tmp_path, keep=1)
    assert checkpoints.restore(model).batches == 10
    checkpoints.save(model, Progress(batches=12))
    assert checkpoints.restore(model).batches == 12


def test_flipped_bits_never_cause_a_traceback(checkpoints):
    """Not even in the headers and the directory of a zip file, which have no checksum."""
    model = make_model()
    checkpoints.save(model, PROGRESS)
    checkpoints.finish()
    path = checkpoints.folder / "batch-000000007.npz"
    contents, rng = path.read_bytes(), np.random.default_rng(0)
    directory = contents.index(b"PK\x01\x02")
    faults = 0
    for place in rng.integers(directory, len(contents), 300):
        flipped = bytes([contents[place] ^ (1 << rng.integers(8))])
        path.write_bytes(contents[:place] + flipped + contents[place + 1 :])
        try:
            assert checkpoints.restore(model) == PROGRESS
        except UserError as error:
            assert "corrupt" in str(error)
            faults += 1
    assert faults > 50


def test_the_best_is_written_before_the_run_can_resume_after_it(checkpoints, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints_module, "_link_or_copy", killed)
    checkpoints.save(make_model(), Progress(batches=1), as_best=True)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.finish()
    assert not list(checkpoints.folder.glob("*.npz"))
