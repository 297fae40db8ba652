"""Images per second of the training pipeline, against a plain one of the same operations.

Only tf.data is measured: no model takes the batches. Each repeat runs every pipeline anew, one
after the other, so that what else the machine does falls on all of them. Where that is much,
compare the time of the cores, in which other programs' is not counted.
"""

import dataclasses
import os
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from training.config import Augmentation, Data
from training.data.crop import CROP_AREA, CROP_ASPECT
from training.data.pipeline import training_batches
from training.data.sources import load_source

PHOTO_WIDTH, PHOTO_HEIGHT = 500, 400  # pixels, about the mean of ImageNet's
PHOTO_QUALITY = 90  # of JPEG
PHOTO_SHARE = (0.5, 0.95)  # of a photograph's sides, that one file shows
NUM_CLASSES = 8
WARMUP_BATCHES = 2

PLAIN, OURS, PRETRAINING = "plain tf.data", "ours", "RandAugment + mixup"
AUGMENTATIONS = {
    "RandAugment": Augmentation(randaugment_magnitude=15, randaugment_layers=2),
    "AugMix": Augmentation(augmix_severity=3),
    "colour jitter": Augmentation(color_jitter=0.4),
    "hue": Augmentation(hue_jitter=0.1),
    "cutout": Augmentation(cutout_fraction=0.5),
    "erasing": Augmentation(erasing_probability=0.25),
    "geometry": Augmentation(shift_fraction=0.1, rotation_degrees=15, zoom_fraction=0.1),
    "mixup": Augmentation(mixup_alpha=0.5),
    "CutMix": Augmentation(cutmix_alpha=1.0),
}
# As the Mixers were trained, but for the crop and the flip, which are in all pipelines.
PRETRAINING_AUGMENTATION = Augmentation(randaugment_magnitude=15, mixup_alpha=0.5)


@dataclasses.dataclass(frozen=True)
class Speed:
    """Of one pipeline: the median over the repeats."""

    pipeline: str
    images_per_second: float
    to_plain: float  # how many times as fast as the plain one
    milliseconds_above_ours: float  # per image, above ours without augmentation
    core_milliseconds: float  # per image: time of all cores together, without other programs'


@dataclasses.dataclass(frozen=True)
class Pipelines:
    """All pipelines, measured in one run."""

    cores: int
    files: int  # JPEGs of 500 x 400 pixels
    image_size: int
    batch_size: int
    batches: int  # timed in each repeat
    repeats: int
    speeds: tuple[Speed, ...]
    # Time of the cores that RandAugment and mixup add together, to the sum of what each adds alone.
    pretraining_to_its_parts: float


def measure(batches, repeats, files=512, image_size=224, batch_size=64):
    """Measure every pipeline, with a progress bar; return `Pipelines`.

    Args:
        batches: How many are timed in each repeat, after a warm-up.
        repeats: How often each pipeline is timed, in turn.
        files: Number of different JPEGs, written to a temporary folder.
        image_size: Side of the images in a batch, in pixels.
        batch_size: Images in a batch.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder), files)
        datasets = pipelines(Path(folder), image_size, batch_size)
        times: dict[str, list] = {name: [] for name in datasets}
        with tqdm(desc="measuring", total=repeats * len(datasets), unit="run") as progress:
            for _ in range(repeats):
                for name, dataset in datasets.items():
                    progress.set_postfix_str(name)
                    times[name].append(_seconds(dataset, batches))
                    progress.update()
    seconds, core_seconds = (
        {
            name: statistics.median(pair[i] for pair in pairs) / (batches * batch_size)
            for name, pairs in times.items()
        }
        for i in range(2)
    )  # per image
    added = {name: value - core_seconds[OURS] for name, value in core_seconds.items()}
    return Pipelines(
        cores=_cores(),
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
    """Write JPEGs like photographs, `FOLDER/CLASS/NUMBER.jpg`: parts of scikit-learn's two."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    photos = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    for i in range(number):
        path = folder / f"class {i % NUM_CLASSES}" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo = photos[rng.integers(len(photos))]
        width, height = rng.uniform(*PHOTO_SHARE) * np.array(photo.size)
        left, top = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
        part = photo.resize(
            (PHOTO_WIDTH, PHOTO_HEIGHT),
            Image.Resampling.BICUBIC,
            (left, top, left + width, top + height),
        )
        part.save(path, quality=PHOTO_QUALITY)


def pipelines(folder, image_size, batch_size):
    """Return a dataset of endless batches for every name."""
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
        source = load_source(data)  # remembers what it has found in the files: there, not at home

    augmentations = {OURS: Augmentation()} | AUGMENTATIONS | {PRETRAINING: PRETRAINING_AUGMENTATION}
    return {PLAIN: plain_batches(folder, image_size, batch_size)} | {
        name: training_batches(source, data, augmentation, seed=0)
        for name, augmentation in augmentations.items()
    }


def plain_batches(folder, image_size, batch_size):
    """Return a dataset of endless batches, as one writes it by hand: nothing can be repeated."""
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


def _seconds(dataset, batches):
    """Return how long some batches take once the pipeline runs, by the clock and of the cores."""
    iterator = iter(dataset)
    for _ in range(WARMUP_BATCHES):
        next(iterator)
    began, core_began = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(iterator)
    return time.perf_counter() - began, time.process_time() - core_began


def _cores():
    """Return how many cores this process may use, where the system says it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
