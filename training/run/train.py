"""One training run: joins model, data, optimizer and callbacks around `model.fit`."""

import contextlib
import dataclasses

import keras

from training.data.cache import cached
from training.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from training.data.shard import Shard
from training.data.source import SPLITS
from training.data.sources import load_source
from training.devices import hosts
from training.devices.model_parallel import require_even_split
from training.devices.selection import find_distribution
from training.evaluation.accuracy import evaluate_accuracy
from training.optimization.duration import duration
from training.optimization.ema import EvaluateEma, apply_ema
from training.optimization.finiteness import Finiteness
from training.optimization.freezing import plain_model
from training.optimization.replicas import decorrelate_replica_seeds
from training.optimization.schedule import learning_rate_schedule
from training.run.checkpoints import Checkpoints
from training.run.compiled_model import compiled_model, make_variables
from training.run.curves import draw_curves
from training.run.failures import as_user_errors
from training.run.keeper import Keeper
from training.run.summary import summarize
from training.run.tensorboard import EpochTensorBoard


def train(config, folder, verbose="auto"):
    """Run the training that `config` describes in `folder`, or what is left of it.

    An interrupted run goes on where its newest checkpoint stands, and computes what it would have
    without the interruption; a finished one is left as it is.

    Args:
        config: A `training.config.Config`.
        folder: A `training.run.folder.RunFolder`.
        verbose: Keras's: "auto" for a progress bar, 2 for one line per epoch.

    Returns:
        The summary, as in `summary.json`.

    Raises:
        UserError: If the configuration or the folder cannot be used; nothing is written then.
        Interrupted: If a signal came; what was done until then is saved.
    """
    config.check()
    with hosts.ending_together():
        hardware = find_distribution(config.hardware)
        chosen = dataclasses.replace(config.hardware, precision=hardware.precision)
        config = dataclasses.replace(config, hardware=chosen)  # a run keeps its precision
        summary = hosts.from_first(lambda: _finished_summary(config, folder))
        if summary is None:
            with as_user_errors(config):
                summary = _train(config, folder, hardware, verbose)
        return summary


def _finished_summary(config, folder):
    """Return the summary of a run that is finished, or None; refuse the folder of another."""
    folder.refuse_other_run(config, keras.backend.backend())
    return folder.read_summary() if folder.is_finished() else None


def _train(config, folder, hardware, verbose):
    backend = keras.backend.backend()
    hardware.require_even_batches(config.data.batch_size)
    require_even_split(config.model, hardware.model_devices)
    keras.utils.set_random_seed(config.seed)
    source = load_source(config.data)
    source.require("train", config.data)
    source.require("test", config.data)
    _require_same_on_all_hosts(config, source)
    length = duration(config.optimization, steps_per_epoch(source.train, config.data))
    schedule = learning_rate_schedule(config.optimization, length.updates, config.data.batch_size)
    with hardware.scope():
        model = compiled_model(config, source, schedule)
    finiteness = Finiteness(schedule, length)

    source = cached(source, config.data)
    with contextlib.ExitStack() as stack:
        if hosts.is_first():
            stack.enter_context(folder.lock())
            folder.refuse_other_run(config, backend)  # which may have come meanwhile
            folder.write_config(config, backend)
            folder.write_class_names(source.class_names)
            folder.write_skipped_images(source.skipped)
            print(hardware.describe(), flush=True)
        with hardware.scope():
            keeper = _fit(model, source, config, folder, hardware, length, finiteness, verbose)
            if config.optimization.ema_momentum:
                apply_ema(model)
            model = plain_model(model)
        with hardware.scope_of_this_host():  # each tests its part by itself
            return _conclude(model, source, config, folder, hardware, keeper)


def _require_same_on_all_hosts(config, source):
    lengths = [len(getattr(source, part)) for part in SPLITS]
    hosts.require_same(
        (
            dataclasses.replace(
                config, data=dataclasses.replace(config.data, data_dir="", cache_dir="")
            ),
            source.class_names,
            lengths,
        ),
        "The command",
        "be the same, and find the same images,",
        "Give all hosts the same.",
    )


def _fit(model, source, config, folder, hardware, length, finiteness, verbose):
    """Train until the end, from where the run's newest checkpoint stands; return the `Keeper`."""
    checkpoints = Checkpoints(folder.checkpoints, config.checkpointing.keep_checkpoints)
    shard = hardware.data_shard()
    make_variables(model, len(source.class_names))
    progress = checkpoints.restore(model)
    decorrelate_replica_seeds(model)
    keeper = Keeper(config, length, finiteness, checkpoints, progress, folder)
    callbacks = [
        *([EvaluateEma()] if config.optimization.ema_momentum else []),
        keeper,
    ]
    if hosts.is_first():
        callbacks.append(EpochTensorBoard(folder.tensorboard, keeper.learning_rate))

    def distributed(batches):
        return hardware.distribute(batches, config.data.batch_size)

    validation = (
        distributed(evaluation_batches(source.validation, source, config.data, shard))
        if len(source.validation)
        else None
    )
    verbose = verbose if hosts.is_first() else 0
    with checkpoints, keeper:
        keeper.write_history()
        if progress.metrics is not None:
            keeper.finish_epoch(model, validation, callbacks, verbose)
        elif not length.ends_epoch(progress.batches):
            keeper.resume_mid_epoch(model)
        for first, end, batches in length.stretches(progress.batches):
            start = keeper.progress.batches
            batches_from_start = training_batches(
                source, config.data, config.augmentation, config.seed, start, shard
            )
            model.fit(
                distributed(batches_from_start),
                validation_data=validation,
                steps_per_epoch=batches,
                initial_epoch=first,
                epochs=end,
                shuffle=False,  # the dataset shuffles
                verbose=verbose,
                callbacks=callbacks,
            )
            keeper.raise_if_interrupted()
    return keeper


def _conclude(model, source, config, folder, hardware, keeper):
    """Write the model and what it is worth; return the summary."""
    if hosts.count() > 1:
        model = _copy_of_this_host(model)
    if hosts.is_first():
        title = f"{folder.path.name}: {model.count_params():,} parameters on "
        with folder.room_for_results():
            model.save(folder.model)
            draw_curves(folder.history, folder.curves, title + keras.backend.backend())
    batch_size = hardware.evaluation_batch_size(config.data.batch_size)
    data = dataclasses.replace(config.data, batch_size=batch_size)
    shard = Shard(hosts.index(), hosts.count())
    batches = evaluation_batches(source.test, source, data, shard)
    test = evaluate_accuracy(model, batches, config.optimization.loss)
    summary = summarize(model, test, source, hardware, keeper)
    if hosts.is_first():
        folder.write_summary(summary)
    return hosts.from_first(folder.read_summary)


def _copy_of_this_host(model):
    """Return a model with the weights that several hosts hold together."""
    weights = [hosts.to_numpy(weight) for weight in model.weights]
    copy = type(model).from_config(model.get_config())
    copy.set_weights(weights)
    return copy
