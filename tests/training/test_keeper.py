import signal
import threading

import keras
import numpy as np
import pytest

from training import keeper as keeper_module
from training.checkpoints import Checkpoints, Progress
from training.config import Checkpointing
from training.epochs import Epochs
from training.keeper import Interrupted, Keeper


@pytest.fixture
def keep(tmp_path):
    def keep(progress=Progress(), **checkpointing):  # noqa: B008  frozen
        inputs = keras.Input((3,))
        model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        model.compile("sgd", "mse")
        model.optimizer.build(model.trainable_variables)
        keeper = Keeper(
            Checkpoints(tmp_path / "checkpoints", keep=9),
            progress,
            Checkpointing(**{"checkpoint_minutes": 0, **checkpointing}),
            Epochs(batch_size=30, steps_per_epoch=4, total_steps=10),
            tmp_path / "history.csv",
            seed=0,
        )
        keeper.set_model(model)
        return keeper

    return keep


def saved(tmp_path):
    return sorted(int(path.stem[5:]) for path in (tmp_path / "checkpoints").glob("step-*"))


def steps(keeper, number):
    for _ in range(number):
        keeper.on_train_batch_end(0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_after_the_step(keep, tmp_path, number, capsys):
    before = signal.getsignal(number)
    with keep() as keeper:
        steps(keeper, 1)
        signal.raise_signal(number)
        assert "again ends at once" in capsys.readouterr().out
        with pytest.raises(Interrupted) as end:
            steps(keeper, 1)
    assert end.value.number == number
    assert saved(tmp_path) == [2]
    assert signal.getsignal(number) == before


def test_a_signal_in_the_validation_keeps_the_metrics_of_the_epoch(keep, tmp_path):
    with keep() as keeper:
        steps(keeper, 4)
        signal.raise_signal(signal.SIGTERM)
        keeper.on_test_begin()
        with pytest.raises(Interrupted):
            keeper.on_test_batch_end(0)
    assert saved(tmp_path) == [4]
    assert keeper.progress.metrics is not None


def test_a_signal_at_the_end_of_an_epoch(keep, tmp_path):
    with keep() as keeper:
        steps(keeper, 4)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted):
            keeper.on_epoch_end(0, {"loss": 1.0})
    assert saved(tmp_path) == [4]
    assert keeper.progress.history == ({"epoch": 1, "step": 4, "loss": 1.0},)


def test_no_signal_stops_a_run_that_is_over(keep):
    with keep(Progress(step=8)) as keeper:
        steps(keeper, 2)
        signal.raise_signal(signal.SIGTERM)
        keeper.on_epoch_end(2, {"loss": 1.0})


def test_another_thread_may_train(keep):
    failures, keeper = [], keep()

    def train():
        try:
            with keeper:
                steps(keeper, 1)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert not failures


def test_checkpoints_by_steps(keep, tmp_path):
    keeper = keep(checkpoint_steps=2)
    for epoch, length in enumerate((4, 4, 2)):
        steps(keeper, length)
        keeper.on_epoch_end(epoch, {"loss": 1.0})
    assert saved(tmp_path) == [2, 4, 6, 8, 10]


def test_checkpoints_by_minutes(keep, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(keeper_module.time, "monotonic", lambda: now[0])
    keeper = keep(checkpoint_minutes=2)
    for _ in range(3):
        now[0] += 59
        steps(keeper, 1)
    assert saved(tmp_path) == [3]


def test_the_best_and_the_last_are_saved(keep, tmp_path):
    keeper = keep()
    for epoch, (length, accuracy) in enumerate([(4, 0.5), (4, 0.4), (2, 0.45)]):
        steps(keeper, length)
        keeper.on_epoch_end(epoch, {"loss": 1.0, "val_accuracy": accuracy})
    assert saved(tmp_path) == [4, 10]
    checkpoints = tmp_path / "checkpoints"
    assert (checkpoints / "best.npz").samefile(checkpoints / "step-000000004.npz")


def test_the_history_has_one_row_per_epoch_of_all_sessions(keep, tmp_path):
    first = keep()
    steps(first, 4)
    first.on_epoch_end(0, {"loss": 1.5})
    second = keep(first.progress)
    steps(second, 4)
    second.on_epoch_end(1, {"loss": 0.5})
    rows = (tmp_path / "history.csv").read_text().splitlines()
    assert rows == ["epoch,step,loss", "1,4,1.5", "2,8,0.5"]


def test_speed_leaves_out_first_steps_validation_and_saving(keep, monkeypatch):
    clock = iter([0.0, 10.0, 12.0, 100.0, 101.0, 103.0])
    monkeypatch.setattr(keeper_module.time, "perf_counter", lambda: next(clock))
    keeper = keep()  # at 0
    keeper.on_epoch_begin(0)
    assert keeper.images_per_second() is None
    steps(keeper, 2)  # at 10, when it was compiled, and at 12
    keeper.on_epoch_begin(1)  # at 100: the validation lies behind
    steps(keeper, 2)  # at 101 and 103
    assert keeper.images_per_second() == 3 * 30 / 5


def test_metrics_of_a_part_of_an_epoch_go_on(keep):
    keeper = keep()
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    keeper.model.test_on_batch(x, y)
    before = [np.array(v) for v in keeper.model.metrics_variables]
    assert any(value.any() for value in before)
    keeper.goes_on_within_an_epoch(keeper.model)
    keeper.model.reset_metrics()
    keeper.on_epoch_begin(0)
    for variable, value in zip(keeper.model.metrics_variables, before, strict=True):
        np.testing.assert_array_equal(np.array(variable), value)
    keeper.model.reset_metrics()
    keeper.on_epoch_begin(1)
    assert not any(np.array(v).any() for v in keeper.model.metrics_variables)
