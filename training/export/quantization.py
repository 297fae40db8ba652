"""The quantizations that each format of a file has, and one function that makes them."""

import dataclasses
from pathlib import Path

from training.errors import UserError
from training.export.calibration import FEWEST

KERAS = "keras"  # a `.keras` file, quantized by Keras
REASONS = {  # of what a format does not have
    "litert": "LiteRT's converter quantizes float models itself, to int8.",
    "onnx": "onnxruntime computes in int8 or float, and packs weights in 4 bits.",
    "openvino": "OpenVINO takes the calibrated ranges of an int8 ONNX file.",
    "saved_model": "TensorFlow has no quantizer for SavedModels.",
    "torch": "Programs of PyTorch are exported in float.",
    KERAS: "Keras measures the ranges of int8 in every call.",
}


@dataclasses.dataclass(frozen=True)
class Quantization:
    """One way to quantize a file.

    Args:
        source: Format of the float file that it reads; "keras" for a Keras model in memory.
        is_calibrated: Whether it needs calibration images.
        text: What is computed, for people.
    """

    source: str
    is_calibrated: bool
    text: str


IN_FLOAT = "computed in float"
QUANTIZATIONS = {  # by the format of the result and the mode
    ("onnx", "int8"): Quantization("onnx", True, "int8 products, calibrated ranges"),
    ("onnx", "int8-dynamic"): Quantization("onnx", False, "int8 products, ranges of each call"),
    ("onnx", "int4"): Quantization("onnx", False, f"int4 weights, {IN_FLOAT}"),
    ("openvino", "int8"): Quantization("onnx", True, "int8 products, calibrated ranges"),
    ("litert", "int8"): Quantization("saved_model", True, "int8 operations, calibrated ranges"),
    ("litert", "int8-dynamic"): Quantization(
        "saved_model", False, "int8 products, ranges of each call"
    ),
    (KERAS, "int8"): Quantization(KERAS, False, "int8 products, ranges of each token"),
    (KERAS, "int8-weights"): Quantization(KERAS, False, f"int8 weights, {IN_FLOAT}"),
    (KERAS, "int4"): Quantization(KERAS, False, f"int4 weights, {IN_FLOAT}"),
    (KERAS, "float8"): Quantization(KERAS, True, f"rounded to float8, {IN_FLOAT}"),
    (KERAS, "gptq"): Quantization(KERAS, True, f"4-bit weights, {IN_FLOAT}"),
    (KERAS, "awq"): Quantization(KERAS, True, f"4-bit weights, {IN_FLOAT}"),
}
MODES = tuple(dict.fromkeys(mode for _, mode in QUANTIZATIONS))


def find_quantization(format, mode):
    """Return the `Quantization` of a format; needs no package, so that commands can check first.

    Args:
        format: Format of the result: a name in `training.export.formats.FORMATS`, or "keras".
        mode: One of `MODES`.

    Raises:
        UserError: If the format does not have it.
    """
    if found := QUANTIZATIONS.get((format, mode)):
        return found
    own = [name for other, name in QUANTIZATIONS if other == format]
    advice = f"Pass --quantize {own[0]}" if own else "Pass --to onnx"
    if mode in [name for other, name in QUANTIZATIONS if other == KERAS]:
        advice += f", or --to {KERAS}"
    raise UserError(
        f"--quantize must be {' or '.join(own) or 'left out'} with --to {format}. Received: "
        f"{mode}. {REASONS.get(format, '')} {advice}."
    )


def quantize_file(format, mode, source, output, images=None, method="minmax"):
    """Write a quantized file.

    Args:
        format: See `find_quantization`.
        mode: See `find_quantization`.
        source: Path of a float file or folder in the format `find_quantization(…).source`; for
            "keras" a Keras model, which is quantized in place.
        output: Path of the quantized file.
        images: Calibration images of the training split, such as from
            `training.export.calibration.load_calibration_images`.
        method: How `int8` of an ONNX or OpenVINO file chooses ranges; see `quantize_onnx`.

    Raises:
        UserError: If the format does not have the mode, the images are missing or do not fit, a
            package is missing, or the file cannot be read.
    """
    quantization, output = find_quantization(format, mode), Path(output)
    if quantization.is_calibrated and images is None:
        raise UserError(
            f"--quantize {mode} must have calibration images with --to {format}. Received: none. "
            f"Pass {FEWEST} or more images of the training split."
        )
    if format == KERAS:
        from training.export.quantization_keras import quantize_keras

        quantize_keras(source, mode, images)
        source.save(output)
    elif format == "litert":
        from training.export.quantization_litert import quantize_litert

        quantize_litert(source, output, images if quantization.is_calibrated else None)
    elif format == "openvino":
        from training.export.quantization_openvino import quantize_openvino

        quantize_openvino(source, output, images, method)
    else:
        from training.export import quantization_onnx as onnx

        if mode == "int8":
            onnx.quantize_onnx(source, output, images, method)
        elif mode == "int8-dynamic":
            onnx.quantize_onnx_dynamic(source, output)
        else:
            onnx.quantize_onnx_weights(source, output)
