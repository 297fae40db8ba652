import keras
import numpy as np
import pytest

from tests.support import optimization as reference
from training.errors import UserError
from training.optimization.duration import Duration
from training.optimization.schedule import Schedule
from training.run.finiteness import require_finite_loss, require_finite_state
from training.run.progress import Progress, RunProgress

LENGTH = Duration(updates=100, batches=400, epoch_batches=6, accumulation_steps=4)


def after(batches):
    return RunProgress(Progress(batches), LENGTH, Schedule(1.0, "linear", 10, 100), batch_size=4)


def test_the_step_counts_updates():
    require_finite_loss(1.0, after(16))
    with pytest.raises(UserError, match="loss of inf at step 5, at a learning rate of 0.4"):
        require_finite_loss(float("inf"), after(17))


def trained_model():
    x, y = reference.batches(5)
    return reference.fit(reference.settings(warmup_steps=0), x, y)[0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("whose", ["model", "optimizer"])
def test_a_state_that_is_not_finite_is_rejected(whose, value):
    model = trained_model()
    require_finite_state(model, after(20))
    variable = model.weights[0] if whose == "model" else model.optimizer.variables[-1]
    poisoned = np.array(variable)
    poisoned.flat[-1] = value
    variable.assign(poisoned)
    with pytest.raises(UserError, match=f"Received: {variable.path} with values that are not at"):
        require_finite_state(model, after(20))


def test_gradients_that_are_not_finite_are_detected():
    """With a huge learning rate and no clipping, the next loss is not finite."""

    class Check(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            require_finite_loss(logs["loss"], after(batch + 1))

    x, y = reference.batches(5)
    chosen = reference.settings(warmup_steps=0, learning_rate=1e38)
    with pytest.raises(UserError, match="at a learning rate of"):
        reference.fit(chosen, x, y, callbacks=[Check()])
