"""What users change inside a Mixer, such as frozen, quantized or LoRA layers, is saved with it."""

import functools
import itertools

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy as to_numpy
from keras.quantizers import Int4QuantizationConfig, Int8QuantizationConfig

import keras_mixer
from tests.support.models import SMALL_IMAGE, random_pixels, randomize, small_mixer

pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
BACKEND = keras.backend.backend()
PIXELS = random_pixels((4, *SMALL_IMAGE)).astype("float32")
LABELS = np.random.default_rng(0).standard_normal((4, 2)).astype("float32")


def freeze(*paths):
    """Return a function that freezes layers of a Mixer; those after None are thawed again."""

    def change(mixer):
        trainable = False
        for path in paths:
            if path is None:
                trainable = True
            else:
                layer(mixer, path).trainable = trainable

    return change


def layer(mixer, path):
    name, *attributes = path.split(".")
    return functools.reduce(getattr, attributes, mixer.get_layer(name) if name else mixer)


def dense_layers(mixer):
    return [x for x in mixer._flatten_layers() if isinstance(x, keras.layers.Dense)]


def enable_lora(mixer):
    for dense in dense_layers(mixer):
        dense.enable_lora(2, lora_alpha=3)
        dense.lora_kernel_b.assign(np.full(dense.lora_kernel_b.shape, 0.1))


def quantize(*arguments, **keywords):
    return lambda mixer: mixer.quantize(*arguments, **keywords)


def both(*changes):
    return lambda mixer: [change(mixer) for change in changes]


FREEZE = {
    "whole": freeze(""),
    "block": freeze("MixerBlock_0"),
    "MLP": freeze("MixerBlock_0.token_mixing"),
    "dense": freeze("MixerBlock_0.channel_mixing.dense_1", "MixerBlock_0.layer_norm_0"),
    "all but a part": freeze("MixerBlock_0", None, "MixerBlock_0.token_mixing.dense_0"),
}
QUANTIZE = {
    "int8": quantize("int8"),
    "int8, weights only": quantize(config=Int8QuantizationConfig(activation_quantizer=None)),
    "int4": quantize("int4"),
    "int4, blocks of 4": quantize(config=Int4QuantizationConfig(block_size=4)),
    "float8": quantize("float8"),
}
LORA = {"LoRA": enable_lora}
MIXED = {
    "int8, frozen": both(QUANTIZE["int8, weights only"], FREEZE["MLP"]),
    "frozen, LoRA": both(FREEZE["block"], enable_lora),
    "LoRA, frozen": both(enable_lora, FREEZE["dense"]),
    "int8, LoRA": both(QUANTIZE["int8"], enable_lora),
}
CHANGES = {**FREEZE, **QUANTIZE, **LORA, **MIXED}


def sequential(mixer):
    return keras.Sequential(
        [keras.Input(SMALL_IMAGE), mixer, keras.layers.Dense(2, name="top")], name="nest"
    )


def functional(mixer):
    images = keras.Input(SMALL_IMAGE)
    return keras.Model(images, keras.layers.Dense(2, name="top")(mixer(images)))


def alone(mixer):
    return keras.Model(mixer.input, keras.layers.Dense(2, name="top")(mixer.output))


NESTS = (sequential, functional, alone)


def changed(change, nest=sequential, **arguments):
    keras.utils.set_random_seed(0)
    mixer = small_mixer(include_top=False, pooling="avg", num_blocks=1, **arguments)
    randomize(mixer)
    CHANGES[change](mixer)
    return nest(mixer)


def by_name(variables):
    """Return variables by their path, which starts with a Sequential only until it is loaded."""
    return {variable.path.removeprefix("nest/"): to_numpy(variable) for variable in variables}


def assert_equal(ones, others):
    assert sorted(ones) == sorted(others)
    for name, one in ones.items():
        np.testing.assert_array_equal(one, others[name], err_msg=name)


