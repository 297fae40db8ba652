"""Loading weights into models: numerics, heads, and failures."""

import keras
import numpy as np
import pytest
import safetensors.numpy

import keras_mixer
from keras_mixer.sizes import SIZES
from keras_mixer.weights import catalog
from keras_mixer.weights.download import DownloadError
from keras_mixer.weights.formats import WeightsError
from keras_mixer.weights.layouts import TIMM
from tests.support.backends import rotated
from tests.support.layouts import in_layout
from tests.support.loopback import Answer, Loopback
from tests.support.models import (
    SMALL_IMAGE,
    architecture_of,
    random_arrays,
    random_pixels,
    small_architecture,
    small_mixer,
)
from tests.support.reference import LARGEST_ERROR, mixer_features, relative_error
from tests.support.reference import mixer as reference_mixer

pytestmark = pytest.mark.usefixtures("full_optimization")  # the errors are of rounding
FEWER_BLOCKS = {"MixerL16": 2, "MixerH14": 2}  # with all blocks they are slow


def logits_of(variant, path, num_blocks, pixels, **arguments):
    """Return the logits of a variant, built with its constructor if it has all its blocks."""
    arguments |= {"weights": path, "classifier_activation": None}
    if num_blocks == variant.num_blocks:
        model = getattr(keras_mixer, variant.constructor_name)(**arguments)
    else:
        model = keras_mixer.MlpMixer(
            variant.patch_size,
            variant.hidden_dim,
            num_blocks,
            variant.tokens_mlp_dim,
            variant.channels_mlp_dim,
            **arguments,
        )
    return model.predict(pixels, verbose=0)


def check_published_layout(variant, num_blocks, folder):
    arrays = random_arrays(architecture_of(variant, num_blocks=num_blocks).shapes())
    np.savez(folder / "model.npz", **arrays)
    pixels = random_pixels((1, 224, 224, 3))
    logits = logits_of(variant, folder / "model.npz", num_blocks, pixels)
    error = relative_error(logits, reference_mixer(arrays, pixels))
    print(f"{variant.constructor_name}, {num_blocks} blocks: {error:.1e}")
    assert error <= LARGEST_ERROR


@pytest.mark.parametrize("variant", rotated(SIZES.values()), ids=lambda v: v.constructor_name)
@pytest.mark.long
def test_published_layout_against_the_float64_reference(variant, tmp_path):
    num_blocks = FEWER_BLOCKS.get(variant.constructor_name, variant.num_blocks)
    check_published_layout(variant, num_blocks, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FEWER_BLOCKS)
def test_the_largest_variants_with_all_blocks(name, tmp_path):
    variant = next(v for v in SIZES.values() if v.constructor_name == name)
    check_published_layout(variant, variant.num_blocks, tmp_path)


@pytest.mark.parametrize("value_range", rotated([(0, 1), None]))
@pytest.mark.long
def test_timm_layout_against_the_float64_reference(value_range, tmp_path):
    """Mixer-B/16 as in MIIL's files: PyTorch's names and axes, exact GELU, pixels in [0, 1]."""
    variant = next(v for v in SIZES.values() if v.constructor_name == "MixerB16")
    arrays = random_arrays(architecture_of(variant, num_blocks=12).shapes())
    safetensors.numpy.save_file(in_layout(TIMM, arrays), tmp_path / "model.safetensors")
    pixels = random_pixels((1, 224, 224, 3))
    path = tmp_path / "model.safetensors"
    logits = logits_of(variant, path, 12, pixels, value_range=value_range)
    error = relative_error(logits, reference_mixer(arrays, pixels, False, value_range or (-1, 1)))
    print(f"timm layout, {value_range}: {error:.1e}")
    assert error <= LARGEST_ERROR


@pytest.fixture
def arrays():
    return random_arrays(small_architecture().shapes())


@pytest.fixture
def path(tmp_path, arrays):
    np.savez(tmp_path / "small.npz", **arrays)
    return tmp_path / "small.npz"


@pytest.fixture
def pixels():
    return random_pixels((2, *SMALL_IMAGE))


