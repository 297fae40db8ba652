"""The command line: `python -m training COMMAND …`.

What is slow to import is imported inside the commands, so that help and errors come at once.
"""

import contextlib
import dataclasses
import json
import math
import os
import signal
import sys
import zipfile
from pathlib import Path
from typing import Annotated, Literal

import rich
import tyro
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from training.backend import require_backend
from training.benchmarks import commands
from training.config import Config, Hardware
from training.errors import STATUS_INTERRUPTED, UserError, report
from training.planning.command import Plan
from training.recipes import RECIPES
from training.run_folder import RunFolder
from training.table import print_table

PROGRAM = "python -m training"

app = tyro.extras.SubcommandApp()
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
ImagePaths = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="IMAGE...", help_behavior_hint="(one or more)"),
]


@dataclasses.dataclass(frozen=True)
class Run:
    config: Annotated[Config, tyro.conf.arg(name="")]
    run_dir: Path
    """Folder that the run writes. An interrupted run found there is resumed; a folder of
    another configuration is refused."""
    quiet: bool = False
    """Print one line per epoch instead of a progress bar, for logs."""


@dataclasses.dataclass(frozen=True)
class Pictures:
    config: Annotated[Config, tyro.conf.arg(name="")]
    output_dir: Path
    """Folder for images.png and classes.png, which are replaced."""
    images: int = 16
    """Number of images, of the first batch at the most."""


def _for_each_recipe(make):
    """Return a choice of recipes as subcommands, each of which gives `make(name, recipe)`.

    Their help is the first line of what the recipe says of itself.
    """
    return tyro.extras.subcommand_type_from_defaults(
        {name: make(name, recipe) for name, recipe in RECIPES.items()},
        {name: recipe.__doc__.partition("\n")[0] for name, recipe in RECIPES.items()},
    )


RunOfRecipe = _for_each_recipe(lambda name, recipe: Run(recipe.CONFIG, Path("runs") / name))
PicturesOfRecipe = _for_each_recipe(
    lambda name, recipe: Pictures(recipe.CONFIG, Path("pictures") / name)
)
PlanOfRecipe = _for_each_recipe(lambda name, recipe: Plan(recipe.CONFIG, tpu=tyro.MISSING))


@app.command
def train(recipe: RunOfRecipe):
    """Train a Mixer by a recipe; `train RECIPE --help` lists the options.

    The backend is Keras's own choice: set the environment variable KERAS_BACKEND to
    tensorflow, jax or torch.
    """
    recipe.config.check()
    require_backend()
    from training import fit, hosts
    from training.keeper import Interrupted

    folder = RunFolder(recipe.run_dir)
    was_finished = folder.is_finished()
    # Outside of `model.fit` there is nothing to save, and JAX can drop a KeyboardInterrupt.
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        summary = fit.train(recipe.config, folder, verbose=2 if recipe.quiet else "auto")
    except Interrupted as end:
        if hosts.is_first():  # which saved it
            with contextlib.suppress(OSError):  # whoever read our output may have ended too
                print("Saved. The same command goes on from here.", flush=True)
        sys.exit(128 + end.number)  # what a shell reports of a program that a signal ended
    finally:
        signal.signal(signal.SIGINT, previous)
    if not hosts.is_first():
        return
    if was_finished:
        print(f"{folder.path} holds this run, finished. Its results:")
    print_table(
        {
            "test accuracy": f"{summary['test_accuracy']:.4f}",
            "test loss": f"{summary['test_loss']:.4f}",
            "test examples": f"{summary['test_examples']:,}",
            "skipped images": f"{summary['skipped_images']:,}",
            "parameters": f"{summary['parameters']:,}",
            "images per second, training": _rounded(summary["train_images_per_second"]),
            "seconds, of all sessions": _rounded(summary["wall_seconds"]),
            "backend": summary["backend"],
            "hardware": f"{_some(summary['devices'])}; {summary['distribution']}, "
            f"{summary['precision']}",
            "model": folder.model,
            "curves": folder.curves,
            "history": folder.history,
            "TensorBoard": folder.tensorboard,
            "checkpoints": folder.checkpoints,
            "summary": folder.summary,
        }
    )


