"""The Mixer of a configuration."""

import dataclasses
import functools

from keras import ops

import keras_mixer
from training.config import SIZE_FIELDS
from training.errors import UserError


def build_model(model, image_size, source):
    """Return the Mixer of a `training.config.Model` for a source's images; it gives logits.

    Its head is new, even over weights that have one for as many classes.

    Raises:
        UserError: If the weights are not this model's, are damaged or cannot be fetched.
    """
    arguments = dataclasses.asdict(model) | {"weights": model.weights or None}
    for name in ("variant", "head_bias", *SIZE_FIELDS):
        del arguments[name]
    size = model.size
    if size.name:
        constructor = getattr(keras_mixer, size.constructor_name)
    else:
        constructor = functools.partial(keras_mixer.MlpMixer, **size.dimensions)
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
