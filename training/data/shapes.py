"""Textured shapes: synthetic color images of 32 × 32 pixels whose difficulty is a dial.

An image shows one shape filled with one texture, in two random colors on a third, at a random
position, size and angle. The shape can only be recognized from pixels that are far apart, the
texture from a few neighboring ones. Which of the two the class depends on is a dial, too.

Images come in blocks of `BLOCK`, each with a random generator of its own, so that the first images
of a dataset do not depend on how many there are.
"""

import dataclasses

import numpy as np

SIZE = 32  # pixels
BLOCK = 1000  # images
SHAPES = ("disk", "ring", "square", "triangle", "cross", "star", "crescent", "bar")
TEXTURES = ("plain", "stripes", "checks", "dots")
TRAIN, TEST = 0, 1  # first number of the seed of a block


@dataclasses.dataclass(frozen=True)
class Dials:
    """What a dataset of shapes is made of.

    Args:
        train: Number of training images.
        test: Number of test images.
        classes: "shape", "texture", or "both" for one class of each combination.
        difficulty: From 0 to 1: how much position, size and angle vary, how similar the colors
            are, and how strong the noise is.
        seed: Seed of all images.
    """

    train: int = 20_000
    test: int = 2_000
    classes: str = "both"
    difficulty: float = 0.5
    seed: int = 0

    @property
    def class_names(self):
        """Names of the classes."""
        names = {
            "shape": SHAPES,
            "texture": TEXTURES,
            "both": [f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES],
        }
        return tuple(names[self.classes])


def generate(dials, split):
    """Return the images and the labels of a split.

    Args:
        dials: `Dials`.
        split: `TRAIN` or `TEST`.

    Returns:
        uint8 images, `(number, 32, 32, 3)`, and the index of the class of each.
    """
    number = dials.test if split == TEST else dials.train
    blocks = [_block(dials, split, i) for i in range(-(-number // BLOCK))]
    images, labels = (np.concatenate(parts)[:number] for parts in zip(*blocks, strict=True))
    return images, labels


def _block(dials, split, index):
    rng = np.random.default_rng([dials.seed, split, index])
    shape = rng.integers(len(SHAPES), size=BLOCK)
    texture = rng.integers(len(TEXTURES), size=BLOCK)
    labels = {"shape": shape, "texture": texture, "both": shape * len(TEXTURES) + texture}
    x, y = _grid(rng, dials.difficulty)
    inside = _by_kind(shape, [_SHAPES[name] for name in SHAPES], x, y)
    # Distances are in units of the shape's size, of about 10 pixels: edges are a pixel wide.
    inside = np.clip(0.5 - 10 * inside, 0, 1)[..., None]
    pattern = _by_kind(texture, [_TEXTURES[name] for name in TEXTURES], *_texture_grid(rng))
    colors = _colors(rng, dials.difficulty)
    background, first, second = colors[:, 0], colors[:, 1], colors[:, 2]
    filled = second + pattern[..., None] * (first - second)
    images = background + inside * (filled - background)
    noise = rng.standard_normal(images.shape, "float32")
    noise *= 0.2 * dials.difficulty
    images += noise
    images *= 255
    return np.clip(np.rint(images, out=images), 0, 255).astype("uint8"), labels[dials.classes]


def _grid(rng, difficulty):
    """Return the coordinates of the pixels relative to each shape, `(images, 32, 32)` each."""
    pixels = ((np.arange(SIZE) - (SIZE - 1) / 2) / 10).astype("float32")
    shift = _uniform(rng, 0.7 * difficulty, 2)
    radius = 1 - 0.15 * difficulty + _uniform(rng, 0.3 * difficulty)
    angle = _uniform(rng, np.pi * difficulty)
    x, y = pixels[None, None, :] - shift[0], pixels[None, :, None] - shift[1]
    cos, sin = np.cos(angle) / radius, np.sin(angle) / radius
    return cos * x + sin * y, cos * y - sin * x


def _texture_grid(rng):
    """Return the coordinates of the pixels in periods of the texture, at a random phase."""
    period, phase = 5 + _uniform(rng, 1), _uniform(rng, 0.5, 2)
    pixels = np.arange(SIZE, dtype="float32")
    shape = (BLOCK, SIZE, SIZE)
    return (
        np.broadcast_to((pixels[None, None, :] / period + phase[0]) % 1, shape),
        np.broadcast_to((pixels[None, :, None] / period + phase[1]) % 1, shape),
    )


def _uniform(rng, limit, *shape):
    """Return a random number in [-limit, limit) for each image, `(*shape, images, 1, 1)`."""
    return (limit * (2 * rng.random((*shape, BLOCK, 1, 1), "float32") - 1)).astype("float32")


def _colors(rng, difficulty):
    """Return the colors of background, texture and shape, `(images, 3, 1, 1, 3)` in [0, 1].

    The colors of an image are random, and their brightness differs by a third or, the more
    difficult, less.
    """
    brightness = rng.permuted(np.tile(np.array([0.15, 0.5, 0.85], "float32"), (BLOCK, 1)), axis=1)
    brightness = 0.5 + (brightness - 0.5) * np.float32(1 - 0.4 * difficulty)
    colors = brightness[..., None] + 0.3 * (rng.random((BLOCK, 3, 3), "float32") - 0.5)
    return colors.reshape(BLOCK, 3, 1, 1, 3)


def _by_kind(kind, functions, x, y):
    """Return the values of each image's own function of the coordinates, `(images, 32, 32)`."""
    values = np.empty(x.shape, "float32")
    for i, function in enumerate(functions):
        values[kind == i] = function(x[kind == i], y[kind == i])
    return values


def _polygon(x, y, corners):
    """Return the distance from a regular polygon's edge, negative inside."""
    angle = np.arctan2(y, x) % (2 * np.pi / corners) - np.pi / corners
    return np.hypot(x, y) * np.cos(angle) - np.cos(np.pi / corners)


def _star(x, y):
    angle = np.arctan2(y, x) % (2 * np.pi / 5) - np.pi / 5
    return (np.hypot(x, y) - (0.45 + 0.65 * np.abs(angle) / (np.pi / 5))) * 0.7


_SHAPES = {
    "disk": lambda x, y: np.hypot(x, y) - 0.9,
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.7) - 0.28,
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) - 0.8,
    "triangle": lambda x, y: _polygon(x, y, 3),
    "cross": lambda x, y: np.maximum(
        np.minimum(np.abs(x), np.abs(y)) - 0.28, np.maximum(np.abs(x), np.abs(y)) - 0.95
    ),
    "star": _star,
    "crescent": lambda x, y: np.maximum(np.hypot(x, y) - 0.95, 0.7 - np.hypot(x - 0.5, y)),
    "bar": lambda x, y: np.maximum(np.abs(x) - 1, np.abs(y) - 0.4),
}
_TEXTURES = {
    "plain": lambda x, y: np.zeros(x.shape, bool),
    "stripes": lambda x, y: y < 0.5,
    "checks": lambda x, y: (x < 0.5) ^ (y < 0.5),
    "dots": lambda x, y: np.hypot(x - 0.5, y - 0.5) < 0.3,
}
