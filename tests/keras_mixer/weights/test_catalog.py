"""The catalog against what is known about the published files."""

import numpy as np
import pytest

import keras_mixer
from keras_mixer.sizes import SIZES
from keras_mixer.transforms import TRANSFORMS
from keras_mixer.weights.catalog import CATALOG, find
from tests.support.models import architecture_of

pytestmark = pytest.mark.backend("torch")  # the catalog has nothing to do with it

GOOGLE = [c for c in CATALOG if c.url.endswith(".npz")]
CONSTRUCTORS = {size.constructor_name for size in SIZES.values()}


def npz_bytes(shapes, zip64):
    """Return the size of an uncompressed npz file with these arrays, by the zip format."""
    sizes = [4 * int(np.prod(shape)) for shape in shapes.values()]
    names = [len(f"{name}.npy") for name in shapes]
    local = sum(
        30 + name + 20 * zip64 + 128 + size for name, size in zip(names, sizes, strict=True)
    )
    central = sum(46 + name for name in names)
    return local + central + 22


def test_the_file_sizes_add_up_to_the_total_of_the_bucket():
    assert len(GOOGLE) == 11
    assert sum(c.num_bytes for c in GOOGLE) == 3_489_219_008


@pytest.mark.parametrize("row", GOOGLE, ids=lambda c: f"{c.variant}-{c.name}")
def test_each_file_size_is_that_of_its_arrays(row):
    """So the files hold exactly the float32 arrays with our names and shapes."""
    shapes = architecture_of(row.size, classes=row.classes).shapes()
    zip64 = row.name in ("sam", "gsam")  # written by a later NumPy
    assert npz_bytes(shapes, zip64) == row.num_bytes


def test_npz_bytes_is_the_size_that_numpy_writes(tmp_path):
    shapes = architecture_of(SIZES["S/32"]).shapes()
    np.savez(tmp_path / "s32.npz", **{name: np.zeros(s, "float32") for name, s in shapes.items()})
    assert (tmp_path / "s32.npz").stat().st_size == find("MixerS32", "gsam").num_bytes


def test_rows():
    assert len(CATALOG) == 13
    assert len({(c.variant, c.name) for c in CATALOG}) == 13
    assert len({c.path for c in CATALOG}) == 13
    for row in CATALOG:
        assert row.variant in CONSTRUCTORS
        assert row.url.startswith("https://")
        assert row.transform in TRANSFORMS
        miil = row.name.startswith("miil")
        assert row.value_range == ((0, 1) if miil else (-1, 1))
        assert row.approximate_gelu != miil
        assert row.licence
        assert bool(row.warning) or row.top1
        if row.name == "gsam":
            assert not row.top1
            assert "Nobody has published an evaluation" in row.warning


def test_urls():
    assert find("MixerB16", "imagenet21k").url == (
        "https://storage.googleapis.com/mixer_models/imagenet21k/Mixer-B_16.npz"
    )
    assert find("MixerB16", "miil_in21k").url == (
        "https://huggingface.co/timm/mixer_b16_224.miil_in21k/resolve/main/model.safetensors"
    )


def test_the_alias_of_keras_applications():
    assert find("MixerL16", "imagenet") is find("MixerL16", "imagenet1k")


def test_unknown_names_are_refused_with_those_that_exist():
    with pytest.raises(ValueError, match="MixerS16 was published as gsam.*MixerB16, MixerL16"):
        find("MixerS16", "imagenet1k")
    with pytest.raises(ValueError, match="No weights of MixerH14 were ever published"):
        find("MixerH14", "jft")
    with pytest.raises(ValueError, match="No variant has weights called 'goog_in21k_ft"):
        find("MixerB16", "goog_in21k_ft_in1k")


def test_the_table_shows_every_row_and_note(capsys):
    keras_mixer.list_weights()
    printed = " ".join(capsys.readouterr().out.split())
    for row in CATALOG:
        assert printed.count(f"{row.variant} {row.name}") >= 1
        assert row.warning in printed
        for percent, _ in row.top1:
            assert f"{percent:.2f}" in printed
