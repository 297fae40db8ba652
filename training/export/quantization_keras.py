"""Quantization of the dense layers of a Mixer by Keras, `model.quantize`."""

import contextlib

import keras
import numpy as np
from keras import ops, quantizers

from keras_mixer import MixerBlock
from training.errors import UserError
from training.export.calibration import as_calibration_array
from training.keras_workarounds.calibration_calls import calibration_through_call
from training.keras_workarounds.saved_zero_points import save_zero_points

CALIBRATED = ("gptq", "awq")  # modes that need images
GROUP = (
    128  # inputs that share a scale, of 4-bit weights; Keras 3.15.1 fails if it is not 2^n <= 128
)
FLOAT8_LARGEST = 448.0  # of the format e4m3, which float8 rounds weights and inputs to


def quantize_keras(model, mode, images=None, group_size=GROUP):
    """Quantize the dense layers of a model in place.

    | mode | weights | activations | calibration |
    |---|---|---|---|
    | `int8` | int8, one scale per output | int8, one scale per token, at run time | none |
    | `int8-weights` | int8, one scale per output | float | none |
    | `int4` | int4, one scale per group | float | none |
    | `float8` | rounded to e4m3, kept in float | rounded to e4m3 | optional |
    | `gptq` | 4 bits, one scale per group, rounded to keep the outputs | float | images |
    | `awq` | 4 bits, one scale per group, inputs scaled by their magnitude | float | images |

    The convolution of the stem stays in float: Keras quantizes dense layers only.

    Args:
        model: A built Keras model that is not quantized yet.
        mode: A row of the table.
        images: For `gptq` and `awq`, and optionally `float8`: pixels in [0, 255], of the training
            split, as `as_calibration_array` takes them.
        group_size: Inputs that share a scale in `int4`, `gptq` and `awq`.

    Raises:
        UserError: If the mode is unknown, the model quantized, or the images do not fit.
    """
    _require_float(model)
    shape = model.input_shape[1:]
    if mode in CALIBRATED or (mode == "float8" and images is not None):
        images = as_calibration_array(images, shape)
    if mode in CALIBRATED:
        return _calibrate_blocks(model, mode, images, group_size)
    configs = {
        "int8": quantizers.Int8QuantizationConfig,
        "int8-weights": lambda: quantizers.Int8QuantizationConfig(activation_quantizer=None),
        "int4": lambda: quantizers.Int4QuantizationConfig(block_size=group_size),
        "float8": quantizers.Float8QuantizationConfig,
    }
    if mode not in configs:
        raise UserError(
            f"The mode must be one of {', '.join([*configs, *CALIBRATED])}. Received: {mode}. "
            "Pass int8, for example."
        )
    largest = _largest_inputs(model, images) if mode == "float8" and images is not None else {}
    config = configs[mode]()
    model.quantize(config.mode, config=config, filters=_is_dense)
    if mode == "float8":
        _scale_float8(model, largest)
    return None


def _is_dense(layer):
    """Select what Keras can quantize, so that it does not warn about every other layer."""
    return isinstance(layer, keras.layers.Dense)


def dense_layers(model):
    """Return the dense layers of a model, in the order in which they were created."""
    return [layer for layer in model._flatten_layers() if _is_dense(layer)]


def _require_float(model):
    modes = {layer.quantization_mode for layer in dense_layers(model)} - {None}
    if modes:
        raise UserError(
            "The model must not be quantized yet. Received: a model in mode "
            f"{', '.join(sorted(modes))}. Pass the model as it was before quantization."
        )


def _calibrate_blocks(model, mode, images, group_size):
    """Quantize a Mixer block by block, each with what the blocks before it compute.

    Keras calibrates language models: it reads integers from one long list of them, and looks them
    up in the first of `pre_block_layers`. Here the integers are the numbers of the images.
    """
    number = len(images)
    options = {
        "dataset": [np.arange(number, dtype=np.int32)],
        "tokenizer": _unused,  # of texts; Keras requires one for numbers, too
        "num_samples": number,
        "sequence_length": 1,
        "group_size": group_size,
        "quantization_layer_structure": quantization_structure(model, images),
    }
    config = {"gptq": quantizers.GPTQConfig, "awq": quantizers.AWQConfig}[mode](**options)
    with calibration_through_call(dense_layers(model)), _without_progress():
        model.quantize(mode, config=config, filters=_is_dense)
    # The layers keep the configuration and save it. The images and layers are no part of it.
    config.dataset = config.tokenizer = config.quantization_layer_structure = None
    save_zero_points(dense_layers(model))


def quantization_structure(model, images):
    """Return the order in which Keras calibrates a Mixer, for `GPTQConfig` and `AWQConfig`.

    Args:
        model: A Mixer: stem, `MixerBlock`s and head.
        images: Pixels, `(number, height, width, channels)`. Keras passes the number of an image.

    Raises:
        UserError: If the model has no Mixer blocks.
    """
    blocks = [layer for layer in model.layers if isinstance(layer, MixerBlock)]
    if not blocks:
        raise UserError(
            "MODEL must be a Mixer to be calibrated block by block. Received: a model without "
            "MixerBlock layers of its own. Pass int8 or int4, which need no order of layers."
        )
    stem = keras.Model(model.input, blocks[0].input)
    head = keras.Model(blocks[-1].output, model.output)  # Keras wants to quantize its Dense, too

    def find_image(index):
        return ops.convert_to_tensor(images[ops.convert_to_numpy(index).reshape(-1)])

    return {"pre_block_layers": [find_image, stem], "sequential_blocks": [*blocks, head]}


def _unused(text):
    raise AssertionError(f"numbers of images need no tokenizer, not even {text!r}")


def _scale_float8(model, largest_inputs):
    """Use the whole range of float8; Keras starts at scale 1, and learns others in training."""
    for layer in dense_layers(model):
        largest_weight = float(np.abs(ops.convert_to_numpy(layer.kernel)).max())
        for scale, largest in (
            (layer.kernel_scale, largest_weight),
            (layer.inputs_scale, largest_inputs.get(layer)),
        ):
            if largest:  # a layer of zeros keeps scale 1
                scale.assign(largest / FLOAT8_LARGEST)


@contextlib.contextmanager
def _without_progress():
    """Keep Keras's progress bar from the output of commands."""
    was_enabled = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if was_enabled:
            keras.config.enable_interactive_logging()


def _largest_inputs(model, images):
    """Return the largest magnitude of the inputs of each dense layer, `{layer: value}`."""
    layers = dense_layers(model)
    largest = dict.fromkeys(layers, 0.0)
    originals = {layer: layer.call for layer in layers}

    def observe(layer):
        def call(inputs, *args, **kwargs):
            value = float(ops.convert_to_numpy(ops.max(ops.abs(inputs))))
            largest[layer] = max(largest[layer], value)
            return originals[layer](inputs, *args, **kwargs)

        return call

    try:
        for layer in layers:
            layer.call = observe(layer)
        for image in images:
            model(image[None], training=False)
    finally:
        for layer in layers:
            del layer.call
    return largest
