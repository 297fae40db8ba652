"""Verdicts on claims, from the values of several seeds."""

import itertools
import statistics

import pytest

from training.studies.verdicts import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    judge_all,
    judge_larger,
    spread,
)

pytestmark = pytest.mark.backend("torch")  # no backend is used


@pytest.mark.parametrize(
    "larger, smaller, verdict",
    [
        ((0.6, 0.7), (0.4, 0.5, 0.3), REPRODUCED),
        ((0.3, 0.4), (0.5, 0.6), NOT_REPRODUCED),
        ((0.4, 0.6), (0.5, 0.7), UNDECIDED),
        ((0.1, 0.9), (0.4, 0.5), UNDECIDED),  # one range contains the other
        ((0.5, 0.6), (0.4, 0.5), UNDECIDED),  # they touch
        ((0.4, 0.5), (0.5, 0.6), UNDECIDED),
        ((0.9,), (0.1, 0.2), UNDECIDED),  # one seed
        ((0.9, 0.8), (0.1,), UNDECIDED),
        ((), (), UNDECIDED),
    ],
)
def test_ranges_decide(larger, smaller, verdict):
    assert judge_larger(larger, smaller) == verdict


def test_a_claim_is_true_if_all_its_parts_are():
    for parts in itertools.product((REPRODUCED, NOT_REPRODUCED, UNDECIDED), repeat=3):
        expected = REPRODUCED if set(parts) == {REPRODUCED} else UNDECIDED
        assert judge_all(parts) == (NOT_REPRODUCED if NOT_REPRODUCED in parts else expected)
    assert judge_all([]) == UNDECIDED


def test_spread():
    values = [0.25, 0.75, 0.5]
    assert spread(values) == {
        "mean": 0.5,
        "stddev": pytest.approx(statistics.pstdev(values) * (3 / 2) ** 0.5),
        "smallest": 0.25,
        "largest": 0.75,
        "seeds": 3,
    }
    assert spread([0.5])["stddev"] is None
