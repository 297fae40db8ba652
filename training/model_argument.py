"""MODEL, the argument that names a model: a run, a file, a shared model, or published weights.

`parse` reads the text and needs no Keras; `load_model` builds or opens the model.
"""

import dataclasses
import difflib
import functools
import re
from pathlib import Path
from typing import Any

from keras_mixer.sizes import SIZES
from keras_mixer.weights import catalog
from training.config import Data
from training.config.study_models import MIXER
from training.errors import UserError
from training.run.folder import RunFolder
from training.sharing.shared_model import SharedModel, find_shared

FORMS = (
    "a folder of a run (RUN, RUN@best or RUN@step-1200), a file FILE.keras, a shared model "
    "(hf://USER/REPO or its folder), or a constructor and its weights, such as "
    "MixerB16:imagenet1k, MixerB16:FILE.npz or MixerB16:hf://USER/REPO"
)
CONSTRUCTORS = {size.constructor_name: size for size in SIZES.values()}
EVALUATION_TRANSFORM = "resmall-crop"  # of the published weights, table 3 of the paper
ACTIVATION = "softmax"
CHECKPOINT = re.compile(r"best|step-[0-9]+")
WORDNET_ID = re.compile(r"n[0-9]{8}")


@dataclasses.dataclass(frozen=True)
class RunModel:
    """`RUN`, `RUN@best` or `RUN@step-1200`."""

    text: str
    folder: RunFolder
    checkpoint: str = ""  # "best" or "step-1200"; "" is model.keras, or the newest checkpoint

    @property
    def data(self):
        """The `training.config.Data` of the run."""
        return self.folder.read_config().data

    @property
    def is_finished(self):
        """Whether the model is the run's `model.keras` rather than a checkpoint."""
        return not self.checkpoint and self.folder.is_finished()

    @property
    def path(self):
        """Path of the file with the weights."""
        if self.is_finished:
            return self.folder.model
        return self.folder.find_checkpoint(self.checkpoint)

    @property
    def class_names(self):
        """Names of the classes, in the order of the logits."""
        return tuple(self.folder.read_class_names())

    def output_dir(self, kind):
        """Return the default folder for results of a kind, such as "evaluation"."""
        return self.folder.path / (f"{kind}-{self.checkpoint}" if self.checkpoint else kind)


@dataclasses.dataclass(frozen=True)
class KerasModel:
    """`FILE.keras`."""

    text: str
    path: Path
    data = None

    def output_dir(self, kind):
        return Path(f"{kind}s") / self.path.stem


