"""Hidden units: planted inverses, frequencies and controls; weights read from models."""

import csv

import keras
import numpy as np
import pytest

from tests.support.models import randomize, small_mixer
from tests.support.reference import LARGEST_ERROR, relative_error
from training.errors import UserError
from training.studies import weights as study
from training.studies.verdicts import NOT_REPRODUCED, REPRODUCED, UNDECIDED

numpy_only = pytest.mark.backend("torch")  # computed by NumPy
GRID = (5, 6)
NORMAL, PHASES, SIGNS = study.CONTROLS


def normal(units, seed=0, grid=GRID):
    return np.random.default_rng(seed).standard_normal((units, *grid))


def planted(pairs, noise=0.0, grid=GRID):
    """Return maps and partners: each of `pairs` maps and its inverse, in random order."""
    maps = normal(pairs, grid=grid)
    maps = np.concatenate([maps, -maps + noise * normal(pairs, 1, grid)])
    order = np.random.default_rng(2).permutation(2 * pairs)
    partners = np.concatenate([np.arange(pairs, 2 * pairs), np.arange(pairs)])
    return maps[order], np.argsort(order)[partners[order]]


def wave(down, right, grid=(6, 8), phase=0.3):
    """Return a map of `down` and `right` periods along its rows and columns."""
    y, x = np.mgrid[: grid[0], : grid[1]]
    return np.cos(2 * np.pi * (down * y / grid[0] + right * x / grid[1]) + phase)


def study_maps(maps):
    return study.study_units(maps.reshape(len(maps), -1).T, maps.shape[1:])


def greedy(maps):
    """Return partners and cosines: pair by pair, from the largest cosine to the smallest."""
    flat = maps.reshape(len(maps), -1)
    cosines = {}
    for i, a in enumerate(flat):
        for j, b in enumerate(flat[:i]):
            cosines[i, j] = a @ -b / np.sqrt((a @ a) * (b @ b))
    partners, found = np.full(len(maps), -1), np.zeros(len(maps))
    for i, j in sorted(cosines, key=cosines.get, reverse=True):
        if partners[i] < 0 and partners[j] < 0:
            partners[[i, j]], found[[i, j]] = [j, i], cosines[i, j]
    return partners, found


@numpy_only
class TestPairs:
    @pytest.mark.parametrize("noise", [0.0, 0.2])
    def test_planted_inverses_are_found(self, noise):
        maps, expected = planted(20, noise)
        scales = np.random.default_rng(3).uniform(0.1, 10, (40, 1, 1))
        partners, cosines = study.pair_inverses(maps * scales)
        assert (partners == expected).all()
        assert cosines.min() > 0.9 and (noise or np.allclose(cosines, 1))

    @pytest.mark.parametrize("units", [1, 2, 9, 40])
    def test_the_largest_cosine_is_paired_first(self, units):
        maps = normal(units)
        partners, cosines = study.pair_inverses(maps)
        expected_partners, expected_cosines = greedy(maps)
        assert (partners == expected_partners).all()
        np.testing.assert_allclose(cosines, expected_cosines, atol=1e-12)

    def test_equal_and_dead_units_are_in_one_pair_each(self):
        maps = np.concatenate([np.ones((3, *GRID)), -np.ones((2, *GRID)), np.zeros((2, *GRID))])
        partners, cosines = study.pair_inverses(maps)
        assert list(partners) == [3, 4, 5, 0, 1, 2, -1]
        np.testing.assert_allclose(cosines, [1, 1, 0, 1, 1, 0, 0], atol=1e-12)

    def test_pairs_are_sorted_by_their_mean_frequency(self):
        high, low, middle = wave(3, 1), wave(0, 1), wave(1, 2)
        units = study_maps(np.stack([high, low, -high, middle, -middle, -low]))
        assert units.pairs() == [(1, 5), (3, 4), (0, 2)]

    def test_one_without_a_partner_is_sorted_by_its_own_frequency(self):
        high, low, middle = wave(3, 1), wave(0, 1), wave(1, 2)
        units = study_maps(np.stack([-low, high, middle, low, -high]))
        assert units.pairs() == [(0, 3), (2, -1), (1, 4)]


@numpy_only
class TestFrequencies:
    def test_waves(self):
        periods = [(0, 0), (1, 0), (0, 1), (2, 3), (3, 4)]
        maps = np.stack([wave(*p) for p in periods] + [np.zeros((6, 8))])
        expected = [*(np.hypot(down / 6, right / 8) for down, right in periods), 0]
        np.testing.assert_allclose(study.mean_frequencies(maps), expected, atol=1e-9)

    def test_powers_of_a_sum_are_the_weights(self):
        both = wave(1, 0) + 2 * wave(0, 2)
        np.testing.assert_allclose(study.mean_frequencies(both[None]), (1 / 6 + 4 * 2 / 8) / 5)

    def test_channels_of_opposite_sign_do_not_cancel(self):
        maps = np.stack([wave(1, 2), -wave(1, 2)], axis=-1)[None]
        np.testing.assert_allclose(study.mean_frequencies(maps), np.hypot(1 / 6, 2 / 8))


