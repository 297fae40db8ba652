"""The compiled model of a configuration, ready for `model.fit`."""

from keras import ops

from training.model import build_model
from training.optimization.freezing import freeze
from training.optimization.layer_decay import layer_scale
from training.optimization.loss import loss_function
from training.optimization.optimizer import optimizer
from training.optimization.sharpness_aware import sharpness_aware


def compiled_model(config, source, schedule):
    """Return the model of a `training.config.Config`, ready for `fit`.

    Args:
        config: The configuration.
        source: The `training.data.source.Source` of its images.
        schedule: Its `training.optimization.schedule.Schedule`.

    Raises:
        UserError: See `build_model`.
    """
    optimization = config.optimization
    model = build_model(config.model, config.data.image_size, source)
    freeze(model, optimization)
    model = sharpness_aware(model, optimization.sam_rho)
    model.compile(
        optimizer=optimizer(optimization, schedule, layer_scale(model, optimization.layer_decay)),
        loss=loss_function(optimization),
        weighted_metrics=["accuracy"],  # of what fills up a validation nothing is counted
    )
    return model


def make_variables(model, classes):
    """Make the variables that Keras otherwise makes in the first step, so that they can be set."""
    model.optimizer.build(model.trainable_variables)
    nothing = ops.zeros((1, classes))
    model.compute_metrics(None, nothing, nothing)
    model.reset_metrics()
