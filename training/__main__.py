"""The command line: `python -m training COMMAND …`.

What is slow to import is imported inside the commands, so that help and errors come at once.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import rich
import tyro
from rich.table import Table
from rich.text import Text

from training.config import Config, require_positive
from training.errors import UserError
from training.recipes import RECIPES
from training.run_folder import RunFolder

VARIANT_NAMES = ("MixerS32", "MixerS16", "MixerS8", "MixerB32", "MixerB16", "MixerL32", "MixerL16")
PROGRAM = "python -m training"
BACKENDS = ("tensorflow", "jax", "torch")
STATUS_USER_ERROR = 2
STATUS_INTERRUPTED = 130  # what a shell reports of a program that ctrl-C ended

app = tyro.extras.SubcommandApp()
RunPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
ImagePaths = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="IMAGE...", help_behavior_hint="(one or more)"),
]
JsonFlag = Annotated[bool, tyro.conf.arg(name="json")]


@dataclasses.dataclass(frozen=True)
class Run:
    config: Annotated[Config, tyro.conf.arg(name="")]
    run_dir: Path
    """Folder that the run writes. An interrupted run found there is resumed; a folder of
    another configuration is refused."""


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


@app.command
def train(recipe: RunOfRecipe):
    """Train a Mixer by a recipe; `train RECIPE --help` lists the options.

    The backend is Keras's own choice: set the environment variable KERAS_BACKEND to
    tensorflow, jax or torch.
    """
    recipe.config.check()
    _require_backend()
    from training import fit

    folder = RunFolder(recipe.run_dir)
    was_finished = folder.is_finished()
    try:
        summary = fit.train(recipe.config, folder)
    except KeyboardInterrupt:
        if folder.config.exists():
            print("\nInterrupted. The same command resumes after the last completed epoch.")
        raise
    if was_finished:
        print(f"{folder.path} holds this run, finished. Its results:")
    _print_table(
        {
            "test accuracy": f"{summary['test_accuracy']:.4f}",
            "test loss": f"{summary['test_loss']:.4f}",
            "test examples": f"{summary['test_examples']:,}",
            "skipped images": f"{summary['skipped_images']:,}",
            "parameters": f"{summary['parameters']:,}",
            "images per second, training": _rounded(summary["train_images_per_second"]),
            "seconds, this session": _rounded(summary["wall_seconds"]),
            "backend": f"{summary['backend']} on {', '.join(summary['devices'])}",
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
    _require_backend()
    from training import hardware
    from training.data import pictures
    from training.data.pipeline import steps_per_epoch
    from training.data.sources import load_source

    hardware.hide_accelerators_from_tensorflow()
    source = load_source(config.data)
    source.require("train", config.data)
    steps_per_epoch(source.train, config.data)  # or an error, if there is no batch to draw
    recipe.output_dir.mkdir(parents=True, exist_ok=True)
    paths = [recipe.output_dir / name for name in ("images.png", "classes.png")]
    pictures.draw_images(
        source, config.data, config.augmentation, config.seed, recipe.images, paths[0]
    )
    pictures.draw_classes(source, config.data.source, paths[1])
    _print_table({"images": paths[0], "classes": paths[1], "skipped": len(source.skipped)})


@app.command
def evaluate(
    run: RunPath,
    source: str = "",
    test_split: str = "",
    data_dir: str = "",
    on_bad_image: Literal["", "error", "skip"] = "",
    as_json: JsonFlag = False,
):
    """Count how often a trained model is right on its test images, or on others.

    Args:
        run: Folder of a finished training run.
        source: Another set of the same classes, such as imagenet-real; see `train`. Of folders and
            arrays without a part for the test, all training images are taken.
        test_split: Split of a tfds set, instead of its own for the test.
        data_dir: Folder of TensorFlow Datasets, instead of the run's.
        on_bad_image: What to do about image files that cannot be read, instead of the run's way.
        as_json: Print JSON instead of a table.
    """
    folder = RunFolder(run)
    folder.require_model()
    config = folder.read_config()

    _require_backend()
    from training.data.pipeline import evaluation_batches
    from training.data.sources import for_the_test, load_source
    from training.evaluation.accuracy import evaluate_accuracy

    model = _load_model(folder)
    data = config.data
    if source:  # its own part for the test, or all that it has for training
        fractions = {"validation_fraction": 0.0, "test_fraction": 1.0}
        data = dataclasses.replace(data, source=source, test_split="", **fractions)
    data = dataclasses.replace(
        data,
        test_split=test_split or data.test_split,
        data_dir=data_dir or data.data_dir,
        on_bad_image=on_bad_image or data.on_bad_image,
    )
    examples = load_source(for_the_test(data))
    examples.require("test", data)
    _require_like(examples, model, folder)
    batches = evaluation_batches(examples.test, examples, data)
    result = dataclasses.asdict(evaluate_accuracy(model, batches))
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        _print_table({key.replace("_", " "): value for key, value in result.items()})


@app.command
def predict(run: RunPath, images: ImagePaths, top: int = 3, as_json: JsonFlag = False):
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

    _require_backend()
    from training.evaluation.prediction import predict_images

    model = _load_model(folder)
    class_names = folder.read_summary()["class_names"]
    transform = folder.read_config().data.evaluation_transform
    predictions = predict_images(model, class_names, images, top, transform)
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


@dataclasses.dataclass(frozen=True)
class BenchmarkLoading:
    """Weights from .npz and .safetensors into a model, against reading the same arrays alone.

    The times are medians; the peak of memory is that of a process of its own.
    """

    variant: Literal[VARIANT_NAMES] = "MixerB16"
    """Constructor of the model."""

    repeats: int = 5
    """How often each part is timed."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""


