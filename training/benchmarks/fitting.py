"""Benchmark of `model.fit`, alone and in a run, compared with a bare loop over the same step."""

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

from training.benchmarks.timing import interleave, medians, seconds
from training.config import Checkpointing, Config, Data, Model, Optimization
from training.data.source import Source
from training.data.splits import in_memory
from training.errors import out_of_memory_as_user_error
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
OPTIMIZATION = Optimization(total_steps=10**6)  # AdamW with gradient clipping, as in pre-training


@dataclasses.dataclass(frozen=True)
class Fitting:
    """Results, medians over the repeats; compilation is not timed.

    Args:
        variant: A variant of the paper, such as "B/16".
        backend: Keras backend.
        batch_size: Images per step.
        steps: Number of steps timed per repeat.
        repeats: Number of times that each loop was timed.
        bare_images_per_second: Speed of a bare loop over the compiled step.
        fit_images_per_second: Speed of `model.fit` without callbacks.
        run_images_per_second: Speed of `model.fit` with the callbacks of a run.
        fit_to_bare: Ratio of the second to the first speed.
        run_to_bare: Ratio of the third to the first speed.
        checkpoint_megabytes: Size of a checkpoint.
        checkpoint_seconds: Time to write a checkpoint.
        callback_milliseconds: Time per step in the callbacks of a run.
        overhead: Share of a run's time spent in its callbacks and, at the default interval, in
            checkpoints.
    """

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
    callback_milliseconds: float
    overhead: float


def measure(variant, batch_size, steps, repeats):
    """Measure training on images of 224 × 224 pixels and return a `Fitting`.

    Args:
        variant: A variant of the paper, such as "B/16".
        batch_size: Images per step.
        steps: Number of steps to time per repeat.
        repeats: Number of times that each loop is timed.

    Raises:
        UserError: If the model and a batch do not fit in memory.
    """
    received = f"--variant {variant} with --batch-size {batch_size}"
    advice = "Pass a smaller --batch-size, or a smaller --variant."
    with out_of_memory_as_user_error(received, advice):
        return _measure(variant, batch_size, steps, repeats)


def _measure(variant, batch_size, steps, repeats):
    config = Config(
        data=Data(image_size=IMAGE_SIZE, batch_size=batch_size),
        model=Model(variant=variant),
        optimization=OPTIMIZATION,
    )
    empty = in_memory(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, int))
    names = tuple(map(str, range(CLASSES)))
    source = Source(names, channels=3, train=empty, validation=empty, test=empty)
    schedule = learning_rate_schedule(OPTIMIZATION, OPTIMIZATION.total_steps, batch_size)
    model = compiled_model(config, source, schedule)
    batches = _same_batch(batch_size)
    in_callbacks: list[float] = []

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loops = {
            "bare": lambda: _bare_loop(model, batches, steps),
            "fit": lambda: _fit(model, batches, steps, []),
            "run": lambda: _fit(
                model, batches, steps, _callbacks(config, schedule, folder), in_callbacks
            ),
        }
        _fit(model, batches, 1, [])  # compiles
        step_seconds = medians(interleave(loops, repeats))
        checkpoints = Checkpoints(folder / "checkpoints")
        saving = [seconds(lambda n=n: _save(checkpoints, model, n)) for n in range(repeats)]
        megabytes = next(checkpoints.folder.iterdir()).stat().st_size / 1e6
    between_checkpoints = 60 * Checkpointing().checkpoint_minutes
    save_seconds, callback_seconds = map(statistics.median, (saving, in_callbacks))
    return Fitting(
        variant=variant,
        backend=keras.backend.backend(),
        batch_size=batch_size,
        steps=steps,
        repeats=repeats,
        **{f"{name}_images_per_second": batch_size / value for name, value in step_seconds.items()},
        fit_to_bare=step_seconds["bare"] / step_seconds["fit"],
        run_to_bare=step_seconds["bare"] / step_seconds["run"],
        checkpoint_megabytes=megabytes,
        checkpoint_seconds=save_seconds,
        callback_milliseconds=1000 * callback_seconds,
        overhead=callback_seconds / step_seconds["run"] + save_seconds / between_checkpoints,
    )


def _save(checkpoints, model, number):
    checkpoints.save(model, Progress(batches=number))
    checkpoints.finish()  # waits until it is written, although a run does not


def _same_batch(batch_size):
    """Return an infinite dataset that repeats one batch, so that no time goes into images."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch_size, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    labels = np.eye(CLASSES, dtype="float32")[rng.integers(0, CLASSES, batch_size)]
    return tf.data.Dataset.from_tensors((images, labels)).repeat()


def _bare_loop(model, batches, steps):
    """Return the seconds per step of calling Keras's compiled train function in a plain loop."""
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
        elapsed = time.perf_counter() - began
        model._jax_state = dict(zip(wanted, state, strict=True))
        model._jax_state_synced = False
        model.jax_state_sync()
        return elapsed / steps

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
    float(logs["loss"])  # waits for the accelerator
    return (time.perf_counter() - began) / steps


class _Clock(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.times = []

    def on_train_batch_end(self, batch, logs=None):
        self.times.append(time.perf_counter())


def _fit(model, batches, steps, callbacks, in_callbacks=None):
    """Return the seconds per step of `model.fit`; append those spent in callbacks to a list."""
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
