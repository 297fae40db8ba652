"""Whether the runs of a study show what the paper claims; decided by their ranges over seeds."""

import dataclasses
import statistics

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
UNDECIDED = "not decidable here"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the paper, and what a study says about it.

    Args:
        claim: The claim, a sentence.
        verdict: `REPRODUCED`, `NOT_REPRODUCED` or `UNDECIDED`.
        rule: The rule that decides, a sentence.
        numbers: The numbers that it was applied to: `{name: values over the seeds}`.
    """

    claim: str
    verdict: str
    rule: str
    numbers: dict


def judge_larger(larger, smaller):
    """Return the verdict on "every one of `larger` is above every one of `smaller`".

    It is undecided if the ranges overlap, or if there is only one seed.
    """
    if len(larger) < 2 or len(smaller) < 2:
        return UNDECIDED
    if min(larger) > max(smaller):
        return REPRODUCED
    return NOT_REPRODUCED if max(larger) < min(smaller) else UNDECIDED


def judge_all(verdicts):
    """Return the verdict on a claim that is true if all its parts are."""
    if NOT_REPRODUCED in verdicts:
        return NOT_REPRODUCED
    return UNDECIDED if UNDECIDED in verdicts or not verdicts else REPRODUCED


def spread(values):
    """Return mean, standard deviation (None for one value), smallest and largest of some values."""
    return {
        "mean": statistics.mean(values),
        "stddev": statistics.stdev(values) if len(values) > 1 else None,
        "smallest": min(values),
        "largest": max(values),
        "seeds": len(values),
    }
