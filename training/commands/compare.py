"""`python -m training compare`: compare runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from training.cli.comparison_tables import print_comparison
from training.cli.run_paths import Runs, find_runs
from training.cli.terminal import JsonFlag, print_table
from training.comparing.compared_run import RESULTS, read_run
from training.comparing.comparison import compare
from training.evaluation.output_file import replacing_file
from training.run.csv_file import write_csv
from training.run.json_file import write_json
from training.validation import not_writable, require_output_dir

if TYPE_CHECKING:
    Metric = str
else:
    Metric = Literal[RESULTS]
ENTRIES, ROWS, FIGURE = "comparison.json", "comparison.csv", "comparison.png"
OutputDir = Annotated[Path, tyro.conf.arg(metavar="DIR")]


def run(
    runs: Runs,
    metric: Metric = "test_accuracy",
    output_dir: OutputDir = Path("comparison"),
    as_json: JsonFlag = False,
):
    """Compare runs: what differs in their options and results, and their curves in one figure.

    The command `compare runs` compares all runs in a folder, and `compare runs/a runs/b` two of
    them. Finished runs that differ in the seed only are a group, with the mean and the standard
    deviation of their results. Nothing is trained or evaluated.

    Args:
        runs: Folders of runs, finished or not; or folders with runs in them, such as that of a
            study.
        metric: Result that orders the groups, the best first.
        output_dir: Folder for comparison.json, comparison.csv with a row for each run, and
            comparison.png. Those of an earlier comparison are replaced.
        as_json: Print the contents of comparison.json instead of tables.
    """
    comparison = compare([read_run(folder) for folder in find_runs(runs)], metric)
    require_output_dir(output_dir)
    paths = _write(comparison, output_dir)
    if as_json:
        print(json.dumps(comparison.entries(), indent=2))
        return
    print_comparison(comparison)
    print_table(paths)


def _write(comparison, folder):
    """Write the files; return `{what: path}` for people."""
    from training.comparing.curves_figure import draw_comparison

    figure = folder / FIGURE
    has_curves = any(run.history for group in comparison.groups for run in group.runs)
    try:
        write_json(folder / ENTRIES, comparison.entries())
        write_csv(folder / ROWS, comparison.rows())
        if has_curves:
            with replacing_file(figure, "wb") as file:
                draw_comparison(comparison, file)
        else:
            figure.unlink(missing_ok=True)
    except OSError as error:
        raise not_writable(folder, error) from error
    return {
        "results": folder / ENTRIES,
        "runs": folder / ROWS,
        "figure": figure if has_curves else "none, since no run has finished an epoch",
    }