class TestNumerics:
    """GELU and range of the pixels are those of the weights, unless arguments are given."""

    @pytest.mark.parametrize("approximate", [True, False])
    @pytest.mark.parametrize("value_range", [(-1, 1), (0, 1), (-2.5, 7)])
    def test_arguments(self, approximate, value_range, path, arrays, pixels):
        numerics = {"approximate_gelu": approximate, "value_range": value_range}
        model = small_mixer(weights=path, classes=None, **numerics)
        reference = reference_mixer(arrays, pixels, **numerics)
        assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR

    def test_a_file_in_googles_layout(self, path, arrays, pixels):
        model = small_mixer(weights=path, classes=None)
        reference = reference_mixer(arrays, pixels, True, (-1, 1))
        assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR

    def test_a_keras_file_states_its_numerics(self, path, arrays, pixels, tmp_path):
        numerics = {"approximate_gelu": False, "value_range": (0, 1)}
        small_mixer(weights=path, classes=None, **numerics).save(tmp_path / "model.keras")
        model = small_mixer(weights=tmp_path / "model.keras", classes=None)
        reference = reference_mixer(arrays, pixels, **numerics)
        assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR

    def test_without_preprocessing_the_model_takes_scaled_images(self, path, arrays, pixels):
        model = small_mixer(weights=path, classes=None, include_preprocessing=False)
        scaled = pixels.astype("float32") / 127.5 - 1
        reference = reference_mixer(arrays, pixels)
        assert relative_error(model.predict(scaled, verbose=0), reference) <= LARGEST_ERROR

    @pytest.mark.parametrize(
        "metadata",
        [
            {"value_range": "1 -1"},
            {"value_range": "nan 1"},
            {"value_range": "0 inf"},
            {"value_range": "1"},
            {"approximate_gelu": "no"},
            {"grid": "0 0"},
            {"grid": "-2 -3"},
            {"grid": "2 x"},
        ],
    )
    def test_invalid_metadata(self, metadata, arrays, tmp_path):
        metadata = {f"keras_mixer.{key}": value for key, value in metadata.items()}
        safetensors.numpy.save_file(arrays, tmp_path / "bad.safetensors", metadata)
        with pytest.raises(WeightsError, match="bad.safetensors.*in a form that is not known"):
            small_mixer(weights=tmp_path / "bad.safetensors", classes=None)

    def test_a_grid_of_another_number_of_patches(self, arrays, tmp_path):
        metadata = {"keras_mixer.grid": "3 3"}
        safetensors.numpy.save_file(arrays, tmp_path / "bad.safetensors", metadata)
        with pytest.raises(WeightsError, match=r"states a grid of \(3, 3\).*weights for 6"):
            small_mixer(weights=tmp_path / "bad.safetensors", classes=None)

    def test_metadata_of_other_programs_is_ignored(self, arrays, tmp_path):
        metadata = {"format": "pt", "grid": "another thing", "value_range": "?"}
        safetensors.numpy.save_file(arrays, tmp_path / "model.safetensors", metadata)
        small_mixer(weights=tmp_path / "model.safetensors", classes=None)

    def test_a_keras_file_whose_images_are_resized_first(self, path, arrays, pixels, tmp_path):
        """The grid is that of the stem's input, not that of the model's input."""
        inputs = keras.Input((None, None, 3))
        x = keras.layers.Resizing(8, 12)(inputs)
        small_mixer(weights=path, classes=None, input_shape=None, input_tensor=x).save(
            tmp_path / "model.keras"
        )
        model = small_mixer(weights=tmp_path / "model.keras", classes=None, input_shape=None)
        reference = reference_mixer(arrays, pixels)
        assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR

    @pytest.mark.parametrize("preprocessing", [True, False])
    def test_a_keras_file_without_preprocessing(self, preprocessing, path, pixels, tmp_path):
        model = small_mixer(weights=path, classes=None, include_preprocessing=False)
        model.save(tmp_path / "model.keras")
        again = small_mixer(
            weights=tmp_path / "model.keras", classes=None, include_preprocessing=preprocessing
        )
        inputs = pixels if preprocessing else pixels.astype("float32") / 127.5 - 1
        expected = small_mixer(weights=path, classes=None).predict(pixels, verbose=0)
        np.testing.assert_allclose(again.predict(inputs, verbose=0), expected, atol=1e-5)


