"""One training run: joins model, data, optimizer and callbacks around `model.fit`."""

import importlib
import time

import keras

import keras_mixer
from training import hardware
from training.curves import draw_curves
from training.data.cache import cached
from training.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from training.data.sources import load_source
from training.evaluation.accuracy import evaluate_accuracy
from training.interruption import Interruption
from training.model import compiled_model
from training.optimization.averages import EvaluateAverages
from training.optimization.duration import StopAfter, duration
from training.optimization.finiteness import RequireFinite
from training.optimization.freezing import plain_model
from training.optimization.schedule import learning_rate_schedule


def train(config, folder):
    """Run the training that `config` describes in `folder`, or what is left of it.

    An interrupted run goes on after its last whole epoch, with the images that would have come
    then; a finished one is left as it is.

    Args:
        config: A `training.config.Config`.
        folder: A `training.run_folder.RunFolder`.

    Returns:
        The summary, as in `summary.json`.

    Raises:
        UserError: If the configuration or the folder cannot be used; nothing is written then.
    """
    began = time.perf_counter()
    backend = keras.backend.backend()
    config.check()
    folder.refuse_other_run(config, backend)
    if folder.is_finished():
        return folder.read_summary()

    hardware.hide_accelerators_from_tensorflow()
    keras.utils.set_random_seed(config.seed)
    source = load_source(config.data)
    source.require("train", config.data)
    source.require("test", config.data)
    epoch_steps = steps_per_epoch(source.train, config.data)
    length = duration(config.optimization, epoch_steps)
    schedule = learning_rate_schedule(config.optimization, length.updates, config.data.batch_size)
    model = compiled_model(config, source, schedule)

    source = cached(source, config.data)
    folder.write_config(config, backend)
    folder.write_skipped_images(source.skipped)
    start_step = folder.completed_epochs() * epoch_steps
    throughput = Throughput(config.data.batch_size)
    with Interruption() as interruption:
        model.fit(
            training_batches(source, config.data, config.augmentation, config.seed, start_step),
            validation_data=(
                evaluation_batches(source.validation, source, config.data)
                if len(source.validation)
                else None
            ),
            steps_per_epoch=epoch_steps,
            epochs=length.epochs,
            shuffle=False,  # the dataset shuffles
            callbacks=[
                throughput,
                interruption,
                StopAfter(length.batches),
                RequireFinite(schedule, config.optimization.accumulation_steps),
                *([EvaluateAverages()] if config.optimization.ema_momentum else []),
                keras.callbacks.CSVLogger(folder.history, append=True),
                keras.callbacks.TensorBoard(folder.tensorboard),
                # Last, so that an epoch counts as done once its records are written.
                keras.callbacks.BackupAndRestore(
                    folder.checkpoints, double_checkpoint=True, delete_checkpoint=False
                ),
            ],
        )

    model = plain_model(model)
    model.save(folder.model)
    title = f"{folder.path.name}: {model.count_params():,} parameters on {backend}"
    draw_curves(folder.history, folder.curves, title)
    test = evaluate_accuracy(model, evaluation_batches(source.test, source, config.data))
    folder.write_summary(
        {
            "test_accuracy": test.accuracy,
            "test_loss": test.loss,
            "test_examples": test.examples,
            "skipped_images": len(source.skipped),
            "train_images_per_second": throughput.images_per_second(),
            "wall_seconds": time.perf_counter() - began,
            "parameters": model.count_params(),
            "class_names": source.class_names,
            "backend": backend,
            "devices": hardware.device_names(),
            "distribution": "one device",
            "precision": keras.config.dtype_policy().name,
            "versions": _versions(backend),
        }
    )
    return folder.read_summary()


class Throughput(keras.callbacks.Callback):
    """Times the training steps: without the first, which compiles, and what lies between epochs."""

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size
        self.steps = 0
        self.seconds = 0.0
        self._last = None

    def images_per_second(self):
        """Return the mean over all timed steps, or None if there were none."""
        return self.steps * self.batch_size / self.seconds if self.steps else None

    def on_epoch_begin(self, epoch, logs=None):
        if self._last is not None:
            self._last = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self._last is not None:
            self.steps += 1
            self.seconds += now - self._last
        self._last = now


def _versions(backend):
    # Not by the installed package, which has other names for TPUs and for CPUs alone.
    return {
        "keras_mixer": keras_mixer.__version__,
        "keras": keras.__version__,
        backend: importlib.import_module(backend).__version__,
    }
