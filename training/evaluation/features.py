"""Frozen features of a model, `pre_logits`: computed once, and kept in files.

The features of a split are in a folder of their own, named after a digest of the model, the images
and the transform. Each file has those of `IMAGES_PER_FILE` images and is written when it is
complete, so that an interrupted extraction resumes after the last file.
"""

import dataclasses
import math
import os

import keras
import numpy as np
from tqdm import tqdm

from keras_mixer.files import open_regular
from training.data.pipeline import evaluation_batches
from training.errors import UserError
from training.evaluation.digest import digest_of
from training.evaluation.predict_batch import predict_batch

NAME = "features"  # not one that Keras numbers, since it is a part of the digest
IMAGES_PER_FILE = 8192
DATA_FIELDS = (  # of `training.config.Data`, on which features depend
    "source",
    "train_split",
    "validation_split",
    "test_split",
    "validation_fraction",
    "test_fraction",
    "train_fraction",
    "image_size",
    "evaluation_transform",
    "batch_size",
    "on_bad_image",
)


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of the images of a split, and their classes.

    Args:
        values: `(images, features)`, float32.
        labels: `(images,)`, int64; -1 for an image without a label.
    """

    values: np.ndarray
    labels: np.ndarray

    def labeled(self):
        """Return those of the images that have a label."""
        known = self.labels >= 0
        return self if known.all() else Features(self.values[known], self.labels[known])


def features_model(model):
    """Return the model without its head: from the images to the input of the last dense layer.

    For a Mixer, these are the mean tokens after the last normalization, the `pre_logits` of the
    published code.

    Args:
        model: A Keras model of logits, such as that of a `training.model_argument.LoadedModel`.

    Raises:
        UserError: If the last layer is not dense.
    """
    last, node, _ = model.outputs[0]._keras_history
    (inputs,) = last._inbound_nodes[node].input_tensors
    if isinstance(last, keras.Model):  # nested, such as a Mixer with its head in a Sequential
        return keras.Model(model.inputs[0], features_model(last)(inputs), name=NAME)
    if not isinstance(last, keras.layers.Dense):
        raise UserError(
            "MODEL must end with a dense layer, whose input are the features. Received: a model "
            f"that ends with {last.name!r}, {type(last).__name__}. Save it with a Dense head."
        )
    return keras.Model(model.inputs[0], inputs, name=NAME)


def read_features(model, split, source, data, folder, show_progress=None):
    """Return the `Features` of a split, from the files in `folder` as far as they exist.

    Args:
        model: A model that `features_model` returned.
        split: "train" or "test".
        source: The `training.data.source.Source`.
        data: The `training.config.Data`, with the size and the transform of the images.
        folder: Path of the folder for the features of all splits and models.
        show_progress: Whether to show progress; None if stderr is a terminal.

    Raises:
        UserError: If a file is damaged, or features are not finite.
    """
    examples = getattr(source, split)
    batches = math.ceil(len(examples) / data.batch_size)
    batches_per_file = max(IMAGES_PER_FILE // data.batch_size, 1)
    digest = _digest(model, split, source, data)
    own = folder / f"{split}-{digest}"
    own.mkdir(parents=True, exist_ok=True)
    paths = [own / f"{i:05}.npz" for i in range(math.ceil(batches / batches_per_file))]
    done = next((i for i, path in enumerate(paths) if not path.exists()), len(paths))
    parts = [_read(path) for path in paths[:done]]
    first = done * batches_per_file
    dataset = iter(evaluation_batches(examples, source, data, start_batch=first))
    disable = None if show_progress is None else not show_progress
    with tqdm(
        desc=f"features of {split}", total=batches, initial=first, unit="batch", disable=disable
    ) as progress:
        for i, path in enumerate(paths[done:], done):
            most = len(examples) - i * batches_per_file * data.batch_size  # without padding
            number = min(batches_per_file, batches - i * batches_per_file)
            part = _extract(model, dataset, number, progress)
            part = Features(part.values[:most], part.labels[:most])
            _write(path, part)
            parts.append(part)
    return Features(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _extract(model, batches, number, progress):
    """Return the `Features` of the next `number` batches, with those of padding."""
    values, labels = [], []
    for _ in range(number):
        images, targets, _ = next(batches)
        values.append(keras.ops.convert_to_numpy(predict_batch(model, images)).astype("float32"))
        targets = np.asarray(targets)  # one-hot
        labels.append(np.where(targets.any(axis=1), targets.argmax(axis=1), -1))
        progress.update()
    features = np.concatenate(values)
    if not np.isfinite(features).all():
        raise UserError(
            "The features of the model must be finite. Received: "
            f"{features[~np.isfinite(features)][0]}. Use another model, or one in float32."
        )
    return Features(features, np.concatenate(labels))


def _digest(model, split, source, data):
    """Return a digest of all that the features of a split depend on."""
    return digest_of(
        model,
        split,
        len(getattr(source, split)),
        source.class_names,
        source.fingerprint(),
        [getattr(data, field) for field in DATA_FIELDS],
    )


def _write(path, features):
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        np.savez(file, values=features.values, labels=features.labels)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read(path):
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as arrays:
            features = Features(arrays["values"], arrays["labels"])
        if features.values.ndim != 2 or features.labels.shape != features.values.shape[:1]:
            raise ValueError("its arrays do not fit")
    except Exception as error:  # NumPy, zipfile and zlib have dozens
        raise UserError(
            f"{path.name} must have the features that an earlier command saved. Received: {path}: "
            f"{error}. Delete the folder {path.parent}; the same command computes them again."
        ) from error
    return features
