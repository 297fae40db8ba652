"""Results of a finished run: the model, the curves, the test accuracy and the summary."""

import dataclasses
import importlib
import os

import keras

import keras_mixer
from training.data.pipeline import evaluation_batches
from training.data.shard import Shard
from training.devices import hosts
from training.evaluation.accuracy import evaluate_accuracy
from training.run.curves import draw_curves


def write_results(run, model, source, hardware):
    """Write the model, test it, and return the summary.

    Args:
        run: The `training.run.ongoing.OngoingRun`, which is over.
        model: The trained model.
        source: The `training.data.source.Source` of the images.
        hardware: The `training.devices.distribution.Distribution` that it was trained on.
    """
    if hosts.count() > 1:
        model = _copy_on_this_host(model)
    config, folder = run.config, run.folder
    if hosts.is_first():
        name = os.fsencode(folder.path.name).decode(errors="replace")  # to be drawn
        title = f"{name}: {model.count_params():,} parameters on "
        with folder.writing():
            for path in (folder.model, folder.curves):
                path.unlink(missing_ok=True)  # if it is a link, it would be followed
            model.save(folder.model)
            history = run.progress.state.history
            draw_curves(history, folder.curves, title + keras.backend.backend())
    batch_size = hardware.evaluation_batch_size(config.data.batch_size)
    data = dataclasses.replace(config.data, batch_size=batch_size)
    shard = Shard(hosts.index(), hosts.count())
    batches = evaluation_batches(source.test, source, data, shard)
    test = evaluate_accuracy(model, batches, config.optimization.loss)
    if hosts.is_first():
        folder.write_summary(_summary(model, test, source, hardware, run.progress))
    return hosts.from_first(folder.read_summary)


def _copy_on_this_host(model):
    """Return a copy of the model with the full, unsharded weights on this host."""
    weights = [hosts.to_numpy(weight) for weight in model.weights]
    copy = type(model).from_config(model.get_config())
    copy.set_weights(weights)
    return copy


def _summary(model, test, source, hardware, progress):
    """Return the entries of `summary.json`; `test` is a `training.evaluation.accuracy.Accuracy`."""
    backend = keras.backend.backend()
    return {
        "test_accuracy": test.accuracy,
        "test_top5_accuracy": test.top5_accuracy,
        "test_loss": test.loss,
        "test_calibration_error": test.calibration_error,
        "test_examples": test.examples,
        "skipped_images": len(source.skipped),
        "train_images_per_second": progress.images_per_second(),
        "wall_seconds": progress.wall_seconds(),
        "parameters": model.count_params(),
        "class_names": source.class_names,
        "backend": backend,
        "devices": hardware.devices,
        "hosts": hardware.detected.hosts,
        "distribution": hardware.distribution,
        "precision": hardware.precision,
        "versions": _versions(backend),
    }


def _versions(backend):
    # From the modules: the installed packages have other names for TPUs and for CPUs only.
    return {
        "keras_mixer": keras_mixer.__version__,
        "keras": keras.__version__,
        backend: importlib.import_module(backend).__version__,
    }
