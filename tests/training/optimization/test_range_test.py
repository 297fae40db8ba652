"""Smoothing, divergence and the suggested rate, on made-up losses."""

import numpy as np
import pytest

from training.optimization.range_test import FALL, has_diverged, smooth, smoothing, suggest

pytestmark = pytest.mark.backend("torch")  # NumPy only

RATES = np.geomspace(1e-6, 1, 200)


def falling(center, noise=0.0, seed=0):
    """Return losses that fall from 2.5 to 0.5, to the middle of it at the rate `center`."""
    losses = 0.5 + 2 / (1 + (RATES / center) ** 2)
    return losses + noise * np.random.default_rng(seed).normal(size=200)


def test_smoothed_losses_are_weighted_means_of_all_earlier_ones():
    losses = np.random.default_rng(0).uniform(1, 3, 30)
    smoothed = smooth(losses, 0.8)
    for i in range(30):
        weights = 0.8 ** np.arange(i, -1, -1)
        assert smoothed[i] == pytest.approx(np.average(losses[: i + 1], weights=weights))
    np.testing.assert_allclose(smooth([2.0] * 5, 0.9), 2.0)
    np.testing.assert_allclose(smooth(losses, 0.0), losses)


def test_the_average_spans_a_share_of_the_sweep():
    assert smoothing(200) == pytest.approx(0.9)
    assert smoothing(400) == pytest.approx(0.95)
    assert smoothing(20) == smoothing(10) == 0


@pytest.mark.parametrize("center", [1e-4, 1e-3, 3e-2])
def test_the_suggestion_has_a_share_of_the_fall(center):
    """Of these losses, 1 - 1 / (1 + r²) of the fall is made at r times the rate `center`."""
    suggestion = suggest(RATES, falling(center))
    assert suggestion == pytest.approx(center * np.sqrt(FALL / (1 - FALL)), rel=0.08)
    for seed in range(5):  # an average of ten losses is late
        noisy = smooth(falling(center, 0.1, seed), smoothing(200))
        assert suggestion < suggest(RATES, noisy) < suggestion * 3


def test_units_of_the_learning_rate_and_of_the_loss_do_not_matter():
    losses = falling(1e-3, noise=0.05)
    suggestion = suggest(RATES, losses)
    assert suggest(7 * RATES, losses) == pytest.approx(7 * suggestion)
    assert suggest(RATES, 3 * losses) == pytest.approx(suggestion)


def test_losses_after_the_divergence_do_not_change_the_suggestion():
    losses = falling(1e-3)
    diverging = np.concatenate([losses[:180], losses[180] * 1.1 ** np.arange(20)])
    assert suggest(RATES, diverging) == suggest(RATES, losses)


@pytest.mark.parametrize("losses", [[], [2.5] * 200, np.linspace(2.5, 4, 200)])
def test_no_suggestion_if_the_loss_does_not_fall(losses):
    assert suggest(RATES[: len(losses)], np.array(losses)) is None


def test_divergence_is_a_multiple_of_the_lowest_smoothed_loss():
    assert not has_diverged(np.array([2.0]))
    assert not has_diverged(np.array([2.0, 0.5, 1.9]))
    assert has_diverged(np.array([2.0, 0.5, 2.1]))
