"""Hidden units: planted inverses, frequencies and controls."""

import csv

import numpy as np
import pytest

from tests.support.hidden_units import GRID, greedy, normal, planted
from training.studies import hidden_units as study
from training.studies.verdicts import NOT_REPRODUCED, REPRODUCED, UNDECIDED

pytestmark = pytest.mark.backend("torch")  # computed by NumPy
NORMAL, PHASES, SIGNS = study.CONTROLS


def wave(down, right, grid=(6, 8), phase=0.3):
    """Return a map of `down` and `right` periods along its rows and columns."""
    y, x = np.mgrid[: grid[0], : grid[1]]
    return np.cos(2 * np.pi * (down * y / grid[0] + right * x / grid[1]) + phase)


def study_maps(maps):
    return study.study_units(maps.reshape(len(maps), -1).T, maps.shape[1:])


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
        limits = {
            study.normal_maps: 0.1,
            study.randomize_phases: limit,
            study.flip_signs: 0.3,
        }
        monkeypatch.setattr(study, "_chance", lambda maps, control: limits[control])
        units = study.HiddenUnits(normal(4), np.array([1, 0, 3, 2]), np.full(4, mean), np.ones(4))
        result = study.judge_pairs(units, 0)
        assert result.verdict == expected
        assert result.controls == {NORMAL: 0.1, PHASES: limit, SIGNS: 0.3}


def test_the_control_is_a_percentile_over_seeds(monkeypatch):
    monkeypatch.setattr(study, "SEEDS", 5)
    maps = normal(6)
    means = []
    for seed in range(5):
        random = np.random.default_rng(seed).standard_normal(maps.shape)
        means.append(greedy(random)[1].mean())
    assert np.isclose(study._chance(maps, study.normal_maps), np.percentile(means, 95))


def test_units_as_csv(tmp_path):
    low, high = wave(0, 1), wave(1, 2)
    units = study_maps(np.stack([high, low, -high]))
    study.write_csv({7: units}, tmp_path / "units.csv")
    with (tmp_path / "units.csv").open() as file:
        rows = list(csv.reader(file))
    f = f"{np.hypot(1 / 6, 2 / 8):.6f}"
    assert rows == [
        ["block", "unit", "partner", "cosine", "frequency"],
        ["7", "1", "", "0.000000", "0.125000"],
        ["7", "0", "2", "1.000000", f],
        ["7", "2", "0", "1.000000", f],
    ]
