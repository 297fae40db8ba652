"""`python -m training benchmark`: measure speed and memory."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table

from training.backend import require_backend
from training.cli.cost_benchmarks import Patches, Precision, Rematerialization
from training.cli.prediction_benchmark import Prediction
from training.cli.results import print_fields, print_json
from training.cli.terminal import JsonFlag, print_rich
from training.cli.tpu_benchmark import Tpu
from training.cli.variants_benchmark import Variants
from training.config import Variant
from training.errors import out_of_memory_as_user_error
from training.validation import refuse_unless, require_output_dir, require_positive


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
            print_json(results)
            return
        for result in results:
            print_fields(result)


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
            print_json(result)
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
            print_json(result)
        else:
            print_fields(result)


@dataclasses.dataclass(frozen=True)
class Speed:
    """Inference and SGD steps, compared to models written by hand on the running backend.

    The limit is the time of the four matrix products of all blocks alone; three times that in
    training. Images have 224 × 224 pixels. Times are medians.
    """

    variants: tuple[Variant, ...] = ("B/16", "S/32")
    """Model sizes from the paper."""

    batch_sizes: tuple[int, ...] = (1, 8, 32)
    """Images per batch."""

    what: tuple[Literal["inference", "training", "memory"], ...] = (
        "inference",
        "training",
        "memory",
    )
    """What to measure. The peak memory of a training step is measured in separate processes."""

    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Precision of the computation; weights are float32."""

    repeats: int = 7
    """Number of times that each model is measured, in turn."""

    seconds: float = 1.0
    """Approximate length of one measurement, which determines the number of batches in it."""

    output_dir: Path | None = None
    """Folder for speed.json and speed.png, a figure of the speeds; none is written by default."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        require_positive(self, "repeats", "seconds")
        for field in ("variants", "batch_sizes", "what"):
            value = getattr(self, field)
            example = " ".join(map(str, getattr(Speed, field)))
            refuse_unless(
                value and (field != "batch_sizes" or min(value) > 0),
                field,
                "must be one or more, above 0 if they are numbers",
                " ".join(map(str, value)) or "none",
                f"Pass {example}, for example.",
            )
        if self.output_dir:
            require_output_dir(self.output_dir)

    def run(self):
        from training.benchmarks import speed
        from training.cli.speed_table import print_conditions, print_result
        from training.devices import detection

        detection.hide_accelerators_from_tensorflow()
        result = speed.measure(
            self.variants,
            self.batch_sizes,
            self.what,
            self.precision,
            self.repeats,
            self.seconds,
            (lambda result: None) if self.as_json else print_result,
        )
        if self.output_dir:
            speed.write_report(result, self.output_dir)
        if self.as_json:
            print_json(result)
        else:
            print_conditions(result)


@dataclasses.dataclass(frozen=True)
class Startup:
    """The start of a program, in new processes: imports, construction, first prediction and step.

    Times are in seconds, and medians. The first prediction and training step compile on JAX and
    TensorFlow; the second ones show what is left.
    """

    variant: Variant = "B/16"
    """Model size from the paper."""

    batch_size: int = 1
    """Images per prediction and step."""

    repeats: int = 3
    """Number of processes."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        require_positive(self, "batch_size", "repeats")

    def run(self):
        from training.benchmarks import startup

        result = startup.measure(self.variant, self.batch_size, self.repeats)
        if self.as_json:
            print_json(result)
        else:
            print_fields(result)


def run(
    what: Annotated[Loading, tyro.conf.subcommand("loading")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[Training, tyro.conf.subcommand("training")]
    | Annotated[Precision, tyro.conf.subcommand("precision")]
    | Annotated[Rematerialization, tyro.conf.subcommand("rematerialization")]
    | Annotated[Patches, tyro.conf.subcommand("patches")]
    | Annotated[Speed, tyro.conf.subcommand("speed")]
    | Annotated[Prediction, tyro.conf.subcommand("prediction")]
    | Annotated[Variants, tyro.conf.subcommand("variants")]
    | Annotated[Startup, tyro.conf.subcommand("startup")]
    | Annotated[Tpu, tyro.conf.subcommand("tpu")],
):
    """Measure speed and memory on this computer; `benchmark WHAT --help` lists the options."""
    what.check()
    if isinstance(what, Tpu):
        what.prepare()
    require_backend()
    what.run()
