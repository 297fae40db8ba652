"""Benchmark of the training pipeline, compared with a plain one of the same operations.

Only tf.data is measured, without a model. If other programs keep the machine busy, compare the CPU
time, which does not include theirs.
"""

import dataclasses
import functools
import os
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from training.benchmarks.timing import interleave, medians
from training.config import Augmentation, Data
from training.data.crop import CROP_AREA, CROP_ASPECT
from training.data.pipeline import training_batches
from training.data.sources import load_source
from training.devices.cpu import cores

PHOTO_WIDTH, PHOTO_HEIGHT = 500, 400  # pixels, about the mean size of ImageNet images
PHOTO_QUALITY = 90  # JPEG quality
CROP_SHARE = (0.5, 0.95)  # range of the width and height of a crop, relative to the photograph
NUM_CLASSES = 8
WARMUP_BATCHES = 2

PLAIN, OURS, PRETRAINING = "plain tf.data", "ours", "RandAugment + mixup"
AUGMENTATIONS = {
    "RandAugment": Augmentation(randaugment_magnitude=15, randaugment_layers=2),
    "AugMix": Augmentation(augmix_severity=3),
    "color jitter": Augmentation(color_jitter=0.4),
    "hue": Augmentation(hue_jitter=0.1),
    "cutout": Augmentation(cutout_fraction=0.5),
    "erasing": Augmentation(erasing_probability=0.25),
    "geometry": Augmentation(shift_fraction=0.1, rotation_degrees=15, zoom_fraction=0.1),
    "mixup": Augmentation(mixup_alpha=0.5),
    "CutMix": Augmentation(cutmix_alpha=1.0),
}
# The augmentation of the paper; crop and flip are in all pipelines.
PRETRAINING_AUGMENTATION = Augmentation(randaugment_magnitude=15, mixup_alpha=0.5)


@dataclasses.dataclass(frozen=True)
class Speed:
    """Results for one pipeline, medians over the repeats.

    Args:
        pipeline: Its name.
        images_per_second: Speed.
        to_plain: Ratio of the speed to that of the plain pipeline.
        milliseconds_above_ours: Time per image above that of our pipeline without augmentation.
        core_milliseconds: CPU time per image, summed over all cores.
    """

    pipeline: str
    images_per_second: float
    to_plain: float
    milliseconds_above_ours: float
    core_milliseconds: float


@dataclasses.dataclass(frozen=True)
class Pipelines:
    """Results for all pipelines.

    Args:
        cores: Number of CPU cores that this process may use.
        files: Number of JPEG files.
        image_size: Height and width of the images in pixels.
        batch_size: Images per batch.
        batches: Number of batches timed per repeat.
        repeats: Number of times that each pipeline was timed.
        speeds: Results per pipeline.
        pretraining_to_its_parts: Ratio of the CPU time that RandAugment and mixup add together to
            the sum of what each adds alone.
    """

    cores: int
    files: int
    image_size: int
    batch_size: int
    batches: int
    repeats: int
    speeds: tuple[Speed, ...]
    pretraining_to_its_parts: float


def measure(batches, repeats, files=512, image_size=224, batch_size=64):
    """Measure every pipeline and return `Pipelines`.

    Args:
        batches: Number of batches to time per repeat, after a warm-up.
        repeats: Number of times that each pipeline is timed.
        files: Number of different JPEG files, written to a temporary folder.
        image_size: Height and width of the images in pixels.
        batch_size: Images per batch.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder), files)
        datasets = pipelines(Path(folder), image_size, batch_size)
        timed = {
            name: functools.partial(_seconds_per_image, dataset, batches, batch_size)
            for name, dataset in datasets.items()
        }
        times = interleave(timed, repeats)
    seconds, core_seconds = (
        medians({name: [pair[i] for pair in pairs] for name, pairs in times.items()})
        for i in range(2)
    )
    added = {name: value - core_seconds[OURS] for name, value in core_seconds.items()}
    return Pipelines(
        cores=cores(),
        files=files,
        image_size=image_size,
        batch_size=batch_size,
        batches=batches,
        repeats=repeats,
        speeds=tuple(
            Speed(
                pipeline=name,
                images_per_second=1 / value,
                to_plain=seconds[PLAIN] / value,
                milliseconds_above_ours=1000 * (value - seconds[OURS]),
                core_milliseconds=1000 * core_seconds[name],
            )
            for name, value in seconds.items()
        ),
        pretraining_to_its_parts=added[PRETRAINING] / (added["RandAugment"] + added["mixup"]),
    )


def write_photos(folder, number):
    """Write `FOLDER/CLASS/NUMBER.jpg`: random crops of scikit-learn's two sample photographs."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    photos = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    for i in range(number):
        path = folder / f"class {i % NUM_CLASSES}" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo = photos[rng.integers(len(photos))]
        width, height = rng.uniform(*CROP_SHARE) * np.array(photo.size)
        left, top = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
        crop = photo.resize(
            (PHOTO_WIDTH, PHOTO_HEIGHT),
            Image.Resampling.BICUBIC,
            (left, top, left + width, top + height),
        )
        crop.save(path, quality=PHOTO_QUALITY)


def pipelines(folder, image_size, batch_size):
    """Return an infinite dataset of batches for every pipeline, `{name: dataset}`."""
    data = Data(
        source=f"folder:{folder}",
        image_size=image_size,
        batch_size=batch_size,
        training_crop="inception",
        flip=True,
        validation_fraction=0.0,
        test_fraction=0.0,
    )
    with mock.patch.dict(os.environ, KERAS_HOME=str(folder / ".keras")):
        source = load_source(data)  # caches what it finds in the files, here and not in the home

    augmentations = {OURS: Augmentation()} | AUGMENTATIONS | {PRETRAINING: PRETRAINING_AUGMENTATION}
    return {PLAIN: plain_batches(folder, image_size, batch_size)} | {
        name: training_batches(source, data, augmentation, seed=0)
        for name, augmentation in augmentations.items()
    }


def plain_batches(folder, image_size, batch_size):
    """Return an infinite dataset of batches as one would write it by hand, not reproducible."""
    files = sorted(folder.glob("class */*.jpg"))
    paths, labels = [str(file) for file in files], [int(f.parent.name[-1]) for f in files]

    def prepare(path, label):
        encoded = tf.io.read_file(path)
        begin, extent, _ = tf.image.sample_distorted_bounding_box(
            tf.io.extract_jpeg_shape(encoded),
            bounding_boxes=tf.zeros((1, 0, 4)),
            min_object_covered=0.0,
            area_range=CROP_AREA,
            aspect_ratio_range=CROP_ASPECT,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.concat([begin[:2], extent[:2]], axis=0)
        pixels = tf.io.decode_and_crop_jpeg(encoded, window, channels=3)
        pixels = tf.image.resize(pixels, (image_size, image_size))
        pixels = tf.cast(tf.round(pixels), tf.uint8)
        return tf.image.random_flip_left_right(pixels), tf.one_hot(label, NUM_CLASSES)

    dataset = tf.data.Dataset.from_tensor_slices((paths, labels)).shuffle(len(paths)).repeat()
    dataset = dataset.map(prepare, tf.data.AUTOTUNE).batch(batch_size, drop_remainder=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


def _seconds_per_image(dataset, batches, batch_size):
    """Return wall time and CPU time per image, after a warm-up."""
    iterator = iter(dataset)
    for _ in range(WARMUP_BATCHES):
        next(iterator)
    began, core_began = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(iterator)
    images = batches * batch_size
    return (time.perf_counter() - began) / images, (time.process_time() - core_began) / images
