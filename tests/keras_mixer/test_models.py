"""The constructors of the variants."""

import gc
import inspect
from pathlib import Path

import keras
import pytest

import keras_mixer
from keras_mixer import building, models
from keras_mixer.layers.initialization import skip_initialization
from keras_mixer.sizes import SIZES
from keras_mixer.weights.catalog import published

# (without head, with 1000 classes) at 224 × 224 × 3
PARAMETERS = {
    "MixerS8": (20_133_504, 20_646_504),
    "MixerS16": (18_015_264, 18_528_264),
    "MixerS32": (18_591_624, 19_104_624),
    "MixerB16": (59_111_472, 59_880_472),
    "MixerB32": (59_524_428, 60_293_428),
    "MixerL16": (207_171_168, 208_196_168),
    "MixerL32": (205_914_264, 206_939_264),
    "MixerH14": (431_069_952, 432_350_952),
}


def test_every_variant_is_public_and_has_a_parameter_count():
    names = {variant.constructor_name for variant in SIZES.values()}
    assert names == PARAMETERS.keys()
    for name in names:
        assert name in keras_mixer.__all__
        assert getattr(keras_mixer, name).__name__ == name


# The large ones take many seconds to build, and their counts are the same on every backend.
LARGE = pytest.mark.long, pytest.mark.backend("torch")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=LARGE if n[5] in "LH" else []) for n in PARAMETERS]
)
def test_parameter_counts(name):
    headless, complete = PARAMETERS[name]
    with skip_initialization():  # of up to 432 million parameters
        model = getattr(keras_mixer, name)(weights=None)
    assert model.count_params() == complete
    assert model.count_params() - model.get_layer("head").count_params() == headless
    assert model.name == f"mixer_{name[5:].lower()}"
    assert model.input_shape == (None, 224, 224, 3)
    del model  # up to 1.7 GB
    keras.backend.clear_session()
    gc.collect()


@pytest.mark.parametrize("name", ["MixerS32", "MixerB16"])
def test_parameter_counts_of_models_without_head(name):
    with skip_initialization():
        model = getattr(keras_mixer, name)(weights=None, include_top=False)
    assert model.count_params() == PARAMETERS[name][0]


@pytest.mark.parametrize(
    "weights, message",
    [
        ("jft", "No variant has weights called 'jft'"),
        ("imagenet1K", "MixerB16 was published as imagenet1k, imagenet21k, sam, gsam"),
        ("a/b.npz", "'a/b.npz': does not exist"),
        ("weights.pth", "is a Python pickle"),
        (Path("imagenet1k"), "'imagenet1k': does not exist"),
    ],
)
def test_unknown_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        keras_mixer.MixerB16(weights=weights)


def test_the_default_is_never_silently_random():
    with pytest.raises(ValueError, match="weights='imagenet1k'.*MixerS16 was published as gsam"):
        keras_mixer.MixerS16()


def test_a_file_may_have_the_name_of_published_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet1k").write_bytes(b"")
    (tmp_path / "imagenet").mkdir()
    for name in ("imagenet1k", "imagenet"):
        with pytest.raises(ValueError, match="was published as gsam"):
            keras_mixer.MixerS16(weights=name)
    with pytest.raises(ValueError, match="'imagenet1k': is empty"):
        keras_mixer.MixerB16(weights="./imagenet1k")


def test_sizes_are_fixed():
    with pytest.raises(ValueError, match=r"MixerB16: `patch_size` is fixed at 16 .*MlpMixer"):
        keras_mixer.MixerB16(weights=None, patch_size=8)


def test_unknown_arguments_are_refused():
    with pytest.raises(ValueError, match=r"MixerB16: `pool` is not an argument.*`pooling`\?"):
        keras_mixer.MixerB16(weights=None, pool="avg")