@app.command
def show(recipe: PicturesOfRecipe):
    """Draw the training images of a recipe as the model will see them, and its classes.

    The options of `train` change what is drawn. Each training image stands above the same image
    as an evaluation sees it, with the classes of its label and their shares.
    """
    config = recipe.config
    config.check()
    if recipe.images < 1:
        raise UserError(f"--images must be at least 1. Received: {recipe.images}. Pass 16.")
    require_backend()
    from training.data import pictures
    from training.data.pipeline import steps_per_epoch
    from training.data.sources import load_source
    from training.machine import hide_accelerators_from_tensorflow

    hide_accelerators_from_tensorflow()
    source = load_source(config.data)
    source.require("train", config.data)
    steps_per_epoch(source.train, config.data)  # or an error, if there is no batch to draw
    recipe.output_dir.mkdir(parents=True, exist_ok=True)
    paths = [recipe.output_dir / name for name in ("images.png", "classes.png")]
    pictures.draw_images(
        source, config.data, config.augmentation, config.seed, recipe.images, paths[0]
    )
    pictures.draw_classes(source, config.data.source, paths[1])
    print_table({"images": paths[0], "classes": paths[1], "skipped": len(source.skipped)})


@app.command
def evaluate(
    run: RunPath,
    source: str = "",
    test_split: str = "",
    data_dir: str = "",
    on_bad_image: Literal["", "error", "skip"] = "",
    devices: int = 0,
    output_dir: str = "",
    as_json: commands.JsonFlag = False,
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
    from training.data.sources import for_the_test, load_source
    from training.evaluation import report
    from training.evaluation.accuracy import evaluate_accuracy
    from training.evaluation.confusion import Confusion
    from training.hardware_choice import find_hardware, refuse_several_hosts

    refuse_several_hosts("evaluate")
    wanted = Hardware(devices=devices)
    wanted.check()
    precision = folder.read_summary()["precision"]  # the model has it
    hardware = dataclasses.replace(find_hardware(wanted), precision=precision)
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
    examples = load_source(for_the_test(data))
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
        model = _load_model(folder)
        _require_like(examples, model, folder)
        report.require_folder(output)
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


@app.command
def predict(run: RunPath, images: ImagePaths, top: int = 3, as_json: commands.JsonFlag = False):
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

    model = _load_model(folder)
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


@app.command
def plan(recipe: PlanOfRecipe):
    """Compile a recipe's step for TPUs that are not there, and say what fits them.

    JAX's step of `train` in bfloat16 is compiled ahead of time by libtpu, which the extra `plan`
    installs; nothing runs. A compilation takes a minute or some. The options of `train` apply.
    """
    recipe.run()


@app.command
def benchmark(
    what: Annotated[commands.Loading, tyro.conf.subcommand("loading")]
    | Annotated[commands.Data, tyro.conf.subcommand("data")]
    | Annotated[commands.Training, tyro.conf.subcommand("training")],
):
    """Measure speed and memory on this machine; `benchmark WHAT --help` lists the options."""
    what.check()
    require_backend()
    what.run()


def _load_model(folder):
    import keras

    import keras_mixer  # noqa: F401  registers the layers that the file names
    from training.machine import hide_accelerators_from_tensorflow

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
            f"--source must have the classes of the run, {len(ours)}: {_some(ours)}. Received: "
            f"{len(source.class_names)}: {_some(source.class_names)}. Choose a set of the same "
            "classes in the same order."
        )


def _some(names):
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _rounded(number):
    return "not measured" if number is None else f"{number:,.0f}"


def main():
    """Run the command line; end with status 2 and one message on a user's mistake."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # less of TensorFlow's log
    try:
        app.cli(
            prog=PROGRAM,
            description="Train, evaluate and use MLP-Mixers.",
            config=(
                tyro.conf.OmitArgPrefixes,
                tyro.conf.OmitSubcommandPrefixes,
                tyro.conf.FlagCreatePairsOff,
            ),
        )
    except (UserError, OSError) as error:
        sys.exit(report(error))
    except KeyboardInterrupt:
        sys.exit(STATUS_INTERRUPTED)


if __name__ == "__main__":
    main()
