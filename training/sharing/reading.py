"""Loading of a shared model: arrays from safetensors, everything else from checked JSON."""

import dataclasses
from typing import Any

from keras_mixer.weights.hub import CONFIG_FILE, LARGEST_CONFIG_BYTES, WEIGHTS_FILE, Repository
from training.config.schema import conform
from training.errors import UserError
from training.sharing.shared_config import ANY_SIZE, SECTION, SharedConfig
from training.sharing.shared_folder import CLASSES_FILE, read_small_json

ADVICE = "Ask who shared it to share it again, or use its weights alone: MixerB16:FILE.safetensors."


def load_shared(source, constructor=""):
    """Return the fields of a `training.model_argument.LoadedModel` for a shared model.

    Args:
        source: A `keras_mixer.weights.hub.Repository` or `SharedFolder`.
        constructor: Name of the constructor; empty for the one that the configuration names.

    Raises:
        UserError: If a file is missing or not valid, or they do not belong together.
    """
    from keras_mixer.weights.load import open_weights, require_safetensors

    try:
        pinned = source.pin()
        entries = _read_config(pinned)
        weights = pinned if isinstance(pinned, Repository) else pinned.fetch(WEIGHTS_FILE)
        with open_weights(weights) as opened:
            require_safetensors(opened.file.arrays)
            if opened.classes is None or opened.grid is None:
                lacks = "a head" if opened.classes is None else "the size of its images"
                raise ValueError(f"its weights are without {lacks}")
            config = SharedConfig.from_entries(entries, opened)
            model = _build(constructor or config.constructor, config, opened)
        return {
            "model": model,
            "class_names": _read_class_names(pinned, entries, config.classes),
            "evaluation_transform": config.transform,
            "activation": config.activation,
        }
    except (ValueError, OSError) as error:
        if isinstance(error, UserError):
            raise
        advice = "" if str(error).endswith(".") else f". {ADVICE}"
        raise UserError(
            f"MODEL must name a valid shared model. Received: {source}: {error}{advice}"
        ) from error


def _read_config(source):
    """Return what `config.json` holds, an object; empty if a repository has none."""
    from keras_mixer.weights.download import MissingFileError

    try:
        path = source.fetch(CONFIG_FILE, LARGEST_CONFIG_BYTES)
    except MissingFileError:
        return {}
    try:
        return conform(read_small_json(path), dict[str, Any], "it")
    except ValueError as error:
        raise ValueError(f"{CONFIG_FILE} is not valid, since {error}") from error


def _build(constructor, config, weights):
    """Return a model of logits with opened weights, at the size that they were trained at."""
    import keras_mixer

    sizes = dataclasses.asdict(config.size) if constructor == ANY_SIZE else {}
    return getattr(keras_mixer, constructor)(
        **sizes, weights=weights, classifier_activation=None, dtype="float32"
    )


def _read_class_names(source, entries, classes):
    """Return the names of the classes, or None if a repository of timm's does not have them."""
    if SECTION not in entries:
        names = entries.get("label_names")
        valid = isinstance(names, list) and len(names) == classes
        return tuple(names) if valid and all(isinstance(n, str) for n in names) else None
    try:
        path = source.fetch(CLASSES_FILE, LARGEST_CONFIG_BYTES)
        names = conform(read_small_json(path), list[str], "it")
        if len(names) != classes:
            raise ValueError(f"it has {len(names)} names for {classes} classes")
    except ValueError as error:
        raise ValueError(f"{CLASSES_FILE} is not valid, since {error}") from error
    return tuple(names)
