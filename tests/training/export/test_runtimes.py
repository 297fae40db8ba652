"""Exported files are used without Keras, keras_mixer and this application."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.support.exported import GRAY
from tests.support.models import random_pixels

pytestmark = pytest.mark.long

PROGRAM = """
import json, pathlib, sys
import numpy as np

folder = pathlib.Path(sys.argv[1])
pixels = np.load(folder / "pixels.npy")
results = {}

import onnxruntime
session = onnxruntime.InferenceSession(folder / "model.onnx")
names = [output.name for output in session.get_outputs()]
results["onnx"] = dict(zip(names, session.run(None, {"pixels": pixels})))

from ai_edge_litert.interpreter import Interpreter
results["litert"] = Interpreter(str(folder / "model.tflite")).get_signature_runner()(pixels=pixels)

import openvino
exact = {"INFERENCE_PRECISION_HINT": "f32"}
model = openvino.Core().compile_model(folder / "model.xml", "CPU", exact)
results["openvino"] = {k.any_name: v for k, v in model({"pixels": pixels}).items()}

import torch
module = torch.export.load(folder / "model.pt2").module()
results["torch"] = {k: v.detach().numpy() for k, v in module(torch.from_numpy(pixels)).items()}

import tensorflow as tf
serve = tf.saved_model.load(str(folder / "model")).signatures["serving_default"]
results["saved_model"] = {k: v.numpy() for k, v in serve(pixels=tf.constant(pixels)).items()}

assert not {"keras_mixer", "training", "tests"} & sys.modules.keys()
print(json.dumps({
    name: {key: value.tolist() for key, value in outputs.items()}
    for name, outputs in results.items()
}))
"""


@pytest.mark.backend("tensorflow")  # the files of other backends are written by the same code
def test_another_program_reads_every_format(exported, tmp_path):
    pixels = random_pixels((3, *GRAY), seed=2).astype("float32")
    expected = exported.loaded.model.predict_on_batch(pixels)
    for path in exported.folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    np.save(tmp_path / "pixels.npy", pixels)
    result = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, tmp_path],
        env={**os.environ, "PYTHONPATH": "", "CI": "true"},  # CI: no telemetry of OpenVINO
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    results = json.loads(result.stdout.splitlines()[-1])
    assert results.keys() == exported.exports.keys()
    for name, outputs in results.items():
        np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.backend("torch")
def test_openvino_is_imported_without_its_telemetry(tmp_path):
    """It keeps an identifier of the user and sends events, unless CI is set or it is declined."""
    program = (
        "import sys\n"
        "from training.export.formats.openvino import import_openvino\n"
        "openvino = import_openvino()\n"
        "assert openvino.Core and openvino.convert_model\n"
        "assert 'openvino.tools.ovc.telemetry_stub' in sys.modules\n"
        "assert not any(m.startswith('openvino_telemetry') for m in sys.modules)\n"
        "assert import_openvino() is openvino\n"
    )
    environment = {**os.environ, "HOME": os.fspath(tmp_path)}
    environment.pop("CI", None)
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.iterdir()) == []
