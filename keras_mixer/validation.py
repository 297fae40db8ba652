"""Checks of arguments, with one message for each rule.

`owner` and `name` are the layer or the model that a message speaks of.
"""

import difflib
import inspect
import numbers

import keras
import numpy as np

from keras_mixer.weights.numerics import is_value_range


def check_rate(owner, argument, rate):
    """Return `rate` as a float, or raise ValueError unless it is a probability below 1."""
    is_number = isinstance(rate, numbers.Real) and not isinstance(rate, bool)
    if not is_number or not 0 <= rate < 1:
        raise ValueError(
            f"{owner}: `{argument}` is the probability of dropping and must be a number, at least "
            f"0 and below 1. Received: {argument}={rate!r}. Pass 0.0 to drop nothing."
        )
    return float(rate)


def check_bool(owner, argument, value):
    """Return `value` as a bool, or raise ValueError unless it is one; 0 and 1 count as such."""
    if not isinstance(value, (numbers.Integral, np.bool_)) or value not in (0, 1):
        raise ValueError(
            f"{owner}: `{argument}` must be True or False. "
            f"Received: {argument}={value!r}. Pass one of the two."
        )
    return bool(value)


def check_bools(owner, **values):
    """Return the arguments as a dictionary of bools, each checked by `check_bool`."""
    return {argument: check_bool(owner, argument, value) for argument, value in values.items()}


def check_seed(owner, seed):
    """Return `seed` as an int or None, or raise ValueError unless it is one of these."""
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise ValueError(
            f"{owner}: `seed` must be an integer or None. Received: seed={seed!r}. "
            "Leave it out for a random seed."
        )
    return int(seed)


