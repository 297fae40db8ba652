"""`python -m training evaluate`: evaluate a trained model."""

import dataclasses
import json
import math
import zipfile
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tqdm import tqdm

from training.backend import require_backend
from training.cli.terminal import JsonFlag, abbreviate, print_table
from training.config import Hardware
from training.errors import UserError
from training.run.folder import RunFolder
from training.validation import require_output_dir

RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


def run(
    run: RunPath,
    source: str = "",
    test_split: str = "",
    data_dir: str = "",
    on_bad_image: Literal["", "error", "skip"] = "",
    devices: int = 0,
    output_dir: str = "",
    as_json: JsonFlag = False,
):
    """Count how often a trained model is right on its test images, or on others.

    Where images have several classes, as those of imagenet-real, each of them is right.

    Args:
        run: Folder of a finished training run.
        source: Another set of the same classes, such as imagenet-real; see `train`. Of folders and
            arrays without a part for the test, all training images are taken.
        test_split: Split of a tfds set, instead of its own for the test.
        data_dir: Folder of TensorFlow Datasets, instead of the run's.
        on_bad_image: What to do about image files that cannot be read, instead of the run's way.
        devices: Devices that share the images, the first of those that the backend finds; 0 takes
            all.
        output_dir: Folder for evaluation.json, confusion.csv and confusion.png, which are
            replaced; without it, RUN/evaluation.
        as_json: Print JSON instead of a table.
    """
    folder = RunFolder(run)
    folder.require_model()
    config = folder.read_config()

    require_backend()
    from training.data.pipeline import evaluation_batches
    from training.data.sources import load_source, test_only
    from training.devices.selection import find_distribution, refuse_several_hosts
    from training.evaluation import report
    from training.evaluation.accuracy import evaluate_accuracy
    from training.evaluation.confusion import Confusion

    refuse_several_hosts("evaluate")
    wanted = Hardware(devices=devices)
    wanted.check()
    precision = folder.read_summary()["precision"]  # the model has it
    hardware = dataclasses.replace(find_distribution(wanted), precision=precision)
    data = config.data
    if source:  # its own part for the test, or all that it has for training
        fractions = {"validation_fraction": 0.0, "test_fraction": 1.0}
        data = dataclasses.replace(data, source=source, test_split="", **fractions)
    data = dataclasses.replace(
        data,
        test_split=test_split or data.test_split,
        data_dir=data_dir or data.data_dir,
        on_bad_image=on_bad_image or data.on_bad_image,
        batch_size=hardware.evaluation_batch_size(data.batch_size),
    )
    examples = load_source(test_only(data))
    examples.require("test", data)
    output = Path(output_dir) if output_dir else folder.path / "evaluation"
    batches = tqdm(
        evaluation_batches(examples.test, examples, data),
        "evaluating",
        math.ceil(len(examples.test) / data.batch_size),
        unit="batch",
        disable=True if as_json else None,  # None: unless someone is watching
    )
    confusion = Confusion()
    with hardware.scope():
        model = load_model(folder)
        _require_like(examples, model, folder)
        require_output_dir(output)
        if not as_json:
            print(hardware.describe("Evaluating"), flush=True)
        result = evaluate_accuracy(model, batches, config.optimization.loss, confusion)
    prefix = "real_" if examples.several_classes else ""  # an accuracy of its own, ReaL
    entries = {
        "source": data.source,
        "test_split": data.test_split,
        f"{prefix}accuracy": result.accuracy,
        f"{prefix}top5_accuracy": result.top5_accuracy,
        "loss": result.loss,
        "calibration_error": result.calibration_error,
        "examples": result.examples,
    }
    title = f"{data.source}: {result.examples:,} images, {result.accuracy:.2%} right"
    if examples.several_classes:
        title += "\na wrong prediction is a mistake of each class of the image"
    paths = report.write_report(output, entries, confusion, examples.class_names, title)
    if as_json:
        print(json.dumps(entries, indent=2))
        return
    kind = "ReaL " if examples.several_classes else ""
    print_table(
        {
            f"{kind}accuracy": f"{result.accuracy:.4f}",
            f"{kind}top-5 accuracy": f"{result.top5_accuracy:.4f}",
            "loss": f"{result.loss:.4f}",
            "calibration error": f"{result.calibration_error:.4f}",
            "examples": f"{result.examples:,}",
            "results": paths[0],
            "confusion": paths[1],
            "picture": paths[2],
        }
    )


def load_model(folder):
    import keras

    import keras_mixer  # noqa: F401  registers the layers that the file names
    from training.devices.detection import hide_accelerators_from_tensorflow

    hide_accelerators_from_tensorflow()
    try:
        return keras.saving.load_model(folder.model, compile=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"model.keras must be a whole Keras model file. Received: {folder.model}: {error}. "
            "Train again, into another --run-dir."
        ) from error


def _require_like(source, model, folder):
    """Raise UserError unless a source has the channels and the classes of a run."""
    channels = model.input_shape[-1]
    if source.channels != channels:
        raise UserError(
            f"--source must have images of {channels} channels, as the run. Received: "
            f"{source.channels}. Choose a set of the same kind of images."
        )
    ours = folder.read_summary()["class_names"]
    if list(source.class_names) != ours:
        raise UserError(
            f"--source must have the classes of the run, {len(ours)}: {abbreviate(ours)}. "
            f"Received: {len(source.class_names)}: {abbreviate(source.class_names)}. Choose a "
            "dataset with the same classes in the same order."
        )
