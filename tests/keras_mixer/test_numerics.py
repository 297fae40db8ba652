"""The model computes the paper's equations, on every backend and across backends."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer.layers.initialization import skip_initialization
from run import BACKENDS
from tests.support.models import random_pixels, randomize, small_mixer
from tests.support.reference import LARGEST_ERROR, relative_error
from tests.support.reference import mixer as reference_mixer

pytestmark = pytest.mark.usefixtures("full_optimization")  # the errors are of rounding
VARIANTS = ("MixerS32", pytest.param("MixerB16", marks=pytest.mark.long))


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_match_the_float64_reference(variant):
    with skip_initialization():  # `randomize` fills all weights
        model = getattr(keras_mixer, variant)(weights=None, classifier_activation=None)
    pixels = random_pixels((2, 224, 224, 3), seed=1)
    reference = reference_mixer(randomize(model), pixels)
    assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved model, an input and the reference logits."""
    folder = tmp_path_factory.mktemp("saved")
    model = small_mixer(drop_path_rate=0.1)
    pixels = random_pixels((3, 8, 12, 3))
    reference = reference_mixer(randomize(model), pixels)
    model.save(folder / "model.keras")
    return folder, pixels, reference


@pytest.fixture(scope="module", params=[b for b in BACKENDS if b != keras.backend.backend()])
def other_backend(saved, request):
    """Another backend has loaded the model and saved its logits and its weights."""
    folder, _, _ = saved
    code = (
        "import keras, numpy, keras_mixer\n"
        "from tests.support.models import random_pixels\n"
        f"model = keras.saving.load_model({str(folder / 'model.keras')!r})\n"
        "logits = model.predict(random_pixels((3, 8, 12, 3)), verbose=0)\n"
        f"numpy.save({str(folder / 'logits.npy')!r}, logits)\n"
        f"model.save_weights({str(folder / 'other.weights.h5')!r})\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": request.param}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.long
def test_a_saved_model_is_loaded_by_every_other_backend(saved, other_backend):
    folder, _, reference = saved
    assert relative_error(np.load(folder / "logits.npy"), reference) <= LARGEST_ERROR


@pytest.mark.long
def test_weights_saved_by_every_other_backend_are_loaded(saved, other_backend):
    folder, pixels, reference = saved
    model = small_mixer(drop_path_rate=0.1)
    model.load_weights(folder / "other.weights.h5")
    assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR


def test_a_saved_model_is_loaded_by_its_own_backend(saved):
    folder, pixels, reference = saved
    model = keras.saving.load_model(folder / "model.keras")
    assert relative_error(model.predict(pixels, verbose=0), reference) <= LARGEST_ERROR


class TestExactProperties:
    """Exact invariances of the architecture, given suitable weights (section 3.4 of the paper)."""

    patch, rows, columns = 4, 3, 5

    @pytest.fixture
    def model(self):
        model = small_mixer(
            patch_size=self.patch,
            input_shape=(self.patch * self.rows, self.patch * self.columns, 3),
        )
        randomize(model)
        return model

    @pytest.fixture
    def patches(self):
        """Pixels as (batch, row, column, y, x, channel)."""
        shape = (2, self.rows, self.columns, self.patch, self.patch, 3)
        return random_pixels(shape)

    def images(self, patches):
        height, width = self.rows * self.patch, self.columns * self.patch
        return patches.swapaxes(2, 3).reshape(-1, height, width, 3)

    def test_order_of_the_patches(self, model, patches):
        """Permuting the patches and the token-mixing weights alike changes no logits."""
        before = model.predict(self.images(patches), verbose=0)
        order = np.random.default_rng(0).permutation(self.rows * self.columns)
        shuffled = patches.reshape(2, -1, self.patch, self.patch, 3)[:, order]
        shuffled = self.images(shuffled.reshape(patches.shape))
        assert relative_error(model.predict(shuffled, verbose=0), before) > 1e-2
        for i in range(2):
            mlp = model.get_layer(f"MixerBlock_{i}").token_mixing
            kernel_0, bias_0, kernel_1, bias_1 = mlp.get_weights()
            mlp.set_weights([kernel_0[order], bias_0, kernel_1[:, order], bias_1[order]])
        after = model.predict(shuffled, verbose=0)
        assert relative_error(after, before) <= LARGEST_ERROR

    def test_order_of_the_pixels_inside_the_patches(self, model, patches):
        """Permuting the pixels of all patches and the stem's kernel alike changes no logits."""
        before = model.predict(self.images(patches), verbose=0)
        order = np.random.default_rng(0).permutation(self.patch**2)
        flat = patches.reshape(2, self.rows, self.columns, -1, 3)[:, :, :, order]
        shuffled = self.images(flat.reshape(patches.shape))
        assert relative_error(model.predict(shuffled, verbose=0), before) > 1e-2
        stem = model.get_layer("stem")
        kernel, bias = stem.get_weights()
        stem.set_weights([kernel.reshape(-1, 3, 16)[order].reshape(kernel.shape), bias])
        after = model.predict(shuffled, verbose=0)
        assert relative_error(after, before) <= LARGEST_ERROR


def test_golden_losses():
    """Five steps from the same weights on the same images give these losses on any backend."""
    model = small_mixer()
    randomize(model)
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    pixels, labels = random_pixels((10, 8, 12, 3)), np.arange(10) % 5
    losses = [model.train_on_batch(pixels, labels) for _ in range(5)]
    golden = [1.772031, 1.659938, 1.494098, 1.325158, 1.171570]
    np.testing.assert_allclose(losses, golden, rtol=1e-5)