@dataclasses.dataclass(frozen=True)
class BenchmarkData:
    """The input pipeline with each augmentation, against a plain one written by hand.

    JPEGs of 500 × 400 pixels, like photographs, become batches of 64 images of 224 × 224 pixels
    by Inception's crop and flips. Speeds are medians.
    """

    batches: int = 8
    """How many are timed in each repeat."""

    repeats: int = 5
    """How often each pipeline is timed."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""


@app.command
def benchmark(
    what: Annotated[BenchmarkLoading, tyro.conf.subcommand("loading")]
    | Annotated[BenchmarkData, tyro.conf.subcommand("data")],
):
    """Measure speed and memory on this machine; `benchmark WHAT --help` lists the options."""
    require_positive(what, *(name for name in ("batches", "repeats") if hasattr(what, name)))
    _require_backend()
    {BenchmarkLoading: _benchmark_loading, BenchmarkData: _benchmark_data}[type(what)](what)


def _benchmark_loading(options):
    from training.benchmarks import loading

    results = [
        loading.measure(options.variant, suffix, options.repeats) for suffix in loading.FORMATS
    ]
    if options.as_json:
        print(json.dumps([dataclasses.asdict(result) for result in results], indent=2))
        return
    for result in results:
        _print_table(
            {
                key.replace("_", " "): f"{value:.3g}" if isinstance(value, float) else value
                for key, value in dataclasses.asdict(result).items()
            }
        )


def _benchmark_data(options):
    from training import hardware
    from training.benchmarks import data

    hardware.hide_accelerators_from_tensorflow()
    result = data.measure(options.batches, options.repeats)
    if options.as_json:
        print(json.dumps(dataclasses.asdict(result), indent=2))
        return
    table = Table("pipeline", "images/s", "to plain", "ms above ours", "core ms")
    for speed in result.speeds:
        table.add_row(
            speed.pipeline,
            f"{speed.images_per_second:,.0f}",
            f"{speed.to_plain:.2f}",
            f"{speed.milliseconds_above_ours:.2f}",
            f"{speed.core_milliseconds:.2f}",
        )
    rich.print(table)
    print(
        f"RandAugment + mixup add {result.pretraining_to_its_parts:.2f} of the sum of the core ms "
        f"that each adds alone.\nms: per image; core ms: of all cores, other programs not counted. "
        f"Medians of {result.repeats} repeats of {result.batches} batches of "
        f"{result.batch_size} images of {result.image_size} pixels, from {result.files} JPEGs of "
        f"500 × 400, cropped and flipped; on {result.cores} cores, without a model."
    )


def _require_backend():
    """Raise UserError unless Keras finds its backend, and TensorFlow for tf.data."""
    chosen = os.environ.get("KERAS_BACKEND", "not set")
    try:
        import keras
        import tensorflow  # noqa: F401

        chosen = keras.backend.backend()
        if chosen not in BACKENDS:
            raise ValueError("Keras cannot train on it")
    except (ImportError, ValueError) as error:
        raise UserError(
            "KERAS_BACKEND must be tensorflow, jax or torch, and installed together with "
            f"TensorFlow, which reads the data. Received: {chosen}: {error}. "
            "Install what is missing, such as by `pip install -e .[tensorflow,jax]`."
        ) from error


def _load_model(folder):
    import keras

    import keras_mixer  # noqa: F401  registers the layers that the file names
    from training import hardware

    hardware.hide_accelerators_from_tensorflow()
    try:
        return keras.saving.load_model(folder.model, compile=False)
    except (OSError, ValueError) as error:
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
            f"--source must have the classes of the run, {len(ours)}: {_first(ours)}. Received: "
            f"{len(source.class_names)}: {_first(source.class_names)}. Choose a set of the same "
            "classes in the same order."
        )


def _first(names):
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _rounded(number):
    return "not measured" if number is None else f"{number:,.0f}"


def _print_table(rows):
    table = Table(show_header=False)
    for name, value in rows.items():
        table.add_row(name, Text(str(value), overflow="fold"))
    rich.print(table)


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
    except (UserError, OSError) as error:  # OSError: a full disk, a path too long
        print(f"error: {error}", file=sys.stderr)
        sys.exit(STATUS_USER_ERROR)
    except KeyboardInterrupt:
        sys.exit(STATUS_INTERRUPTED)


if __name__ == "__main__":
    main()
