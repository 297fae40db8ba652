"""Conversion of weights from any format to any other and back, bit for bit."""

import os
import tracemalloc
import zipfile

import keras
import numpy as np
import pytest
import safetensors.numpy

from keras_mixer.__main__ import main
from keras_mixer.convert import convert
from keras_mixer.weights import archives
from keras_mixer.weights.formats import open_arrays
from keras_mixer.weights.layouts import recognize
from tests.support.models import (
    SMALL_IMAGE,
    random_arrays,
    random_pixels,
    small_architecture,
    small_mixer,
)
from tests.support.reference import mixer as reference_mixer
from tests.support.threats import layer_of, rewrite_archive

ARCHITECTURE = small_architecture()
SIZE = SMALL_IMAGE[:2]
SUFFIXES = (".npz", ".safetensors", ".weights.h5", ".keras")


@pytest.fixture
def arrays():
    return random_arrays(ARCHITECTURE.shapes())


@pytest.fixture
def source(tmp_path, arrays):
    np.savez(tmp_path / "source.npz", **arrays)
    return tmp_path / "source.npz"


def read(path):
    with open_arrays(path) as file:
        mixer = recognize(file)
        mixer.check(mixer.architecture.shapes())
        return mixer.layout.name, {n: mixer.read(n) for n in mixer.architecture.shapes()}


