"""Formats that a model is exported to, each with the runtime that opens it.

Each is a module with three functions, which import the packages of the format when they are called:

* `write(model, path, metadata)` writes a model from `training.export.serving_model` and the text of
  its metadata, on the backend of the format.
* `load(path)` opens what was written in its own runtime. It returns a function from float32 pixels,
  `(batch, height, width, channels)`, to the NumPy arrays `{"logits": …, "probabilities": …}`.
* `read_metadata(path)` returns the text.
"""

import dataclasses
import importlib
import importlib.util

from training.errors import UserError


@dataclasses.dataclass(frozen=True)
class Format:
    """One format.

    Args:
        name: Name of its module, and of the format in `--to`.
        suffix: How the path of an exported model ends; a SavedModel is a folder without one.
        backend: Keras backend that writes it.
        runtime: What executes it, for people.
        modules: What is imported to write it, change its metadata and execute it.
    """

    name: str
    suffix: str
    backend: str
    runtime: str
    modules: tuple[str, ...] = ()

    @property
    def module(self):
        """The module with `write`, `load` and `read_metadata`."""
        return importlib.import_module(f"{__name__}.{self.name}")


# TensorFlow writes all but one. JAX writes SavedModels as StableHLO for the kind of device that it
# runs on. On PyTorch, Keras's exporters to ONNX and OpenVINO do not convert the kernels of a Mixer.
FORMATS = {
    row.name: row
    for row in (
        Format("saved_model", "", "tensorflow", "TensorFlow"),
        Format("litert", ".tflite", "tensorflow", "LiteRT", ("ai_edge_litert",)),
        Format(
            *("onnx", ".onnx", "tensorflow", "ONNX Runtime"), ("tf2onnx", "onnx", "onnxruntime")
        ),
        Format("openvino", ".xml", "tensorflow", "OpenVINO", ("openvino",)),
        Format("torch", ".pt2", "torch", "PyTorch"),
    )
}


def require_formats(names):
    """Raise UserError unless there are formats of these names, and all that they need is installed.

    Args:
        names: Names of formats.
    """
    known = ", ".join(FORMATS)
    for name in names:
        if name not in FORMATS:
            raise UserError(f"--to must be of {known}. Received: {name}. Pass one of these.")
    if not names or len(set(names)) < len(names):
        raise UserError(
            f"--to must be one or more of {known}, each once. Received: "
            f"{' '.join(names) or 'nothing'}. Pass --to onnx, for example."
        )
    for name in names:
        row = FORMATS[name]
        extras = {row.backend: row.backend} | dict.fromkeys(row.modules, "export")
        missing = [module for module in extras if importlib.util.find_spec(module) is None]
        if missing:
            extra = ",".join(dict.fromkeys(extras[module] for module in missing))
            raise UserError(
                f"--to {name} must have what it is written and tested with: "
                f"{', '.join(extras)}. Received: {', '.join(missing)} not installed. "
                f'Install it with `pip install -e ".[{extra}]"`.'
            )
