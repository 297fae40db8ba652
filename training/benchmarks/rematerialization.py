"""Benchmark of rematerialization: memory and time of a training step with and without it."""

import dataclasses
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_mixer
from keras_mixer.files import open_regular
from keras_mixer.sizes import SIZES
from training.benchmarks import process_memory
from training.benchmarks.timing import interleave, medians, seconds

NAMES = ("plain", "rematerialized")
CLASSES = 1000
WARMUP_STEPS = 2  # the first compiles, the second allocates what is reused from then on
MEGABYTE = 1e6
COUNTED_BY = {  # where the bytes of a step come from
    "tensorflow": "the allocator",
    "jax": "the compiler",
    "torch": "the profiler",
}
# TensorFlow's CPU device has statistics of its allocator only with this one.
ENVIRONMENT = {"TF_CPU_ALLOCATOR_USE_BFC": "1", "TF_CPU_BFC_MEM_LIMIT_IN_MB": "1000000"}


@dataclasses.dataclass(frozen=True)
class Rematerialization:
    """Results for one variant; times are medians over the repeats.

    Args:
        variant: A variant of the paper, such as "B/16".
        backend: Keras backend.
        batch_size: Images per step.
        jit_compile: As passed to `model.compile`.
        repeats: Number of times that each step is timed.
        counted_by: What counts the bytes of the next three fields.
        plain_megabytes: Largest memory in use at any time of a step, above what was in use before
            it: activations, and gradients while they exist with them.
        rematerialized_megabytes: The same with `rematerialize=True`.
        memory_ratio: Ratio of the second to the first.
        plain_resident_megabytes: Peak of the process's memory in three steps, above its memory
            before the first; None except on Linux.
        rematerialized_resident_megabytes: The same with `rematerialize=True`.
        resident_ratio: Ratio of the second to the first.
        plain_seconds: Time of a step.
        rematerialized_seconds: The same with `rematerialize=True`.
        time_ratio: Ratio of the second to the first.
    """

    variant: str
    backend: str
    batch_size: int
    jit_compile: bool | str
    repeats: int
    counted_by: str
    plain_megabytes: float
    rematerialized_megabytes: float
    memory_ratio: float
    plain_resident_megabytes: float | None
    rematerialized_resident_megabytes: float | None
    resident_ratio: float | None
    plain_seconds: float
    rematerialized_seconds: float
    time_ratio: float


def measure(variant, batch_size, repeats, jit_compile="auto", image_size=224):
    """Measure training steps with SGD and return a `Rematerialization`.

    Memory is measured in a process for each model, time in this process with both in turn.

    Args:
        variant: A variant of the paper, such as "B/16".
        batch_size: Images per step.
        repeats: Number of times that each step is timed.
        jit_compile: As for `model.compile`.
        image_size: Side of the images in pixels.
    """
    step = variant, batch_size, jit_compile, image_size
    memory = {name: _in_new_process(*step, name == "rematerialized") for name in NAMES}
    results: dict[str, Any] = {}
    for field in ("megabytes", "resident_megabytes"):
        values = {name: used[field] for name, used in memory.items()}
        results |= {f"{name}_{field}": value for name, value in values.items()}
        known = None not in values.values()
        ratio = values["rematerialized"] / values["plain"] if known else None
        results["memory_ratio" if field == "megabytes" else "resident_ratio"] = ratio
    steps = {}
    for name in NAMES:
        steps[name] = functools.partial(seconds, training_step(*step, name == "rematerialized"))
        for _ in range(WARMUP_STEPS):
            steps[name]()
    times = medians(interleave(steps, repeats))
    backend = keras.backend.backend()
    return Rematerialization(
        variant=variant,
        backend=backend,
        batch_size=batch_size,
        jit_compile=jit_compile,
        repeats=repeats,
        counted_by=COUNTED_BY[backend],
        **results,
        **{f"{name}_seconds": value for name, value in times.items()},
        time_ratio=times["rematerialized"] / times["plain"],
    )


def training_step(variant, batch_size, jit_compile, image_size, rematerialize):
    """Return a `TrainingStep` with SGD."""
    model = getattr(keras_mixer, SIZES[variant].constructor_name)(
        weights=None,
        classes=CLASSES,
        input_shape=(image_size, image_size, 3),
        classifier_activation=None,
        rematerialize=rematerialize,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss, jit_compile=jit_compile)
    rng = np.random.default_rng(0)
    batch = (
        rng.integers(0, 256, (batch_size, image_size, image_size, 3)).astype("float32"),
        rng.integers(0, CLASSES, batch_size),
    )

    return TrainingStep(model, batch)


@dataclasses.dataclass(frozen=True)
class TrainingStep:
    """A training step of a compiled model on always the same batch."""

    model: keras.Model
    batch: tuple

    def __call__(self):
        self.model.train_on_batch(*self.batch)


def _in_new_process(*arguments):
    """Return the result of `memory_of_step` in a new process."""
    code = (
        "import json\nfrom training.benchmarks import rematerialization\n"
        f"print(json.dumps(rematerialization.memory_of_step(*{arguments!r})))\n"
    )
    environment = {**os.environ, **ENVIRONMENT}
    command = [sys.executable, "-c", code]
    output = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout
    return json.loads(output.splitlines()[-1])


def memory_of_step(*arguments):
    """Return the megabytes that a step uses above what is in use before it, two ways.

    Args:
        *arguments: Those of `training_step`.
    """
    tiny = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    tiny.compile("sgd", "mse")
    tiny.train_on_batch(np.zeros((2, 8)), np.zeros((2, 2)))  # imports what is imported lazily
    step = training_step(*arguments)
    before = process_memory.resident() if process_memory.is_measurable() else None
    for _ in range(WARMUP_STEPS):
        step()
    resident = None
    if process_memory.is_measurable():
        process_memory.reset_peak()
        step()
        resident = (process_memory.peak() - before) / MEGABYTE
    measure_bytes = {
        "torch": peak_by_profiler,
        "tensorflow": peak_of_allocator,
        "jax": bytes_of_compiled_step,
    }[keras.backend.backend()]
    megabytes = measure_bytes(step) / MEGABYTE
    return {"megabytes": megabytes, "resident_megabytes": resident}


def bytes_of_compiled_step(step):
    """Return the bytes of the temporaries of the step that `fit` compiles on JAX, after a step."""
    import jax

    model = step.model
    kinds = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = tuple([variable.value for variable in variables] for variables in kinds)
    lowered = jax.jit(model.train_step, donate_argnums=0).lower(state, step.batch)
    analysis = lowered.compile().memory_analysis()
    assert analysis is not None
    return analysis.temp_size_in_bytes


def peak_by_profiler(step):
    """Return the peak of the bytes allocated by PyTorch in a step."""
    import torch

    step.model.zero_grad()  # frees the gradients of the step before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(path))
        with open_regular(path) as file:
            events = json.load(file)["traceEvents"]
    return peak(
        (event["ts"], event["args"]["Bytes"]) for event in events if event["name"] == "[memory]"
    )


def peak(changes):
    """Return the largest sum of the changes up to a time, given as `(time, bytes)`."""
    largest = total = 0
    for _, change in sorted(changes, key=lambda item: item[0]):
        total += change
        largest = max(largest, total)
    return largest


def peak_of_allocator(step):
    """Return the peak of the bytes in use of TensorFlow's allocator in a step."""
    import tensorflow as tf

    before = tf.config.experimental.get_memory_info("CPU:0")["current"]
    tf.config.experimental.reset_memory_stats("CPU:0")
    step()
    return tf.config.experimental.get_memory_info("CPU:0")["peak"] - before
