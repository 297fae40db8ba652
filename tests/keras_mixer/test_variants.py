import gc
import inspect
from pathlib import Path

import keras
import pytest

import keras_mixer
from keras_mixer.sizes import SIZES

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


def test_every_variant_is_public_and_counted():
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
    headless, whole = PARAMETERS[name]
    model = getattr(keras_mixer, name)(weights=None)
    assert model.count_params() == whole
    assert model.count_params() - model.get_layer("head").count_params() == headless
    assert model.name == f"mixer_{name[5:].lower()}"
    assert model.input_shape == (None, 224, 224, 3)
    del model  # up to 1.7 GB
    keras.backend.clear_session()
    gc.collect()


@pytest.mark.parametrize("name", ["MixerS32", "MixerB16"])
def test_parameter_counts_of_models_without_head(name):
    model = getattr(keras_mixer, name)(weights=None, include_top=False)
    assert model.count_params() == PARAMETERS[name][0]


@pytest.mark.parametrize(
    "weights, message",
    [
        ("jft", "No variant has a checkpoint called 'jft'"),
        ("imagenet1K", "MixerB16 was published as imagenet1k, imagenet21k, sam, gsam"),
        ("a/b.npz", "'a/b.npz': does not exist"),
        ("weights.pth", "is a Python pickle"),
        (Path("imagenet1k"), "'imagenet1k': does not exist"),
    ],
)
def test_weights_that_do_not_exist(weights, message):
    with pytest.raises(ValueError, match=message):
        keras_mixer.MixerB16(weights=weights)


def test_the_default_is_never_silently_random():
    with pytest.raises(ValueError, match="weights='imagenet1k'.*MixerS16 was published as gsam"):
        keras_mixer.MixerS16()


def test_a_file_may_be_called_like_a_checkpoint(tmp_path, monkeypatch):
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


def test_the_constructors_differ_from_the_general_one_in_the_sizes_only():
    def arguments(function):
        return list(inspect.signature(function).parameters)

    sizes = ["patch_size", "hidden_dim", "num_blocks", "tokens_mlp_dim", "channels_mlp_dim"]
    assert sizes + arguments(keras_mixer.MixerB16) == arguments(keras_mixer.MlpMixer)
