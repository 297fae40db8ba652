"""Textured shapes: what each dial changes, and what no dial does."""

import dataclasses
import itertools

import numpy as np
import pytest

from training.data.shapes import BLOCK, SHAPES, TEST, TEXTURES, TRAIN, Dials, generate

pytestmark = pytest.mark.backend("torch")  # needs no backend

ONE_BLOCK = Dials(train=BLOCK, test=BLOCK)
EASY = dataclasses.replace(ONE_BLOCK, difficulty=0.0)
DARK, BRIGHT = 0.15, 0.85  # outermost brightness of the three colors without difficulty


@pytest.fixture(scope="module")
def easy():
    return generate(EASY, TRAIN)


@pytest.fixture(scope="module")
def medium():
    return generate(ONE_BLOCK, TRAIN)


def test_the_images_are_those_of_other_computers(medium):
    """The labels are integers of the generator; the pixels may differ by rounding of functions."""
    images, labels = medium
    assert images.dtype == np.uint8 and images.shape == (BLOCK, 32, 32, 3)
    assert labels[:10].tolist() == [26, 20, 16, 11, 9, 3, 0, 1, 6, 24]
    means = images[:4].mean(axis=(1, 2))
    expected = [
        [54.01, 66.42, 42.19],
        [60.91, 42.01, 53.52],
        [71.61, 66.78, 45.34],
        [147.59, 175.37, 152.78],
    ]
    np.testing.assert_allclose(means, expected, atol=0.02)


def test_the_first_images_do_not_depend_on_the_number(medium):
    images, labels = medium
    for number in (70, BLOCK + 1):
        more, more_labels = generate(dataclasses.replace(ONE_BLOCK, train=number), TRAIN)
        assert len(more) == len(more_labels) == number
        shared = min(number, BLOCK)
        np.testing.assert_array_equal(more[:shared], images[:shared])
        np.testing.assert_array_equal(more_labels[:shared], labels[:shared])
    assert (more[BLOCK] != images[0]).any()  # the second block is another


def test_seed_and_split_give_other_images(medium):
    others = [
        generate(dataclasses.replace(ONE_BLOCK, seed=1), TRAIN),
        generate(ONE_BLOCK, TEST),
    ]
    for images, labels in others:
        assert (labels != medium[1]).any()
        same = (images == medium[0]).all(axis=(1, 2, 3))
        assert not same.any()


@pytest.mark.parametrize("split", [TRAIN, TEST])
def test_every_class_is_as_frequent(split):
    _, labels = generate(ONE_BLOCK, split)
    assert len(ONE_BLOCK.class_names) == len(SHAPES) * len(TEXTURES) == 32
    counts = np.bincount(labels, minlength=32)
    # Five standard deviations of a binomial distribution.
    expected, deviation = BLOCK / 32, np.sqrt(BLOCK * 31 / 32**2)
    assert np.abs(counts - expected).max() < 5 * deviation


def test_the_classes_are_shapes_textures_or_both(medium):
    """The images are the same ones."""
    images, both = medium
    for classes, expected in (("shape", both // 4), ("texture", both % 4)):
        dials = dataclasses.replace(ONE_BLOCK, classes=classes)
        found, labels = generate(dials, TRAIN)
        np.testing.assert_array_equal(found, images)
        np.testing.assert_array_equal(labels, expected)
        names = np.array(dials.class_names)[labels]
        position = {"shape": 1, "texture": 0}[classes]
        pairs = np.array([name.split() for name in ONE_BLOCK.class_names])[both]
        np.testing.assert_array_equal(names, pairs[:, position])


def test_without_difficulty_there_is_no_noise(easy, medium):
    """The corner shows the background. It is of one color, and with noise it is not."""
    for (images, _), is_noisy in ((easy, False), (medium, True)):
        corner = images[:, :3, :3].reshape(BLOCK, 9, 3)
        varies = (corner != corner[:, :1]).any(axis=(1, 2))
        assert varies.mean() == (1 if is_noisy else 0)


def coverage(images):
    """Return the share of each pixel that a plain shape covers, without noise: 0 to 1."""
    colors = images.astype("float64")
    distance = np.linalg.norm(colors - colors[:, :1, :1], axis=-1)  # from the background
    return distance / distance.max(axis=(1, 2), keepdims=True)


def test_without_difficulty_every_shape_has_its_place(easy):
    images, labels = easy
    covered = [coverage(images[labels == len(TEXTURES) * i]) for i in range(len(SHAPES))]
    for name, found in zip(SHAPES, covered, strict=True):
        assert len(found) > 10
        np.testing.assert_allclose(found, found[:1].repeat(len(found), 0), atol=0.05, err_msg=name)
    for one, other in itertools.combinations(covered, 2):
        assert np.abs(one[0] - other[0]).max() > 0.5


def test_textures_have_as_many_colors_as_they_should(easy):
    """Inside a plain shape there is one color; elsewhere a second one fills a share of it."""
    images, labels = easy
    center = images[labels // 4 == SHAPES.index("square")][:, 11:21, 11:21]
    kinds = labels[labels // 4 == SHAPES.index("square")] % 4
    for texture, name in enumerate(TEXTURES):
        colors = [len(np.unique(c.reshape(-1, 3), axis=0)) for c in center[kinds == texture]]
        assert set(colors) == ({1} if name == "plain" else {2}), name
    rows = center[kinds == TEXTURES.index("stripes")]
    assert (rows == rows[:, :, :1]).all()  # stripes are horizontal


def test_difficulty_brings_the_colors_together(easy):
    hard, _ = generate(dataclasses.replace(ONE_BLOCK, difficulty=1.0), TRAIN)
    spread = [
        np.ptp(np.sort(images[:, 0, 0].mean(axis=-1) / 255)[[50, -50]])
        for images in (easy[0], hard)
    ]
    assert spread[0] == pytest.approx(BRIGHT - DARK, abs=0.2)
    assert spread[1] < 0.9 * spread[0]


def test_difficulty_moves_the_shapes():
    """A disk in the center does not reach the upper six rows; noise averages out over a tile."""
    shares = []
    for difficulty in (0.0, 1.0):
        dials = dataclasses.replace(ONE_BLOCK, difficulty=difficulty, classes="shape")
        images, labels = generate(dials, TRAIN)
        rows = images[labels == SHAPES.index("disk"), :6].astype("float64")
        contrast = rows[:, :, 12:20].mean(axis=(1, 2, 3)) - rows[:, :, :4].mean(axis=(1, 2, 3))
        shares.append((np.abs(contrast) > 30).mean())
    assert shares[0] == 0
    assert shares[1] > 0.1
