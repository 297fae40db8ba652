"""Weights at other image sizes: block-diagonal or interpolated."""

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer.sizes import SIZES
from keras_mixer.weights import resolution
from tests.support.models import (
    architecture_of,
    random_arrays,
    random_pixels,
    randomize,
    small_architecture,
    small_mixer,
)
from tests.support.reference import LARGEST_ERROR, relative_error
from tests.support.reference import mixer as reference_mixer

TRAINED = (8, 12)  # pixels; 2 × 3 patches of 4 × 4


@pytest.fixture
def trained(tmp_path):
    """A weight file that states its image size, and its arrays."""
    model = small_mixer(input_shape=(*TRAINED, 3))
    arrays = randomize(model)
    model.save(tmp_path / "trained.keras")
    return tmp_path / "trained.keras", arrays


@pytest.mark.parametrize("down, across", [(2, 2), (2, 1), (1, 3), (3, 2)])
def test_pooled_features_are_the_mean_over_the_tiles(down, across, trained):
    """Appendix C: each part of a large image is mixed by itself; only the pooling joins them."""
    path, _ = trained
    features = {"include_top": False, "pooling": "avg", "weights": path}
    height, width = TRAINED
    large = small_mixer(input_shape=(down * height, across * width, 3), **features)
    pixels = random_pixels((2, down * height, across * width, 3))
    tiles = pixels.reshape(2, down, height, across, width, 3).swapaxes(2, 3)
    small = small_mixer(input_shape=(height, width, 3), **features)
    of_tiles = small.predict(tiles.reshape(-1, height, width, 3), verbose=0)
    mean = of_tiles.reshape(2, down * across, -1).mean(axis=1)
    assert relative_error(large.predict(pixels, verbose=0), mean) <= LARGEST_ERROR


def test_logits_of_a_tiled_image_are_those_of_the_tile(trained):
    path, arrays = trained
    pixels = random_pixels((2, *TRAINED, 3))
    model = small_mixer(weights=path, classes=None, input_shape=(16, 36, 3))
    logits = model.predict(np.tile(pixels, (1, 2, 3, 1)), verbose=0)
    assert relative_error(logits, reference_mixer(arrays, pixels)) <= LARGEST_ERROR


def test_tokens_keep_their_positions(trained):
    """The token at row y, column x of part (r, c) is at row 2r + y, column 3c + x."""
    path, _ = trained
    tokens = {"include_top": False, "weights": path}
    large = small_mixer(input_shape=(16, 24, 3), **tokens)
    pixels = random_pixels((1, 16, 24, 3))
    table = large.predict(pixels, verbose=0).reshape(4, 6, -1)
    small = small_mixer(input_shape=(*TRAINED, 3), **tokens)
    for r in range(2):
        for c in range(2):
            part = pixels[:, 8 * r : 8 * r + 8, 12 * c : 12 * c + 12]
            expected = small.predict(part, verbose=0).reshape(2, 3, -1)
            found = table[2 * r : 2 * r + 2, 3 * c : 3 * c + 3]
            assert relative_error(found, expected) <= LARGEST_ERROR


def test_naive_block_diagonal_weights_would_be_wrong():
    """Copies along the diagonal in row-major order mix horizontal strips, not parts."""
    kernel = np.random.default_rng(0).standard_normal((6, 8))
    adapted = resolution.adapt("Dense_0/kernel", kernel, (2, 3), (4, 6), "block_diagonal")
    naive = np.kron(np.eye(4), kernel)
    assert adapted.shape == naive.shape
    assert not np.array_equal(adapted, naive)
    np.testing.assert_array_equal(np.sort(adapted, axis=None), np.sort(naive, axis=None))


