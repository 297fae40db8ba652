"""Options of the benchmarks of precision, rematerialization and the number of patches."""

import dataclasses
from pathlib import Path
from typing import Literal

from training.cli.results import print_fields, print_json, print_tables
from training.cli.terminal import JsonFlag
from training.config import Variant
from training.errors import out_of_memory_as_user_error
from training.validation import refuse_unless, require_positive

FIGURES = (".png", ".svg", ".pdf")
JIT_COMPILE: dict[str, bool | str] = {"auto": "auto", "yes": True, "no": False}


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
            print_json(result)
        else:
            print_tables(result, "speeds")


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
            print_json(result)
        else:
            print_fields(result)


@dataclasses.dataclass(frozen=True)
class Patches:
    """Inference time against the number of patches: Mixer, and a ViT of the same width and depth.

    The exponents are slopes of lines fitted to the logarithms of time and of the number of patches.
    """

    image_sizes: tuple[int, ...] = (112, 224, 336, 448, 672, 896)
    """Sides of the square images, three or more multiples of 16 pixels in ascending order."""

    repeats: int = 5
    """Number of times that each model is measured at each image size, in turn."""

    figure: Path | None = None
    """File for a plot, such as patches.svg."""

    as_json: JsonFlag = False
    """Print JSON instead of tables."""

    def check(self):
        require_positive(self, "repeats")
        sizes = self.image_sizes
        refuse_unless(
            len(sizes) > 2
            and sorted(set(sizes)) == [*sizes]
            and not any(s < 16 or s % 16 for s in sizes),
            "image_sizes",
            "must be three or more multiples of 16, ascending",
            " ".join(map(str, sizes)) or "none",
            "Pass 224 448 896, for example.",
        )
        refuse_unless(
            self.figure is None or (self.figure.suffix in FIGURES and self.figure.parent.is_dir()),
            "figure",
            f"must be a file in an existing folder, named {' or '.join(FIGURES)}",
            self.figure,
            "Pass patches.svg, for example.",
        )

    def run(self):
        from training.benchmarks import patches
        from training.benchmarks.patches_figure import plot_patches

        result = patches.measure(self.repeats, self.image_sizes)
        if self.figure:
            plot_patches(result, self.figure)
        if self.as_json:
            print_json(result)
        else:
            print_tables(result, "points", "exponents")
