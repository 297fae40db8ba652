import signal
import threading

import keras
import numpy as np
import pytest

from training.config import Checkpointing, Config, Data
from training.errors import UserError
from training.optimization.duration import Duration
from training.optimization.finiteness import Finiteness
from training.optimization.schedule import Schedule
from training.run import keeper as keeper_module
from training.run.checkpoints import Checkpoints, Progress
from training.run.folder import RunFolder
from training.run.keeper import Interrupted, Keeper

DURATION = Duration(updates=10, batches=10, epoch_batches=4)


@pytest.fixture
def keep(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=9)

    def keep(progress=Progress(), duration=DURATION, **checkpointing):  # noqa: B008  frozen
        inputs = keras.Input((3,))
        model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        model.compile("sgd", "mse")
        model.optimizer.build(model.trainable_variables)
        keeper = Keeper(
            Config(
                data=Data(batch_size=30),
                checkpointing=Checkpointing(**{"checkpoint_minutes": 0, **checkpointing}),
            ),
            duration,
            Finiteness(Schedule(0.5, "constant", 0, 10), duration),
            checkpoints,
            progress,
            RunFolder(tmp_path),
        )
        keeper.set_model(model)
        return keeper

    keep.checkpoints = checkpoints
    return keep


def saved(keep):
    keep.checkpoints.finish()
    return sorted(int(path.stem[6:]) for path in keep.checkpoints.folder.glob("batch-*"))


def train(keeper, batches, loss=1.0):
    logs = None
    for _ in range(batches):
        logs = {"loss": loss}
        keeper.on_train_batch_end(0, logs)
    return logs


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_after_the_batch(keep, number):
    before = signal.getsignal(number)
    with keep() as keeper:
        train(keeper, 1)
        signal.raise_signal(number)
        with pytest.raises(Interrupted) as end:
            train(keeper, 1)
    assert end.value.number == number
    assert saved(keep) == [2]
    assert signal.getsignal(number) == before


def test_a_signal_in_the_validation_keeps_the_metrics_of_the_epoch(keep, tmp_path):
    with keep() as keeper:
        train(keeper, 4)
        signal.raise_signal(signal.SIGTERM)
        keeper.on_test_begin()
        keeper.on_test_batch_end(0)
        assert keeper.model.stop_evaluating and saved(keep) == []
        with pytest.raises(Interrupted):
            keeper.on_epoch_end(0, {"loss": 1.0, "val_accuracy": 0.5})
    assert saved(keep) == [4]
    assert keeper.progress.history == ()
    assert keeper.progress.metrics is not None


def test_a_signal_at_the_end_of_an_epoch(keep, tmp_path):
    with keep() as keeper:
        train(keeper, 4)
        signal.raise_signal(signal.SIGTERM)
        keeper.on_epoch_end(0, {"loss": 1.0})
        assert keeper.model.stop_training
        with pytest.raises(Interrupted):
            keeper.raise_if_interrupted()
    assert saved(keep) == [4]
    assert keeper.progress.history == ({"epoch": 1, "step": 4, "loss": 1.0},)


def test_no_signal_stops_a_run_that_is_over(keep):
    with keep(Progress(batches=8)) as keeper:
        train(keeper, 2)
        signal.raise_signal(signal.SIGTERM)
        keeper.on_epoch_end(2, {"loss": 1.0})
        keeper.raise_if_interrupted()


def test_another_thread_may_train(keep):
    failures, keeper = [], keep()

    def run():
        try:
            with keeper:
                train(keeper, 1)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failures


def test_checkpoints_by_steps(keep, tmp_path):
    keeper = keep(checkpoint_steps=2)
    for epoch, length in enumerate((4, 4, 2)):
        train(keeper, length)
        keeper.on_epoch_end(epoch, {"loss": 1.0})
    assert saved(keep) == [2, 4, 6, 8, 10]


