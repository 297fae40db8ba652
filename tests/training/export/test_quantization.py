"""Which quantizations there are, calibration images, int4 weights, and the table."""

import builtins
import itertools

import numpy as np
import pytest

from training.config import Data
from training.data.source import Source
from training.data.splits import in_memory
from training.errors import UserError
from training.export.calibration import load_calibration_images
from training.export.formats import FORMATS
from training.export.quantization import (
    KERAS,
    MODES,
    QUANTIZATIONS,
    find_quantization,
    quantize_file,
)
from training.export.quantization_onnx import pack_int4
from training.export.quantization_report import Candidate, compare, size_of_files

pytestmark = pytest.mark.backend("torch")
DATA = Data(source="arrays:some.npz", image_size=8, evaluation_transform="resize")


def source_of(number):
    """Return a source whose training images hold odd values, and whose test images even ones."""
    images = np.arange(number, dtype=np.uint8)[:, None, None, None] * 2 + np.zeros(
        (8, 8, 1), "uint8"
    )
    labels = np.arange(number) % 2
    test = in_memory(images, labels)
    return Source(("a", "b"), 1, in_memory(images + 1, labels), test, test)


class TestCalibrationImages:
    def test_they_are_a_sample_of_the_training_split(self):
        images = load_calibration_images(source_of(100), DATA, 40)
        assert images.shape == (40, 8, 8, 1) and images.dtype == np.uint8
        values = images[:, 0, 0, 0]
        assert (values % 2 == 1).all()
        assert len(set(values)) == 40
        assert list(values) != sorted(values)
        again = load_calibration_images(source_of(100), DATA, 40)
        np.testing.assert_array_equal(images, again)

    @pytest.mark.parametrize(
        "number, available, message",
        [
            (15, 100, "--calibration-images must be at least 16. Received: 15. Pass 256."),
            (41, 40, "training split. Received: 41 with 40 images in arrays:some.npz. Pass 40."),
            (16, 10, "Received: 16 with 10 images in arrays:some.npz. Choose a larger --source."),
        ],
    )
    def test_too_few(self, number, available, message):
        with pytest.raises(UserError, match=message):
            load_calibration_images(source_of(available), DATA, number)


class TestQuantizations:
    @pytest.mark.parametrize("format, mode", list(itertools.product([*FORMATS, KERAS], MODES)))
    def test_a_format_has_a_mode_or_the_message_says_which_it_has(self, format, mode):
        own = [name for other, name in QUANTIZATIONS if other == format]
        if mode in own:
            assert find_quantization(format, mode).source in [*FORMATS, KERAS]
            return
        with pytest.raises(UserError, match="--quantize must be .* Received: .* Pass --") as error:
            find_quantization(format, mode)
        assert all(name in str(error.value) for name in own)

    def test_calibrated_modes_require_images(self, tmp_path):
        with pytest.raises(UserError, match="--quantize int8 must have .* none. Pass 16 or more"):
            quantize_file("onnx", "int8", tmp_path / "a.onnx", tmp_path / "b.onnx")

    @pytest.mark.parametrize("format, package", [("onnx", "onnxruntime"), ("openvino", "openvino")])
    def test_a_missing_package(self, format, package, tmp_path, monkeypatch):
        real = builtins.__import__

        def import_other(name, *arguments, **options):
            if name.partition(".")[0] == package:
                raise ImportError(f"No module named '{package}'")
            return real(name, *arguments, **options)

        monkeypatch.setattr(builtins, "__import__", import_other)
        if format == "openvino":
            monkeypatch.delitem(__import__("sys").modules, package, raising=False)
        with pytest.raises(UserError, match=rf"No module named '{package}'. Install .*\[export\]"):
            quantize_file(
                format, "int8", tmp_path / "a.onnx", tmp_path / "b", np.zeros((16, 8, 8, 1))
            )


class TestInt4:
    @pytest.mark.parametrize("inputs, outputs, block", [(64, 3, 32), (40, 5, 16), (7, 2, 32)])
    def test_packed_weights_are_the_nearest_values(self, inputs, outputs, block):
        kernel = np.random.default_rng(0).standard_normal((inputs, outputs)).astype("float32")
        packed, scales = pack_int4(kernel, block)
        blocks = -(-inputs // block)
        assert packed.shape == (outputs, blocks, block // 2) and packed.dtype == np.uint8
        assert scales.shape == (outputs, blocks)
        numbers = np.stack([packed & 15, packed >> 4], axis=-1).reshape(outputs, blocks, block)
        values = ((numbers.astype(int) - 8) * scales[..., None]).reshape(outputs, -1)[:, :inputs]
        step = np.repeat(np.abs(scales), block, axis=1)[:, :inputs]
        # A value beyond 7 steps has no number of its own: it is rounded down to 7.
        assert (
            np.abs(values - kernel.T) <= np.where(np.abs(kernel.T) > 7.5 * step, 1, 0.5001) * step
        ).all()

    def test_zeros_stay_zeros(self):
        packed, scales = pack_int4(np.zeros((32, 1), "float32"), 32)
        assert (packed == 0x88).all() and (scales == 0).all()


def test_the_table_counts_every_example_once(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 4, 4, 1)).astype("float32")
    labels = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    weights = np.array([1, 1, 1, 1, 1, 0])  # the last one is padding
    batches = [(images[:3], labels[:3], weights[:3]), (images[3:], labels[3:], weights[3:])]
    answers = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}

    def right(x):
        return np.stack([answers[image.tobytes()] for image in x])

    def first_class(x):
        return np.tile([1.0, 0, 0], (len(x), 1))

    candidates = [Candidate("float", right, 4000), Candidate("int8", first_class, 1000)]
    float_row, int8_row = compare(candidates, batches, batch_size=5, repeats=2)
    assert (float_row.accuracy, int8_row.accuracy) == (1, 0.4)
    assert int8_row.change_in_points == pytest.approx(-60)
    assert (float_row.agreement, int8_row.agreement) == (1, 0.4)
    assert int8_row.megabytes == 0.001
    assert float_row.speedup == 1
    assert int8_row.images_per_second == pytest.approx(5000 / int8_row.milliseconds)


def test_sizes_of_files(tmp_path):
    (tmp_path / "model.xml").write_bytes(b"123")
    (tmp_path / "model.bin").write_bytes(b"12345")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    (tmp_path / "folder" / "inside" / "file").write_bytes(b"1234567")
    assert size_of_files(tmp_path / "model.xml") == 8
    assert size_of_files(tmp_path / "folder") == 7
