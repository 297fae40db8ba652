"""Permutations of pixels of a demo."""

import numpy as np
import pytest

from tests.support.models import random_pixels
from training.demo.shuffle import KINDS, Shuffle

pytestmark = pytest.mark.backend("torch")  # NumPy alone

PATCH = 4
IMAGE = random_pixels((8, 12, 3))


def patches_of(image):
    """Return the patches of an image, `(patches, pixels, channels)`, by slices."""
    rows, columns = range(0, image.shape[0], PATCH), range(0, image.shape[1], PATCH)
    cut = [image[row : row + PATCH, column : column + PATCH] for row in rows for column in columns]
    return np.stack(cut).reshape(len(cut), PATCH**2, 3)


def sorted_pixels(image):
    return sorted(map(tuple, image.reshape(-1, 3).tolist()))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_moves_all_pixels_and_changes_none(kind):
    permuted = Shuffle(kind, 3).permute(IMAGE, PATCH)
    assert sorted_pixels(permuted) == sorted_pixels(IMAGE)
    assert np.array_equal(permuted, IMAGE) == (kind == "none")
    again, other = Shuffle(kind, 3).permute(IMAGE, PATCH), Shuffle(kind, 4).permute(IMAGE, PATCH)
    assert np.array_equal(again, permuted)
    assert np.array_equal(other, permuted) == (kind == "none")


def test_patches_stay_whole_or_in_place():
    before = patches_of(IMAGE)
    order, _ = Shuffle("patches", 3).orders(*before.shape[:2])
    np.testing.assert_array_equal(
        patches_of(Shuffle("patches", 3).permute(IMAGE, PATCH)), before[order]
    )
    _, inner = Shuffle("pixels-in-patches", 3).orders(*before.shape[:2])
    np.testing.assert_array_equal(
        patches_of(Shuffle("pixels-in-patches", 3).permute(IMAGE, PATCH)), before[:, inner]
    )
    np.testing.assert_array_equal(
        patches_of(Shuffle("both", 3).permute(IMAGE, PATCH)), before[order][:, inner]
    )


@pytest.mark.parametrize("kind", ["none", "all-pixels"])
def test_what_breaks_no_patches_or_all_has_no_orders(kind):
    with pytest.raises(ValueError, match="the kind must keep patches"):
        Shuffle(kind).orders(6, 16)


def test_only_permutations_of_all_pixels_break_patches():
    assert [kind for kind in KINDS if Shuffle(kind).keeps_patches] == [*KINDS[1:4]]
    contents = {tuple(sorted_pixels(patch)) for patch in patches_of(IMAGE)}
    for kind in KINDS:
        patches = patches_of(Shuffle(kind, 3).permute(IMAGE, PATCH))
        found = {tuple(sorted_pixels(patch)) for patch in patches}
        assert (found == contents) == (kind != "all-pixels")
