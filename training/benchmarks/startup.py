"""Benchmark of the start of a program: imports, construction, first prediction, first step."""

import dataclasses
import json
import subprocess
import sys

from training.benchmarks.timing import interleave, medians, seconds


@dataclasses.dataclass(frozen=True)
class Startup:
    """Seconds that each part of a program takes in a new process; medians over the repeats.

    Args:
        variant: A variant of the paper, such as "B/16".
        backend: Keras backend.
        batch_size: Number of images of a prediction and of a training step.
        repeats: Number of processes.
        import_keras_mixer: `import keras_mixer`, before Keras is imported.
        import_keras: `import keras` with the backend, which also imports the layers.
        build: Building the model with random weights.
        first_predict: The first `predict_on_batch`, which compiles on JAX and TensorFlow.
        predict: The second one.
        first_train_step: The first `train_on_batch` with SGD, which compiles too.
        train_step: The second one.
    """

    variant: str
    backend: str
    batch_size: int
    repeats: int
    import_keras_mixer: float
    import_keras: float
    build: float
    first_predict: float
    predict: float
    first_train_step: float
    train_step: float


def measure(variant, batch_size, repeats):
    """Time the parts of a program in `repeats` new processes and return a `Startup`."""
    code = (
        "import json\n"
        "from training.benchmarks import startup\n"
        f"print(json.dumps(startup.time_parts({variant!r}, {batch_size!r})))\n"
    )
    reports = interleave({"process": lambda: _last_line(code)}, repeats)["process"]
    times = {name: [report[name] for report in reports] for name in reports[0] if name != "backend"}
    return Startup(
        variant=variant,
        backend=reports[0]["backend"],
        batch_size=batch_size,
        repeats=repeats,
        **medians(times),
    )


def _last_line(code):
    """Return what a new process prints in its last line, which is JSON."""
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def time_parts(variant, batch_size):
    """Return the seconds of each part by its name in `Startup`; call it in a new process only."""
    times = {
        "import_keras_mixer": seconds(_import_keras_mixer),
        "import_keras": seconds(_import_keras),
    }

    import keras
    import numpy as np

    import keras_mixer
    from keras_mixer.sizes import SIZES

    constructor = getattr(keras_mixer, SIZES[variant].constructor_name)
    models = []
    times["build"] = seconds(lambda: models.append(constructor(weights=None)))
    (model,) = models
    images = np.zeros((batch_size, *model.input_shape[1:]), "float32")
    labels = np.zeros(batch_size, "int32")
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    calls = {
        "predict": lambda: model.predict_on_batch(images),
        "train_step": lambda: model.train_on_batch(images, labels),
    }
    for name, call in calls.items():  # both return numbers, so they wait for accelerators
        times[f"first_{name}"] = seconds(call)
        times[name] = seconds(call)
    return {"backend": keras.backend.backend(), **times}


def _import_keras_mixer():
    import keras_mixer  # noqa: F401


def _import_keras():
    import keras  # noqa: F401
