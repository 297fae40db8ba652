"""Whether a model is right as often as it is sure (Guo et al. 2017, arXiv 1706.04599)."""

import numpy as np

from training.devices import hosts

BINS = 15  # as in the paper's section 5


class Calibration:
    """Counts of examples by the confidence in their likeliest class.

    The expected calibration error over the bins B of ((m - 1) / 15, m / 15] is the paper's
    equation 3, with n examples in all:

        Σ |B| / n · |share of B that is right - mean confidence in B|

    which is Σ |number in B that is right - sum of the confidences in B| / n.
    """

    def __init__(self):
        self.right = np.zeros(BINS, np.int64)
        self.confidence = np.zeros(BINS, np.float64)
        self.examples = 0

    def add(self, confidence, is_right):
        """Count examples: their confidences in [0, 1], and whether each is right, (batch,)."""
        bins = np.searchsorted(np.arange(1, BINS) / BINS, confidence)  # (batch,); 0 is in the first
        self.right += np.bincount(bins[is_right], minlength=BINS)
        self.confidence += np.bincount(bins, confidence, BINS)
        self.examples += len(bins)

    def add_other_hosts(self):
        """Count the examples of all hosts, on all of them."""
        self.right = hosts.gather(self.right).sum(axis=0)
        self.confidence = hosts.gather(self.confidence).sum(axis=0)
        self.examples = int(hosts.gather(self.examples).sum())

    def error(self):
        """Return the expected calibration error, in [0, 1]."""
        return float(np.abs(self.right - self.confidence).sum() / self.examples)
