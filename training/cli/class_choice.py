"""Names of the classes of a model for people, and the class that an option names."""

import dataclasses
import difflib
import sys

from training.cli.terminal import abbreviate
from training.errors import UserError


def names_to_show(loaded):
    """Return names of the classes for people, or numbers.

    Args:
        loaded: A `training.model_argument.LoadedModel`.
    """
    return published_names(loaded, "classes are numbered, not named") or loaded.names_or_numbers


def published_names(loaded, consequence):
    """Return the names of the classes of published weights, for people; None for other weights.

    Args:
        loaded: A `training.model_argument.LoadedModel`.
        consequence: What a warning says if they cannot be downloaded; the result is then None, too.
    """
    if loaded.class_names is not None or not loaded.published:
        return None
    from training.model_argument import published_classes

    try:
        return published_classes(loaded.classes)[1]
    except OSError as error:
        print(f"warning: {consequence}: {error}", file=sys.stderr)
        return None


def find_class(text, names):
    """Return the number of the class that `--class` names: a name, or else a number.

    Args:
        text: What the user passed.
        names: Names of the classes.

    Raises:
        UserError: If there is no such class, or more than one with the name.
    """
    found = [i for i, name in enumerate(names) if name == text]
    if len(found) == 1:
        return found[0]
    if not found and text.isascii() and text.isdecimal() and int(text) < len(names):
        return int(text)
    if found:
        received = f"{text}, the name of {len(found)} classes"
        advice = f"Pass the number of one: {', '.join(map(str, found))}."
    else:
        near = difflib.get_close_matches(text, names, n=1)
        received = text
        advice = f"Did you mean {near[0]!r}?" if near else f"Its classes are {abbreviate(names)}."
    raise UserError(
        "--class must be the name of a class of the model, or its number, from 0 to "
        f"{len(names) - 1}. Received: {received}. {advice}"
    )


def with_published_names(loaded):
    """Return the model with the names of the classes of published weights, if they are known."""
    names = published_names(loaded, "the names of the classes are not stored")
    return loaded if names is None else dataclasses.replace(loaded, class_names=tuple(names))
