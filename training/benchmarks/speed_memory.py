"""Peak memory of a training step, each contestant in a process of its own."""

import contextlib
import ctypes
import dataclasses
import gc
import os
import subprocess
import sys

import keras

from keras_mixer.weights.architecture import Architecture
from training.benchmarks import process_memory, speed_contestants
from training.benchmarks.opponents.task import Task, task_of

MEGABYTE = 1e6
WARMUP_STEPS = 2  # compile, and create the optimizer's state
MEASURED_STEPS = 3
# Parent and child share a GPU.
ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


@dataclasses.dataclass(frozen=True)
class Memory:
    """Results for one variant and batch size.

    Args:
        variant: A variant of the paper, such as "B/16".
        batch_size: Images per step.
        peak_megabytes: Peak memory of a step by contestant, with weights and optimizer's state and
            without compilation: of the process above what it used before, or of the GPU.
        to_best: Ratio of ours to the smallest of the opponents.
    """

    variant: str
    batch_size: int
    peak_megabytes: dict[str, float]
    to_best: float


def measure(variant, batch_size, precision):
    """Measure all contestants and return a `Memory`."""
    ours, opponents = (
        {cls.name: _peak_in_new_process(cls.name, variant, batch_size, precision) for cls in group}
        for group in (speed_contestants.ours(), speed_contestants.opponents())
    )
    return Memory(
        variant=variant,
        batch_size=batch_size,
        peak_megabytes={name: peak / MEGABYTE for name, peak in (ours | opponents).items()},
        to_best=next(iter(ours.values())) / min(opponents.values()),
    )


def _peak_in_new_process(*arguments):
    code = (
        "from training.benchmarks import speed_memory\n"
        f"print(speed_memory.peak_of_training(*{arguments!r}))\n"
    )
    environment = {**os.environ, **ENVIRONMENT, "KERAS_BACKEND": keras.backend.backend()}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    if result.returncode:
        raise RuntimeError(result.stderr.strip())  # which may say that memory is exhausted
    return int(result.stdout.split()[-1])


def peak_of_training(name, variant, batch_size, precision):
    """Return the peak memory in bytes that training a contestant adds to this process."""
    classes = speed_contestants.ours() + speed_contestants.opponents()
    (cls,) = [cls for cls in classes if cls.name == name]
    tiny = Task(Architecture((4, 4), 3, 8, 1, 4, 8, 8, classes=2), (8, 8), precision)
    _steps(cls, tiny, 2)  # imports what is imported lazily
    gc.collect()
    before = process_memory.resident()
    run = _steps(cls, task_of(variant, precision), batch_size)
    _release_free_memory()
    process_memory.reset_peak()
    run(MEASURED_STEPS)
    on_device = _peak_of_gpu()
    return process_memory.peak() - before if on_device is None else on_device


def _steps(cls, task, batch_size):
    """Return a function that takes training steps, after a warm-up."""
    contestant = cls(task, task.random_weights())
    step = contestant.training(task.random_images(batch_size), task.random_labels(batch_size))

    def run(number=1):
        for _ in range(number):
            step()

    run(WARMUP_STEPS)
    return run


def _release_free_memory():
    """Give back what the compilation left to the allocator."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # of glibc only
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _peak_of_gpu():
    """Return the peak memory in bytes on the first GPU, with the warm-up; None without a GPU."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return None
    return tf.config.experimental.get_memory_info("GPU:0")["peak"]
