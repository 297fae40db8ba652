"""Augmentation of images and batches: the statistics of many samples."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pixels import GRAY_PHOTO, PHOTO
from training.config import Augmentation
from training.data.augment import image_ops
from training.data.augment.augmentation import augment_image, cutmix, mix, mixup

pytestmark = pytest.mark.backend("torch")  # TensorFlow augments under every backend

SAMPLES = 2000
SMALL = PHOTO[:32, :32]
LABELS = np.eye(4, dtype="float32")
EVERYTHING = Augmentation(
    shift_fraction=0.1,
    rotation_degrees=10,
    zoom_fraction=0.1,
    randaugment_magnitude=10,
    augmix_severity=3,
    color_jitter=0.3,
    hue_jitter=0.1,
    cutout_fraction=0.2,
    erasing_probability=0.5,
)


def augment_with_seeds(image, augmentation, seeds):
    """Return one image augmented with each seed."""
    pixels = tf.constant(image)
    dataset = tf.data.Dataset.from_tensor_slices(seeds).map(
        lambda seed: augment_image(pixels, augmentation, seed), tf.data.AUTOTUNE
    )
    return np.stack(list(dataset.as_numpy_iterator()))


def seeds(count, second=0):
    return np.stack([np.arange(count), np.full(count, second)], axis=1)


def augmented(image, count=SAMPLES, **fields):
    return augment_with_seeds(image, Augmentation(**fields), seeds(count))


def mixed(images, count, labels=LABELS, **fields):
    """Return one batch mixed with each of many seeds."""
    augmentation = Augmentation(**fields)
    pixels = tf.constant(images)
    dataset = tf.data.Dataset.from_tensor_slices(seeds(count)).map(
        lambda seed: mix(pixels, tf.constant(labels), augmentation, seed), tf.data.AUTOTUNE
    )
    images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.stack(images), np.stack(labels)


def rate(share, count=SAMPLES):
    """Return an expected share with a tolerance of four standard errors."""
    return pytest.approx(share, abs=4 * (share * (1 - share) / count) ** 0.5)


def assert_uniform(values, lowest, highest, tolerance):
    """Assert that values are distributed uniformly from lowest to highest."""
    at = np.linspace(0, 1, 9)
    expected = lowest + (highest - lowest) * at
    np.testing.assert_allclose(np.quantile(values, at), expected, atol=tolerance)


def test_without_augmentation_images_are_unchanged():
    np.testing.assert_array_equal(augmented(SMALL, 2), [SMALL, SMALL])
    images = np.stack([SMALL] * 4)
    result, labels = mixed(images, 2)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[0], images)
    np.testing.assert_array_equal(labels[0], LABELS)


def test_shifts_cover_their_range():
    image = np.zeros((8, 8, 1), "uint8")
    image[2:6, 3:5] = 255
    lit = augmented(image, 500, shift_fraction=0.25)[..., 0] > 127  # up to two pixels each way
    assert {rows.argmax() for rows in lit.any(axis=2)} == {0, 1, 2, 3, 4}
    assert {columns.argmax() for columns in lit.any(axis=1)} == {1, 2, 3, 4, 5}


def moments(images):
    """Return the centroids, (x, y) from the center, and the variances of the bright pixels."""
    weights = images[..., 0] / images.sum(axis=(1, 2, 3))[:, None, None]
    at = np.arange(images.shape[1]) - (images.shape[1] - 1) / 2
    x, y = (weights * at).sum(axis=(1, 2)), (weights * at[:, None]).sum(axis=(1, 2))
    xx = (weights * at**2).sum(axis=(1, 2)) - x**2
    yy = (weights * at[:, None] ** 2).sum(axis=(1, 2)) - y**2
    xy = (weights * at * at[:, None]).sum(axis=(1, 2)) - x * y
    return x, y, xx, yy, xy


def bar(size=40, half_length=9, half_width=2):
    image = np.zeros((size, size, 1), "uint8")
    middle = size // 2
    image[
        middle - half_width : middle + half_width, middle - half_length : middle + half_length
    ] = 255
    return image


def test_shifts_rotations_and_zooms_are_uniform():
    x, y, *_ = moments(augmented(bar(), shift_fraction=0.2))
    for shifts in (x, y):
        assert_uniform(shifts, -8, 8, 0.6)
    assert abs(np.corrcoef(x, y)[0, 1]) < 4 / SAMPLES**0.5

    x, y, xx, yy, xy = moments(augmented(bar(), rotation_degrees=30))
    assert max(np.abs(x).max(), np.abs(y).max()) < 0.1  # about the center
    assert_uniform(np.degrees(np.arctan2(2 * xy, xx - yy) / 2), -30, 30, 2.5)

    x, y, xx, yy, _ = moments(augmented(bar(), zoom_fraction=0.3))
    (size,) = moments(bar()[None])[2]
    assert max(np.abs(x).max(), np.abs(y).max()) < 0.1
    assert_uniform((size / xx) ** 0.5, 0.7, 1.3, 0.05)  # share of the image in view
    assert np.corrcoef(xx, yy)[0, 1] > 0.9  # the same zoom for both sides


def test_color_jitter_samples_three_factors_and_a_hue_shift(monkeypatch):
    def record(channel, share):
        value = tf.cast(tf.round(100 * share), tf.uint8)
        return value * tf.one_hot(channel, 4, dtype=tf.uint8)

    for channel, (name, offset) in enumerate(
        [("brightness", 0), ("contrast", 0), ("color", 0), ("hue", 1)]
    ):
        monkeypatch.setattr(
            image_ops,
            name,
            lambda image, amount, i=channel, start=offset: image + record(i, amount + start),
        )
    blank = np.zeros((1, 1, 4), np.uint8)
    samples = augmented(blank, color_jitter=0.4, hue_jitter=0.2).reshape(SAMPLES, 4) / 100
    for factors in samples.T[:3]:
        assert_uniform(factors, 0.6, 1.4, 0.06)
    assert_uniform(samples[:, 3], 0.8, 1.2, 0.03)
    assert np.abs(np.corrcoef(samples.T) - np.eye(4)).max() < 4 / SAMPLES**0.5


@pytest.mark.parametrize("fields", [{"color_jitter": 0.5}, {"hue_jitter": 0.5}])
def test_color_jitter_of_gray_and_constant_images(fields):
    gray = augmented(GRAY_PHOTO[:16, :16], 20, **fields)
    constant = augmented(np.full((4, 4, 3), 100, np.uint8), 200, **fields)
    assert np.all(constant == constant[:, :1, :1, :1])  # no color appears
    if "hue_jitter" in fields:
        assert np.all(gray == GRAY_PHOTO[:16, :16]) and np.all(constant == 100)
    else:
        assert constant.min() < 55 and constant.max() > 145


def extents(covered):
    """Return the number of rows and columns of the covered rectangle in each image."""
    return covered.any(axis=2).sum(axis=1), covered.any(axis=1).sum(axis=1)


def test_cutout_covers_a_square_anywhere():
    covered = augmented(np.zeros((16, 16, 1), np.uint8), cutout_fraction=0.5)[..., 0] == 128
    rows, columns = extents(covered)
    np.testing.assert_array_equal(covered.sum(axis=(1, 2)), rows * columns)
    assert set(rows) == set(columns) == set(range(4, 9))  # at least half of it is inside
    # The middle is covered by squares at 8 of 16 centers along each axis, and a corner at 4 or 5.
    assert covered[:, 8, 8].mean() == rate(8 / 16 * 8 / 16)
    assert covered[:, 0, 0].mean() == rate(5 / 16 * 5 / 16)
    assert covered[:, -1, -1].mean() == rate(4 / 16 * 4 / 16)


def test_rate_areas_and_aspects_of_erasing():
    covered = augmented(np.zeros((100, 100, 1), np.uint8), erasing_probability=0.6)[..., 0] == 128
    hit = covered.any(axis=(1, 2))
    assert hit.mean() == rate(0.6)
    covered = covered[hit]
    rows, columns = extents(covered)
    np.testing.assert_array_equal(covered.sum(axis=(1, 2)), rows * columns)
    assert_uniform(rows * columns / 10_000, 0.02, 0.33, 0.02)
    aspect = np.log(rows / columns)
    inside = np.linspace(0.1, 0.9, 9)
    expected = np.quantile(np.log([0.3, 3.3]), inside)
    np.testing.assert_allclose(np.quantile(aspect, inside), expected, atol=0.15)
    # Anywhere inside the image: the mean distances to opposite edges agree, and reach 0.
    top, bottom = covered.any(axis=2).argmax(axis=1), covered[:, ::-1].any(axis=2).argmax(axis=1)
    left, right = covered.any(axis=1).argmax(axis=1), covered[:, :, ::-1].any(axis=1).argmax(axis=1)
    for before, after in [(top, bottom), (left, right)]:
        assert before.min() == after.min() == 0
        assert before.mean() == pytest.approx(after.mean(), rel=0.1)
    positions = [top / (top + bottom + 1e-9), left / (left + right + 1e-9)]
    assert abs(np.corrcoef(positions)[0, 1]) < 4 / len(covered) ** 0.5


@pytest.mark.parametrize("image", [SMALL, GRAY_PHOTO[:32, :32]])
@pytest.mark.long
def test_the_seed_determines_an_image(image):
    images = augment_with_seeds(image, EVERYTHING, seeds(24))
    assert (images.shape, images.dtype) == ((24, *image.shape), np.uint8)
    np.testing.assert_array_equal(
        augment_with_seeds(image, EVERYTHING, seeds(24)[20:]), images[20:]
    )
    assert len(np.unique(images.reshape(24, -1), axis=0)) == 24
    assert not np.array_equal(
        augment_with_seeds(image, EVERYTHING, seeds(24, second=1)[:4]), images[:4]
    )


def test_augmentations_have_independent_seeds():
    """Erasing is the same with and without a shift before it."""
    plain, shifted = (
        augmented(np.zeros((32, 32, 1), np.uint8), 50, erasing_probability=1.0, **fields)
        for fields in ({}, {"shift_fraction": 0.2})
    )
    np.testing.assert_array_equal(plain, shifted)


def test_mixup_mixes_images_and_labels_with_the_same_share():
    images = np.broadcast_to(np.arange(16)[:, None, None, None], (16, 8, 8, 1)).astype("uint8")
    labels = np.eye(16, dtype="float32")
    result, soft = mixed(images, 1, labels, mixup_alpha=1.0)
    assert result.dtype == np.float32
    result, soft = result[0], soft[0]
    share = soft[0, 0]
    assert 0.5 <= share < 1
    expected = share * labels + (1 - share) * np.roll(labels, 1, axis=0)
    np.testing.assert_allclose(soft, expected, atol=1e-6)
    np.testing.assert_allclose(result[:, 0, 0, 0], soft @ np.arange(16), rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.02, 0.2, 1.0, 4.0])
@pytest.mark.long
def test_the_shares_of_mixup_follow_the_beta_distribution(alpha):
    """Compare E max(a, 1 - a) of a ~ Beta(p, p) with a sample from NumPy."""
    dataset = tf.data.Dataset.from_tensor_slices(seeds(1000)).map(
        lambda seed: mixup(tf.zeros((2, 1, 1, 1)), tf.eye(2), alpha, seed)[1][0, 0]
    )
    shares = np.array(list(dataset.as_numpy_iterator()))
    sample = np.random.default_rng(0).beta(alpha, alpha, 100_000)
    expected = np.maximum(sample, 1 - sample)
    assert np.mean(shares) == pytest.approx(expected.mean(), abs=4 * expected.std() / 1000**0.5)
    assert np.std(shares) == pytest.approx(expected.std(), rel=0.3)


def cutmix_areas(alpha, size, count):
    """Return samples of the share of an image that a box covers, from NumPy."""
    rng = np.random.default_rng(0)
    side = (size * np.sqrt(1 - rng.beta(alpha, alpha, count))).astype(int)
    lengths = []
    for _ in range(2):
        begin = rng.integers(0, size, count) - side // 2
        lengths.append(np.clip(begin + side, 0, size) - np.clip(begin, 0, size))
    return lengths[0] * lengths[1] / size**2


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_the_cutmix_areas(alpha):
    values = np.arange(4, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(values, (4, 32, 32, 1))
    result, labels = mixed(images, SAMPLES, cutmix_alpha=alpha)
    assert (result.dtype, labels.dtype) == (np.uint8, np.float32)
    covered = result[:, 1, :, :, 0] == 0  # the rest of example 1 is 1
    rows, columns = extents(covered)
    np.testing.assert_array_equal(covered.sum(axis=(1, 2)), rows * columns)
    for example in range(4):  # one box for all, from the previous example
        expected = np.where(covered, (example - 1) % 4, example)
        np.testing.assert_array_equal(result[:, example, ..., 0], expected)
    share = 1 - covered.mean(axis=(1, 2))[:, None, None]
    expected = share * LABELS + (1 - share) * np.roll(LABELS, 1, axis=0)
    np.testing.assert_allclose(labels, expected, atol=1e-6)
    sample = cutmix_areas(alpha, 32, 200_000)
    assert covered.mean() == pytest.approx(sample.mean(), abs=4 * sample.std() / SAMPLES**0.5)
    assert covered.mean(axis=(1, 2)).std() == pytest.approx(sample.std(), rel=0.1)
    # The center of the box is uniform, so the covered pixels are centered in the image.
    at = np.arange(32) - 15.5
    for axis in (1, 2):
        assert abs((covered.mean(axis=(0, axis)) * at).sum()) < 3


def test_cutmix_of_float_images_equals_that_of_uint8():
    images = np.stack([SMALL, 255 - SMALL])
    for seed in [(0, 0), (1, 0)]:
        from_bytes, labels = cutmix(tf.constant(images), tf.eye(2), 1.0, seed)
        from_floats, same = cutmix(tf.constant(images, tf.float32), tf.eye(2), 1.0, seed)
        np.testing.assert_array_equal(from_bytes, from_floats)
        np.testing.assert_array_equal(labels, same)


def test_a_batch_gets_mixup_or_cutmix_with_equal_probability():
    images = np.zeros((4, 16, 16, 1), np.uint8)
    images[1] = 200  # the next example takes a part of it
    result, labels = mixed(images, SAMPLES, mixup_alpha=1.0, cutmix_alpha=1.0)
    assert result.dtype == np.float32
    by_mixup = np.any((result > 0.01) & (result < 199.9), axis=(1, 2, 3, 4))
    assert by_mixup.mean() == rate(0.5)
    assert labels[by_mixup, 0, 0].min() >= 0.5 > labels[~by_mixup, 0, 0].min()
    np.testing.assert_allclose(labels.sum(axis=2), 1, atol=1e-6)
    # With both, the labels are the share of the pixels of each example.
    np.testing.assert_allclose(result[:, 1].mean(axis=(1, 2, 3)), 200 * labels[:, 1, 1], rtol=1e-4)


@pytest.mark.parametrize(
    "alphas, dtype",
    [
        ({"mixup_alpha": 1.0}, np.float32),
        ({"cutmix_alpha": 1.0}, np.uint8),
        ({"mixup_alpha": 1.0, "cutmix_alpha": 1.0}, np.float32),
    ],
)
def test_mix_probability_is_the_share_of_mixed_batches(alphas, dtype):
    images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 1), np.uint8)
    result, labels = mixed(images, SAMPLES, mix_probability=0.3, **alphas)
    assert result.dtype == dtype
    unmixed = np.all(labels == LABELS, axis=(1, 2))
    np.testing.assert_array_equal(result[unmixed], np.broadcast_to(images, result[unmixed].shape))
    np.testing.assert_allclose(labels.sum(axis=2), 1, atol=1e-6)
    # A box of CutMix may be empty: its side is below 1 of 32 pixels.
    empty = (cutmix_areas(1.0, 32, 100_000) == 0).mean() if "cutmix_alpha" in alphas else 0
    assert 1 - unmixed.mean() == rate(0.3 * (1 - empty / len(alphas)))
    never, _ = mixed(images, 20, mix_probability=0.0, **alphas)
    np.testing.assert_array_equal(never, np.broadcast_to(images, never.shape))


def test_the_seed_determines_a_batch():
    images = np.stack([SMALL, 255 - SMALL, SMALL // 2, SMALL // 3])
    fields = {"mixup_alpha": 1.0, "cutmix_alpha": 1.0}
    result, labels = mixed(images, 20, **fields)
    again, same = mixed(images, 20, **fields)
    np.testing.assert_array_equal(result, again)
    np.testing.assert_array_equal(labels, same)
    assert len(np.unique(labels[:, 0, 0])) == 20
