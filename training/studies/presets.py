"""Sizes of the studies that train: seconds for tests, minutes on two cores, or as in the paper."""

import dataclasses
import itertools

from training.config.study_models import MIXER, MIXERS, STUDY_MODELS
from training.data.pipeline import steps_per_epoch
from training.data.presets import expand_preset
from training.data.sources import load_source
from training.optimization.duration import duration
from training.studies.data_scaling import FRACTIONS, fraction_options
from training.studies.permutations import PERMUTATIONS
from training.studies.trials import Trial
from training.validation import refuse_unless

SHAPES = "shapes:train=6000,test=1000,classes=shape,difficulty=0.3"
SMOKE = {
    "source": "shapes:train=400,test=64,classes=shape,difficulty=0.0",
    "batch_size": 32,
    "hidden_dim": 8,
    "num_blocks": 1,
    "tokens_mlp_dim": 8,
    "channels_mlp_dim": 8,
    "warmup_steps": 0,
    "total_epochs": 1,
}
VARIATIONS = (MIXER, *MIXERS)


@dataclasses.dataclass(frozen=True)
class Preset:
    """Size of a study.

    Args:
        recipe: Name of the recipe of all runs.
        options: Fields that differ from the recipe.
        models: Names of models: "mixer", or a study model.
        seeds: Number of seeds.
    """

    recipe: str
    options: dict
    models: tuple[str, ...]
    seeds: int


PRESETS = {
    "small": Preset(
        "shapes",
        {"source": SHAPES, "total_epochs": 5, "warmup_steps": 20},
        ("mixer", "vit-tiny/4", "resnet-tiny"),
        3,
    ),
    "smoke": Preset("shapes", SMOKE, ("mixer",), 1),
    "full": Preset("imagenet-b16", {}, ("mixer", "vit-B/16", "resnet-50"), 3),
}


def base_trials(preset):
    """Return a `Trial` for each model and seed of a `Preset`.

    All models have the regularization that each of them can have: no stochastic depth and no
    dropout beside a ViT or a ResNet.
    """
    are_mixers = set(preset.models) <= {"mixer", *MIXERS}
    trials = []
    for model, seed in itertools.product(preset.models, range(preset.seeds)):
        name = f"{model.replace('/', '-')}-seed-{seed}"
        options = {"architecture": model} if model in STUDY_MODELS else {}
        options |= {} if are_mixers else {"drop_path_rate": 0.0, "dropout_rate": 0.0}
        trials.append(Trial(name, model, seed, preset.recipe, preset.options | options))
    return trials


def permuted(trials):
    """Return each trial with each permutation of its input."""
    return [
        dataclasses.replace(t, name=f"{t.name}-{p}", options=t.options | {"input_permutation": p})
        for t, p in itertools.product(trials, PERMUTATIONS)
    ]


def scaled(trials):
    """Return `{fraction: trials}`: each trial with a part of the images, and as many steps.

    The number of steps is that of the trial's epochs of all images. Nothing is held out for
    validation, unless the dataset has such a split.

    Args:
        trials: `Trial`s that differ in model and seed.

    Raises:
        UserError: If the source is invalid.
    """
    config = trials[0].config.vary(validation_fraction=0.0)
    data, train = expand_preset(config.data), load_source(config.data).train
    steps = _steps(config, train)
    by_fraction = {}
    for fraction in FRACTIONS:
        changes = {"validation_fraction": 0.0, "total_steps": steps}
        changes |= fraction_options(data.source, data.train_split, fraction, len(train))
        by_fraction[fraction] = [
            dataclasses.replace(
                trial,
                name=f"{trial.name}-{round(100 * fraction)}-percent",
                options=trial.options | changes,
            )
            for trial in trials
        ]
    return by_fraction


def _steps(config, train):
    """Return the number of updates on a training split; refuse one too small for a fraction."""
    fewest, batch_size = int(min(FRACTIONS) * len(train)), config.data.batch_size
    refuse_unless(
        fewest >= batch_size,
        "batch_size",
        f"must be at most the number of images of the smallest fraction, {fewest}",
        batch_size,
        f"Pass {max(1, fewest)}, or a source with more training images.",
    )
    return duration(config.optimization, steps_per_epoch(train, config.data)).updates
