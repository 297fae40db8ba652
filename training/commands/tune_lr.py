"""`python -m training tune-lr`: choose the learning rate of a recipe."""

import contextlib
import dataclasses
import json
import sys
from pathlib import Path

from rich.table import Table

from training.backend import require_backend
from training.cli.recipe_choice import RecipeOptions, for_each_recipe
from training.cli.terminal import JsonFlag, print_rich, print_table
from training.errors import UserError
from training.run.json_file import write_json
from training.validation import (
    LARGEST_FLOAT,
    not_writable,
    refuse_unless,
    require_not_negative,
    require_output_dir,
)

RANGES = {"adamw": (1e-6, 1.0), "sgd": (1e-5, 10.0)}  # of the rate that the optimizer uses
STEPS = 200
LEAST_STEPS = 20  # of a range test
MOST_SEEDS = 100


@dataclasses.dataclass(frozen=True)
class TuneLr(RecipeOptions):
    grid: tuple[float, ...] = ()
    """Learning rates to train with, such as --grid 0.003 0.01 0.03 0.06, instead of the range test.
    They are compared on the validation split."""

    steps: int = 0
    """Optimizer updates of a range test, or of each training of the grid, whose warmup is shortened
    in proportion. 0 uses 200, or the updates of the recipe."""

    lowest: float = 0.0
    """First learning rate of the range test. 0 uses 1e-6 for adamw and 1e-5 for sgd, at the batch
    size of the run."""

    highest: float = 0.0
    """Last learning rate of the range test. 0 uses 1 for adamw and 10 for sgd, at the batch size of
    the run."""

    seeds: int = 1
    """Number of seeds: --seed and those that follow it. The suggestion is the geometric mean over
    the seeds; rates of a grid are compared by their mean accuracy."""

    output_dir: str = ""
    """Folder for range_test.json and range_test.png, or for grid.json and grid.png. Existing ones
    are overwritten. By default no file is written."""

    trust_model: bool = False
    """Load --weights FILE.keras even if the file has more than a Mixer and layers of Keras that
    only compute, such as a Lambda layer. What such a file names is executed with your rights."""

    as_json: JsonFlag = False
    """Print JSON instead of a table."""

    def check(self):
        """Raise UserError if an option is invalid."""
        self.config.check()
        require_not_negative(self, "steps", "lowest", "highest")
        refuse_unless(
            1 <= self.seeds <= MOST_SEEDS,
            "seeds",
            f"must be at least 1 and at most {MOST_SEEDS}",
            self.seeds,
            "Pass 3, for example.",
        )
        refuse_unless(
            all(0 < rate <= LARGEST_FLOAT for rate in self.grid),
            "grid",
            "must be one or more numbers above 0",
            " ".join(f"{rate:g}" for rate in self.grid),
            "Pass 0.003 0.01 0.03 0.06, for example.",
        )
        for option in ("lowest", "highest") if self.grid else ():
            refuse_unless(
                not getattr(self, option),
                option,
                "must be left out with --grid, which has the learning rates",
                getattr(self, option),
                "Drop one of the two options.",
            )
        refuse_unless(
            bool(self.grid) or self.steps == 0 or self.steps >= LEAST_STEPS,
            "steps",
            f"must be 0 or at least {LEAST_STEPS} in a range test",
            self.steps,
            f"Pass {STEPS}, for example.",
        )

    @property
    def all_seeds(self):
        return range(self.config.seed, self.config.seed + self.seeds)


@for_each_recipe(lambda name, config: TuneLr(config))
def run(options: TuneLr):
    """Choose the learning rate of a recipe: by a range test, or with --grid by short trainings.

    The range test raises the learning rate from step to step and suggests one from the smoothed
    loss. It trains as the recipe does, but has no warmup and no schedule. A grid trains once with
    each learning rate, as the paper does for fine-tuning, and compares them on the validation
    split. Neither uses the test split, and no model is kept.
    """
    options.check()
    require_backend()
    from training.devices.selection import refuse_several_hosts

    refuse_several_hosts("tune-lr")
    if options.output_dir:
        require_output_dir(Path(options.output_dir))
    (_run_grid if options.grid else _run_range_test)(options)


