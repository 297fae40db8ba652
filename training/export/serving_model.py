"""The Keras model that is exported: from pixels to logits and probabilities, in float32."""

import keras

INPUT = "pixels"
LOGITS = "logits"
PROBABILITIES = "probabilities"
HALF_PRECISION = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def build_serving_model(loaded):
    """Return a Keras model with one named input and two named outputs.

    Args:
        loaded: The `training.model_argument.LoadedModel`, which is not changed.
    """
    model = in_float32(loaded.model)
    pixels = keras.Input(model.input_shape[1:], name=INPUT, dtype="float32")
    logits = _activation("linear", LOGITS)(model(pixels))
    probabilities = _activation(loaded.activation, PROBABILITIES)(logits)
    return keras.Model(pixels, {LOGITS: logits, PROBABILITIES: probabilities})


def in_float32(model):
    """Return a model that computes in float32: the model itself, or a copy with its weights.

    The formats differ in the types with 16 bits that they have, and the runtimes round in other
    places. Weights of a model with mixed precision are float32 anyway.
    """
    config = keras.saving.serialize_keras_object(model)
    exact = _replace_precision(config)
    if exact == config:
        return model
    copy = keras.saving.deserialize_keras_object(exact)
    copy.set_weights(model.get_weights())
    return copy


def _activation(name, output):
    return keras.layers.Activation(name, dtype="float32", name=output)


def _replace_precision(config):
    """Return a configuration in which every type or policy of 16 bits is float32."""
    if isinstance(config, dict):
        return {key: _replace_precision(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_replace_precision(value) for value in config)
    return "float32" if config in HALF_PRECISION else config
