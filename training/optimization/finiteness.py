"""Training that has come to nothing: a loss or a state that is not finite."""

import dataclasses
import math

import keras
import numpy as np

from training.devices import hosts
from training.errors import UserError
from training.optimization.duration import Duration
from training.optimization.schedule import Schedule


@dataclasses.dataclass(frozen=True)
class Finiteness:
    """What raises UserError where numbers are not finite.

    The loss of each batch costs nothing: Keras fetches it anyway for any callback that sees
    batches. A gradient that is not finite shows in the loss of the next batch, or in the state,
    which is read once before each checkpoint.
    """

    schedule: Schedule
    duration: Duration

    def require_loss(self, loss, batches):
        """Refuse a loss; `batches` is the number of batches so far."""
        if not math.isfinite(loss):
            self._refuse(f"a loss of {loss}", batches)

    def require_state(self, model, batches):
        """Refuse a model or an optimizer with a variable that is not finite."""
        for variable in (*model.trainable_variables, *model.optimizer.variables):
            # By NumPy, since JAX would compile the question for each shape.
            is_float = "float" in keras.backend.standardize_dtype(variable.dtype)
            if is_float and not np.isfinite(hosts.to_numpy(variable)).all():
                self._refuse(f"{variable.path} with values that are not", batches)

    def learning_rate_after(self, batches):
        """Return the learning rate of the update that follows so many batches."""
        return float(self.schedule(self.duration.updates_after(batches)))

    def _refuse(self, received, batches):
        step = self.duration.updates_after(batches - 1) + 1
        raise UserError(
            f"--learning-rate must keep the training finite. Received: {received} at step {step}, "
            f"at a learning rate of {self.learning_rate_after(batches - 1):.3g}. The last "
            "checkpoint is of before. Lower --learning-rate, raise --warmup-steps or set "
            "--clip-global-norm to 1, into another --run-dir."
        )
