"""Robustness: accuracy and calibration of models on corrupted images.

Images are corrupted after the evaluation transform, at the input size of the model, as those of
ImageNet-C (arXiv 1903.12261).
"""

import dataclasses
import inspect
import math
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from training.config import Data
from training.config.data import TEST_FIELDS
from training.data import corruptions as corruptions_module
from training.data.corruptions import corrupt
from training.data.pipeline import evaluation_batches
from training.data.source import Source
from training.errors import UserError
from training.evaluation.accuracy import Accuracy, evaluate_accuracy
from training.evaluation.digest import digest_of
from training.model_argument import LoadedModel
from training.run.json_file import read_json, write_json
from training.validation import not_writable

CLEAN = "none"  # the corruption of clean images, whose severity is 0


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A model, and the images that it is measured on.

    Args:
        label: Name in the results, unique.
        loaded: The `LoadedModel`.
        source: The `Source`, with the classes of the model and a test split.
        data: The `training.config.Data`, with the size and the transform of the model's images.
    """

    label: str
    loaded: LoadedModel
    source: Source
    data: Data

    @property
    def input(self):
        """What the batches depend on: models with the same one share them."""
        return self.data.image_size, self.data.evaluation_transform, self.source.class_names

    @property
    def batches(self):
        """Number of batches of the test split."""
        return math.ceil(len(self.source.test) / self.data.batch_size)


@dataclasses.dataclass(frozen=True)
class Result:
    """Metrics of a model for one corruption and severity; see `Accuracy`."""

    model: str
    corruption: str  # "none" for clean images
    severity: int  # 0 for clean images
    accuracy: float
    top5_accuracy: float
    loss: float
    calibration_error: float
    examples: int


def measure(contestants, folder, corruptions, severities, seed=0, show_progress=None):
    """Return a `Result` of each model for clean images, and for each corruption and severity.

    Results are kept in `folder/finished` one by one. A later call with the same model, images and
    seed uses them. Models with the same input share images, which are decoded and corrupted once.
    While they are used, they are in temporary files of `folder`: two copies of the split.

    Args:
        contestants: `Contestant`s with the same test split and batch size.
        folder: Path of an existing folder.
        corruptions: Names of corruptions; none of them measures clean images alone.
        severities: Numbers from 1 to 5.
        seed: Seed of the corruptions. The random numbers of an image depend on its position in the
            split, not on the batches.
        show_progress: Whether to show progress; None if stderr is a terminal.

    Raises:
        UserError: If `folder` cannot be written to, a file in it is damaged, or a model cannot be
            evaluated.
    """
    conditions = [(CLEAN, 0), *((name, s) for name in corruptions for s in severities)]
    finished = {own.label: _Finished(own, folder / "finished", seed) for own in contestants}
    inputs: dict[tuple, dict[tuple, list[Contestant]]] = {}  # to measure, by condition
    for own in contestants:
        for condition in conditions:
            if condition not in finished[own.label].results:
                inputs.setdefault(own.input, {}).setdefault(condition, []).append(own)
    passes = sum(
        1 + sum(len(group) + (name != CLEAN) for (name, _), group in missing.items())
        for missing in inputs.values()
    )  # over the batches: to decode, to corrupt and to evaluate
    disable = None if show_progress is None else not show_progress
    total = passes * contestants[0].batches
    with tqdm(total=total, unit="batch", disable=disable) as progress:
        for missing in inputs.values():
            _measure_input(missing, folder, finished, seed, progress)
    return [
        Result(own.label, *condition, **dataclasses.asdict(finished[own.label].results[condition]))
        for own in contestants
        for condition in conditions
    ]


def _measure_input(missing, folder, finished, seed, progress):
    """Measure the models of one input.

    Args:
        missing: `{(corruption, severity): contestants}`.
        folder: Path of the folder.
        finished: `{label: _Finished}`, which take the results.
        seed: Seed of the corruptions.
        progress: The progress bar, which counts batches.
    """

    def counted(batches, work):
        progress.set_description(work)
        for batch in batches:
            yield batch
            progress.update()

    (first, *_), *_ = missing.values()
    with tempfile.TemporaryFile(dir=folder) as file:
        decoded = evaluation_batches(first.source.test, first.source, first.data)
        clean = _store(counted(decoded, "decoding"), file, folder)
        for (name, severity), group in missing.items():
            work = f"{name} {severity or ''}".strip().replace("_", " ")
            with tempfile.TemporaryFile(dir=folder) as file_of_condition:
                examples = clean
                if name != CLEAN:
                    corrupted = clean.corrupt(name, severity, seed, first.data.batch_size)
                    examples = _store(counted(corrupted, work), file_of_condition, folder)
                for own in group:
                    batches = counted(examples.batches(own.data.batch_size), work)
                    result = evaluate_accuracy(own.loaded.model, batches, own.loaded.activation)
                    finished[own.label].add((name, severity), result)


@dataclasses.dataclass(frozen=True)
class _Examples:
    """All examples of a split, and the padding of its last batch.

    Args:
        images: uint8 `(examples, height, width, channels)`, in a file.
        labels: Whether an image has a class, `(examples, classes)`.
        weights: `(examples,)`, 0 for padding and images without a label.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    def batches(self, size):
        """Yield batches `(images, labels, weights)` of `size` examples."""
        for start in range(0, len(self.images), size):
            part = slice(start, start + size)
            yield self.images[part], self.labels[part], self.weights[part]

    def corrupt(self, name, severity, seed, size):
        """Yield batches of `size` examples with corrupted images."""

        def corrupt_example(position):
            image = self.images[position]
            return corrupt(image, name, severity, (seed, position)) if counts[position] else image

        counts = self.weights > 0
        with ThreadPoolExecutor() as pool:
            for i, (_, labels, weights) in enumerate(self.batches(size)):
                images = pool.map(corrupt_example, range(i * size, (i + 1) * size))
                yield np.stack(list(images)), labels, weights


