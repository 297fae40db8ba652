"""Files of a stranger: nothing in them is executed, and nothing outside of the results is written.

docs/threats.md says the same to users.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

import keras_mixer
from tests.support.models import random_pixels, small_mixer
from tests.support.runs import SMALL, SUMMARY
from tests.support.tfds import build_tfds
from tests.support.threats import append_layer, layer_of, rewrite_archive
from training.config import Config, Data
from training.data.presets import PRESETS, Preset
from training.run.folder import RunFolder

BACKEND = keras.backend.backend()
IMAGE_SIZE = 8
CLASS_NAMES = ["cat", "dog", "emu"]


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A finished run without training: a folder with the files that the commands read."""
    folder = RunFolder(tmp_path_factory.mktemp("honest") / "run")
    data = Data(source="digits", image_size=IMAGE_SIZE)
    folder.write_config(Config(data=data, model=SMALL), BACKEND)
    folder.write_class_names(CLASS_NAMES)
    folder.write_summary(SUMMARY)
    model = small_mixer(input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3), classes=3)
    model.save(folder.model)
    return folder.path


@pytest.fixture
def run(honest, tmp_path, monkeypatch):
    """A copy of the run, in a working folder that has an image."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 30), (200, 200, 200)).save("image.png")
    return RunFolder(shutil.copytree(honest, tmp_path / "run"))


def function(name):
    module, _, name = name.rpartition(".")
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def gallery(canary):
    """A `Lambda` that writes an image file where it is told to."""
    return {
        "function": function("keras.visualization.plot_image_gallery"),
        "arguments": {"path": str(canary), "rows": 1, "cols": 1, "value_range": [0, 1]},
        "output_shape": [3],
    }


def lambda_layer(config, canary, **changes):
    append_layer(config, "keras.layers", "Lambda", gallery(canary) | changes)
    # The images, which `plot_image_gallery` can draw, and not the logits.
    layer_of(config, "attack")["inbound_nodes"] = layer_of(config, "preprocessing")["inbound_nodes"]


def lambda_with_bytecode(config, canary):
    code = {
        "class_name": "__lambda__",
        "config": {"code": "4wA=", "defaults": None, "closure": None},
    }
    lambda_layer(config, canary, function=code)


def lambda_without_module(config, canary):
    lambda_layer(config, canary)
    del layer_of(config, "attack")["module"]


def lambda_of_another_module(config, canary):
    lambda_layer(config, canary)
    layer_of(config, "attack")["module"] = "keras.src.layers.core.lambda_layer"


def lambda_in_a_wrapper(config, canary):
    inner = {"module": "keras.layers", "class_name": "Lambda", "config": gallery(canary)}
    append_layer(config, "keras.layers", "TimeDistributed", {"layer": inner})


def lambda_in_a_pipeline(config, canary):
    inner = {"module": "keras.layers", "class_name": "Lambda", "config": gallery(canary)}
    append_layer(config, "keras.layers", "Pipeline", {"layers": [inner]})


def lambda_as_an_activation(config, canary):
    inner = {"module": "keras.layers", "class_name": "Lambda", "config": gallery(canary)}
    layer_of(config, "head")["config"]["activation"] = inner


def function_as_an_activation(config, canary):
    layer_of(config, "head")["config"]["activation"] = function("keras.ops.save")


def function_as_an_initializer(config, canary):
    layer_of(config, "stem")["config"]["kernel_initializer"] = function("keras.utils.plot_model")


def function_in_a_nested_compilation(config, canary):
    """Only the outer model is loaded without compiling it."""
    inner = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "inner", "layers": []},
        "registered_name": None,
        "compile_config": {"optimizer": "sgd", "loss": function("keras.utils.get_file")},
    }
    append_layer(config, "keras.layers", "TimeDistributed", {"layer": inner})


def pickled_module(config, canary):
    module = {"class_name": "__bytes__", "config": {"value": "gASVAAA="}}
    append_layer(config, "keras.layers", "TorchModuleWrapper", {"module": module})


def saved_model(config, canary):
    append_layer(config, "keras.layers", "TFSMLayer", {"filepath": str(canary.parent)})


def file_as_a_vocabulary(config, canary):
    append_layer(config, "keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"})


def module_of_another_package(config, canary):
    append_layer(config, "keras_cv.models", "ImageClassifier", {})


def class_registered_by_another_package(config, canary):
    append_layer(config, "keras.layers", "Dense", {"units": 2})
    layer_of(config, "attack")["registered_name"] = "keras_cv>RandomHue"


NAMES_MORE = (
    lambda_layer,
    lambda_with_bytecode,
    lambda_without_module,
    lambda_of_another_module,
    lambda_in_a_wrapper,
    lambda_in_a_pipeline,
    lambda_as_an_activation,
    function_as_an_activation,
    function_as_an_initializer,
    function_in_a_nested_compilation,
    pickled_module,
    saved_model,
    file_as_a_vocabulary,
    module_of_another_package,
    class_registered_by_another_package,
)


def assert_refused(result, canary, *expected):
    status, out, err = result
    assert (status, out) == (2, ""), err
    assert not canary.exists()
    assert "Traceback" not in err
    for part in expected:
        assert part in err


@pytest.mark.parametrize("attack", NAMES_MORE)
def test_a_model_that_names_more_than_a_mixer_is_refused(call, run, tmp_path, attack):
    canary = tmp_path / "canary.png"
    rewrite_archive(run.model, lambda config: attack(config, canary))
    result = call("predict", run.path, "image.png")
    assert_refused(result, canary, "model.keras must consist of a Mixer", "--trust-model")


@pytest.mark.backend("torch")  # other backends compile the function, which then fails
def test_the_attack_works_on_who_trusts_the_file(call, run, tmp_path):
    canary = tmp_path / "canary.png"
    rewrite_archive(run.model, lambda config: lambda_layer(config, canary))
    with contextlib.suppress(IndexError):  # the function returns nothing
        call("predict", run.model, "image.png", "--trust-model")
    assert canary.exists()


@pytest.mark.backend("torch")
def test_names_in_a_file_are_no_commands_to_the_terminal(call, run, tmp_path):
    def name_a_command(config):
        append_layer(config, "keras.layers", "\x1b]0;title\x07" + "x" * 1000, {})

    rewrite_archive(run.model, name_a_command)
    result = call("predict", run.path, "image.png")
    assert_refused(result, tmp_path / "canary", r"keras.layers.\x1b]0;title\x07xxx")
    assert "\x1b" not in result[2] and "x" * 400 not in result[2]


@pytest.mark.backend("torch")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_names_of_classes_are_no_commands_to_the_terminal(call, run, options):
    run.write_class_names(["\x1b]0;title\x07", "dog", "emu"])
    status, out, _ = call("predict", run.path, "image.png", *options)
    assert status == 0
    assert "title" in out and "\x1b" not in out


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("first", [True, False])
def test_a_second_configuration_is_not_what_is_checked(call, run, tmp_path, first):
    """One of two members of a name is read, once."""
    canary = tmp_path / "canary.png"
    with zipfile.ZipFile(run.model) as archive:
        honest = archive.read("config.json")
    attack = json.loads(honest)
    lambda_layer(attack, canary)
    attack = json.dumps(attack).encode()
    rewrite_archive(run.model, extra=[("config.json", attack), ("config.json", honest)][first:])
    if first:
        rewrite_archive(run.model, lambda config: lambda_layer(config, canary))
    call("predict", run.path, "image.png")
    assert not canary.exists()


def test_members_outside_of_the_archive_are_not_extracted(call, run, tmp_path):
    names = ("../escaped", "assets/../../escaped", str(tmp_path / "escaped"))
    rewrite_archive(run.model, extra=[(name, "written") for name in names])
    status, _, _ = call("predict", run.path, "image.png")
    assert status == 0
    assert not list(tmp_path.parent.rglob("escaped"))


def change_weights(path, change):
    """Rewrite the HDF5 file in a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
        config = archive.read("config.json")
    with h5py.File(content, "r+") as file:
        change(file)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", content.getvalue())


