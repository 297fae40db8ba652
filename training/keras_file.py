"""`.keras` files of trained models: the logits behind their last activation, and the Mixer inside.

A file is rebuilt from what `keras_mixer.model_config` allows it to name, and then filled, so that
nothing in it is executed. Keras's own loader is for files that the user trusts.
"""

import contextlib
import json
import math
import os
import tempfile
from pathlib import Path

import keras
from keras.src.backend.common import global_state
from keras.src.saving.serialization_lib import ObjectSharingScope

from keras_mixer.files import open_regular, require_regular
from keras_mixer.model_config import ModelConfigError, check_model_config
from keras_mixer.weights.archives import open_archive
from keras_mixer.weights.keras_archive import open_h5, open_keras_archive
from training.errors import UserError
from training.studies.models.registration import registered_layers

ADVICE = "Save the model again with model.save, using layers of Keras and keras_mixer only."
TRUST = (
    "If you trust whoever made the file as you trust a program, pass --trust-model: what it names "
    "is then executed with your rights. Otherwise ask for a file of weights."
)
LARGEST_EXPANSION = 16  # weights for each byte of a file; those of LoRA are not all in it
ACTIVATIONS = ("softmax", "sigmoid")
LINEAR = "linear"
STEM, LAST_NORM, HEAD = "stem", "pre_head_layer_norm", "head"  # of `keras_mixer.MlpMixer`
HOLDS_PIXELS = (1, 3)  # channels of images
LARGEST_IMAGE = 2**26  # pixels; one image of more takes gigabytes in the first layers


def open_logits(path, advice=ADVICE, trusted=False):
    """Return the model of a `.keras` file without its last activation, and that activation.

    The activation is "softmax", "sigmoid", or None for a model that already returns logits.

    Args:
        path: Path of the file.
        advice: What to do if the file cannot be read, for the message.
        trusted: See `open_model`.

    Raises:
        UserError: If the file is corrupt, names more than a Mixer and plain layers consist of, or
            does not hold a classifier of images.
    """
    model, activation = _without_activation(open_model(path, advice, trusted), path)
    _require_classifier(model, path)
    return model, activation


def open_model(path, advice=ADVICE, trusted=False):
    """Return the model of a `.keras` file, not compiled.

    Args:
        path: Path of the file.
        advice: What to do if the file cannot be read, for the message.
        trusted: Whether Keras may execute whatever the file names, such as a `Lambda` layer.

    Raises:
        UserError: If the file is corrupt, or names more than a Mixer and plain layers consist of.
    """
    try:
        if trusted:
            require_regular(path)
            return keras.saving.load_model(path, compile=False, safe_mode=False)
        return _rebuild(path)
    except ModelConfigError as error:
        raise UserError(
            f"{path.name} must consist of a Mixer and layers of Keras that only compute. Received: "
            f"{path}, which names {_cause(error)}. {TRUST}"
        ) from error
    except Exception as error:  # Keras raises a dozen kinds for a configuration that is not valid
        raise UserError(
            f"{path.name} must be a valid Keras model file. Received: {path}: "
            f"{_cause(error)}. {advice}"
        ) from error


def _rebuild(path):
    """Return the model of a file that may be a stranger's."""
    with open_regular(path) as file, open_keras_archive(file) as (config, weights):
        with open_regular(weights) as arrays, open_h5(arrays):
            pass  # it has no links to other files
        checked = check_model_config(config, registered_layers())
        model = _build(checked, os.path.getsize(weights))
        model.load_weights(weights)
    return model


def _build(config, num_bytes):
    """Return the model of a checked configuration; refuse one too large for its weights.

    Memory is allocated only if `num_bytes` could hold the values of its variables.
    """
    try:
        # Without values at first; the other scope is Keras's, for layers that two models share.
        with keras.StatelessScope(initialize_variables=False), ObjectSharingScope():
            model = keras.saving.deserialize_keras_object(config)
        values = sum(math.prod(variable.shape) for variable in model.variables)
        if values > LARGEST_EXPANSION * num_bytes:
            raise ValueError(
                f"its layers have {values:,} weights, and its arrays have {num_bytes:,} bytes"
            )
    except Exception:
        global_state.set_global_attribute("uninitialized_variables", [])  # forget them
        raise
    with keras.StatelessScope():
        pass  # initializes the variables on leaving
    return model