def test_block_diagonal_weights_against_a_formula():
    """`kron(I, kernel)[index]` with the index of each token in the order of the parts."""
    rng = np.random.default_rng(0)
    (h, w), (H, W), hidden = (2, 3), (6, 6), 5
    parts = (H // h) * (W // w)
    index = [
        (y // h * (W // w) + x // w) * h * w + y % h * w + x % w for y in range(H) for x in range(W)
    ]
    arrays = {
        "Dense_0/kernel": rng.standard_normal((h * w, hidden)),
        "Dense_0/bias": rng.standard_normal(hidden),
        "Dense_1/kernel": rng.standard_normal((hidden, h * w)),
        "Dense_1/bias": rng.standard_normal(h * w),
    }
    expected = {
        "Dense_0/kernel": np.kron(np.eye(parts), arrays["Dense_0/kernel"])[index],
        "Dense_0/bias": np.tile(arrays["Dense_0/bias"], parts),
        "Dense_1/kernel": np.kron(np.eye(parts), arrays["Dense_1/kernel"])[:, index],
        "Dense_1/bias": np.tile(arrays["Dense_1/bias"], parts)[index],
    }
    for name, array in arrays.items():
        found = resolution.adapt(name, array, (h, w), (H, W), "block_diagonal")
        np.testing.assert_array_equal(found, expected[name])


GRIDS = [(4, 5), (3, 3), (2, 7), (1, 1), (2, 3), (4, 6)]


@pytest.mark.parametrize("wanted", GRIDS)
def test_interpolated_weights_keep_the_response_to_a_constant_input(wanted):
    rng = np.random.default_rng(0)
    kernel_0, kernel_1 = rng.standard_normal((6, 8)), rng.standard_normal((8, 6))
    bias_0, bias_1 = rng.standard_normal(8), rng.standard_normal(6)

    def adapt(name, array):
        return resolution.adapt(name, array, (2, 3), wanted, "interpolate")

    tokens = wanted[0] * wanted[1]
    before = np.full(6, 0.7) @ kernel_0 + bias_0
    after = np.full(tokens, 0.7) @ adapt("Dense_0/kernel", kernel_0) + adapt("Dense_0/bias", bias_0)
    np.testing.assert_allclose(after, before, atol=1e-12)
    # A hidden layer that writes a constant map writes the same constant.
    flat = adapt("Dense_1/kernel", np.tile(kernel_1[:, :1], 6))
    np.testing.assert_allclose(flat, np.tile(kernel_1[:, :1], tokens), atol=1e-12)
    assert adapt("Dense_1/bias", bias_1).shape == (tokens,)


def test_interpolation_keeps_a_smooth_map():
    """A hidden unit that detects a ramp still does so on a grid twice as fine."""
    ramp = np.broadcast_to(np.linspace(-1, 1, 14), (14, 14)).reshape(-1, 1)
    finer = resolution.adapt("Dense_0/kernel", ramp, (14, 14), (28, 28), "interpolate")
    finer = finer.reshape(28, 28)
    inner = finer[14, 4:-4] * 4  # four tokens share what one had
    np.testing.assert_allclose(np.diff(inner), (ramp[1, 0] - ramp[0, 0]) / 2, rtol=1e-6)
    np.testing.assert_allclose(finer[14], -finer[14, ::-1], atol=1e-12)


def test_interpolation_of_a_model(trained):
    """In a model, a constant map excites the hidden units as before."""
    path, _ = trained
    weights = {"weights": path, "classes": None}
    small = small_mixer(**weights)
    large = small_mixer(input_shape=(20, 28, 3), resolution="interpolate", **weights)
    for i in range(2):
        before, after = (m.get_layer(f"MixerBlock_{i}").token_mixing for m in (small, large))
        hidden = keras.ops.convert_to_numpy(after.dense_0(np.full((1, 16, 35), 0.7, "float32")))
        expected = keras.ops.convert_to_numpy(before.dense_0(np.full((1, 16, 6), 0.7, "float32")))
        np.testing.assert_allclose(hidden, expected, atol=1e-6)
    assert np.isfinite(large.predict(random_pixels((1, 20, 28, 3)), verbose=0)).all()


@pytest.mark.parametrize(
    "shape, how", [((16, 12, 3), "block_diagonal"), ((12, 16, 3), "interpolate")]
)
def test_a_model_of_another_size_saves_and_loads(shape, how, trained, tmp_path):
    path, _ = trained
    model = small_mixer(weights=path, classes=None, input_shape=shape, resolution=how)
    model.save(tmp_path / "other.keras")
    model.save_weights(tmp_path / "other.weights.h5")
    pixels = random_pixels((2, *shape))
    expected = model.predict(pixels, verbose=0)
    sizes = {
        "classes": None,
        "tokens_mlp_dim": model.get_layer("MixerBlock_0").tokens_mlp_dim,
    }
    loaded = [
        keras.saving.load_model(tmp_path / "other.keras"),
        small_mixer(weights=tmp_path / "other.keras", input_shape=None, **sizes),
        small_mixer(weights=tmp_path / "other.weights.h5", input_shape=shape, **sizes),
    ]
    for other in loaded:
        np.testing.assert_array_equal(other.predict(pixels, verbose=0), expected)


def test_other_sizes_are_refused_or_interpolated(trained):
    path, _ = trained
    with pytest.raises(ValueError, match="integer multiple.*2 × 3 patches.*'interpolate'"):
        small_mixer(weights=path, classes=None, input_shape=(12, 12, 3))
    with pytest.raises(ValueError, match="integer multiple"):  # as many patches, otherwise cut
        small_mixer(weights=path, classes=None, input_shape=(12, 8, 3))
    with pytest.raises(ValueError, match="integer multiple"):
        small_mixer(weights=path, classes=None, input_shape=(4, 12, 3))
    model = small_mixer(
        weights=path, classes=None, input_shape=(4, 12, 3), resolution="interpolate"
    )
    assert model.get_layer("MixerBlock_0").tokens_mlp_dim == 8


def test_a_square_grid_is_assumed(tmp_path):
    arrays = random_arrays(small_architecture(num_patches=9).shapes())
    np.savez(tmp_path / "square.npz", **arrays)
    weights = {"weights": tmp_path / "square.npz", "classes": None}
    assert small_mixer(input_shape=None, **weights).input_shape == (None, 12, 12, 3)
    assert small_mixer(input_shape=(24, 12, 3), **weights).get_layer("tokens").output.shape[1] == 18
    # As many patches, but cut in another way: the file does not say so, and it is unlikely.
    with pytest.raises(ValueError, match="integer multiple.*3 × 3 patches"):
        small_mixer(input_shape=(4, 36, 3), **weights)


def test_an_unknown_grid_is_refused(tmp_path):
    np.savez(tmp_path / "oblong.npz", **random_arrays(small_architecture().shapes()))
    with pytest.raises(ValueError, match=r"4 × 6 patches for '.*oblong.npz', trained on 6 patches"):
        small_mixer(weights=tmp_path / "oblong.npz", classes=None, input_shape=(16, 24, 3))


def test_a_variant_takes_its_own_weights_of_a_larger_size(tmp_path):
    """Block-diagonal expansion gives K times D_S at K times the usual grid."""
    small = architecture_of(SIZES["S/32"])
    np.savez(tmp_path / "small.npz", **random_arrays(small.shapes()))
    shape = (448, 224, 3)
    large = keras_mixer.MixerS32(weights=tmp_path / "small.npz", input_shape=shape)
    large.save(tmp_path / "large.keras")
    again = keras_mixer.MixerS32(weights=tmp_path / "large.keras", input_shape=shape)
    assert again.get_layer("MixerBlock_0").tokens_mlp_dim == 512
    pixels = random_pixels((1, *shape))
    np.testing.assert_array_equal(
        again.predict(pixels, verbose=0), large.predict(pixels, verbose=0)
    )


def test_another_width_is_not_mistaken_for_an_expansion(trained):
    path, _ = trained
    with pytest.raises(ValueError, match=r"\(6, 8\) instead of \(6, 4\)"):
        small_mixer(weights=path, classes=None, tokens_mlp_dim=4)
