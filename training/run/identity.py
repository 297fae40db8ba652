"""Identity of a run: its ID, its backend and its configuration, as in its `config.json`.

The ID is made once, when the run begins, and moves with the folder and its copies. Every
checkpoint has the identity of its run, so that the checkpoint of another run is not restored.
"""

import dataclasses
import uuid
from typing import Any

from training.config import Config
from training.config.schema import conform
from training.config.serialization import from_entries, to_entries

# Fields that may change between the sessions of a run, because they change no result.
FREE_TO_CHANGE = (
    "checkpointing.",
    "data.cache_dir",
    "data.data_dir",
    "hardware.devices",
    "hardware.model_devices",
)


@dataclasses.dataclass(frozen=True)
class Identity:
    """Identity of a run.

    Args:
        config: Its `training.config.Config`.
        backend: Name of its backend; None if the file does not say it.
        run_id: Its ID; None for a run that began without one, as in 0.1.0.
    """

    config: Config
    backend: str | None
    run_id: str | None = None

    @classmethod
    def of_new_run(cls, config, backend):
        """Return the identity of a run that begins."""
        return cls(config, backend, uuid.uuid4().hex)

    @classmethod
    def from_entries(cls, entries):
        """Return the identity that `entries` returned, or that 0.1.0 wrote.

        Raises:
            ValueError: If a field is missing, unknown, or has another type.
        """
        entries = conform(entries, dict[str, Any], "it")
        run_id = conform(entries.pop("run_id", None), str | None, "run_id")
        backend = conform(entries.pop("backend", None), str | None, "backend")
        return cls(from_entries(entries), backend, run_id)

    def entries(self):
        """Return the identity as entries of JSON."""
        run_id = {} if self.run_id is None else {"run_id": self.run_id}
        return {**run_id, "backend": self.backend, **to_entries(self.config)}

    def differences(self, other):
        """Return a phrase for each field that this identity and another may not differ in."""
        theirs, ours = _flatten(self.entries()), _flatten(other.entries())
        return [
            f"{key} is {theirs.get(key)!r} there and {ours.get(key)!r} here"
            for key in sorted(theirs.keys() | ours.keys())
            if theirs.get(key) != ours.get(key) and not key.startswith(FREE_TO_CHANGE)
        ]


def _flatten(entries, prefix=""):
    """{"data": {"source": 1}} → {"data.source": 1}"""
    flat: dict[str, Any] = {}
    for key, value in entries.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
