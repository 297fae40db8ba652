"""Layers that keep the weights they came with."""

import keras


def freeze(model, optimization):
    """Take what a `training.config.Optimization` freezes out of the training of a Mixer.

    To be called before the model is compiled. Frozen weights neither move nor decay, and cost no
    memory of the optimizer.
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
    """Return the Mixer inside a model that was trained: neither compiled nor frozen.

    It shares the weights. Its file can be loaded without this application, and is smaller by the
    variables of the optimizer.
    """
    for layer in model.layers:  # TensorFlow's models do not hand `trainable` on if it is theirs
        layer.trainable = True
    return keras.Model(model.input, model.output, name=model.name)