def step(model):
    """Take one step; return the loss and the new weights."""
    return {"loss": model.train_on_batch(PIXELS, LABELS), **by_name(model.weights)}


@pytest.mark.parametrize("change, nest", list(zip(CHANGES, itertools.cycle(NESTS), strict=False)))
def test_a_loaded_model_trains_as_before(change, nest, tmp_path):
    model = changed(change, nest)
    eager = (BACKEND, change) != ("tensorflow", "float8")  # faster, but float8 needs a graph there
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", run_eagerly=eager)
    step(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")

    assert sorted(by_name(loaded.trainable_weights)) == sorted(by_name(model.trainable_weights))
    for one, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))
    if change == "int8, LoRA":  # Keras merges LoRA into the kernel, which it quantizes again
        return
    np.testing.assert_array_equal(to_numpy(loaded(PIXELS)), to_numpy(model(PIXELS)))
    if "LoRA" not in change:  # which starts again
        assert_equal(step(loaded), step(model))


def test_loaded_lora_trains(tmp_path):
    """Keras sets both factors to zero, where neither has a gradient."""
    loaded = through_file(changed("LoRA", alone), tmp_path)
    loaded.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
    for _ in range(2):
        loaded.train_on_batch(PIXELS, LABELS)
    for variable in loaded.trainable_weights:
        assert to_numpy(variable).any(), variable.path


def through_file(model, path):
    model.save(path / "model.keras")
    return keras.saving.load_model(path / "model.keras")


def through_json(model, path):
    return keras.models.model_from_json(model.to_json())


def through_config(model, path):
    return type(model).from_config(model.get_config())


def clone(model, path):
    return keras.models.clone_model(model)


@pytest.mark.parametrize("change", [*FREEZE, "int8, frozen"])
@pytest.mark.parametrize("copy", [through_json, through_config, clone])
def test_a_copy_has_the_same_trainable_weights(copy, change, tmp_path):
    model = changed(change, functional)
    copied = copy(model, tmp_path)
    assert by_name(copied.trainable_weights).keys() == by_name(model.trainable_weights).keys()
    copied.set_weights(model.get_weights())
    np.testing.assert_allclose(to_numpy(copied(PIXELS)), to_numpy(model(PIXELS)), atol=1e-6)


def dtype_map(default=None):
    policies = keras.dtype_policies.DTypePolicyMap(default)
    paths = "LayerNorm_0", "token_mixing/.*", "channel_mixing/Dense_0"
    for path in [*(f"MixerBlock_0/{path}" for path in paths), "pre_head_layer_norm"]:
        policies[path] = "mixed_bfloat16"
    return policies


def dtypes(model):
    return {x.name: (x.compute_dtype, x.variable_dtype) for x in model._flatten_layers()}


@pytest.mark.parametrize("copy", [through_file, clone])
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", dtype_map(), dtype_map("mixed_float16")])
def test_a_copy_has_the_same_dtypes(dtype, copy, tmp_path):
    model = changed("MLP", dtype=dtype)
    mixer = model.layers[0]
    for path in (
        "MixerBlock_0.layer_norm_0",
        "MixerBlock_0.token_mixing.dense_1",
        "MixerBlock_0.channel_mixing.dense_0",
        "pre_head_layer_norm",
    ):
        assert layer(mixer, path).compute_dtype == "bfloat16", path
    copied = copy(model, tmp_path)
    assert dtypes(copied) == dtypes(model)
    copied.set_weights(model.get_weights())
    np.testing.assert_array_equal(to_numpy(copied(PIXELS)), to_numpy(model(PIXELS)))


