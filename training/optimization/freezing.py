"""Frozen layers, whose weights are not trained."""

import keras


def freeze(model, optimization):
    """Freeze the layers of a Mixer that a `training.config.Optimization` names.

    Call it before the model is compiled. Frozen weights are neither updated nor decayed, and take
    no memory in the optimizer.
    """
    frozen = frozen_layers(model, optimization)
    for layer in model.layers:
        layer.trainable = layer.name not in frozen


def frozen_layers(model, optimization):
    """Return the names of the layers to freeze."""
    if optimization.freeze == "body":
        return {layer.name for layer in model.layers} - {"head"}
    if optimization.frozen_blocks == 0:
        return set()
    return {"stem", *(f"MixerBlock_{i}" for i in range(optimization.frozen_blocks))}


def plain_model(model):
    """Return the Mixer inside a trained model, neither compiled nor frozen.

    It shares the weights. Its file can be loaded without this application, and does not have the
    variables of the optimizer.
    """
    for layer in model.layers:  # a TensorFlow model passes `trainable` on only if it changes
        layer.trainable = True
    return keras.Model(model.input, model.output, name=model.name)
