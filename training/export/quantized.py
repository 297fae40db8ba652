"""Export of quantized models, each measured on a test split beside the float one."""

import dataclasses
import tempfile
from pathlib import Path

import keras
import numpy as np

from training.evaluation.predict_batch import predict_batch
from training.export.exporter import draft_of, export_formats, put_in_place, require_path
from training.export.formats import FORMATS
from training.export.metadata import describe_model, to_json
from training.export.quantization import KERAS, find_quantization, quantize_file
from training.export.quantization_report import Candidate, Row, compare, size_of_files
from training.keras_file import open_logits

FLOAT = "float32"
TIMED_IMAGES = 8  # of a call


@dataclasses.dataclass(frozen=True)
class QuantizedExport:
    """A quantized model, and what it loses and gains.

    Args:
        format: A name in `FORMATS`, or "keras".
        path: Path of the file.
        rows: `training.export.quantization_report.Row`s before and after the quantization.
    """

    format: str
    path: Path
    rows: list[Row]


def suffix_of(format):
    """Return how the path of a quantized model ends."""
    return ".keras" if format == KERAS else FORMATS[format].suffix


def export_quantized(
    loaded, targets, mode, calibration, batches, pixels, origin="", method="minmax"
):
    """Export a quantized model to several formats; return a `QuantizedExport` for each.

    The float models that they are made from are exported and compared first, as in
    `training.export.exporter.export_formats`.

    Args:
        loaded: A `training.model_argument.LoadedModel`.
        targets: `{format: path}`; the formats are those of `FORMATS`, and "keras".
        mode: See `training.export.quantization.find_quantization`.
        calibration: Images of the training split; None if no format needs them.
        batches: Batches of the test split, which can be iterated again.
        pixels: Images to compare the float exports on.
        origin: MODEL, for the metadata.
        method: How int8 chooses ranges; see `training.export.quantization_onnx`.

    Raises:
        UserError: If a format does not have the mode, or cannot be written.
    """
    found = {name: find_quantization(name, mode) for name in targets}
    for name, path in targets.items():
        require_path(name, path, suffix_of(name))
    needed = ({*targets} | {q.source for q in found.values()}) - {KERAS}
    metadata = to_json(describe_model(loaded, origin))
    exports = []
    with tempfile.TemporaryDirectory() as folder:
        floats = {name: Path(folder) / f"float{FORMATS[name].suffix}" for name in sorted(needed)}
        if floats:
            export_formats(loaded, floats, pixels, origin)
        for name, path in targets.items():
            with draft_of(path) as draft:
                candidates = _quantize(loaded, name, mode, floats, draft, calibration, method)
                rows = compare(candidates, batches, TIMED_IMAGES)
                put_in_place(draft, path, suffix_of(name), None if name == KERAS else metadata)
            exports.append(QuantizedExport(name, path, rows))
    return exports


def _quantize(loaded, name, mode, floats, draft, calibration, method):
    """Write a quantized file, and return the `Candidate`s before and after."""
    if name == KERAS:
        float_file = draft.with_name("float.keras")
        loaded.model.save(float_file)
        before = Candidate(FLOAT, _predict(loaded.model), size_of_files(float_file))
        copy, _ = open_logits(float_file, trusted=True)  # to be quantized in place
        float_file.unlink()
        quantize_file(name, mode, copy, draft, calibration, method)
        quantized, _ = open_logits(draft, trusted=True)  # what is measured is the file
        return before, Candidate(mode, _predict(quantized), size_of_files(draft))
    source = floats[find_quantization(name, mode).source]
    quantize_file(name, mode, source, draft, calibration, method)
    return (
        Candidate(FLOAT, _run(name, floats[name]), size_of_files(floats[name])),
        Candidate(mode, _run(name, draft), size_of_files(draft)),
    )


def _predict(model):
    """Return a function from images to logits, by a Keras model."""
    return lambda images: np.asarray(keras.ops.convert_to_numpy(predict_batch(model, images)))


def _run(name, path):
    """Return a function from images to logits, by the runtime of a format."""
    run = FORMATS[name].module.load(path)
    return lambda images: run(images)["logits"]
