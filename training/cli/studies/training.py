"""Options of the studies that train models."""

import dataclasses
import json
from pathlib import Path
from typing import ClassVar, Literal

from rich.table import Table

from training.cli.terminal import JsonFlag, print_rich, print_table
from training.config.study_models import STUDY_MODELS
from training.recipes import RECIPES
from training.validation import not_writable, refuse_unless, require_output_dir

MODELS = ("mixer", *STUDY_MODELS)


@dataclasses.dataclass(frozen=True)
class TrainingStudy:
    """Base class: trains the runs of a study, and reports them."""

    preset: Literal["small", "smoke", "full"] = "small"
    """small: tiny models on generated shapes, minutes on two cores. smoke: seconds, to see that it
    works. full: Mixer-B/16, ViT-B/16 and ResNet-50 on ImageNet with the recipe of the paper."""

    recipe: str = ""
    """Recipe of all runs, which can be one that you write for the accumulation of gradients, the
    precision or another learning rate. Defaults to that of the preset."""

    source: str = ""
    """Dataset: digits, shapes, folder:PATH, arrays:FILE.npz, tfds:NAME or a preset of `train`.
    Defaults to that of the preset."""

    data_dir: str = ""
    """Folder of TensorFlow Datasets. Defaults to the one that TensorFlow Datasets uses."""

    image_size: int = 0
    """Height and width of the models' input in pixels. 0 uses that of the recipe."""

    batch_size: int = 0
    """Images per step. 0 uses that of the recipe."""

    total_epochs: int = 0
    """Epochs of each run. 0 uses those of the preset."""

    models: tuple[str, ...] = ()
    """Models: mixer, with the sizes of the recipe, or study models; see --architecture of `train`.
    Defaults to those of the preset."""

    seeds: int = 0
    """Number of seeds: 0, 1 and so on. 0 uses that of the preset: 3, or 1 for smoke."""

    jobs: int = 1
    """Number of runs that are trained at the same time, and share the cores. The core-hours of
    `comparison` then count all cores for each of them."""

    study_dir: str = ""
    """Folder for the runs and the results. The same command resumes. Defaults to studies/NAME."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    name: ClassVar[str] = ""

    @property
    def folder(self):
        return Path(self.study_dir or f"studies/{self.name}")

    def check(self):
        for field in ("image_size", "batch_size", "total_epochs", "seeds"):
            value = getattr(self, field)
            refuse_unless(value >= 0, field, "must be at least 0", value, "Pass 0.")
        refuse_unless(self.jobs > 0, "jobs", "must be at least 1", self.jobs, "Pass 1.")
        names = ", ".join(RECIPES)
        known = not self.recipe or self.recipe in RECIPES
        refuse_unless(known, "recipe", "must be a recipe", self.recipe, f"Pass one of {names}.")
        for model in self.models:
            advice = f"Pass one or more of {', '.join(MODELS)}."
            refuse_unless(model in MODELS, "models", "must be models of the studies", model, advice)
        require_output_dir(self.folder, "--study-dir")

    def chosen_preset(self):
        """Return the `training.studies.presets.Preset` with the options."""
        from training.studies.presets import PRESETS

        preset = PRESETS[self.preset]
        fields = ("source", "data_dir", "image_size", "batch_size", "total_epochs")
        given = {field: getattr(self, field) for field in fields if getattr(self, field)}
        if self.recipe and self.recipe != preset.recipe:
            options = given
        else:
            options = preset.options | given
        return dataclasses.replace(
            preset,
            recipe=self.recipe or preset.recipe,
            options=options,
            models=tuple(dict.fromkeys(self.models)) or preset.models,
            seeds=self.seeds or preset.seeds,
        )

    def train(self, trials):
        """Return the `training.studies.trials.FinishedTrial`s of `Trial`s."""
        from training.devices.selection import refuse_several_hosts
        from training.studies.trials import run_trials

        refuse_several_hosts("study")
        return run_trials(trials, self.folder, self.jobs, False if self.as_json else None)

    def report(self, results, rows, draw):
        """Write results.json, results.csv and the figure, and print the claims.

        Args:
            results: Entries of results.json.
            rows: Rows of the table, dictionaries.
            draw: Function of the path that draws the figure.
        """
        from training.run.csv_file import write_csv
        from training.run.json_file import write_json

        results = {"study": self.name, "preset": self.preset, **results}
        figure = self.folder / f"{self.name}.png"
        try:
            write_json(self.folder / "results.json", results)
            write_csv(self.folder / "results.csv", results["runs"])
            draw(figure)
        except OSError as error:
            raise not_writable(self.folder, error, "--study-dir") from error
        if self.as_json:
            print(json.dumps(results, indent=2))
            return
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*row.values())
        print_rich(table)
        for claim in results.get("claims", []):
            print(f"{claim['claim']} {claim['verdict'].capitalize()}. Rule: {claim['rule']}")
        print_table({"results": self.folder / "results.json", "figure": figure})


def format_mean(spread, form=".3f"):
    """Return "0.812 ± 0.004" for a `training.studies.verdicts.spread`, with numbers in a form."""
    stddev = "" if spread["stddev"] is None else f" ± {spread['stddev']:{form}}"
    return f"{spread['mean']:{form}}{stddev}"


def _number(value, form):
    return "–" if value is None else format(value, form)


@dataclasses.dataclass(frozen=True)
class Permutations(TrainingStudy):
    """Train on images whose pixels are permuted, all alike (section 3.4 and figure 4).

    Each model is trained on the original images, on permuted patches with permuted pixels inside,
    and on images with all pixels permuted.
    """

    name: ClassVar[str] = "permutations"

    def run(self):
        from training.studies import permutations as study
        from training.studies.presets import base_trials, permuted

        trials = self.train(permuted(base_trials(self.chosen_preset())))
        results = study.results(trials)
        rows = [
            {"model": m, **{study.LABELS[p]: format_mean(s) for p, s in of_model.items()}}
            for m, of_model in results["accuracy"].items()
        ]
        self.report(results, rows, lambda path: study.draw(trials, path))


@dataclasses.dataclass(frozen=True)
class DataScaling(TrainingStudy):
    """Train on 10, 30 and 100 % of the images, with the same number of steps (figure 2, right)."""

    name: ClassVar[str] = "data-scaling"

    def chosen_preset(self):
        preset = super().chosen_preset()
        if self.preset == "small" and not (self.recipe or self.total_epochs):
            # There are 27 runs, which should end within a quarter of an hour on two cores.
            return dataclasses.replace(preset, options=preset.options | {"total_epochs": 3})
        return preset

    def run(self):
        from training.studies import data_scaling as study
        from training.studies.presets import base_trials, scaled

        by_fraction = scaled(base_trials(self.chosen_preset()))
        finished = iter(self.train([t for trials in by_fraction.values() for t in trials]))
        trials = {f: [next(finished) for _ in own] for f, own in by_fraction.items()}
        results = study.results(trials)
        rows = [
            {
                "model": m,
                **{f: format_mean(s) for f, s in of_model.items()},
                "gain": format_mean(gain),
            }
            for (m, of_model), gain in zip(
                results["accuracy"].items(), results["gain"].values(), strict=True
            )
        ]
        self.report(results, rows, lambda path: study.draw(trials, path))


@dataclasses.dataclass(frozen=True)
class Comparison(TrainingStudy):
    """Compare models of like size with the same data, recipe and budget (tables 2, 3, figure 2).

    Accuracy, parameters, FLOPs, core-hours of the training and images per second, and the Pareto
    fronts. The numbers of the paper's tables are shown for comparison.
    """

    name: ClassVar[str] = "comparison"

    def run(self):
        from training.studies import comparison as study
        from training.studies.presets import base_trials

        trials = self.train(base_trials(self.chosen_preset()))
        measured = study.measure_rows(trials)
        rows = [
            {
                "model": row.model,
                "accuracy": format_mean(row.accuracy),
                "parameters": f"{row.parameters:,}",
                "GFLOPs": _number(row.training_gigaflops, ".3f"),
                "core-hours": _number(row.core_hours, ".4f"),
                "images/s": _number(row.images_per_second, ",.0f"),
            }
            for row in measured
        ]
        self.report(study.results(trials, measured), rows, lambda path: study.draw(measured, path))


@dataclasses.dataclass(frozen=True)
class Variations(Comparison):
    """Compare the Mixer with the variations of appendix A.1, as `study comparison` does.

    Untied token mixing, grouped channels, learned groups of channels, and pyramids.
    """

    name: ClassVar[str] = "variations"

    def chosen_preset(self):
        from training.studies.presets import VARIATIONS

        preset = super().chosen_preset()
        return preset if self.models else dataclasses.replace(preset, models=VARIATIONS)
