"""The calls of `model.fit` that make up a run."""

from training.data.pipeline import evaluation_batches, training_batches
from training.devices import hosts
from training.run.callbacks.checkpoint_saver import CheckpointSaver
from training.run.callbacks.evaluate_ema import EvaluateEma
from training.run.callbacks.metrics_restorer import MetricsRestorer, set_metrics
from training.run.callbacks.progress_tracker import ProgressTracker
from training.run.callbacks.stop_on_signal import StopOnSignal
from training.run.callbacks.tensorboard import EpochTensorBoard
from training.run.callbacks.terminate_on_non_finite import TerminateOnNonFinite
from training.run.callbacks.torch_seeding import TorchSeeding


def make_callbacks(run):
    """Return the callbacks of a `training.run.ongoing.OngoingRun`, in the order they must have."""
    callbacks = [
        TorchSeeding(run),
        MetricsRestorer(run),
        ProgressTracker(run),
        TerminateOnNonFinite(run),  # before anything is saved
        CheckpointSaver(run),
        StopOnSignal(run),  # after its state is saved
    ]
    if run.config.optimization.ema_momentum:
        callbacks.insert(0, EvaluateEma())  # so that its `on_test_end` comes first
    if hosts.is_first():
        callbacks.append(EpochTensorBoard(run))
    return callbacks


def fit(run, model, source, hardware, verbose):
    """Train a model from the progress of its run to the end.

    Args:
        run: A `training.run.ongoing.OngoingRun`, whose checkpoint is restored in the model.
        model: A compiled model.
        source: A `training.data.source.Source`.
        hardware: A `training.devices.distribution.Distribution`.
        verbose: Keras's.

    Raises:
        Interrupted: If a signal came; the state is saved.
    """
    config, progress, shard = run.config, run.progress, hardware.data_shard()
    callbacks = make_callbacks(run)
    verbose = verbose if hosts.is_first() else 0

    def distributed(batches):
        return hardware.distribute(batches, config.data.batch_size)

    validation = (
        distributed(evaluation_batches(source.validation, source, config.data, shard))
        if len(source.validation)
        else None
    )
    with run.checkpoints, run.signals:
        run.write_history()
        _resume_epoch(run, model, validation, callbacks, verbose)
        for first, end, batches in progress.duration.stretches(progress.batches):
            images = training_batches(
                source, config.data, config.augmentation, config.seed, progress.batches, shard
            )
            model.fit(
                distributed(images),
                validation_data=validation,
                steps_per_epoch=batches,
                initial_epoch=first,
                epochs=end,
                shuffle=False,  # the dataset shuffles
                verbose=verbose,
                callbacks=callbacks,
            )
            run.interrupt_if_stopped()


def _resume_epoch(run, model, validation, callbacks, verbose):
    """Prepare the metrics of an epoch that was interrupted, or finish its validation."""
    if run.progress.state.metrics is not None:
        _validate(run, model, validation, callbacks, verbose)
    elif not run.progress.ends_epoch:
        (restorer,) = (c for c in callbacks if isinstance(c, MetricsRestorer))
        restorer.restore_in_next_epoch(model)


def _validate(run, model, validation, callbacks, verbose):
    """Validate an epoch whose batches are done, because a signal cut its validation short."""
    set_metrics(model, run.progress.state.metrics)
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    measured = model.evaluate(validation, return_dict=True, verbose=verbose, callbacks=callbacks)
    logs |= {f"val_{name}": value for name, value in measured.items()}
    epoch = len(run.progress.state.history)
    for callback in callbacks:
        callback.on_epoch_end(epoch, logs)
    run.interrupt_if_stopped()
