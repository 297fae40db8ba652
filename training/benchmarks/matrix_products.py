"""What computes the matrix products of a model, and in which precision, as libraries report it."""

import collections
import os
import re
import subprocess
import sys
from pathlib import Path

import keras

CPUINFO = Path("/proc/cpuinfo")  # Linux
INSTRUCTIONS = ("avx512_bf16", "avx_ne_convert", "amx_tile", "amx_bf16", "bf16")  # the last on ARM
HLO_VALUE = re.compile(r"%?([\w.-]+) = \(?(\w+)\[")
HLO_PRODUCT = re.compile(r" = (\w+)\[[^ ]* (?:dot|convolution)\((?:\w+\[[^ ]* )?%?([\w.-]+)")
MARK = "The second batch begins."
ONEDNN_PRODUCTS = ("matmul", "inner_product", "convolution", "gemm_api")
ONEDNN_SOURCE = re.compile(r"\bsrc(?::|_)(?:[a-z]+:)?([a-z]+\d+)")  # src:bf16::…, src_f32::…


def bfloat16_instructions():
    """Return the names of this CPU's instructions for bfloat16; none except on Linux."""
    if not CPUINFO.exists():
        return ()
    flags = set(re.findall(r"^(?:flags|Features)\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE))
    found = set(" ".join(flags).split())
    return tuple(name for name in INSTRUCTIONS if name in found)


def describe_products(model, batch, module, arguments):
    """Return a sentence on the matrix products of `model.predict`.

    XLA is asked for the program that it compiled. Other programs run once more in a process that
    logs the calls of oneDNN, which PyTorch and TensorFlow use on CPUs; PyTorch's float32 products
    are MKL's, which are not logged.

    Args:
        model: A model.
        batch: A batch of its inputs.
        module: Name of the module whose function `build_model` builds the same model.
        arguments: Arguments of that function.
    """
    if keras.backend.backend() == "jax":
        return describe_hlo(_hlo_of_jax(model, batch))
    if keras.backend.backend() == "tensorflow" and model.jit_compile:
        return describe_hlo(_hlo_of_tensorflow(model, batch))
    return describe_onednn(_onednn_log(module, arguments, batch.shape))


def _hlo_of_jax(model, batch):
    import jax

    state = [
        [variable.value for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]
    forward = jax.jit(lambda state, x: model.stateless_call(*state, x, training=False)[0])
    return forward.lower(state, batch).compile().as_text()


def _hlo_of_tensorflow(model, batch):
    import tensorflow as tf

    forward = tf.function(lambda x: model(x, training=False), jit_compile=True)
    return forward.experimental_get_compiler_ir(tf.constant(batch))(stage="optimized_hlo")


def describe_hlo(text):
    """Return the number of products in an XLA program by the dtype of their operands."""
    dtypes = dict(HLO_VALUE.findall(text))
    operands = [dtypes.get(name, result) for result, name in HLO_PRODUCT.findall(text)]
    counts = collections.Counter(operands).most_common()
    return "XLA: " + (", ".join(f"{n} of {dtype}" for dtype, n in counts) or "none found")


def _onednn_log(module, arguments, shape):
    code = (
        f"import ctypes\nimport numpy as np\nfrom {module} import build_model\n"
        f"model = build_model(*{tuple(arguments)!r})\n"
        f"batch = np.zeros({tuple(shape)!r}, 'float32')\n"
        "model.predict_on_batch(batch)\n"
        f"ctypes.CDLL(None).fflush(None)\nprint({MARK!r}, flush=True)\n"
        "model.predict_on_batch(batch)\n"
    )
    environment = {**os.environ, "ONEDNN_VERBOSE": "1"}
    command = [sys.executable, "-c", code]
    output = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout
    return output.partition(MARK)[2]  # without the first batch, which creates what later ones reuse


def describe_onednn(log):
    """Return the time of the products in a log of oneDNN, and each implementation's share."""
    times: dict[str, float] = collections.defaultdict(float)
    for line in log.splitlines():
        fields = line.split(",")
        if not line.startswith("onednn_verbose") or "exec" not in fields:
            continue
        primitive, implementation = fields[fields.index("exec") + 2 :][:2]
        source = ONEDNN_SOURCE.search(line)
        if primitive in ONEDNN_PRODUCTS and source:
            name = f"{primitive} {implementation}".rstrip()
            times[f"{name} of {source[1]}"] += float(fields[-1])
    total = sum(times.values())
    if not total:
        return "oneDNN: none"
    largest = sorted(times.items(), key=lambda item: -item[1])[:3]
    shares = ", ".join(f"{100 * t / total:.0f} % {name}" for name, t in largest)
    return f"oneDNN, {total:.0f} ms a batch: {shares}"