class TestHead:
    def test_another_number_of_classes_gives_a_new_head(self, path, arrays, pixels):
        model = small_mixer(weights=path, classes=7)
        assert model.output_shape == (None, 7)
        assert not model.predict(pixels, verbose=0).any()
        body = keras.Model(model.input, model.get_layer("avg_pool").output)
        features = body.predict(pixels, verbose=0)
        assert relative_error(features, mixer_features(arrays, pixels)) <= LARGEST_ERROR

    def test_the_same_number_keeps_the_head(self, path, arrays, pixels):
        for classes in (None, 5):
            model = small_mixer(weights=path, classes=classes)
            reference = reference_mixer(arrays, pixels)
            assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR

    @pytest.mark.parametrize("head_in_file", [True, False])
    def test_a_model_without_head_needs_no_head(self, head_in_file, arrays, pixels, tmp_path):
        kept = {k: v for k, v in arrays.items() if head_in_file or not k.startswith("head")}
        np.savez(tmp_path / "body.npz", **kept)
        model = small_mixer(weights=tmp_path / "body.npz", include_top=False, pooling="avg")
        features = model.predict(pixels, verbose=0)
        assert relative_error(features, mixer_features(arrays, pixels)) <= LARGEST_ERROR

    def test_a_new_head_on_a_file_without_one(self, arrays, tmp_path):
        np.savez(tmp_path / "body.npz", **{k: v for k, v in arrays.items() if "head/" not in k})
        assert small_mixer(weights=tmp_path / "body.npz", classes=3).output_shape == (None, 3)
        with pytest.raises(ValueError, match="`classes` must be given for weights without a head"):
            small_mixer(weights=tmp_path / "body.npz", classes=None)

    @pytest.mark.parametrize("lost", ["kernel", "bias"])
    @pytest.mark.parametrize("head", [{"classes": 5}, {"classes": 7}, {"include_top": False}])
    def test_an_incomplete_head_is_refused(self, lost, head, arrays, tmp_path):
        del arrays[f"head/{lost}"]
        np.savez(tmp_path / "half.npz", **arrays)
        with pytest.raises(WeightsError, match="1 (missing|unexpected): head/bias"):
            small_mixer(weights=tmp_path / "half.npz", **head)

    def test_numpy_integers(self, path):
        assert small_mixer(weights=path, classes=np.int64(3)).output_shape == (None, 3)


class TestModels:
    @pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16", "float16"])
    def test_precision(self, dtype, path, arrays, pixels):
        model = small_mixer(weights=path, classes=None, dtype=dtype)
        reference = reference_mixer(arrays, pixels)
        assert relative_error(model.predict(pixels, verbose=0), reference) < 0.05

    @pytest.mark.long
    def test_a_model_is_loaded_first_and_then_quantized(self, path):
        with pytest.raises(ValueError, match=r"Build the model without.*model.quantize\('int8'\)"):
            small_mixer(weights=path, classes=None, dtype="int8_from_float32")
        small_mixer(weights=path, classes=None).quantize("int8")

    def test_layers_before_the_mixer_are_unchanged(self, path, arrays, pixels):
        inputs = keras.Input((8, 12, 3))
        x = keras.layers.Conv2D(3, 1, name="adapter", kernel_initializer="ones")(inputs)
        model = small_mixer(weights=path, classes=None, input_shape=None, input_tensor=x)
        adapted = np.repeat(pixels.astype("float64").sum(axis=-1, keepdims=True), 3, axis=-1)
        reference = reference_mixer(arrays, adapted)
        assert relative_error(model.predict(pixels, verbose=0), reference) <= 2 * LARGEST_ERROR

    def test_a_model_in_a_name_scope(self, path, arrays, pixels):
        with keras.name_scope("outer"):
            model = small_mixer(weights=path, classes=None, name="inner")
        reference = reference_mixer(arrays, pixels)
        assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR

    def test_stochastic_depth_and_dropout_need_no_arrays(self, path, arrays, pixels):
        model = small_mixer(weights=path, classes=None, drop_path_rate=0.5, dropout_rate=0.5)
        reference = reference_mixer(arrays, pixels)
        assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR

    def test_grayscale_images(self, pixels, tmp_path):
        arrays = random_arrays(small_architecture(channels=1).shapes())
        np.savez(tmp_path / "gray.npz", **arrays)
        gray = {"weights": tmp_path / "gray.npz", "classes": None}
        model = small_mixer(input_shape=(8, 12, 1), **gray)
        reference = reference_mixer(arrays, pixels[..., :1])
        logits = model.predict(pixels[..., :1], verbose=0)
        assert relative_error(logits, reference) <= LARGEST_ERROR
        with pytest.raises(WeightsError, match=r"stem/kernel \(4, 4, 1, 16\) instead of \(4, 4, 3"):
            small_mixer(**gray)

    @pytest.mark.parametrize(
        "change",
        [{"hidden_dim": 32}, {"num_blocks": 3}, {"channels_mlp_dim": 12}, {"tokens_mlp_dim": 3}],
    )
    def test_weights_of_another_size(self, change, path):
        with pytest.raises(WeightsError, match="does not hold exactly the arrays of this model"):
            small_mixer(weights=path, classes=None, **change)

    def test_a_clone_is_initialized_normally(self, path):
        clone = keras.models.clone_model(small_mixer(weights=path, classes=None))
        random = small_mixer()
        for variable, other in zip(clone.weights, random.weights, strict=True):
            if variable.name == "kernel" and "head" not in variable.path:
                spread, usual = (float(keras.ops.std(v)) for v in (variable, other))
                assert 0.5 < spread / usual < 2, variable.path

    def test_a_nan_in_the_last_array_is_refused(self, arrays, tmp_path):
        arrays["head/bias"][0] = np.nan
        np.savez(tmp_path / "nan.npz", **arrays)
        with pytest.raises(WeightsError, match="'head/bias' holds values that are not finite"):
            small_mixer(weights=tmp_path / "nan.npz", classes=None)


