"""Corruptions of images, to measure the robustness of models, in NumPy.

They are in the spirit of ImageNet-C (Hendrycks & Dietterich 2019, arXiv 1903.12261), but code and
strengths are of this project, and so are the results: the images of ImageNet-C itself are
`imagenet2012_corrupted` of TensorFlow Datasets.

Lengths are in pixels of an image whose shorter side is 224, and scale with that side, so that an
object is distorted alike at every size; but blurs by less than a pixel are stronger than that.
Fractions, standard deviations and JPEG quality do not scale: noise is independent in each pixel,
and JPEG works on blocks of 8 pixels, at every size.
"""

import io
import math
import zlib

import numpy as np
import scipy.ndimage
import scipy.signal
from PIL import Image

SEVERITIES = (1, 2, 3, 4, 5)
REFERENCE_SIZE = 224  # shorter side in pixels for which lengths are given
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601
ZOOM_STEPS = 16


def corrupt(image, name, severity, seed):
    """Return a corrupted copy of an image.

    The result depends on nothing but the arguments. The random numbers are the same at all
    severities, so that these differ in strength rather than in chance.

    Args:
        image: uint8 `(height, width, channels)` with 1 or 3 channels, at least 8 × 8 pixels.
        name: A key of `CORRUPTIONS`.
        severity: 1 to 5.
        seed: Non-negative integer or sequence of such, such as a seed and the image's position.
    """
    stream = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),))
    pixels = CORRUPTIONS[name](_to_float(image), severity, np.random.default_rng(stream))
    return _to_uint8(pixels)


def names_for(channels):
    """Return the names of the corruptions of images with 1 or 3 channels."""
    return tuple(name for name in CORRUPTIONS if channels == 3 or name not in COLOR_ONLY)


# Each of the following takes float32 pixels in [0, 1], `(height, width, channels)`, the severity
# and a NumPy generator. The result may leave [0, 1] and is clipped.


def gaussian_noise(pixels, severity, rng):
    """Add normal noise; the strength is its standard deviation."""
    stddev = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    return pixels + stddev * rng.standard_normal(pixels.shape, np.float32)


def shot_noise(pixels, severity, rng):
    """Replace values x by Poisson(λx) / λ; λ is the number of photons of a white pixel."""
    photons = (80, 40, 20, 10, 5)[severity - 1]
    return rng.poisson(pixels * photons) / photons


def impulse_noise(pixels, severity, rng):
    """Replace a fraction of the values by 0 or 1, equally often."""
    fraction = (0.02, 0.05, 0.1, 0.17, 0.25)[severity - 1]
    uniform = rng.random(pixels.shape)
    noisy = np.where(uniform < fraction / 2, 0, pixels)
    return np.where(uniform > 1 - fraction / 2, 1, noisy)


def defocus_blur(pixels, severity, rng):
    """Average over a disk; the strength is its radius in pixels."""
    radius = _scaled((2, 3.5, 5, 7, 10)[severity - 1], pixels)
    offsets = np.linspace(-radius, radius, 4 * math.ceil(radius) + 9)
    points = np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(-1, 2)
    return _convolve(pixels, _kernel(points[np.hypot(*points.T) <= radius]))


def motion_blur(pixels, severity, rng):
    """Average over a line in a random direction; the strength is its length in pixels."""
    length = _scaled((8, 13, 19, 26, 36)[severity - 1], pixels)
    angle = rng.uniform(0, np.pi)
    along = np.linspace(-length / 2, length / 2, 4 * math.ceil(length) + 1)
    return _convolve(pixels, _kernel(along[:, None] * (np.sin(angle), np.cos(angle))))


def zoom_blur(pixels, severity, rng):
    """Average over enlargements about the center; the strength is the largest of them, minus 1."""
    zoom = (0.06, 0.12, 0.18, 0.25, 0.33)[severity - 1]
    picture, total = _to_picture(pixels), np.zeros_like(pixels)
    width, height = picture.size
    for factor in np.linspace(1, 1 + zoom, ZOOM_STEPS):
        x, y = (side / 2 * (1 - 1 / factor) for side in picture.size)
        window = (x, y, width - x, height - y)
        enlarged = picture.resize(picture.size, Image.Resampling.BILINEAR, window)
        total += _to_float(enlarged).reshape(pixels.shape)
    return total / ZOOM_STEPS


