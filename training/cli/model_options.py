"""Options of the commands that use a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from keras_mixer.files import read_text
from keras_mixer.transforms import TRANSFORMS
from training.errors import UserError
from training.model_argument import parse
from training.run.json_file import parse_json

ModelText = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
Activation = Literal["", "softmax", "sigmoid"]
ClassNames = Annotated[str, tyro.conf.arg(metavar="FILE")]
if TYPE_CHECKING:
    EvaluationTransform = str
else:
    EvaluationTransform = Literal["", *TRANSFORMS]


def read_model_options(model, class_names):
    """Return the parsed MODEL, and the names in the file of `--class-names`, if there is one.

    Raises:
        UserError: If one of the two cannot be used.
    """
    argument = parse(model)
    return argument, read_class_names(Path(class_names)) if class_names else ()


def read_class_names(path):
    """Return the names in a file: one on each line, or a JSON list.

    Raises:
        UserError: If the file cannot be read, or is JSON of another kind.
    """
    try:
        text = read_text(path, errors="surrogateescape")
        names = parse_json(text) if text.lstrip().startswith(("[", "{")) else text.splitlines()
        if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
            raise ValueError("it has an empty line, or entries that are not strings")
    except (OSError, ValueError) as error:
        raise UserError(
            "--class-names must be a file with one name on each line, or a JSON list of names. "
            f"Received: {path}: {error}. Pass class_names.json of a run, or write such a file."
        ) from error
    return tuple(names)
