"""Weights read from models, and their changes over checkpoints."""

import keras
import numpy as np
import pytest

from tests.support.hidden_units import GRID, greedy, normal, planted
from tests.support.models import randomize, small_mixer
from tests.support.reference import LARGEST_ERROR, relative_error
from training.errors import UserError
from training.studies import weights as study
from training.studies.hidden_units import study_units, unit_maps


@pytest.mark.backend("torch")  # computed by NumPy
def test_changes_are_relative_to_the_first_checkpoint():
    first, second = (normal(8, seed).reshape(8, -1).T for seed in (0, 1))
    stem = np.zeros((2, 2, 1, 3))
    checkpoints = [
        (step, study.MixerWeights(GRID, kernels, stem))
        for step, kernels in ((3, (first, second)), (9, (3 * first, second - first)))
    ]
    changes = study.measure_changes(iter(checkpoints))
    assert [(c.step, c.block) for c in changes] == [(3, 0), (3, 1), (9, 0), (9, 1)]
    expected = [0, 0, 2, np.sqrt((first**2).sum() / (second**2).sum())]
    np.testing.assert_allclose([c.relative_change for c in changes], expected)
    units = study_units(second - first, GRID)
    assert np.isclose(changes[3].mean_cosine, greedy(units.maps)[1].mean())
    assert np.isclose(changes[3].mean_frequency, units.frequencies.mean())


class TestReading:
    def test_weights_are_those_of_the_mixer_also_inside_a_model(self):
        mixer = small_mixer()
        arrays = randomize(mixer)
        for model in (mixer, keras.Sequential([keras.Input((8, 12, 3)), mixer])):
            weights = study.read_weights(model)
            assert weights.grid == (2, 3) and len(weights.kernels) == 2
            for i, kernel in enumerate(weights.kernels):
                expected = arrays[f"MixerBlock_{i}/token_mixing/Dense_0/kernel"]
                assert kernel.dtype == np.float64 and (kernel == expected).all()
            assert (weights.stem == arrays["stem/kernel"]).all()

    def test_maps_are_rows_and_columns_of_patches(self):
        """The hidden activation of an image with one bright patch is one weight of each map."""
        mixer = small_mixer()
        randomize(mixer)
        block = mixer.get_layer("MixerBlock_0")
        weights = study.read_weights(mixer)
        maps = unit_maps(weights.kernels[0], weights.grid)
        tokens = np.zeros((1, 2, 3, 16), "float32")
        tokens[0, 1, 2] = 1  # second row, third column
        y = tokens.reshape(1, 6, 16).swapaxes(1, 2)  # (1, hidden_dim, patches)
        dense = block.token_mixing.dense_0
        hidden = keras.ops.convert_to_numpy(dense(y) - dense(0 * y))[0, 0]
        assert relative_error(hidden, maps[:, 1, 2]) <= LARGEST_ERROR

    def test_units_of_a_higher_resolution_are_paired_within_their_part(self, tmp_path):
        small = small_mixer(tokens_mlp_dim=6)
        randomize(small)
        maps, expected = planted(3, noise=0.2, grid=(2, 3))
        for block in ("MixerBlock_0", "MixerBlock_1"):
            kernel = small.get_layer(block).token_mixing.dense_0.kernel
            kernel.assign(maps.reshape(6, 6).T)
        small.save(path := tmp_path / "small.keras")
        large = small_mixer(tokens_mlp_dim=6, input_shape=(16, 24, 3), weights=path)
        weights = study.read_weights(large)
        assert weights.grid == (4, 6)
        units = study_units(weights.kernels[1], weights.grid)
        assert len(units.maps) == 4 * 6
        for unit, whole in enumerate(units.maps):
            part, number = divmod(unit, 6)
            y, x = 2 * (part // 2), 3 * (part % 2)
            inside = whole[y : y + 2, x : x + 3]
            assert relative_error(inside, maps[number]) <= LARGEST_ERROR
            assert np.abs(whole).sum() == np.abs(inside).sum()
            assert units.partners[unit] == part * 6 + expected[number]

    def test_a_model_without_a_mixer(self):
        layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
        with pytest.raises(UserError, match="MODEL must hold a Mixer. Received: a model without"):
            study.read_weights(keras.Sequential(layers))

    def test_another_model_with_a_layer_of_the_same_name(self):
        images = keras.Input((8, 8, 3))
        norm = keras.layers.LayerNormalization(name="pre_head_layer_norm")
        with pytest.raises(UserError, match="must hold a Mixer"):
            study.read_weights(keras.Model(images, norm(images)))

    @pytest.mark.parametrize("name", ["stem", "MixerBlock_1"])
    def test_weights_that_are_not_finite(self, name):
        mixer = small_mixer()
        layer = mixer.get_layer(name)
        kernel = layer.kernel if name == "stem" else layer.token_mixing.dense_0.kernel
        kernel.assign(np.full(kernel.shape, np.nan))
        with pytest.raises(UserError, match=f"finite weights. Received: NaN or infinity in {name}"):
            study.read_weights(mixer)

    def test_quantized_weights(self):
        mixer = small_mixer()
        mixer.quantize("int8")
        with pytest.raises(UserError, match="not quantized. Received: int8. Pass the model as"):
            study.read_weights(mixer)
