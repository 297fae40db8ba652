"""`python -m training benchmark`: measure speed and memory."""

import dataclasses
import json
from typing import Annotated

import tyro
from rich.table import Table

from training.backend import require_backend, require_jax
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
class Tpu:
    """FLOPs, bytes moved and temporaries of an SGD step on TPU chips, compared to Flax.

    Both are compiled ahead of time in bfloat16, without any chip, and not run: see `plan`.
    """

    variant: Variant = "B/16"
    """Model size from the paper."""

    tpu: str = "v5e:2x2"
    """Topology to compile for: see `plan`."""

    batch_size: int = 512
    """Images per step, over all chips."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        from training.planning import topology

        require_positive(self, "batch_size")
        topology.check_name(self.tpu)
        topology.require_compiler("benchmark tpu", "plan,benchmark,training,tensorflow")
        topology.hide_tpus()  # before JAX is imported

    def run(self):
        from training.cli.tpu_table import print_comparison
        from training.devices import detection
        from training.planning import topology

        require_jax("benchmark tpu")
        detection.hide_accelerators_from_tensorflow()
        from training.benchmarks import tpu

        result = tpu.measure(self.variant, topology.topology(self.tpu), self.batch_size)
        if self.as_json:
            _print_json(result)
        else:
            print_comparison(result)


def run(
    what: Annotated[Loading, tyro.conf.subcommand("loading")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[Training, tyro.conf.subcommand("training")]
    | Annotated[Tpu, tyro.conf.subcommand("tpu")],
):
    """Measure speed and memory on this computer; `benchmark WHAT --help` lists the options."""
    what.check()
    require_backend()
    what.run()


def _print_fields(result):
    print_table(
        {
            key.replace("_", " "): f"{value:.3g}" if isinstance(value, float) else value
            for key, value in dataclasses.asdict(result).items()
        }
    )


def _print_json(results):
    if isinstance(results, list):
        results = [dataclasses.asdict(result) for result in results]
    else:
        results = dataclasses.asdict(results)
    print(json.dumps(results, indent=2))
