"""The model of a training run: built, frozen in part, and compiled."""

import dataclasses

import keras_mixer
from training.optimization.freezing import freeze
from training.optimization.layer_decay import layer_scale
from training.optimization.loss import loss_function
from training.optimization.optimizer import optimizer
from training.optimization.sharpness_aware import sharpness_aware


def build_model(model, image_size, source):
    """Return the Mixer of a `training.config.Model` for a source's images; it gives logits."""
    return keras_mixer.MlpMixer(
        **dataclasses.asdict(model),
        input_shape=(image_size, image_size, source.channels),
        classes=len(source.class_names),
        classifier_activation=None,
    )


def compiled_model(config, source, schedule):
    """Return the model of a `training.config.Config`, ready for `fit`.

    Args:
        config: The configuration.
        source: The `training.data.source.Source` of its images.
        schedule: Its `training.optimization.schedule.Schedule`.
    """
    optimization = config.optimization
    model = build_model(config.model, config.data.image_size, source)
    freeze(model, optimization)
    model = sharpness_aware(model, optimization.sam_rho)
    model.compile(
        optimizer=optimizer(optimization, schedule, layer_scale(model, optimization.layer_decay)),
        loss=loss_function(optimization),
        metrics=["accuracy"],
    )
    return model
