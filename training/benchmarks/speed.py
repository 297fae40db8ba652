"""Benchmark of the library's models against models written by hand, on the running backend."""

import dataclasses
import functools
import gc
import json
import statistics

import keras

from training.benchmarks import speed_contestants, speed_figure, speed_memory
from training.benchmarks.opponents.task import task_of
from training.benchmarks.timing import interleave, seconds
from training.devices.cpu import cores
from training.errors import out_of_memory_as_user_error
from training.validation import not_writable

INFERENCE, TRAINING, MEMORY = "inference", "training", "memory"
MOST_CALLS = 64  # of a batch in one measurement
MOST_IMAGES = 1024


@dataclasses.dataclass(frozen=True)
class Speed:
    """Results for one contestant; ratios are of times, above 1 if this contestant is faster.

    Args:
        name: The contestant.
        first_call_seconds: Time of the first call on one batch, which compiles.
        batch_seconds: Median time of a batch.
        images_per_second: Speed.
        to_best: Ratio of the median time of the fastest opponent to that of this contestant.
        to_best_lowest: Lowest ratio of two times that were measured one after the other.
        to_best_highest: Highest one.
        of_limit: Ratio of the median time of the matrix products alone to that of this contestant.
        all_batch_seconds: Time of a batch in each repeat.
    """

    name: str
    first_call_seconds: float
    batch_seconds: float
    images_per_second: float
    to_best: float
    to_best_lowest: float
    to_best_highest: float
    of_limit: float
    all_batch_seconds: list[float]


@dataclasses.dataclass(frozen=True)
class Cell:
    """Results for one variant and batch size, in inference or in training.

    Args:
        what: "inference" or "training".
        variant: A variant of the paper, such as "B/16".
        batch_size: Images per batch.
        calls: Number of batches timed per repeat.
        best: Name of the fastest opponent.
        limit: Name of the fastest computation of the matrix products alone.
        limit_seconds: Its median time for a batch.
        ours: Results of the library's model, the one with default settings first.
        opponents: Results of the opponents.
    """

    what: str
    variant: str
    batch_size: int
    calls: int
    best: str
    limit: str
    limit_seconds: float
    ours: list[Speed]
    opponents: list[Speed]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Results for all cells.

    Args:
        backend: Keras backend.
        versions: Versions of Keras and of the backend.
        cores: Number of CPU cores that this process may use.
        device: What the backend computes on.
        precision: Precision of the computation.
        repeats: Number of times that each contestant was timed.
        speeds: Results for inference and training.
        memory: Peak memory of a training step.
        missing_packages: Packages without which an opponent was left out.
    """

    backend: str
    versions: dict[str, str]
    cores: int
    device: str
    precision: str
    repeats: int
    speeds: list[Cell]
    memory: list[speed_memory.Memory]
    missing_packages: list[str]


def measure(variants, batch_sizes, what, precision, repeats, duration, report=lambda result: None):
    """Measure every combination and return a `Comparison`.

    Args:
        variants: Variants of the paper, such as "B/16".
        batch_sizes: Images per batch.
        what: Some of "inference", "training" and "memory".
        precision: "float32" or "mixed_bfloat16".
        repeats: Number of times that each contestant is timed.
        duration: Approximate length of a measurement, in seconds.
        report: Function that is called with each `Cell` and `speed_memory.Memory` at once.

    Raises:
        UserError: If a model and a batch do not fit in memory.
    """
    speeds: list[Cell] = []
    memory: list[speed_memory.Memory] = []
    for variant in variants:
        for batch_size in batch_sizes:
            task = task_of(variant, precision)
            received = f"{variant} in --variants with {batch_size} in --batch-sizes"
            advice = "Leave out the largest of them."
            for one in what:
                with out_of_memory_as_user_error(received, advice):
                    if one == MEMORY:
                        result = speed_memory.measure(variant, batch_size, precision)
                    else:
                        result = compare(task, one, variant, batch_size, repeats, duration)
                (memory if one == MEMORY else speeds).append(result)
                report(result)
                gc.collect()
    return Comparison(
        backend=keras.backend.backend(),
        versions=_versions(),
        cores=cores(),
        device=_device(),
        precision=precision,
        repeats=repeats,
        speeds=speeds,
        memory=memory,
        missing_packages=speed_contestants.missing_packages(),
    )


def compare(task, what, variant, batch_size, repeats, duration):
    """Measure all contestants in turn on the same batches and return a `Cell`."""
    classes = {
        "limit": speed_contestants.limits(),
        "ours": speed_contestants.ours(),
        "opponents": speed_contestants.opponents(),
    }
    weights = task.random_weights()
    contestants = [cls(task, weights) for group in classes.values() for cls in group]
    first = {c.name: seconds(_timed(c, what, batch_size, 1)) for c in contestants}
    second = {c.name: seconds(_timed(c, what, batch_size, 1)) for c in contestants}
    calls = _calls(what, batch_size, duration / second[classes["ours"][0].name])
    runs = {
        c.name: functools.partial(seconds, _timed(c, what, batch_size, calls)) for c in contestants
    }
    times = {
        name: [value / calls for value in values]
        for name, values in interleave(runs, repeats).items()
    }
    medians = {name: statistics.median(values) for name, values in times.items()}
    best = min((cls.name for cls in classes["opponents"]), key=medians.__getitem__)
    limit = min((cls.name for cls in classes["limit"]), key=medians.__getitem__)

    def speed(name):
        pairs = [b / t for b, t in zip(times[best], times[name], strict=True)]
        return Speed(
            name=name,
            first_call_seconds=first[name],
            batch_seconds=medians[name],
            images_per_second=batch_size / medians[name],
            to_best=medians[best] / medians[name],
            to_best_lowest=min(pairs),
            to_best_highest=max(pairs),
            of_limit=medians[limit] / medians[name],
            all_batch_seconds=times[name],
        )

    return Cell(
        what=what,
        variant=variant,
        batch_size=batch_size,
        calls=calls,
        best=best,
        limit=limit,
        limit_seconds=medians[limit],
        ours=[speed(cls.name) for cls in classes["ours"]],
        opponents=[speed(cls.name) for cls in classes["opponents"]],
    )


def _calls(what, batch_size, wanted):
    """Return the number of batches in a measurement; `predict` gets several."""
    least = 2 if what == INFERENCE else 1
    most = min(MOST_CALLS, MOST_IMAGES // batch_size)
    return max(least, min(most, round(wanted)))


def _timed(contestant, what, batch_size, calls):
    """Return a function that has a contestant compute `calls` batches."""
    if what == INFERENCE:
        images = contestant.task.random_images(calls * batch_size)
        return contestant.inference(images, batch_size)
    images = contestant.task.random_images(batch_size)
    step = contestant.training(images, contestant.task.random_labels(batch_size))

    def steps():
        for _ in range(calls):
            step()

    return steps


def write_report(comparison, folder):
    """Write speed.json and, if there are speeds, speed.png into a folder."""
    try:
        (folder / "speed.json").write_text(
            json.dumps(dataclasses.asdict(comparison), indent=2) + "\n"
        )
        if comparison.speeds:
            speed_figure.draw_speeds(comparison, folder / "speed.png")
    except OSError as error:
        raise not_writable(folder, error) from error


def _versions():
    backend = keras.backend.backend()
    return {"keras": keras.__version__, backend: __import__(backend).__version__}


def _device():
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.devices()[0].device_kind
    if backend == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu"
