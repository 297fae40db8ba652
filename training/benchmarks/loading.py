"""Benchmark of loading published weights, compared with only reading the arrays."""

import dataclasses
import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

import keras_mixer
from keras_mixer.convert import convert
from keras_mixer.sizes import SIZES
from keras_mixer.weights.load import open_weights
from training.benchmarks import process_memory
from training.benchmarks.timing import interleave, medians, seconds
from training.errors import out_of_memory_as_user_error

FORMATS = (".npz", ".safetensors")
MEGABYTE = 1e6


@dataclasses.dataclass(frozen=True)
class Loading:
    """Results for one variant and file format; times are medians over the repeats.

    Args:
        variant: A variant of the paper, such as "B/16".
        format: Suffix of the file.
        backend: Keras backend.
        file_megabytes: Size of the file.
        read_seconds: Time to read the arrays with NumPy or safetensors.
        load_seconds: Time to open, check, read and assign the weights to an existing model.
        build_seconds: Time to build the model with random weights.
        construct_seconds: Time to build the model with the weights from the file.
        load_to_read: Ratio of `load_seconds` to `read_seconds`.
        peak_megabytes: Peak memory of building the model with the weights, in a process of its
            own, above the memory used before; None except on Linux.
        peak_to_file_and_model: Ratio of the peak to the size of the file plus the model.
    """

    variant: str
    format: str
    backend: str
    file_megabytes: float
    read_seconds: float
    load_seconds: float
    build_seconds: float
    construct_seconds: float
    load_to_read: float
    peak_megabytes: float | None
    peak_to_file_and_model: float | None


def measure(variant, suffix, repeats):
    """Measure loading a file of random weights and return a `Loading`.

    Args:
        variant: A variant of the paper, such as "B/16".
        suffix: `".npz"` or `".safetensors"`.
        repeats: Number of times that each operation is timed.

    Raises:
        UserError: If the model does not fit in memory.
    """
    with out_of_memory_as_user_error(f"--variant {variant}", "Pass a smaller --variant."):
        return _measure(variant, suffix, repeats)


def _measure(variant, suffix, repeats):
    constructor = getattr(keras_mixer, SIZES[variant].constructor_name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"weights{suffix}"
        model = constructor(weights=None)
        model.save_weights(Path(folder) / "random.weights.h5")
        convert(Path(folder) / "random.weights.h5", path, layout="google")
        operations = {
            "read_seconds": lambda: _read(path),
            "load_seconds": lambda: _fill(model, path),
            "build_seconds": lambda: constructor(weights=None),
            "construct_seconds": lambda: constructor(weights=path),
        }
        timed = {name: functools.partial(seconds, call) for name, call in operations.items()}
        times = medians(interleave(timed, repeats))
        peak = _peak_in_new_process(variant, path)
        file_bytes = path.stat().st_size
    model_bytes = 4 * model.count_params()
    return Loading(
        variant=variant,
        format=suffix,
        backend=keras.backend.backend(),
        file_megabytes=file_bytes / MEGABYTE,
        **times,
        load_to_read=times["load_seconds"] / times["read_seconds"],
        peak_megabytes=peak and peak / MEGABYTE,
        peak_to_file_and_model=peak and peak / (file_bytes + model_bytes),
    )


def _read(path):
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}
    import safetensors.numpy

    return safetensors.numpy.load_file(path)


def _fill(model, path):
    with open_weights(path) as weights:
        architecture = weights.file.architecture
        loader = weights.for_model("benchmark", architecture, weights.grid, "block_diagonal")
        loader.fill(model)


def _peak_in_new_process(variant, path):
    """Return the peak memory in bytes of building the model with weights in a new process."""
    if not process_memory.is_measurable():
        return None
    code = (
        "from training.benchmarks import loading\n"
        f"print(loading.peak_of_constructing({variant!r}, {str(path)!r}))\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    return int(output.split()[-1])


def peak_of_constructing(variant, path):
    """Return the peak memory in bytes that building the model with weights adds to this process."""
    keras_mixer.MlpMixer(
        4, 8, 1, 8, 8, input_shape=(8, 8, 3), classes=2
    )  # imports what is imported lazily
    before = process_memory.resident()
    process_memory.reset_peak()
    model = getattr(keras_mixer, SIZES[variant].constructor_name)(weights=path)
    assert model.built
    return process_memory.peak() - before
