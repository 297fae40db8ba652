"""`.keras` files of trained models: the logits behind their last activation, and the Mixer inside.

Files are opened in Keras's safe mode, so that nothing in them is executed.
"""

import contextlib
import json
import tempfile
import zipfile
from pathlib import Path

import keras

import keras_mixer.layers  # noqa: F401  registers the layers that files name
from keras_mixer.files import open_regular, require_regular
from training.errors import UserError

ADVICE = "Save the model again with model.save, using layers of Keras and keras_mixer only."
ACTIVATIONS = ("softmax", "sigmoid")
LINEAR = "linear"
STEM, LAST_NORM, HEAD = "stem", "pre_head_layer_norm", "head"  # of `keras_mixer.MlpMixer`
HOLDS_PIXELS = (1, 3)  # channels of images


def open_logits(path, advice=ADVICE):
    """Return the model of a `.keras` file without its last activation, and that activation.

    The activation is "softmax", "sigmoid", or None for a model that already returns logits.

    Args:
        path: Path of the file.
        advice: What to do if the file cannot be read, for the message.

    Raises:
        UserError: If the file is corrupt, or does not hold a classifier of images.
    """
    model, activation = _without_activation(open_model(path, advice), path)
    _require_classifier(model, path)
    return model, activation


def open_model(path, advice=ADVICE):
    """Return the model of a `.keras` file, not compiled.

    Raises:
        UserError: If the file is corrupt, or names layers that are not known.
    """
    try:
        require_regular(path)
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path.name} must be a valid Keras model file. Received: {path}: {error}. {advice}"
        ) from error


@contextlib.contextmanager
def mixer_weights(path):
    """Yield a path from which the library reads the Mixer of a `.keras` file.

    That is the file itself if it holds a Mixer alone. Otherwise the body of the Mixer inside, such
    as that of `Sequential([mixer, Dense(10)])`, is saved as a temporary file.

    Raises:
        UserError: If the file is corrupt, or does not hold a Mixer.
    """
    if _holds_mixer_alone(path):
        yield path
        return
    mixer = _find_mixer(open_model(path))
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
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        names = {layer["config"]["name"]: layer["class_name"] for layer in layers}
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile):
        return True  # whatever is wrong, the library's message says it
    dense = {name for name, kind in names.items() if kind == "Dense"}
    return {STEM, LAST_NORM} <= names.keys() and dense <= {HEAD}


def _find_mixer(model):
    """Return the innermost model whose layers are a Mixer's, or None."""
    if any(layer.name == LAST_NORM for layer in model.layers):
        return model
    nested = (layer for layer in model.layers if isinstance(layer, keras.Model))
    return next(filter(None, map(_find_mixer, nested)), None)
