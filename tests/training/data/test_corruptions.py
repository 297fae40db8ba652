"""Corruptions of images, against independent formulas."""

import io

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from training.data import corruptions
from training.data.corruptions import COLOR_ONLY, CORRUPTIONS, SEVERITIES, corrupt, names_for

pytestmark = pytest.mark.backend("torch")  # computed by NumPy, SciPy and Pillow

CASES = [(name, channels) for channels in (1, 3) for name in names_for(channels)]
GRAY = np.full((120, 120, 3), 128, np.uint8)  # far from 0 and 255


def smooth_image(shape, seed):
    """Return a random image without fine detail that uses most of the range of values."""
    rng = np.random.default_rng(seed)
    scale = min(shape[:2]) / 25
    values = scipy.ndimage.gaussian_filter(rng.standard_normal(shape), (scale, scale, 0))
    return np.uint8(20 + 215 * (values - values.min()) / np.ptp(values))


def distance(image, other):
    return np.sqrt(np.mean((image.astype(float) - other) ** 2))


def mean_distances(name, shape, images=6):
    """Return the mean distance to the clean image at each severity."""
    smooth = [smooth_image(shape, seed) for seed in range(images)]
    return [
        np.mean([distance(x, corrupt(x, name, s, (7, i))) for i, x in enumerate(smooth)])
        for s in SEVERITIES
    ]


def test_gray_images_have_all_corruptions_but_those_of_color():
    assert 12 <= len(names_for(1)) < len(names_for(3)) <= 15
    assert names_for(3) == tuple(CORRUPTIONS)
    assert set(names_for(3)) - set(names_for(1)) == COLOR_ONLY


@pytest.mark.parametrize("size", [(8, 8), (9, 20), (48, 32), (64, 64)])
@pytest.mark.parametrize("name, channels", CASES)
def test_shape_dtype_and_determinism(name, channels, size):
    shape = (*size, channels)
    image = smooth_image(shape, 0)
    kept = image.copy()
    for severity in SEVERITIES:
        found = corrupt(image, name, severity, (1, 2))
        assert (found.shape, found.dtype) == (shape, np.uint8)
        assert (found == corrupt(image, name, severity, (1, 2))).all()
    assert (found != image).any() and (image == kept).all()


@pytest.mark.parametrize("name, channels", CASES)
def test_the_distance_to_the_clean_image_grows_with_the_severity(name, channels):
    distances = mean_distances(name, (96, 96, channels))
    assert distances[0] > 0.3 and np.all(np.diff(distances) > 0)


@pytest.mark.parametrize("name", ["defocus_blur", "motion_blur", "zoom_blur", "elastic", "fog"])
def test_corrupting_a_small_image_is_like_corrupting_a_large_one(name):
    small, large = (mean_distances(name, (size, size, 3), 12)[-1] for size in (40, 160))
    assert small == pytest.approx(large, rel=0.2)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_random_numbers_depend_on_the_seed_and_the_corruption(name):
    image = smooth_image((64, 64, 3), 1)
    same = (corrupt(image, name, 5, (0, 3)) == corrupt(image, name, 5, (0, 4))).all()
    deterministic = ("defocus_blur", "zoom_blur", "brightness", "contrast", "desaturation")
    assert same == (name in (*deterministic, "pixelation", "jpeg"))


def test_gaussian_noise():
    for severity, stddev in zip(SEVERITIES, (0.05, 0.1, 0.15), strict=False):
        noise = corrupt(GRAY, "gaussian_noise", severity, 0) / 255 - 128 / 255
        assert abs(noise.mean()) < 4 * stddev / np.sqrt(noise.size)
        assert noise.std() == pytest.approx(stddev, rel=0.03)


def test_shot_noise():
    noisy = corrupt(GRAY, "shot_noise", 1, 0) / 255
    assert noisy.mean() == pytest.approx(128 / 255, rel=0.01)
    assert noisy.var() == pytest.approx(128 / 255 / 80, rel=0.05)  # of Poisson: its mean


def test_impulse_noise():
    noisy = corrupt(GRAY, "impulse_noise", 5, 0)
    assert set(np.unique(noisy)) == {0, 128, 255}
    for extreme in (0, 255):
        assert np.mean(noisy == extreme) == pytest.approx(0.125, rel=0.1)


