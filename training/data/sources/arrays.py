"""Images in a .npz file, with the names that keras.datasets uses."""

import hashlib

import numpy as np

from keras_mixer.files import open_regular
from training.data.array_checks import check_images, check_labels, numbered, refuse_array
from training.data.array_names import sort_arrays
from training.data.source import Source, hold_out_missing_splits, is_all_test
from training.data.split_names import SPLITS
from training.data.splits import in_memory
from training.errors import UserError

FORM = "arrays:FILE.npz"


def load(data):
    """Return the dataset in FILE: `x_train` and `y_train`, and the same for validation and test.

    Other usual names are read too, such as `val_images`: see `training.data.array_names`. Images
    are uint8, (examples, height, width) or (examples, height, width, channels); labels are
    integers from 0. `class_names`, strings, are optional. Without a test split, a share of
    `--test-fraction` of every class is held out; without a validation split,
    `--validation-fraction`.
    """
    path = data.source.partition(":")[2]
    try:
        return _load(path, data)
    except MemoryError as error:
        raise UserError(
            f"--source arrays:FILE.npz must fit into memory. Received: {path}: "
            f"{error or 'its arrays'}. Save fewer or smaller images, or image files, for "
            "--source folder:PATH."
        ) from error


def _load(path, data):
    arrays = _read(path)
    names, of_classes = sort_arrays(path, arrays)
    if is_all_test(data):
        names = {"train": names.get("test", names.get("train", {}))}
    if "images" not in names.get("train", {}):
        refuse_array(
            path,
            "must contain x_train and y_train",
            ", ".join(arrays) or "nothing",
            "Save them with np.savez(FILE, x_train=…, y_train=…).",
        )
    for split, own in names.items():
        if len(own) < 2:
            (name,) = own.values()
            missing = "images" if "labels" in own else "labels"
            refuse_array(
                path,
                f"must contain {missing} of the {split} split beside {name}",
                "none",
                f"Save them as {'x' if missing == 'images' else 'y'}_{split}, or leave {name} out.",
            )
    images = check_images(path, {own["images"]: arrays[own["images"]] for own in names.values()})
    labels = {
        own["labels"]: check_labels(path, own["labels"], arrays[own["labels"]], len(pixels))
        for own, pixels in zip(names.values(), images.values(), strict=True)
    }
    if of_classes:
        class_names = _class_names(path, arrays[of_classes], of_classes, labels)
    elif is_all_test(data):
        (name,) = labels
        present, labels[name] = np.unique(labels[name], return_inverse=True)
        class_names = tuple(map(str, present))
    else:
        class_names = _numbers(path, labels)
    splits = {
        split: (np.arange(len(images[own["images"]])), labels[own["labels"]].astype(np.int64))
        for split, own in names.items()
    }
    hold_out_missing_splits(splits, class_names, data)
    arrays_of = {split: names.get(split, names["train"])["images"] for split in SPLITS}
    return Source(
        class_names=class_names,
        channels=images[arrays_of["train"]].shape[-1],
        fingerprint=lambda: _fingerprint(path),
        **{
            split: _as_split(array, images[array], *splits[split])
            for split, array in arrays_of.items()
        },
    )


def _as_split(array, images, indices, labels):
    """Return the split of some images of an array, which are called `x_test[17]`, for example."""
    if len(indices) < len(images):
        images = images[indices]
    return in_memory(images, labels, lambda index: f"{array}[{indices[index]}]")


def _fingerprint(path):
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path):
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as arrays:
            return {name: _read_array(path, arrays, name) for name in arrays.files}
    except (UserError, MemoryError):
        raise
    except Exception as error:  # NumPy, zipfile, zlib and tokenize have dozens
        raise UserError(
            f"--source arrays:FILE.npz must name a file of NumPy arrays. Received: {path}: "
            f"{error}. Write one with np.savez(FILE, x_train=…, y_train=…)."
        ) from error


def _read_array(path, arrays, name):
    try:
        return np.asarray(arrays[name])  # bytes, if the name does not end in .npy
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        refuse_array(
            path,
            "must contain arrays of numbers or strings",
            f"{name}, an array of Python objects, which are not read because they may run code",
            f"Save `np.array({name}.tolist())` as {name}; images must be of one size.",
        )


def _class_names(path, class_names, name, labels):
    """Return the names of the classes; refuse labels that have none."""
    if class_names.ndim != 1:
        refuse_array(
            path,
            f"must contain {name} as one list",
            f"an array of shape {class_names.shape}",
            f"Save {name}=[…], with the name of each class.",
        )
    names = tuple(
        n.decode("utf-8", "surrogateescape") if isinstance(n, bytes) else str(n)
        for n in class_names.tolist()
    )
    if len(set(names)) < len(names):
        twice = next(n for i, n in enumerate(names) if n in names[:i])
        refuse_array(path, f"must contain {name} that differ", f"{twice} twice", "Rename one.")
    for array, values in labels.items():
        if values.size and values.max() >= len(names):
            largest, smallest = int(values.max()), int(values.min())
            step = f"Add names to {name}"
            if smallest == 1 and largest == len(names):
                step = (
                    f"Save `{array} - 1` as {array} if labels count from 1, and so for every split"
                )
            refuse_array(
                path,
                f"must contain a name in {name} for each label, counted from 0",
                f"a label of {largest} in {array}, and {len(names)} names",
                f"{step}.",
            )
    return names


def _numbers(path, labels):
    """Return the numbers of the classes as names; refuse labels with gaps."""
    present = sorted({int(label) for values in labels.values() for label in np.unique(values)})
    for expected, label in enumerate(present):
        if label != expected:
            array = next(name for name, values in labels.items() if label in values)
            first, *others = labels
            likewise = "".join(f"; {o} = np.searchsorted(class_names, {o})" for o in others)
            refuse_array(
                path,
                f"must contain labels from 0 to {len(present) - 1} for {len(present)} classes",
                f"a label of {label} in {array}, and none of {expected}",
                f"Number the classes, `{numbered(first)}{likewise}`, and save class_names too.",
            )
    return tuple(map(str, present))
