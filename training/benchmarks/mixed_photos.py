"""JPEG files of mixed sizes, some damaged, to measure prediction with."""

import itertools
import math
import random

import numpy as np
from PIL import Image

LARGE = ((4000, 3000), (3000, 4000))  # width and height in pixels
MEDIUM = ((1024, 800), (1200, 900), (1280, 1024), (1600, 1000), (1600, 1200))
SMALL = ((640, 427), (500, 400), (400, 500), (480, 320), (320, 240), (256, 256), (200, 300))
MIX: tuple[tuple[tuple, int], ...] = ((LARGE, 2), (MEDIUM, 5), (SMALL, 93))  # of each 100 files
QUALITIES = (85, 90, 95)  # of the JPEGs
DAMAGED_PER_1000 = 23  # 115 of 5,000


def write_photos(folder, number):
    """Write `number` image files of mixed sizes, some damaged; return all and the valid paths.

    Equal files are links, so that they take little time and space. Each 50 files have one of the
    large photos, at a random place.

    Args:
        folder: Path of a new folder.
        number: Number of files.
    """
    originals = folder.with_name("originals")
    folder.mkdir(parents=True)
    originals.mkdir()
    mix = [
        photos
        for sizes, number_of_100 in MIX
        for photos in [_write_sizes(originals, sizes)] * number_of_100
    ]
    rng = random.Random(0)
    halves = itertools.cycle((mix[::2], mix[1::2]))
    order = (next(photos) for half in halves for photos in rng.sample(half, len(half)))
    paths, valid = [folder / f"{i:06}.jpg" for i in range(number)], []
    for i, path in enumerate(paths):
        photo = next(order)
        damaged = (i + 1) * DAMAGED_PER_1000 // 1000  # so far, with this one
        if damaged == i * DAMAGED_PER_1000 // 1000:
            path.hardlink_to(photo)
            valid.append(path)
        else:
            contents = photo.read_bytes()
            path.write_bytes((b"", b"no image", contents[: len(contents) // 2])[damaged % 3])
    return paths, valid


def _write_sizes(folder, sizes):
    """Write a JPEG of each size and quality; return an endless iterator over the paths."""
    from sklearn.datasets import load_sample_images

    scenes, paths = load_sample_images().images, []
    for i, ((width, height), quality) in enumerate(itertools.product(sizes, QUALITIES)):
        scene = scenes[i % len(scenes)]
        # Tiled, since an enlarged photo would have fewer details, and be decoded faster.
        tiles = math.ceil(height / scene.shape[0]), math.ceil(width / scene.shape[1]), 1
        paths.append(folder / f"{width}x{height}-{quality}.jpg")
        Image.fromarray(np.tile(scene, tiles)[:height, :width]).save(paths[-1], quality=quality)
    return itertools.cycle(paths)
