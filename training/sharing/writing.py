"""Writing of a shared model: the files of its folder, verified against the model."""

import dataclasses
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from keras_mixer.convert import convert
from keras_mixer.weights.catalog import resolve
from keras_mixer.weights.hub import CONFIG_FILE, WEIGHTS_FILE, Repository
from keras_mixer.weights.load import open_weights
from training.errors import UserError
from training.model_argument import PretrainedModel
from training.sharing.model_card import Card, versions
from training.sharing.origin import find_origin
from training.sharing.reading import load_shared
from training.sharing.shared_config import SharedConfig
from training.sharing.shared_folder import CARD_FILE, CLASSES_FILE, SharedFolder, is_shared
from training.sharing.shared_model import SharedModel
from training.validation import not_writable

FILES = (WEIGHTS_FILE, CLASSES_FILE, CARD_FILE, CONFIG_FILE)  # the last one makes it a shared model
COMPARED_IMAGES = 4
LARGEST_ERROR = 1e-5  # of logits, relative to the largest; the arrays are the same
LARGEST_ROUNDED_ERROR = 0.1  # of a model that computes in another precision than float32
ROUNDED = ("bfloat16", "float16")


def write_shared(folder, argument, loaded, target, license=""):
    """Write the files of a shared model to an empty folder.

    Args:
        folder: Path of the folder.
        argument: The parsed MODEL.
        loaded: Its `training.model_argument.LoadedModel`, with class names.
        target: The `Repository` or the path of the folder that the files are for.
        license: See `training.sharing.model_card.Card`.

    Raises:
        UserError: If the model is not a plain Mixer.
    """
    config = _write_weights(folder / WEIGHTS_FILE, argument, loaded)
    origin = find_origin(argument)
    if origin.config and (loaded.evaluation_transform, loaded.activation) != (
        origin.config.data.evaluation_transform,
        origin.config.optimization.loss,
    ):
        origin = dataclasses.replace(origin, summary=None)  # measured with other settings
    is_repository = isinstance(target, Repository)
    card = Card(
        title=target.name.rpartition("/")[2] if is_repository else Path(target).resolve().name,
        repository=target if is_repository else None,
        config=config,
        class_names=loaded.class_names,
        origin=origin,
        license=license,
        versions=versions(),
    )
    entries = config.entries(loaded.class_names)
    _write_text(folder / CLASSES_FILE, json.dumps(list(loaded.class_names), indent=2) + "\n")
    _write_text(folder / CARD_FILE, card.text())
    _write_text(folder / CONFIG_FILE, json.dumps(entries, indent=2) + "\n")
    _compare(argument, loaded.model, load_shared(SharedFolder(folder))["model"])


def _write_weights(path, argument, loaded):
    """Write the weights in timm's layout; return the `SharedConfig`."""
    try:
        convert(_weights_of(argument), path)
        with open_weights(path) as weights:
            if weights.classes is None or weights.grid is None:
                raise ValueError("its weights are without a head, or without the size of images")
            return SharedConfig.of(weights, loaded.evaluation_transform, loaded.activation)
    except ValueError as error:
        raise _not_plain(argument, str(error)) from error


def _weights_of(argument):
    """Return what `keras_mixer.convert` reads the weights of a parsed MODEL from."""
    if isinstance(argument, PretrainedModel):
        return resolve(argument.constructor, argument.weights)
    return argument.weights if isinstance(argument, SharedModel) else argument.path


def _compare(argument, model, shared):
    """Raise UserError unless both models compute the same logits.

    A file can hold the arrays of a Mixer and compute something else with them, such as other pixel
    ranges, or have layers without weights.
    """
    shape = (COMPARED_IMAGES, *shared.input_shape[1:])
    if model.input_shape[1:] != shape[1:]:
        raise _not_plain(argument, f"it takes images of shape {model.input_shape[1:]}")
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected, found = (m.predict(images, verbose=0).astype("float32") for m in (model, shared))
    rounds = any(layer.compute_dtype in ROUNDED for layer in model.layers)
    tolerance = LARGEST_ROUNDED_ERROR if rounds else LARGEST_ERROR
    error = float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-6))
    if not error <= tolerance:
        cause = f"a Mixer with its weights computes other logits, by {error:.0e} of the largest"
        raise _not_plain(argument, cause)


def _not_plain(argument, cause):
    return UserError(
        "MODEL must be a Mixer as keras_mixer builds it, from pixels in [0, 255], to be shared. "
        f"Received: {argument.text}: {cause.rstrip('.')}. Share such a model, or give this one "
        "away as the .keras file that model.save writes."
    )


def require_shareable_folder(folder):
    """Raise UserError unless a folder is new, empty, or a shared model to be replaced."""
    if folder.is_dir() and any(folder.iterdir()) and not is_shared(folder):
        raise UserError(
            "--to must be a new or empty folder, or one of a shared model, which is replaced. "
            f"Received: {folder}, which has other files. Pass another folder."
        )
    if folder.exists() and not folder.is_dir():
        raise UserError(
            f"--to must be a folder or hf://USER/REPO. Received: {folder}, a file. Pass another "
            "path."
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder if folder.is_dir() else folder.parent).close()
    except OSError as error:
        raise not_writable(folder, error, "--to") from error


def share_to_folder(folder, argument, loaded, license=""):
    """Write a shared model to a folder, which gets all files or none if it is new."""
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".share-") as name:
            draft = Path(name) / "files"
            draft.mkdir()
            write_shared(draft, argument, loaded, folder, license)
            if not folder.exists():
                draft.rename(folder)
                return
            # Until all files are new, it is no shared model.
            (folder / CONFIG_FILE).unlink(missing_ok=True)
            for file in FILES:
                os.replace(draft / file, folder / file)
    except OSError as error:
        raise not_writable(folder, error, "--to") from error


def _write_text(path, text):
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
