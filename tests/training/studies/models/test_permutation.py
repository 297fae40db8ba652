"""Fixed permutation of pixels, and the Mixer's indifference to that of patches.

A Mixer whose initial weights are permuted as its images are computes the same function, has the
same gradients, permuted, and so learns the same: section 3.4 of the paper.
"""

import keras
import numpy as np
import pytest

from tests.support.models import random_pixels
from training.config import Config, Data, Model, Optimization
from training.keras_file import find_mixer, open_model
from training.run import compiled_model
from training.run.folder import RunFolder
from training.run.train import train
from training.studies.models.permutation import (
    PixelPermutation,
    patch_permutation,
    permute_input,
    permute_weights,
    pixel_permutation,
)

HEIGHT, WIDTH, PATCH = 8, 12, 4  # 6 patches
IMAGES = random_pixels((5, HEIGHT, WIDTH, 3)).astype("float32")


def permuted(images, kind, seed):
    """Return permuted images by NumPy's indexing."""
    indices = pixel_permutation(kind, HEIGHT, WIDTH, PATCH, seed)
    return images.reshape(len(images), -1, 3)[:, indices].reshape(images.shape)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("kind", ["patches", "pixels"])
def test_the_indices_are_a_permutation_that_the_seed_determines(kind):
    one, again, other = (pixel_permutation(kind, HEIGHT, WIDTH, PATCH, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(np.sort(one), np.arange(HEIGHT * WIDTH))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any() and (one != np.arange(HEIGHT * WIDTH)).any()


@pytest.mark.backend("torch")
def test_patches_stay_together_and_have_the_same_order_inside():
    """Pixel q of patch p is pixel inner[q] of patch order[p]."""
    order, inner = patch_permutation(6, PATCH**2, seed=3)
    numbers = pixel_permutation("patches", HEIGHT, WIDTH, PATCH, seed=3).reshape(HEIGHT, WIDTH)
    for patch in range(6):
        row, column = (PATCH * i for i in divmod(patch, WIDTH // PATCH))
        found = numbers[row : row + PATCH, column : column + PATCH].reshape(-1)
        source_row, source_column = (PATCH * i for i in divmod(order[patch], WIDTH // PATCH))
        inner_row, inner_column = np.divmod(inner, PATCH)
        expected = (source_row + inner_row) * WIDTH + source_column + inner_column
        np.testing.assert_array_equal(found, expected)


@pytest.mark.backend("torch")
def test_pixels_leave_their_patches():
    numbers = pixel_permutation("pixels", HEIGHT, WIDTH, PATCH, 0)
    patches = numbers // WIDTH // PATCH * (WIDTH // PATCH) + numbers % WIDTH // PATCH
    assert len(set(patches.reshape(HEIGHT, WIDTH)[:PATCH, :PATCH].flat)) > 1


@pytest.mark.parametrize("kind", ["patches", "pixels"])
def test_the_layer_permutes_images(kind):
    layer = PixelPermutation(kind, PATCH, seed=7)
    found = keras.ops.convert_to_numpy(layer(IMAGES))
    np.testing.assert_array_equal(found, permuted(IMAGES, kind, 7))


def test_a_saved_model_permutes_in_the_same_way(tmp_path):
    images = keras.Input(IMAGES.shape[1:])
    body = keras.Model(images, keras.layers.Flatten()(images), name="body")
    model = permute_input(body, "patches", PATCH, seed=7)
    expected = permuted(IMAGES, "patches", 7).reshape(len(IMAGES), -1)
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), expected)
    model.save(tmp_path / "model.keras")
    loaded = open_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(IMAGES, verbose=0), expected)


SIDE, SEED = 12, 5  # 9 patches
ORDERS = patch_permutation(9, PATCH**2, SEED)
LOSSES = ("loss", "val_loss")
ACCURACIES = ("accuracy", "val_accuracy")


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """Images of three classes, which differ in the brightness of their halves."""
    path = tmp_path_factory.mktemp("images") / "set.npz"
    rng = np.random.default_rng(0)
    labels = np.arange(75) % 3
    images = rng.integers(0, 160, (75, SIDE, SIDE, 3))
    images[labels == 1, :6] += 50
    images[labels == 2, :, 6:] += 50
    np.savez(path, x_train=images.astype("uint8"), y_train=labels)
    return path


def train_mixer(arrays, folder, input_permutation, optimizer):
    """Return the history and the weights of a run of 24 updates."""
    config = Config(
        seed=SEED,
        data=Data(source=f"arrays:{arrays}", image_size=SIDE, batch_size=8),
        model=Model(
            patch_size=PATCH,
            hidden_dim=16,
            num_blocks=2,
            tokens_mlp_dim=8,
            channels_mlp_dim=24,
            input_permutation=input_permutation,
        ),
        optimization=optimizer,
    )
    run = RunFolder(folder)
    train(config, run, verbose=0)
    return run.read_history(), find_mixer(open_model(run.model))


def distance(one, other):
    """Return the largest relative difference of the losses of two histories."""
    return max(abs(a[k] / b[k] - 1) for a, b in zip(one, other, strict=True) for k in LOSSES)


OPTIMIZERS = {
    "sgd": Optimization(total_epochs=4, warmup_steps=2, optimizer="sgd", learning_rate=0.3),
    "adamw": Optimization(total_epochs=4, warmup_steps=2, learning_rate=0.01),
}


# It adds the same number to all channels of a token, and every LayerNorm subtracts it again.
WITHOUT_GRADIENT = "token_mixing/Dense_1/bias"


@pytest.mark.backend("torch")  # each permutes the same pixels, as above
@pytest.mark.parametrize("optimizer", ["sgd", pytest.param("adamw", marks=pytest.mark.long)])
def test_a_mixer_learns_the_same_from_permuted_patches(arrays, tmp_path, monkeypatch, optimizer):
    """Over 24 updates, losses and weights differ by rounding alone: about 4e-7 and 1e-6.

    AdamW divides gradients by their size, so it turns those that are rounding alone into updates
    of 1e-5. They belong to weights that change nothing.
    """
    chosen = OPTIMIZERS[optimizer]
    history, mixer = train_mixer(arrays, tmp_path / "plain", "none", chosen)
    control, _ = train_mixer(arrays, tmp_path / "control", "patches", chosen)

    build_model = compiled_model.build_model

    def with_permuted_weights(*arguments):
        model = build_model(*arguments)  # its weights are those of the first run
        permute_weights(find_mixer(model), *ORDERS)
        return model

    monkeypatch.setattr(compiled_model, "build_model", with_permuted_weights)
    found, other = train_mixer(arrays, tmp_path / "permuted", "patches", chosen)
    permute_weights(mixer, *ORDERS)
    assert distance(found, history) < 5e-6 < 0.01 < distance(control, history)
    for row, expected in zip(found, history, strict=True):
        assert [row[key] for key in ACCURACIES] == [expected[key] for key in ACCURACIES]
    for one, expected in zip(other.weights, mixer.weights, strict=True):
        if optimizer == "sgd" or not one.path.endswith(WITHOUT_GRADIENT):
            one, expected = map(keras.ops.convert_to_numpy, (one, expected))
            np.testing.assert_allclose(one, expected, rtol=0, atol=1e-5)
