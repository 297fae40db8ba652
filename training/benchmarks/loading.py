"""Time and memory of loading published weights, against reading the same arrays alone."""

import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import keras_mixer
from keras_mixer.convert import convert
from keras_mixer.sizes import SIZES
from keras_mixer.weights.load import open_weights

STATUS = Path("/proc/self/status")  # Linux
FORMATS = (".npz", ".safetensors")
MEGABYTE = 1e6


@dataclasses.dataclass(frozen=True)
class Loading:
    """Medians over the repeats, in seconds; memory in megabytes, of a process of its own."""

    variant: str
    format: str
    backend: str
    file_megabytes: float
    read_seconds: float  # the arrays alone, by NumPy or safetensors
    load_seconds: float  # open, check, read and assign to a model that is built
    build_seconds: float  # the model with random weights
    construct_seconds: float  # the model with the file's weights
    load_to_read: float
    peak_megabytes: float | None  # above what the process held before; None if not on Linux
    peak_to_file_and_model: float | None


def measure(variant, suffix, repeats):
    """Measure one variant from a file of random weights; return its `Loading`.

    Args:
        variant: A size of the paper, "B/16".
        suffix: `".npz"` or `".safetensors"`.
        repeats: How often each of the parts is timed, in turn.
    """
    constructor = getattr(keras_mixer, SIZES[variant].constructor_name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"weights{suffix}"
        model = constructor(weights=None)
        model.save_weights(Path(folder) / "random.weights.h5")
        convert(Path(folder) / "random.weights.h5", path, layout="google")
        parts = {
            "read_seconds": lambda: _read(path),
            "load_seconds": lambda: _fill(model, path),
            "build_seconds": lambda: constructor(weights=None),
            "construct_seconds": lambda: constructor(weights=path),
        }
        times: dict[str, list[float]] = {name: [] for name in parts}
        for _ in range(repeats):
            for name, part in parts.items():
                began = time.perf_counter()
                part()
                times[name].append(time.perf_counter() - began)
        peak = _peak_of_another_process(variant, path)
        file_bytes = path.stat().st_size
    seconds = {name: statistics.median(values) for name, values in times.items()}
    model_bytes = 4 * model.count_params()
    return Loading(
        variant=variant,
        format=suffix,
        backend=keras.backend.backend(),
        file_megabytes=file_bytes / MEGABYTE,
        **seconds,
        load_to_read=seconds["load_seconds"] / seconds["read_seconds"],
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


def _peak_of_another_process(variant, path):
    """Return the bytes by which building the model with its weights raises a fresh process."""
    if not STATUS.exists():
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
    """Return the bytes by which this process grows at most while the model is built and filled."""
    keras_mixer.MlpMixer(4, 8, 1, 8, 8, input_shape=(8, 8, 3), classes=2)  # what is loaded lazily
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    model = getattr(keras_mixer, SIZES[variant].constructor_name)(weights=path)
    assert model.built
    return _resident("VmHWM") - before


def _resident(field):
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} has no field {field}")
