"""Folder of a shared model on disk: its files, and whether a folder is one."""

import dataclasses
from pathlib import Path

from keras_mixer.files import read_bytes
from keras_mixer.weights.hub import CONFIG_FILE, LARGEST_CONFIG_BYTES
from training.run.json_file import parse_json
from training.sharing.shared_config import SECTION

CLASSES_FILE = "class_names.json"
CARD_FILE = "README.md"


@dataclasses.dataclass(frozen=True)
class SharedFolder:
    """A folder with the files of a repository; see `keras_mixer.weights.hub.Repository`."""

    path: Path

    def __str__(self):
        return str(self.path)

    @property
    def name(self):
        return self.path.resolve().name

    def pin(self):
        return self

    def fetch(self, file, most_bytes=0):
        """Return the path of a file; who reads it checks its size."""
        return self.path / file


def is_shared(path):
    """Return whether a folder has the configuration of a shared model, rather than of a run."""
    try:
        return SECTION in read_small_json(path / CONFIG_FILE)
    except (OSError, ValueError, TypeError):
        return False


def read_small_json(path):
    """Return what a JSON file of a shared model holds.

    Raises:
        OSError: If it cannot be read or is too large.
        ValueError: If it is not valid.
    """
    return parse_json(read_bytes(path, LARGEST_CONFIG_BYTES).decode())
