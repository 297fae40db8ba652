"""Names and numerics of the weights in a checkpoint, for readers that do not have the model."""

from keras_mixer.weights.load import variables_by_name


def weight_entries(model, groups):
    """Return `{canonical name: archive entry}`, such as `{"stem/kernel": "trainable/0"}`.

    Names are those of the published files (`MixerBlock_0/token_mixing/Dense_0/kernel`). With
    `use_ema` the entries are the moving averages in the optimizer, which a run evaluates and
    saves; a frozen variable has no average, and its entry is the variable itself.

    Args:
        model: A compiled and built Mixer; nothing is returned for another model.
        groups: Its variables as `training.run.checkpoints.groups_of_variables` returns them.
    """
    if not _is_mixer(model):
        return {}
    entries = {
        id(variable): f"{group}/{number}"
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }
    averages = moving_averages(model)
    return {
        name: entries[id(averages.get(id(variable), variable))]
        for name, variable in variables_by_name(model).items()
    }


def moving_averages(model):
    """Return `{id(variable): its moving average}`; empty without `use_ema`."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of loss scaling
    if not optimizer.use_ema:
        return {}
    pairs = zip(model.trainable_variables, optimizer._model_variables_moving_average, strict=True)
    return {id(variable): average for variable, average in pairs}


def numerics(model):
    """Return the settings that the arrays do not determine: GELU, pixel range and patch grid.

    Empty for a model that is not a Mixer.
    """
    if not _is_mixer(model):
        return {}
    layers = {layer.name: layer for layer in model.layers}
    _, height, width, _ = model.input_shape
    patch_height, patch_width = layers["stem"].kernel_size
    found = {
        "approximate_gelu": layers["MixerBlock_0"].approximate_gelu,
        "grid": [height // patch_height, width // patch_width],
    }
    if "preprocessing" in layers:
        scaling = layers["preprocessing"]
        found["value_range"] = [scaling.offset, scaling.offset + 255 * scaling.scale]
    return found


def _is_mixer(model):
    return {"stem", "MixerBlock_0"} <= {layer.name for layer in model.layers}
