"""Any classification set of TensorFlow Datasets, by its name."""

import contextlib
import difflib
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.data.decode import UPRIGHT, Encoded
from training.data.source import Source
from training.data.splits import FilePart, IndexedSplit, StreamedSplit
from training.errors import UserError

NO_SPLIT = "none"
PEEKED_LABELS = 256


def load(name, data):
    """Return the set `name`, such as `cifar10` or `imagenet2012:5.1.0`.

    The splits are expressions of TensorFlow Datasets, such as `train[:98%]`; without any they are
    `train`, none and `test`. Images stay encoded where the set has them so. What is not on disk
    is fetched, into `--data-dir`. Images of several classes have a vector for their label.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data.data_dir or None)
    except (tfds.core.DatasetNotFoundError, ValueError, RuntimeError, AssertionError) as error:
        raise UserError(
            "--source tfds:NAME must be a set that TensorFlow Datasets knows, or one in "
            f"--data-dir. Received: {name}. {_advice(tfds, name, data.data_dir)} "
            f"TensorFlow Datasets says: {_first_lines(error)}"
        ) from error
    _prepare(builder, name)
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise UserError(
            f"--source tfds:{name} must be on disk as TFRecord. Received: "
            f"{builder.info.file_format.value}. Prepare it again, in that format."
        )
    image_key, label_key = _keys(tfds, builder, name)
    features = builder.info.features
    is_multi_label = isinstance(features[label_key], tfds.features.Sequence)
    class_label = features[label_key].feature if is_multi_label else features[label_key]

    def parse(record):
        skip = {image_key: tfds.decode.SkipDecoding()}
        example = features.deserialize_example(record, decoders=skip)
        label = example[label_key]
        if is_multi_label:
            label = tf.reduce_max(tf.one_hot(label, class_label.num_classes), axis=0)
            label = tf.maximum(label, 0)  # of no label at all, the maximum is the least number
        return Encoded(example[image_key], tf.constant(UPRIGHT)), label

    def split_of(expression, option):
        if expression in ("", NO_SPLIT):
            return IndexedSplit(np.zeros(0, int))
        try:
            num_examples = builder.info.splits[expression].num_examples
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{option} must be a split of {name}, {', '.join(builder.info.splits)}, or a part "
                f"of one, such as train[:98%], or {NO_SPLIT}. Received: {expression}: "
                f"{_first_lines(error)}"
            ) from error

        def parts(shard):
            own = builder.info.splits[tfds.even_splits(expression, shard.count)[shard.index]]
            return own.num_examples, [
                FilePart(part.filename, part.skip, part.take) for part in own.file_instructions
            ]

        if not num_examples:
            raise UserError(
                f"{option} must have examples. Received: {expression} of {name}, which has none. "
                "Pass a larger part."
            )
        split = StreamedSplit(num_examples, parts, parse)
        if is_multi_label and option != "--test-split":
            raise UserError(
                f"{option} must have one class for each image. Received: {name}, whose images "
                f"have several. Pass {NO_SPLIT}: such a set is for `evaluate`."
            )
        if not is_multi_label:
            _check_labels(split, class_label.num_classes, name, option, expression)
        return split

    return Source(
        class_names=tuple(class_label.names),
        channels=features[image_key].shape[-1] or 3,
        several_classes=is_multi_label,
        fingerprint=builder.info.full_name,
        train=split_of(data.train_split or "train", "--train-split"),
        validation=split_of(data.validation_split, "--validation-split"),
        test=split_of(data.test_split or "test", "--test-split"),
    )


def _advice(tfds, name, data_dir):
    known = {*tfds.list_builders(), *(p.name for p in Path(data_dir or "nowhere").glob("*"))}
    near = difflib.get_close_matches(name.partition(":")[0], known)
    names = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"{names}See https://www.tensorflow.org/datasets/catalog."


def _prepare(builder, name):
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it says is not the command's result
            builder.download_and_prepare()
    except Exception as error:  # the network, a full disk, or files to be fetched by hand
        raise UserError(
            f"--source tfds:{name} is not on disk and could not be prepared: "
            f"{_first_lines(error)} Fetch it where there is a network, and name its folder by "
            "--data-dir."
        ) from error


def _keys(tfds, builder, name):
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
            f"{dict(features)}. Choose a set for image classification."
        )
    return images[0], labels[0]


def _check_labels(split, num_classes, name, option, expression):
    """Refuse a split whose labels are not classes; where they are kept secret, all are -1."""
    labels = split.in_order().map(lambda position, image, label: label).take(PEEKED_LABELS)
    wrong = [int(label) for label in labels if not 0 <= label < num_classes]
    if wrong:
        raise UserError(
            f"{option} must have labels from 0 to {num_classes - 1}. Received: {name} "
            f"{expression} with a label of {wrong[0]}. Choose a split that has labels."
        )


def _first_lines(error):
    return " ".join(str(error).split())[:400].rstrip(".") + "."
