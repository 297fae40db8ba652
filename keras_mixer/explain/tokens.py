"""The Mixer inside a model, its grid of patches, and the layers with a token for each patch."""

import difflib

import keras

STEM, LAST_TOKENS = "stem", "pre_head_layer_norm"  # layers of a Mixer


def token_layers(model):
    """Return the names of the layers of the Mixer that return one token for each patch.

    Args:
        model: A Mixer, or a `Sequential` or functional model with one inside.

    Raises:
        ValueError: If the model has no Mixer.

    Examples:
        >>> import keras_mixer
        >>> model = keras_mixer.MlpMixer(4, 16, 2, 8, 32, input_shape=(16, 24, 3), classes=10)
        >>> keras_mixer.explain.token_layers(model)
        ['stem', 'tokens', 'MixerBlock_0', 'MixerBlock_1', 'pre_head_layer_norm']
    """
    mixer = find_mixer(model)
    names = [layer.name for layer in mixer.layers]
    start = names.index(STEM)
    return [layer.name for layer in mixer.layers[start:] if _has_tokens(layer, mixer)]


def find_mixer(model):
    """Return the model whose layers are those of a Mixer: `model`, or one nested in it.

    Args:
        model: A Keras model.

    Raises:
        ValueError: If there is none, or more than one.
    """
    found = _find_mixers(model) if isinstance(model, keras.Model) else {}
    if len(found) == 1:
        return next(iter(found.values()))
    received = f"{len(found)} Mixers: {', '.join(mixer.name for mixer in found.values())}"
    if not found:
        received = f"a {type(model).__name__} without one"
    raise ValueError(
        "explain: `model` must be a Keras model with one Mixer of keras_mixer. Received: "
        f"{received}. Pass the Mixer, or a model that has no other one around it."
    )


def _find_mixers(model):
    """Return `{id: model}` for the Mixers among a model and those nested in it."""
    names = {layer.name for layer in model.layers}
    if {STEM, LAST_TOKENS} <= names:
        return {id(model): model}
    nested = (layer for layer in model.layers if isinstance(layer, keras.Model))
    return {key: mixer for inner in nested for key, mixer in _find_mixers(inner).items()}


def patch_grid(mixer):
    """Return the numbers of rows and of columns of patches of a Mixer."""
    return mixer.get_layer(STEM).output.shape[1:3]


def _has_tokens(layer, mixer):
    """Return whether a layer returns one token for each patch, as a table or as a grid."""
    shape = getattr(layer.output, "shape", ())[1:-1]
    rows, columns = patch_grid(mixer)
    return shape in ((rows * columns,), (rows, columns))


def find_token_layer(mixer, name):
    """Return a layer of `token_layers`; raise ValueError if there is none of this name."""
    names = token_layers(mixer)
    if name in names:
        return mixer.get_layer(name)
    near = difflib.get_close_matches(str(name), names, n=1)
    advice = f"Did you mean {near[0]!r}?" if near else "Leave it out for the last tokens."
    raise ValueError(
        "explain: `layer` must be a layer of the Mixer that returns one token for each patch: "
        f"{', '.join(names)}. Received: layer={name!r}. {advice}"
    )
