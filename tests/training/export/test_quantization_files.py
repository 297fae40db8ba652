"""Quantized files, each opened in its own runtime and compared with the float model."""

import keras
import numpy as np
import pytest

from tests.support.models import small_mixer
from training.errors import UserError
from training.export.formats import FORMATS
from training.export.quantization import KERAS, QUANTIZATIONS, find_quantization, quantize_file
from training.export.serving_model import build_serving_model
from training.model_argument import LoadedModel

pytestmark = [pytest.mark.backend("tensorflow"), pytest.mark.long]
FILES = [(format, mode) for format, mode in QUANTIZATIONS if format != KERAS]
METADATA = '{"class_names": ["a", "b", "c", "d"]}'


def bright_quadrants(number, seed):
    """Return noisy gray images of 8 × 8 pixels with one bright quadrant, and its number."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, number)
    images = rng.integers(0, 150, (number, 8, 8, 1))
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(label, 2)
        image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 60
    return images.astype("float32"), labels


TRAINING, TEST = bright_quadrants(512, 0), bright_quadrants(400, 1)


@pytest.fixture(scope="module")
def float_files(tmp_path_factory):
    """A trained Mixer in float, `{format: path}`."""
    keras.utils.set_random_seed(0)
    # LiteRT quantizes only weights of 1,024 values or more.
    sizes = {"hidden_dim": 32, "channels_mlp_dim": 64}
    model = small_mixer(input_shape=(8, 8, 1), classes=4, **sizes)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(*TRAINING, batch_size=64, epochs=8, verbose=0)
    serving = build_serving_model(LoadedModel(model))
    serving.predict(TEST[0][:1], verbose=0)
    folder = tmp_path_factory.mktemp("float")
    paths = {name: folder / f"model{FORMATS[name].suffix}" for name in ("onnx", "saved_model")}
    for name, path in paths.items():
        FORMATS[name].module.write(serving, path, METADATA)
    return paths


def logits(format, path):
    return FORMATS[format].module.load(path)(TEST[0])["logits"]


def size(path):
    files = path.rglob("*") if path.is_dir() else (path, path.with_suffix(".bin"))
    return sum(file.stat().st_size for file in files if file.is_file())


@pytest.mark.parametrize("format, mode", FILES)
def test_a_quantized_file_predicts_the_same(float_files, format, mode, tmp_path):
    before = logits("onnx", float_files["onnx"])
    accuracy = np.mean(before.argmax(axis=1) == TEST[1])
    assert accuracy > 0.95
    path = tmp_path / f"quantized{FORMATS[format].suffix}"
    source = float_files[find_quantization(format, mode).source]
    quantize_file(format, mode, source, path, TRAINING[0][:64])
    after = logits(format, path)
    error = np.sqrt(np.mean((after - before) ** 2) / np.mean(before**2))
    assert 1e-5 < error < (0.3 if mode == "int4" else 0.05)  # it is quantized
    same = np.mean(after.argmax(axis=1) == before.argmax(axis=1))
    assert same >= (0.97 if mode == "int4" else 0.99)
    assert np.mean(after.argmax(axis=1) == TEST[1]) >= accuracy - (
        0.02 if mode == "int4" else 0.005
    )
    assert FORMATS[format].module.read_metadata(path) == METADATA


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_ranges_can_be_chosen_by_other_methods(float_files, method, tmp_path):
    paths = [tmp_path / "one.onnx", tmp_path / "other.onnx"]
    for path, chosen in zip(paths, ("minmax", method), strict=True):
        quantize_file("onnx", "int8", float_files["onnx"], path, TRAINING[0][:64], chosen)
    one, other = (logits("onnx", path) for path in paths)
    assert (one != other).any()
    assert np.mean(one.argmax(axis=1) == other.argmax(axis=1)) >= 0.99


def test_products_of_int8_files_are_computed_in_int8(float_files, tmp_path):
    import onnx
    import openvino

    path = tmp_path / "int8.onnx"
    quantize_file("onnx", "int8", float_files["onnx"], path, TRAINING[0][:64])
    graph = onnx.load(path).graph
    weights = {tensor.name: tensor.data_type for tensor in graph.initializer}
    kernels = [n.input[0] for n in graph.node if n.op_type == "DequantizeLinear"]
    int8 = [name for name in kernels if weights.get(name) == onnx.TensorProto.INT8]
    assert len(int8) == 2 * 4 + 1  # two blocks and the head

    quantize_file("openvino", "int8", float_files["onnx"], tmp_path / "int8.xml", TRAINING[0][:64])
    compiled = openvino.Core().compile_model(tmp_path / "int8.xml", "CPU")
    kinds = [
        (o.get_rt_info()["layerType"], o.get_rt_info()["runtimePrecision"])
        for o in compiled.get_runtime_model().get_ops()
    ]
    products = [precision for kind, precision in kinds if kind in ("FullyConnected", "MatMul")]
    assert sum(precision in ("u8", "i8") for precision in products) >= 2 * 4


class TestErrors:
    @pytest.mark.parametrize("format, mode", [f for f in FILES if QUANTIZATIONS[f].is_calibrated])
    def test_too_few_images(self, float_files, format, mode, tmp_path):
        source = float_files[find_quantization(format, mode).source]
        with pytest.raises(UserError, match="at least 16 images. Received: 3. Pass more"):
            quantize_file(format, mode, source, tmp_path / "x", TRAINING[0][:3])
        assert not list(tmp_path.iterdir())

    def test_images_of_another_size(self, float_files, tmp_path):
        with pytest.raises(UserError, match=r"\(8, 8, 1\). Received: \(4, 8, 1\)"):
            quantize_file("onnx", "int8", float_files["onnx"], tmp_path / "x", TRAINING[0][:20, :4])

    @pytest.mark.parametrize("format, mode", FILES)
    def test_a_source_of_another_kind(self, format, mode, tmp_path):
        (tmp_path / "source").write_text("no model")
        with pytest.raises(UserError, match="A float (ONNX file|SavedModel).*`export MODEL --to"):
            quantize_file(format, mode, tmp_path / "source", tmp_path / "x", TRAINING[0][:64])
