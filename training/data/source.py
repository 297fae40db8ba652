"""Labeled image dataset with train, validation and test splits."""

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np

from training.data.splits import IndexedSplit, StreamedSplit
from training.errors import UserError

Split = IndexedSplit | StreamedSplit


@dataclasses.dataclass(frozen=True)
class Source:
    """A classification dataset; all splits but one may be empty."""

    class_names: tuple[str, ...]
    channels: int  # of the images: 1 or 3
    train: Split
    validation: Split
    test: Split
    skipped: tuple[str, ...] = ()  # "path: fault" of each image that was left out
    multi_label: bool = False  # whether an image may have several classes or none
    find_faults: Callable = list  # "path: fault" of each valid file that became invalid
    fingerprint: Callable = str  # digest that changes with the images and their labels

    def require(self, split, data):
        """Raise UserError if a split has no images; `data` is where they come from."""
        if not len(getattr(self, split)):
            raise UserError(
                f"--source must have images in its {split} split. Received: {data.source}, which "
                f"has none. Choose another source; for a tfds dataset, another --{split}-split; "
                "for folders and arrays, a --test-fraction above 0."
            )


def hold_out(indices, labels, fraction):
    """Hold out a share of the examples of every class, always the same.

    Args:
        indices: Indices of the examples.
        labels: The classes of all examples of the dataset, of which each has two or more.
        fraction: Share to hold out; 0 for nothing, 1 for everything.

    Returns:
        The indices that stay, and those that are held out.
    """
    if fraction == 0 or not len(indices):
        return indices, indices[:0]
    if fraction == 1:
        return indices[:0], indices
    from sklearn.model_selection import train_test_split

    own = labels[indices]
    with contextlib.suppress(ValueError):  # there are fewer examples to hold out than classes
        kept, held_out = train_test_split(indices, test_size=fraction, stratify=own, random_state=0)
        if set(own) == set(labels[kept]) == set(labels[held_out]):
            return kept, np.sort(held_out)
    # Rounding left a class out on one side: hold out of each class by itself, one at least.
    rng, parts = np.random.default_rng(0), []
    for label in np.unique(own):
        of_class = rng.permutation(indices[own == label])
        number = np.clip(round(fraction * len(of_class)), 1, len(of_class) - 1)
        parts.append(of_class[:number])
    held_out = np.sort(np.concatenate(parts))
    return np.setdiff1d(indices, held_out), held_out


def is_all_test(data):
    """Return whether all examples are for evaluation, as with `evaluate --source`.

    Then one split is enough, and it may lack classes.
    """
    return data.test_fraction == 1


def hold_out_missing_splits(splits, class_names, data):
    """Hold out the splits that a dataset does not have from its training split.

    Args:
        splits: `{"train": (examples, labels), …}`, arrays of equal length; changed in place.
        class_names: Names of the classes.
        data: The `training.config.Data` with the fractions to hold out.

    Raises:
        UserError: If a class has too few images.
    """
    fractions = {"test": data.test_fraction, "validation": data.validation_fraction}
    fractions = {name: share for name, share in fractions.items() if name not in splits}
    if not is_all_test(data):
        _require_enough(splits["train"][1], class_names, fractions, data.source)
    for name, fraction in fractions.items():
        examples, labels = splits["train"]
        kept, held_out = hold_out(np.arange(len(labels)), labels, fraction)
        splits["train"] = examples[kept], labels[kept]
        splits[name] = examples[held_out], labels[held_out]


def _require_enough(labels, class_names, fractions, source):
    """Refuse a class without an image for training and one for each split that is held out."""
    held_out = [name for name, fraction in fractions.items() if fraction]
    needed = 1 + len(held_out)
    counts = np.bincount(labels, minlength=len(class_names))
    # Classes without images are refused as such.
    rare = {n: int(c) for n, c in zip(class_names, counts, strict=True) if 0 < c < needed}
    if not rare:
        return
    listed = ", ".join(f"{count} of {name}" for name, count in list(rare.items())[:10])
    step = "Add images of them, or leave these classes out"
    if "validation" in held_out and min(rare.values()) == needed - 1:
        step += ", or pass --validation-fraction 0 to train without validation"
    raise UserError(
        f"--source {source} must have at least {needed} training images of each class: one that "
        f"stays, and one each for the {' and the '.join(held_out)} split, which it does not have. "
        f"Received: {listed}{' and others' if len(rare) > 10 else ''}. {step}."
    )
