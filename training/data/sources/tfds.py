"""Any classification set of TensorFlow Datasets, by its name."""

import difflib
from pathlib import Path

from training.data.source import Source
from training.data.splits import IndexedSplit, StreamedSplit
from training.errors import UserError


def load(name, data):
    """Return the set `name`, such as `cifar10` or `imagenet2012:5.1.0`.

    The splits are expressions of TensorFlow Datasets, such as `train[:98%]`; images stay encoded
    where the set has them so. What is not on disk is fetched, into `--data-dir`.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data.data_dir or None)
    except (tfds.core.DatasetNotFoundError, ValueError, RuntimeError) as error:
        raise UserError(
            "--source tfds:NAME must be a set that TensorFlow Datasets knows, or one in "
            f"--data-dir. Received: {name}. {_advice(tfds, name, data.data_dir)}"
        ) from error
    _prepare(builder, name)
    image_key, label_key = _keys(tfds, builder, name)
    features = builder.info.features
    channels = features[image_key].shape[-1] or 3

    def split_of(expression, option):
        if not expression:
            return IndexedSplit(0, None)
        try:
            num_examples = builder.info.splits[expression].num_examples
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{option} must be a split of {name}, {', '.join(builder.info.splits)}, or a part "
                f"of one, such as train[:98%]. Received: {expression}: {_first_lines(error)}"
            ) from error

        def open_stream(seed):
            config = tfds.ReadConfig(
                shuffle_seed=seed,
                shuffle_reshuffle_each_iteration=True,
                add_tfds_id=False,
                try_autocache=False,
            )
            dataset = builder.as_dataset(
                split=expression,
                shuffle_files=seed is not None,
                decoders={image_key: tfds.decode.SkipDecoding()},
                read_config=config,
            )
            return dataset.map(lambda example: (example[image_key], example[label_key]))

        return StreamedSplit(num_examples, open_stream)

    return Source(
        class_names=tuple(features[label_key].names),
        channels=channels,
        train=split_of(data.train_split, "--train-split"),
        validation=split_of(data.validation_split, "--validation-split"),
        test=split_of(data.test_split, "--test-split"),
    )


def _advice(tfds, name, data_dir):
    known = [*tfds.list_builders(), *(p.name for p in Path(data_dir or "nowhere").glob("*"))]
    near = difflib.get_close_matches(name.partition(":")[0], known)
    names = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"{names}See https://www.tensorflow.org/datasets/catalog."


def _prepare(builder, name):
    try:
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
    keys = builder.info.supervised_keys or tuple(features)
    images = [k for k in keys if isinstance(features[k], tfds.features.Image)]
    labels = [k for k in keys if isinstance(features[k], tfds.features.ClassLabel)]
    if len(images) != 1 or len(labels) != 1:
        raise UserError(
            f"--source tfds:{name} must have one image and one class label. Received: "
            f"{dict(features)}. Choose a set for image classification."
        )
    return images[0], labels[0]


def _first_lines(error):
    return " ".join(str(error).split())[:400].rstrip(".") + "."
