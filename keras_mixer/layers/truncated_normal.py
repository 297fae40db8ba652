"""Samples of the truncated normal distribution, from NumPy on all cores."""

import concurrent.futures
import functools
import os
import statistics

import numpy as np

from keras_mixer.layers.flat_array import flat_array

LIMIT = 2.0  # standard deviations of the normal distribution at which it is cut off
INTERVALS = 1 << 16  # of equal probability: one for each value of 16 random bits
CHUNK = 1 << 16  # samples that have a generator of their own; they stay in the cache of a core


def truncated_normal(shape, stddev, seed):
    """Sample a normal distribution that is cut off at two standard deviations.

    Samples are values of the quantile function, which is linear between 65,537 exact values here.
    It differs from the exact one by less than 3e-8 standard deviations, half the rounding error of
    a float32 near 1.

    The result depends on the arguments only: not on the backend, the number of cores or the version
    of NumPy, whose bit generators have fixed streams.

    Args:
        shape: Shape of the result.
        stddev: Standard deviation of the result, that is, after the cut.
        seed: Integer that is not negative.

    Returns:
        A float32 array.
    """
    samples = flat_array(shape)
    chunks = [samples[start : start + CHUNK] for start in range(0, samples.size, CHUNK)]
    lower, width = _quantiles()
    fill = functools.partial(_fill, lower, width, stddev, seed)
    if len(chunks) < 2:
        list(map(fill, range(len(chunks)), chunks))
    else:
        with concurrent.futures.ThreadPoolExecutor(min(len(chunks), _cores())) as threads:
            list(threads.map(fill, range(len(chunks)), chunks))  # a list raises errors
    return samples.reshape(shape)


def _fill(lower, width, stddev, seed, index, chunk):
    """Fill chunk number `index`. NumPy releases Python's lock, so threads work in parallel."""
    bits = np.random.PCG64DXSM(np.random.SeedSequence(seed, spawn_key=(index,)))
    halves = bits.random_raw(-(-chunk.size // 2)).view(np.uint16)  # two of 16 bits a sample
    interval = halves[: chunk.size].astype(np.intp)
    position = halves[-chunk.size :].astype(np.float32)
    position += 0.5  # the middle, so that the distribution is symmetric
    position *= 1 / INTERVALS
    position *= width.take(interval)
    lower.take(interval, out=chunk, mode="clip")
    chunk += position
    chunk *= stddev


@functools.cache
def _quantiles():
    """Return the lower end and the width of each interval, for a standard deviation of 1."""
    normal = statistics.NormalDist()
    tail = normal.cdf(-LIMIT)
    step = (1 - 2 * tail) / INTERVALS
    inner = [normal.inv_cdf(tail + step * k) for k in range(1, INTERVALS // 2)]
    negative = np.array([-LIMIT, *inner])
    quantiles = np.concatenate([negative, [0], -negative[::-1]]) / _stddev_after_the_cut()
    return quantiles[:-1].astype(np.float32), np.diff(quantiles).astype(np.float32)


def _stddev_after_the_cut():
    """Return the standard deviation of the standard normal distribution within the limits.

    By integration by parts of x² φ(x), its variance is 1 - 2 a φ(a) / (Φ(a) - Φ(-a)) for limits
    ±a.
    """
    normal = statistics.NormalDist()
    probability = normal.cdf(LIMIT) - normal.cdf(-LIMIT)
    return (1 - 2 * LIMIT * normal.pdf(LIMIT) / probability) ** 0.5


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
