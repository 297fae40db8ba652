"""Callbacks of a run, called in their order as `model.fit` calls them."""

import signal
import threading

import keras
import numpy as np
import pytest

from training.config import Checkpointing, Config, Data
from training.errors import UserError
from training.optimization.duration import Duration
from training.optimization.schedule import Schedule
from training.run import ongoing, progress
from training.run.callbacks.metrics_restorer import MetricsRestorer
from training.run.checkpoints import Checkpoints
from training.run.fitting import make_callbacks
from training.run.folder import RunFolder
from training.run.ongoing import OngoingRun
from training.run.progress import Progress, RunProgress
from training.run.signals import Interrupted

DURATION = Duration(updates=10, batches=10, epoch_batches=4)


class Session:
    """A run and its callbacks, called without `model.fit`."""

    def __init__(self, run):
        inputs = keras.Input((3,))
        self.model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
        self.model.compile("sgd", "mse")
        self.model.optimizer.build(self.model.trainable_variables)
        self.run = run
        self.callbacks = [c for c in make_callbacks(run) if not is_tensorboard(c)]
        for callback in self.callbacks:
            callback.set_model(self.model)

    def call(self, hook, *arguments):
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def train(self, batches, loss=1.0):
        """Return the logs after some batches."""
        logs = None
        for _ in range(batches):
            logs = {"loss": loss}
            self.call("on_train_batch_end", 0, logs)
        return logs

    def end_epoch(self, epoch, **logs):
        self.call("on_epoch_end", epoch, {"loss": 1.0, **logs})


def is_tensorboard(callback):
    return isinstance(callback, keras.callbacks.TensorBoard)


@pytest.fixture
def begin(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=9)

    def begin(state=Progress(), duration=DURATION, **checkpointing):  # noqa: B008  frozen
        config = Config(
            data=Data(batch_size=30),
            checkpointing=Checkpointing(**{"checkpoint_minutes": 0, **checkpointing}),
        )
        schedule = Schedule(0.5, "constant", 0, 10)
        run_progress = RunProgress(state, duration, schedule, batch_size=30)
        return Session(OngoingRun(config, RunFolder(tmp_path), checkpoints, run_progress))

    begin.checkpoints = checkpoints
    return begin


