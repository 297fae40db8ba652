"""Training that has come to nothing: a loss or weights that are not finite."""

import math

import keras
from keras import ops

from training.errors import UserError


class RequireFinite(keras.callbacks.Callback):
    """Ends `model.fit` by a UserError as soon as the loss is not finite, or a weight at an epoch.

    To stand before the callbacks that write checkpoints. The loss of each batch costs nothing:
    Keras fetches it anyway for any callback that sees batches. A gradient that is not finite shows
    in the loss of the next batch, or in the weights, which the end of an epoch reads once.

    Args:
        schedule: The `training.optimization.schedule.Schedule`.
        accumulation_steps: Batches of an update.
    """

    def __init__(self, schedule, accumulation_steps=1):
        super().__init__()
        self.schedule = schedule
        self.accumulation_steps = accumulation_steps

    def on_epoch_begin(self, epoch, logs=None):
        self._batches_before = epoch * self.params["steps"]

    def on_train_batch_end(self, batch, logs=None):
        self._batches = self._batches_before + batch + 1
        if not math.isfinite(logs["loss"]):
            self._refuse(f"a loss of {logs['loss']}")

    def on_epoch_end(self, epoch, logs=None):
        self.require_finite_state()

    def require_finite_state(self):
        """Raise UserError if a variable of the model or the optimizer is not finite."""
        for variable in (*self.model.trainable_variables, *self.model.optimizer.variables):
            is_float = "float" in keras.backend.standardize_dtype(variable.dtype)
            if is_float and not ops.all(ops.isfinite(variable)):
                self._refuse(f"{variable.path} with values that are not")

    def _refuse(self, received):
        step = math.ceil(self._batches / self.accumulation_steps)
        raise UserError(
            f"--learning-rate must keep the training finite. Received: {received} at step {step}, "
            f"at a learning rate of {float(self.schedule(step - 1)):.3g}. The last checkpoint is "
            "of before. Lower --learning-rate, raise --warmup-steps or set --clip-global-norm to "
            "1, into another --run-dir."
        )
