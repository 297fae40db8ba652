"""Options of the study of the cost of a Mixer."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import rich.box
from rich.table import Table

from training.cli.results import print_tables
from training.cli.terminal import JsonFlag, print_rich, print_table
from training.run.csv_file import write_csv
from training.run.json_file import write_json
from training.studies.cost import MODELS, attention_dominates_from, cost
from training.validation import (
    not_writable,
    refuse_unless,
    require_output_dir,
    require_positive,
)

MEASURED_IMAGE_SIZES = (112, 224, 448, 896)

if TYPE_CHECKING:
    CostModel = str
else:
    CostModel = Literal[tuple(MODELS)]


@dataclasses.dataclass(frozen=True)
class Cost:
    """Parameters, FLOPs and memory of Mixers, ViTs and ResNets, and how they grow with patches.

    Tests the claim that the cost of a Mixer is linear in the number of patches, unlike that of a
    ViT. The counts are from equations; training/studies/cost.py says what they include.
    """

    models: tuple[CostModel, ...] = tuple(MODELS)
    """Models to count: variants of the Mixer, and models that the studies compare with it."""

    image_sizes: tuple[int, ...] = (224,)
    """Sides of the square images in pixels, multiples of the patch size of each model."""

    measured: bool = True
    """Also time inference at 49 to 3,136 patches, which takes some minutes on two cores."""

    repeats: int = 5
    """Number of times that each model is timed at each image size, in turn."""

    output_dir: Path = Path("studies/cost")
    """Folder for results.json, cost.csv and the figures cost.png and patches.png."""

    as_json: JsonFlag = False
    """Print JSON instead of tables."""

    def check(self):
        """Raise UserError if an option is invalid, or the folder not writable."""
        require_positive(self, "repeats")
        refuse_unless(
            bool(self.models),
            "models",
            "must be one or more names",
            "none",
            "Pass B/16 vit-B/16, for example.",
        )
        refuse_unless(
            bool(self.image_sizes) and min(self.image_sizes) > 0,
            "image_sizes",
            "must be one or more numbers above 0",
            " ".join(map(str, self.image_sizes)) or "none",
            "Pass 224 448, for example.",
        )
        for name in self.models:
            patch = getattr(MODELS[name], "patch_size", 1)
            for image_size in self.image_sizes:
                refuse_unless(
                    image_size % patch == 0,
                    "image_sizes",
                    f"must be multiples of {patch}, the patch size of {name}",
                    image_size,
                    f"Pass {max(1, image_size // patch) * patch}, or leave {name} out of --models.",
                )
        require_output_dir(self.output_dir)

    def run(self):
        """Count, measure, print the results and write them into the folder."""
        from training.studies.cost_figure import draw_growth
        from training.studies.cost_growth import CLAIM, RULE, grow, verdicts

        rows = [
            {
                "model": name,
                "image_size": image_size,
                **dataclasses.asdict(cost(MODELS[name], image_size)),
            }
            for name in self.models
            for image_size in self.image_sizes
        ]
        growths = grow()
        measured = self._measure() if self.measured else None
        results = {
            "claim": CLAIM,
            "rule": RULE,
            "verdicts": verdicts(growths, measured),
            "notes": _notes(growths),
            "costs": rows,
            "growth": [dataclasses.asdict(growth) for growth in growths],
            "measured": dataclasses.asdict(measured) if measured else None,
        }
        try:
            write_json(self.output_dir / "results.json", results)
            write_csv(self.output_dir / "cost.csv", rows)
            draw_growth(growths, self.output_dir / "cost.png")
            if measured:
                from training.benchmarks.patches_figure import plot_patches

                plot_patches(measured, self.output_dir / "patches.png")
        except OSError as error:
            raise not_writable(self.output_dir, error) from error
        if self.as_json:
            print(json.dumps(results, indent=2))
        else:
            self._print(results, measured)

    def _measure(self):
        from training.benchmarks import patches

        return patches.measure(self.repeats, MEASURED_IMAGE_SIZES)

    def _print(self, results, measured):
        print_rich(_cost_table(results["costs"]))
        print_rich(_growth_table(results["growth"]))
        if measured:
            print_tables(measured, "points", "exponents")
        print(results["claim"], results["rule"], *results["notes"], sep="\n")
        print_table({**results["verdicts"], "results": self.output_dir})


def _notes(growths):
    """Return sentences on what the verdicts depend on."""
    from training.benchmarks import patches

    growing = next(growth for growth in growths if growth.model == patches.GROWING_MIXER)
    dominates, of_b16 = (attention_dominates_from(s) for s in (patches.VIT, MODELS["vit-B/16"]))
    return [
        "D_S is fixed, as in table 1. With D_S proportional to the number of patches, as when "
        "weights are adapted to larger images (appendix C), the Mixer is not linear: its FLOPs "
        f"have the exponent {growing.flops_exponent_at_the_end:.2f}.",
        f"Attention has half of the FLOPs of the ViT's blocks from {dominates:,} tokens on; in "
        f"ViT-B/16 from {of_b16:,}. Images of 224 × 224 pixels have 196 patches of 16 × 16.",
        "FlashAttention does not keep the attention weights, so that with it the activation memory "
        "of the ViT is linear, too.",
    ]


def _cost_table(rows):
    """Return a table that fits into 80 columns, those of an output that is no terminal."""
    table = Table(title="for one image", title_justify="left", box=rich.box.SIMPLE_HEAD, padding=0)
    table.add_column("model", min_width=11, no_wrap=True)
    for heading in (
        "pixels",
        "parameters",
        "GFLOPs",
        "GFLOPs,\ntraining",
        "activations,\nMB",
        "peak of\ninference, MB",
    ):
        table.add_column(heading, justify="right", min_width=7, no_wrap=True)
    for row in rows:
        table.add_row(
            row["model"],
            str(row["image_size"]),
            f"{row['parameters']:,}",
            f"{row['inference_flops'] / 1e9:,.2f}",
            f"{row['training_flops'] / 1e9:,.2f}",
            f"{row['activation_bytes'] / 1e6:,.1f}",
            f"{row['inference_peak_bytes'] / 1e6:,.1f}",
        )
    return table


def _growth_table(growths):
    table = Table(
        "model",
        "FLOPs",
        "FLOPs at the end",
        "activation memory",
        "at the end",
        title="exponents in the number of patches, "
        f"{growths[0]['patches'][0]:,} to {growths[0]['patches'][-1]:,}",
        title_justify="left",
        box=rich.box.SIMPLE_HEAD,
        padding=0,
    )
    fields = ("flops_exponent", "activation_exponent")
    for growth in growths:
        exponents = [growth[f"{field}{end}"] for field in fields for end in ("", "_at_the_end")]
        table.add_row(growth["model"], *(f"{exponent:.2f}" for exponent in exponents))
    return table
