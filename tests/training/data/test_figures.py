"""Figures of a dataset: their images, labels and counts."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from training.config import Augmentation, Data
from training.data import figures
from training.data.source import Source
from training.data.sources import digits
from training.data.splits import FileSlice, StreamedSplit, in_memory

pytestmark = pytest.mark.backend("torch")  # tf.data does this under every backend


def numbered(examples, class_names):
    """Constant images whose value is their index; the class is the index modulo the classes."""
    values = np.arange(examples)
    images = np.broadcast_to(values[:, None, None, None], (examples, 8, 8, 1)).astype("uint8")
    split = in_memory(images, values % len(class_names))
    return Source(class_names, 1, split, split, split)


def texts(figure):
    """Return the label below each image and its pixels, row by row."""
    shown = [axes for axes in figure.axes if axes.get_visible()]
    return [(axes.get_xlabel(), axes.images[0].get_array()[..., 0]) for axes in shown]


def test_training_images_are_above_the_same_images_in_evaluation(tmp_path, saved_figures):
    source = numbered(30, tuple("abc"))
    data = Data(batch_size=16)
    figures.plot_images(source, data, Augmentation(), 0, 10, tmp_path / "images.png")
    below = texts(saved_figures[0])
    assert len(below) == 20
    top, bottom = below[:8] + below[16:18], below[8:16] + below[18:]
    for (text, pixels), (again, same) in zip(top, bottom, strict=True):
        assert text == again == "abc"[pixels[0, 0] % 3]
        np.testing.assert_array_equal(pixels, same)
    assert len({int(pixels[0, 0]) for _, pixels in top}) == 10
    assert Image.open(tmp_path / "images.png").size[0] > 500


def test_labels_show_the_shares_of_mixed_images(tmp_path, saved_figures):
    source = numbered(30, tuple("abc"))
    mixup = Augmentation(mixup_alpha=1.0)
    figures.plot_images(source, Data(batch_size=8), mixup, 0, 4, tmp_path / "images.png")
    mixed, plain = texts(saved_figures[0])[:4], texts(saved_figures[0])[4:]
    for (text, _), (name, _) in zip(mixed, plain, strict=True):
        shares = {line[5:]: float(line[:4]) for line in text.splitlines() if line[0] in "01"}
        if shares:
            assert sum(shares.values()) == pytest.approx(1, abs=0.011)
            assert max(shares, key=shares.get) == name
        else:
            assert text == name  # both images are of the same class


def test_at_most_one_batch_is_shown(tmp_path, saved_figures):
    source = numbered(30, tuple("abc"))
    figures.plot_images(source, Data(batch_size=3), Augmentation(), 0, 16, tmp_path / "a.png")
    assert len(texts(saved_figures[0])) == 6


def test_classes_are_counted(tmp_path, saved_figures):
    source = digits.load(Data(validation_fraction=0.0))
    figures.plot_class_distribution(source, "digits", tmp_path / "classes.png")
    train, test = saved_figures[0].axes  # the validation split is empty
    assert [bar.get_height() for bar in train.patches] == list(np.bincount(source.train.labels))
    assert [bar.get_height() for bar in test.patches] == list(np.bincount(source.test.labels))
    assert [label.get_text() for label in test.get_xticklabels()] == list("0123456789")
    assert "train: 1,437 images" in train.get_title()


def test_streamed_splits_are_counted_up_to_a_limit(tmp_path, saved_figures, monkeypatch):
    source = numbered(90, tuple(f"class {i} of a long name" for i in range(45)))
    records = str(tmp_path / "labels.tfrecord")
    with tf.io.TFRecordWriter(records) as writer:
        for label in source.train.labels:
            writer.write(str(label))
    stream = StreamedSplit(
        90,
        lambda shard: (90, [FileSlice(records, 0, -1)]),
        lambda record: (tf.zeros((8, 8, 1), tf.uint8), tf.strings.to_number(record, tf.int64)),
    )
    streamed = Source(source.class_names, 1, stream, source.validation, source.test)
    figures.plot_class_distribution(streamed, "numbers", tmp_path / "classes.png")
    assert [bar.get_height() for bar in saved_figures[0].axes[0].patches] == [2] * 45
    monkeypatch.setattr(figures, "COUNTED_EXAMPLES", 45)
    figures.plot_class_distribution(streamed, "numbers", tmp_path / "classes.png")
    assert [bar.get_height() for bar in saved_figures[1].axes[0].patches] == [1] * 45
    assert "the first 45 of 90 images" in saved_figures[1].axes[0].get_title()


def test_dollar_signs_are_not_mathematics(tmp_path):
    """They would end in an error of Matplotlib or in italics."""
    source = numbered(30, ("$^$", "b"))
    data = Data(source="folder:$^$", batch_size=16)
    figures.plot_images(source, data, Augmentation(), 0, 2, tmp_path / "images.png")
    figures.plot_class_distribution(source, data.source, tmp_path / "classes.png")
