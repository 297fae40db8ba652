"""Where a shared model comes from: its run, and the published weights at the beginning."""

import dataclasses
from pathlib import Path
from typing import Any

from keras_mixer.weights.catalog import NAMES, PretrainedWeights, find
from training.config import Config
from training.data.presets import PRESETS
from training.errors import UserError
from training.model_argument import KerasModel, PretrainedModel, RunModel, parse
from training.sharing.shared_model import SharedModel

PRIVATE = ("data_dir", "cache_dir")  # folders of the user's
SECTIONS = ("data", "augmentation", "model", "optimization")  # what changes the result
LONGEST_CHAIN = 10  # of runs that start from each other's weights


@dataclasses.dataclass(frozen=True)
class Origin:
    """What the model card says of a model's past.

    Args:
        published: Row of the catalog for the weights, or for those that the run started from.
        is_trained: Whether a run changed them.
        start: What the model was made from, in words without paths: the initial weights of the
            run, or another shared model; "" if unknown.
        config: The `Config` of the run.
        summary: Results of the finished run, if the model is its last one.
    """

    published: PretrainedWeights | None = None
    is_trained: bool = False
    start: str = ""
    config: Config | None = None
    summary: dict[str, Any] | None = None

    @property
    def source(self):
        """Name of the dataset of the run, without paths; "" without a run."""
        return _name_of_source(self.config.data.source) if self.config else ""

    @property
    def is_public(self):
        """Whether others can get the dataset by its name."""
        kind = self.source.partition(":")[0]
        return self.source in PRESETS or kind in ("digits", "shapes", "tfds")

    @property
    def settings(self):
        """The options of the run that differ from their defaults, `{"--flip": "True"}`."""
        if self.config is None:
            return {}
        values, defaults = (dataclasses.asdict(config) for config in (self.config, Config()))
        settings = _differing({"seed": values["seed"]}, {"seed": defaults["seed"]})
        for section in SECTIONS:
            settings |= _differing(values[section], defaults[section])
        if self.start and "--weights" in settings:
            settings["--weights"] = self.start
        return settings


def find_origin(argument):
    """Return the `Origin` of a parsed MODEL."""
    if isinstance(argument, PretrainedModel):
        return Origin(published=_row(argument.constructor, argument.weights))
    if isinstance(argument, SharedModel):
        return Origin(start=argument.source.name)
    if not isinstance(argument, RunModel):
        return Origin()
    config = argument.folder.read_config()
    published, start = _find_start(config.model, LONGEST_CHAIN)
    summary = argument.folder.read_summary() if argument.is_finished else None
    return Origin(published, True, start, config, summary)


def _find_start(model, longest):
    """Return the row of the catalog that a run goes back to, if any, and its initial weights."""
    text = model.weights
    if not text:
        return None, "random"
    if text in NAMES:
        size = model.size
        row = _row(size.constructor_name, text) if size.name else None
        return row, f"{size.constructor_name}:{text}" if size.name else text
    try:
        argument = parse(text)
    except (UserError, OSError):
        return None, "a file"
    if isinstance(argument, PretrainedModel):
        row = _row(argument.constructor, argument.weights)
        return row, text if row else "a file"
    if isinstance(argument, SharedModel):
        return None, argument.source.name
    if isinstance(argument, KerasModel) or not longest:
        return None, "a file"
    try:
        row, start = _find_start(argument.folder.read_config().model, longest - 1)
    except (UserError, OSError):
        return None, "another run"
    return row, f"another run, which started from {start}"


def _row(constructor, weights):
    try:
        return find(constructor, weights) if weights in NAMES else None
    except ValueError:
        return None


def _name_of_source(source):
    """Return a dataset without the path of a folder or file: `folder:photos`."""
    kind, _, path = source.partition(":")
    return f"{kind}:{Path(path).name}" if kind in ("folder", "arrays") else source


def _differing(values, defaults):
    differing = {
        name: value
        for name, value in values.items()
        if value != defaults[name] and name not in PRIVATE
    }
    if "source" in differing:
        differing["source"] = _name_of_source(differing["source"])
    return {f"--{name.replace('_', '-')}": str(value) for name, value in differing.items()}
