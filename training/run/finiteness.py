"""Checks that the loss, the weights and the optimizer of a training run are finite.

The loss of each batch costs nothing: Keras fetches it for any callback that sees batches. A
gradient that is not finite shows in the loss of the next batch, or in the state, which is read
once before each checkpoint.
"""

import math

import keras
import numpy as np

from training.devices import hosts
from training.errors import UserError


def require_finite_loss(loss, progress):
    """Raise UserError unless the loss is finite.

    Args:
        loss: That of the last batch.
        progress: The `training.run.progress.RunProgress`.
    """
    if not math.isfinite(loss):
        _refuse(f"a loss of {loss}", progress)


def require_finite_state(model, progress):
    """Raise UserError unless all variables of the model and of its optimizer are finite."""
    for variable in (*model.trainable_variables, *model.optimizer.variables):
        # In NumPy, because JAX would compile the check for each shape.
        is_float = "float" in keras.backend.standardize_dtype(variable.dtype)
        if is_float and not np.isfinite(hosts.to_numpy(variable)).all():
            _refuse(f"{variable.path} with values that are not", progress)


def _refuse(received, progress):
    before = progress.batches - 1
    step = progress.duration.updates_after(before) + 1
    raise UserError(
        f"--learning-rate must keep the training finite. Received: {received} at step {step}, "
        f"at a learning rate of {progress.learning_rate_after(before):.3g}. The last checkpoint "
        "predates this. Start a new --run-dir with a lower --learning-rate, more --warmup-steps "
        "or --clip-global-norm 1."
    )