def replace_kernel(file, make):
    group = file["layers/dense/vars"]
    shape = group["0"].shape
    del group["0"]
    make(group, shape)


def virtual_dataset(group, shape):
    layout = h5py.VirtualLayout(shape, "float32")
    layout[:] = h5py.VirtualSource("secret.h5", "secret", shape)
    group.create_virtual_dataset("0", layout)


OTHER_FILES = {
    "a link to another file": lambda group, shape: group.__setitem__(
        "0", h5py.ExternalLink("secret.h5", "secret")
    ),
    "a link inside": lambda group, shape: group.__setitem__("0", h5py.SoftLink("/layers")),
    "a virtual dataset": virtual_dataset,
    "external storage": lambda group, shape: group.create_dataset(
        "0", shape, "float32", external=[("secret.h5", 0, h5py.h5f.UNLIMITED)]
    ),
    "chunks that claim more": lambda group, shape: group.create_dataset(
        "0", (10**6, 10**6), "float32", chunks=(1000, 1000)
    ),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_weights_outside_of_the_file_are_not_read(call, run, tmp_path, kind):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = [[1.0] * 3] * 16
    change_weights(run.model, lambda file: replace_kernel(file, OTHER_FILES[kind]))
    result = call("predict", run.path, "image.png")
    assert_refused(result, tmp_path / "canary", "model.keras must be a valid Keras model file")


def in_layer(name, **arguments):
    return lambda config: layer_of(config, name)["config"].update(arguments)


BROKEN = {
    "no configuration": lambda config: config.clear(),
    "no layers": lambda config: config["config"].clear(),
    "layers that are null": lambda config: config["config"].update(layers=None),
    "layers that are numbers": lambda config: config["config"].update(layers=[1]),
    "no outputs": lambda config: config["config"].update(output_layers=[["nowhere", 0, 0]]),
    "no node": lambda config: config["config"].update(output_layers=[["head", 7, 0]]),
    "a loop": lambda config: layer_of(config, "stem")["inbound_nodes"].extend(
        layer_of(config, "head")["inbound_nodes"]
    ),
    "an argument that is not known": in_layer("head", no_such=1),
    "a width that is text": in_layer("head", units="five"),
    "a negative width": in_layer("head", units=-1),
    "another width": in_layer("head", units=4),
    "a width that no memory holds": in_layer("head", units=10**12),
    "a width that the file does not hold": in_layer("head", units=10**7),
    "a shape that is text": in_layer("images", batch_shape="images"),
    "an unknown activation": in_layer("head", activation="no such"),
    "an unknown policy": in_layer("head", dtype="no such"),
    "a map of policies that is a list": in_layer(
        "MixerBlock_0",
        dtype={
            "module": "keras.dtype_policies",
            "class_name": "DTypePolicyMap",
            "config": {"policy_map": [1]},
        },
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_configuration_is_explained(call, run, tmp_path, kind):
    rewrite_archive(run.model, BROKEN[kind])
    result = call("predict", run.path, "image.png")
    assert_refused(result, tmp_path / "canary", "model.keras must be", f"{run.path}@best")


def test_no_memory_is_allocated_for_weights_that_the_file_does_not_hold(call, run, tmp_path):
    rewrite_archive(run.model, in_layer("head", units=10**10))
    expected = "its layers have 170,000,00", "weights, and its arrays have"
    assert_refused(call("predict", run.path, "image.png"), tmp_path / "canary", *expected)
    with keras.StatelessScope():
        pass  # nothing is left to be initialized


@pytest.mark.backend("torch")
@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "1", "null", "{", '"' + "a" * 10])
def test_json_of_another_form_is_explained(call, run, tmp_path, content):
    with zipfile.ZipFile(run.model) as archive:
        weights = archive.read("model.weights.h5")
    with zipfile.ZipFile(run.model, "w") as archive:
        archive.writestr("config.json", content)
        archive.writestr("model.weights.h5", weights)
    result = call("predict", run.path, "image.png")
    assert_refused(result, tmp_path / "canary", "model.keras must be", f"{run.path}@best")


@pytest.mark.backend("torch")
def test_a_model_of_other_classes_than_the_run_is_refused(call, run, tmp_path):
    small_mixer(input_shape=(8, 8, 3), classes=4).save(run.model)
    expected = "3 classes of class_names.json. Received:", "and 4 classes", f"{run.path}@best"
    assert_refused(call("predict", run.path, "image.png"), tmp_path / "canary", *expected)


@pytest.mark.backend("torch")
def test_a_model_without_a_mixer_is_refused_as_that_of_a_run(call, run, tmp_path):
    layers = keras.layers
    keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)]).save(run.model)
    expected = "must be the model of its run", "a model without a Mixer", f"{run.path}@best"
    assert_refused(call("predict", run.path, "image.png"), tmp_path / "canary", *expected)
    assert call("predict", run.model, "image.png")[0] == 0  # as any file of the user's


