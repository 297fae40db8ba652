"""What the notebook claims, on two devices that share the cores of this machine."""

import ast
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_mixer
from tests import notebooks

NAME = "finetune_colab_tpu"
SMALL_STRATEGY = """
import tensorflow as tf

(cores,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cores, [tf.config.LogicalDeviceConfiguration()] * 2)
EPOCHS = 2
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
model, history = fit_in(strategy)
print("replicas", strategy.num_replicas_in_sync, "step", model.optimizer.iterations.numpy())
print("loss", history["loss"])
"""

pytestmark = pytest.mark.backend("jax")


def cell_of(notebook, cell_id):
    (cell,) = [cell for cell in notebook.cells if cell.id == cell_id]
    return cell


def outputs(notebook, cell_id):
    """Return what one cell printed."""
    return "".join(output.get("text", "") for output in cell_of(notebook, cell_id).outputs)


def source(cell_id):
    return cell_of(notebooks.read(NAME), cell_id).source


def test_both_devices_take_part(executed):
    assert outputs(executed, "devices") == "2 × cpu, float32\n"


def test_pixels_come_through_whole_in_mixed_precision(executed):
    text = outputs(executed, "check")
    difference = float(re.search(r"on the host: (\S+) gray levels", text)[1])
    assert 0 < difference <= 0.5
    dtypes = dict(re.findall(r"^(\w+) +(\w+)$", text, re.M))
    exact = {"resizing", "preprocessing", "avg_pool", "head"}
    assert {name for name, dtype in dtypes.items() if dtype == "float32"} == exact
    assert {dtypes[name] for name in dtypes.keys() - exact} == {"bfloat16"}


def test_a_disconnect_loses_the_steps_of_its_epoch(executed):
    _, interrupted, resumed = outputs(executed, "disconnect").split("\n\n")
    assert "disconnected in epoch 3, after 3 steps" in interrupted and "epoch 3:" not in interrupted
    assert "begins with epoch 3, step 16\nepoch 3:" in resumed and "epoch 4:" in resumed


def test_the_resumed_training_ends_with_the_same_bits(executed):
    text = outputs(executed, "compare")
    assert "weights: largest difference 0.0\n" in text
    histories = re.findall(r"^(\w+): (\[.*\]) resumed, (\[.*\]) not interrupted$", text, re.M)
    assert [name for name, *_ in histories] == ["accuracy", "loss"]
    for _, *both in histories:
        resumed, reference = map(ast.literal_eval, both)
        assert len(resumed) == 2 and resumed == reference


def test_the_model_learns(executed):
    losses = re.findall(r"^epoch \d+: loss (\S+),.* images/s$", outputs(executed, "train"), re.M)
    assert len(losses) == 7  # all epochs but the one with the compilation
    assert float(losses[-1]) < float(losses[0]) / 4
    text = outputs(executed, "test")
    accuracy, right, total = re.search(r"accuracy (\S+): (\d+) of (\d+) images", text).groups()
    assert int(total) == 389 and float(accuracy) == pytest.approx(int(right) / 389, abs=1e-4)
    assert float(accuracy) > 0.8
    assert "largest difference of a logit 0.0\n" in text


def test_all_figures_are_plotted(executed):
    assert len(notebooks.figures(executed)) == 2


def test_no_tpu_is_claimed(executed):
    assert outputs(executed, "strategy").startswith("Not run: ")


def test_a_folder_of_ones_own_can_be_read(tmp_path):
    for label, name in enumerate(["cat", "dog"]):
        (tmp_path / name).mkdir()
        for number in range(2):
            image = np.full((30, 40, 3), 100 * label + number, "uint8")
            keras.utils.save_img(tmp_path / name / f"{number}.png", image, scale=False)
    (function,) = [
        node for node in ast.parse(source("data")).body if isinstance(node, ast.FunctionDef)
    ]
    names = {"keras_mixer": keras_mixer, "np": np, "IMAGE_SIZE": 16}
    exec(ast.unparse(function), names)
    images, labels, classes = names["read_folder"](tmp_path)
    assert images.shape == (4, 16, 16, 3) and images.dtype == np.uint8
    assert sorted(images[:, 0, 0, 0]) == [0, 1, 100, 101]
    assert list(labels) == [0, 0, 1, 1] and list(images[:, 0, 0, 0] // 100) == list(labels)
    assert classes == ["cat", "dog"]


def test_a_strategy_of_tensorflow_trains_the_same_model(tmp_path):
    cells = map(source, ["switch", "imports", "settings", "data", "model", "strategy"])
    script = "\n".join([*cells, SMALL_STRATEGY])
    script = script.replace("import os\n", "import os\nfrom pathlib import Path\n", 1)
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "KERAS_MIXER_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "Not run: TensorFlow finds no TPU here." in result.stdout
    assert "replicas 2 step 22\n" in result.stdout
    first, last = ast.literal_eval(re.search(r"^loss (.*)$", result.stdout, re.M)[1])
    assert last < first
