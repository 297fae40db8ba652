"""Claims, results and figure of the study of input permutations."""

import dataclasses
import json

import pytest
from matplotlib.image import imread

from tests.support.trials import finished_trial
from training.studies.permutations import PERMUTATIONS, draw, relative_drops, results
from training.studies.verdicts import NOT_REPRODUCED, REPRODUCED, UNDECIDED

pytestmark = pytest.mark.backend("torch")  # no backend is used

MIXER = {"none": (0.8, 0.82, 0.81), "patches": (0.81, 0.8, 0.82), "pixels": (0.5, 0.52, 0.48)}
RESNET = {"none": (0.9, 0.92, 0.91), "patches": (0.6, 0.62, 0.58), "pixels": (0.3, 0.32, 0.28)}


def trials(folder, **accuracies):
    """Return finished trials: `model={permutation: accuracies by seed}`."""
    return [
        finished_trial(folder, model.replace("_", "-"), seed, accuracy, input_permutation=p)
        for model, by_permutation in accuracies.items()
        for p, values in by_permutation.items()
        for seed, accuracy in enumerate(values)
    ]


def verdicts(folder, mixer, **others):
    return [claim["verdict"] for claim in results(trials(folder, mixer=mixer, **others))["claims"]]


def test_the_findings_of_the_paper(tmp_path):
    assert verdicts(tmp_path, MIXER, resnet_tiny=RESNET) == [REPRODUCED, REPRODUCED]


@pytest.mark.parametrize(
    "pixels, verdict",
    [
        ((0.2, 0.22, 0.21), NOT_REPRODUCED),  # drops of about 0.74; those of the ResNet 0.65 to 0.7
        ((0.5, 0.2, 0.4), UNDECIDED),
        ((0.5, 0.48, 0.49), REPRODUCED),
    ],
)
def test_the_drop_with_all_pixels_is_compared_with_resnets(pixels, verdict, tmp_path):
    found, _ = verdicts(tmp_path, MIXER | {"pixels": pixels}, resnet_tiny=RESNET)
    assert found == verdict


def test_every_resnet_counts_and_no_other_model(tmp_path):
    better = {p: (0.9, 0.91, 0.92) for p in PERMUTATIONS}
    assert verdicts(tmp_path, MIXER, resnet_tiny=RESNET, vit_tiny=better)[0] == REPRODUCED
    assert verdicts(tmp_path, MIXER, resnet_tiny=RESNET, resnet_50=better)[0] == NOT_REPRODUCED
    assert verdicts(tmp_path, MIXER, vit_tiny=better)[0] == UNDECIDED


@pytest.mark.parametrize(
    "patches, verdict",
    [
        ((0.7, 0.71, 0.79), NOT_REPRODUCED),  # the smallest on original images is 0.8
        ((0.7, 0.71, 0.81), UNDECIDED),
        ((0.79, 0.8, 0.82), REPRODUCED),
        ((0.8, 0.82, 0.81), REPRODUCED),
        ((0.9, 0.91, 0.92), REPRODUCED),
    ],
)
def test_permuted_patches_do_not_hurt(patches, verdict, tmp_path):
    assert verdicts(tmp_path, MIXER | {"patches": patches}, resnet_tiny=RESNET)[1] == verdict


def test_one_seed_decides_nothing(tmp_path):
    one = ({p: values[:1] for p, values in model.items()} for model in (MIXER, RESNET))
    mixer, resnet = one
    assert verdicts(tmp_path, mixer, resnet_tiny=resnet) == [UNDECIDED, UNDECIDED]


def test_seeds_are_paired(tmp_path):
    found = trials(tmp_path, mixer=MIXER)
    drops = relative_drops(found[::-1], "mixer", "pixels")
    assert drops == pytest.approx([1 - 0.5 / 0.8, 1 - 0.52 / 0.82, 1 - 0.48 / 0.81])


def test_results_are_complete(tmp_path):
    found = trials(tmp_path, mixer=MIXER, resnet_tiny=RESNET)
    entries = results(found)
    assert json.loads(json.dumps(entries)) == entries
    assert list(entries) == ["claims", "accuracy", "relative_drop", "runs"]
    assert len(entries["runs"]) == 18
    for trial, run in zip(found, entries["runs"], strict=True):
        assert run == {"permutation": trial.trial.options["input_permutation"], **trial.entries}
    assert entries["accuracy"]["mixer"]["patches"]["mean"] == pytest.approx(0.81)
    assert entries["accuracy"]["resnet-tiny"]["pixels"]["seeds"] == 3
    assert list(entries["relative_drop"]["mixer"]) == ["patches", "pixels"]
    drops = relative_drops(found, "resnet-tiny", "pixels")
    assert entries["claims"][0]["numbers"]["resnet-tiny"] == drops
    assert entries["relative_drop"]["resnet-tiny"]["pixels"]["largest"] == max(drops)
    assert results(trials(tmp_path, resnet_tiny=RESNET))["claims"] == []


def test_the_figure_has_a_panel_for_each_model(tmp_path):
    draw(trials(tmp_path, mixer=MIXER, resnet_tiny=RESNET, vit_tiny=RESNET), tmp_path / "a.png")
    draw(trials(tmp_path, mixer=MIXER), tmp_path / "b.png")
    three, one = (imread(tmp_path / name) for name in ("a.png", "b.png"))
    assert three.shape[0] == one.shape[0] and three.shape[1] > 2 * one.shape[1]
    for pixels in (three, one):
        assert (pixels[:, [0, -1]] == 1).all()  # the legend ends inside
    red, green, blue = three[..., :3].transpose(2, 0, 1)
    for color, other in ((red, blue), (blue, red), (green, red)):
        assert (color > other + 0.3).any()


def test_a_figure_of_runs_without_a_validation_split(tmp_path):
    """Such as those on a dataset of TensorFlow Datasets that has none."""
    found = [
        dataclasses.replace(trial, history=[{"step": 10.0, "accuracy": 0.5}] * 2)
        for trial in trials(tmp_path, mixer=MIXER)
    ]
    draw(found, tmp_path / "permutations.png")
    assert (tmp_path / "permutations.png").exists()


def test_a_model_that_is_never_right_has_no_drop(tmp_path):
    never = {p: (0.0, 0.0) for p in PERMUTATIONS}
    assert verdicts(tmp_path, never, resnet_tiny=never)[0] == UNDECIDED