def fog(pixels, severity, rng):
    """Blend with white; the strength is the mean optical depth β of the air.

    The light of the scene is attenuated by t = exp(-β d) and the rest is white (Koschmieder 1924):
    t x + 1 - t, for smooth random distances d from 0.5 to 1.5.
    """
    depth = (0.3, 0.55, 0.8, 1.1, 1.5)[severity - 1]
    shape = pixels.shape[:2]
    distance = sum(_smooth_noise(rng, cells, shape) / cells for cells in (3, 6, 12, 24))
    distance = 0.5 + (distance - distance.min()) / np.ptp(distance)
    transmission = np.exp(-depth * distance)[..., None]  # (height, width, 1)
    return transmission * pixels + 1 - transmission


def brightness(pixels, severity, rng):
    """Add a constant."""
    return pixels + (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1]


def contrast(pixels, severity, rng):
    """Scale the differences from the mean of each channel by a factor below 1."""
    factor = (0.6, 0.45, 0.3, 0.2, 0.1)[severity - 1]
    mean = pixels.mean(axis=(0, 1))
    return mean + factor * (pixels - mean)


def desaturation(pixels, severity, rng):
    """Scale the differences from the luma of each pixel by a factor below 1."""
    factor = (0.6, 0.4, 0.25, 0.1, 0)[severity - 1]
    luma = (pixels @ LUMA)[..., None]  # (height, width, 1)
    return luma + factor * (pixels - luma)


def pixelation(pixels, severity, rng):
    """Shrink to a fraction of both sides by averaging, and enlarge without interpolation."""
    fraction = (0.65, 0.5, 0.38, 0.3, 0.2)[severity - 1]
    picture = _to_picture(pixels)
    small = picture.resize([round(side * fraction) for side in picture.size], Image.Resampling.BOX)
    return _to_float(small.resize(picture.size, Image.Resampling.NEAREST)).reshape(pixels.shape)


def jpeg(pixels, severity, rng):
    """Compress as JPEG; the strength is the quality, 1 to 95."""
    quality = (40, 25, 15, 9, 5)[severity - 1]
    with io.BytesIO() as file:
        _to_picture(pixels).save(file, "JPEG", quality=quality)
        return _to_float(Image.open(file)).reshape(pixels.shape)


def elastic(pixels, severity, rng):
    """Move pixels by smooth random offsets; the strength is about their mean length in pixels."""
    length = _scaled((1.5, 2.5, 4, 5.5, 7)[severity - 1], pixels)
    shape = pixels.shape[:2]
    offsets = [length * _smooth_noise(rng, 12, shape) for _ in range(2)]
    coordinates = np.indices(shape) + offsets  # (2, height, width)
    channels = [
        scipy.ndimage.map_coordinates(channel, coordinates, order=1, mode="reflect")
        for channel in np.moveaxis(pixels, -1, 0)
    ]
    return np.stack(channels, axis=-1)


CORRUPTIONS = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "defocus_blur": defocus_blur,
    "motion_blur": motion_blur,
    "zoom_blur": zoom_blur,
    "fog": fog,
    "brightness": brightness,
    "contrast": contrast,
    "desaturation": desaturation,
    "pixelation": pixelation,
    "jpeg": jpeg,
    "elastic": elastic,
}
COLOR_ONLY = {"desaturation"}


def _scaled(length, pixels):
    return length * min(pixels.shape[:2]) / REFERENCE_SIZE


def _to_float(image):
    return np.asarray(image, np.float32) / 255


def _to_uint8(pixels):
    return np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)


def _to_picture(pixels):
    """Return a Pillow image, gray or RGB."""
    image = _to_uint8(pixels)
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _kernel(points):
    """Return the kernel of an average over displacements, `(2 k + 1, 2 k + 1)`.

    Each point has the weights of bilinear interpolation, so that a blur by less than a pixel is
    one.

    Args:
        points: Rows and columns of the displacements in pixels, `(points, 2)`.
    """
    half = math.floor(np.abs(points).max()) + 1
    low = np.floor(points)
    fraction = points - low
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for corner in np.ndindex(2, 2):
        weights = np.abs(1 - np.array(corner) - fraction).prod(axis=1)
        np.add.at(kernel, tuple((low + corner + half).astype(int).T), weights / len(points))
    return kernel


def _convolve(pixels, kernel):
    """Return each channel convolved with a kernel; borders are reflected."""
    half = len(kernel) // 2
    padded = np.pad(pixels, ((half, half), (half, half), (0, 0)), "symmetric")
    return scipy.signal.fftconvolve(padded, kernel[..., None], "valid", axes=(0, 1))


def _smooth_noise(rng, cells, shape):
    """Return normal noise of about `cells` × `cells` blobs, `(height, width)`, interpolated."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), np.float32))
    return np.asarray(coarse.resize(shape[::-1], Image.Resampling.BICUBIC))
