"""The catalog against what is known of the published files."""

import numpy as np
import pytest

import keras_mixer
from keras_mixer import preprocessing
from keras_mixer.sizes import SIZES
from keras_mixer.weights.catalog import CHECKPOINTS, find
from tests.support.models import architecture_of

GOOGLE = [c for c in CHECKPOINTS if c.url.endswith(".npz")]
ROWS = {variant.constructor_name: variant for variant in SIZES.values()}


def npz_bytes(shapes, zip64):
    """Return the size of the uncompressed npz with these arrays, by the zip format's rules."""
    sizes = [4 * int(np.prod(shape)) for shape in shapes.values()]
    names = [len(f"{name}.npy") for name in shapes]
    local = sum(
        30 + name + 20 * zip64 + 128 + size for name, size in zip(names, sizes, strict=True)
    )
    central = sum(46 + name for name in names)
    return local + central + 22


def test_the_sizes_add_up_to_the_listing_of_the_bucket():
    assert len(GOOGLE) == 11
    assert sum(c.num_bytes for c in GOOGLE) == 3_489_219_008


@pytest.mark.parametrize("checkpoint", GOOGLE, ids=lambda c: f"{c.variant}-{c.name}")
def test_each_size_is_that_of_its_arrays(checkpoint):
    """So the files hold float32 arrays of our names and shapes, and nothing else."""
    shapes = architecture_of(ROWS[checkpoint.variant], classes=checkpoint.classes).shapes()
    zip64 = checkpoint.name in ("sam", "gsam")  # written by a later NumPy
    assert npz_bytes(shapes, zip64) == checkpoint.num_bytes


def test_the_size_rule_is_that_of_numpy(tmp_path):
    shapes = architecture_of(ROWS["MixerS32"]).shapes()
    np.savez(tmp_path / "s32.npz", **{name: np.zeros(s, "float32") for name, s in shapes.items()})
    assert (tmp_path / "s32.npz").stat().st_size == find("MixerS32", "gsam").num_bytes


def test_thirteen_rows_with_what_each_needs():
    assert len(CHECKPOINTS) == 13
    assert len({(c.variant, c.name) for c in CHECKPOINTS}) == 13
    assert len({c.path for c in CHECKPOINTS}) == 13
    for checkpoint in CHECKPOINTS:
        assert checkpoint.variant in ROWS
        assert checkpoint.url.startswith("https://")
        assert checkpoint.transform in preprocessing.TRANSFORMS
        miil = checkpoint.name.startswith("miil")
        assert checkpoint.value_range == ((0, 1) if miil else (-1, 1))
        assert checkpoint.approximate_gelu != miil
        assert checkpoint.licence
        assert bool(checkpoint.warning) or checkpoint.top1
        if checkpoint.name == "gsam":
            assert not checkpoint.top1
            assert "Nobody has published an evaluation" in checkpoint.warning


def test_urls():
    assert find("MixerB16", "imagenet21k").url == (
        "https://storage.googleapis.com/mixer_models/imagenet21k/Mixer-B_16.npz"
    )
    assert find("MixerB16", "miil_in21k").url == (
        "https://huggingface.co/timm/mixer_b16_224.miil_in21k/resolve/main/model.safetensors"
    )


def test_the_alias_of_keras_applications():
    assert find("MixerL16", "imagenet") is find("MixerL16", "imagenet1k")


def test_what_does_not_exist_is_told():
    with pytest.raises(ValueError, match="MixerS16 was published as gsam.*MixerB16, MixerL16"):
        find("MixerS16", "imagenet1k")
    with pytest.raises(ValueError, match="No checkpoint of MixerH14 was ever published"):
        find("MixerH14", "jft")
    with pytest.raises(ValueError, match="No variant has a checkpoint called 'goog_in21k_ft"):
        find("MixerB16", "goog_in21k_ft_in1k")


def test_the_table_shows_every_row_and_note(capsys):
    keras_mixer.list_weights()
    printed = " ".join(capsys.readouterr().out.split())
    for checkpoint in CHECKPOINTS:
        assert printed.count(f"{checkpoint.variant} {checkpoint.name}") >= 1
        assert checkpoint.warning in printed
        for percent, _ in checkpoint.top1:
            assert f"{percent:.2f}" in printed
