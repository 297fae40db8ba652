"""Linear few-shot accuracy (section 3.1, figures 2 and 4 of the paper)."""

import dataclasses
import statistics

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.evaluation.linear_probe import PENALTY, RidgePath
from training.evaluation.shots import choose_penalty, draw_shots


@dataclasses.dataclass(frozen=True)
class Probe:
    """Accuracy of one linear probe.

    Args:
        shots: Training images of each class; None for all that there are.
        seed: Seed of the draw; None for all images.
        penalty: λ of the ridge regression.
        accuracy: On the test split.
    """

    shots: int | None
    seed: int | None
    penalty: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class Summary:
    """Accuracy for one number of shots: mean and standard deviation over the seeds."""

    shots: int | None
    mean: float
    stddev: float | None  # None for a single probe


def measure_fewshot(train, test, classes, shots, seeds, chooses_penalty=False):
    """Yield a `Probe` for each number of shots and each seed.

    Args:
        train: `Features` to draw from, all with a label.
        test: `Features` to test on, all with a label.
        classes: Number of classes.
        shots: Numbers of training images of each class.
        seeds: Seeds of the draws.
        chooses_penalty: Whether λ is chosen by cross-validation on the shots, instead of 2¹⁰.

    Raises:
        UserError: If a class has too few training images.
    """
    for number in shots:
        for seed in seeds:
            drawn = draw_shots(train.labels, classes, number, seed)
            values, labels = train.values[drawn], train.labels[drawn]
            penalty = choose_penalty(values, labels, classes) if chooses_penalty else PENALTY
            probe = RidgePath(values, labels, classes).probe(penalty)
            yield Probe(number, seed, penalty, probe.accuracy(test.values, test.labels))


def measure_full(train, test, classes):
    """Return the `Probe` that is fitted to all training images, with the default penalty."""
    probe = RidgePath(train.values, train.labels, classes).probe()
    return Probe(None, None, PENALTY, probe.accuracy(test.values, test.labels))


def summarize(probes):
    """Return a `Summary` for each number of shots."""
    numbers = dict.fromkeys(probe.shots for probe in probes)
    by_shots = {n: [p.accuracy for p in probes if p.shots == n] for n in numbers}
    return [
        Summary(n, statistics.mean(a), statistics.stdev(a) if len(a) > 1 else None)
        for n, a in by_shots.items()
    ]


def draw_fewshot(probes, title, path):
    """Plot the accuracy against the number of shots: each probe, and the mean over the seeds."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    few = [probe for probe in probes if probe.shots is not None]
    means = summarize(few)
    axes.plot([s.shots for s in means], [s.mean for s in means], "C0-", label="mean over seeds")
    axes.plot([p.shots for p in few], [p.accuracy for p in few], "C0.", alpha=0.6, label="a seed")
    for probe in probes:
        if probe.shots is None:
            axes.axhline(probe.accuracy, color="C1", linestyle="--", label="all training images")
    axes.set_xscale("log")
    axes.set_xticks([s.shots for s in means], [str(s.shots) for s in means], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xlabel("training images of each class (shots)")
    axes.set_ylabel("test accuracy of a linear probe")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.suptitle(title, parse_math=False)
    figure.savefig(path, dpi=120)
