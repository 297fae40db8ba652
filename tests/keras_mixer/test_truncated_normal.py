"""The distribution of the samples, against Python's exact normal distribution."""

import math
import statistics

import numpy as np
import pytest

from keras_mixer.layers import truncated_normal as module
from keras_mixer.layers.truncated_normal import CHUNK, INTERVALS, truncated_normal

pytestmark = pytest.mark.backend("torch")  # NumPy only

SAMPLES = 4_000_000
KEEP = 0.87962566103423978  # standard deviation within two standard deviations, from Keras


@pytest.fixture(scope="module")
def samples():
    return truncated_normal((SAMPLES,), 1.0, seed=11).astype("float64")


def test_moments(samples):
    """Within four standard errors of the exact moments."""
    normal = statistics.NormalDist()
    probability, density = normal.cdf(2) - normal.cdf(-2), normal.pdf(2)
    # By integration by parts, m4 = 3 m2 - 2 · 2³ φ(2) / p, before dividing by the variance.
    m2 = 1 - 4 * density / probability
    m4 = (3 * m2 - 16 * density / probability) / m2**2
    assert KEEP == pytest.approx(math.sqrt(m2), rel=1e-15)
    assert abs(samples.mean()) < 4 / math.sqrt(SAMPLES)
    assert abs((samples**2).mean() - 1) < 4 * math.sqrt((m4 - 1) / SAMPLES)
    assert abs((samples**3).mean()) < 4 * math.sqrt(m4 * 4 / SAMPLES)
    assert (samples**4).mean() == pytest.approx(m4, rel=5e-3)


def test_distribution(samples):
    """The Kolmogorov-Smirnov distance is below its 99.99 % quantile, 2.23 / √n."""
    normal = statistics.NormalDist()
    at = np.linspace(-2, 2, 2001)
    below = np.searchsorted(np.sort(samples * KEEP), at) / SAMPLES
    tail = normal.cdf(-2)
    exact = np.array([(normal.cdf(x) - tail) / (1 - 2 * tail) for x in at])
    assert np.abs(below - exact).max() < 2.23 / math.sqrt(SAMPLES)


def test_limits(samples):
    assert np.abs(samples).max() * KEEP <= 2 * (1 + 1e-6)
    assert np.abs(samples).max() * KEEP > 1.999


def test_neighbors_are_uncorrelated(samples):
    for lag in (1, 2, CHUNK):
        correlation = (samples[lag:] * samples[:-lag]).mean()
        assert abs(correlation) < 5 / math.sqrt(SAMPLES), lag


def test_the_table_is_exact_to_half_the_rounding_of_a_float():
    """Linear interpolation is worst in the middle of the intervals at the ends."""
    normal = statistics.NormalDist()
    tail = normal.cdf(-2)
    lower, width = (part.astype("float64") for part in module._quantiles())
    assert len(lower) == len(width) == INTERVALS
    for k in (0, 1, 2, 1000, INTERVALS // 2, INTERVALS - 1):
        exact = normal.inv_cdf(tail + (1 - 2 * tail) * (k + 0.5) / INTERVALS) / KEEP
        assert lower[k] + width[k] / 2 == pytest.approx(exact, abs=1.5e-7), k  # a float32 near 2


def test_the_result_depends_on_the_seed_only(monkeypatch):
    shape = (3, CHUNK - 1)
    expected = truncated_normal(shape, 0.5, seed=1)
    for cores in (1, 7):
        monkeypatch.setattr(module, "_cores", lambda cores=cores: cores)
        np.testing.assert_array_equal(truncated_normal(shape, 0.5, seed=1), expected)
    assert np.mean(truncated_normal(shape, 0.5, seed=2) == expected) < 1e-3


def test_chunks_differ():
    first, second = truncated_normal((2, CHUNK), 1.0, seed=5)
    assert np.mean(first == second) < 1e-3


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3, 5), (CHUNK,), (CHUNK + 1,), (0, 4), ()])
def test_shapes(shape):
    result = truncated_normal(shape, 0.1, seed=0)
    assert result.shape == shape
    assert result.dtype == np.float32
    assert np.all((0 < np.abs(result)) & (np.abs(result) < 0.23))


def test_scale():
    wide, narrow = (truncated_normal((100,), stddev, seed=0) for stddev in (1.0, 0.25))
    np.testing.assert_array_equal(wide / 4, narrow)


def test_values_do_not_change():
    """The first samples of a seed, which runs depend on."""
    expected = [1.4841974973678589, -1.5187129974365234, -0.05698547884821892, -1.0862672328948975]
    np.testing.assert_array_equal(truncated_normal((4,), 1.0, seed=0), np.float32(expected))
