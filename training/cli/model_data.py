"""Images for a model, those of its run or another source, and the folder for results."""

import dataclasses
import shlex
import sys
from pathlib import Path

from training.cli.terminal import abbreviate
from training.config import Data
from training.errors import UserError
from training.validation import LARGEST_INTEGER, refuse_unless


def choose_data(argument, source, fractions, data_dir, batch_size=0, **options):
    """Return the `training.config.Data` of the run of a model, changed by options.

    Args:
        argument: The parsed MODEL.
        source: `--source`; empty for the dataset of the run.
        fractions: What to hold out of another source, by the names of the fields of `Data`.
        data_dir: `--data-dir`.
        batch_size: `--batch-size`; 0 for that of the run.
        **options: Other fields of `Data`; those that are empty or 0 keep the values of the run.

    Raises:
        UserError: If there is neither a source nor a run, the run's would execute code, or the
            batch size is invalid.
    """
    refuse_unless(
        0 <= batch_size <= LARGEST_INTEGER,
        "batch_size",
        f"must be at least 0 and at most {LARGEST_INTEGER}",
        batch_size,
        "Pass 64.",
    )
    data = argument.data or Data()
    if source:
        splits = dict.fromkeys(("train_split", "validation_split", "test_split"), "")
        data = dataclasses.replace(data, source=source, train_fraction=1.0, **splits, **fractions)
    elif argument.data is None:
        raise UserError(
            f"--source must name a dataset for {argument.text}, which is not a run. "
            "Received: nothing. Pass --source imagenet, or another dataset with its classes."
        )
    else:
        read_from = dataclasses.replace(data, data_dir=data.data_dir or data_dir)
        _require_inert_source(argument, read_from)
    options["batch_size"] = batch_size
    given = {field: value for field, value in options.items() if value}
    # Files may be downloaded to `data_dir`, so it is not where the run says.
    return dataclasses.replace(data, data_dir=data_dir, **given)


def _require_inert_source(argument, data):
    """Raise UserError if reading the source that a run names would do more than read files."""
    from training.data.sources import is_inert

    if is_inert(data):
        return
    options = {"--source": data.source, "--test-split": data.test_split}
    options |= {"--data-dir": data.data_dir}
    typed = " ".join(f"{o} {shlex.quote(value)}" for o, value in options.items() if value)
    raise UserError(
        "--source must be given for a run on a dataset of TensorFlow Datasets, which downloads and "
        f"executes what the name stands for. Received: nothing, and {argument.folder.config}, "
        f"which names it. Pass {typed}, if you trust that."
    )


def require_same_inputs(source, loaded):
    """Raise UserError unless the model takes the images of a source."""
    _, height, width, channels = loaded.model.input_shape
    if height != width:
        raise UserError(
            "MODEL must take square images to be evaluated. Received: a model for images of "
            f"{height} × {width} pixels. Use `predict`, or evaluate it with Keras."
        )
    if source.channels != channels:
        raise UserError(
            f"--source must have images with {channels} channel{'s' * (channels > 1)}, as the "
            f"model. Received: {source.channels}. Choose a dataset with such images."
        )


def match_classes_of_model(source, loaded, data, model="the model"):
    """Return a source with the classes of a model, matched by name as far as both are known.

    Args:
        source: The `training.data.source.Source`.
        loaded: The `training.model_argument.LoadedModel`.
        data: The `training.config.Data` of the source.
        model: What messages call the model.

    Raises:
        UserError: If the source has other classes, or the names are needed and not known.
    """
    from training.data.class_matching import match_classes

    theirs = tuple(source.class_names)
    ours = _known_class_names(loaded, theirs)
    if ours is None and len(theirs) == loaded.classes:
        return source
    if ours is None and data.source.startswith("arrays:") and all(map(str.isdecimal, theirs)):
        ours = loaded.names_or_numbers
    if ours is None:
        raise UserError(
            f"--source must have the {loaded.classes} classes of {model}, whose names are not "
            f"known. Received: {len(theirs)}: {abbreviate(theirs)}. Pass --class-names FILE with "
            "the names of all its classes, to match them by name."
        )
    matched, unknown = match_classes(source, ours)
    if unknown:
        advice = "Leave their images out, or choose a dataset with classes of the model."
        if data.source.startswith("arrays:") and all(map(str.isdecimal, theirs)):
            advice = "If labels are numbers of classes, save class_names with their names too."
        raise UserError(
            f"--source must have no classes other than those of {model}, {loaded.classes}: "
            f"{abbreviate(ours)}. Received: {len(unknown)}: {abbreviate(unknown)}. {advice}"
        )
    return matched


def _known_class_names(loaded, theirs):
    """Return the names of the classes of a model, to match them with those of a source, or None.

    Those of published weights are WordNet IDs, which are downloaded once.

    Args:
        loaded: The `training.model_argument.LoadedModel`.
        theirs: Names of the classes of the source.
    """
    from training.model_argument import are_wordnet_ids, published_classes

    if loaded.class_names is not None or not (loaded.published and are_wordnet_ids(theirs)):
        return loaded.class_names
    try:
        return published_classes(loaded.classes)[0]
    except OSError as error:
        print(f"warning: the order of the classes is not checked: {error}", file=sys.stderr)
        return None


def results_dir(argument, output_dir, kind):
    """Return the folder for results: `--output-dir`, or the default of the model for this kind.

    Args:
        argument: The parsed MODEL.
        output_dir: `--output-dir`; empty for the default.
        kind: Kind of the results, such as "evaluation".

    Raises:
        UserError: If the default folder is a link to somewhere else.
    """
    if output_dir:
        return Path(output_dir)
    folder = argument.output_dir(kind)
    if folder.is_symlink():
        raise UserError(
            f"--output-dir must be given if the results would be written through a link. Received: "
            f"nothing, and {folder}, a link to {folder.readlink()}. Pass --output-dir PATH, or "
            "remove the link."
        )
    return folder
