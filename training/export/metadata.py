"""Metadata of an exported model: what a program has to know to use it without this project."""

import json
from pathlib import Path

import keras

import keras_mixer
from keras_mixer.weights.catalog import NAMES, find
from training.export.serving_model import INPUT, LOGITS, PROBABILITIES
from training.export.transform_steps import describe_transform

VERSION = 1  # of these entries


def describe_model(loaded, origin):
    """Return the entries of the metadata, a dictionary for JSON.

    Args:
        loaded: The `training.model_argument.LoadedModel`.
        origin: MODEL as the user passed it; empty if it is not known.
    """
    *size, channels = loaded.model.input_shape[1:]
    name = loaded.evaluation_transform
    return {
        "metadata_version": VERSION,
        "model": _without_folders(origin),
        "weights": _describe_weights(loaded, origin),
        "keras_mixer": keras_mixer.__version__,
        "keras": keras.__version__,
        "input": {
            "name": INPUT,
            "shape": ["batch", *size, channels],
            "dtype": "float32",
            "channels": {1: "gray", 3: "RGB"}[channels],
            "value_range": [0, 255],
        },
        "outputs": {
            LOGITS: {"shape": ["batch", loaded.classes], "dtype": "float32"},
            PROBABILITIES: {
                "shape": ["batch", loaded.classes],
                "dtype": "float32",
                "activation": loaded.activation,
            },
        },
        "class_names": loaded.class_names and list(loaded.class_names),
        "evaluation_transform": {
            "name": name,
            "steps": describe_transform(name, size, channels),
        },
    }


def _without_folders(origin):
    """Return MODEL without the folders of a path, which are not for others to see."""
    if "://" in origin:
        return origin
    head, colon, tail = origin.partition(":")
    is_constructor = bool(colon) and head.isidentifier()
    return f"{head}:{Path(tail).name}" if is_constructor else Path(origin).name


def to_json(entries):
    """Return the text that is stored in the files."""
    return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def _describe_weights(loaded, origin):
    """Return where published weights are from, and on what terms; None for others."""
    constructor, _, name = origin.partition(":")
    if not loaded.published or name not in NAMES:
        return None
    row = find(constructor, name)
    return {
        "name": f"{row.variant}:{row.name}",
        "url": row.url,
        "license": row.licence,
        "top1": [{"percent": percent, "reported_by": who} for percent, who in row.top1],
        "warning": row.warning,
    }
