"""OpenVINO, for Intel devices: an `.xml` file of the operations and a `.bin` file of weights."""

import sys
import tempfile
from pathlib import Path

from training.export.formats import saved_model

METADATA = "keras_mixer"  # entry of `rt_info`
TELEMETRY = "openvino_telemetry"
# Otherwise OpenVINO computes in bfloat16 or float16 where the device has it.
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def write(model, path, metadata):
    """See `training.export.formats`; the `.bin` file is written beside `path`."""
    openvino = import_openvino()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "saved_model"
        saved_model.write(model, folder, metadata)
        converted = openvino.Core().read_model(folder)
        converted.set_rt_info(metadata, METADATA)
        openvino.save_model(converted, path, compress_to_fp16=False)


def load(path):
    """See `training.export.formats`."""
    compiled = import_openvino().Core().compile_model(path, "CPU", EXACT)

    def run(pixels):
        outputs = compiled(pixels)
        return {output.any_name: value for output, value in outputs.items()}

    return run


def read_metadata(path):
    """See `training.export.formats`."""
    return import_openvino().Core().read_model(path).get_rt_info(METADATA).astype(str)


def import_openvino():
    """Return the module `openvino`, imported without its telemetry.

    At its import, and in each conversion, OpenVINO reports to its vendor through a package of its
    own, unless the user has declined. Where that package is missing, it does not.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    modules: dict = sys.modules
    known = modules.get(TELEMETRY)
    modules[TELEMETRY] = None  # so that importing it raises ImportError
    try:
        import openvino
    finally:
        modules.pop(TELEMETRY)
        if known is not None:
            modules[TELEMETRY] = known
    return openvino