def _run_range_test(options):
    from training.run import learning_rates
    from training.run.learning_rate_figures import draw_range_tests

    lowest, highest = _range(options)
    steps = options.steps or STEPS
    runs = _load(options)
    with _training(runs):
        tests = [*learning_rates.run_range_tests(runs, lowest, highest, steps, options.all_seeds)]
    suggestion = learning_rates.mean_suggestion(tests)
    if suggestion is None:
        raise UserError(
            "--lowest and --highest must include a learning rate at which the loss falls. "
            f"Received: {lowest:g} and {highest:g}, with a loss of {tests[0].losses[0]:.3g} at "
            f"first and {min(tests[0].smoothed):.3g} at best. Pass a larger --highest or a smaller "
            "--lowest, or more --steps."
        )
    results = {
        "suggestion": suggestion,
        **_entries(runs),
        "steps": steps,
        "lowest": lowest,
        "highest": highest,
        "tests": [dataclasses.asdict(test) for test in tests],
    }
    files = _write(
        options,
        results,
        "range_test",
        lambda path: draw_range_tests(tests, suggestion, _title(runs), path),
    )
    if options.as_json:
        return
    print_table(
        {
            "suggested --learning-rate": f"{suggestion:.2g}",
            "of each seed": ", ".join(f"{test.suggestion:.2g}" for test in tests),
            "the recipe's": f"{runs.config.optimization.learning_rate:g}",
            "swept": f"{lowest:g} to {highest:g}",
            "diverged at": ", ".join(
                f"{test.learning_rates[-1]:.2g}" if test.diverged else "not" for test in tests
            ),
            **files,
        }
    )


def _run_grid(options):
    from training.run import learning_rates
    from training.run.learning_rate_figures import draw_grid

    rates = sorted(set(options.grid))
    runs = _load(options)
    updates, runs = runs.shortened(options.steps)
    with _training(runs):
        trained = [*learning_rates.train_grid(runs, rates, updates, options.all_seeds)]
    rows = learning_rates.summarize(trained)
    best = learning_rates.best_row(rows)
    if best is None:
        raise UserError(
            "--grid must have a learning rate at which the loss stays finite. Received: "
            f"{' '.join(f'{rate:g}' for rate in rates)}. Pass smaller ones."
        )
    results = {
        "best": best.learning_rate,
        **_entries(runs),
        "steps": updates,
        "warmup_steps": runs.config.optimization.warmup_steps,
        "validation_examples": len(runs.source.validation),
        "learning_rates": [dataclasses.asdict(row) for row in rows],
        "trainings": [dataclasses.asdict(training) for training in trained],
    }
    files = _write(
        options,
        results,
        "grid",
        lambda path: draw_grid(trained, rows, best, _title(runs), path),
    )
    if options.as_json:
        return
    table = Table("learning rate", "validation accuracy", "validation loss")
    for row in rows:
        numbers = [f"{n:.4f}" if n is not None else "diverged" for n in (row.accuracy, row.loss)]
        table.add_row(f"{row.learning_rate:g}", *numbers)
    print_rich(table)
    print_table({"best --learning-rate": f"{best.learning_rate:g}", **files})


def _range(options):
    """Return the ends of the range test; raise UserError unless they are in order."""
    from training.run.learning_rates import learning_rate_scale

    scale = learning_rate_scale(options.config)
    lowest, highest = (rate / scale for rate in RANGES[options.config.optimization.optimizer])
    lowest, highest = options.lowest or lowest, options.highest or highest
    refuse_unless(
        lowest < highest,
        "highest",
        f"must be above --lowest, {lowest:g}",
        f"{highest:g}",
        f"Pass {1e4 * lowest:g}, for example.",
    )
    return lowest, highest


def _load(options):
    from training.run.unsaved_runs import UnsavedRuns

    with contextlib.redirect_stdout(sys.stderr):  # stdout has the results only
        return UnsavedRuns.load(
            options.config,
            trust_model=options.trust_model,
            show_progress=not options.as_json,
            needs_validation=bool(options.grid),
        )


@contextlib.contextmanager
def _training(runs):
    """Return a context for the trainings, in which what they print goes to stderr."""
    print(runs.hardware.describe(), file=sys.stderr, flush=True)
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _entries(runs):
    """Return what the results say about the trainings."""
    import keras

    config = runs.config
    return {
        "source": config.data.source,
        "optimizer": config.optimization.optimizer,
        "batch_size": config.data.batch_size,
        "accumulation_steps": config.optimization.accumulation_steps,
        "reference_batch_size": config.optimization.reference_batch_size,
        "backend": keras.backend.backend(),
    }


def _title(runs):
    entries = _entries(runs)
    return "{source}, {optimizer}, batches of {batch_size} on {backend}".format(**entries)


def _write(options, results, name, draw):
    """Print the results as JSON if asked for; write them and the figure; return their paths."""
    if options.as_json:
        print(json.dumps(results, indent=2))
    if not options.output_dir:
        return {}
    folder = Path(options.output_dir)
    paths = {"results": folder / f"{name}.json", "figure": folder / f"{name}.png"}
    try:
        write_json(paths["results"], results)
        draw(paths["figure"])
    except OSError as error:
        raise not_writable(folder, error) from error
    return paths