def check_positive_int(owner, argument, value):
    """Return `value` as an int, or raise ValueError unless it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(
            f"{owner}: `{argument}` must be a positive integer. "
            f"Received: {argument}={value!r}. Pass an integer of at least 1."
        )
    return int(value)


def check_positive_ints(owner, **values):
    """Return the arguments as a dictionary of ints, each checked by `check_positive_int`."""
    return {argument: check_positive_int(owner, argument, v) for argument, v in values.items()}


def check_name(name):
    """Raise ValueError unless Keras can name a model `name`."""
    if name is not None and (not isinstance(name, str) or "/" in name):
        raise ValueError(
            f"keras_mixer: `name` must be a string without '/'. Received: name={name!r}. "
            "Pass a name such as 'my_mixer', or leave it out."
        )


def reject_unknown(constructor, unknown):
    """Raise ValueError if a call has keyword arguments that `constructor` does not have."""
    for argument, value in unknown.items():
        known = [
            parameter.name
            for parameter in inspect.signature(constructor).parameters.values()
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        near = difflib.get_close_matches(argument, known, n=1)
        advice = f"Did you mean `{near[0]}`?" if near else f"It knows {', '.join(known)}."
        raise ValueError(
            f"{constructor.__name__}: `{argument}` is not an argument. "
            f"Received: {argument}={value!r}. {advice}"
        )


def reject_fixed(constructor, size, unknown):
    """Raise ValueError if a call of a variant has one of the dimensions of its `MixerSize`."""
    for argument in sorted(size.dimensions.keys() & unknown.keys()):
        raise ValueError(
            f"{constructor.__name__}: `{argument}` is fixed at {size.dimensions[argument]} by the "
            f"variant. Received: {argument}={unknown[argument]!r}. Use keras_mixer.MlpMixer for "
            "other sizes."
        )


def check_patch_size(name, patch_size):
    """Return `patch_size` as (height, width)."""
    if not isinstance(patch_size, (tuple, list)):
        patch_size = (patch_size, patch_size)
    if len(patch_size) != 2:
        raise ValueError(
            f"{name}: `patch_size` must be one integer or (height, width), in pixels. "
            f"Received: patch_size={patch_size!r}. Pass an integer for square patches."
        )
    return tuple(check_positive_int(name, "patch_size", side) for side in patch_size)


def check_top(name, include_top, pooling, classes, classifier_activation):
    """Return `classes`, or raise ValueError unless the arguments about the head agree."""
    check_bool(name, "include_top", include_top)
    _check_activation(name, classifier_activation)
    if not isinstance(pooling, (str, type(None))) or pooling not in (None, "avg", "max"):
        raise ValueError(
            f"{name}: `pooling` must be None, 'avg' or 'max'. Received: pooling={pooling!r}. "
            "Use 'avg' for the features that the head would see."
        )
    if include_top and pooling is not None:
        raise ValueError(
            f"{name}: `pooling` applies to a model without head only. Received: "
            f"pooling={pooling!r} with include_top=True. Pass include_top=False, or leave "
            "`pooling` out (the head averages over the patches)."
        )
    if classes is None:
        return None
    if not include_top:
        raise ValueError(
            f"{name}: `classes` is the size of the head. Received: classes={classes!r} with "
            "include_top=False. Leave `classes` out, or pass include_top=True."
        )
    return check_positive_int(name, "classes", classes)


def _check_activation(name, activation):
    """Raise ValueError unless `classifier_activation` is one that Keras knows, or a function."""
    try:
        if inspect.isclass(activation):
            raise ValueError("a class")
        keras.activations.get(activation)
    except (ValueError, TypeError) as error:  # whatever Keras cannot interpret
        near = difflib.get_close_matches(str(activation), ("softmax", "sigmoid", "linear"), n=1)
        advice = f"Did you mean {near[0]!r}?" if near else "Pass 'softmax', 'sigmoid' or None."
        raise ValueError(
            f"{name}: `classifier_activation` must be None, the name of an activation of Keras or "
            f"a function. Received: classifier_activation={activation!r}. {advice}"
        ) from error


def check_numerics(name, approximate_gelu, value_range, include_preprocessing=True):
    """Validate `approximate_gelu` and `value_range`; raise ValueError."""
    check_bool(name, "include_preprocessing", include_preprocessing)
    if not isinstance(approximate_gelu, (bool, type(None))):
        raise ValueError(
            f"{name}: `approximate_gelu` must be True (tanh), False (erf) or None. Received: "
            f"approximate_gelu={approximate_gelu!r}. Leave it out to follow the weights."
        )
    if value_range is None:
        return
    if not is_value_range(value_range):
        raise ValueError(
            f"{name}: `value_range` must be (low, high), two finite numbers with low < high. "
            f"Received: value_range={value_range!r}. Pass (-1, 1) or (0, 1), or leave it out."
        )
    if not include_preprocessing:
        raise ValueError(
            f"{name}: `value_range` is the range that the preprocessing inside the model scales "
            f"to. Received: value_range={value_range!r} with include_preprocessing=False. "
            "Scale the images yourself, or leave one of the two out."
        )


def check_shape(name, input_shape):
    """Return `input_shape` as a tuple, or raise ValueError."""
    is_shape = isinstance(input_shape, (tuple, list))
    if not is_shape or len(input_shape) != 3:
        advice = "Pass three integers, such as (224, 224, 3)."
        if is_shape and len(input_shape) == 4:
            advice = f"Leave out the batch: {tuple(input_shape[1:])}."
        raise ValueError(
            f"{name}: `input_shape` must be (height, width, channels). "
            f"Received: input_shape={input_shape!r}. {advice}"
        )
    if None in input_shape:
        raise ValueError(
            f"{name}: `input_shape` must be a fixed size, since the token-mixing weights depend on "
            f"the number of patches. Received: input_shape={input_shape!r}. Resize images to one "
            "size, and pass it: (224, 224, 3)."
        )
    return tuple(
        check_positive_int(name, f"input_shape[{axis}]", size)
        for axis, size in enumerate(input_shape)
    )


def check_input_tensor(name, input_tensor, include_preprocessing):
    """Raise ValueError unless `input_tensor` is a symbolic batch of images."""
    is_symbolic = keras.utils.is_keras_tensor(input_tensor)
    # A tensor that comes from no layer is its own source.
    if not is_symbolic or keras.utils.get_source_inputs(input_tensor) is input_tensor:
        raise ValueError(
            f"{name}: `input_tensor` must be one symbolic Keras tensor, the output of a layer. "
            f"Received: input_tensor of type {type(input_tensor).__name__}. Make one with "
            "`keras.Input(shape)`, or build the model without it and call the model on your data."
        )
    if len(input_tensor.shape) != 4:
        raise ValueError(
            f"{name}: `input_tensor` must be a batch of images, (batch, height, width, channels). "
            f"Received: input_tensor of shape {input_tensor.shape}. Reshape it first."
        )
    kinds = ("float", "bfloat", "int", "uint") if include_preprocessing else ("float", "bfloat")
    if input_tensor.dtype.rstrip("0123456789") not in kinds:
        raise ValueError(
            f"{name}: `input_tensor` must have a dtype that the model computes with: floating, or "
            "integer with include_preprocessing=True. Received: input_tensor of dtype "
            f"{input_tensor.dtype}. Convert it: keras.ops.cast(tensor, 'float32')."
        )


def check_image_shape(name, shape, patch_size, include_preprocessing):
    """Raise ValueError unless images of `shape`, without the batch, can be cut into patches."""
    height, width, channels = shape
    if None in shape:
        raise ValueError(
            f"{name}: the image size must be fixed, since the token-mixing weights depend on the "
            f"number of patches. Received: images of shape {shape}. Resize to one size first."
        )
    divisible = height % patch_size[0] == 0 and width % patch_size[1] == 0
    scalable = not include_preprocessing or channels in (1, 3)
    if height in (1, 3) and channels not in (1, 3) and not (divisible and scalable):
        raise ValueError(
            f"{name}: images must have their channels last, whatever `image_data_format` is. "
            f"Received: images of shape {shape}, which look like channels first. Pass "
            f"input_shape={(width, channels, height)}, and transpose the images with "
            "keras.ops.transpose(images, (0, 2, 3, 1))."
        )
    if not divisible:
        nearest = [
            max(round(s / p), 1) * p for s, p in zip((height, width), patch_size, strict=True)
        ]
        raise ValueError(
            f"{name}: `input_shape` must be divisible by the patch, {patch_size[0]} × "
            f"{patch_size[1]} pixels. Received: images of {height} × {width} pixels. "
            f"Resize or crop to a multiple, such as {nearest[0]} × {nearest[1]}."
        )
    if not scalable:
        raise ValueError(
            f"{name}: `include_preprocessing=True` takes images of 1 (grayscale) or 3 (RGB) "
            f"channels. Received: images of {channels} channels. Pass "
            "include_preprocessing=False and scale the values to [-1, 1] yourself."
        )