def point(size=225):
    """Return an image of one bright pixel in the center, for which lengths are hardly scaled."""
    image = np.zeros((size, size, 1), np.uint8)
    image[size // 2, size // 2] = 255
    return image


def spread(pixels):
    """Return the covariance of the rows and columns of an image's light, in pixels squared."""
    rows, columns = np.indices(pixels.shape[:2]) - pixels.shape[0] // 2
    return np.cov(rows.ravel(), columns.ravel(), aweights=pixels.ravel(), bias=True)


def test_defocus_blur_is_a_disk():
    found = CORRUPTIONS["defocus_blur"](point() / np.float32(255), 5, None)
    assert found.sum() == pytest.approx(1, rel=1e-4)
    # The variance along a diameter is r² / 4, and bilinear interpolation adds about 1 / 6.
    assert spread(found.clip(0)) == pytest.approx(np.eye(2) * (25 + 1 / 6), rel=0.03, abs=0.2)


def test_motion_blur_is_a_line():
    found = CORRUPTIONS["motion_blur"](point() / np.float32(255), 5, np.random.default_rng(0))
    along, across = sorted(np.linalg.eigvalsh(spread(found.clip(0))), reverse=True)
    assert along == pytest.approx(36**2 / 12, rel=0.08) and across < 0.3


def test_zoom_blur_is_a_mean_of_enlargements():
    image = smooth_image((60, 60, 3), 2)
    factors = np.linspace(1, 1.33, corruptions.ZOOM_STEPS)
    offsets = (np.arange(60) - 29.5)[:, None] / factors  # (60, factors)
    expected = np.zeros(image.shape)
    for position in offsets.T + 29.5:
        for channel in range(3):
            grid = np.meshgrid(position, position, indexing="ij")
            plane = image[..., channel].astype(float)
            expected[..., channel] += scipy.ndimage.map_coordinates(plane, grid, order=1)
    expected /= len(factors)
    assert np.abs(corrupt(image, "zoom_blur", 5, 0) - expected).max() < 2


def test_fog():
    black = np.zeros((64, 64, 3), np.uint8)
    airlight = corrupt(black, "fog", 4, 0) / 255  # 1 - t
    assert airlight.min() == pytest.approx(1 - np.exp(-1.1 * 0.5), abs=0.003)
    assert airlight.max() == pytest.approx(1 - np.exp(-1.1 * 1.5), abs=0.003)
    half = corrupt(black + 51, "fog", 4, 0) / 255
    assert np.abs(half - (0.2 * (1 - airlight) + airlight)).max() < 0.005


def test_brightness():
    image = smooth_image((20, 30, 3), 3)
    expected = np.minimum(image + 0.3 * 255, 255)
    assert np.abs(corrupt(image, "brightness", 3, 0) - expected).max() <= 0.5


def test_contrast():
    image = smooth_image((20, 30, 3), 3)
    means = [image[..., channel].astype(float).mean() for channel in range(3)]
    expected = np.stack([0.3 * image[..., i] + 0.7 * mean for i, mean in enumerate(means)], -1)
    assert np.abs(corrupt(image, "contrast", 3, 0) - expected).max() <= 0.51


def test_desaturation():
    image = smooth_image((20, 30, 3), 3)
    luma = np.asarray(Image.fromarray(image).convert("L"), int)  # Rec. 601, too
    assert np.abs(corrupt(image, "desaturation", 5, 0) - luma[..., None]).max() <= 1


def test_pixelation():
    image = smooth_image((40, 40, 1), 4)
    blocks = image.reshape(8, 5, 8, 5).mean(axis=(1, 3))  # a fifth of each side
    expected = blocks.repeat(5, axis=0).repeat(5, axis=1)[..., None]
    assert (
        np.abs(corrupt(image, "pixelation", 5, 0) - expected).max() <= 1
    )  # rows and columns round


def test_jpeg():
    image = smooth_image((40, 24, 1), 5)
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "JPEG", quality=15)
    assert (corrupt(image, "jpeg", 3, 0)[..., 0] == np.asarray(Image.open(file))).all()


def test_elastic_moves_all_channels_alike():
    ramp = np.arange(0, 240, dtype=np.uint8)[None, :, None].repeat(240, axis=0).repeat(3, axis=2)
    offsets = corrupt(ramp, "elastic", 5, 0).astype(int) - ramp  # horizontal, in pixels
    assert (offsets[..., :1] == offsets).all()
    assert 7 * 240 / 224 * 0.4 < offsets[20:-20, 20:-20].std() < 7 * 240 / 224 * 1.2
