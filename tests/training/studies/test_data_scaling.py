"""Claim, results and figure of the study of the number of training images."""

import json

import pytest
from matplotlib.image import imread

from tests.support.trials import finished_trial
from training.studies.data_scaling import FRACTIONS, draw, fraction_options, gains, results
from training.studies.verdicts import NOT_REPRODUCED, REPRODUCED, UNDECIDED

pytestmark = pytest.mark.backend("torch")  # no backend is used

MIXER = {0.1: (0.4, 0.42, 0.41), 0.3: (0.6, 0.62, 0.61), 1.0: (0.8, 0.81, 0.82)}  # gains of 0.4
OTHER = {0.1: (0.6, 0.61, 0.62), 0.3: (0.7, 0.71, 0.72), 1.0: (0.8, 0.8, 0.83)}  # of 0.2


def trials(folder, **accuracies):
    """Return `{fraction: trials}` of `model={fraction: accuracies by seed}`."""
    return {
        fraction: [
            finished_trial(folder, model.replace("_", "-"), seed, accuracy)
            for model, by_fraction in accuracies.items()
            for seed, accuracy in enumerate(by_fraction[fraction])
        ]
        for fraction in FRACTIONS
    }


@pytest.mark.parametrize(
    "models, verdict",
    [
        ({"mixer": MIXER, "vit_tiny": OTHER}, REPRODUCED),
        ({"mixer": OTHER, "vit_tiny": MIXER}, NOT_REPRODUCED),
        ({"mixer": MIXER, "vit_tiny": MIXER}, UNDECIDED),
        ({"mixer": MIXER, "vit_tiny": OTHER, "resnet_tiny": MIXER}, UNDECIDED),
        ({"mixer": MIXER, "vit_tiny": OTHER, "resnet_tiny": OTHER}, REPRODUCED),
        ({"mixer": MIXER}, UNDECIDED),
        (
            {
                "mixer": {f: v[:1] for f, v in MIXER.items()},
                "vit_tiny": {f: v[:1] for f, v in OTHER.items()},
            },
            UNDECIDED,
        ),
    ],
)
def test_gains_decide(models, verdict, tmp_path):
    (claim,) = results(trials(tmp_path, **models))["claims"]
    assert claim["verdict"] == verdict


def test_seeds_are_paired(tmp_path):
    found = trials(tmp_path, mixer=MIXER)
    found[0.1].reverse()
    assert gains(found, "mixer") == pytest.approx([0.4, 0.39, 0.41])


def test_results_are_complete(tmp_path):
    found = trials(tmp_path, mixer=MIXER, vit_tiny=OTHER)
    entries = results(found)
    assert json.loads(json.dumps(entries)) == entries
    assert list(entries) == ["claims", "accuracy", "gain", "runs"]
    assert list(entries["accuracy"]["mixer"]) == ["10%", "30%", "100%"]
    assert entries["accuracy"]["vit-tiny"]["30%"]["mean"] == pytest.approx(0.71)
    assert entries["gain"]["mixer"]["largest"] == pytest.approx(0.41)
    assert entries["runs"] == [{"fraction": f, **t.entries} for f in FRACTIONS for t in found[f]]
    assert results(trials(tmp_path, vit_tiny=OTHER))["claims"] == []


@pytest.mark.parametrize(
    "source, train_split, fraction, options",
    [
        ("digits", "", 0.1, {"train_fraction": 0.1}),
        ("folder:photos", "", 0.3, {"train_fraction": 0.3}),
        ("tfds:cifar10", "", 0.1, {"train_split": "train[:500]"}),
        ("tfds:imagenet2012:5.1.0", "train[:99%]", 0.3, {"train_split": "train[:1500]"}),
        ("tfds:emnist", "unlabeled", 0.1, {"train_split": "unlabeled[:500]"}),
        ("tfds:cifar10", "train[:98%]", 1.0, {}),
        ("digits", "", 1.0, {}),
    ],
)
def test_options_of_a_fraction(source, train_split, fraction, options):
    assert fraction_options(source, train_split, fraction, images=5000) == options


def test_the_figure_shows_every_model(tmp_path):
    draw(trials(tmp_path, mixer=MIXER, vit_tiny=OTHER), tmp_path / "two.png")
    draw(trials(tmp_path, mixer=MIXER), tmp_path / "one.png")
    two, one = (imread(tmp_path / name)[..., :3] for name in ("two.png", "one.png"))
    for pixels, number in ((two, 2), (one, 1)):
        red, blue = ((pixels[..., i] > pixels[..., 2 - i] + 0.3).any() for i in (0, 2))
        assert (red, blue) == (number == 2, True)
