"""What a run comes to."""

import importlib

import keras

import keras_mixer


def summarize(model, test, source, hardware, keeper):
    """Return the summary of a run, as in `summary.json`.

    Args:
        model: The trained model.
        test: The `training.evaluation.accuracy.Accuracy` of its test images.
        source: The `training.data.source.Source` of the images.
        hardware: The `training.devices.distribution.Distribution` that it was trained on.
        keeper: The `training.run.keeper.Keeper` of the run.
    """
    backend = keras.backend.backend()
    return {
        "test_accuracy": test.accuracy,
        "test_top5_accuracy": test.top5_accuracy,
        "test_loss": test.loss,
        "test_calibration_error": test.calibration_error,
        "test_examples": test.examples,
        "skipped_images": len(source.skipped),
        "train_images_per_second": keeper.images_per_second(),
        "wall_seconds": keeper.wall_seconds(),
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
    # Not by the installed package, which has other names for TPUs and for CPUs alone.
    return {
        "keras_mixer": keras_mixer.__version__,
        "keras": keras.__version__,
        backend: importlib.import_module(backend).__version__,
    }
