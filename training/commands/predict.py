"""`python -m training predict`: classify image files."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import rich
import tyro
from rich.table import Table
from rich.text import Text

from training.backend import require_backend
from training.cli.terminal import JsonFlag
from training.commands.evaluate import RunPath, load_model
from training.errors import UserError
from training.run.folder import RunFolder

ImagePaths = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="IMAGE...", help_behavior_hint="(one or more)"),
]


def run(run: RunPath, images: ImagePaths, top: int = 3, as_json: JsonFlag = False):
    """Print the most likely classes of image files.

    Args:
        run: Folder of a finished training run.
        images: Image files: PNG, JPEG and whatever else Pillow reads.
        top: Number of classes to print for each image.
        as_json: Print JSON instead of a table.
    """
    if not images:
        raise UserError("IMAGE... must be one or more image files. Received: none. Pass a path.")
    if top < 1:
        raise UserError(f"--top must be at least 1. Received: {top}. Pass 1 for the best class.")
    folder = RunFolder(run)
    folder.require_model()
    config = folder.read_config()

    require_backend()
    from training.evaluation.prediction import predict_images

    model = load_model(folder)
    class_names = folder.read_summary()["class_names"]
    transform = config.data.evaluation_transform
    activation = config.optimization.loss  # a sigmoid's probabilities need not sum to 1
    predictions = predict_images(model, class_names, images, top, transform, activation)
    if as_json:
        print(json.dumps([dataclasses.asdict(p) for p in predictions], indent=2))
        return
    table = Table("image", "class", "probability")
    for prediction in predictions:
        names, probabilities = zip(*prediction.classes, strict=True)
        table.add_row(
            Text(prediction.image, overflow="fold"),
            Text("\n".join(names)),
            "\n".join(f"{probability:.4f}" for probability in probabilities),
        )
    rich.print(table)
