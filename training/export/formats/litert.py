"""LiteRT (formerly TensorFlow Lite): one file for phones and small computers."""

import os
import zipfile

from keras_mixer.files import open_regular

METADATA = "keras_mixer.json"


def write(model, path, metadata):
    """See `training.export.formats`."""
    import tensorflow as tf

    # Without operations of TensorFlow, which the runtime does not have.
    operations = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    model.export(os.fspath(path), format="litert", verbose=False, target_spec=operations)
    append_metadata(path, metadata)


def append_metadata(path, metadata):
    """Store the text in a file.

    Files that belong to a model are a ZIP archive after its last byte, as LiteRT's own tools store
    them; the runtime ignores it.
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(METADATA, metadata)


def load(path):
    """See `training.export.formats`."""
    from ai_edge_litert.interpreter import Interpreter

    from training.devices.cpu import cores

    interpreter = Interpreter(os.fspath(path), num_threads=cores())
    run_signature = interpreter.get_signature_runner()
    (name,) = run_signature.get_input_details()

    def run(pixels):
        return run_signature(**{name: pixels})  # resizes the tensors if the batch size changes

    return run


def read_metadata(path):
    """See `training.export.formats`."""
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        return archive.read(METADATA).decode("utf-8")
