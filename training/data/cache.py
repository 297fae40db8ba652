"""Encoded images kept near: in memory, or on a disk that is faster than where they come from."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
import uuid
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from training.data.decode import Encoded
from training.data.splits import IndexedSplit
from training.errors import UserError

FILES_PER_FOLDER = 1000
INDEX = "index.json"


def cached(source, data):
    """Return a source whose training and validation images are read from where `data` says.

    They can then be read by number, also if the source's can be read in a row only: their order
    is random over all examples, and a run starts in the middle without reading what is before.
    What is in memory anyway stays as it is.

    Args:
        source: A `training.data.source.Source`.
        data: The `training.config.Data`.

    Raises:
        UserError: If the cache cannot be written or read.
    """
    keep = {"none": None, "memory": _in_memory, "disk": _on_disk}[data.cache]
    splits = {}
    for part in ("train", "validation"):
        split = getattr(source, part)
        if keep and len(split) and isinstance(split.in_order().element_spec[1], Encoded):
            splits[part] = keep(split, part, source, data)
    return dataclasses.replace(source, **splits)


def _in_memory(split, part, source, data):
    files, orientations, labels = [], [], []
    for _, image, label in _progress(split, f"reading the images for {part}"):
        files.append(image.file.numpy())
        orientations.append(int(image.orientation))
        labels.append(int(label))
    with tf.device("CPU"):
        files, orientations = tf.constant(files, tf.string), tf.constant(orientations, tf.int32)
    return IndexedSplit(np.array(labels), lambda i: Encoded(files[i], orientations[i]))


def _on_disk(split, part, source, data):
    """Write one file for each example, and an index, unless that was done before."""
    fields = (
        "source",
        "data_dir",
        "train_split",
        "validation_split",
        "validation_fraction",
        "test_fraction",
    )
    contents = [source.fingerprint, part, len(split), *(getattr(data, field) for field in fields)]
    name = hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]
    folder = Path(data.cache_dir) / f"{part}-{name}"
    index = folder / INDEX
    try:
        if not index.exists():
            _write(split, part, folder)
        labels, orientations = json.loads(index.read_text())
    except OSError as error:
        raise UserError(
            "--cache-dir must be a folder that can be written and has room. Received: "
            f"{data.cache_dir}: {error.strerror}. Choose another, or pass --cache memory."
        ) from error
    with tf.device("CPU"):
        orientations = tf.constant(orientations, tf.int32)

    def load(number):
        return Encoded(tf.io.read_file(_path(folder, number)), orientations[number])

    return IndexedSplit(np.array(labels), load)


def _write(split, part, folder):
    """Write the folder beside its place, and move it there when it is whole.

    So neither what is left of an interruption nor another process can spoil it.
    """
    draft = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
    draft.mkdir(parents=True)
    try:
        labels, orientations = [], []
        for number, image, label in _progress(split, f"copying the images for {part}"):
            path = Path(_path(draft, number).numpy().decode())
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(image.file.numpy())
            labels.append(int(label))
            orientations.append(int(image.orientation))
        (draft / INDEX).write_text(json.dumps([labels, orientations]))
        with contextlib.suppress(OSError):  # of another process that was first
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _path(folder, number):
    number = tf.convert_to_tensor(number)
    return tf.strings.join(
        [
            str(folder),
            tf.strings.as_string(number // FILES_PER_FOLDER),
            tf.strings.as_string(number % FILES_PER_FOLDER),
        ],
        separator="/",
    )


def _progress(split, description):
    return tqdm(split.in_order().prefetch(tf.data.AUTOTUNE), description, len(split), unit="image")
