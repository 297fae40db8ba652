"""int8 LiteRT files, made from a float SavedModel by TensorFlow's converter."""

import os
from pathlib import Path

from training.errors import UserError
from training.export.calibration import as_calibration_array
from training.export.formats import saved_model as saved_model_format
from training.export.formats.litert import append_metadata


def quantize_litert(saved_model, output, images=None):
    """Write an int8 `.tflite` file.

    With images, operations are computed in int8 where LiteRT can. Without, weights are int8, and
    the ranges of the inputs of products are measured in every call.

    A model that Keras quantized cannot be converted, since its products are of int8 tensors with
    three axes, for which LiteRT has no operation. So the converter quantizes the float model.

    Args:
        saved_model: Folder of a float SavedModel, written on TensorFlow.
        output: Path of the `.tflite` file.
        images: Calibration images, as `as_calibration_array` takes them; None for none.

    Raises:
        UserError: If the model cannot be converted, or the images do not fit.
    """
    import tensorflow as tf

    saved_model = Path(saved_model)
    try:
        signature = tf.saved_model.load(os.fspath(saved_model)).signatures[
            saved_model_format.SIGNATURE
        ]
        ((name, spec),) = signature.structured_input_signature[1].items()
        converter = tf.lite.TFLiteConverter.from_saved_model(os.fspath(saved_model))
    except Exception as error:  # TensorFlow raises several kinds for a folder that is not its own
        raise _cannot_convert(saved_model, error) from error
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    operations = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if images is not None:
        pixels = as_calibration_array(images, spec.shape[1:])
        converter.representative_dataset = lambda: ({name: image[None]} for image in pixels)
        operations.insert(0, tf.lite.OpsSet.TFLITE_BUILTINS_INT8)
    converter.target_spec.supported_ops = operations
    try:
        contents = converter.convert()
    except Exception as error:
        raise _cannot_convert(saved_model, error) from error
    output.write_bytes(contents)
    append_metadata(output, saved_model_format.read_metadata(saved_model))


def _cannot_convert(saved_model, error):
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return UserError(
        "A float SavedModel is needed for quantization in LiteRT, written on TensorFlow. Received: "
        f"{saved_model}: {lines[0][:200]}. Write one with `export MODEL --to saved_model`."
    )