def saved(begin):
    begin.checkpoints.finish()
    return sorted(int(path.stem[6:]) for path in begin.checkpoints.folder.glob("batch-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_after_the_batch(begin, number):
    before, session = signal.getsignal(number), begin()
    with session.run.signals:
        session.train(1)
        signal.raise_signal(number)
        with pytest.raises(Interrupted) as end:
            session.train(1)
    assert end.value.number == number
    assert saved(begin) == [2]
    assert signal.getsignal(number) == before


def test_a_signal_during_validation_keeps_the_metrics_of_the_epoch(begin):
    session = begin()
    with session.run.signals:
        session.train(4)
        signal.raise_signal(signal.SIGTERM)
        session.call("on_test_begin")
        session.call("on_test_batch_end", 0)
        assert session.model.stop_evaluating and saved(begin) == []
        with pytest.raises(Interrupted):
            session.call("on_test_end", {})
    assert saved(begin) == [4]
    assert session.run.progress.state.history == ()
    assert session.run.progress.state.metrics is not None


def test_a_signal_at_the_end_of_an_epoch(begin):
    session = begin()
    with session.run.signals:
        session.train(4)
        signal.raise_signal(signal.SIGTERM)
        session.end_epoch(0)
        assert session.model.stop_training
        with pytest.raises(Interrupted):
            session.run.interrupt_if_stopped()
    assert saved(begin) == [4]
    assert session.run.progress.state.history == ({"epoch": 1, "step": 4, "loss": 1.0},)


def test_no_signal_stops_a_run_that_is_over(begin):
    session = begin(Progress(batches=8))
    with session.run.signals:
        session.train(2)
        signal.raise_signal(signal.SIGTERM)
        session.end_epoch(2)
        session.run.interrupt_if_stopped()


def test_another_thread_can_train(begin):
    failures, session = [], begin()

    def run():
        try:
            with session.run.signals:
                session.train(1)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failures


def test_checkpoints_by_steps(begin):
    session = begin(checkpoint_steps=2)
    for epoch, length in enumerate((4, 4, 2)):
        session.train(length)
        session.end_epoch(epoch)
    assert saved(begin) == [2, 4, 6, 8, 10]


def test_checkpoints_by_steps_count_updates(begin):
    by_two = Duration(updates=5, batches=10, epoch_batches=10, accumulation_steps=2)
    session = begin(duration=by_two, checkpoint_steps=2)
    session.train(10)
    assert saved(begin) == [4, 8]
    session.end_epoch(0)
    assert session.run.progress.state.history[0]["step"] == 5


def test_checkpoints_by_minutes(begin, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(ongoing.time, "monotonic", lambda: now[0])
    session = begin(checkpoint_minutes=2)
    for _ in range(3):
        now[0] += 59
        session.train(1)
    assert saved(begin) == [3]


def test_the_best_and_the_last_epoch_are_saved(begin, tmp_path):
    session = begin()
    for epoch, (length, accuracy) in enumerate([(4, 0.5), (4, 0.4), (2, 0.45)]):
        session.train(length)
        session.end_epoch(epoch, val_accuracy=accuracy)
    assert saved(begin) == [4, 10]
    checkpoints = tmp_path / "checkpoints"
    assert (checkpoints / "best.npz").samefile(checkpoints / "batch-000000004.npz")


def test_the_history_has_one_row_per_epoch_of_all_sessions(begin, tmp_path):
    first = begin()
    first.train(4)
    first.end_epoch(0, loss=1.5)
    second = begin(first.run.progress.state)
    second.train(4)
    second.end_epoch(1, loss=0.5)
    rows = (tmp_path / "history.csv").read_text().splitlines()
    assert rows == ["epoch,step,loss", "1,4,1.5", "2,8,0.5"]


def test_the_speed_excludes_first_batches_validation_and_saving(begin, monkeypatch):
    clock = iter([0.0, 10.0, 12.0, 100.0, 101.0, 103.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    session = begin()  # at 0
    session.call("on_epoch_begin", 0)
    assert session.run.progress.images_per_second() is None
    session.train(2)  # at 10, after compiling, and at 12
    session.call("on_epoch_begin", 1)  # at 100, after the validation
    session.train(2)  # at 101 and 103
    assert session.run.progress.images_per_second() == 3 * 30 / 5


def test_metrics_of_an_interrupted_epoch_are_restored(begin):
    session = begin()
    model = session.model
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    model.test_on_batch(x, y)
    before = [np.array(v) for v in model.metrics_variables]
    assert any(value.any() for value in before)
    (restorer,) = (c for c in session.callbacks if isinstance(c, MetricsRestorer))
    restorer.restore_in_next_epoch(model)
    model.reset_metrics()
    session.call("on_epoch_begin", 0)
    for variable, value in zip(model.metrics_variables, before, strict=True):
        np.testing.assert_array_equal(np.array(variable), value)
    model.reset_metrics()
    session.call("on_epoch_begin", 1)
    assert not any(np.array(v).any() for v in model.metrics_variables)


def test_a_state_that_is_not_finite_is_not_saved(begin):
    session = begin(checkpoint_steps=1)
    session.train(2)
    with pytest.raises(UserError, match="Received: a loss of nan at step 3, at a learning rate"):
        session.train(1, loss=float("nan"))
    session = begin(Progress(batches=2), checkpoint_steps=1)
    session.model.weights[0].assign(np.full((3, 2), np.inf))
    with pytest.raises(UserError, match="kernel with values that are not at step 3"):
        session.train(1)
    assert saved(begin) == [1, 2]


def test_the_progress_bar_shows_speed_and_time_left(begin, monkeypatch):
    clock = iter([0.0, 10.0, 70.0, 130.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    logs = begin().train(3)
    assert logs == {"loss": 1.0, "images/s": 0.5, "minutes_left": 7.0}


def test_tensorboard_gets_the_learning_rate_of_the_run(begin):
    (tensorboard,) = filter(is_tensorboard, make_callbacks(begin().run))
    assert tensorboard._collect_learning_rate({"loss": 1.0}) == {"loss": 1.0, "learning_rate": 0.5}
