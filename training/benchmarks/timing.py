"""Interleaved timing of several alternatives."""

import statistics
import time

from tqdm import tqdm


def interleave(alternatives, repeats):
    """Call each alternative `repeats` times and return the list of its results.

    They are called in turn, so that other load on the machine affects all of them alike.

    Args:
        alternatives: Functions by name, `{name: function}`.
        repeats: Number of calls of each.
    """
    results: dict[str, list] = {name: [] for name in alternatives}
    with tqdm(desc="measuring", total=repeats * len(alternatives), unit="run") as progress:
        for _ in range(repeats):
            for name, function in alternatives.items():
                progress.set_postfix_str(name)
                results[name].append(function())
                progress.update()
    return results


def medians(results):
    """Return the median of each list of numbers, `{name: numbers}`."""
    return {name: statistics.median(numbers) for name, numbers in results.items()}


def seconds(function):
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began