SMALL = safetensors.numpy.save(in_layout(TIMM, random_arrays(small_architecture().shapes())))
OTHER = safetensors.numpy.save({"conv.weight": np.zeros((3, 3), "float32")})
FLAWED = {
    "page": (b"<html>Please log in.</html>", "is of no known format; it begins with b'<html>P"),
    "cut": (SMALL[:-1], "cannot be read as safetensors"),
    "other weights": (OTHER, "does not hold a Mixer"),
    "another Mixer": (SMALL, "does not hold exactly the arrays of this model"),
}


class TestPublished:
    """Published weights by name, from a local server with random weights of the real form."""

    @pytest.fixture
    def served(self, monkeypatch, tmp_path):
        """Serve a file of random weights as `gsam` of Mixer-S/32."""
        row = catalog.find("MixerS32", "gsam")
        variant = next(v for v in SIZES.values() if v.constructor_name == "MixerS32")
        arrays = random_arrays(architecture_of(variant).shapes())
        np.savez(tmp_path / "s32.npz", **arrays)
        content = (tmp_path / "s32.npz").read_bytes()
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
        with Loopback() as server:
            server.serve(row.url.removeprefix("https://storage.googleapis.com"), content)
            monkeypatch.setenv("KERAS_MIXER_MIRROR", server.url)
            yield server, arrays, tmp_path / "home" / row.path

    def test_by_name(self, served):
        server, arrays, cached = served
        model = keras_mixer.MixerS32(weights="gsam", classifier_activation=None)
        pixels = random_pixels((1, 224, 224, 3))
        reference = reference_mixer(arrays, pixels)
        assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR
        assert cached.stat().st_size == catalog.find("MixerS32", "gsam").num_bytes
        keras_mixer.MixerS32(weights="gsam", include_top=False)
        assert len(server.requests) == 1

    def test_invalid_arguments_download_nothing(self, served):
        server, _, cached = served
        for wrong in (
            {"input_shape": (100, 100, 3)},
            {"input_shape": (256, 256, 3)},
            {"classes": 0},
            {"dtype": "int8_from_float32"},
        ):
            with pytest.raises(ValueError):
                keras_mixer.MixerS32(weights="gsam", **wrong)
        assert not server.requests
        assert not cached.exists()

    @pytest.mark.backend("torch")
    @pytest.mark.parametrize("case", FLAWED)
    def test_what_is_not_the_published_mixer_is_not_cached(self, case, monkeypatch, tmp_path):
        """Neither the size of this file nor its digest is published."""
        content, flaw = FLAWED[case]
        row = catalog.find("MixerB16", "miil_in21k")
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setattr("keras_mixer.weights.download.RETRY_WAITS_SECONDS", (0,))
        with Loopback() as server:
            monkeypatch.setenv("KERAS_MIXER_MIRROR", server.url)
            path = row.url.removeprefix("https://huggingface.co")
            server.serve(path, Answer(content, headers={"Content-Length": None}))
            with pytest.raises(DownloadError, match=f"the received file {flaw}"):
                keras_mixer.MixerB16(weights=row.name)
            assert server.count(path) == 2
            assert not [file for file in tmp_path.rglob("*") if file.is_file()]
            server.serve(path, Answer(headers={"Content-Length": 10**9}, send_bytes=0))
            with pytest.raises(DownloadError, match="offers 1,000,000,000 bytes, of at most 2"):
                keras_mixer.MixerB16(weights=row.name)

    @pytest.mark.slow
    def test_miil_by_name(self, monkeypatch, tmp_path):
        """The numerics are those of the row: exact GELU and pixels in [0, 1]."""
        row = catalog.find("MixerB16", "miil_in21k_ft_in1k")
        variant = next(v for v in SIZES.values() if v.constructor_name == "MixerB16")
        arrays = random_arrays(architecture_of(variant).shapes())
        content = safetensors.numpy.save(in_layout(TIMM, arrays), {"format": "pt"})
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        with Loopback() as server:
            server.serve(row.url.removeprefix("https://huggingface.co"), content)
            monkeypatch.setenv("KERAS_MIXER_MIRROR", server.url)
            model = keras_mixer.MixerB16(weights=row.name, classifier_activation=None)
        pixels = random_pixels((1, 224, 224, 3))
        reference = reference_mixer(arrays, pixels, False, (0, 1))
        assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR
