import errno
import io
import json
import os
import threading
import zipfile

import keras
import numpy as np
import pytest

from training.config import Checkpointing, Config, Optimization
from training.errors import UserError
from training.run import checkpoint_file
from training.run import checkpoints as checkpoints_module
from training.run.checkpoints import Checkpoints, groups_of_variables
from training.run.identity import Identity
from training.run.progress import Progress

ROW = {"epoch": 1, "step": 5, "loss": 1.2345678901234567, "val_accuracy": 0.1 + 0.2}
PROGRESS = Progress(batches=7, history=(ROW,), metrics=[0.1, 2.0, 0.5, 3.0], wall_seconds=3.5)


def make_model(width=4, dtype=None, steps=0):
    """A model with random state and moving averages, after some steps."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(width, dtype=dtype)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, dtype=dtype)(hidden))
    adam = keras.optimizers.Adam(use_ema=True)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(adam, loss, metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    for _ in range(max(steps, 1)):
        x, y = rng.standard_normal((8, 3)).astype("float32"), np.eye(2)[rng.integers(0, 2, 8)]
        model.train_on_batch(x, y) if steps else model.test_on_batch(x, y)
    return model


def identity(**fields):
    return Identity.of_new_run(Config().vary(**fields), "jax")


def change(path, arrays=None, entries=None, without=()):
    """Change arrays and entries of a checkpoint, and write it without a digest."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    entries = json.loads(members[checkpoint_file.PROGRESS]) | (entries or {})
    for key in without:
        del entries[key]
    members[checkpoint_file.PROGRESS] = json.dumps(entries)
    for name, array in (arrays or {}).items():
        np.save(file := io.BytesIO(), array)
        members[f"{name}.npy"] = file.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


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
    """It names neither its weights nor its run."""
    trained, new = make_model(steps=3), make_model()
    checkpoints.save(trained, PROGRESS)
    checkpoints.finish()
    path = checkpoints.folder / "batch-000000007.npz"
    change(path, without=("weights", "numerics"))
    assert checkpoints.restore(new) == PROGRESS
    for name, value in values(new).items():
        np.testing.assert_array_equal(value, values(trained)[name])
    assert Checkpoints(path.parent, identity=Identity(Config(), "jax")).restore(new) == PROGRESS
    with pytest.raises(UserError, match="000000007.npz, which does not say what run it is of. Mov"):
        Checkpoints(path.parent, identity=identity()).restore(new)


def test_drafts_of_a_killed_process_are_removed(checkpoints):
    model = make_model()
    checkpoints.save(model, Progress(batches=1))
    checkpoints.finish()
    (checkpoints.folder / "batch-000000002.draft").write_bytes(b"half")
    checkpoints.restore(model)
    assert [path.name for path in checkpoints.folder.iterdir()] == ["batch-000000001.npz"]


@pytest.mark.backend("torch")
@pytest.mark.parametrize("name", ["batch-000000003.draft", "batch-000000002.damaged"])
def test_a_folder_in_the_way_is_reported(checkpoints, name):
    model = make_model()
    path = saved(checkpoints, model, 1, 2)
    path.write_bytes(b"")
    (checkpoints.folder / name).mkdir()
    with pytest.raises(UserError, match="--run-dir must stay in place.*could not be re"):
        checkpoints.restore(model)


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


def saved(checkpoints, model, *batches):
    """Save checkpoints and return the path of the last."""
    for number in batches:
        checkpoints.save(model, Progress(batches=number))
    checkpoints.finish()
    return checkpoints.folder / f"batch-{batches[-1]:09}.npz"


@pytest.mark.backend("torch")
def test_the_checkpoint_of_another_run_is_refused(tmp_path):
    """Not skipped: a file that another run needs would be renamed."""
    model, mine = make_model(), Checkpoints(tmp_path / "mine", identity=identity())
    saved(mine, model, 1)
    foreign = saved(Checkpoints(tmp_path / "other", identity=identity()), model, 2)
    path = mine.folder / foreign.name
    path.write_bytes(foreign.read_bytes())
    with pytest.raises(UserError, match="000000002.npz, which is of another run. Move the file"):
        mine.restore(model)
    path.unlink()
    assert mine.restore(model).batches == 1
    old = Checkpoints(mine.folder, identity=Identity(Config(), "jax"))  # of 0.1.0
    with pytest.raises(UserError, match="000000001.npz, which is of another run"):
        old.restore(model)


@pytest.mark.backend("torch")
def test_the_checkpoint_of_another_configuration_is_refused(tmp_path):
    model, first = make_model(), identity()
    saved(Checkpoints(tmp_path, identity=first), model, 1)

    def resume(**parts):
        config = Config(**parts)
        identity = Identity(config, "jax", first.run_id)
        return Checkpoints(tmp_path, identity=identity).restore(model).batches

    assert resume(checkpointing=Checkpointing(checkpoint_steps=3)) == 1
    with pytest.raises(UserError, match="optimization.total_epochs is 60 there and 2 here"):
        resume(optimization=Optimization(total_epochs=2))


@pytest.mark.backend("torch")
@pytest.mark.parametrize("kind", ["renamed", "best", "progress", "array", "integers", "no digest"])
def test_a_changed_checkpoint_is_reported_and_skipped(tmp_path, kind, capsys):
    """Also one that other programs wrote as a valid zip archive."""
    model, checkpoints = make_model(), Checkpoints(tmp_path, identity=identity())
    path, bias = saved(checkpoints, model, 1, 2), np.zeros(4, "float32")
    if kind == "renamed":
        path = path.rename(path.with_name("batch-000000009.npz"))
    elif kind == "best":
        checkpoints.save(model, Progress(batches=3), as_best=True)
        checkpoints.finish()
        (path.parent / "best.npz").replace(path)
        (path.parent / "batch-000000003.npz").unlink()
        saved(checkpoints, model, 1)
    elif kind == "progress":
        change(path, entries={"wall_seconds": 1.0})
    else:
        changed = {"array": bias + 1, "integers": bias.astype(int), "no digest": bias}
        change(path, {"trainable/1": changed[kind]})
    assert checkpoints.restore(model).batches == 1
    assert f"warning: {path} is corrupt: it" in capsys.readouterr().out
    assert path.with_suffix(".damaged").exists()


@pytest.mark.parametrize(
    "array, cause",
    [
        ([np.nan, 0, 0, 0], "trainable/1.npy has values that are not finite"),
        ([0, -np.inf, 0, 0], "trainable/1.npy has values that are not finite"),
        (np.zeros(4, int), "trainable/1 is of int64, not float32"),
        (np.zeros(4), "trainable/1 is of float64, not float32"),
        (np.zeros(4, ">f4"), "trainable/1 is of >f4, not float32"),
        (np.zeros(4, "V4"), "trainable/1 is of |V4, not float32"),
    ],
)
def test_wrong_values_are_not_restored_from_a_file_without_digest(checkpoints, array, cause):
    model = make_model()
    path = saved(checkpoints, model, 1)
    array = np.array(array, "float32") if isinstance(array, list) else array
    change(path, {"trainable/1": array})
    before = values(model)
    with pytest.raises(UserError) as error:
        checkpoints.restore(model)
    assert cause in str(error.value)
    assert all(np.array_equal(before[name], value) for name, value in values(model).items())


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "entries",
    [
        {"batches": "1"},
        {"batches": 1.0},
        {"batches": -1},
        {"batches": 10**30},
        {"history": {}},
        {"history": [3]},
        {"history": [{"epoch": None}]},
        {"metrics": 3},
        {"metrics": [[[[]]], {}, 1, 2]},
        {"metrics": ["a", "b", "c", "d"]},
        {"wall_seconds": float("nan")},
        {"timed_batches": -5},
        {"arrays": "10"},
        {"extra": 1},
        {"run": 5},
        {"run": {"run_id": 3}},
    ],
)
def test_progress_of_wrong_types_is_corrupt(checkpoints, entries):
    model = make_model()
    path = saved(checkpoints, model, 1)
    change(path, entries=entries)
    with pytest.raises(UserError, match="is corrupt: "):
        checkpoints.restore(model)


@pytest.mark.backend("torch")
def test_a_shape_is_checked_before_memory_is_allocated(checkpoints):
    """NumPy allocates what the header says."""
    model = make_model()
    path = saved(checkpoints, model, 1)
    header = {"descr": "<f4", "fortran_order": False, "shape": (2**40,)}
    np.lib.format.write_array_header_1_0(file := io.BytesIO(), header)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("trainable/99.npy", file.getvalue())
    change(path, entries={"arrays": 24})
    with pytest.raises(UserError, match="trainable/99.npy is not as long as its shape"):
        checkpoints.restore(model)