@dataclasses.dataclass(frozen=True)
class PretrainedModel:
    """`CONSTRUCTOR:WEIGHTS`; `weights` is a name in the catalog or a path."""

    text: str
    constructor: str
    weights: str
    data = None

    def output_dir(self, kind):
        return Path(f"{kind}s") / f"{self.constructor}-{Path(self.weights).stem}"


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to use, and what it does not say itself.

    Args:
        model: A Keras model from pixels in [0, 255] to logits, (batch, classes).
        class_names: Names of the classes in the order of the logits; None if not known.
        published: Whether the weights are from the catalog: `published_classes` has the names.
        evaluation_transform: Name of the transform, of `keras_mixer.preprocessing`, that resizes
            images for the model.
        activation: How logits become probabilities, "softmax" or "sigmoid".
        precision: Name of the dtype policy that the model computes in.
        data: The `training.config.Data` of the model's run; None for other models.
    """

    model: Any
    class_names: tuple[str, ...] | None = None
    published: bool = False
    evaluation_transform: str = EVALUATION_TRANSFORM
    activation: str = ACTIVATION
    precision: str = "float32"
    data: Data | None = None

    @property
    def classes(self):
        """Number of classes."""
        return self.model.output_shape[-1]

    @property
    def names_or_numbers(self):
        """Names of the classes, or their numbers where the names are not known."""
        return self.class_names or tuple(map(str, range(self.classes)))


def parse(text, argument="MODEL"):
    """Return the `RunModel`, `KerasModel`, `PretrainedModel` or `SharedModel` of `text`.

    Args:
        text: What the user passed.
        argument: Name of the argument, for messages.

    Raises:
        UserError: If it has none of the forms, or names a file or folder that does not exist.
    """
    path = Path(text)
    if shared := find_shared(text, argument):
        return shared
    if path.is_dir():
        return RunModel(text, _run_folder(argument, path))
    if path.exists():
        if path.suffix == ".keras":
            return KerasModel(text, path)
        advice = f"Name the constructor of its weights: MixerB16:{text}"
        if path.suffix == ".h5" and not path.name.endswith(".weights.h5"):
            advice = "Save the model with model.save('model.keras'); Keras's .h5 files are not read"
        raise _refusal(argument, f"{text}, a file", advice)
    constructor, colon, weights = text.partition(":")
    if constructor in CONSTRUCTORS:
        if not weights:
            advice = " or ".join(f"{constructor}:{name}" for name in _known_weights(constructor))
            raise _refusal(argument, f"{text}, without weights", f"Pass {advice}")
        return PretrainedModel(text, constructor, weights)
    run, at, checkpoint = text.rpartition("@")
    if at and Path(run).is_dir():
        if not CHECKPOINT.fullmatch(checkpoint):
            raise _refusal(argument, text, f"Pass {run}@best, or a step such as {run}@step-1200")
        return RunModel(text, _run_folder(argument, Path(run)), checkpoint)
    near = difflib.get_close_matches(constructor.lower(), map(str.lower, CONSTRUCTORS), n=1)
    if near and (colon or "mixer" in constructor.lower()):
        (name,) = (name for name in CONSTRUCTORS if name.lower() == near[0])
        raise _refusal(argument, text, f"Did you mean {name}:{weights or _known_weights(name)[0]}?")
    missing = f"{run if at else text}, which does not exist"
    raise _refusal(argument, missing, "Check the path, or train a model with `train RECIPE`")


def _run_folder(argument, path):
    folder = RunFolder(path)
    if not folder.config.exists():
        raise _refusal(
            argument,
            f"{path}, a folder without config.json",
            "Pass the folder that `train` wrote as --run-dir",
        )
    return folder


def load_model(argument, activation="", class_names=(), trusted=False):
    """Return the `LoadedModel` of a parsed MODEL.

    Args:
        argument: What `parse` returned.
        activation: "softmax" or "sigmoid", instead of what the run or the file says.
        class_names: Names of the classes, instead of what the run says.
        trusted: Whether a `.keras` file may execute what it names; see `keras_file.open_model`.

    Raises:
        UserError: If the model cannot be loaded, or `class_names` has another length.
    """
    from training.devices.detection import hide_accelerators_from_tensorflow

    hide_accelerators_from_tensorflow()
    load = {RunModel: _load_run, KerasModel: _load_keras, PretrainedModel: _load_pretrained}
    load[SharedModel] = _load_shared
    loaded = load[type(argument)](argument, trusted)
    if activation:
        loaded = dataclasses.replace(loaded, activation=activation)
    if class_names:
        if len(class_names) != loaded.classes:
            raise UserError(
                f"--class-names must have one name for each class of the model, {loaded.classes}. "
                f"Received: {len(class_names)} names. Pass a file with {loaded.classes} names."
            )
        loaded = dataclasses.replace(loaded, class_names=tuple(class_names))
    return loaded


def _load_run(argument, trusted):
    folder, config = argument.folder, argument.folder.read_config()
    if argument.is_finished:
        from training.keras_file import open_logits

        advice = "Train another run."
        if config.model.is_plain:
            advice = f"Pass {folder.path}@best, a checkpoint of the same run, or train another run."
        model, _ = open_logits(folder.model, advice, trusted)
        _require_model_of_run(model, argument, config, advice)
    elif not config.model.is_plain:
        raise UserError(
            "MODEL must be a finished run, or a checkpoint of a plain Mixer. Received: "
            f"{argument.text}, of a run with --architecture "
            f"{config.model.architecture} --input-permutation {config.model.input_permutation}. "
            + ("Pass " if folder.is_finished() else "Resume it with the same command, then pass ")
            + f"{folder.path}."
        )
    else:
        model = build_from_file(constructor(config.model), argument.path, config.hardware.precision)
        if (classes := model.output_shape[-1]) != (number := len(argument.class_names)):
            raise UserError(
                f"class_names.json must name the {classes} classes of the run. Received: {number} "
                f"names in {folder.path}. Remove the file and resume the run, which writes it."
            )
    return LoadedModel(
        model=model,
        class_names=argument.class_names,
        evaluation_transform=config.data.evaluation_transform,
        activation=config.optimization.loss,
        precision=config.hardware.precision,
        data=config.data,
    )


def _require_model_of_run(model, argument, config, advice):
    """Raise UserError unless `model.keras` has the inputs and the classes that its run states."""
    from training.keras_file import find_mixer

    classes, size = len(argument.class_names), config.data.image_size
    image = list(model.input_shape[1:3])
    found = f"images of {image[0]} × {image[1]} pixels and {model.output_shape[-1]} classes"
    if config.model.architecture == MIXER and find_mixer(model) is None:
        found = f"a model without a Mixer, for {found}"
    elif (image, model.output_shape[-1]) == ([size, size], classes):
        return
    raise UserError(
        f"model.keras must be the model of its run, for images of {size} × {size} pixels and "
        f"the {classes} classes of class_names.json. Received: {argument.path} with {found}. "
        f"{advice}"
    )


def _load_keras(argument, trusted):
    from training.keras_file import open_logits

    model, activation = open_logits(argument.path, trusted=trusted)
    return LoadedModel(model, activation=activation or ACTIVATION)


def _load_pretrained(argument, trusted):
    import keras_mixer

    build = getattr(keras_mixer, argument.constructor)
    model = build_from_file(build, argument.weights, "float32")
    published = find_published(argument.constructor, argument.weights)
    if published is None:
        return LoadedModel(model)
    return LoadedModel(model, evaluation_transform=published.transform, published=True)


def _load_shared(argument, trusted):
    from training.sharing.reading import load_shared

    return LoadedModel(**load_shared(argument.source, argument.constructor))


def build_from_file(build, weights, precision):
    """Return a model of logits at the size and with the head of its weights.

    Args:
        build: A constructor of `keras_mixer`.
        weights: What its argument `weights` takes.
        precision: Name of the dtype policy.

    Raises:
        UserError: If the constructor refuses the weights, or they have no head.
    """
    try:
        return build(weights=weights, classifier_activation=None, dtype=precision)
    except (ValueError, OSError) as error:
        raise UserError(
            f"MODEL must name valid weights of its model. Received: {weights}. {error}"
        ) from error


def constructor(model):
    """Return the constructor of a `training.config.Model`, which takes the remaining arguments."""
    import keras_mixer

    sizes = model.size.dimensions
    for size in SIZES.values():
        if size.dimensions == sizes:
            return getattr(keras_mixer, size.constructor_name)
    return functools.partial(keras_mixer.MlpMixer, **sizes)


def find_published(constructor, weights):
    """Return the row of the catalog for published weights; None for a path."""
    return catalog.find(constructor, weights) if weights in catalog.NAMES else None


def are_wordnet_ids(class_names):
    """Return whether names can be compared with the WordNet IDs of `published_classes`."""
    return all(map(WORDNET_ID.fullmatch, class_names))


def published_classes(classes):
    """Return the WordNet IDs and the names of the classes of published weights, by their number.

    Raises:
        DownloadError: If the list is not in the cache and cannot be downloaded.
    """
    from keras_mixer import labels

    ids, names = zip(*labels.class_names(classes), strict=True)
    return ids, names


def _known_weights(constructor):
    """Return the published weights of a constructor, or a placeholder for a path."""
    return catalog.published(constructor) or ["FILE.npz"]


def _refusal(argument, received, advice):
    end = "" if advice.endswith("?") else "."
    return UserError(f"{argument} must be {FORMS}. Received: {received}. {advice}{end}")
