"""Benchmark of `predict` on many image files: memory of the process, and speed of its parts."""

import csv
import dataclasses
import functools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from unittest import mock

import keras
import numpy as np

import keras_mixer
from keras_mixer.sizes import SIZES
from training.benchmarks.mixed_photos import write_photos
from training.benchmarks.speed_memory import ENVIRONMENT, MEGABYTE
from training.benchmarks.timing import interleave, medians, seconds
from training.devices.cpu import cores
from training.evaluation.prediction import BATCHES_AHEAD, predict_images
from training.evaluation.prepared_images import prepared_images
from training.model_argument import EVALUATION_TRANSFORM

FEW_IMAGES = 50
SPEED_IMAGES = 512
BATCH_SIZE = 32  # the default of `predict`
TOP = 3  # rows of an image in the results, also a default

# Runs `python -m training` with the arguments of the program, and prints its peak memory.
PREDICT = """\
import runpy
from training.benchmarks import process_memory

runpy.run_module("training", run_name="__main__", alter_sys=True)
print(process_memory.peak() if process_memory.is_measurable() else "null")
"""


@dataclasses.dataclass(frozen=True)
class Memory:
    """Peak memory of `predict` for a few and for many image files.

    Args:
        few_images: Smaller number of files.
        images: Larger number of files.
        valid_images: Files among them that can be decoded.
        predicted_images: Files among them that have all rows in the results.
        few_megabytes: Peak resident memory of the process for the smaller number; None except on
            Linux.
        megabytes: The same for the larger number.
        ratio: Ratio of the second to the first.
    """

    few_images: int
    images: int
    valid_images: int
    predicted_images: int
    few_megabytes: int | None
    megabytes: int | None
    ratio: float | None


@dataclasses.dataclass(frozen=True)
class Speed:
    """Images per second of the parts of `predict`; medians over the repeats.

    Args:
        images: Number of files, the first ones of those for the memory.
        decoding: Speed of decoding and resizing the files.
        model: Speed of the model on a batch in memory.
        both: Speed of decoding with the model, from the first file to the last result.
        waiting: The same with a model that takes as long without using the CPU, as one on an
            accelerator does.
        both_to_slower: Ratio of `both` to the smaller of `decoding` and `model`.
        turns_to_slower: What this ratio would be if decoding and the model took turns, since they
            share the cores of a CPU.
        waiting_to_slower: Ratio of `waiting` to the smaller of `decoding` and `model`.
    """

    images: int
    decoding: float
    model: float
    both: float
    waiting: float
    both_to_slower: float
    turns_to_slower: float
    waiting_to_slower: float


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Results for one variant.

    Args:
        variant: A variant of the paper, such as "S/32".
        backend: Keras backend.
        cores: Number of CPU cores that this process may use.
        batch_size: Largest number of images in a batch.
        repeats: Number of times that each speed was measured.
        memory: Peak memory.
        speed: Images per second.
    """

    variant: str
    backend: str
    cores: int
    batch_size: int
    repeats: int
    memory: Memory
    speed: Speed


def measure(variant, images, repeats):
    """Measure prediction with a model of random weights and return a `Prediction`.

    Args:
        variant: A variant of the paper, such as "S/32".
        images: Number of image files, more than `FEW_IMAGES`.
        repeats: Number of times that each speed is measured.
    """
    constructor = getattr(keras_mixer, SIZES[variant].constructor_name)
    model = constructor(weights=None, classifier_activation=None)
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        paths, valid = write_photos(photos, images)
        return Prediction(
            variant=variant,
            backend=keras.backend.backend(),
            cores=cores(),
            batch_size=BATCH_SIZE,
            repeats=repeats,
            memory=measure_memory(model, paths, valid, FEW_IMAGES),
            speed=measure_speed(model, paths[:SPEED_IMAGES], repeats),
        )


def measure_memory(model, paths, valid, few):
    """Measure the peak memory of `predict` in new processes and return a `Memory`.

    Args:
        model: Keras model of logits.
        paths: Paths of the image files, all those in a folder.
        valid: Paths of those that can be decoded.
        few: Smaller number of files.
    """
    folder = paths[0].parent
    file, results = (folder.with_name(name) for name in ("model.keras", "results.csv"))
    first = folder.with_name("few")
    first.mkdir()
    for path in paths[:few]:
        (first / path.name).hardlink_to(path)
    model.save(file)
    few_bytes = _peak_of_predict(file, first, results)
    many_bytes = _peak_of_predict(file, folder, results)
    with results.open(encoding="utf-8", newline="") as rows:
        answers = Counter(row["image"] for row in csv.DictReader(rows))
    return Memory(
        few_images=few,
        images=len(paths),
        valid_images=len(valid),
        predicted_images=sum(answers[str(path)] == TOP for path in paths),
        few_megabytes=few_bytes and round(few_bytes / MEGABYTE),
        megabytes=many_bytes and round(many_bytes / MEGABYTE),
        ratio=few_bytes and many_bytes / few_bytes,
    )


def _peak_of_predict(model, folder, results):
    """Return the peak memory in bytes of `predict` in a new process, whose progress is shown."""
    command = [sys.executable, "-c", PREDICT, "predict", model, folder, "--output", results]
    command += ["--on-bad-image", "skip"]
    environment = {**os.environ, **ENVIRONMENT, "KERAS_BACKEND": keras.backend.backend()}
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(result.stdout.splitlines()[-1])


def measure_speed(model, paths, repeats):
    """Measure decoding, the model, and both together in turn; return a `Speed`.

    Args:
        model: Keras model of logits.
        paths: Paths of the image files.
        repeats: Number of times that each is measured.
    """
    batches = math.ceil(len(paths) / BATCH_SIZE)
    batch_size = math.ceil(len(paths) / batches)  # as in `predict_images`
    shape = tuple(model.input_shape[1:])
    batch = np.random.default_rng(0).integers(0, 256, (batch_size, *shape), np.uint8)
    logits = model.predict_on_batch(batch)  # compiles
    batch_seconds: list[float] = []

    def decode():
        for _ in prepared_images(paths, EVALUATION_TRANSFORM, shape, BATCHES_AHEAD * batch_size):
            pass

    def compute():
        batch_seconds[:] = [seconds(lambda: model.predict_on_batch(batch)) for _ in range(batches)]

    def predict():
        for _ in predict_images(model, paths, EVALUATION_TRANSFORM, BATCH_SIZE):
            pass

    def wait(_):
        time.sleep(statistics.mean(batch_seconds))
        return logits

    def predict_waiting():
        with mock.patch.object(model, "predict_on_batch", wait):
            predict()

    parts = {"decoding": decode, "model": compute, "both": predict, "waiting": predict_waiting}
    timed = {name: functools.partial(seconds, function) for name, function in parts.items()}
    times = medians(interleave(timed, repeats))
    slower = max(times["decoding"], times["model"])
    return Speed(
        images=len(paths),
        **{name: len(paths) / value for name, value in times.items()},
        both_to_slower=slower / times["both"],
        turns_to_slower=slower / (times["decoding"] + times["model"]),
        waiting_to_slower=slower / times["waiting"],
    )
