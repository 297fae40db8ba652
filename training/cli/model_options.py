"""Options of the commands that use a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from keras_mixer.transforms import TRANSFORMS
from training.model_argument import parse, read_class_names

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
