"""Parameters, FLOPs and memory of Mixers, Vision Transformers and ResNets, from their equations.

A network is a list of operations, and its cost is their sum. The accounting:

* FLOPs are those of matrix products and convolutions, where a multiplication and an addition are
  two. Products with the zeros of padding do not count, as in XLA. Norms, activations, additions and
  the update of the weights do not count either: less than 2 % of what XLA counts, except in models
  as narrow as vit-tiny/4 and resnet-tiny. The backward pass of a training step has twice the FLOPs
  of inference, a product for the gradient of each operand, but no gradient of the pixels.
* Activation memory is what the backward pass reads: the inputs of products, of norms, of GELU and
  of max pooling, the outputs of ReLU and softmax, each tensor once. Statistics of norms, at most
  two numbers per token, do not count, and neither do the loss, weights and gradients. The attention
  weights are kept; FlashAttention (arXiv 2205.14135) would compute them again.
* The peak of inference is the largest memory of the tensors that exist at the same time.
  Activation functions, additions and softmax write in place.
"""

import dataclasses
from collections.abc import Callable, Iterator

from keras_mixer.sizes import SIZES, MixerSize
from training.config.study_models import EXPANSION, RESNETS, VITS, ResnetSize, VitSize

FLOAT32_BYTES = 4
MODELS: dict[str, MixerSize | VitSize | ResnetSize] = {**SIZES, **VITS, **RESNETS}


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation on one image.

    Args:
        parameters: Number of weights.
        multiplications: Of its matrix product.
        kept_values: Values that only the backward pass of this operation reads.
        live_values: Values that exist while it is computed, with those of a residual stream. 0 for
            an operation in place, which never sets the peak.
        input_gradient: Whether the backward pass computes the gradient of the input.
    """

    parameters: int = 0
    multiplications: int = 0
    kept_values: int = 0
    live_values: int = 0
    input_gradient: bool = True


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a model for one image; memory in float32.

    Args:
        parameters: Number of weights.
        inference_flops: Of matrix products.
        training_flops: Of matrix products in a training step.
        activation_bytes: What the backward pass reads.
        inference_peak_bytes: Largest memory of activations in inference.
    """

    parameters: int
    inference_flops: int
    training_flops: int
    activation_bytes: int
    inference_peak_bytes: int


def cost(size, image_size, channels=3, classes=1000):
    """Return the `Cost` of a model.

    Args:
        size: A `MixerSize`, `VitSize` or `ResnetSize`.
        image_size: Side of the square images in pixels, for patches a multiple of theirs.
        channels: Number of channels of the images.
        classes: Number of classes.

    Raises:
        ValueError: If the patches do not divide the image.
    """
    operations = list(_OPERATIONS[type(size)](size, image_size, channels, classes))
    forward = sum(op.multiplications for op in operations)
    gradients = sum((1 + op.input_gradient) * op.multiplications for op in operations)
    return Cost(
        parameters=sum(op.parameters for op in operations),
        inference_flops=2 * forward,
        training_flops=2 * (forward + gradients),
        activation_bytes=FLOAT32_BYTES * sum(op.kept_values for op in operations),
        inference_peak_bytes=FLOAT32_BYTES * max(op.live_values for op in operations),
    )


def patches_of(size, image_size):
    """Return S, the number of patches of a square image; raise ValueError if they do not fit."""
    side, rest = divmod(image_size, size.patch_size)
    if rest:
        raise ValueError(
            f"image_size must be a multiple of the patch size, {size.patch_size} pixels. "
            f"Received: {image_size}. Pass {max(1, side) * size.patch_size}."
        )
    return side**2


def attention_dominates_from(size):
    """Return the number of tokens at which attention has half of the FLOPs of a ViT's blocks.

    A block of n tokens of width D has 4 n² D FLOPs in the products of queries, keys and values, and
    8 n D² + 4 n D M in its dense layers, with M units in the MLP. They are equal for n = 2 D + M.

    Args:
        size: A `VitSize`.
    """
    return 2 * size.hidden_dim + size.mlp_dim


def _mixer(size: MixerSize, image_size: int, channels: int, classes: int) -> Iterator[Operation]:
    """Yield the operations of `keras_mixer.mixer` (equation 1 of the Mixer's paper)."""
    patches, width = patches_of(size, image_size), size.hidden_dim
    yield _stem(patches, channels * size.patch_size**2, width)
    for _ in range(size.num_blocks):
        yield _layer_norm(patches, width)
        yield from _mlp(width, patches, size.tokens_mlp_dim)
        yield _layer_norm(patches, width)
        yield from _mlp(patches, width, size.channels_mlp_dim)
    yield _layer_norm(patches, width)
    yield _dense(1, width, classes)  # of the mean over the patches


