"""Study of models of like size with the same data, recipe and budget (tables 2 and 3, figure 2)."""

import dataclasses
import functools
import math
import statistics

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.benchmarks.timing import interleave, seconds
from training.config.study_models import RESNETS, VITS
from training.devices.cpu import cores
from training.devices.detection import detect_devices
from training.evaluation.predict_batch import predict_batch
from training.model_argument import load_model, parse
from training.planning.image_kinds import channels_of
from training.studies.cost import cost
from training.studies.paper_tables import TABLE_2, TABLE_3
from training.studies.verdicts import spread

BATCH_SIZE = 64  # of inference
REPEATS = 5
WIDE_RANGE = 10  # ratio of the largest to the smallest number from which on an axis is logarithmic
MARKERS = {"ImageNet": "o", "ImageNet-21k": "s", "JFT-300M": "^"}
FAMILIES = {"Mixer": "C0", "ViT": "C1", "BiT": "C2"}  # with the colors of their points


@dataclasses.dataclass(frozen=True)
class Row:
    """One model.

    Args:
        model: Name of the model.
        accuracy: Test accuracy: `spread` over the seeds.
        parameters: Number of parameters.
        training_gigaflops: Of a training step, for one image; None if there is no formula.
        core_hours: Of the training, on the cores or accelerators that it used; mean over the
            seeds; None if no run had a second batch.
        images_per_second: Inference, per core or accelerator; median.
        on_front_of_throughput: Whether no other model is as accurate and faster.
        on_front_of_cost: Whether no other model is as accurate and takes fewer core-hours.
    """

    model: str
    accuracy: dict
    parameters: int
    training_gigaflops: float | None
    core_hours: float | None
    images_per_second: float
    on_front_of_throughput: bool = False
    on_front_of_cost: bool = False


def measure_rows(trials):
    """Return a `Row` for each model of a list of `FinishedTrial`s; this measures inference."""
    of_model: dict = {}
    for trial in trials:
        of_model.setdefault(trial.trial.model, []).append(trial)
    throughput = _throughput({name: own[0].run for name, own in of_model.items()})
    rows = [
        Row(
            name,
            spread([trial.summary["test_accuracy"] for trial in own]),
            own[0].summary["parameters"],
            _training_gigaflops(own[0].trial.config, own[0].summary),
            _mean([core_hours(trial) for trial in own]),
            throughput[name],
        )
        for name, own in of_model.items()
    ]
    accuracy = [row.accuracy["mean"] for row in rows]
    fast = pareto_front([row.images_per_second for row in rows], accuracy)
    costs = [math.inf if row.core_hours is None else row.core_hours for row in rows]
    cheap = pareto_front([-hours for hours in costs], accuracy)
    return [
        dataclasses.replace(row, on_front_of_throughput=a, on_front_of_cost=b and c < math.inf)
        for row, a, b, c in zip(rows, fast, cheap, costs, strict=True)
    ]


def _mean(numbers):
    known = [number for number in numbers if number is not None]
    return statistics.mean(known) if known else None


def core_hours(finished):
    """Return the hours of all training steps of a run, times the cores or accelerators it used.

    None for a run of a single batch, which is not timed.
    """
    config, summary = finished.trial.config, finished.summary
    if summary["train_images_per_second"] is None:
        return None
    updates = finished.history[-1]["step"]
    images = updates * config.optimization.accumulation_steps * config.data.batch_size
    hours = images / summary["train_images_per_second"] / 3600
    return hours * _processors(summary["devices"])


def pareto_front(first, second):
    """Return for each point whether no other is at least as large in both, and larger in one."""
    points = list(zip(first, second, strict=True))
    return [not any(a >= x and b >= y and (a, b) != (x, y) for a, b in points) for x, y in points]


def results(trials, rows):
    """Return the entries of `results.json`."""
    return {
        "rows": [dataclasses.asdict(row) for row in rows],
        "runs": [{"core_hours": core_hours(t), **t.entries} for t in trials],
        "paper": {  # numbers of the paper, not of these runs
            "tables_2_and_3": [dataclasses.asdict(row) for row in (*TABLE_2, *TABLE_3)]
        },
    }


