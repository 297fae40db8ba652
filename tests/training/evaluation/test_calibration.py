import numpy as np
import pytest

from training.evaluation.calibration import Calibration


def error(confidence, is_right, batch_size=1000):
    calibration = Calibration()
    for i in range(0, len(confidence), batch_size):
        chunk = slice(i, i + batch_size)
        calibration.add(np.array(confidence[chunk]), np.array(is_right[chunk], bool))
    assert calibration.examples == len(confidence)
    return calibration.error()


def test_known_cases():
    assert error([1.0] * 5, [0] * 5) == 1  # always sure and never right
    assert error([1.0] * 5, [1] * 5) == 0
    assert error([0.75] * 8, [1, 1, 1, 0] * 2) == 0  # right as often as it is sure
    assert error([0.75] * 4 + [0.5] * 4, [1, 1, 1, 0, 0, 0, 0, 0]) == 0.25
    assert error([0.0, 0.0], [0, 1]) == 0.5  # a confidence of 0 is in the first bin


def test_a_bin_ends_with_its_upper_bound():
    """Of 2/15 and a little more, one is in the second bin and the other in the third."""
    bound = 2 / 15
    apart = error([bound, np.nextafter(bound, 1)], [1, 0])
    assert apart == pytest.approx(((1 - bound) + bound) / 2)
    together = error([bound, np.nextafter(bound, 0)], [1, 0])
    assert together == pytest.approx((1 - 2 * bound) / 2)


def test_errors_of_either_sign_within_a_bin_cancel_and_between_bins_do_not():
    assert error([0.95, 0.95], [1, 0]) == pytest.approx(0.45)
    assert error([0.95, 0.25], [0, 1]) == pytest.approx((0.95 + 0.75) / 2)


def test_batches_do_not_matter():
    rng = np.random.default_rng(0)
    confidence, is_right = rng.random(1000), rng.integers(0, 2, 1000)
    assert error(confidence, is_right, 7) == pytest.approx(error(confidence, is_right), rel=1e-12)
