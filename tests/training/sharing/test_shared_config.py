import json

import numpy as np
import pytest

from keras_mixer.convert import convert
from keras_mixer.sizes import SIZES
from keras_mixer.weights.architecture import Architecture
from keras_mixer.weights.formats import open_arrays
from keras_mixer.weights.load import open_weights
from keras_mixer.weights.numerics import Numerics
from tests.support.models import architecture_of, random_arrays, small_architecture
from training.sharing.shared_config import SharedConfig

pytestmark = pytest.mark.backend("torch")  # no backend is involved


class Opened:
    """What `SharedConfig.of` reads of `OpenedWeights`, for sizes too large to be written."""

    def __init__(self, architecture, grid, numerics=None):
        self.file = type("File", (), {"architecture": architecture})
        self.classes, self.grid = architecture.classes, grid
        self.numerics = numerics or Numerics(True, (-1.0, 1.0))


def config_of(size="B/16", image_size=224, transform="resmall-crop", **changes):
    architecture = architecture_of(SIZES[size], image_size, **changes)
    side = image_size // SIZES[size].patch_size
    return SharedConfig.of(Opened(architecture, (side, side)), transform, "softmax")


def timm_shapes(entries):
    """Return `{name: shape}` of the model that timm builds from a configuration.

    From timm's documented rules alone: the name fixes patch, width and depth; `mlp_ratio` times the
    width, rounded down, is the hidden width of both MLPs; images are those of `input_size`.
    """
    fixed = {"s32": (32, 512, 8), "s16": (16, 512, 8), "b32": (32, 768, 12)}
    fixed |= {"b16": (16, 768, 12), "l32": (32, 1024, 24), "l16": (16, 1024, 24)}
    patch, width, depth = fixed[entries["architecture"].split("_")[1]]
    channels, height, image_width = entries["pretrained_cfg"]["input_size"]
    tokens = (height // patch) * (image_width // patch)
    ratios = entries.get("model_args", {}).get("mlp_ratio", (0.5, 4.0))
    hidden = [int(ratio * width) for ratio in ratios]
    shapes = {
        "stem.proj.weight": (width, channels, patch, patch),
        "head.weight": (entries["num_classes"], width),
        "norm.weight": (width,),
        f"blocks.{depth - 1}.mlp_tokens.fc1.weight": (hidden[0], tokens),
        f"blocks.{depth - 1}.mlp_channels.fc2.weight": (width, hidden[1]),
    }
    return shapes | {name.replace("weight", "bias"): shape[:1] for name, shape in shapes.items()}


@pytest.fixture
def weights(tmp_path):
    """Return a function that opens weights as `share` writes them."""

    def write(**changes):
        arrays = random_arrays(small_architecture(**changes).shapes())
        np.savez(tmp_path / "mixer.npz", **arrays)
        target = tmp_path / "model.safetensors"
        convert(tmp_path / "mixer.npz", target, image_size=(8, 12), overwrite=True)
        return open_weights(target)

    return write


@pytest.mark.parametrize("size", ["S/32", "S/16", "B/32", "B/16", "L/32", "L/16"])
def test_timm_builds_the_same_arrays(size):
    config = config_of(size, classes=10)
    entries = config.entries([])
    assert config.constructor == SIZES[size].constructor_name
    assert "model_args" not in entries
    of_timm = timm_shapes(entries)
    architecture = architecture_of(SIZES[size], classes=10)
    assert of_timm["stem.proj.weight"][0] == architecture.hidden_dim
    assert of_timm["head.weight"] == (10, architecture.hidden_dim)
    last = f"blocks.{architecture.num_blocks - 1}"
    assert of_timm[f"{last}.mlp_tokens.fc1.weight"] == (
        architecture.tokens_mlp_dim,
        architecture.num_patches,
    )
    assert of_timm[f"{last}.mlp_channels.fc2.bias"] == (architecture.hidden_dim,)


def test_timm_loads_the_file_of_the_smallest(tmp_path):
    """The names and shapes in a file, compared with those that timm builds."""
    architecture = architecture_of(SIZES["S/32"], 64, classes=3, tokens_mlp_dim=36)
    arrays = {name: np.zeros(shape, "float32") for name, shape in architecture.shapes().items()}
    np.savez(tmp_path / "mixer.npz", **arrays)
    convert(tmp_path / "mixer.npz", tmp_path / "model.safetensors")
    with open_weights(tmp_path / "model.safetensors") as opened:
        entries = SharedConfig.of(opened, "resmall-crop", "softmax").entries([])
    with open_arrays(tmp_path / "model.safetensors") as written:
        for name, shape in timm_shapes(json.loads(json.dumps(entries))).items():
            assert written.shapes[name] == shape


@pytest.mark.parametrize("tokens_mlp_dim", [384, 1536, 385, 1, 767])
def test_other_hidden_widths_are_arguments_of_timm(tokens_mlp_dim):
    entries = config_of("B/16", 448, tokens_mlp_dim=tokens_mlp_dim).entries([])
    assert timm_shapes(entries)["blocks.11.mlp_tokens.fc1.weight"] == (tokens_mlp_dim, 784)
    assert timm_shapes(entries)["blocks.11.mlp_channels.fc2.weight"] == (768, 3072)


@pytest.mark.parametrize("hidden_dim", [7, 49, 93, 1000])
def test_hidden_widths_survive_timms_rounding(hidden_dim):
    for mlp_dim in range(1, 300):
        architecture = Architecture((4, 4), 3, hidden_dim, 1, 4, mlp_dim, 300 - mlp_dim, 10)
        config = SharedConfig.of(Opened(architecture, (2, 2)), "resize", "softmax")
        ratios = config.timm_arguments()["mlp_ratio"]
        assert [int(ratio * hidden_dim) for ratio in ratios] == [mlp_dim, 300 - mlp_dim]


def test_block_diagonal_weights_have_the_constructor_of_their_variant():
    assert config_of("B/16", 448, tokens_mlp_dim=1536).constructor == "MixerB16"
    assert config_of("B/16", 448).constructor == "MixerB16"
    assert config_of("B/16", 448, tokens_mlp_dim=768).constructor == "MlpMixer"
    assert config_of("S/8").constructor == "MixerS8"
    assert config_of("H/14").constructor == "MixerH14"


@pytest.mark.parametrize("size", ["S/8", "H/14"])
def test_sizes_that_timm_does_not_have_say_nothing_to_it(size):
    assert config_of(size).entries([]).keys() == {"num_classes", "keras_mixer"}


@pytest.mark.parametrize(
    "transform, expected",
    [
        ("timm-bilinear", ("bilinear", 0.875, "center")),
        ("timm-bicubic", ("bicubic", 0.875, "center")),
        ("resmall-crop", ("bicubic", 0.875, "center")),
        ("resize-crop", ("bicubic", 0.875, "squash")),
        ("resize", ("bilinear", 1.0, "squash")),
    ],
)
def test_the_transform_in_timms_words(transform, expected):
    pretrained = config_of(transform=transform).entries([])["pretrained_cfg"]
    found = tuple(pretrained[key] for key in ("interpolation", "crop_pct", "crop_mode"))
    assert found == expected
    if transform.startswith("timm"):
        entries = {"pretrained_cfg": pretrained}
        opened = Opened(architecture_of(SIZES["B/16"]), (14, 14))
        assert SharedConfig.from_entries(entries, opened).transform == transform


@pytest.mark.parametrize("value_range, mean, std", [((-1, 1), 0.5, 0.5), ((0, 1), 0, 1)])
def test_the_range_of_pixels_in_timms_words(value_range, mean, std):
    architecture = Architecture((4, 4), 1, 512, 8, 4, 256, 2048, 10)
    opened = Opened(architecture_of(SIZES["S/32"], channels=1), (7, 7))
    opened.numerics = Numerics(False, value_range)
    pretrained = SharedConfig.of(opened, "resize", "softmax").entries([])["pretrained_cfg"]
    assert (pretrained["mean"], pretrained["std"]) == ([mean], [std])
    assert pretrained["input_size"] == [1, 224, 224]
    assert "pretrained_cfg" not in SharedConfig.of(
        Opened(architecture, (2, 2)), "resize", "softmax"
    ).entries([])


def test_it_survives_json(weights):
    with weights() as opened:
        config = SharedConfig.of(opened, "resize", "sigmoid")
        entries = json.loads(json.dumps(config.entries(["a"])))
        assert SharedConfig.from_entries(entries, opened) == config
    assert config.input_shape == (8, 12, 3)
    assert (config.constructor, config.classes) == ("MlpMixer", 5)


CHANGES = {
    "a later version": ("version", 2),
    "an unknown constructor": ("constructor", "eval"),
    "another constructor": ("constructor", "MixerB16"),
    "no sizes": ("size", None),
    "other sizes": ("size.hidden_dim", 10**12),
    "a negative size": ("size.num_blocks", -1),
    "another image": ("input_shape", [80_000, 80_000, 3]),
    "more classes": ("classes", 10**9),
    "another GELU": ("approximate_gelu", False),
    "a GELU that is text": ("approximate_gelu", "no"),
    "another range": ("value_range", [0, 1]),
    "a range that is not finite": ("value_range", [float("nan"), float("inf")]),
    "an unknown transform": ("transform", "os.system"),
    "an unknown activation": ("activation", "lambda"),
    "an unknown field": ("auto_map", "modeling.py"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_is_not_of_the_weights_is_refused(weights, kind):
    field, value = CHANGES[kind]
    with weights() as opened:
        entries = json.loads(json.dumps(SharedConfig.of(opened, "resize", "softmax").entries([])))
        part = entries["keras_mixer"]
        *outer, last = field.split(".")
        for name in outer:
            part = part[name]
        part[last] = value
        with pytest.raises(ValueError, match=field.split(".")[0]):
            SharedConfig.from_entries(json.loads(json.dumps(entries)), opened)
        del part[last]
        if last != "auto_map":
            with pytest.raises(ValueError, match=f"{last} is missing"):
                SharedConfig.from_entries(entries, opened)


def test_every_constructor_is_a_function_of_the_library():
    import keras_mixer

    for size in SIZES:
        assert callable(getattr(keras_mixer, config_of(size).constructor))
