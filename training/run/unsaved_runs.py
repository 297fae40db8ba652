"""Trainings of one configuration that write no files, to compare learning rates."""

import dataclasses
import gc
import math
import sys

import keras

from training.config import Config
from training.data.cache import cached
from training.data.changed_files import changed_files_as_user_errors
from training.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from training.data.source import Source
from training.data.sources import load_source
from training.devices.distribution import Distribution
from training.devices.model_parallel import require_even_split
from training.devices.selection import find_distribution
from training.errors import UserError
from training.keras_workarounds.replica_seeds import decorrelate_replica_seeds
from training.model import check_weights
from training.optimization.duration import duration
from training.optimization.ema import apply_ema
from training.run.callbacks.loss_recorder import LossRecorder
from training.run.compiled_model import compiled_model, make_variables
from training.run.failures import training_out_of_memory_as_user_error
from training.run.signals import Signals


@dataclasses.dataclass(frozen=True)
class UnsavedRuns:
    """Trainings of new models of one configuration, on one host. The test split is not used.

    Args:
        config: A `training.config.Config`.
        source: The `training.data.source.Source` of its images.
        hardware: The `training.devices.distribution.Distribution`.
        epoch_batches: Batches per epoch.
        trust_model: See `training.model.build_model`.
        show_progress: Whether to show a progress bar if stderr is a terminal.
    """

    config: Config
    source: Source
    hardware: Distribution
    epoch_batches: int
    trust_model: bool = False
    show_progress: bool = True

    @classmethod
    def load(cls, config, trust_model=False, show_progress=True, needs_validation=False):
        """Load the images of a configuration.

        Raises:
            UserError: If the configuration is invalid, or there are no images.
        """
        config.check()
        hardware = find_distribution(config.hardware)
        config = config.vary(precision=hardware.precision)
        hardware.require_even_batches(config.data.batch_size)
        require_even_split(config.model, hardware.model_devices)
        check_weights(config.model)
        source = load_source(config.data)
        source.require("train", config.data)
        if needs_validation:
            _require_validation(source, config.data)
        batches = steps_per_epoch(source.train, config.data)
        source = cached(source, config.data)
        return cls(config, source, hardware, batches, trust_model, show_progress)

    def shortened(self, updates):
        """Return the number of updates of a training, and the trainings of that length.

        Args:
            updates: Number of updates, for which the warmup is shortened in proportion; 0 for
                those of the configuration.

        Raises:
            UserError: If the warmup of the configuration is not shorter than the training.
        """
        optimization = self.config.optimization
        own = duration(optimization, self.epoch_batches).updates
        if not updates:
            return own, self
        warmup = optimization.warmup_steps * updates // own
        config = self.config.vary(total_steps=updates, warmup_steps=warmup)
        return updates, dataclasses.replace(self, config=config)

    def train(self, schedule, seed, has_diverged, description, validate=False):
        """Train a new model.

        Args:
            schedule: The learning-rate schedule, which has the number of updates.
            seed: Seed of the run.
            has_diverged: See `LossRecorder`.
            description: Text of the progress bar.
            validate: Whether to compute the metrics on the validation split at the end.

        Returns:
            The `LossRecorder`, and `{"accuracy": …, "loss": …}` or None: without `validate`, or
            if the training diverged.

        Raises:
            SystemExit: On SIGINT (ctrl-C) or SIGTERM.
        """
        with (
            training_out_of_memory_as_user_error(self.config),
            changed_files_as_user_errors(self.source, "Then run the same command again."),
            self.hardware.scope(),
        ):
            config = self.config.vary(seed=seed)
            keras.utils.set_random_seed(seed)
            model = compiled_model(config, self.source, schedule, self.trust_model)
            make_variables(model, len(self.source.class_names))
            decorrelate_replica_seeds(model)
            recorder = self._fit(model, config, schedule, has_diverged, description)
            metrics = None
            if validate and not recorder.diverged:
                metrics = self._validate(model)
                recorder.diverged = metrics is None
        del model
        gc.collect()  # the next model needs its memory
        return recorder, metrics

    def _fit(self, model, config, schedule, has_diverged, description):
        accumulation_steps = config.optimization.accumulation_steps
        recorder = LossRecorder(
            accumulation_steps, has_diverged, description if self.show_progress else None
        )
        batches = training_batches(self.source, config.data, config.augmentation, config.seed)
        with Signals("Stopping after this batch. A second signal ends at once.") as signals:
            model.fit(
                self.hardware.distribute(batches, config.data.batch_size),
                steps_per_epoch=schedule.total_updates * accumulation_steps,
                shuffle=False,  # the dataset shuffles
                verbose=0,
                callbacks=[recorder, _StopOnSignal(signals)],
            )
        if signals.first:
            sys.exit(128 + signals.first)  # normally, so that TensorFlow removes temporary files
        return recorder

    def _validate(self, model):
        """Return the metrics on the validation split; None if the loss is not finite."""
        if self.config.optimization.ema_momentum:
            apply_ema(model)
        data = self.config.data
        batches = evaluation_batches(self.source.validation, self.source, data)
        batches = self.hardware.distribute(batches, data.batch_size)
        metrics = model.evaluate(batches, return_dict=True, verbose=0)
        metrics = {name: float(metrics[name]) for name in ("accuracy", "loss")}
        return metrics if math.isfinite(metrics["loss"]) else None


class _StopOnSignal(keras.callbacks.Callback):
    """Stop the training after the batch in which a signal came."""

    def __init__(self, signals):
        super().__init__()
        self._signals = signals

    def on_train_batch_end(self, batch, logs=None):
        if self._signals.first:
            self.model.stop_training = True


def _require_validation(source, data):
    if not len(source.validation):
        raise UserError(
            "--source must have images in its validation split, to compare learning rates on. "
            f"Received: {data.source}, which has none. Pass --validation-fraction 0.1; for a tfds "
            "dataset, --validation-split."
        )
