"""Study of input permutations (section 3.4 and figure 4 of the paper)."""

import dataclasses
import statistics

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.config.study_models import MIXER
from training.studies.trials import accuracies
from training.studies.verdicts import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Claim,
    judge_all,
    judge_larger,
    spread,
)

PERMUTATIONS = ("none", "patches", "pixels")  # values of --input-permutation
LABELS = {
    "none": "original",
    "patches": "patches + pixels within patches",
    "pixels": "all pixels",
}


def permutation_of(finished):
    """Return the permutation of a `training.studies.trials.FinishedTrial`."""
    return finished.trial.options["input_permutation"]


def permuted(trials, permutation):
    """Return the trials with a permutation."""
    return [t for t in trials if permutation_of(t) == permutation]


def relative_drops(trials, model, permutation):
    """Return 1 - accuracy / accuracy without permutation for each seed; 0 if that is 0."""
    after, before = (accuracies(permuted(trials, p), model) for p in (permutation, "none"))
    return [1 - a / b if b else 0.0 for a, b in zip(after, before, strict=True)]


def results(trials):
    """Return the entries of `results.json`.

    Args:
        trials: `FinishedTrial`s of each model and permutation, with the same seeds.
    """
    models = list(dict.fromkeys(t.trial.model for t in trials))
    return {
        "claims": [dataclasses.asdict(claim) for claim in _claims(trials, models)],
        "accuracy": {
            model: {p: spread(accuracies(permuted(trials, p), model)) for p in PERMUTATIONS}
            for model in models
        },
        "relative_drop": {
            model: {p: spread(relative_drops(trials, model, p)) for p in PERMUTATIONS[1:]}
            for model in models
        },
        "runs": [{"permutation": permutation_of(t), **t.entries} for t in trials],
    }


def _claims(trials, models):
    if MIXER not in models:
        return []
    drops = {model: relative_drops(trials, model, "pixels") for model in models}
    resnets = [model for model in models if model.startswith("resnet")]
    return [
        Claim(
            "Permuting all pixels hurts Mixer less than ResNet.",
            judge_all([judge_larger(drops[model], drops[MIXER]) for model in resnets]),
            "Reproduced if the smallest relative drop in accuracy of ResNet over the seeds is "
            "above the largest of Mixer; not reproduced if its largest is below the smallest of "
            "Mixer; not decidable here otherwise.",
            drops,
        ),
        Claim(
            "Permuting patches, and the pixels within them, does not hurt Mixer at all.",
            _judge_invariance(trials),
            "Reproduced if the mean accuracy over the seeds is at least the smallest one on the "
            "original images; not reproduced if even the largest is below that; not decidable here "
            "otherwise.",
            {p: accuracies(permuted(trials, p), MIXER) for p in PERMUTATIONS},
        ),
    ]


def _judge_invariance(trials):
    original, patches = (accuracies(permuted(trials, p), MIXER) for p in ("none", "patches"))
    if len(original) < 2:
        return UNDECIDED
    if statistics.mean(patches) >= min(original):
        return REPRODUCED
    return NOT_REPRODUCED if max(patches) < min(original) else UNDECIDED


def draw(trials, path):
    """Plot the validation accuracy over the training, one panel for each model (figure 4).

    It is the training accuracy if there is no validation split.
    """
    has_validation = all("val_accuracy" in row for t in trials for row in t.history)
    metric, label = ("val_accuracy", "validation") if has_validation else ("accuracy", "training")
    models = list(dict.fromkeys(t.trial.model for t in trials))
    figure = Figure(figsize=(1 + 3.2 * len(models), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for axes, model in zip(panels, models, strict=True):
        for permutation in PERMUTATIONS:
            own = [t for t in permuted(trials, permutation) if t.trial.model == model]
            curves = [[row[metric] for row in t.history] for t in own]
            steps = [row["step"] for row in own[0].history]
            columns = list(zip(*curves, strict=True))
            means = [sum(column) / len(column) for column in columns]
            (line,) = axes.plot(steps, means, label=LABELS[permutation])
            axes.fill_between(
                steps, [*map(min, columns)], [*map(max, columns)], alpha=0.2, color=line.get_color()
            )
        axes.set_title(model)
        axes.set_xlabel("training step")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(f"{label} accuracy")
    handles, labels = panels[0].get_legend_handles_labels()
    ncols = 1 if len(models) == 1 else 3
    figure.legend(
        handles, labels, loc="outside lower center", ncols=ncols, title="input permutation"
    )
    figure.savefig(path, dpi=120)
