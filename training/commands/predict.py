"""`python -m training predict`: classify image files."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table
from rich.text import Text

from keras_mixer.terminal import printable
from training.backend import require_backend
from training.cli.model_options import (
    Activation,
    ClassNames,
    EvaluationTransform,
    ModelText,
    read_model_options,
)
from training.cli.terminal import JsonFlag, print_rich
from training.errors import UserError

ImagePaths = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="IMAGE...", help_behavior_hint="(one or more)"),
]


def run(
    model: ModelText,
    images: ImagePaths,
    top: int = 3,
    evaluation_transform: EvaluationTransform = "",
    activation: Activation = "",
    class_names: ClassNames = "",
    trust_model: bool = False,
    as_json: JsonFlag = False,
):
    """Print the most likely classes of image files.

    The command `predict MixerB16:imagenet1k photo.jpg` classifies a photo with published weights.

    Args:
        model: Model to use: a run (RUN, RUN@best, RUN@step-1200), a file FILE.keras, or a
            constructor and its weights (MixerB16:imagenet1k, MixerB16:FILE.npz). An unfinished run
            is used with its newest checkpoint.
        images: Image files, such as PNG and JPEG.
        top: Number of classes to print for each image.
        evaluation_transform: How images are resized and cropped; see keras_mixer.preprocessing.
            Defaults to the transform of the run, or of the published weights; else resmall-crop.
        activation: How logits become probabilities. Defaults to the loss of the run, or to the
            last activation of the file; else softmax.
        class_names: File with the names of the model's classes, one on each line or as a JSON
            list, such as class_names.json of a run. Defaults to the names that the run knows, or
            those of the published weights; else classes are numbered.
        trust_model: Load a .keras file that has more than a Mixer and layers of Keras that only
            compute, such as a Lambda layer. What such a file names is executed with your rights.
        as_json: Print JSON instead of a table.
    """
    if not images:
        raise UserError("IMAGE... must be one or more image files. Received: none. Pass a path.")
    if top < 1:
        raise UserError(f"--top must be at least 1. Received: {top}. Pass 1 for the best class.")
    argument, names = read_model_options(model, class_names)

    require_backend()
    from training.evaluation.prediction import predict_images
    from training.model_argument import load_model

    loaded = load_model(argument, activation, names, trust_model)
    predictions = predict_images(
        loaded.model,
        _class_names(loaded),
        images,
        top,
        evaluation_transform or loaded.evaluation_transform,
        loaded.activation,
    )
    if as_json:
        print(json.dumps([dataclasses.asdict(p) for p in predictions], indent=2))
        return
    table = Table("image", "class", "probability")
    for prediction in predictions:
        classes, probabilities = zip(*prediction.classes, strict=True)
        table.add_row(
            Text(printable(prediction.image), overflow="fold"),
            Text(printable("\n".join(classes))),
            "\n".join(f"{probability:.4f}" for probability in probabilities),
        )
    print_rich(table)


def _class_names(loaded):
    """Return names of the classes for people, or numbers."""
    if loaded.class_names is None and loaded.published:
        from training.model_argument import published_classes

        try:
            return published_classes(loaded.classes)[1]
        except OSError as error:
            print(f"warning: classes are numbered, not named: {error}", file=sys.stderr)
    return loaded.names_or_numbers
