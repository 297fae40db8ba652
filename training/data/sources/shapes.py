"""Textured shapes, generated: see `training.data.shapes`."""

import dataclasses
import typing

import numpy as np

from training.data.shapes import TEST, TRAIN, Dials, generate
from training.data.source import Source, hold_out
from training.data.splits import in_memory
from training.errors import UserError

FORM = "shapes"
MOST_IMAGES = 100_000
CLASSES = ("shape", "texture", "both")


def load(data):
    """Return generated images; `--source shapes:train=5000,difficulty=0.8` turns the dials.

    The validation split is held out of the training images, stratified by class.
    """
    dials = parse_dials(data.source)
    images, labels = generate(dials, TRAIN)
    train, validation = hold_out(np.arange(len(labels)), labels, data.validation_fraction)
    return Source(
        class_names=dials.class_names,
        channels=3,
        fingerprint=lambda: repr(dials),
        train=in_memory(images[train], labels[train]),
        validation=in_memory(images[validation], labels[validation]),
        test=in_memory(*generate(dials, TEST)),
    )


def parse_dials(source):
    """Return the `Dials` of `shapes` or `shapes:NAME=VALUE,…`.

    Raises:
        UserError: If a dial does not exist, or its value is invalid.
    """
    types = typing.get_type_hints(Dials)
    values = {}
    for setting in filter(None, source.partition(":")[2].split(",")):
        name, _, value = setting.partition("=")
        try:
            values[name] = types[name](value)
        except (KeyError, ValueError):
            raise _invalid(setting) from None
    dials = Dials(**values)
    fewest = len(dials.class_names) if dials.classes in CLASSES else 1
    valid = {
        "train": 20 * fewest <= dials.train <= MOST_IMAGES,
        "test": fewest <= dials.test <= MOST_IMAGES,
        "classes": dials.classes in CLASSES,
        "difficulty": 0 <= dials.difficulty <= 1,
        "seed": 0 <= dials.seed < 2**32,
    }
    for name, is_valid in valid.items():
        if not is_valid:
            raise _invalid(f"{name}={getattr(dials, name)}")
    return dials


def _invalid(setting):
    defaults = ",".join(f"{name}={value}" for name, value in dataclasses.asdict(Dials()).items())
    return UserError(
        "--source shapes:DIALS must be NAME=VALUE,…: train, at least 20 images of each class; "
        f"test, at least one of each; at most {MOST_IMAGES:,} images each; classes, one of "
        f"{', '.join(CLASSES)}; difficulty from 0 to 1; seed. Received: {setting}. Pass "
        f"--source shapes:{defaults}, for example."
    )
