"""`model.fit`, alone and as a run calls it, against a bare loop over the same compiled step."""

import contextlib
import dataclasses
import io
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from training.config import Checkpointing, Config, Data, Model, Optimization
from training.data.source import Source
from training.data.splits import in_memory
from training.optimization.duration import Duration
from training.optimization.schedule import learning_rate_schedule
from training.run.checkpoints import Checkpoints
from training.run.compiled_model import compiled_model
from training.run.fitting import make_callbacks
from training.run.folder import RunFolder
from training.run.ongoing import OngoingRun
from training.run.progress import Progress, RunProgress

IMAGE_SIZE = 224
CLASSES = 1000
OPTIMIZATION = Optimization(total_steps=10**6)  # AdamW with clipping, as in pre-training


@dataclasses.dataclass(frozen=True)
class Fitting:
    """Medians over the repeats; a step's first call, which compiles, is not counted."""

    variant: str
    backend: str
    batch_size: int
    steps: int
    repeats: int
    bare_images_per_second: float
    fit_images_per_second: float
    run_images_per_second: float
    fit_to_bare: float
    run_to_bare: float
    checkpoint_megabytes: float
    checkpoint_seconds: float
    callback_milliseconds: float  # of a step, in a run
    overhead: float
    """Share of a run's time that its records take: its callbacks after each batch, timed by
    themselves, and a checkpoint at each of the default intervals."""


def measure(variant, batch_size, steps, repeats):
    """Measure a size of the paper by images of 224 × 224 pixels; return its `Fitting`.

    Args:
        variant: "B/16".
        batch_size: Images of a step.
        steps: How many are timed in each repeat, of each kind in turn.
        repeats: How often.
    """
    config = Config(
        data=Data(image_size=IMAGE_SIZE, batch_size=batch_size),
        model=Model(variant=variant),
        optimization=OPTIMIZATION,
    )
    nothing = in_memory(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, int))
    names = tuple(map(str, range(CLASSES)))
    source = Source(names, channels=3, train=nothing, validation=nothing, test=nothing)
    schedule = learning_rate_schedule(OPTIMIZATION, OPTIMIZATION.total_steps, batch_size)
    model = compiled_model(config, source, schedule)
    batches = _same_batch(batch_size)
    in_callbacks: list[float] = []

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ways = {
            "bare": lambda: _bare_loop(model, batches, steps),
            "fit": lambda: _fit(model, batches, steps, []),
            "run": lambda: _fit(
                model, batches, steps, _callbacks(config, schedule, folder), in_callbacks
            ),
        }
        _fit(model, batches, 1, [])  # compiles
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, way in ways.items():
                seconds[name].append(way())
        checkpoints, saving = Checkpoints(folder / "checkpoints"), []
        for number in range(repeats):
            began = time.perf_counter()
            checkpoints.save(model, Progress(batches=number))
            checkpoints.finish()  # though a run does not wait for it
            saving.append(time.perf_counter() - began)
        megabytes = next(checkpoints.folder.iterdir()).stat().st_size / 1e6
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    between_checkpoints = 60 * Checkpointing().checkpoint_minutes
    save_seconds, callback_seconds = map(statistics.median, (saving, in_callbacks))
    return Fitting(
        variant=variant,
        backend=keras.backend.backend(),
        batch_size=batch_size,
        steps=steps,
        repeats=repeats,
        **{f"{name}_images_per_second": batch_size / median for name, median in medians.items()},
        fit_to_bare=medians["bare"] / medians["fit"],
        run_to_bare=medians["bare"] / medians["run"],
        checkpoint_megabytes=megabytes,
        checkpoint_seconds=save_seconds,
        callback_milliseconds=1000 * callback_seconds,
        overhead=callback_seconds / medians["run"] + save_seconds / between_checkpoints,
    )


def _same_batch(batch_size):
    """Return an endless dataset of one batch, so that no time goes into images."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch_size, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    labels = np.eye(CLASSES, dtype="float32")[rng.integers(0, CLASSES, batch_size)]
    return tf.data.Dataset.from_tensors((images, labels)).repeat()


def _bare_loop(model, batches, steps):
    """Return the seconds of a step of Keras's compiled train function, called by hand."""
    iterator = iter(batches)
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        arrays = ([a.numpy() for a in batch] for batch in iterator)
        kinds = ("trainable", "non_trainable", "optimizer", "metrics")
        wanted = {f"{kind}_variables": True for kind in kinds}
        state = model._get_jax_state(**wanted, purge_model_variables=True)
        _, state = jax.block_until_ready(model.train_function(state, arrays))
        began = time.perf_counter()
        for _ in range(steps):
            logs, state = model.train_function(state, arrays)
        jax.block_until_ready((logs, state))
        seconds = time.perf_counter() - began
        model._jax_state = dict(zip(wanted, state, strict=True))
        model._jax_state_synced = False
        model.jax_state_sync()
        return seconds / steps

    if backend == "torch":
        import torch

        def step():
            return model.train_function([[torch.from_numpy(a.numpy()) for a in next(iterator)]])
    else:

        def step():
            return model.train_function(iterator)

    float(step()["loss"])
    began = time.perf_counter()
    for _ in range(steps):
        logs = step()
    float(logs["loss"])  # wait for an accelerator
    return (time.perf_counter() - began) / steps


class _Clock(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.times = []

    def on_train_batch_end(self, batch, logs=None):
        self.times.append(time.perf_counter())


def _fit(model, batches, steps, callbacks, in_callbacks=None):
    """Return the seconds of a step of `model.fit`; append those that its callbacks take."""
    before, after = _Clock(), _Clock()
    with contextlib.redirect_stdout(io.StringIO()):
        model.fit(
            batches,
            steps_per_epoch=steps + 1,
            shuffle=False,
            verbose=1 if callbacks else 0,
            callbacks=[before, *callbacks, after],
        )
    if in_callbacks is not None:
        pauses = zip(after.times[1:], before.times[1:], strict=True)
        in_callbacks.append(statistics.mean(end - begin for end, begin in pauses))
    return (after.times[-1] - after.times[0]) / steps


def _callbacks(config, schedule, folder):
    """Return what a run has at default settings."""
    duration = Duration(OPTIMIZATION.total_steps, OPTIMIZATION.total_steps, 10**6)
    progress = RunProgress(Progress(), duration, schedule, config.data.batch_size)
    run = OngoingRun(config, RunFolder(folder), Checkpoints(folder / "unused"), progress)
    return [*make_callbacks(run), keras.callbacks.ProgbarLogger()]
