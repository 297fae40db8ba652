"""The compiled model of a configuration, ready for `model.fit`."""

import keras
from keras import ops

from training.model import build_model
from training.optimization.freezing import freeze
from training.optimization.layer_decay import layer_scale
from training.optimization.loss import loss_function
from training.optimization.optimizer import optimizer
from training.optimization.sharpness_aware import sharpness_aware

XLA_UPDATES = 500  # from which on a run earns back the seconds that XLA takes to compile


def compiled_model(config, source, schedule, trust_model=False):
    """Return the model of a `training.config.Config`, ready for `fit`.

    Args:
        config: The configuration.
        source: The `training.data.source.Source` of its images.
        schedule: Its `training.optimization.schedule.Schedule`.
        trust_model: See `build_model`.

    Raises:
        UserError: See `build_model`.
    """
    optimization = config.optimization
    model = build_model(config.model, config.data.image_size, source, trust_model, config.seed)
    freeze(model, optimization)
    model = sharpness_aware(model, optimization.sam_rho)
    model.compile(
        optimizer=optimizer(optimization, schedule, layer_scale(model, optimization.layer_decay)),
        loss=loss_function(optimization),
        weighted_metrics=["accuracy"],  # padding examples have weight 0
        jit_compile=_jit_compile(schedule.total_updates),
    )
    return model


def _jit_compile(updates):
    """Return the argument `jit_compile` of `model.compile`: True, or Keras's choice, "auto".

    Keras compiles the steps of JAX with XLA, and those of TensorFlow only on accelerators. On CPUs
    it pays, too, if the run is long enough: the step of `digits` takes 0.59 of the time, that of
    B/16 the same. It does not pay in half precision, whose products XLA computes in float32. Under
    a `tf.distribute` strategy XLA cannot compile the step, which holds one call for all replicas.
    `torch.compile` takes longer than `digits` trains.
    """
    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    is_half = keras.config.dtype_policy().compute_dtype != "float32"
    return "auto" if tf.distribute.has_strategy() or is_half or updates < XLA_UPDATES else True


def uses_xla(model):
    """Return whether XLA compiles the steps of a compiled model."""
    return model.jit_compile and keras.backend.backend() != "torch"


def make_variables(model, classes):
    """Create the variables that Keras creates in the first step, so that they can be restored."""
    model.optimizer.build(model.trainable_variables)
    zeros = ops.zeros((1, classes))
    model.compute_metrics(None, zeros, zeros)
    model.reset_metrics()
