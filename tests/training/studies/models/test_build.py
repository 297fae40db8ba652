"""Study models by name, and what the commands do with their runs."""

import dataclasses
import json
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.backends import rotated, torch_only
from tests.support.models import random_pixels
from tests.support.runs import CLASS_NAMES, SMALL
from training.commands import evaluate
from training.config import Config, Data, Model, Optimization
from training.config.study_models import STUDY_MODELS
from training.data.source import Source
from training.data.splits import in_memory
from training.errors import UserError
from training.model import build_model
from training.model_argument import load_model, parse
from training.run.folder import RunFolder
from training.run.train import train
from training.studies.models.build import build_study_model
from training.studies.models.permutation import pixel_permutation

SIDE = 32  # pixels, a multiple of all patch sizes but those of ViT-*/16
# One model of each family, and the Mixer on permuted images.
FAMILIES: dict[str, dict[str, Any]] = {
    "vit": {"architecture": "vit-tiny/4"},
    "resnet": {"architecture": "resnet-tiny"},
    "mixer": {"architecture": "mixer-untied"},
    "permuted": {"input_permutation": "patches"},
}
LARGE = ("vit-S/16", "vit-B/16", "vit-L/16", "resnet-50", "resnet-152")


def source(channels, classes=5):
    pixels = random_pixels((6, SIDE, SIDE, channels))
    split = in_memory(pixels, np.arange(6) % classes)
    return Source(tuple(map(str, range(classes))), channels, split, split, split)


@pytest.mark.parametrize("channels", [torch_only(1), 3])
@pytest.mark.parametrize(
    "architecture",
    [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in STUDY_MODELS],
)
def test_new_models_have_logits_of_a_zero_head(architecture, channels):
    config = dataclasses.replace(SMALL, architecture=architecture, head_bias=-2.0)
    model = build_model(config, SIDE, source(channels))
    assert model.input_shape == (None, SIDE, SIDE, channels)
    logits = model.predict(random_pixels((2, SIDE, SIDE, channels)), verbose=0)
    np.testing.assert_array_equal(logits, np.full((2, 5), -2, "float32"))
    head = model.get_layer("head")
    head.kernel.assign(np.random.default_rng(0).normal(size=head.kernel.shape))
    logits = model.predict(random_pixels((2, SIDE, SIDE, channels)), verbose=0)
    assert np.isfinite(logits).all() and np.ptp(logits, axis=0).min() > 0


def test_the_mixers_have_the_sizes_of_the_configuration():
    sizes = {"hidden_dim": 6, "num_blocks": 3, "tokens_mlp_dim": 4, "channels_mlp_dim": 10}
    config = Model(architecture="mixer-untied", patch_size=8, drop_path_rate=0.1, **sizes)
    model = build_study_model(config, SIDE, 3, 5)
    assert model.get_layer("stem").kernel.shape == (8, 8, 3, 6)
    assert model.get_layer("block_2_token_mixing_dense_0").kernel.shape == (6, 16, 4)
    assert model.get_layer("block_2_drop_path_0").drop_path_rate == 0.1


def test_permuted_images_reach_the_same_mixer():
    seed = 3
    permuted = dataclasses.replace(SMALL, input_permutation="patches")
    models = []
    for model in (SMALL, permuted):
        keras.utils.set_random_seed(0)
        models.append(build_model(model, SIDE, source(3), seed=seed))
    for model in models:
        model.weights[-2].assign(np.random.default_rng(0).normal(size=(16, 5)))  # of the head
    images = random_pixels((4, SIDE, SIDE, 3)).astype("float32")
    indices = pixel_permutation("patches", SIDE, SIDE, SMALL.patch_size, seed)
    shuffled = images.reshape(4, -1, 3)[:, indices].reshape(images.shape)
    expected = models[0].predict(shuffled, verbose=0)
    np.testing.assert_allclose(models[1].predict(images, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_the_patches_of_a_vit_are_permuted():
    """Not those of the Mixer's sizes, which a ViT does not have."""
    fields: dict[str, Any] = {
        "architecture": "vit-tiny/4",
        "input_permutation": "patches",
        "patch_size": 5,
    }
    model = build_model(dataclasses.replace(SMALL, **fields), SIDE, source(3))
    assert model.get_layer("permutation").patch_size == 4


@pytest.fixture(scope="module", params=rotated(FAMILIES))
def run(request, tmp_path_factory):
    """A run of each family on images of 8 × 8 pixels, over 4 updates."""
    folder = tmp_path_factory.mktemp("run")
    labels = np.arange(30) % 3
    np.savez(
        folder / "set.npz",
        x_train=random_pixels((30, 8, 8, 3)),
        y_train=labels,
        class_names=np.array(CLASS_NAMES),
    )
    config = Config(
        data=Data(source=f"arrays:{folder / 'set.npz'}", batch_size=12, validation_fraction=0.2),
        model=dataclasses.replace(SMALL, **FAMILIES[request.param]),
        optimization=Optimization(total_epochs=2, warmup_steps=0),
    )
    run = RunFolder(folder / "run")
    train(config, run, verbose=0)
    return run


def test_a_finished_run_is_loaded_without_trust_and_evaluated(run, tmp_path, capsys):
    loaded = load_model(parse(str(run.path)))
    assert loaded.class_names == CLASS_NAMES and loaded.classes == 3
    capsys.readouterr()
    evaluate.run(str(run.path), output_dir=str(tmp_path), as_json=True)
    measured = json.loads(capsys.readouterr().out)
    summary = run.read_summary()
    assert measured["accuracy"] == summary["test_accuracy"]
    assert measured["loss"] == pytest.approx(summary["test_loss"], rel=1e-5)


def test_a_checkpoint_is_refused(run):
    model = run.read_config().model
    with pytest.raises(UserError) as error:
        load_model(parse(f"{run.path}@best"))
    assert str(error.value) == (
        "MODEL must be a finished run, or a checkpoint of a plain Mixer. Received: "
        f"{run.path}@best, of a run with --architecture {model.architecture} "
        f"--input-permutation {model.input_permutation}. Pass {run.path}."
    )


def test_the_run_gives_no_weights_to_a_plain_mixer(run, capsys):
    images = dataclasses.replace(source(3, classes=3), class_names=CLASS_NAMES)
    with pytest.raises(UserError, match="^--weights must be "):
        build_model(dataclasses.replace(SMALL, weights=str(run.path)), 8, images)
    assert "head" not in capsys.readouterr().out
