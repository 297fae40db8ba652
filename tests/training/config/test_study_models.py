"""What a configuration may ask of a study model, and of permuted images."""

import pytest

from training.config import Config, Model
from training.config.study_models import MIXERS, RESNETS, STUDY_MODELS, VITS
from training.errors import UserError

pytestmark = pytest.mark.backend("torch")  # needs no backend

# Options of a plain Mixer alone, a value of each that is refused, and the rule of the message.
OF_ANY = {
    "weights": ("imagenet1k", "must be left out"),
    "freeze": ("body", "must be nothing"),
    "frozen_blocks": (1, "must be 0"),
    "layer_decay": (0.5, "must be 1"),
    "model_devices": (2, "must be 1"),
}
OF_MIXERS = {
    "drop_path_rate": (0.1, "must be 0"),
    "dropout_rate": (0.1, "must be 0"),
}
OF_BLOCKS = OF_MIXERS | {"rematerialize": (True, "must be left out")}


def config(architecture="mixer", input_permutation="none", **fields):
    chosen = {"architecture": architecture, "input_permutation": input_permutation}
    return Config().vary(image_size=32, **chosen, **fields)


def test_the_names_of_study_models_differ():
    assert STUDY_MODELS == (*MIXERS, *VITS, *RESNETS)
    assert len(set(STUDY_MODELS)) == len(STUDY_MODELS) and "mixer" not in STUDY_MODELS


@pytest.mark.parametrize("architecture", ["mixer", *STUDY_MODELS])
@pytest.mark.parametrize("input_permutation", ["none", "patches", "pixels"])
def test_every_model_is_valid_as_it_is(architecture, input_permutation):
    config(architecture, input_permutation).check()


@pytest.mark.parametrize("option", OF_ANY | OF_BLOCKS)
@pytest.mark.parametrize("architecture", ["mixer-untied", "vit-tiny/4", "resnet-tiny"])
def test_options_of_the_plain_mixer_are_refused(option, architecture):
    value, rule = (OF_ANY | OF_BLOCKS)[option]
    config(**{option: value}).check()  # of the plain Mixer
    if option in OF_MIXERS and architecture in MIXERS:
        config(architecture, **{option: value}).check()
        return
    with pytest.raises(UserError) as error:
        config(architecture, **{option: value}).check()
    name = f"--{option.replace('_', '-')}"
    advice = f"Pass {name} {rule.removeprefix('must be ')}."
    if rule == "must be left out":
        advice = f"Drop {name}, or choose a recipe without it."
    assert str(error.value) == (
        f"{name} {rule} with --architecture {architecture}. Received: {value}. {advice}"
    )


@pytest.mark.parametrize("option", OF_ANY)
def test_permuted_images_exclude_some_options(option):
    value, rule = OF_ANY[option]
    with pytest.raises(UserError) as error:
        config(input_permutation="pixels", **{option: value}).check()
    chosen = "with --architecture mixer --input-permutation pixels"
    assert f"{rule} {chosen}. Received: {value}. " in str(error.value)


@pytest.mark.parametrize("option", OF_BLOCKS)
def test_a_mixer_of_permuted_images_keeps_its_regularization(option):
    config(input_permutation="patches", **{option: OF_BLOCKS[option][0]}).check()


def test_the_patch_size_of_a_vit_is_that_of_its_name():
    config("vit-tiny/4", patch_size=5).check()
    with pytest.raises(UserError, match="--image-size must be a multiple of the patch size, 16. "):
        config("vit-S/16").vary(image_size=40).check()
    config("vit-S/16").vary(image_size=48).check()


def test_a_plain_model_is_the_mixer_on_images_as_they_are():
    assert Model().is_plain
    assert not Model(architecture="mixer-untied").is_plain
    assert not Model(input_permutation="patches").is_plain