def _vit(size: VitSize, image_size: int, channels: int, classes: int) -> Iterator[Operation]:
    """Yield the operations of `training.studies.models.vit` (equations 1 to 4 of its paper)."""
    patches, width = patches_of(size, image_size), size.hidden_dim
    tokens = patches + 1  # with the class token
    yield _stem(patches, channels * size.patch_size**2, width)
    yield Operation(parameters=width + tokens * width)  # class token and positions
    for _ in range(size.num_blocks):
        yield _layer_norm(tokens, width)
        yield from _attention(tokens, width, size.num_heads)
        yield _layer_norm(tokens, width)
        yield from _mlp(tokens, width, size.mlp_dim)
    yield _layer_norm(tokens, width)
    yield _dense(1, width, classes)  # of the class token


def _resnet(size: ResnetSize, image_size: int, channels: int, classes: int) -> Iterator[Operation]:
    """Yield the operations of `training.studies.models.resnet` (BiT, arXiv 1912.11370)."""
    kernel, side = 7 if size.stem == "large" else 3, _halved(image_size)
    yield _convolution(image_size, kernel, 2, channels, size.width, input_gradient=False)
    if size.stem == "large":
        pooled = _halved(side)
        values = side**2 * size.width
        yield Operation(kept_values=values, live_values=values + pooled**2 * size.width)
        side = pooled
    inputs = size.width
    for stage, blocks in enumerate(size.blocks):
        width = size.width * 2**stage
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            yield from _bottleneck(side, stride, inputs, width, project=block == 0)
            side, inputs = -(-side // stride), EXPANSION * width
    yield _group_norm(side, inputs)
    yield Operation(kept_values=side**2 * inputs)  # ReLU
    yield _dense(1, inputs, classes)  # of the mean over the positions


_OPERATIONS: dict[type, Callable[..., Iterator[Operation]]] = {
    MixerSize: _mixer,
    VitSize: _vit,
    ResnetSize: _resnet,
}


def _bottleneck(side, stride, inputs, width, project):
    """Yield the operations of a block; the shortcut exists during all of its branch."""
    after, outputs = -(-side // stride), EXPANSION * width
    shortcut = after**2 * outputs
    yield _group_norm(side, inputs)
    if project:  # of the same input as the next convolution
        yield dataclasses.replace(_convolution(side, 1, stride, inputs, outputs), kept_values=0)
    yield _convolution(side, 1, 1, inputs, width, shortcut)
    yield _group_norm(side, width)
    yield _convolution(side, 3, stride, width, width, shortcut)
    yield _group_norm(after, width)
    yield _convolution(after, 1, 1, width, outputs, shortcut)


def _stem(patches, pixels, width):
    return dataclasses.replace(_dense(patches, pixels, width), input_gradient=False)


def _mlp(rows, width, hidden):
    """Yield the operations of an MLP in a residual branch."""
    yield _dense(rows, width, hidden, beside=rows * width)
    yield Operation(kept_values=rows * hidden)  # GELU
    yield _dense(rows, hidden, width, beside=rows * width)


def _attention(tokens, width, heads):
    """Yield the operations of self-attention in a residual branch."""
    values, weights = tokens * width, heads * tokens**2
    yield Operation(  # queries, keys and values: with the stream and their input, five tensors
        3 * (width + 1) * width, 3 * values * width, kept_values=values, live_values=5 * values
    )
    yield Operation(  # queries and keys
        0, tokens * values, kept_values=2 * values, live_values=4 * values + weights
    )
    yield Operation(  # weights after softmax, and values
        0, tokens * values, kept_values=values + weights, live_values=3 * values + weights
    )
    yield _dense(tokens, width, width, beside=values)


def _dense(rows, inputs, outputs, beside=0):
    return Operation(
        parameters=(inputs + 1) * outputs,
        multiplications=rows * inputs * outputs,
        kept_values=rows * inputs,
        live_values=beside + rows * (inputs + outputs),
    )


def _convolution(side, kernel, stride, inputs, outputs, beside=0, input_gradient=True):
    """Return a convolution without a bias, of a square image padded by half the kernel."""
    after = -(-side // stride)
    return Operation(
        parameters=kernel**2 * inputs * outputs,
        multiplications=_taps(side, kernel, stride) ** 2 * inputs * outputs,
        kept_values=side**2 * inputs,
        live_values=beside + side**2 * inputs + after**2 * outputs,
        input_gradient=input_gradient,
    )


def _taps(side, kernel, stride):
    """Return the number of products of an element of the kernel and a pixel, along one axis."""
    half = kernel // 2
    return sum(
        min(center + half, side - 1) - max(center - half, 0) + 1
        for center in range(0, side, stride)
    )


def _layer_norm(rows, width):
    """Return LayerNorm; its input, the residual stream, stays."""
    return Operation(2 * width, kept_values=rows * width, live_values=2 * rows * width)


def _group_norm(side, width):
    """Return GroupNorm; within a block, the convolution before it needs more memory."""
    values = side**2 * width
    return Operation(2 * width, kept_values=values, live_values=2 * values)


def _halved(side):
    return -(-side // 2)