def _store(batches, file, folder):
    """Return the `_Examples` of batches, with the images in an open file in `folder`."""
    labels, weights = [], []
    for images, some_labels, some_weights in batches:
        images = np.ascontiguousarray(images)
        try:
            file.write(images)
            file.flush()
        except OSError as error:
            raise not_writable(folder, error) from error
        labels.append(np.asarray(some_labels) > 0)
        weights.append(np.asarray(some_weights))
    pixels = np.memmap(file, np.uint8, "r").reshape(-1, *images.shape[1:])
    return _Examples(pixels, np.concatenate(labels), np.concatenate(weights))


class _Finished:
    """The finished results of a model, in a file that a digest of all they depend on names.

    `results` are `{(corruption, severity): Accuracy}`.
    """

    def __init__(self, contestant, folder, seed):
        self._path = folder / f"{_digest(contestant, seed)}.json"
        self._label = contestant.label
        self.results = self._read() if self._path.exists() else {}

    def add(self, condition, accuracy):
        self.results[condition] = accuracy
        rows = [
            {"corruption": name, "severity": severity, **dataclasses.asdict(result)}
            for (name, severity), result in self.results.items()
        ]
        try:
            self._path.parent.mkdir(exist_ok=True)
            write_json(self._path, {"model": self._label, "results": rows})
        except OSError as error:
            raise not_writable(self._path.parent, error) from error

    def _read(self):
        try:
            rows = read_json(self._path)["results"]
            return {(r.pop("corruption"), r.pop("severity")): Accuracy(**r) for r in rows}
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self._path.name} must have the results that an earlier study saved. Received: "
                f"{self._path}: {error}. Delete the file; the same command measures them again."
            ) from error


def _digest(contestant, seed):
    """Return a digest of all that the results of a model depend on."""
    source, data = contestant.source, contestant.data
    return digest_of(
        contestant.loaded.model,
        inspect.getsource(corruptions_module),
        contestant.loaded.activation,
        contestant.input,
        len(source.test),
        source.fingerprint(),
        [getattr(data, field) for field in TEST_FIELDS],
        seed,
    )
