"""A labelled set of images in three parts."""

import dataclasses

import numpy as np

from training.data.splits import IndexedSplit, StreamedSplit
from training.errors import UserError

Split = IndexedSplit | StreamedSplit
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Source:
    """A classification set; of its parts, all but one may be empty."""

    class_names: tuple[str, ...]
    channels: int  # of the images: 1 or 3
    train: Split
    validation: Split
    test: Split
    skipped: tuple[str, ...] = ()  # "path: cause" of each image that was left out
    several_classes: bool = False  # whether an image may have more than one, or none
    fingerprint: str = ""  # changes with the files, where they may be cached on disk

    def require(self, part, data):
        """Raise UserError unless there are images for a part; `data` says where from."""
        if not len(getattr(self, part)):
            raise UserError(
                f"--source must have images for {part}. Received: {data.source}, which has none. "
                f"Choose another source, or another --{part}-split of a tfds set, or a "
                "--test-fraction above 0 of folders and arrays."
            )


def hold_out(indices, labels, fraction, option):
    """Divide examples by class, always in the same way; return what stays and what is held out.

    Args:
        indices: Numbers of the examples.
        labels: The class of every example of the set.
        fraction: Share to hold out; 0 for nothing, 1 for everything.
        option: Name of the option for the message.

    Raises:
        UserError: If a class would be missing on one side.
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
    if lost := set(labels[indices]) - (set(labels[kept]) & set(labels[held_out])):
        raise UserError(
            f"{option} must leave images of every class on both sides. Received: {fraction}, "
            f"which leaves none of class number {min(lost)} on one of them. Pass a larger one, or "
            "add images."
        )
    return kept, np.sort(held_out)


def complete(parts, data):
    """Hold the parts that a set does not have out of its training part.

    Args:
        parts: `{"train": (examples, labels), …}`, arrays of equal length; changed in place.
        data: The `training.config.Data` that says how much to hold out.
    """
    for part, fraction in [("test", data.test_fraction), ("validation", data.validation_fraction)]:
        if part not in parts:
            examples, labels = parts["train"]
            everything = np.arange(len(labels))
            kept, held_out = hold_out(everything, labels, fraction, f"--{part}-fraction")
            parts["train"] = examples[kept], labels[kept]
            parts[part] = examples[held_out], labels[held_out]
