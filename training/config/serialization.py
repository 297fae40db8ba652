"""The configuration as entries of JSON, as in a run's `config.json`."""

import dataclasses

from keras_mixer.sizes import SIZES
from training.config import Config


def to_entries(config):
    """Return a `Config` as nested dictionaries, with all sizes of the model given."""
    return dataclasses.asdict(config.resolved())


def from_entries(entries):
    """Return the `Config` that `to_entries` or keras_mixer 0.1.0 wrote.

    Raises:
        TypeError: If a field is missing or unknown.
    """
    return _build(Config, upgrade(entries))


def upgrade(entries):
    """Return entries as `to_entries` writes them.

    In 0.1.0 the sizes of a model with a variant are 0, which means the variant's.
    """
    model = entries.get("model")
    if not isinstance(model, dict) or model.get("variant") not in SIZES:
        return entries
    dimensions = SIZES[model["variant"]].dimensions
    sizes = {name: size for name, size in dimensions.items() if model.get(name) == 0}
    return entries | {"model": model | sizes}


def _build(kind, entries):
    """Return a dataclass of `kind` with the values in nested dictionaries."""
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    missing = types.keys() - entries.keys()
    if missing:
        raise TypeError(f"{min(missing)} is missing")
    return kind(
        **{
            name: _build(types[name], value) if dataclasses.is_dataclass(types.get(name)) else value
            for name, value in entries.items()
        }
    )
