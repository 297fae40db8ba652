"""Finished runs without training, and the models that are shared from them."""

from pathlib import Path

import keras

import keras_mixer
from tests.support.models import randomize, small_mixer
from tests.support.runs import CLASS_NAMES, SMALL, SUMMARY
from training.config import Config, Data, Optimization
from training.run.folder import RunFolder

IMAGE_SIZE = 8
VERSIONS = {"keras_mixer": keras_mixer.__version__, "keras": keras.__version__}


def finished_run(folder, model=SMALL, source="digits", save=True, image_size=IMAGE_SIZE, **summary):
    """Return the folder of a run with random weights, as if it had been trained.

    Args:
        folder: Path of the folder.
        model: Its `training.config.Model`.
        source: Its dataset.
        save: Whether to save a Mixer for images of `IMAGE_SIZE` as its model.
        image_size: Side of its images.
        **summary: Entries of its summary.
    """
    run = RunFolder(Path(folder))
    data = Data(source=source, image_size=image_size, evaluation_transform="resize-crop")
    config = Config(data=data, model=model, optimization=Optimization(loss="sigmoid"))
    run.write_config(config, keras.backend.backend())
    run.write_class_names(CLASS_NAMES)
    run.write_summary(SUMMARY | {"test_top5_accuracy": 0.9, "versions": VERSIONS} | summary)
    if save:
        mixer = small_mixer(input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3), classes=len(CLASS_NAMES))
        randomize(mixer)
        mixer.save(run.model)
    return run