def assert_same_bytes(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.backend("torch")
def test_the_home_folder_is_expanded(monkeypatch, source, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    main(["convert", "~/source.npz", "~/out.npz"])
    assert (tmp_path / "out.npz").exists()
    assert small_mixer(weights="~/out.npz").count_params() > 0
    with pytest.raises(ValueError, match="~no_such_user/x.npz"):
        small_mixer(weights="~no_such_user/x.npz")


@pytest.mark.parametrize("second", SUFFIXES)
@pytest.mark.parametrize("first", SUFFIXES)
def test_from_every_format_to_every_other_and_back(first, second, source, arrays, tmp_path):
    convert(source, tmp_path / f"first{first}", image_size=SIZE)
    convert(tmp_path / f"first{first}", tmp_path / f"second{second}", image_size=SIZE)
    convert(tmp_path / f"second{second}", tmp_path / "back.npz")
    assert_same_bytes(dict(np.load(tmp_path / "back.npz")), arrays)


def test_files_are_as_others_write_them(source, arrays, tmp_path):
    """Safetensors sorts the arrays; apart from the order, the files say and hold the same."""
    convert(source, tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "a.npz") as ours, zipfile.ZipFile(tmp_path / "b.npz") as theirs:
        assert ours.namelist() == theirs.namelist()
        assert all(ours.read(name) == theirs.read(name) for name in ours.namelist())
    convert(source, tmp_path / "a.safetensors", layout="google")
    content = (tmp_path / "a.safetensors").read_bytes()
    assert int.from_bytes(content[:8], "little") % 8 == 0
    for name, array in safetensors.numpy.load(content).items():
        np.testing.assert_array_equal(array, arrays[name], strict=True)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_one_array_at_a_time_is_in_memory(suffix, tmp_path):
    architecture = small_architecture(num_blocks=20, channels_mlp_dim=4096)
    arrays = random_arrays(architecture.shapes())
    np.savez(tmp_path / "source.npz", **arrays)
    total = sum(array.nbytes for array in arrays.values())
    largest = max(array.nbytes for array in arrays.values())
    assert total > 38 * largest
    del arrays
    tracemalloc.start()
    try:
        convert(tmp_path / "source.npz", tmp_path / f"target{suffix}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * largest


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_takes_much_more_memory_than_its_file_is_refused(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "HARMLESS_BYTES", 2**20)
    shapes = small_architecture(channels_mlp_dim=2**14).shapes()
    arrays = {name: np.zeros(shape, "float32") for name, shape in shapes.items()}
    np.savez_compressed(tmp_path / "source.npz", **arrays)
    with pytest.raises(ValueError, match="claims to hold .* more than weights can be compressed"):
        convert(tmp_path / "source.npz", tmp_path / f"target{suffix}", image_size=SIZE)
    assert os.listdir(tmp_path) == ["source.npz"]


def test_from_npz_to_a_model_to_npz(source, arrays, tmp_path):
    small_mixer(weights=source, classes=None).save(tmp_path / "model.keras")
    convert(tmp_path / "model.keras", tmp_path / "back.npz")
    assert_same_bytes(dict(np.load(tmp_path / "back.npz")), arrays)


@pytest.mark.parametrize("layout", ["google", "timm", "pre-linen"])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_layouts(layout, suffix, source, arrays, tmp_path):
    target = tmp_path / f"target{suffix}"
    convert(source, target, layout=layout)
    found, back = read(target)
    assert found == layout
    assert_same_bytes(back, arrays)
    convert(target, tmp_path / "back.npz")
    assert_same_bytes(dict(np.load(tmp_path / "back.npz")), arrays)


def test_default_layouts(source, tmp_path):
    for suffix, layout in {".npz": "google", ".safetensors": "timm"}.items():
        convert(source, tmp_path / f"target{suffix}")
        assert read(tmp_path / f"target{suffix}")[0] == layout


def test_a_trained_model_to_timms_layout(tmp_path):
    """PyTorch programs can read a model that was trained here, and compute the same."""
    model = small_mixer(approximate_gelu=False, value_range=(0, 1))
    model.compile("sgd", "mse")
    pixels = random_pixels((2, *SMALL_IMAGE))
    model.fit(pixels, np.ones((2, 5)), epochs=2, verbose=0)
    model.save(tmp_path / "trained.keras")
    convert(tmp_path / "trained.keras", tmp_path / "trained.safetensors")
    theirs = safetensors.numpy.load_file(tmp_path / "trained.safetensors")
    assert theirs["blocks.1.mlp_tokens.fc1.weight"].shape == (8, 6)
    _, arrays = read(tmp_path / "trained.safetensors")
    logits = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(reference_mixer(arrays, pixels, False, (0, 1)), logits, atol=1e-5)
    again = small_mixer(weights=tmp_path / "trained.safetensors", classes=None)
    np.testing.assert_array_equal(again.predict(pixels, verbose=0), logits)


@pytest.mark.parametrize("suffix", [".safetensors", ".keras"])
@pytest.mark.parametrize("approximate", [True, False])
def test_numerics_are_recorded_in_formats_that_can(suffix, approximate, source, tmp_path):
    numerics = {"approximate_gelu": approximate, "value_range": (0.0, 1.0)}
    target = tmp_path / f"target{suffix}"
    assert convert(source, target, image_size=SIZE, **numerics) == ""
    pixels = random_pixels((2, *SMALL_IMAGE))
    expected = small_mixer(weights=source, classes=None, **numerics).predict(pixels, verbose=0)
    found = small_mixer(weights=target, classes=None, input_shape=None)
    np.testing.assert_array_equal(found.predict(pixels, verbose=0), expected)


@pytest.mark.parametrize("suffix", [".npz", ".weights.h5"])
def test_a_note_states_numerics_that_a_format_cannot_record(suffix, source, tmp_path):
    target = tmp_path / f"target{suffix}"
    note = convert(source, target, image_size=SIZE, approximate_gelu=False)
    assert "need approximate_gelu=False and images of 2 × 3 patches" in note
    convert(source, tmp_path / "timm.safetensors", layout="timm")
    note = convert(tmp_path / "timm.safetensors", target, image_size=SIZE, overwrite=True)
    assert "need images of 2 × 3 patches" in note


def test_weights_without_a_head(arrays, tmp_path):
    body = {name: array for name, array in arrays.items() if not name.startswith("head")}
    np.savez(tmp_path / "body.npz", **body)
    for suffix in SUFFIXES:
        convert(tmp_path / "body.npz", tmp_path / f"target{suffix}", image_size=SIZE)
        assert_same_bytes(read(tmp_path / f"target{suffix}")[1], body)


def test_a_keras_file_is_a_complete_model(source, tmp_path):
    convert(source, tmp_path / "target.keras", image_size=SIZE)
    model = keras.saving.load_model(tmp_path / "target.keras")
    assert model.input_shape == (None, *SMALL_IMAGE)
    assert model.output_shape == (None, 5)


def test_bad_arguments(source, tmp_path):
    def fails(message, *arguments, **keywords):
        with pytest.raises(ValueError, match=message):
            convert(*arguments, **keywords)

    fails("`target` must end in .npz, .safetensors, .weights.h5, .keras", source, tmp_path / "a.h5")
    fails("`target` must not exist, unless", source, source)
    fails("`target` must be a file in a folder", source, tmp_path / "no" / "a.npz")
    fails("`layout` must be one of", source, tmp_path / "a.npz", layout="flax")
    fails("`layout` must be one of.*for .keras", source, tmp_path / "a.keras", layout="timm")
    fails("`image_size` must be given", source, tmp_path / "a.keras")
    for size in ((8, 8), (-8, -12), (9, 12), (8.0, 12.0), (8,), 8, "ab"):
        fails(
            "`image_size` must be .*make 6 patches", source, tmp_path / "a.keras", image_size=size
        )
    for values in ((1, -1), (0, float("inf")), (0,), "ab"):
        fails("`value_range` must be", source, tmp_path / "a.npz", value_range=values)
    fails("`approximate_gelu` must be", source, tmp_path / "a.npz", approximate_gelu="erf")
    fails("does not exist", tmp_path / "b.npz", tmp_path / "a.npz")
    assert {path.name for path in tmp_path.iterdir()} == {"source.npz"}


def test_a_square_number_of_patches_in_an_oblong_image(tmp_path):
    """The argument replaces what the source does not state; the target or a note states it then."""
    arrays = random_arrays(small_architecture(num_patches=16).shapes())
    np.savez(tmp_path / "oblong.npz", **arrays)
    for suffix in (".keras", ".safetensors"):
        convert(tmp_path / "oblong.npz", tmp_path / f"oblong{suffix}", image_size=(8, 32))
        model = small_mixer(weights=tmp_path / f"oblong{suffix}", classes=None, input_shape=None)
        assert model.input_shape == (None, 8, 32, 3)
    assert "2 × 8 patches" in convert(tmp_path / "oblong.keras", tmp_path / "again.npz")


def test_the_activation_of_the_head_is_kept(tmp_path):
    for activation in ("linear", "sigmoid"):
        small_mixer(classifier_activation=activation).save(tmp_path / "model.keras")
        convert(tmp_path / "model.keras", tmp_path / "again.keras", overwrite=True)
        model = keras.saving.load_model(tmp_path / "again.keras")
        assert model.get_layer("head").activation is keras.activations.get(activation)


def test_another_dtype_policy_changes_no_bytes(source, arrays, tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        convert(source, tmp_path / "target.weights.h5", image_size=SIZE)
    finally:
        keras.config.set_dtype_policy(before)
    assert_same_bytes(read(tmp_path / "target.weights.h5")[1], arrays)


def test_images_of_other_channels(tmp_path):
    arrays = random_arrays(small_architecture(channels=4).shapes())
    np.savez(tmp_path / "four.npz", **arrays)
    convert(tmp_path / "four.npz", tmp_path / "four.keras", image_size=SIZE)
    assert_same_bytes(read(tmp_path / "four.keras")[1], arrays)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_users_can_read_the_target(suffix, source, tmp_path):
    convert(source, tmp_path / f"target{suffix}", image_size=SIZE)
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / f"target{suffix}").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_failed_conversion_keeps_the_old_target(arrays, tmp_path):
    arrays["head/bias"][0] = np.nan
    np.savez(tmp_path / "bad.npz", **arrays)
    (tmp_path / "target.npz").write_bytes(b"old")
    with pytest.raises(ValueError, match="not finite"):
        convert(tmp_path / "bad.npz", tmp_path / "target.npz", overwrite=True)
    assert (tmp_path / "target.npz").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"bad.npz", "target.npz"}


class TestCommandLine:
    def test_convert(self, source, arrays, tmp_path, capsys):
        target = str(tmp_path / "target.safetensors")
        main(["convert", str(source), target, "--gelu", "erf", "--value-range", "0", "1"])
        assert capsys.readouterr().out == f"Wrote {target}.\n"
        main(["convert", target, str(tmp_path / "back.npz")])
        assert "Note: .npz files cannot record that these weights need" in capsys.readouterr().out
        assert_same_bytes(dict(np.load(tmp_path / "back.npz")), arrays)

    @pytest.mark.parametrize(
        "arguments, message",
        [
            (["convert", "nowhere.npz", "a.npz"], "'nowhere.npz': does not exist"),
            (["convert", "nowhere.pth", "a.npz"], "never opened here"),
            (["convert", "nowhere.npz", "a.txt"], "must end in"),
            (["convert", "nowhere.npz"], "OUT"),
            (["convert", "a.npz", "b.npz", "--layout", "flax"], "invalid choice: 'flax'"),
            (["convert", "a.npz", "b.npz", "--image-size", "8"], "expected 2 arguments"),
            (["weight"], "invalid choice: 'weight'"),
            ([], "COMMAND"),
        ],
    )
    def test_a_mistake_exits_with_status_2(self, arguments, message, capsys):
        with pytest.raises(SystemExit) as ending:
            main(arguments)
        assert ending.value.code == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert not captured.out


def test_a_read_only_folder_is_named(source, tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    with pytest.raises(ValueError, match="in a writable folder. .*out.npz.*Permission denied"):
        convert(source, tmp_path / "out.npz")


@pytest.mark.backend("torch")
def test_the_activation_in_a_file_is_checked(tmp_path):
    small_mixer().save(tmp_path / "source.keras")
    function = {"module": "keras.utils", "class_name": "function", "config": "get_file"}

    def name_a_function(config):
        layer_of(config, "head")["config"]["activation"] = function

    rewrite_archive(tmp_path / "source.keras", name_a_function)
    with pytest.raises(ValueError, match="head with the activation keras.utils.function"):
        convert(tmp_path / "source.keras", tmp_path / "target.keras")
    assert not (tmp_path / "target.keras").exists()
    convert(tmp_path / "source.keras", tmp_path / "target.npz")  # does not need the activation
