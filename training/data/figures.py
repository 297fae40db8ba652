"""Pictures of a set: the images as the model sees them, and how many there are of each class."""

import dataclasses
import math

import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from training.data import crop
from training.data.pipeline import training_batches
from training.data.source import SPLITS
from training.data.splits import IndexedSplit

COLUMNS = 8
NAMED_CLASSES = 40  # more names would cover each other
COUNTED_EXAMPLES = 50_000  # of splits that have to be read for their labels
LONGEST_NAME = 18


def draw_images(source, data, augmentation, seed, number, path):
    """Draw the first training images of a run into a PNG, each above its evaluation form.

    Below a training image stand the classes of its label with their shares, as mixup and CutMix
    leave them; below the other its class.

    Args:
        source: A `training.data.source.Source`.
        data: The `training.config.Data`.
        augmentation: The `training.config.Augmentation`.
        seed: The run's.
        number: How many images, of those of the first batch.
        path: Path of the picture.
    """
    data = dataclasses.replace(data, deterministic=True)  # so that the pairs are of one image
    ((batch, labels),) = training_batches(source, data, augmentation, seed).take(1)
    number = min(number, data.batch_size)
    shares = [_shares(label, source) for label in labels[:number].numpy()]
    training = batch[:number].numpy().astype("uint8"), shares
    originals = source.train.shuffled(seed, data.batch_size).take(number)
    originals = originals.map(
        lambda position, image, label: (
            crop.prepare_evaluation_image(image, data, source.channels),
            tf.gather(source.class_names, label),
        )
    )
    unchanged, names = zip(*originals.as_numpy_iterator(), strict=True)
    evaluation = unchanged, [_short(name.decode()) for name in names]

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
            axes.set_xlabel(texts[i], fontsize=7)
            if column == 0:
                axes.set_ylabel(("training", "evaluation")[kind])
    size = f"{data.image_size} × {data.image_size} pixels"
    figure.suptitle(f"{data.source}: the first training images of seed {seed}, {size}")
    figure.savefig(path, dpi=120)


def _shares(label, source):
    """Return the classes of a label, one line each, with their shares unless there is one."""
    classes = [c for c in np.argsort(-label) if label[c] >= 0.005]
    if len(classes) == 1:
        return _short(source.class_names[classes[0]])
    return "\n".join(f"{label[c]:.2f} {_short(source.class_names[c])}" for c in classes)


def _short(name):
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def draw_classes(source, name, path):
    """Draw how many images each class has in each part into a PNG.

    Args:
        source: A `training.data.source.Source`.
        name: Of the set, for the title.
        path: Path of the picture.
    """
    counts = {part: _count(getattr(source, part), part, source) for part in SPLITS}
    counts = {part: count for part, count in counts.items() if count.sum()}
    classes = np.arange(len(source.class_names))
    width = min(12, 5 + 0.5 * len(classes))
    figure = Figure(figsize=(width, 1 + 2.2 * len(counts)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(counts), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (part, count) in zip(rows, counts.items(), strict=True):
        axes.bar(classes, count, width=0.8 if len(classes) <= NAMED_CLASSES else 1.0)
        total = len(getattr(source, part))
        counted = f"{total:,} images"
        if count.sum() < total:
            counted = f"the first {int(count.sum()):,} of {total:,} images"
        axes.set_ylabel("images")
        axes.set_title(
            f"{part}: {counted}, {count.min():,.0f} to {count.max():,.0f} of a class", fontsize=10
        )
    if len(classes) <= NAMED_CLASSES:
        names = [_short(name) for name in source.class_names]
        slanted = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 5 else {}
        rows[-1].set_xticks(classes, names, **slanted)
    else:
        rows[-1].set_xlabel("number of the class")
    rows[-1].set_xlim(-0.6, len(classes) - 0.4)
    figure.suptitle(f"{name}: {len(classes)} classes")
    figure.savefig(path, dpi=120)


def _count(split, part, source):
    """Return how many examples of each class a split has, or its first ones."""
    classes = len(source.class_names)
    if isinstance(split, IndexedSplit):
        return np.bincount(split.labels, minlength=classes)
    counts = np.zeros(classes)
    total = min(len(split), COUNTED_EXAMPLES)
    examples = split.in_order().map(lambda position, image, label: label).take(total)
    for label in tqdm(examples.as_numpy_iterator(), f"counting {part}", total, unit="label"):
        counts += label if np.ndim(label) else np.eye(1, classes, label)[0]
    return counts
