"""`python -m training benchmark`: measure speed and memory."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table

from training.backend import require_backend
from training.cli.terminal import JsonFlag, print_rich, print_table
from training.config import Variant
from training.errors import out_of_memory_as_user_error
from training.validation import require_positive


@dataclasses.dataclass(frozen=True)
class Loading:
    """Loading weights from .npz and .safetensors into a model, compared to only reading the file.

    Times are medians; the peak memory is measured in a separate process.
    """

    variant: Variant = "B/16"
    """Model size from the paper."""

    repeats: int = 5
    """Number of times that each part is measured."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        require_positive(self, "repeats")

    def run(self):
        from training.benchmarks import loading

        results = [
            loading.measure(self.variant, suffix, self.repeats) for suffix in loading.FORMATS
        ]
        if self.as_json:
            _print_json(results)
            return
        for result in results:
            _print_fields(result)


@dataclasses.dataclass(frozen=True)
class Data:
    """The input pipeline with each augmentation, compared to a plain one without the project.

    JPEG files of 500 × 400 pixels are decoded, cropped and flipped into batches of 64 images of
    224 × 224 pixels. Speeds are medians.
    """

    batches: int = 8
    """Number of batches per measurement."""

    repeats: int = 5
    """Number of times that each pipeline is measured."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        require_positive(self, "batches", "repeats")

    def run(self):
        from training.benchmarks import data
        from training.devices import detection

        detection.hide_accelerators_from_tensorflow()
        result = data.measure(self.batches, self.repeats)
        if self.as_json:
            _print_json(result)
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
        print_rich(table)
        print(
            f"RandAugment + mixup add {result.pretraining_to_its_parts:.2f} times the sum of the "
            "core ms that each adds alone.\nms: milliseconds per image; core ms: summed over all "
            "cores, without other programs. Medians of "
            f"{result.repeats} repeats of {result.batches} batches of {result.batch_size} images "
            f"of {result.image_size} pixels, from {result.files} JPEGs of 500 × 400 pixels, "
            f"cropped and flipped; on {result.cores} cores, without a model."
        )


@dataclasses.dataclass(frozen=True)
class Training:
    """model.fit and a full run, compared to a bare loop over the same compiled training step.

    Each step trains on the same batch of images of 224 × 224 pixels with AdamW. Speeds are medians;
    the overhead of a run is that of its callbacks with default settings.
    """

    variant: Variant = "B/16"
    """Model size from the paper."""

    batch_size: int = 4
    """Images per step."""

    steps: int = 3
    """Number of steps per measurement."""

    repeats: int = 7
    """Number of times that each is measured, in turn."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        require_positive(self, "batch_size", "steps", "repeats")

    def run(self):
        from training.benchmarks import fitting
        from training.devices import detection

        detection.hide_accelerators_from_tensorflow()
        advice = "Pass a smaller --batch-size or --variant."
        with out_of_memory_as_user_error(f"--batch-size {self.batch_size}", advice):
            result = fitting.measure(self.variant, self.batch_size, self.steps, self.repeats)
        if self.as_json:
            _print_json(result)
        else:
            _print_fields(result)


@dataclasses.dataclass(frozen=True)
class Precision:
    """Inference or training in bfloat16, compared to float32: speed, and error of the logits."""

    variant: Variant = "B/16"
    """Model size from the paper."""

    batch_size: int = 8
    """Images per batch."""

    images: int = 32
    """Images per call of model.predict."""

    repeats: int = 7
    """Number of times that each dtype is measured, in turn."""

    training: bool = False
    """Measure model.train_on_batch with SGD instead of model.predict."""

    jit_compile: Literal["auto", "yes", "no"] = "auto"
    """As in model.compile: XLA on TensorFlow, torch.compile on PyTorch."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        require_positive(self, "batch_size", "images", "repeats")

    def run(self):
        from training.benchmarks import precision

        jit_compile = JIT_COMPILE[self.jit_compile]
        result = precision.measure(
            self.variant,
            self.batch_size,
            self.images,
            self.repeats,
            self.training,
            jit_compile,
        )
        if self.as_json:
            _print_json(result)
        else:
            _print_tables(result, "speeds")


@dataclasses.dataclass(frozen=True)
class Rematerialization:
    """Memory and time of a training step with rematerialize=True, compared to one without."""

    variant: Variant = "B/16"
    """Model size from the paper."""

    batch_size: int = 16
    """Images per step."""

    repeats: int = 5
    """Number of times that each step is measured, in turn."""

    jit_compile: Literal["auto", "yes", "no"] = "auto"
    """As in model.compile: XLA on TensorFlow, torch.compile on PyTorch."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        require_positive(self, "batch_size", "repeats")

    def run(self):
        from training.benchmarks import rematerialization

        jit_compile = JIT_COMPILE[self.jit_compile]
        advice = "Pass a smaller --batch-size or --variant."
        with out_of_memory_as_user_error(f"--batch-size {self.batch_size}", advice):
            result = rematerialization.measure(
                self.variant, self.batch_size, self.repeats, jit_compile
            )
        if self.as_json:
            _print_json(result)
        else:
            _print_fields(result)


@dataclasses.dataclass(frozen=True)
class Patches:
    """Inference time against the number of patches: Mixer, and a ViT of the same width and depth.

    The exponents are slopes of lines fitted to the logarithms of time and of the number of patches.
    """

    repeats: int = 5
    """Number of times that each model is measured at each image size, in turn."""

    figure: Path | None = None
    """File for a plot, such as patches.svg."""

    as_json: JsonFlag = False
    """Print JSON instead of tables."""

    def check(self):
        require_positive(self, "repeats")

    def run(self):
        from training.benchmarks import patches
        from training.benchmarks.patches_figure import plot_patches

        result = patches.measure(self.repeats)
        if self.figure:
            plot_patches(result, self.figure)
        if self.as_json:
            _print_json(result)
        else:
            _print_tables(result, "points", "exponents")


JIT_COMPILE: dict[str, bool | str] = {"auto": "auto", "yes": True, "no": False}


def run(
    what: Annotated[Loading, tyro.conf.subcommand("loading")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[Training, tyro.conf.subcommand("training")]
    | Annotated[Precision, tyro.conf.subcommand("precision")]
    | Annotated[Rematerialization, tyro.conf.subcommand("rematerialization")]
    | Annotated[Patches, tyro.conf.subcommand("patches")],
):
    """Measure speed and memory on this computer; `benchmark WHAT --help` lists the options."""
    what.check()
    require_backend()
    what.run()


def _print_fields(result):
    print_table(_cells(dataclasses.asdict(result)))


def _print_tables(result, *tables):
    """Print the fields of a result; those in `tables` are tuples of rows of tables of their own."""
    fields = dataclasses.asdict(result)
    rows = {name: fields.pop(name) for name in tables}
    print_table(_cells(fields))
    for name in tables:
        table = Table(*_cells(rows[name][0]), title=name)
        for row in rows[name]:
            table.add_row(*(str(cell) for cell in _cells(row).values()))
        print_rich(table)


def _cells(fields):
    """Return the fields of a result by their names, as they are printed."""
    return {key.replace("_", " "): _cell(value) for key, value in fields.items()}


def _cell(value):
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, tuple):
        separator = " to " if value and isinstance(value[0], float) else ", "
        return separator.join(map(_cell, value))
    return value


def _print_json(results):
    if isinstance(results, list):
        results = [dataclasses.asdict(result) for result in results]
    else:
        results = dataclasses.asdict(results)
    print(json.dumps(results, indent=2))
