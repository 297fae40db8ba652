"""Accuracy, size and speed of a model before and after quantization."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from training.benchmarks.timing import interleave, medians, seconds
from training.evaluation.accuracy import rank_of_best

REPEATS = 20


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model that can be compared with others.

    Args:
        name: What the table calls it.
        predict: Function from float32 images to logits, as arrays.
        size: Bytes of its files.
    """

    name: str
    predict: Callable
    size: int


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table; the first line is what the others are compared with."""

    model: str
    accuracy: float
    change_in_points: float  # of accuracy, in percent
    agreement: float  # share of the images with the same most likely class
    megabytes: float
    milliseconds: float  # median for a batch
    images_per_second: float
    speedup: float  # ratio of the medians


def compare(candidates, batches, batch_size, repeats=REPEATS):
    """Return a `Row` for each of several candidates.

    They are timed in turn, so that other load affects all of them alike.

    Args:
        candidates: The `Candidate`s; the first one is the model before quantization.
        batches: Batches of the test split, as from `training.data.pipeline.evaluation_batches`.
        batch_size: Images per call that is timed.
        repeats: Calls of each that are timed.
    """
    right, same, images = _count(candidates, batches)
    images_of_call = np.resize(images, (batch_size, *images.shape[1:]))
    calls = {
        candidate.name: lambda predict=candidate.predict: seconds(lambda: predict(images_of_call))
        for candidate in candidates
    }
    for call in calls.values():
        call()  # the first call allocates memory, and may compile
    medians_of_calls = medians(interleave(calls, repeats))
    first = candidates[0].name
    return [
        Row(
            model=candidate.name,
            accuracy=right[candidate.name],
            change_in_points=100 * (right[candidate.name] - right[first]),
            agreement=same[candidate.name],
            megabytes=candidate.size / 1e6,
            milliseconds=1000 * medians_of_calls[candidate.name],
            images_per_second=batch_size / medians_of_calls[candidate.name],
            speedup=medians_of_calls[first] / medians_of_calls[candidate.name],
        )
        for candidate in candidates
    ]


def _count(candidates, batches):
    """Return accuracies, agreements with the first candidate, and the first batch of images."""
    names = [candidate.name for candidate in candidates]
    right, same = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    examples, first_images = 0, None
    for images, labels, weights in batches:
        counted = np.asarray(weights) > 0
        images = np.asarray(images, np.float32)
        first_images = images if first_images is None else first_images
        logits = {c.name: np.asarray(c.predict(images))[counted] for c in candidates}
        most_likely = logits[names[0]].argmax(axis=1)
        for name in names:
            ranks = rank_of_best(logits[name], np.asarray(labels)[counted])
            right[name] += int(np.sum(ranks == 0))
            same[name] += int(np.sum(logits[name].argmax(axis=1) == most_likely))
        examples += int(counted.sum())
    share = {name: count / examples for name, count in right.items()}
    return share, {name: count / examples for name, count in same.items()}, first_images


def size_of_files(path):
    """Return the bytes of a file or folder, with the `.bin` file of an OpenVINO model."""
    path = Path(path)
    files = path.rglob("*") if path.is_dir() else {path, path.with_suffix(".bin")}
    return sum(file.stat().st_size for file in files if file.is_file())
