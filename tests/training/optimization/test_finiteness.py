import keras
import numpy as np
import pytest

from tests.training.optimization import reference
from training.errors import UserError
from training.optimization.finiteness import RequireFinite
from training.optimization.schedule import Schedule

SCHEDULE = Schedule(0.5, "constant", 0, 100)


class Poison(keras.callbacks.Callback):
    """Puts NaN into a weight before the second epoch, or into the optimizer after it."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1 and not self.after:
            kernel = self.model.weights[0]
            kernel.assign(np.full(kernel.shape, np.nan))

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1 and self.after:
            momentum = self.model.optimizer.variables[-1]
            momentum.assign(np.full(momentum.shape, np.inf))


@pytest.mark.parametrize(
    "after, message",
    [
        (False, "Received: a loss of nan at step 6, at a learning rate of 0.5"),
        (True, "Received: .*momentum with values that are not at step 10, at a learning rate"),
    ],
)
def test_what_is_not_finite_ends_the_training_and_is_not_saved(tmp_path, after, message):
    x, y = reference.batches(5)
    chosen = reference.settings(warmup_steps=0)
    model = reference.keras_model()
    made = reference.optimizer(chosen, reference.learning_rate_schedule(chosen, 100, 4))
    model.compile(made, reference.loss_function(chosen))
    backup = keras.callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    with pytest.raises(UserError, match=message):
        model.fit(
            x, y, batch_size=4, epochs=3, verbose=0,
            callbacks=[Poison(after), RequireFinite(SCHEDULE), backup],
        )  # fmt: skip
    saved = reference.keras_model()
    saved.compile(made)
    saved.load_weights(tmp_path / "latest.weights.h5")
    assert all(np.isfinite(weight).all() for weight in saved.get_weights())
    assert int(made.iterations) == 5


def test_the_step_counts_updates():
    check = RequireFinite(Schedule(1.0, "linear", 10, 100), accumulation_steps=4)
    check.set_params({"steps": 6})
    check.on_epoch_begin(2)
    check.on_train_batch_end(3, {"loss": 1.0})
    with pytest.raises(UserError, match="loss of inf at step 5, at a learning rate of 0.4"):
        check.on_train_batch_end(4, {"loss": float("inf")})  # the 17th batch


def test_gradients_that_are_not_finite_show(tmp_path):
    """A rate beyond all measure, without clipping: the next loss tells."""
    x, y = reference.batches(5)
    chosen = reference.settings(warmup_steps=0, learning_rate=1e38)
    schedule = reference.learning_rate_schedule(chosen, 5, 4)
    with pytest.raises(UserError, match="at a learning rate of"):
        reference.fit(chosen, x, y, callbacks=[RequireFinite(schedule)])
