"""int8 and int4 ONNX files, made from a float ONNX file."""

import contextlib
import importlib
import io
import logging
import tempfile
from pathlib import Path

import numpy as np

from keras_mixer.files import open_regular
from training.errors import UserError
from training.export.calibration import as_calibration_array
from training.export.formats.onnx import read_properties, write_properties

CONTRIB = "com.microsoft"  # domain of the operators of onnxruntime
PRODUCTS = ["Gemm", "MatMul"]  # what is computed in int8
METHODS = ("minmax", "percentile", "entropy")
PERCENTILE = 99.99
BATCH = 8  # images per calibration step
BLOCK = 32  # inputs that share a scale, of int4 weights
HALF = 8  # of the 16 values of 4 bits


def quantize_onnx(path, output, images, method="minmax"):
    """Write an int8 ONNX file with `QuantizeLinear` and `DequantizeLinear` nodes.

    Weights are int8 with a scale for each output, inputs of products uint8 with a scale and a zero
    point from the calibration images. Products return float, since what follows them (GELU,
    normalization, residual connection) is computed in float. The stem, 1 % of the operations, is
    not quantized: onnxruntime computes convolutions in int8 only if their output is int8, too.

    Args:
        path: Path of a float file.
        output: Path of the int8 file.
        images: Calibration images, as `as_calibration_array` takes them.
        method: How the range of an input is chosen: "minmax", from the smallest to the largest
            value; "percentile", without the most extreme ones; "entropy", so that the distribution
            changes least.

    Raises:
        UserError: If a package is missing, the file is not valid, or the images do not fit.
    """
    quantization = _import_quantization()
    if method not in METHODS:
        raise UserError(
            f"--calibration-method must be one of {', '.join(METHODS)}. Received: {method}. "
            "Pass minmax."
        )
    name, shape = _input_of(path)
    batch, images = shape[0] or BATCH, as_calibration_array(images, shape[1:])
    methods = quantization.CalibrationMethod
    chosen = (methods.MinMax, methods.Percentile, methods.Entropy)[METHODS.index(method)]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        # Folds constants. Symbolic shapes need SymPy; only the size of the batch is not known.
        shape_inference = importlib.import_module("onnxruntime.quantization.shape_inference")
        shape_inference.quant_pre_process(path, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            output,
            _reader(name, images, batch),
            op_types_to_quantize=PRODUCTS,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=chosen,
            extra_options={
                "OpTypesToExcludeOutputQuantization": PRODUCTS,
                # One batch at a time: a histogram of all images would need all their activations.
                "CalibStridedMinMax": 1,
                "CalibTensorRangeSymmetric": False,
                "CalibPercentile": PERCENTILE,
            },
        )
    write_properties(output, read_properties(path))  # which onnxruntime leaves out


def quantize_onnx_dynamic(path, output):
    """Write an int8 ONNX file that needs no calibration: ranges are measured in every call.

    Args:
        path: Path of a float file.
        output: Path of the int8 file.

    Raises:
        UserError: If a package is missing, or the file is not valid.
    """
    quantization = _import_quantization()
    _input_of(path)
    with _quiet():
        quantization.quantize_dynamic(
            path,
            output,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
        )
    write_properties(output, read_properties(path))  # which onnxruntime leaves out


def quantize_onnx_weights(path, output, block=BLOCK):
    """Write an ONNX file with int4 weights; everything is computed in float.

    Products with constant matrices become `MatMulNBits`, an operator of onnxruntime. The stem, a
    convolution, stays in float.

    Args:
        path: Path of a float file.
        output: Path of the file with int4 weights.
        block: Inputs that share a scale: a power of two from 16.

    Raises:
        UserError: If a package is missing, or the file is not valid.
    """
    _import_quantization()
    import onnx

    _input_of(path)
    model = onnx.load(path)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            kernel = onnx.numpy_helper.to_array(weights[node.input[1]])
            node = _product_with_int4(node, kernel, block, graph)
        nodes.append(node)
    _replace(graph.node, nodes)
    used = {name for node in nodes for name in node.input}
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used])
    model.opset_import.append(onnx.helper.make_opsetid(CONTRIB, 1))
    onnx.save(model, output)


def _replace(field, values):
    values = list(values)
    del field[:]
    field.extend(values)


def _product_with_int4(node, kernel, block, graph):
    """Return a `MatMulNBits` node instead of `MatMul`; its weights go into the graph."""
    import onnx

    inputs, outputs = kernel.shape
    packed, scales = pack_int4(kernel, block)
    names = [f"{node.output[0]}_{part}" for part in ("int4", "scales")]
    for name, array in zip(names, (packed, scales), strict=True):
        graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    sizes = {"K": inputs, "N": outputs, "bits": 4, "block_size": block}
    return onnx.helper.make_node(
        "MatMulNBits", [node.input[0], *names], node.output, node.name, domain=CONTRIB, **sizes
    )


def pack_int4(kernel, block):
    """Return a matrix in 4 bits, symmetric around 0, as `MatMulNBits` reads it.

    Args:
        kernel: `(inputs, outputs)`.
        block: Inputs that share a scale.

    Returns:
        uint8 `(outputs, blocks, block / 2)`, two values in each byte, the earlier one in the lower
        half; and the scales, `(outputs, blocks)`. A value is `(number - 8) * scale`.
    """
    inputs, outputs = kernel.shape
    blocks = -(-inputs // block)
    padded = np.zeros((blocks * block, outputs), np.float32)
    padded[:inputs] = kernel
    rows = padded.T.reshape(outputs, blocks, block)
    extremes = np.take_along_axis(rows, np.abs(rows).argmax(axis=2)[..., None], axis=2)
    scales = extremes / -HALF  # the largest magnitude becomes -8, the one value without a negative
    divisors = np.where(scales == 0, 1, scales)
    numbers = np.clip(np.rint(rows / divisors) + HALF, 0, 2 * HALF - 1).astype(np.uint8)
    return numbers[..., ::2] | numbers[..., 1::2] << 4, scales[..., 0].astype(np.float32)


def _input_of(path):
    """Return the name and the shape of the input of a file; 0 is a size that is not fixed."""
    import onnx

    try:
        with open_regular(path) as file:
            (inputs,) = onnx.load(file).graph.input
    except Exception as error:  # onnx raises several kinds for a file that is not its own
        cause = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"A float ONNX file with one input is needed for quantization. Received: {path}: "
            f"{cause[0][:200]}. Write one with `export MODEL --to onnx`."
        ) from error
    return inputs.name, [size.dim_value for size in inputs.type.tensor_type.shape.dim]


@contextlib.contextmanager
def _quiet():
    """Suppress what onnxruntime prints and logs about the progress and its own options."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)


def _reader(name, images, batch):
    """Return a `CalibrationDataReader` of full batches."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        """Batches of the images; `set_range` chooses some of them by their numbers."""

        def __init__(self):
            self.set_range(0, len(self))

        def __len__(self):
            return len(images) // batch

        def set_range(self, start_index, end_index):
            self.batches = iter(range(start_index, end_index))

        def get_next(self):
            number = next(self.batches, None)
            if number is None:
                return None
            return {name: images[number * batch : (number + 1) * batch]}

    return Reader()


def _import_quantization():
    """Return `onnxruntime.quantization`; raise UserError if it cannot be imported."""
    try:
        import onnx  # noqa: F401
        from onnxruntime import quantization
    except ImportError as error:
        raise UserError(
            f"onnx and onnxruntime must be installed to quantize ONNX files. Received: {error}. "
            'Install them with `pip install -e ".[export]"`.'
        ) from error
    return quantization