def evaluate_on(run, **fields):
    """Write another source into the configuration of a run."""
    entries = json.loads(run.config.read_text())
    entries["data"] |= fields
    run.config.write_text(json.dumps(entries))


EVIL_MODULE = "from pathlib import Path\nPath({!r}).write_text('executed')\n"


@pytest.fixture(scope="module")
def honest_dataset(tmp_path_factory):
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("sets")
    names = tfds.features.ClassLabel(names=CLASS_NAMES)
    images = [(np.zeros((8, 8, 1), "uint8"), i % 3) for i in range(6)]
    build_tfds(folder, "threats_honest", names, {"test": images}, num_shards=1)
    return folder / "threats_honest"


@pytest.fixture
def dataset(run, honest_dataset, monkeypatch, capsys):
    """A dataset in the folder of the run, and a module beside it that writes a canary."""
    canary = run.path / "canary"
    (run.path / "evil_module.py").write_text(EVIL_MODULE.format(str(canary)))
    monkeypatch.syspath_prepend(run.path)
    copy = shutil.copytree(honest_dataset, run.path / "sets" / "evil")  # has no code of that name
    (info,) = copy.rglob("dataset_info.json")
    info.write_text(info.read_text().replace("threats_honest", "evil"))
    (features,) = copy.rglob("features.json")
    capsys.readouterr()
    return features, canary


