"""The model of a training run: built, given a head, frozen in part, and compiled."""

import dataclasses

from keras import ops

import keras_mixer
from keras_mixer.variants import BY_NAME
from training.config import SIZES, refuse_unless
from training.errors import UserError
from training.optimization.freezing import freeze
from training.optimization.layer_decay import layer_scale
from training.optimization.loss import loss_function
from training.optimization.optimizer import optimizer
from training.optimization.sharpness_aware import sharpness_aware


def build_model(model, image_size, source):
    """Return the Mixer of a `training.config.Model` for a source's images; it gives logits.

    Its head is new, even over weights that have one for as many classes.

    Raises:
        UserError: If the weights are not this model's, are damaged or cannot be fetched.
    """
    constructor = keras_mixer.MlpMixer
    arguments = dataclasses.asdict(model) | {"weights": model.weights or None}
    del arguments["variant"], arguments["head_bias"]
    if model.variant:
        constructor = getattr(keras_mixer, BY_NAME[model.variant].constructor_name)
        for size in SIZES:
            del arguments[size]
    try:
        mixer = constructor(
            **arguments,
            input_shape=(image_size, image_size, source.channels),
            classes=len(source.class_names),
            classifier_activation=None,
        )
    except (ValueError, OSError) as error:
        if not model.weights:
            raise
        raise UserError(
            "--weights must be sound weights of this very model. "
            f"Received: {model.weights}. {error}"
        ) from error
    head = mixer.get_layer("head")
    head.kernel.assign(ops.zeros(head.kernel.shape))
    head.bias.assign(ops.full(head.bias.shape, model.head_bias))
    return mixer


def compiled_model(config, source, schedule):
    """Return the model of a `training.config.Config`, ready for `fit`.

    Args:
        config: The configuration.
        source: The `training.data.source.Source` of its images.
        schedule: Its `training.optimization.schedule.Schedule`.

    Raises:
        UserError: See `build_model`; or if more blocks are to be frozen than the variant has.
    """
    optimization = config.optimization
    if config.model.variant:
        num_blocks = BY_NAME[config.model.variant].num_blocks
        refuse_unless(
            optimization.frozen_blocks <= num_blocks,
            "frozen_blocks",
            f"must be at most the blocks of --variant {config.model.variant}, {num_blocks}",
            optimization.frozen_blocks,
            "Pass fewer.",
        )
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
