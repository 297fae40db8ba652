"""Expected calibration error (Guo et al. 2017, arXiv 1706.04599)."""

import numpy as np

from training.devices import hosts

BINS = 15  # as in the paper's section 5


class Calibration:
    """Histogram of examples by confidence, the probability of their most likely class.

    The expected calibration error over the bins B, ((m - 1) / 15, m / 15], is equation 3 of the
    paper, for n examples:

        Σ |B| / n · |accuracy in B - mean confidence in B|

    which equals Σ |number of correct examples in B - sum of the confidences in B| / n.
    """

    def __init__(self):
        self.right = np.zeros(BINS, np.int64)
        self.confidence = np.zeros(BINS, np.float64)
        self.examples = 0

    def add(self, confidence, is_right):
        """Add examples: their confidences in [0, 1], and whether each is correct, (batch,)."""
        bins = np.searchsorted(np.arange(1, BINS) / BINS, confidence)  # (batch,); 0 is in bin 0
        self.right += np.bincount(bins[is_right], minlength=BINS)
        self.confidence += np.bincount(bins, confidence, BINS)
        self.examples += len(bins)

    def add_other_hosts(self):
        """Add the examples of the other hosts; all hosts call this together."""
        self.right = hosts.gather(self.right).sum(axis=0)
        self.confidence = hosts.gather(self.confidence).sum(axis=0)
        self.examples = int(hosts.gather(self.examples).sum())

    def error(self):
        """Return the expected calibration error, in [0, 1]."""
        return float(np.abs(self.right - self.confidence).sum() / self.examples)
