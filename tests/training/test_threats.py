"""Files of a stranger: nothing in them is executed, and nothing outside of the results is written.

docs/threats.md says the same to users.
"""

import contextlib
import io
import json
import shutil
import zipfile

import h5py
import keras
import pytest
from PIL import Image

from tests.support.models import small_mixer
from tests.support.runs import SMALL, SUMMARY
from tests.support.threats import append_layer, layer_of, rewrite_archive
from training.config import Config, Data
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
    with contextlib.suppress(ValueError):  # the function returns nothing
        call("predict", run.model, "image.png", "--trust-model")
    assert canary.exists()


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


@pytest.mark.backend("torch")
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
    expected = "3 classes. Received:", "and 4 classes", f"{run.path}@best"
    assert_refused(call("predict", run.path, "image.png"), tmp_path / "canary", *expected)


@pytest.mark.backend("torch")
def test_a_model_without_a_mixer_is_refused_as_that_of_a_run(call, run, tmp_path):
    layers = keras.layers
    keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)]).save(run.model)
    expected = "must be the Mixer of its run", "a model without a Mixer", f"{run.path}@best"
    assert_refused(call("predict", run.path, "image.png"), tmp_path / "canary", *expected)
    assert call("predict", run.model, "image.png")[0] == 0  # as any file of the user's
