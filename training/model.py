"""The model of a configuration, with new or pretrained weights."""

import contextlib
import dataclasses
from pathlib import Path

from keras import ops

from keras_mixer.sizes import SIZES
from keras_mixer.weights.catalog import ALIASES, CATALOG, NAMES, resolve
from keras_mixer.weights.download import DownloadError
from training.config import SIZE_FIELDS
from training.config.study_models import MIXER
from training.devices import hosts
from training.errors import UserError
from training.keras_file import mixer_weights
from training.model_argument import (
    CONSTRUCTORS,
    KerasModel,
    RunModel,
    are_wordnet_ids,
    constructor,
    find_published,
    parse,
    published_classes,
)
from training.sharing.shared_model import SharedModel
from training.studies.models.build import build_study_model
from training.studies.models.permutation import permute_input


def build_model(model, image_size, source, trust_model=False, seed=0):
    """Return the model of a `training.config.Model` for a source's images; it returns logits.

    The head of `--weights` is kept if its classes are known to be those of the source. Otherwise
    the head is new: its kernel is zero.

    Args:
        model: A `training.config.Model`.
        image_size: Height and width of the images, in pixels.
        source: The `training.data.source.Source` of the images.
        trust_model: Whether a `.keras` file of `--weights` may execute what it names; see
            `training.keras_file.open_model`.
        seed: Seed of `--input-permutation`.

    Raises:
        UserError: If the weights are not of this model, are corrupt or cannot be downloaded.
    """
    start = _starting_weights(model) if model.weights else None
    keeps_head = start is not None and start.has_classes(source.class_names)
    with contextlib.ExitStack() as stack:
        weights = start and stack.enter_context(start.open(trust_model))
        build = _build if model.architecture == MIXER else _build_study_model
        mixer = build(model, image_size, source, weights)
    if start and hosts.is_first():
        print(start.describe_head(keeps_head, source.class_names), flush=True)
    if not keeps_head:
        head = mixer.get_layer("head")
        head.kernel.assign(ops.zeros(head.kernel.shape))
        head.bias.assign(ops.full(head.bias.shape, model.head_bias))
    if model.input_permutation != "none":
        return permute_input(mixer, model.input_permutation, model.input_patch_size, seed)
    return mixer


def _build_study_model(model, image_size, source, weights):
    return build_study_model(model, image_size, source.channels, len(source.class_names))


def _build(model, image_size, source, weights):
    arguments = dataclasses.asdict(model)
    for field in (
        *("variant", "weights", "head_bias", "architecture", "input_permutation"),
        *SIZE_FIELDS,
    ):
        del arguments[field]
    try:
        return constructor(model)(
            **arguments,
            weights=weights,
            input_shape=(image_size, image_size, source.channels),
            classes=len(source.class_names),
            classifier_activation=None,
        )
    except (ValueError, OSError) as error:
        if not model.weights:
            raise
        raise _invalid(model.weights, error) from error


@dataclasses.dataclass(frozen=True)
class _StartingWeights:
    """What `--weights` names.

    Args:
        text: What the user passed.
        weights: A path, or a name in the catalog.
        class_names: Names of the classes of the head; None if not known.
        published_classes: Number of classes of weights in the catalog, whose names are published.
    """

    text: str
    weights: str | Path
    class_names: tuple[str, ...] | None = None
    published_classes: int | None = None

    def open(self, trust_model):
        """Return a context with what the argument `weights` of a constructor takes."""
        if Path(self.weights).suffix == ".keras" and Path(self.weights).is_file():
            return mixer_weights(Path(self.weights), trust_model)
        return contextlib.nullcontext(self.weights)

    def has_classes(self, class_names):
        """Return whether the head is known to have the classes `class_names`, in this order.

        The classes of published weights are compared as WordNet IDs, which are downloaded once.
        """
        if self.class_names is not None:
            return self.class_names == tuple(class_names)
        if self.published_classes != len(class_names):
            return False
        if not are_wordnet_ids(class_names):
            return False
        try:
            return published_classes(self.published_classes)[0] == tuple(class_names)
        except DownloadError as error:
            raise UserError(
                "--weights must have known classes, to decide whether the head is kept. Received: "
                f"{self.text}: {error} Repeat the command with a network connection."
            ) from error

    def describe_head(self, keeps_head, class_names):
        """Return one line on the head."""
        number = len(class_names)
        if keeps_head:
            return f"Keeping the head of {self.text}: same {number} classes."
        if self.class_names is None and self.published_classes in (None, number):
            return f"New head for {number} classes: {self.text} is not known to have the same ones."
        return f"New head for {number} classes: {self.text} has other classes."