def _processors(devices):
    """Return the number of accelerators, or of cores if the devices are a CPU."""
    return cores() if any("cpu" in device.lower() for device in devices) else len(devices)


def _training_gigaflops(config, summary):
    """Return the FLOPs of a training step for one image; None for a model without a formula."""
    size = {**VITS, **RESNETS, "mixer": config.model.size}.get(config.model.architecture)
    if size is None:
        return None
    channels, classes = channels_of(config.data.source), len(summary["class_names"])
    return cost(size, config.data.image_size, channels, classes).training_flops / 1e9


def _throughput(runs):
    """Return images per second and core or accelerator of the models in run folders, in turn."""
    calls = {}
    for name, run in runs.items():
        model = load_model(parse(str(run))).model
        shape = (BATCH_SIZE, *model.input_shape[1:])
        images = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
        predict = functools.partial(predict_batch, model, images)
        predict()  # compiles
        calls[name] = functools.partial(seconds, predict)
    times = interleave(calls, REPEATS)
    number = cores() if detect_devices().kind == "cpu" else 1
    return {name: BATCH_SIZE / statistics.median(t) / number for name, t in times.items()}


def draw(rows, path):
    """Plot accuracy against throughput and cost: of these runs above, of the paper below."""
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 2, sharey="row")
    _draw_rows(above[0], rows, "images_per_second", "on_front_of_throughput", "steps-pre")
    _draw_rows(above[1], rows, "core_hours", "on_front_of_cost", "steps-post")
    above[0].set_xlabel("inference, images/s per core or accelerator")
    above[1].set_xlabel("training, core-hours or accelerator-hours")
    above[0].set_ylabel("test accuracy, mean and range")
    above[0].set_title("these runs", loc="left")
    above[1].legend()
    _draw_paper(below[0], "throughput")
    _draw_paper(below[1], "core_days")
    below[0].set_xlabel("inference, images/s per TPU-v3 core")
    below[1].set_xlabel("pre-training, TPU-v3 core-days")
    below[0].set_ylabel("ImageNet accuracy, %")
    below[0].set_title("the paper's numbers (table 3, 224 pixels), not measured here", loc="left")
    below[1].legend(fontsize="small")
    figure.savefig(path, dpi=120)


def _draw_rows(axes, rows, field, on_front, drawstyle):
    """Plot the models, and the Pareto front as a staircase."""
    known = [row for row in rows if getattr(row, field) is not None]
    for i, row in enumerate(known):
        mean = row.accuracy["mean"]
        errors = ([mean - row.accuracy["smallest"]], [row.accuracy["largest"] - mean])
        point = axes.errorbar(getattr(row, field), mean, errors, fmt="o", color=f"C{i}", capsize=3)
        point.set_label(row.model)
    front = sorted((getattr(r, field), r.accuracy["mean"]) for r in known if getattr(r, on_front))
    if front:
        style = {"drawstyle": drawstyle, "linewidth": 1, "zorder": 0, "label": "Pareto front"}
        axes.plot(*zip(*front, strict=True), "k--", **style)
    values = [getattr(row, field) for row in known]
    if values and max(values) > WIDE_RANGE * min(values):
        axes.set_xscale("log")
    else:
        axes.locator_params(axis="x", nbins=5)
    axes.grid(alpha=0.3)


def _draw_paper(axes, field):
    """Plot the rows of table 3 of three families."""
    for family, color in FAMILIES.items():
        for pretraining, marker in MARKERS.items():
            points = [
                row
                for row in TABLE_3
                if (row.family, row.pretraining, row.resolution) == (family, pretraining, 224)
            ]
            axes.plot(
                [getattr(row, field) for row in points],
                [row.imagenet for row in points],
                f"{color}{marker}",
                label=f"{family}, {pretraining}" if points else None,
            )
    axes.set_xscale("log")
    axes.grid(alpha=0.3)
