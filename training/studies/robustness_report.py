"""Report of the study of robustness: means over the corruptions, tables and a figure.

    mean corrupted error = mean of 1 - accuracy over all corruptions and severities

as in ImageNet-C (arXiv 1903.12261, section 4), without its division by the errors of AlexNet.
"""

import dataclasses
import math
import statistics

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.run.csv_file import write_csv
from training.run.json_file import write_json
from training.studies.robustness import CLEAN
from training.validation import not_writable

NAMES = ("results.json", "results.csv", "robustness.png")
COLUMNS = 5  # of panels
MARKERS = "os^Dv<>P"
COLORS = 10  # of matplotlib's cycle


@dataclasses.dataclass(frozen=True)
class Summary:
    """Clean metrics of a model, and their means over all corruptions and severities."""

    model: str
    clean_accuracy: float
    mean_corrupted_accuracy: float
    mean_corrupted_error: float
    relative_drop: float | None  # 1 - corrupted / clean accuracy; None if the latter is 0
    clean_calibration_error: float
    mean_corrupted_calibration_error: float


def summarize(results):
    """Return a `Summary` of each model; none if there are clean images only."""
    return [
        _summarize_model(model, [r for r in results if r.model == model])
        for model in dict.fromkeys(r.model for r in results if r.corruption != CLEAN)
    ]


def _summarize_model(model, results):
    (clean,) = (r for r in results if r.corruption == CLEAN)
    corrupted = [r for r in results if r.corruption != CLEAN]
    accuracy = statistics.fmean(r.accuracy for r in corrupted)
    return Summary(
        model=model,
        clean_accuracy=clean.accuracy,
        mean_corrupted_accuracy=accuracy,
        mean_corrupted_error=1 - accuracy,
        relative_drop=1 - accuracy / clean.accuracy if clean.accuracy else None,
        clean_calibration_error=clean.calibration_error,
        mean_corrupted_calibration_error=statistics.fmean(r.calibration_error for r in corrupted),
    )


def write_report(results, entries, folder):
    """Write `NAMES`, without the figure if all images are clean, and replace earlier ones.

    Args:
        results: `training.studies.robustness.Result`s.
        entries: Further entries of the JSON file.
        folder: Path of an existing folder.

    Returns:
        All entries of the JSON file, and the paths of the files.
    """
    summaries = summarize(results)
    entries = {
        **entries,
        "summary": list(map(dataclasses.asdict, summaries)),
        "results": list(map(dataclasses.asdict, results)),
    }
    paths = [folder / name for name in NAMES]
    try:
        write_json(paths[0], entries)
        write_csv(paths[1], entries["results"])
        paths[2].unlink(missing_ok=True)
        if summaries:
            plot_robustness(results, paths[2])
    except OSError as error:
        raise not_writable(folder, error) from error
    return entries, paths if summaries else paths[:2]


def plot_robustness(results, path):
    """Plot the accuracy against the severity: a panel for each corruption, a line for each model.

    The last two panels have the means of accuracy and calibration error over the corruptions.

    Args:
        results: `training.studies.robustness.Result`s of one or more corruptions.
        path: Path of the figure.
    """
    names = [name for name in dict.fromkeys(r.corruption for r in results) if name != CLEAN]
    panels = [(name.replace("_", " "), "accuracy", [name]) for name in names]
    panels += [("mean accuracy", "accuracy", names)]
    panels += [("mean calibration error", "calibration_error", names)]
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    models = list(dict.fromkeys(r.model for r in results))
    size = (0.6 + 2.2 * columns, 0.7 + 1.9 * rows + 0.25 * len(models))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    cells = figure.subplots(rows, columns).ravel()
    for axes in cells[len(panels) :]:
        axes.remove()
    largest = max(r.accuracy for r in results)
    for axes, (title, field, own) in zip(cells, panels, strict=False):
        for i, model in enumerate(models):
            chosen = [r for r in results if r.model == model and r.corruption in (*own, CLEAN)]
            severities = sorted({r.severity for r in chosen})
            means = [
                statistics.fmean(getattr(r, field) for r in chosen if r.severity == severity)
                for severity in severities
            ]
            style = {"marker": MARKERS[i % len(MARKERS)], "color": f"C{i % COLORS}"}
            axes.plot(severities, means, markersize=4, **style)
        is_mean = own is names
        axes.set_title(title, fontsize=10, fontweight="bold" if is_mean else "normal")
        axes.set_xticks(severities)
        axes.set_ylim(0, 1.05 * largest if field == "accuracy" else None)
        axes.grid(alpha=0.3)
    legend = figure.legend(cells[0].get_lines(), models, loc="outside upper center")
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.supxlabel("severity, 0 for clean images", fontsize=10)
    figure.supylabel("accuracy", fontsize=10)
    figure.savefig(path, dpi=120)
