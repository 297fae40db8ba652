"""Cache of encoded images in memory, or on a disk that is faster than their source."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from keras_mixer.files import read_bytes
from training.data.decode import Encoded
from training.data.splits import IndexedSplit
from training.errors import UserError

CACHED_SPLITS = ("train", "validation")
FILES_PER_FOLDER = 1000
INDEX = "index.json"
LARGEST_INDEX_BYTES = 2**31  # about 10 for each example


def cached(source, data):
    """Return a source whose training and validation images are read from the cache of `data`.

    The cached splits have random access, even if the source can only be read in order: examples
    are shuffled across the whole split, and a run resumes without reading the examples before.
    Images that are pixels in memory are not cached.

    Args:
        source: A `training.data.source.Source`.
        data: The `training.config.Data`.

    Raises:
        UserError: If the cache cannot be written or read.
    """
    cache_split = {"none": None, "memory": _in_memory, "disk": _on_disk}[data.cache]
    splits = {}
    for name in CACHED_SPLITS:
        split = getattr(source, name)
        if cache_split and len(split) and isinstance(split.in_order().element_spec[1], Encoded):
            splits[name] = cache_split(split, name, source, data)
    return dataclasses.replace(source, **splits)


def _in_memory(split, name, source, data):
    files, orientations, labels = [], [], []
    for _, image, label in _read(split, f"caching the {name} split"):
        files.append(image.file.numpy())
        orientations.append(int(image.orientation))
        labels.append(int(label))
    with tf.device("CPU"):
        files, orientations = tf.constant(files, tf.string), tf.constant(orientations, tf.int32)
    return IndexedSplit(np.array(labels), lambda i: Encoded(files[i], orientations[i]))


def _on_disk(split, name, source, data):
    """Write a file per example and an index, unless an earlier run did."""
    fields = (
        "source",
        "data_dir",
        "train_split",
        "validation_split",
        "validation_fraction",
        "train_fraction",
        "test_fraction",
    )
    contents = [source.fingerprint(), name, len(split), *(getattr(data, field) for field in fields)]
    digest = hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]
    folder = Path(data.cache_dir) / f"{name}-{digest}"
    index = folder / INDEX
    try:
        if not index.exists():
            _write(split, name, folder)
        labels, orientations = _read_index(folder, len(split))
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(
            f"--cache-dir must hold the complete {name} split, once it is cached. Received: "
            f"{folder}: {error}. Delete this folder; the same command writes it again."
        ) from error
    except OSError as error:
        raise UserError(
            "--cache-dir must be a folder that can be written and has enough space. Received: "
            f"{data.cache_dir}: {error.strerror}. Pass another folder, or --cache memory."
        ) from error
    with tf.device("CPU"):
        orientations = tf.constant(orientations, tf.int32)

    def load(index):
        return Encoded(tf.io.read_file(_path(folder, index)), orientations[index])

    return IndexedSplit(labels, load)


def _read_index(folder, num_examples):
    """Return the labels and orientations of a cached split; raise ValueError if it is incomplete.

    Some systems delete old files of temporary folders, and `tf.io.read_file` waits for a FIFO.
    """
    index = np.array(json.loads(read_bytes(folder / INDEX, LARGEST_INDEX_BYTES)))
    if index.shape != (2, num_examples) or index.dtype.kind != "i":
        raise ValueError(f"its {INDEX} is not that of {num_examples} examples")
    parts = (part for part in folder.iterdir() if part.is_dir())
    found = sum(file.is_file() for part in parts for file in os.scandir(part))
    if found != num_examples:
        raise ValueError(f"it has {found} of {num_examples} images")
    return index


def _write(split, name, folder):
    """Write a draft of the folder and rename it when it is complete.

    The cache is therefore never incomplete, after an interruption or with several processes.
    """
    draft = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
    draft.mkdir(parents=True)
    try:
        labels, orientations = [], []
        for index, image, label in _read(split, f"caching the {name} split"):
            path = Path(_path(draft, index).numpy().decode())
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(image.file.numpy())
            labels.append(int(label))
            orientations.append(int(image.orientation))
        (draft / INDEX).write_text(json.dumps([labels, orientations]))
        with contextlib.suppress(OSError):  # another process was faster
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _path(folder, index):
    index = tf.convert_to_tensor(index)
    return tf.strings.join(
        [
            str(folder),
            tf.strings.as_string(index // FILES_PER_FOLDER),
            tf.strings.as_string(index % FILES_PER_FOLDER),
        ],
        separator="/",
    )


def _read(split, description):
    return tqdm(split.in_order().prefetch(tf.data.AUTOTUNE), description, len(split), unit="image")
