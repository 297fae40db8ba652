"""Names and orientations of the arrays in other programs."""

import numpy as np
import pytest
import safetensors.numpy

from keras_mixer.weights.formats import WeightsError, open_arrays
from keras_mixer.weights.layouts import GOOGLE, KERAS, LAYOUTS, PRE_LINEN, TIMM, recognize
from tests.support.layouts import in_layout
from tests.support.models import random_arrays, small_architecture, small_mixer

pytestmark = pytest.mark.backend("torch")  # files are read without a backend

ARCHITECTURE = small_architecture()

# Names and shapes as their programs write them, for two blocks (facts of the published files).
TIMM_SHAPES = {
    "stem.proj.weight": (16, 3, 4, 4),
    "stem.proj.bias": (16,),
    "blocks.1.norm1.weight": (16,),
    "blocks.1.norm1.bias": (16,),
    "blocks.1.mlp_tokens.fc1.weight": (8, 6),
    "blocks.1.mlp_tokens.fc1.bias": (8,),
    "blocks.1.mlp_tokens.fc2.weight": (6, 8),
    "blocks.1.mlp_tokens.fc2.bias": (6,),
    "blocks.1.norm2.weight": (16,),
    "blocks.1.norm2.bias": (16,),
    "blocks.1.mlp_channels.fc1.weight": (24, 16),
    "blocks.1.mlp_channels.fc1.bias": (24,),
    "blocks.1.mlp_channels.fc2.weight": (16, 24),
    "blocks.1.mlp_channels.fc2.bias": (16,),
    "norm.weight": (16,),
    "norm.bias": (16,),
    "head.weight": (5, 16),
    "head.bias": (5,),
}
PRE_LINEN_SHAPES = {
    "embedding/kernel": (4, 4, 3, 16),
    "embedding/bias": (16,),
    "Mixer/encoderblock_1/LayerNorm_0/scale": (16,),
    "Mixer/encoderblock_1/LayerNorm_0/bias": (16,),
    "Mixer/encoderblock_1/token_mixing_phase_0/kernel1": (6, 8),
    "Mixer/encoderblock_1/token_mixing_phase_0/bias1": (8,),
    "Mixer/encoderblock_1/token_mixing_phase_0/kernel2": (8, 6),
    "Mixer/encoderblock_1/token_mixing_phase_0/bias2": (6,),
    "Mixer/encoderblock_1/LayerNorm_1/scale": (16,),
    "Mixer/encoderblock_1/LayerNorm_1/bias": (16,),
    "Mixer/encoderblock_1/channel_mixing_phase_0/kernel1": (16, 24),
    "Mixer/encoderblock_1/channel_mixing_phase_0/bias1": (24,),
    "Mixer/encoderblock_1/channel_mixing_phase_0/kernel2": (24, 16),
    "Mixer/encoderblock_1/channel_mixing_phase_0/bias2": (16,),
    "Mixer/encoder_norm/scale": (16,),
    "Mixer/encoder_norm/bias": (16,),
    "head/kernel": (16, 5),
    "head/bias": (5,),
}


def read_all(path):
    with open_arrays(path) as arrays:
        file = recognize(arrays)
        file.check(ARCHITECTURE.shapes())
        return file, {name: file.read(name) for name in ARCHITECTURE.shapes()}


@pytest.fixture
def arrays():
    return random_arrays(ARCHITECTURE.shapes())


@pytest.mark.parametrize(
    "layout, shapes", [(TIMM, TIMM_SHAPES), (PRE_LINEN, PRE_LINEN_SHAPES)], ids=lambda x: ""
)
def test_names_and_shapes(layout, shapes, arrays):
    theirs = {name: array.shape for name, array in in_layout(layout, arrays).items()}
    first_block = {name: shape for name, shape in theirs.items() if name not in shapes}
    assert theirs.items() >= shapes.items()
    assert {name.replace("0", "1", 1) for name in first_block} < set(shapes)


def test_keras_names_are_those_in_files_of_keras(arrays, tmp_path):
    small_mixer().save_weights(tmp_path / "model.weights.h5")
    with open_arrays(tmp_path / "model.weights.h5") as file:
        assert file.shapes == {n: a.shape for n, a in in_layout(KERAS, arrays).items()}


