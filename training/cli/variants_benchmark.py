"""Options of the benchmark of all variants, and its tables."""

import dataclasses
from pathlib import Path

import rich.box
from rich.table import Table

from keras_mixer.sizes import SIZES
from training.cli.results import print_json
from training.cli.terminal import JsonFlag, print_rich, print_table
from training.config import Variant
from training.errors import out_of_memory_as_user_error
from training.validation import not_writable, refuse_unless, require_output_dir, require_positive


@dataclasses.dataclass(frozen=True)
class Variants:
    """All variants: parameters, FLOPs and inference speed here, beside their known accuracies.

    Images have 224 × 224 pixels. Speeds are medians. Accuracies are those that others report; each
    has its source.
    """

    variants: tuple[Variant, ...] = tuple(SIZES)
    """Model sizes from the paper, and S/8."""

    batch_size: int = 8
    """Images per batch."""

    repeats: int = 5
    """Number of times that each variant is measured, in turn."""

    output_dir: Path | None = None
    """Folder for variants.csv, accuracies.csv and variants.png; none is written by default."""

    as_json: JsonFlag = False
    """Print JSON instead of tables."""

    def check(self):
        require_positive(self, "batch_size", "repeats")
        refuse_unless(
            self.variants and len(set(self.variants)) == len(self.variants),
            "variants",
            "must be one or more different ones",
            " ".join(self.variants) or "none",
            "Pass S/32 B/16, for example.",
        )
        if self.output_dir:
            require_output_dir(self.output_dir)

    def run(self):
        from training.benchmarks import variants
        from training.devices import detection

        detection.hide_accelerators_from_tensorflow()
        advice = "Pass a smaller --batch-size, or fewer --variants."
        with out_of_memory_as_user_error(f"--batch-size {self.batch_size}", advice):
            result = variants.measure(self.variants, self.batch_size, self.repeats)
        paths = _write(result, self.output_dir) if self.output_dir else {}
        if self.as_json:
            print_json(result)
            return
        print_rich(_speed_table(result))
        print_rich(_accuracy_table(result))
        if paths:
            print_table(paths)


def _write(result, folder):
    """Write the files and return their paths by what they are."""
    from training.benchmarks.variants_figure import draw_variants
    from training.run.csv_file import write_csv

    names = {"speeds": "variants.csv", "accuracies": "accuracies.csv", "figure": "variants.png"}
    paths = {what: folder / name for what, name in names.items()}
    try:
        write_csv(paths["speeds"], list(map(dataclasses.asdict, result.variants)))
        if result.accuracies:
            write_csv(paths["accuracies"], list(map(dataclasses.asdict, result.accuracies)))
        else:
            del paths["accuracies"]
        draw_variants(result, paths["figure"])
    except OSError as error:
        raise not_writable(folder, error) from error
    return paths


def _speed_table(result):
    title = f"{result.backend} on {result.cores} cores, median of {result.repeats}"
    table = Table(title=title, title_justify="left", box=rich.box.SIMPLE_HEAD)
    table.add_column("variant")
    for heading in ("parameters", "GFLOPs", "images/s", "time to fastest"):
        table.add_column(heading, justify="right")
    for row in result.variants:
        table.add_row(
            row.variant,
            f"{row.parameters:,}",
            f"{row.gigaflops:.2f}",
            f"{row.images_per_second:,.1f}",
            f"{row.to_fastest:.2f}",
        )
    return table


def _accuracy_table(result):
    table = Table(
        title="ImageNet top-1, reported by others", title_justify="left", box=rich.box.SIMPLE_HEAD
    )
    for heading in ("variant", "weights", "published", "pixels", "top-1", "source"):
        table.add_column(heading)
    for row in result.accuracies:
        published = "yes" if row.published else "no"
        cells = (str(row.pixels), f"{row.top1:.2f}", row.source)
        table.add_row(row.variant, row.weights, published, *cells)
    return table
