"""Run folders that arguments name: runs, and folders with runs in them."""

import os
from pathlib import Path
from typing import Annotated

import tyro

from training.errors import UserError
from training.model_argument import CONSTRUCTORS
from training.run.folder import RunFolder
from training.sharing.shared_folder import is_shared

Runs = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RUN...", help_behavior_hint="(one or more)"),
]
FOLDER = "Pass the folder that `train` wrote as --run-dir"
LEVELS = 3  # of folders that are searched: studies/NAME/runs/RUN


def find_runs(arguments):
    """Return the `RunFolder`s that arguments name, in the order of the arguments.

    Args:
        arguments: Texts, each one the folder of a run, or a folder whose runs are up to `LEVELS`
            levels below it and are sorted by path. Links to runs are found; links to other
            folders are not searched.

    Raises:
        UserError: If an argument names no run.
    """
    if not arguments:
        raise _refusal("none", FOLDER)
    return [RunFolder(path) for argument in arguments for path in _find(argument)]


def _find(text):
    """Return the paths of the runs that one argument names."""
    path = Path(text)
    if not (text and os.path.isdir(text)):
        raise _refusal(*_explain(text))
    if _is_run(path):
        return [path]
    if is_shared(path):
        raise _refusal(f"{text}, a shared model", "Pass the run that it was shared from")
    runs = _search(path, LEVELS)
    if not runs:
        raise _refusal(
            f"{text}, in which no folder, {LEVELS} levels deep, has the config.json of a run",
            FOLDER,
        )
    return runs


def _is_run(path):
    return (path / "config.json").exists() and not is_shared(path)


def _search(folder, levels):
    """Return the paths of the runs below a folder, sorted."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise _refusal(
            f"{folder}, which cannot be read: {error.strerror}",
            "Change its permissions, or pass the runs beside it",
        ) from error
    runs = []
    for path in paths:
        if not path.is_dir() or path.name.startswith("."):
            continue
        if _is_run(path):
            runs.append(path)
        elif levels > 1 and not path.is_symlink():
            runs += _search(path, levels - 1)
    return runs


def _explain(text):
    """Return what is received, and a next step, for an argument that is not a folder."""
    run, at, _ = text.rpartition("@")
    if at and os.path.isdir(run):
        return f"{text}, a checkpoint", f"Pass {run}, its run"
    if os.path.exists(text):
        owner = next((folder for folder in Path(text).parents if _is_run(folder)), None)
        return f"{text}, a file", f"Pass {owner}" if owner else FOLDER
    constructor, colon, _ = text.partition(":")
    if colon and constructor in (*CONSTRUCTORS, "hf"):
        advice = "Pass runs. To compare other models, evaluate each with `evaluate MODEL`"
        return f"{text}, a model that was not trained here", advice
    missing = f"{text or 'an empty path'}, which does not exist"
    return missing, "Check the path, or train a model with `train RECIPE`"


def _refusal(received, advice):
    return UserError(
        "RUN... must be one or more folders of runs, or folders with runs in them, such as that of "
        f"a study. Received: {received}. {advice}."
    )