@skip_initialization()
def test_arguments_reach_the_model():
    model = keras_mixer.MixerS32(
        weights=None,
        include_preprocessing=False,
        input_shape=(64, 96, 4),
        classes=7,
        classifier_activation="sigmoid",
        drop_path_rate=0.1,
        dropout_rate=0.2,
        name="mine",
        dtype="mixed_bfloat16",
        rescale_drop_path=True,
    )
    last = model.get_layer("MixerBlock_7")
    assert model.name == "mine"
    assert (model.input_shape, model.output_shape) == ((None, 64, 96, 4), (None, 7))
    assert model.get_layer("head").activation is keras.activations.sigmoid
    assert (last.drop_path_rate, last.dropout_rate, last.rescale_drop_path) == (0.1, 0.2, True)
    assert last.compute_dtype == "bfloat16"
    assert "preprocessing" not in {layer.name for layer in model.layers}
    body = keras_mixer.MixerS32(
        weights=None, include_top=False, pooling="max", input_tensor=keras.Input((64, 64, 3))
    )
    assert body.output_shape == (None, 512)


def test_the_variants_differ_in_size_name_and_default_weights_only():
    general = inspect.signature(keras_mixer.MlpMixer).parameters
    for size in SIZES.values():
        variant = inspect.signature(getattr(keras_mixer, size.constructor_name)).parameters
        for name in variant.keys() - {"name", "weights"}:
            assert variant[name] == general[name]
        assert variant["name"].default == f"mixer_{size.constructor_name[5:].lower()}"
        assert variant["weights"].default == "imagenet1k"


@pytest.mark.backend("torch")
@pytest.mark.parametrize("size", SIZES.values(), ids=lambda size: size.name)
def test_docstrings_state_the_sizes_and_the_published_weights(size):
    text = getattr(keras_mixer, size.constructor_name).__doc__
    assert f"Build Mixer-{size.name}: {size.num_blocks} blocks, C = {size.hidden_dim}, " in text
    assert f"D_S = {size.tokens_mlp_dim}, D_C = {size.channels_mlp_dim} (" in text
    names = ", ".join(f'`"{name}"`' for name in published(size.constructor_name))
    expected = f"Published `weights`: {names}." if names else "No weights were published."
    assert expected in " ".join(text.split())


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "argument, value",
    [
        ("include_top", False),
        ("include_preprocessing", False),
        ("weights", None),
        ("input_tensor", "a tensor"),
        ("input_shape", (64, 64, 3)),
        ("pooling", "avg"),
        ("classes", 3),
        ("classifier_activation", None),
        ("drop_path_rate", 0.1),
        ("dropout_rate", 0.2),
        ("name", "mine"),
        ("dtype", "bfloat16"),
        ("rescale_drop_path", True),
        ("resolution", "interpolate"),
        ("approximate_gelu", False),
        ("value_range", (0, 1)),
        ("rematerialize", True),
    ],
)
@pytest.mark.parametrize("name", ["MlpMixer", *PARAMETERS])
def test_every_argument_is_passed_on(name, argument, value, monkeypatch):
    built = {}
    monkeypatch.setattr(building, "build_mixer", lambda **arguments: built.update(arguments))
    monkeypatch.setattr(models, "build_mixer", lambda **arguments: built.update(arguments))
    sizes = {"patch_size": 1, "hidden_dim": 2, "num_blocks": 3}
    sizes |= {"tokens_mlp_dim": 4, "channels_mlp_dim": 5}
    if name != "MlpMixer":
        (sizes,) = [s.dimensions for s in SIZES.values() if s.constructor_name == name]
    given = {"weights": None, argument: value}
    getattr(keras_mixer, name)(**(sizes if name == "MlpMixer" else {}), **given)
    assert built[argument] == value
    assert built.items() >= sizes.items()


def test_the_variants_have_the_arguments_of_mlp_mixer_except_the_sizes():
    def arguments(function):
        return list(inspect.signature(function).parameters)

    sizes = ["patch_size", "hidden_dim", "num_blocks", "tokens_mlp_dim", "channels_mlp_dim"]
    assert sizes + arguments(keras_mixer.MixerB16) == arguments(keras_mixer.MlpMixer)
