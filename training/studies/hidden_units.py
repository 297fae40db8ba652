"""Hidden units of token mixing, each with its closest inverse (figures 5 and 6 of the paper).

A hidden unit is a column of `token_mixing/Dense_0/kernel`: one weight for each patch, which makes
a map of the grid of patches.
"""

import csv
import dataclasses

import numpy as np

from training.studies.verdicts import NOT_REPRODUCED, REPRODUCED, UNDECIDED

SEEDS = 20  # of each control
PERCENTILE = 95  # of a control, which the units must exceed
MARGIN = 0.05  # of the mean cosine, so that a negligible difference does not count
HIGHEST_CHANCE = 0.9  # above it, units without any structure have partners as good as any


@dataclasses.dataclass(frozen=True)
class HiddenUnits:
    """The hidden units of a token-mixing MLP, each with its closest inverse.

    Args:
        maps: `(units, rows, columns)`.
        partners: Number of the partner of each unit, `(units,)`; -1 for one without.
        cosines: Cosine of the angle between each unit and its negated partner, `(units,)`: 1 for
            exact inverses; 0 for one without a partner.
        frequencies: Mean spatial frequency of each unit, `(units,)`; see `mean_frequencies`.
    """

    maps: np.ndarray
    partners: np.ndarray
    cosines: np.ndarray
    frequencies: np.ndarray

    def pairs(self):
        """Return `(unit, partner)` for each pair, and `(unit, -1)` for one without a partner.

        Pairs are sorted by the mean of their two frequencies, low first. The heuristic of the
        paper's figures 5 and 6 is not specified.
        """
        pairs = [(i, int(j)) for i, j in enumerate(self.partners) if j < 0 or i < j]
        return sorted(pairs, key=lambda pair: self.frequencies[[u for u in pair if u >= 0]].mean())


@dataclasses.dataclass(frozen=True)
class BlockResult:
    """Whether the hidden units of a block are pairs of opposite phase, as in the paper.

    The verdict is "reproduced" if the mean cosine is above the 95th percentile of every control by
    more than `MARGIN`, "not reproduced" if it is not above all of them, and "not decidable here" in
    between, or if a control is above `HIGHEST_CHANCE`.

    Args:
        block: Number of the block.
        units: Number of hidden units.
        mean_frequency: Of the units, in cycles per patch.
        mean_cosine: Of each unit and its negated partner.
        median_cosine: The same, as a median.
        controls: 95th percentile of the mean cosine by control, over `SEEDS` seeds.
        verdict: One of the three.
    """

    block: int
    units: int
    mean_frequency: float
    mean_cosine: float
    median_cosine: float
    controls: dict[str, float]
    verdict: str


def unit_maps(kernel, grid):
    """Return the hidden units as maps, `(units, rows, columns)`; tokens are row by row.

    Args:
        kernel: `(patches, units)`.
        grid: Rows and columns of the patches.
    """
    return kernel.T.reshape(-1, *grid)


def study_units(kernel, grid):
    """Return the `HiddenUnits` of a token-mixing kernel, `(patches, units)`."""
    maps = unit_maps(kernel, grid)
    partners, cosines = pair_inverses(maps)
    return HiddenUnits(maps, partners, cosines, mean_frequencies(maps))


def pair_inverses(maps):
    """Return the partner of each unit, and the cosine of the unit and its negated partner.

    The matching is greedy. Of all units that are free, the two of the largest such cosine become a
    pair, until at most one unit is left; of equal ones, those with the lowest numbers. Two units
    that prefer each other to all others are a pair whatever the order, so that many are found at
    once.

    Args:
        maps: `(units, rows, columns)`.

    Returns:
        Partners and cosines as in `HiddenUnits`.
    """
    flat = maps.reshape(len(maps), -1)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = flat / np.where(norms > 0, norms, 1)
    opposite = -flat @ flat.T  # (units, units)
    opposite = np.minimum(opposite, opposite.T)  # symmetric to the last bit
    np.fill_diagonal(opposite, -np.inf)
    partners, cosines = np.full(len(maps), -1), np.zeros(len(maps))
    free = np.arange(len(maps))
    while len(free) > 1:
        among = opposite[np.ix_(free, free)]
        best = among.argmax(axis=1)
        mutual = best[best] == np.arange(len(free))
        partners[free[mutual]] = free[best[mutual]]
        cosines[free[mutual]] = among.max(axis=1)[mutual]
        free = free[~mutual]
    return partners, cosines


def mean_frequencies(maps):
    """Return the mean spatial frequency of each map, weighted by power, in cycles per weight.

    A constant map has 0, and the largest possible value is √½. Maps of zeros have 0.

    Args:
        maps: `(units, rows, columns)`, or with channels `(units, rows, columns, channels)`, whose
            powers are added.
    """
    units, rows, columns = maps.shape[:3]
    power = np.abs(np.fft.fft2(maps, axes=(1, 2))) ** 2
    power = power.reshape(units, rows, columns, -1).sum(axis=3)
    radius = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns))  # (rows, columns)
    total = power.sum(axis=(1, 2))
    return (power * radius).sum(axis=(1, 2)) / np.where(total > 0, total, 1)


def normal_maps(maps, rng):
    """Return normally distributed maps: no structure at all."""
    return rng.standard_normal(maps.shape)


def randomize_phases(maps, rng):
    """Return maps with the same power spectra and random phases: smooth, but in no pairs."""
    noise = np.fft.fft2(rng.standard_normal(maps.shape))  # its phases are those of real maps
    return np.fft.ifft2(np.abs(np.fft.fft2(maps)) * noise / np.abs(noise)).real


def flip_signs(maps, rng):
    """Return the maps, each negated with probability ½: the same lines, but no preferred sign."""
    return maps * rng.choice([-1.0, 1.0], (len(maps), 1, 1))


CONTROLS = {
    "normal units": normal_maps,
    "random phases": randomize_phases,
    "random signs": flip_signs,
}


def judge_pairs(units, block):
    """Return the `BlockResult` of `HiddenUnits`."""
    mean = float(units.cosines.mean())
    controls = {name: _chance(units.maps, control) for name, control in CONTROLS.items()}
    limit = max(controls.values())
    if limit > HIGHEST_CHANCE or 0 < mean - limit <= MARGIN:
        verdict = UNDECIDED
    else:
        verdict = REPRODUCED if mean > limit else NOT_REPRODUCED
    return BlockResult(
        block=block,
        units=len(units.maps),
        mean_frequency=float(units.frequencies.mean()),
        mean_cosine=mean,
        median_cosine=float(np.median(units.cosines)),
        controls=controls,
        verdict=verdict,
    )


def _chance(maps, control):
    """Return the percentile of the mean cosine of a control."""
    rngs = map(np.random.default_rng, range(SEEDS))
    means = [pair_inverses(control(maps, rng))[1].mean() for rng in rngs]
    return float(np.percentile(means, PERCENTILE))


def write_csv(units, path):
    """Write a CSV file with one line for each unit, in the order of the figures.

    Args:
        units: `{block: HiddenUnits}`.
        path: Path of the file.
    """
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["block", "unit", "partner", "cosine", "frequency"])
        for block, of_block in units.items():
            for pair in of_block.pairs():
                for unit, partner in (pair, pair[::-1]):
                    if unit >= 0:
                        numbers = of_block.cosines[unit], of_block.frequencies[unit]
                        shown = partner if partner >= 0 else ""
                        writer.writerow([block, unit, shown, *(f"{x:.6f}" for x in numbers)])
