"""One training run: joins model, data, optimizer and callbacks around `model.fit`."""

import dataclasses
import importlib

import keras

import keras_mixer
from training import hardware
from training.checkpoints import Checkpoints
from training.curves import draw_curves
from training.data.cache import cached
from training.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from training.data.sources import load_source
from training.epochs import Epochs
from training.errors import UserError
from training.evaluation.accuracy import evaluate_accuracy
from training.keeper import Keeper
from training.optimization import loss_function, optimizer


def train(config, folder, verbose="auto"):
    """Run the training that `config` describes in `folder`, or what is left of it.

    An interrupted run goes on where its newest checkpoint stands, and computes what it would have
    without the interruption; a finished one is left as it is.

    Args:
        config: A `training.config.Config`.
        folder: A `training.run_folder.RunFolder`.
        verbose: Keras's: "auto" for a progress bar, 2 for one line per epoch.

    Returns:
        The summary, as in `summary.json`.

    Raises:
        UserError: If the configuration or the folder cannot be used; nothing is written then.
        Interrupted: If a signal came; what was done until then is saved.
    """
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
    epochs = _epochs(config, source.train)
    model = build_model(config.model, config.data.image_size, source)
    model.compile(
        optimizer=optimizer(config.optimization, epochs.total_steps),
        loss=loss_function(config.optimization),
        metrics=["accuracy"],
    )

    source = cached(source, config.data)
    with folder.lock():
        folder.write_config(config, backend)
        folder.write_skipped_images(source.skipped)
        keeper = _fit(model, source, config, folder, epochs, verbose)
        return _conclude(model, source, config, folder, keeper)


def _fit(model, source, config, folder, epochs, verbose):
    """Train until the end, from where the run's newest checkpoint stands; return the `Keeper`."""
    checkpoints = Checkpoints(folder.checkpoints, config.checkpointing.keep_checkpoints)
    _make_variables(model, len(source.class_names))
    progress = checkpoints.restore(model)
    keeper = Keeper(
        checkpoints, progress, config.checkpointing, epochs, folder.history, config.seed
    )
    validation = (
        evaluation_batches(source.validation, source, config.data)
        if len(source.validation)
        else None
    )
    with keeper:
        if progress.metrics is not None:
            keeper.finish_epoch(model, validation)
        elif not epochs.ends_epoch(progress.step):
            keeper.goes_on_within_an_epoch(model)
        for first, end, steps in epochs.stretches(progress.step):
            start = keeper.progress.step
            model.fit(
                training_batches(source, config.data, config.augmentation, config.seed, start),
                validation_data=validation,
                steps_per_epoch=steps,
                initial_epoch=first,
                epochs=end,
                shuffle=False,  # the dataset shuffles
                verbose=verbose,
                callbacks=[keeper, keras.callbacks.TensorBoard(folder.tensorboard)],
            )
    return keeper


def _make_variables(model, classes):
    """Make the variables that Keras otherwise makes in the first step, so that they can be set."""
    model.optimizer.build(model.trainable_variables)
    nothing = keras.ops.zeros((1, classes))
    model.compute_metrics(None, nothing, nothing)
    model.reset_metrics()


def _conclude(model, source, config, folder, keeper):
    """Write the model and what it is worth; return the summary."""
    backend = keras.backend.backend()
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
            "train_images_per_second": keeper.images_per_second(),
            "wall_seconds": keeper.wall_seconds(),
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


def build_model(model, image_size, source):
    """Return the Mixer of a `training.config.Model` for a source's images; it gives logits."""
    return keras_mixer.MlpMixer(
        **dataclasses.asdict(model),
        input_shape=(image_size, image_size, source.channels),
        classes=len(source.class_names),
        classifier_activation=None,
    )


def _epochs(config, split):
    """Return the `Epochs` of a run, or raise UserError if there are too few steps."""
    epoch_steps = steps_per_epoch(split, config.data)
    total_steps = epoch_steps * config.optimization.total_epochs
    if config.optimization.warmup_steps >= total_steps:
        raise UserError(
            f"--warmup-steps must be below the number of training steps, {total_steps} "
            f"({config.optimization.total_epochs} epochs of {epoch_steps}). Received: "
            f"{config.optimization.warmup_steps}. Pass fewer, or raise --total-epochs."
        )
    return Epochs(config.data.batch_size, epoch_steps, total_steps)


def _versions(backend):
    # Not by the installed package, which has other names for TPUs and for CPUs alone.
    return {
        "keras_mixer": keras_mixer.__version__,
        "keras": keras.__version__,
        backend: importlib.import_module(backend).__version__,
    }
