"""int8 OpenVINO files, made from a float ONNX file."""

import tempfile
from pathlib import Path

from training.errors import UserError
from training.export.formats.onnx import METADATA as ONNX_METADATA
from training.export.formats.onnx import read_properties
from training.export.formats.openvino import METADATA, import_openvino
from training.export.quantization_onnx import quantize_onnx


def quantize_openvino(path, output, images, method="minmax"):
    """Write an int8 OpenVINO model, `.xml` and `.bin`.

    OpenVINO's own quantizer, NNCF, is not needed: OpenVINO reads the `QuantizeLinear` and
    `DequantizeLinear` nodes of an int8 ONNX file, and computes in int8 around them.

    Args:
        path: Path of a float ONNX file.
        output: Path of the `.xml` file; the `.bin` file is written beside it.
        images: See `quantize_onnx`.
        method: See `quantize_onnx`.

    Raises:
        UserError: As `quantize_onnx`, or if OpenVINO is missing.
    """
    try:
        openvino = import_openvino()
    except ImportError as error:
        raise UserError(
            f"openvino must be installed to write OpenVINO files. Received: {error}. "
            'Install it with `pip install -e ".[export]"`.'
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        quantized = Path(folder) / "int8.onnx"
        quantize_onnx(path, quantized, images, method)
        model = openvino.Core().read_model(quantized)
        if (metadata := read_properties(path).get(ONNX_METADATA)) is not None:
            model.set_rt_info(metadata, METADATA)
        # What is still float keeps float32: float16 would change the result.
        openvino.save_model(model, output, compress_to_fp16=False)
