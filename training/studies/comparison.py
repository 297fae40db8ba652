"""Study of models of like size with the same data, recipe and budget (tables 2 and 3, figure 2)."""

import dataclasses
import functools
import statistics

import keras
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.benchmarks.timing import cores, interleave, seconds
from training.config.study_models import RESNETS, VITS
from training.evaluation.predict_batch import predict_batch
from training.model_argument import load_model, parse
from training.studies.cost import cost
from training.studies.paper_tables import TABLE_2, TABLE_3
from training.studies.verdicts import spread

BATCH_SIZE = 64  # of inference
REPEATS = 5
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
        core_hours: Of the training, on the cores or accelerators that it used; mean over the seeds.
        images_per_second: Inference, per core or accelerator; median.
        on_front_of_throughput: Whether no other model is as accurate and faster.
        on_front_of_cost: Whether no other model is as accurate and takes fewer core-hours.
    """

    model: str
    accuracy: dict
    parameters: int
    training_gigaflops: float | None
    core_hours: float
    images_per_second: float
    on_front_of_throughput: bool = False
    on_front_of_cost: bool = False


def measure_rows(trials):
    """Return a `Row` for each model of a list of `FinishedTrial`s; this measures inference."""
    models = list(dict.fromkeys(t.trial.model for t in trials))
    throughput = _throughput({t.trial.model: t.run for t in trials})
    rows = []
    for model in models:
        own = [t for t in trials if t.trial.model == model]
        rows.append(
            Row(
                model,
                spread([t.summary["test_accuracy"] for t in own]),
                own[0].summary["parameters"],
                _training_gigaflops(own[0].trial.config, own[0].summary),
                statistics.mean(map(core_hours, own)),
                throughput[model],
            )
        )
    accuracy = [row.accuracy["mean"] for row in rows]
    fast = pareto_front([row.images_per_second for row in rows], accuracy)
    cheap = pareto_front([-row.core_hours for row in rows], accuracy)
    return [
        dataclasses.replace(row, on_front_of_throughput=a, on_front_of_cost=b)
        for row, a, b in zip(rows, fast, cheap, strict=True)
    ]


def core_hours(finished):
    """Return the hours of all training steps of a run, times the cores or accelerators it used."""
    config, summary = finished.trial.config, finished.summary
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
    model = config.model
    size = {**VITS, **RESNETS, "mixer": model.size}.get(model.architecture)
    if size is None:
        return None
    found = cost(size, config.data.image_size, classes=len(summary["class_names"]))
    return found.training_flops / 1e9


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
    on_cpu = not keras.distribution.list_devices("gpu")
    number = cores() if on_cpu else 1
    return {name: BATCH_SIZE / statistics.median(t) / number for name, t in times.items()}


def draw(rows, path):
    """Plot accuracy against throughput and cost: of these runs above, of the paper below."""
    figure = Figure(figsize=(9, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 2, sharey="row")
    for axes, field, label in zip(
        above,
        ("images_per_second", "core_hours"),
        ("inference, images/s per core", "training, core-hours"),
        strict=True,
    ):
        for i, row in enumerate(rows):
            mean = row.accuracy["mean"]
            errors = ([mean - row.accuracy["smallest"]], [row.accuracy["largest"] - mean])
            axes.errorbar(
                getattr(row, field),
                mean,
                errors,
                fmt="o",
                color=f"C{i}",
                capsize=3,
                label=row.model,
            )
        on_front = "on_front_of_cost" if field == "core_hours" else "on_front_of_throughput"
        _draw_front(axes, rows, field, on_front)
        axes.set_xlabel(label)
    above[0].set_ylabel("test accuracy, mean and range")
    above[1].legend()
    above[0].set_title("these runs", loc="left")
    own = [row for row in TABLE_3 if row.family in FAMILIES and row.resolution == 224]
    for axes, field, label in zip(
        below,
        ("throughput", "core_days"),
        ("inference, images/s per TPU-v3 core", "pre-training, TPU-v3 core-days"),
        strict=True,
    ):
        for family, color in FAMILIES.items():
            for pretraining, marker in (
                ("ImageNet", "o"),
                ("ImageNet-21k", "s"),
                ("JFT-300M", "^"),
            ):
                points = [r for r in own if (r.family, r.pretraining) == (family, pretraining)]
                axes.plot(
                    [getattr(r, field) for r in points],
                    [r.imagenet for r in points],
                    f"{color}{marker}",
                    label=f"{family}, {pretraining}" if points else None,
                )
        axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    below[0].set_ylabel("ImageNet accuracy, %")
    below[0].set_title("the paper's numbers (table 3, 224 pixels), not measured here", loc="left")
    below[1].legend(fontsize="small")
    figure.savefig(path, dpi=120)


def _draw_front(axes, rows, field, on_front):
    front = sorted((getattr(r, field), r.accuracy["mean"]) for r in rows if getattr(r, on_front))
    axes.plot(*zip(*front, strict=True), "k--", linewidth=1, zorder=0, label="Pareto front")
    axes.set_xscale("log")
    axes.grid(alpha=0.3)
