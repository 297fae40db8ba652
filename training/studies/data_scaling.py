"""Study of the number of training images (figure 2, right, of the paper)."""

import dataclasses

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.config.study_models import MIXER
from training.studies.trials import accuracies
from training.studies.verdicts import Claim, judge_all, judge_larger, spread

FRACTIONS = (0.1, 0.3, 1.0)


def fraction_options(source, train_split, fraction, images):
    """Return the options that train on a fraction of a dataset.

    Of a dataset of TensorFlow Datasets, these are the first images.

    Args:
        source: The source with presets expanded, such as "tfds:imagenet2012".
        train_split: The training split; "" for all.
        fraction: One of `FRACTIONS`.
        images: Number of images of the training split.
    """
    if fraction == 1:
        return {}
    if source.startswith("tfds:"):
        name = train_split.partition("[")[0] or "train"
        return {"train_split": f"{name}[:{round(fraction * images)}]"}
    return {"train_fraction": fraction}


def gains(trials, model):
    """Return the accuracy with all images minus that with the fewest, for each seed."""
    least, most = (accuracies(trials[f], model) for f in (min(FRACTIONS), max(FRACTIONS)))
    return [b - a for a, b in zip(least, most, strict=True)]


def results(trials):
    """Return the entries of `results.json`; `trials` is `{fraction: [FinishedTrial, …]}`."""
    models = list(dict.fromkeys(t.trial.model for t in trials[1.0]))
    of_gain = {model: gains(trials, model) for model in models}
    others = [model for model in models if model != MIXER]
    claims = []
    if MIXER in models:
        claim = Claim(
            "Mixer gains more from more data than the other models.",
            judge_all([judge_larger(of_gain[MIXER], of_gain[model]) for model in others]),
            "Reproduced if the smallest gain of Mixer over the seeds is above the largest of every "
            "other model; not reproduced if its largest gain is below the smallest of one of them; "
            "not decidable here otherwise.",
            of_gain,
        )
        claims.append(dataclasses.asdict(claim))
    return {
        "claims": claims,
        "accuracy": {
            model: {f"{f:.0%}": spread(accuracies(trials[f], model)) for f in FRACTIONS}
            for model in models
        },
        "gain": {model: spread(values) for model, values in of_gain.items()},
        "runs": [{"fraction": f, **t.entries} for f in FRACTIONS for t in trials[f]],
    }


def draw(trials, path):
    """Plot the test accuracy against the fraction of the images: mean, and range over the seeds."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for model in dict.fromkeys(t.trial.model for t in trials[1.0]):
        values = [accuracies(trials[f], model) for f in FRACTIONS]
        means = [sum(v) / len(v) for v in values]
        below = [mean - min(v) for mean, v in zip(means, values, strict=True)]
        above = [max(v) - mean for mean, v in zip(means, values, strict=True)]
        axes.errorbar(FRACTIONS, means, (below, above), marker="o", capsize=3, label=model)
    axes.set_xscale("log")
    axes.set_xticks(FRACTIONS, [f"{f:.0%}" for f in FRACTIONS])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("training images, with the same number of steps")
    axes.set_ylabel("test accuracy, mean and range")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
