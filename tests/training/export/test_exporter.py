"""Exports in every format: written on a backend that can, compared, and put in place or not."""

import json

import keras
import numpy as np
import pytest

from keras_mixer.weights.load import variables_by_name
from tests.support.exported import GRAY, gray_mixer
from tests.support.models import random_pixels, randomize, small_mixer
from training.errors import UserError
from training.export import comparison, writer_process
from training.export.exporter import SAVED_MODEL, export_formats, export_model
from training.export.formats import FORMATS, onnx
from training.export.formats import torch as torch_format
from training.export.metadata import describe_model
from training.model_argument import LoadedModel

FILES = ["model", "model.bin", "model.json", "model.onnx", "model.pt2", "model.tflite", "model.xml"]
OWN = [name for name, row in FORMATS.items() if row.backend == keras.backend.backend()]


# It writes four of five formats. `test_export.py` exports on each backend, and so do the commands
# in docs/export.md on PyTorch.
@pytest.mark.backend("tensorflow")
@pytest.mark.long
class TestEveryFormat:
    def test_files(self, exported):
        assert sorted(path.name for path in exported.folder.iterdir()) == FILES
        weights = 4 * exported.loaded.model.count_params()
        for name, export in exported.exports.items():
            assert export.path == exported.folder / f"model{FORMATS[name].suffix}"
            assert weights < export.num_bytes < 1.5 * weights, name  # each weight once

    def test_comparison(self, exported):
        for name, export in exported.exports.items():
            assert export.comparison.difference < 1e-5, name
            assert export.comparison.agreement == 1 and export.comparison.images == 32
            assert export.backend == FORMATS[name].backend

    def test_metadata_in_the_file_and_beside(self, exported):
        expected = describe_model(exported.loaded, "runs/small")
        assert json.loads((exported.folder / "model.json").read_text("utf-8")) == expected
        for name, export in exported.exports.items():
            assert json.loads(FORMATS[name].module.read_metadata(export.path)) == expected, name

    @pytest.mark.parametrize("name", FORMATS)
    def test_outputs_for_batches_of_any_size(self, exported, name):
        run = FORMATS[name].module.load(exported.exports[name].path)
        images = random_pixels((7, *GRAY), seed=1).astype("float32")
        expected = exported.loaded.model.predict_on_batch(images)
        for batch in (7, 1, 3):
            outputs = run(images[:batch])
            assert outputs.keys() == {"logits", "probabilities"}
            np.testing.assert_allclose(outputs["logits"], expected[:batch], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(outputs["probabilities"].sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.backend(row.backend))
        for name, row in FORMATS.items()
        if name != "saved_model"  # from which others are converted
    ],
)
@pytest.mark.long
def test_a_color_model_with_all_that_a_mixer_can_have(name, tmp_path):
    """The erf of MIIL's weights, images that are not square, and layers for training only."""
    weights = randomize(small_mixer())
    model = small_mixer(
        approximate_gelu=False,
        classifier_activation="softmax",
        dropout_rate=0.1,
        drop_path_rate=0.1,
        rematerialize=True,
    )
    for path, variable in variables_by_name(model).items():
        variable.assign(weights[path])
    path = tmp_path / f"mixer{FORMATS[name].suffix}"
    export = export_model(model, name, path)
    assert export.comparison.difference < 1e-5
    entries = json.loads((tmp_path / "mixer.json").read_text())
    assert entries["input"]["shape"] == ["batch", 8, 12, 3]
    images = random_pixels((2, 8, 12, 3)).astype("float32")
    np.testing.assert_allclose(
        FORMATS[name].module.load(path)(images)["probabilities"],
        model.predict_on_batch(images),
        atol=1e-5,
    )


@pytest.fixture
def fast(monkeypatch):
    """Write a format without its exporter; the runtime is the Keras model."""
    name = OWN[0] if OWN else "onnx"
    models = []

    def write(model, path, metadata):
        models.append(model)
        path.write_text(metadata)

    monkeypatch.setattr(FORMATS[name].module, "write", write)
    monkeypatch.setattr(
        writer_process,
        "write_in_process",
        lambda model, backend, targets, metadata: [
            write(model, path, metadata) for path in targets.values()
        ],
    )
    monkeypatch.setattr(FORMATS[name].module, "load", lambda path: models[-1].predict_on_batch)
    return name


@pytest.fixture(scope="module")
def loaded():
    return LoadedModel(gray_mixer())


IMAGES = random_pixels((2, *GRAY))


def test_a_model_that_differs_is_not_left(loaded, fast, tmp_path, monkeypatch):
    path = tmp_path / f"model{FORMATS[fast].suffix}"
    monkeypatch.setattr(comparison.Comparison, "is_within", lambda *_: False)
    with pytest.raises(UserError, match="must compute what the Keras model computes") as error:
        export_formats(loaded, {fast: path}, IMAGES)
    assert f"--to {fast}" in str(error.value) and "same class for 100.0% of 2" in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [b"earlier", None])
