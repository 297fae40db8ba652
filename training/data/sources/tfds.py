"""Image classification datasets of TensorFlow Datasets."""

import contextlib
import difflib
import re
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.data.decode import UPRIGHT, Encoded
from training.data.source import Source
from training.data.splits import FileSlice, IndexedSplit, StreamedSplit
from training.errors import UserError

FORM = "tfds:NAME"
NO_SPLIT = "none"
CHECKED_LABELS = 256
NAME = re.compile(
    r"\w+(/[\w.,=+-]+)?(:([\d.*]+|experimental_latest))?"
)  # NAME/CONFIG:VERSION, without a namespace
DOWNLOAD_RETRIES = 5  # of each file, within about 6 seconds; TensorFlow Datasets tries for minutes


def load(data):
    """Return the dataset NAME, such as `cifar10` or `imagenet2012:5.1.0`.

    The splits are expressions of TensorFlow Datasets, such as `train[:98%]`; the defaults are
    `train`, none and `test`. Images stay encoded if the dataset stores them so. A dataset that is
    not in `--data-dir` is downloaded to it. The labels of a multi-label dataset are vectors.
    """
    import tensorflow_datasets as tfds

    name = data.source.partition(":")[2]
    with _only_own_features(tfds, name):
        builder = _find_builder(tfds, name, data.data_dir)
        _prepare(builder, name)
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise UserError(
            f"--source tfds:{name} must be stored as TFRecord. Received: "
            f"{builder.info.file_format.value}. Prepare it in an empty --data-dir."
        )
    image_key, label_key = _find_keys(tfds, builder, name)
    features = builder.info.features
    multi_label = isinstance(features[label_key], tfds.features.Sequence)
    class_label = features[label_key].feature if multi_label else features[label_key]
    num_classes = class_label.num_classes

    def parse(record):
        skip = {image_key: tfds.decode.SkipDecoding()}
        example = features.deserialize_example(record, decoders=skip)
        label = example[label_key]
        if multi_label:
            label = tf.reduce_max(tf.one_hot(label, num_classes), axis=0)
            label = tf.maximum(label, 0)  # without labels, reduce_max gives the lowest float
        return Encoded(example[image_key], tf.constant(UPRIGHT)), label

    def split_of(expression, option):
        split = _find_split(tfds, builder, name, expression, option, parse)
        if len(split) and multi_label and option != "--test-split":
            raise UserError(
                f"{option} must have one class per image. Received: {name}, which is multi-label. "
                f"Pass {option} {NO_SPLIT}; `evaluate` takes such a dataset."
            )
        if len(split) and not multi_label:
            _check_labels(split, num_classes, name, option, expression)
        return split

    return Source(
        class_names=tuple(class_label.names),
        channels=features[image_key].shape[-1] or 3,
        multi_label=multi_label,
        fingerprint=lambda: builder.info.full_name,
        train=split_of(data.train_split or "train", "--train-split"),
        validation=split_of(data.validation_split or NO_SPLIT, "--validation-split"),
        test=split_of(data.test_split or "test", "--test-split"),
    )


def is_prepared(data):
    """Return whether a dataset is on disk, in `--data-dir`; download nothing."""
    import tensorflow_datasets as tfds

    name = data.source.partition(":")[2]
    with _only_own_features(tfds, name):
        return _find_builder(tfds, name, data.data_dir).is_prepared()


class _ForeignFeature(Exception):
    """A dataset on disk names a class that is not of TensorFlow Datasets."""


@contextlib.contextmanager
def _only_own_features(tfds, name):
    """Refuse a dataset on disk whose features are of classes outside of TensorFlow Datasets.

    Without this, TensorFlow Datasets imports whatever module the dataset's features.json names.
    """
    connector = tfds.features.FeatureConnector
    original = vars(connector)["cls_from_name"]

    def cls_from_name(cls, class_name):
        own = class_name.startswith("tensorflow_datasets.")
        if not own or class_name not in connector._registered_features:
            raise _ForeignFeature(class_name)
        return original.__func__(cls, class_name)

    connector.cls_from_name = classmethod(cls_from_name)
    try:
        yield
    except _ForeignFeature as error:
        raise UserError(
            f"--source tfds:{name} must have features of TensorFlow Datasets itself. Received: a "
            f"features.json that names {error}, whose code would be executed. Export its images to "
            "a folder, and pass --source folder:PATH."
        ) from error
    finally:
        connector.cls_from_name = original