def _cause(error):
    """Return the cause that an error states, without the configurations that Keras adds."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300].rstrip(".")


@contextlib.contextmanager
def mixer_weights(path, trusted=False):
    """Yield a path from which the library reads the Mixer of a `.keras` file.

    That is the file itself if it holds a Mixer alone. Otherwise the body of the Mixer inside, such
    as that of `Sequential([mixer, Dense(10)])`, is saved as a temporary file.

    Args:
        path: Path of the file.
        trusted: See `open_model`.

    Raises:
        UserError: If the file is corrupt, or does not hold a Mixer.
    """
    if _holds_mixer_alone(path):
        yield path
        return
    mixer = find_mixer(open_model(path, trusted=trusted))
    if mixer is None:
        raise UserError(
            f"--weights must be a .keras file with a Mixer inside. Received: {path}, which has no "
            f"layer {LAST_NORM!r}. Pass a file saved from a model built with keras_mixer."
        )
    body = keras.Model(mixer.input, mixer.get_layer(LAST_NORM).output)
    with tempfile.TemporaryDirectory() as folder:
        body_path = Path(folder) / "body.keras"
        body.save(body_path)
        yield body_path


def _without_activation(model, path):
    """Return the model without its last activation, and the activation's name or None.

    The activation of a layer is replaced in place: the model was loaded for this purpose only.
    """
    if len(model.outputs) != 1:
        raise _not_a_classifier(path, f"{len(model.outputs)} outputs", "Save one with one output")
    last = model.outputs[0]._keras_history.operation
    if isinstance(last, keras.Model):  # nested, such as a Mixer with its head in a Sequential
        nested, activation = _without_activation(last, path)
        if nested is not last:
            model = keras.Model(model.inputs, nested(last.input))
        return model, activation
    kind = type(last).__name__.lower()
    if kind in ACTIVATIONS:  # `keras.layers.Softmax`, or `keras.ops.sigmoid` as a layer
        return keras.Model(model.inputs, last.input), kind
    activation = getattr(last, "activation", None)
    name = getattr(activation, "__name__", LINEAR)
    if activation is None or name == LINEAR:
        return model, None
    if name not in ACTIVATIONS:
        known = " or ".join(ACTIVATIONS)
        raise _not_a_classifier(path, f"{name} at the end", f"End it with {known}, or with logits")
    last.activation = keras.activations.linear
    return model, name


def _require_classifier(model, path):
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in HOLDS_PIXELS:
        raise _not_a_classifier(path, f"inputs of shape {shape}", "Save one that takes images")
    if None in shape[1:3]:
        raise _not_a_classifier(path, f"images of any size, {shape}", "Fix it with keras.Input")
    if shape[1] * shape[2] > LARGEST_IMAGE:
        raise _not_a_classifier(path, f"images of {shape[1]} × {shape[2]}", "Use smaller ones")
    if len(model.output_shape) != 2:
        raise _not_a_classifier(path, f"outputs of shape {model.output_shape}", "Add a head")


def _not_a_classifier(path, received, advice):
    return UserError(
        "A .keras file must map images, (batch, height, width, 1 or 3), to one score for each "
        f"class, (batch, classes). Received: {path} with {received}. {advice}."
    )


def _holds_mixer_alone(path):
    """Return whether the layers of the file are those of a Mixer, without layers of the user's."""
    try:
        with open_regular(path) as file, open_archive(file) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        names = {layer["config"]["name"]: layer["class_name"] for layer in layers}
    except Exception:  # whatever is wrong, the library's message says it
        return True
    dense = {name for name, kind in names.items() if kind == "Dense"}
    return {STEM, LAST_NORM} <= names.keys() and dense <= {HEAD}


def find_mixer(model):
    """Return the innermost model whose layers are a Mixer's, or None."""
    if any(layer.name == LAST_NORM for layer in model.layers):
        return model
    nested = (layer for layer in model.layers if isinstance(layer, keras.Model))
    return next(filter(None, map(find_mixer, nested)), None)
