"""Sizes of the studies that train."""

import dataclasses
import itertools
import types

import numpy as np
import pytest

from training.data.pipeline import steps_per_epoch
from training.data.sources import load_source
from training.optimization.duration import duration
from training.studies import presets as module
from training.studies.data_scaling import FRACTIONS
from training.studies.permutations import PERMUTATIONS
from training.studies.presets import PRESETS, VARIATIONS, base_trials, permuted, scaled

pytestmark = pytest.mark.backend("torch")  # no backend is used

GENERATED = ("small", "smoke")  # with images that are generated
IMAGENET_IMAGES = 1_268_355  # of train[:99%]


@pytest.fixture(autouse=True)
def imagenet(monkeypatch):
    """ImageNet without its files: only the number of its images."""

    def load(data):
        if data.source == "imagenet":
            return types.SimpleNamespace(train=range(IMAGENET_IMAGES))
        return load_source(data)

    monkeypatch.setattr(module, "load_source", load)


def trials_of(name):
    """Return the trials of each study with a preset: `{study: trials}`."""
    trials = base_trials(PRESETS[name])
    variations = dataclasses.replace(PRESETS[name], models=VARIATIONS)
    return {
        "comparison": trials,
        "permutations": permuted(trials),
        "data-scaling": [*itertools.chain.from_iterable(scaled(trials).values())],
        "variations": base_trials(variations),
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_trials_are_valid_and_have_names_of_their_own(preset):
    models, seeds = PRESETS[preset].models, PRESETS[preset].seeds
    numbers = {"comparison": 1, "permutations": 3, "data-scaling": 3}
    for study, trials in trials_of(preset).items():
        names = [trial.name for trial in trials]
        assert len(set(names)) == len(names)
        assert not any(set("/ ") & set(name) for name in names)  # names of folders
        assert len(trials) == seeds * (
            len(VARIATIONS) if study == "variations" else numbers[study] * len(models)
        )
        for trial in trials:
            trial.config.check()
            assert trial.config.model.architecture == trial.model
            assert trial.config.seed == trial.seed < seeds


@pytest.mark.parametrize("preset", PRESETS)
def test_trials_differ_in_what_the_study_compares_alone(preset):
    first, *others = (trial.config for trial in base_trials(PRESETS[preset]))
    for other in others:
        assert other.vary(seed=first.seed, architecture=first.model.architecture) == first
    changed = permuted(base_trials(PRESETS[preset]))[: len(PERMUTATIONS)]
    assert tuple(trial.config.model.input_permutation for trial in changed) == PERMUTATIONS
    assert {trial.config.vary(input_permutation="none") for trial in changed} == {first}


@pytest.mark.parametrize("preset", GENERATED)
def test_fractions_have_the_same_number_of_steps(preset):
    trials = {f: own[0] for f, own in scaled(base_trials(PRESETS[preset])).items()}
    assert tuple(trials) == FRACTIONS
    images, updates = {}, set()
    for fraction, trial in trials.items():
        config = trial.config
        source = load_source(config.data)
        images[fraction] = images_of(source)
        assert not len(source.validation)
        length = duration(config.optimization, steps_per_epoch(source.train, config.data))
        updates.add(length.updates)
    assert updates == {duration_of_all_images(PRESETS[preset])}
    numbers = {fraction: len(found) for fraction, found in images.items()}
    for fraction in FRACTIONS:
        assert numbers[fraction] == pytest.approx(fraction * numbers[1.0], abs=5)  # in each class
    assert images[0.1] < images[0.3] < images[1.0]


def images_of(source):
    """Return the training images of a source, as a set."""
    return {np.asarray(image).tobytes() for _, image, _ in source.train.in_order()}


def duration_of_all_images(preset):
    config = base_trials(preset)[0].config.vary(validation_fraction=0.0)
    number = len(load_source(config.data).train) // config.data.batch_size
    return number * config.optimization.total_epochs


def test_imagenet_is_sliced():
    by_fraction = scaled(base_trials(PRESETS["full"]))
    splits = {f: {t.config.data.train_split for t in own} for f, own in by_fraction.items()}
    assert splits == {0.1: {"train[:126836]"}, 0.3: {"train[:380506]"}, 1.0: {""}}
    configs = [trial.config for own in by_fraction.values() for trial in own]
    assert {config.data.train_fraction for config in configs} == {1.0}
    data, optimization = configs[0].data, configs[0].optimization
    expected = optimization.total_epochs * (IMAGENET_IMAGES // data.batch_size)
    assert {config.optimization.total_steps for config in configs} == {expected}
