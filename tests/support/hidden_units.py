"""Maps of hidden units with planted partners, and a slow search for partners."""

import numpy as np

GRID = (5, 6)


def normal(units, seed=0, grid=GRID):
    return np.random.default_rng(seed).standard_normal((units, *grid))


def planted(pairs, noise=0.0, grid=GRID):
    """Return maps and partners: each of `pairs` maps and its inverse, in random order."""
    maps = normal(pairs, grid=grid)
    maps = np.concatenate([maps, -maps + noise * normal(pairs, 1, grid)])
    order = np.random.default_rng(2).permutation(2 * pairs)
    partners = np.concatenate([np.arange(pairs, 2 * pairs), np.arange(pairs)])
    return maps[order], np.argsort(order)[partners[order]]


def greedy(maps):
    """Return partners and cosines: pair by pair, from the largest cosine to the smallest."""
    flat = maps.reshape(len(maps), -1)
    cosines = {}
    for i, a in enumerate(flat):
        for j, b in enumerate(flat[:i]):
            cosines[i, j] = a @ -b / np.sqrt((a @ a) * (b @ b))
    partners, found = np.full(len(maps), -1), np.zeros(len(maps))
    for i, j in sorted(cosines, key=cosines.get, reverse=True):
        if partners[i] < 0 and partners[j] < 0:
            partners[[i, j]], found[[i, j]] = [j, i], cosines[i, j]
    return partners, found