def replace_class(features, old, new):
    text = features.read_text()
    assert old in text
    features.write_text(text.replace(old, new))


def test_a_dataset_that_a_run_names_is_not_opened(call, run, dataset):
    features, canary = dataset
    replace_class(features, *FOREIGN_FEATURES["the image"])
    sets = run.path / "sets"
    evaluate_on(run, source="tfds:evil", data_dir=str(sets))
    result = call("evaluate", run.path)
    advice = f"Pass --source tfds:evil --data-dir {sets}"
    assert_refused(result, canary, "--source must be given", advice)


FOREIGN_FEATURES = {
    "the image": ("tensorflow_datasets.core.features.image_feature.Image", "evil_module.Image"),
    "the label": (
        "tensorflow_datasets.core.features.class_label_feature.ClassLabel",
        "evil_module.ClassLabel",
    ),
    "all features": (
        "tensorflow_datasets.core.features.features_dict.FeaturesDict",
        "evil_module.FeaturesDict",
    ),
    "a module of TensorFlow Datasets": (
        "tensorflow_datasets.core.features.image_feature.Image",
        "tensorflow_datasets.scripts.cli.main.Image",
    ),
    "a package with such a name": (
        "tensorflow_datasets.core.features.image_feature.Image",
        "tensorflow_datasets_evil.evil_module.Image",
    ),
    "a class without a module": (
        "tensorflow_datasets.core.features.image_feature.Image",
        "evil_module",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN_FEATURES)
def test_classes_outside_of_tensorflow_datasets_are_never_imported(call, run, dataset, kind):
    features, canary = dataset
    replace_class(features, *FOREIGN_FEATURES[kind])
    arguments = ("--source", "tfds:evil", "--data-dir", run.path / "sets")
    result = call("evaluate", run.path, *arguments)
    expected = "--source tfds:evil must have features of TensorFlow Datasets itself", "folder:PATH"
    assert_refused(result, canary, *expected)
    assert "evil_module" not in sys.modules


def test_a_typed_source_does_not_use_a_folder_that_the_run_names(call, run, dataset, monkeypatch):
    _, canary = dataset
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(run.path / "empty"))
    evaluate_on(run, data_dir=str(run.path / "sets"))
    result = call("evaluate", run.path, "--source", "tfds:evil")
    assert_refused(result, canary, "must be a dataset that TensorFlow Datasets knows")