def test_a_failure_keeps_what_was_there(loaded, fast, tmp_path, monkeypatch, kept):
    path = tmp_path / f"model{FORMATS[fast].suffix}"
    if kept and FORMATS[fast].suffix:
        path.write_bytes(kept)

    def fail(*arguments):
        raise ValueError("no operation\nfor it")

    monkeypatch.setattr(FORMATS[fast].module, "write", fail)
    if not OWN:
        monkeypatch.setattr(writer_process, "write_in_process", fail)
    with pytest.raises(ValueError, match="no operation"):
        export_formats(loaded, {fast: path}, IMAGES)
    assert [p.name for p in tmp_path.iterdir()] == ([path.name] if path.exists() else [])
    if path.exists():
        assert path.read_bytes() == kept


def test_an_earlier_export_is_replaced(loaded, fast, tmp_path):
    path = tmp_path / f"model{FORMATS[fast].suffix}"
    for origin in ("first", "second"):
        export_formats(loaded, {fast: path}, IMAGES, origin)
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "model.json"])
        for file in (path, tmp_path / "model.json"):
            assert json.loads(file.read_text())["model"] == origin


@pytest.mark.backend("torch")
def test_an_earlier_saved_model_is_replaced_as_a_whole(loaded, tmp_path, monkeypatch):
    models = []

    def write(model, backend, targets, metadata):
        models.append(model)
        for path in targets.values():
            path.mkdir()
            (path / SAVED_MODEL).write_text(metadata)

    monkeypatch.setattr(writer_process, "write_in_process", write)
    module = FORMATS["saved_model"].module
    monkeypatch.setattr(module, "load", lambda path: models[-1].predict_on_batch)
    path = tmp_path / "model"
    export_formats(loaded, {"saved_model": path}, IMAGES, "first")
    (path / "variables").mkdir()
    export_formats(loaded, {"saved_model": path}, IMAGES, "second")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "model.json"]
    assert [p.name for p in path.iterdir()] == [SAVED_MODEL]
    assert json.loads((path / SAVED_MODEL).read_text())["model"] == "second"


@pytest.mark.backend("torch")  # refused before the backend matters
class TestPathsThatAreRefused:
    def test_suffix(self, loaded, tmp_path):
        with pytest.raises(UserError, match=r"must end in \.onnx .*Pass model\.pt2\.onnx"):
            export_model(loaded, "onnx", tmp_path / "model.pt2")

    @pytest.mark.parametrize(("name", "folder"), [("saved_model", "runs"), ("torch", "a.pt2")])
    def test_another_folder(self, loaded, tmp_path, name, folder):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "precious").touch()
        with pytest.raises(UserError, match="must be an earlier export .*Choose another folder"):
            export_model(loaded, name, tmp_path / folder)
        assert (tmp_path / folder / "precious").exists()

    def test_a_folder_that_cannot_be_written_to(self, loaded, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match="must be a folder that can be written to"):
            export_model(loaded, "onnx", tmp_path / "file" / "model.onnx")


@pytest.mark.backend("tensorflow")
def test_an_operation_that_a_format_lacks(tmp_path):
    """The converter's own message names it."""
    pixels = keras.Input(GRAY)
    x = keras.layers.Flatten()(keras.ops.erfinv(pixels / 256))
    model = keras.Model(pixels, keras.layers.Dense(3)(x))
    with pytest.raises(UserError, match="--to litert must be a format that has all operations"):
        export_model(LoadedModel(model), "litert", tmp_path / "model.tflite", IMAGES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.backend("torch")
def test_pytorch_writes_its_own_format_on_the_cpu_only(loaded, tmp_path, monkeypatch):
    """On an accelerator, the device would become part of the file, so a process writes it."""
    from training.export import exporter

    calls = []

    def write_in_process(model, backend, targets, metadata):
        calls.append(backend)
        for path in targets.values():
            torch_format.write(model, path, metadata)

    monkeypatch.setattr(exporter, "_is_on_cpu", lambda: False)
    monkeypatch.setattr(writer_process, "write_in_process", write_in_process)
    export_formats(loaded, {"torch": tmp_path / "model.pt2"}, IMAGES)
    assert calls == ["torch"]


@pytest.mark.backend("tensorflow")
@pytest.mark.long
def test_standard_tools_accept_the_onnx_file(exported):
    import onnx as tool

    proto = tool.load(exported.exports["onnx"].path)
    tool.checker.check_model(proto, full_check=True)
    (image,) = proto.graph.input
    assert image.name == "pixels"
    assert [d.dim_value for d in image.type.tensor_type.shape.dim][1:] == list(GRAY)
    assert onnx.METADATA in {entry.key for entry in proto.metadata_props}