def check_weights(model):
    """Check `--weights` of a `training.config.Model` as far as that needs neither data nor network.

    Raises:
        UserError: If `--weights` names a model that does not exist or has another size.
    """
    if model.weights:
        _starting_weights(model)


def _starting_weights(model):
    """Return the `_StartingWeights` of a `training.config.Model`.

    Raises:
        UserError: If `--weights` names a model that does not exist or has another size.
    """
    text = model.weights
    if text in NAMES or not _is_model_argument(text):
        name = getattr(constructor(model), "__name__", "")  # of a variant
        _require_available(name, text)
        return _StartingWeights(text, text, published_classes=_published_classes(name, text))
    argument = parse(text, "--weights")
    if isinstance(argument, RunModel):
        config = argument.folder.read_config()
        if not config.model.is_plain:
            raise _invalid(
                text,
                f"It is a run with --architecture {config.model.architecture} and "
                f"--input-permutation {config.model.input_permutation}. Pass a run of a plain "
                "Mixer.",
            )
        _require_same_size(text, model, config.model.size.dimensions)
        return _StartingWeights(text, argument.path, argument.class_names)
    if isinstance(argument, KerasModel):
        return _StartingWeights(text, argument.path)
    if isinstance(argument, SharedModel):
        return _StartingWeights(text, argument.weights)
    _require_same_size(text, model, CONSTRUCTORS[argument.constructor].dimensions)
    number = _published_classes(argument.constructor, argument.weights)
    return _StartingWeights(text, argument.weights, published_classes=number)


def _require_available(constructor_name, text):
    """Raise UserError unless weights are a file, or a name in the catalog that the variant has.

    Args:
        constructor_name: Of the variant; "" for a size of the user's.
        text: What the user passed.
    """
    try:
        if constructor_name:
            resolve(constructor_name, text)
    except ValueError as error:
        raise _invalid(text, error) from error
    if text in NAMES and not constructor_name:
        name = ALIASES.get(text, text)
        having = {row.variant for row in CATALOG if row.name == name}
        options = [f"--variant {s.name}" for s in SIZES.values() if s.constructor_name in having]
        raise _invalid(
            text,
            "Published weights are for the variants of the paper only. "
            f"Pass {' or '.join(options)}, or the path of a file.",
        )
    if text not in NAMES and not Path(text).exists():
        raise _invalid(
            text,
            "It does not exist. Check the path, which is relative to the working directory, or "
            "pass a name that python -m keras_mixer weights lists.",
        )


def _invalid(text, reason):
    return UserError(f"--weights must be valid weights of this model. Received: {text}. {reason}")


def _published_classes(constructor_name, weights):
    """Return the number of classes of weights in the catalog; None for others.

    What a variant does not have is left to its constructor, which says what there is.
    """
    try:
        published = find_published(constructor_name, weights)
    except ValueError:
        return None
    return published.classes if published else None


def _is_model_argument(text):
    """Return whether to read `--weights` as a MODEL rather than as the library reads it."""
    path = Path(text)
    if path.exists():
        return path.is_dir() or path.suffix == ".keras"
    return ":" in text or Path(text.rpartition("@")[0] or "-").is_dir()


def _require_same_size(text, model, theirs):
    """Raise UserError unless a configuration has the sizes of the weights."""
    ours = model.size.dimensions
    if ours == theirs:
        return
    options = {f"--{size.replace('_', '-')}": value for size, value in theirs.items()}
    variants = [f"--variant {size.name}" for size in SIZES.values() if size.dimensions == theirs]
    advice = variants[0] if variants else " ".join(f"{o} {v}" for o, v in options.items())
    differing = ", ".join(
        f"{size} {value} instead of {ours[size]}"
        for size, value in theirs.items()
        if value != ours[size]
    )
    raise UserError(
        f"--weights must have the size of the model. Received: {text}, with {differing}. "
        f"Pass {advice}, or other weights."
    )