@pytest.mark.backend("torch")
def test_a_preset_that_the_user_has_prepared_is_read(call, run, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    sets = tmp_path / "sets"
    names = tfds.features.ClassLabel(names=CLASS_NAMES)
    images = [(np.full((8, 8, 3), 255, "uint8"), i % 3) for i in range(6)]
    build_tfds(sets, "threats_preset", names, {"test": images}, 1, (8, 8, 3))
    preset = Preset("threats_preset", "none", "none", "test", 3)
    monkeypatch.setitem(PRESETS, "cifar10", preset)
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(sets))  # the default folder
    evaluate_on(run, source="cifar10")
    status, _, error = call("evaluate", run.path)
    assert status == 0, error

    empty = tmp_path / "empty"
    assert_refused(call("evaluate", run.path, "--data-dir", empty), empty, "--source must be given")
    evaluate_on(run, data_dir=str(sets))
    assert_refused(call("evaluate", run.path), empty, "--source must be given")
    evaluate_on(run, source="tfds:threats_preset", data_dir="")
    assert_refused(call("evaluate", run.path), empty, "--source must be given")


RECORDED = {
    "a preset": {"source": "cifar10"},
    "a dataset": {"source": "tfds:mnist", "test_split": "test[:5]"},
    "a dataset of another site": {"source": "tfds:huggingface:evil"},
    "an unknown kind": {"source": "python:evil_module"},
    "a pickle": {"source": "arrays:PICKLE"},
    "an address": {"source": "folder:https://example.com/x"},
}


@pytest.mark.parametrize("kind", RECORDED)
def test_recorded_sources_execute_nothing(call, run, tmp_path, kind, monkeypatch):
    class Canary:
        def __reduce__(self):
            return Path.write_text, (tmp_path / "canary", "executed")

    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path / "sets"))
    with open(tmp_path / "arrays.npz", "wb") as file:
        np.savez(file, x_test=np.array([Canary()] * 3, object), y_test=np.arange(3))
    fields = RECORDED[kind]
    source = fields["source"].replace("PICKLE", str(tmp_path / "arrays.npz"))
    evaluate_on(run, **fields | {"source": source})
    assert_refused(call("evaluate", run.path), tmp_path / "canary", "--source")
    assert not (tmp_path / "sets").exists()


@pytest.mark.backend("torch")
def test_results_are_not_written_through_links(call, run, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    folder = run.path / "evaluation"
    folder.symlink_to(tmp_path / "elsewhere")
    result = call("evaluate", run.path)
    assert_refused(result, tmp_path / "canary", "--output-dir must be given", str(folder))
    assert not list((tmp_path / "elsewhere").iterdir())

    folder.unlink()
    folder.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("kept")
    for name in ("evaluation.json", "confusion.csv", "classes.csv", "mistakes.png"):
        (folder / name).symlink_to(precious)
    images = random_pixels((6, 8, 8, 3))
    names = {"class_names": np.array(CLASS_NAMES)}
    np.savez("mine.npz", x_test=images, y_test=np.arange(6) % 3, **names)
    status, _, error = call("evaluate", run.path, "--source", "arrays:mine.npz")
    assert status == 0, error
    assert precious.read_text() == "kept"
    assert not any(path.is_symlink() for path in folder.iterdir())


@pytest.mark.backend("torch")  # a process, which imports the packages of every backend
@pytest.mark.parametrize("module", ["training", "keras_mixer"])
@pytest.mark.parametrize("installed", [False, True])
def test_files_in_the_working_folder_are_not_modules(tmp_path, module, installed):
    root = Path(keras_mixer.__file__).parent.parent
    names = {*sys.stdlib_module_names, "keras", "numpy", "rich", "tqdm", "tyro", "yaml"}
    packages = {"training", "keras_mixer"}
    if installed:
        names |= packages - {module}
    else:
        for package in packages:
            (tmp_path / package).symlink_to(root / package)
    for name in names:
        (tmp_path / f"{name}.py").write_text(EVIL_MODULE.format(str(tmp_path / f"canary-{name}")))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if installed:
        environment["PYTHONPATH"] = str(root)
    result = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert not [path.name for path in tmp_path.glob("canary-*")]
    assert result.returncode == 0, result.stderr
    assert "usage:" in result.stdout