def _find_builder(tfds, name, data_dir):
    if not NAME.fullmatch(name):
        raise UserError(
            "--source tfds:NAME must be a dataset of TensorFlow Datasets: its name, or "
            f"NAME/CONFIG:VERSION. Received: {name or 'nothing'}. Pass a name such as "
            "tfds:cifar10; for a dataset of another site, save its images and pass "
            "--source folder:PATH."
        )
    try:
        return tfds.builder(name, data_dir=data_dir or None)
    except _ForeignFeature:
        raise
    except Exception as error:  # a name that is not known, and damaged files of any kind
        known = {*tfds.list_builders(), *(p.name for p in Path(data_dir or "nowhere").glob("*"))}
        near = difflib.get_close_matches(name.partition(":")[0], known)
        suggestion = f"Did you mean {' or '.join(near)}? " if near else ""
        raise UserError(
            "--source tfds:NAME must be a dataset that TensorFlow Datasets knows, or one in "
            f"--data-dir. Received: {name}. {suggestion}See "
            "https://www.tensorflow.org/datasets/catalog. TensorFlow Datasets says: "
            f"{_shorten(error)}"
        ) from error


def _prepare(builder, name):
    """Download the dataset unless it is on disk."""
    from tensorflow_datasets.core.download import downloader

    most, downloader.MAX_RETRIES = downloader.MAX_RETRIES, DOWNLOAD_RETRIES
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for the result of the command
            builder.download_and_prepare()
    except _ForeignFeature:
        raise
    except Exception as error:  # of the network, a full disk, or a missing manual download
        raise UserError(
            f"--source tfds:{name} must be on disk or available for download. Received: "
            f"{_shorten(error)} Prepare it on a computer with a network, and pass its folder "
            "with --data-dir."
        ) from error
    finally:
        downloader.MAX_RETRIES = most


def _find_keys(tfds, builder, name):
    """Return the keys of the image and of the label among the features."""
    features = builder.info.features

    def is_label(feature):
        return isinstance(getattr(feature, "feature", feature), tfds.features.ClassLabel)

    keys = builder.info.supervised_keys or tuple(features)
    images = [k for k in keys if isinstance(features[k], tfds.features.Image)]
    labels = [k for k in keys if is_label(features[k])]
    if len(images) != 1 or len(labels) != 1:
        raise UserError(
            f"--source tfds:{name} must have one image and one class label. Received: "
            f"{dict(features)}. Choose a dataset for image classification."
        )
    return images[0], labels[0]


def _find_split(tfds, builder, name, expression, option, parse):
    if expression == NO_SPLIT:
        return IndexedSplit(np.zeros(0, int))
    try:
        num_examples = builder.info.splits[expression].num_examples
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{option} must be a split of {name}, {', '.join(builder.info.splits)}, or a slice "
            f"of one, such as train[:98%], or {NO_SPLIT}. Received: {expression}: "
            f"{_shorten(error)} Pass one of these."
        ) from error
    if not num_examples:
        raise UserError(
            f"{option} must have examples. Received: {expression} of {name}, which has none. "
            "Pass a larger slice."
        )

    def read_shard(shard):
        own = builder.info.splits[tfds.even_splits(expression, shard.count)[shard.index]]
        return own.num_examples, [
            FileSlice(file.filename, file.skip, file.take) for file in own.file_instructions
        ]

    return StreamedSplit(num_examples, read_shard, parse)


def _check_labels(split, num_classes, name, option, expression):
    """Refuse a split whose labels are not classes; secret labels are stored as -1."""
    labels = split.in_order().map(lambda position, image, label: label).take(CHECKED_LABELS)
    wrong = [int(label) for label in labels if not 0 <= label < num_classes]
    if wrong:
        raise UserError(
            f"{option} must have labels from 0 to {num_classes - 1}. Received: {name} "
            f"{expression} with a label of {wrong[0]}. Choose a split that has labels."
        )


def _shorten(error):
    return " ".join(str(error).split())[:400].rstrip(".") + "."
