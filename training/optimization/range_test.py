"""Learning-rate range test: smoothed losses of a sweep, divergence, and the suggested rate.

The learning rate grows from step to step by the same factor (Smith 2017, arXiv 1506.01186, with
an exponential instead of a linear sweep).
"""

import numpy as np

SPAN = 0.05  # steps that a smoothed loss averages, as a share of the sweep
DIVERGENCE = 4.0  # ratio to the lowest smoothed loss from which on the training diverges
FALL = 0.7  # share of the fall of the smoothed loss that is made at the suggested rate
LEAST_FALL = 0.02  # of the first loss


def smoothing(steps):
    """Return the momentum of the average for a sweep of `steps` updates: 0.9 for 200."""
    return max(0.0, 1 - 1 / (SPAN * steps))


def smooth(losses, momentum):
    """Return the exponential moving averages of losses, corrected for their start at zero.

        m_i = μ m_(i-1) + (1 - μ) l_i        s_i = m_i / (1 - μ^(i+1))

    So the first smoothed loss is the first loss.

    Args:
        losses: The losses l, (steps,).
        momentum: μ.
    """
    averages, average = [], 0.0
    for loss in losses:
        average = momentum * average + (1 - momentum) * loss
        averages.append(average)
    steps = np.arange(1, len(averages) + 1)
    return np.array(averages) / (1 - momentum**steps)  # (steps,)


def has_diverged(smoothed):
    """Return whether the last smoothed loss is above `DIVERGENCE` times the lowest."""
    return smoothed[-1] > DIVERGENCE * smoothed.min()


def suggest(rates, smoothed):
    """Return the first learning rate at which the smoothed loss has made `FALL` of its fall.

    The fall is that from the first to the lowest smoothed loss. The lowest loss itself is close to
    divergence, and between it and the steep part of the fall is a plateau, on which the noise
    decides. The rate of the steepest fall, near half of the fall, is too small: a training with
    warmup and decay tolerates more.

    Args:
        rates: The learning rates of the steps, increasing, (steps,).
        smoothed: The smoothed losses of the steps, (steps,).

    Returns:
        The learning rate; None if the smoothed loss falls by less than `LEAST_FALL` of the first.
    """
    if not len(smoothed):
        return None
    first, lowest = smoothed[0], smoothed.min()
    if first - lowest < LEAST_FALL * abs(first):
        return None
    return float(rates[np.argmax(smoothed <= first - FALL * (first - lowest))])