def test_checkpoints_by_steps_count_updates(keep, tmp_path):
    by_two = Duration(updates=5, batches=10, epoch_batches=10, accumulation_steps=2)
    keeper = keep(duration=by_two, checkpoint_steps=2)
    train(keeper, 10)
    assert saved(keep) == [4, 8]
    keeper.on_epoch_end(0, {"loss": 1.0})
    assert keeper.progress.history[0]["step"] == 5


def test_checkpoints_by_minutes(keep, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(keeper_module.time, "monotonic", lambda: now[0])
    keeper = keep(checkpoint_minutes=2)
    for _ in range(3):
        now[0] += 59
        train(keeper, 1)
    assert saved(keep) == [3]


def test_the_best_and_the_last_are_saved(keep, tmp_path):
    keeper = keep()
    for epoch, (length, accuracy) in enumerate([(4, 0.5), (4, 0.4), (2, 0.45)]):
        train(keeper, length)
        keeper.on_epoch_end(epoch, {"loss": 1.0, "val_accuracy": accuracy})
    assert saved(keep) == [4, 10]
    checkpoints = tmp_path / "checkpoints"
    assert (checkpoints / "best.npz").samefile(checkpoints / "batch-000000004.npz")


def test_the_history_has_one_row_per_epoch_of_all_sessions(keep, tmp_path):
    first = keep()
    train(first, 4)
    first.on_epoch_end(0, {"loss": 1.5})
    second = keep(first.progress)
    train(second, 4)
    second.on_epoch_end(1, {"loss": 0.5})
    rows = (tmp_path / "history.csv").read_text().splitlines()
    assert rows == ["epoch,step,loss", "1,4,1.5", "2,8,0.5"]


def test_speed_leaves_out_first_steps_validation_and_saving(keep, monkeypatch):
    clock = iter([0.0, 10.0, 12.0, 100.0, 101.0, 103.0])
    monkeypatch.setattr(keeper_module.time, "perf_counter", lambda: next(clock))
    keeper = keep()  # at 0
    keeper.on_epoch_begin(0)
    assert keeper.images_per_second() is None
    train(keeper, 2)  # at 10, when it was compiled, and at 12
    keeper.on_epoch_begin(1)  # at 100: the validation lies behind
    train(keeper, 2)  # at 101 and 103
    assert keeper.images_per_second() == 3 * 30 / 5


def test_metrics_of_a_part_of_an_epoch_go_on(keep):
    keeper = keep()
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    keeper.model.test_on_batch(x, y)
    before = [np.array(v) for v in keeper.model.metrics_variables]
    assert any(value.any() for value in before)
    keeper.resume_mid_epoch(keeper.model)
    keeper.model.reset_metrics()
    keeper.on_epoch_begin(0)
    for variable, value in zip(keeper.model.metrics_variables, before, strict=True):
        np.testing.assert_array_equal(np.array(variable), value)
    keeper.model.reset_metrics()
    keeper.on_epoch_begin(1)
    assert not any(np.array(v).any() for v in keeper.model.metrics_variables)


def test_what_is_not_finite_is_not_saved(keep, tmp_path):
    keeper = keep(checkpoint_steps=1)
    train(keeper, 2)
    with pytest.raises(UserError, match="Received: a loss of nan at step 3, at a learning rate"):
        train(keeper, 1, loss=float("nan"))
    keeper = keep(Progress(batches=2), checkpoint_steps=1)
    keeper.model.weights[0].assign(np.full((3, 2), np.inf))
    with pytest.raises(UserError, match="kernel with values that are not at step 3"):
        train(keeper, 1)
    assert saved(keep) == [1, 2]


def test_the_progress_bar_shows_speed_and_what_is_left(keep, monkeypatch):
    clock = iter([0.0, 10.0, 70.0, 130.0])
    monkeypatch.setattr(keeper_module.time, "perf_counter", lambda: next(clock))
    logs = train(keep(), 3)
    assert logs == {"loss": 1.0, "images/s": 0.5, "minutes_left": 7.0}
