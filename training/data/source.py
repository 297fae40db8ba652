"""Labeled image dataset with train, validation and test splits."""

import dataclasses

import numpy as np

from training.data.splits import IndexedSplit, StreamedSplit
from training.errors import UserError

Split = IndexedSplit | StreamedSplit
SPLITS = ("train", "validation", "test")


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
    fingerprint: str = ""  # changes with the files, if they may be cached on disk

    def require(self, split, data):
        """Raise UserError if a split has no images; `data` is where they come from."""
        if not len(getattr(self, split)):
            raise UserError(
                f"--source must have images in its {split} split. Received: {data.source}, which "
                f"has none. Choose another source; for a tfds dataset, another --{split}-split; "
                "for folders and arrays, a --test-fraction above 0."
            )


def hold_out(indices, labels, fraction, option):
    """Hold out a share of the examples of every class, always the same.

    Args:
        indices: Indices of the examples.
        labels: The classes of all examples of the dataset.
        fraction: Share to hold out; 0 for nothing, 1 for everything.
        option: Name of the option for the message.

    Returns:
        The indices that stay, and those that are held out.

    Raises:
        UserError: If either side would lack a class.
    """
    if fraction == 0:
        return indices, indices[:0]
    if fraction == 1:
        return indices[:0], indices
    from sklearn.model_selection import train_test_split

    try:
        kept, held_out = train_test_split(
            indices, test_size=fraction, stratify=labels[indices], random_state=0
        )
    except ValueError as error:
        raise UserError(
            f"{option} must leave images of every class on both sides. "
            f"Received: {fraction} of {len(indices)} images: {error} Pass about 0.1, or more."
        ) from error
    if missing := set(labels[indices]) - (set(labels[kept]) & set(labels[held_out])):
        raise UserError(
            f"{option} must leave images of every class on both sides. Received: {fraction}, "
            f"which leaves none of class {min(missing)} on one side. Pass a larger fraction, or "
            "add images."
        )
    return kept, np.sort(held_out)


def hold_out_missing_splits(splits, data):
    """Hold out the splits that a dataset does not have from its training split.

    Args:
        splits: `{"train": (examples, labels), …}`, arrays of equal length; changed in place.
        data: The `training.config.Data` with the fractions to hold out.
    """
    for name, fraction in [("test", data.test_fraction), ("validation", data.validation_fraction)]:
        if name not in splits:
            examples, labels = splits["train"]
            indices = np.arange(len(labels))
            kept, held_out = hold_out(indices, labels, fraction, f"--{name}-fraction")
            splits["train"] = examples[kept], labels[kept]
            splits[name] = examples[held_out], labels[held_out]
