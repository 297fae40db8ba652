"""TensorFlow SavedModel: a folder for TensorFlow, TensorFlow Serving and its converters."""

import functools
import os

from keras_mixer.files import read_text

SIGNATURE = "serving_default"
EXTRA = "assets.extra"  # the folder that SavedModel reserves for files of others
METADATA = "keras_mixer.json"


def write(model, path, metadata):
    """See `training.export.formats`; `path` is a folder that does not exist."""
    import keras

    # `model.export` tracks the model as well as its variables, and stores each weight twice.
    archive = keras.export.ExportArchive()
    (pixels,) = model.inputs
    archive.add_endpoint("serve", functools.partial(model, training=False), [pixels])
    archive.write_out(os.fspath(path), verbose=False)
    (path / EXTRA).mkdir()
    (path / EXTRA / METADATA).write_text(metadata, encoding="utf-8")


def load(path):
    """See `training.export.formats`."""
    import tensorflow as tf

    loaded = tf.saved_model.load(os.fspath(path))
    (name,) = loaded.signatures[SIGNATURE].structured_input_signature[1]

    def run(pixels):
        # By way of `loaded`, with which TensorFlow would free the variables.
        outputs = loaded.signatures[SIGNATURE](**{name: tf.constant(pixels)})
        return {key: value.numpy() for key, value in outputs.items()}

    return run


def read_metadata(path):
    """See `training.export.formats`."""
    return read_text(path / EXTRA / METADATA)
