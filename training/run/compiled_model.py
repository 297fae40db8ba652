"""The compiled model of a configuration, ready for `model.fit`."""

from keras import ops

from training.model import build_model
from training.optimization.freezing import freeze
from training.optimization.layer_decay import layer_scale
from training.optimization.loss import loss_function
from training.optimization.optimizer import optimizer
from training.optimization.sharpness_aware import sharpness_aware


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
    model = build_model(config.model, config.data.image_size, source, trust_model)
    freeze(model, optimization)
    model = sharpness_aware(model, optimization.sam_rho)
    model.compile(
        optimizer=optimizer(optimization, schedule, layer_scale(model, optimization.layer_decay)),
        loss=loss_function(optimization),
        weighted_metrics=["accuracy"],  # padding examples have weight 0
    )
    return model


def make_variables(model, classes):
    """Create the variables that Keras creates in the first step, so that they can be restored."""
    model.optimizer.build(model.trainable_variables)
    zeros = ops.zeros((1, classes))
    model.compute_metrics(None, zeros, zeros)
    model.reset_metrics()