@pytest.mark.parametrize("path", ["MixerBlock_0", "MixerBlock_0/stochastic_depth"])
def test_a_block_may_have_another_dtype_than_the_layers_inside(path):
    """The exact path of a block in a map is not that of the layers inside."""
    policies = keras.dtype_policies.DTypePolicyMap("float32")
    policies[path] = "mixed_bfloat16"
    block = keras_mixer.MixerBlock(3, 5, 0.5, name="MixerBlock_0", dtype=policies)
    block.build((None, 6, 4))  # so that its path is known
    tokens = np.ones((2, 6, 4), "float32")
    for training in (False, True):
        output = block(tokens, training=training)
        assert keras.backend.standardize_dtype(output.dtype) == block.compute_dtype


def tokens_model(block):
    return keras.Sequential([keras.Input((6, 4)), block], name="nest")


def test_a_map_of_dtypes_is_read_once(tmp_path):
    """The path of a layer starts with the name of a Sequential, but not in a loaded one."""
    policies = keras.dtype_policies.DTypePolicyMap()
    policies["nest/block/channel_mixing/Dense_0"] = "mixed_bfloat16"
    policies["block/channel_mixing/Dense_1"] = "mixed_float16"  # of no layer
    model = tokens_model(keras_mixer.MixerBlock(3, 5, name="block", dtype=policies))
    mlp = model.layers[0].channel_mixing
    assert [mlp.dense_0.compute_dtype, mlp.dense_1.compute_dtype] == ["bfloat16", "float32"]
    mlp = through_file(model, tmp_path).layers[0].channel_mixing
    assert [mlp.dense_0.compute_dtype, mlp.dense_1.compute_dtype] == ["bfloat16", "float32"]


def test_files_of_0_1_0_have_quantized_layers_in_a_map():
    config = keras_mixer.MixerBlock(3, 5, name="block").get_config()
    policies = {"token_mixing/Dense_1": keras.dtype_policies.get("int8_from_float32")}
    old = keras.dtype_policies.DTypePolicyMap(keras.dtype_policies.get("float32"), policies)
    block = keras_mixer.MixerBlock.from_config(
        {**config, "dtype": keras.dtype_policies.serialize(old)}
    )
    block.build((None, 6, 4))
    modes = [dense.quantization_mode for dense in dense_layers(block)]
    assert sorted(modes, key=str) == [None, None, None, "int8"]
    assert block.token_mixing.dense_1.quantization_mode == "int8"
    again = keras_mixer.MixerBlock.from_config(block.get_config())
    again.build((None, 6, 4))
    assert [dense.quantization_mode for dense in dense_layers(again)] == modes


@pytest.mark.parametrize(
    "make", [keras_mixer.MlpBlock, functools.partial(keras_mixer.MixerBlock, 3)]
)
@pytest.mark.parametrize("before_build", [True, False])
def test_a_frozen_layer_can_be_thawed(make, before_build):
    block = make(5, trainable=False)
    assert "sublayers" not in block.get_config()
    block = type(block).from_config(block.get_config())
    if before_build:
        block.trainable = True
    model = tokens_model(block)
    if not before_build:
        assert not model.trainable_weights
        block.trainable = True
    assert len(model.trainable_weights) == len(model.weights) > 0


@pytest.mark.backend("torch")
def test_an_unchanged_layer_has_no_more_configuration():
    block = tokens_model(keras_mixer.MixerBlock(3, 5)).layers[0]
    assert "sublayers" not in block.get_config()
    block.trainable = False
    assert "sublayers" not in block.get_config()
    block.token_mixing.trainable = True
    assert block.get_config()["sublayers"] == {"token_mixing": {"trainable": True}}


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "sublayers, message",
    [
        ({"dense": {}}, "must name layers inside: .*token_mixing/Dense_0.* Received: 'dense'"),
        ({"LayerNorm_0": {"call": 1}}, "can change trainable, .* Received: call=1"),
    ],
)
def test_unknown_changes_are_refused(sublayers, message):
    config = {**keras_mixer.MixerBlock(3, 5).get_config(), "sublayers": sublayers}
    with pytest.raises(ValueError, match=f"MixerBlock: `sublayers` {message}"):
        keras_mixer.MixerBlock.from_config(config)
