"""Figures of a dataset: its images as the model sees them, and the class distribution."""

import dataclasses
import math

import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from training.data import crop
from training.data.pipeline import training_batches
from training.data.split_names import SPLITS
from training.data.splits import IndexedSplit

COLUMNS = 8
NAMED_CLASSES = 40  # more names would overlap
COUNTED_EXAMPLES = 50_000  # of splits whose labels have to be read from files
LONGEST_NAME = 18


def plot_images(source, data, augmentation, seed, number, path):
    """Plot the first training images of a run, each above the same image as in evaluation.

    The label of a training image is the share of each class after mixup and CutMix; that of an
    evaluation image is its class.

    Args:
        source: A `training.data.source.Source`.
        data: The `training.config.Data`.
        augmentation: The `training.config.Augmentation`.
        seed: The run's seed.
        number: Number of images; at most those of the first batch are shown.
        path: Path of the PNG file.
    """
    data = dataclasses.replace(data, deterministic=True)  # so that the images of a pair match
    ((batch, labels),) = training_batches(source, data, augmentation, seed).take(1)
    number = min(number, data.batch_size)
    shares = [_describe_label(label, source) for label in labels[:number].numpy()]
    training = batch[:number].numpy().astype("uint8"), shares
    originals = source.train.shuffled(seed, data.batch_size).take(number)
    originals = originals.map(
        lambda position, image, label: (
            crop.prepare_evaluation_image(image, data, source.channels),
            tf.gather(source.class_names, label),
        )
    )
    unchanged, names = zip(*originals.as_numpy_iterator(), strict=True)
    evaluation = unchanged, [_shorten(name.decode()) for name in names]

    columns, blocks = min(number, COLUMNS), math.ceil(number / COLUMNS)
    figure = Figure(figsize=(max(5, columns * 1.5), blocks * 3.9 + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(2 * blocks, columns, squeeze=False)
    for axes in rows.flat:
        axes.set(xticks=[], yticks=[], visible=False)
    for i in range(number):
        block, column = divmod(i, COLUMNS)
        for kind, (pixels, texts) in enumerate((training, evaluation)):
            axes = rows[2 * block + kind, column]
            axes.set_visible(True)
            axes.imshow(np.repeat(pixels[i], 3 // source.channels, axis=2), interpolation="nearest")
            axes.set_xlabel(texts[i], fontsize=7, parse_math=False)
            if column == 0:
                axes.set_ylabel(("training", "evaluation")[kind])
    size = f"{data.image_size} × {data.image_size} pixels"
    title = f"{data.source}: the first training images with seed {seed}, {size}"
    figure.suptitle(title, parse_math=False)  # names and folders may have dollar signs
    figure.savefig(path, dpi=120)


def _describe_label(label, source):
    """Return the classes of a label, one per line, with their shares if there are several."""
    classes = [c for c in np.argsort(-label) if label[c] >= 0.005]
    if len(classes) == 1:
        return _shorten(source.class_names[classes[0]])
    return "\n".join(f"{label[c]:.2f} {_shorten(source.class_names[c])}" for c in classes)


def _shorten(name):
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def plot_class_distribution(source, name, path):
    """Plot the number of images of each class in each split.

    Args:
        source: A `training.data.source.Source`.
        name: Name of the dataset, for the title.
        path: Path of the PNG file.
    """
    counts = {split: _count(getattr(source, split), split, source) for split in SPLITS}
    counts = {split: count for split, count in counts.items() if count.sum()}
    classes = np.arange(len(source.class_names))
    width = min(12, 5 + 0.5 * len(classes))
    figure = Figure(figsize=(width, 1 + 2.2 * len(counts)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(counts), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (split, count) in zip(rows, counts.items(), strict=True):
        axes.bar(classes, count, width=0.8 if len(classes) <= NAMED_CLASSES else 1.0)
        total = len(getattr(source, split))
        counted = f"{total:,} images"
        if count.sum() < total:
            counted = f"the first {int(count.sum()):,} of {total:,} images"
        axes.set_ylabel("images")
        axes.set_title(
            f"{split}: {counted}, {count.min():,.0f} to {count.max():,.0f} per class", fontsize=10
        )
    if len(classes) <= NAMED_CLASSES:
        names = [_shorten(name) for name in source.class_names]
        rotated = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 5 else {}
        rows[-1].set_xticks(classes, names, parse_math=False, **rotated)
    else:
        rows[-1].set_xlabel("class index")
    rows[-1].set_xlim(-0.6, len(classes) - 0.4)
    figure.suptitle(f"{name}: {len(classes)} classes", parse_math=False)
    figure.savefig(path, dpi=120)


def _count(split, name, source):
    """Return the number of examples of each class in a split, or in its first examples."""
    classes = len(source.class_names)
    if isinstance(split, IndexedSplit):
        return np.bincount(split.labels, minlength=classes)
    counts = np.zeros(classes)
    total = min(len(split), COUNTED_EXAMPLES)
    examples = split.in_order().map(lambda position, image, label: label).take(total)
    for label in tqdm(examples.as_numpy_iterator(), f"counting {name}", total, unit="label"):
        counts += label if np.ndim(label) else np.eye(1, classes, label)[0]
    return counts
