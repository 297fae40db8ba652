"""The optimizer of a training run."""

import keras

from training.keras_workarounds.replica_loss_scale import LossScale
from training.optimization.update_rule import Momentum, adamw_class


def optimizer(optimization, schedule, scale_of=None):
    """Return AdamW or momentum SGD, with clipping, accumulation, EMA and loss scaling.

    Weight decay applies to kernels, not to biases and norms, and is multiplied by the learning
    rate. The paper's 0.1 times the peak of 1e-3 is the authors' 1e-4, which is not multiplied.

    Args:
        optimization: A `training.config.Optimization`.
        schedule: A `training.optimization.schedule.Schedule`.
        scale_of: See `training.optimization.layer_decay`.
    """
    arguments = {
        "learning_rate": schedule,
        "weight_decay": optimization.weight_decay,
        "global_clipnorm": optimization.clip_global_norm or None,
        "use_ema": optimization.ema_momentum > 0,
        "ema_momentum": optimization.ema_momentum,
        "scale_of": scale_of,
    }
    if optimization.accumulation_steps > 1:
        arguments["gradient_accumulation_steps"] = optimization.accumulation_steps
    if optimization.optimizer == "sgd":
        made = Momentum(momentum=optimization.momentum, **arguments)
    else:
        made = adamw_class()(**arguments)
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if keras.config.dtype_policy().name == "mixed_float16":
        return LossScale(made)  # before `compile` wraps it in Keras's
    return made