@pytest.mark.parametrize("layout", [GOOGLE, TIMM, PRE_LINEN], ids=lambda layout: layout.name)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_reading(layout, suffix, arrays, tmp_path):
    path = tmp_path / f"model{suffix}"
    save = np.savez if suffix == ".npz" else lambda p, **a: safetensors.numpy.save_file(a, p)
    save(path, **in_layout(layout, arrays))
    file, found = read_all(path)
    assert file.layout is layout
    assert file.architecture == ARCHITECTURE
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_the_orientation_of_timm_is_that_of_pytorch(arrays):
    """PyTorch's convolution and linear layer compute the same with these arrays."""
    torch = pytest.importorskip("torch")
    theirs = {name: torch.tensor(array) for name, array in in_layout(TIMM, arrays).items()}
    pixels = np.random.default_rng(0).standard_normal((1, 4, 4, 3), dtype=np.float32)
    stem = torch.nn.functional.conv2d(
        torch.tensor(pixels).permute(0, 3, 1, 2),
        theirs["stem.proj.weight"],
        theirs["stem.proj.bias"],
    )
    ours = np.tensordot(pixels[0], arrays["stem/kernel"], 3) + arrays["stem/bias"]
    np.testing.assert_allclose(stem[0, :, 0, 0].numpy(), ours, rtol=1e-5, atol=1e-6)
    head = torch.nn.functional.linear(torch.tensor(ours), theirs["head.weight"])
    np.testing.assert_allclose(head.numpy(), ours @ arrays["head/kernel"], rtol=1e-5, atol=1e-6)


def test_old_numbers_and_axes_of_pre_linen_files(arrays, tmp_path):
    """Submodules were numbered together, and arrays of the MLPs had axes of length one."""
    theirs = {}
    for name, array in in_layout(PRE_LINEN, arrays).items():
        name = name.replace("LayerNorm_1", "LayerNorm_2").replace("token_mixing_phase_0", "t_1")
        name = name.replace("t_1", "token_mixing_phase_1")
        name = name.replace("channel_mixing_phase_0", "channel_mixing_phase_3")
        theirs[name] = array[None] if "phase" in name else array
    np.savez(tmp_path / "old.npz", **theirs)
    _, found = read_all(tmp_path / "old.npz")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("tree", ["params/", "opt/target/"])
@pytest.mark.parametrize("layout", [GOOGLE, PRE_LINEN], ids=lambda layout: layout.name)
def test_parameters_inside_a_training_state(tree, layout, arrays, tmp_path):
    state = {f"{tree}{name}": array for name, array in in_layout(layout, arrays).items()}
    state["opt/state/step"] = np.int32(3)  # the optimizer's, of any type
    np.savez(tmp_path / "state.npz", **state)
    _, found = read_all(tmp_path / "state.npz")
    np.testing.assert_array_equal(found["head/kernel"], arrays["head/kernel"])
    np.savez(tmp_path / "state.npz", **state, extra=np.float32(3))
    with pytest.raises(WeightsError, match="1 unexpected: extra"):
        read_all(tmp_path / "state.npz")
    name = layout.rename("head/bias")
    np.savez(tmp_path / "state.npz", **state, **{name: arrays["head/bias"]})
    with pytest.raises(WeightsError, match=f"1 unexpected: {name}"):
        read_all(tmp_path / "state.npz")


def test_two_arrays_of_one_number_in_a_pre_linen_file(arrays, tmp_path):
    theirs = in_layout(PRE_LINEN, arrays)
    name = PRE_LINEN.rename("MixerBlock_0/LayerNorm_0/bias")
    twice = name.replace("LayerNorm_0", "LayerNorm_00")
    assert twice not in theirs
    np.savez(tmp_path / "twice.npz", **theirs, **{twice: theirs[name]})
    with pytest.raises(WeightsError, match="does not hold a Mixer in a known layout"):
        read_all(tmp_path / "twice.npz")


def test_messages_use_the_names_in_the_file(arrays, tmp_path):
    theirs = in_layout(TIMM, arrays)
    del theirs["blocks.1.norm2.bias"]
    np.savez(tmp_path / "model.npz", **theirs)
    with pytest.raises(WeightsError, match="layout 'timm'.*1 missing: blocks.1.norm2.bias"):
        read_all(tmp_path / "model.npz")


def test_layouts_are_distinguishable(arrays):
    stems = [layout.rename("stem/kernel") for layout in LAYOUTS.values()]
    assert len(set(stems)) == len(LAYOUTS)
