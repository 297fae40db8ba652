"""The configuration as entries of JSON, as in a run's `config.json`."""

import dataclasses

from keras_mixer.sizes import SIZES
from training.config import Config
from training.config.schema import conform
from training.config.study_models import MIXER

# Fields that are newer than 0.1.0, with the values of the runs without them.
ADDED = {
    "data": {"train_fraction": 1.0},
    "model": {"architecture": MIXER, "input_permutation": "none"},
}


def to_entries(config):
    """Return a `Config` as nested dictionaries, with all sizes of the model given."""
    return dataclasses.asdict(config.resolved())


def from_entries(entries):
    """Return the `Config` that `to_entries` or keras_mixer 0.1.0 wrote.

    Raises:
        ValueError: If a field is missing, unknown, or has another type.
    """
    return conform(upgrade(entries), Config)


def upgrade(entries):
    """Return entries as `to_entries` writes them.

    In 0.1.0 the sizes of a model with a variant are 0, which means the variant's, and the fields
    of `ADDED` do not exist.
    """
    for section, fields in ADDED.items():
        if isinstance(entries.get(section), dict):
            entries = entries | {section: fields | entries[section]}
    model = entries.get("model")
    variant = model.get("variant") if isinstance(model, dict) else None
    if not isinstance(variant, str) or variant not in SIZES:
        return entries
    dimensions = SIZES[variant].dimensions
    sizes = {name: size for name, size in dimensions.items() if model.get(name) == 0}
    return entries | {"model": model | sizes}