@numpy_only
class TestControls:
    def test_random_phases_keep_the_spectrum_only(self):
        maps = normal(4)
        changed = study.randomize_phases(maps, np.random.default_rng(5))
        assert changed.dtype == np.float64 and not np.allclose(changed, maps)
        spectra = (np.abs(np.fft.fft2(x)) for x in (maps, changed))
        np.testing.assert_allclose(*spectra, atol=1e-9)

    def test_random_signs_keep_the_units(self):
        maps = normal(50)
        signs = study.flip_signs(maps, np.random.default_rng(5)) / maps
        assert set(np.unique(signs)) == {-1.0, 1.0}
        assert (signs == signs[:, :1, :1]).all()

    def test_planted_pairs_are_reproduced(self):
        result = study.judge_pairs(study_maps(planted(30, noise=0.3)[0]), block=4)
        assert (result.block, result.units, result.verdict) == (4, 60, REPRODUCED)
        assert result.mean_cosine > 0.9 > max(result.controls.values()) + 0.1

    @pytest.mark.parametrize("seed", range(3))
    def test_random_units_are_not(self, seed):
        result = study.judge_pairs(study_maps(normal(60, seed)), block=0)
        assert result.verdict != REPRODUCED
        assert abs(result.mean_cosine - result.controls[NORMAL]) < 0.05

    def test_smooth_units_are_not_paired_though_smoother_than_noise(self):
        """Waves of random phases have near inverses by chance, which white noise does not."""
        rng = np.random.default_rng(4)
        periods, phases = rng.integers(0, 3, (60, 2)), rng.uniform(0, 7, 60)
        maps = np.stack([wave(*p, (8, 8), phase) for p, phase in zip(periods, phases, strict=True)])
        result = study.judge_pairs(study_maps(maps), block=0)
        assert result.mean_cosine > result.controls[NORMAL] + 0.1
        assert result.verdict != REPRODUCED

    def test_units_of_one_sign_are_not_paired(self):
        maps = wave(1, 2) + 0.3 * normal(40, grid=(6, 8))
        result = study.judge_pairs(study_maps(maps), block=0)
        assert result.mean_cosine < 0 < result.controls[SIGNS] and result.verdict != REPRODUCED

    @pytest.mark.parametrize(
        "mean, limit, expected",
        [
            (0.56, 0.5, REPRODUCED),
            (0.54, 0.5, UNDECIDED),
            (0.5, 0.5, NOT_REPRODUCED),
            (0.2, 0.5, NOT_REPRODUCED),
            (0.99, 0.91, UNDECIDED),
        ],
    )
    def test_the_rule(self, mean, limit, expected, monkeypatch):
        limits = {study.normal_maps: 0.1, study.randomize_phases: limit, study.flip_signs: 0.3}
        monkeypatch.setattr(study, "_chance", lambda maps, control: limits[control])
        units = study.HiddenUnits(normal(4), np.array([1, 0, 3, 2]), np.full(4, mean), np.ones(4))
        result = study.judge_pairs(units, 0)
        assert result.verdict == expected
        assert result.controls == {NORMAL: 0.1, PHASES: limit, SIGNS: 0.3}


@numpy_only
def test_the_control_is_a_percentile_over_seeds(monkeypatch):
    monkeypatch.setattr(study, "SEEDS", 5)
    maps = normal(6)
    means = []
    for seed in range(5):
        random = np.random.default_rng(seed).standard_normal(maps.shape)
        means.append(greedy(random)[1].mean())
    assert np.isclose(study._chance(maps, study.normal_maps), np.percentile(means, 95))


@numpy_only
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
    units = study.study_units(second - first, GRID)
    assert np.isclose(changes[3].mean_cosine, greedy(units.maps)[1].mean())
    assert np.isclose(changes[3].mean_frequency, units.frequencies.mean())


@numpy_only
def test_units_as_csv(tmp_path):
    low, high = wave(0, 1), wave(1, 2)
    units = study_maps(np.stack([high, low, -high]))
    study.write_units({7: units}, tmp_path / "units.csv")
    with (tmp_path / "units.csv").open() as file:
        rows = list(csv.reader(file))
    f = f"{np.hypot(1 / 6, 2 / 8):.6f}"
    assert rows == [
        ["block", "unit", "partner", "cosine", "frequency"],
        ["7", "1", "", "0.000000", "0.125000"],
        ["7", "0", "2", "1.000000", f],
        ["7", "2", "0", "1.000000", f],
    ]


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
        maps = study.unit_maps(weights.kernels[0], weights.grid)
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
        units = study.study_units(weights.kernels[1], weights.grid)
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
