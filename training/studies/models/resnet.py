"""ResNet of BiT (Kolesnikov et al. 2020, arXiv 1912.11370), to compare with MLP-Mixer.

images → stem → stages of pre-activation bottleneck blocks → mean over positions → logits. This is
ResNet-v2 (He et al. 2016, arXiv 1603.05027) with GroupNorm instead of BatchNorm, and with weight
standardization. Pixels and the zero head are those of `keras_mixer`.
"""

import math

import keras
from keras import ops

from training.config.study_models import EXPANSION
from training.studies.models.registration import PACKAGE

GROUPS = 32  # of GroupNorm, where the number of channels is a multiple of it
GROUP_NORM_EPSILON = 1e-5
KERNEL_VARIANCE_EPSILON = 1e-10
CHANNELS_LAST = "channels_last"


@keras.saving.register_keras_serializable(PACKAGE)
class WeightStandardizedConv2D(keras.layers.Conv2D):
    """Convolution whose kernel has mean 0 and variance 1 for each filter (arXiv 1903.10520).

    The stored kernel is standardized at each call, in float32 or better under every policy.
    """

    def add_weight(self, *args, name=None, **kwargs):
        # Keras would cast the kernel to half precision before it is standardized.
        return super().add_weight(*args, name=name, autocast=name != "kernel", **kwargs)

    def convolution_op(self, inputs, kernel):
        kernel = ops.cast(kernel, keras.backend.result_type(kernel.dtype, "float32"))
        kernel = kernel - ops.mean(kernel, axis=(0, 1, 2))
        variance = ops.mean(ops.square(kernel), axis=(0, 1, 2))  # (filters,)
        kernel = kernel * ops.rsqrt(variance + KERNEL_VARIANCE_EPSILON)
        return super().convolution_op(inputs, ops.cast(kernel, inputs.dtype))


def build_resnet(size, image_size, channels=3, classes=1000, dtype=None):
    """Build a ResNet as a plain `keras.Model` of logits for pixels in [0, 255], channels last.

    Args:
        size: A `training.config.study_models.ResnetSize`.
        image_size: Side of the square images in pixels.
        channels: Number of channels of the images.
        classes: Number of classes.
        dtype: Keras dtype or policy. Scaling of pixels, mean over positions and head are in
            float32.
    """
    images = keras.Input((image_size, image_size, channels))
    x = keras.layers.Rescaling(2 / 255, offset=-1, name="preprocessing", dtype="float32")(images)
    x = _stem(x, size, dtype)  # (batch, height, width, size.width)
    for stage, blocks in enumerate(size.blocks):
        for block in range(blocks):
            strides = 2 if stage > 0 and block == 0 else 1
            name = f"stage_{stage}_block_{block}"
            x = _block(x, size.width * 2**stage, strides, block == 0, name, dtype)
    x = _norm_relu(x, "pre_head", dtype)
    x = keras.layers.GlobalAveragePooling2D(CHANNELS_LAST, name="avg_pool", dtype="float32")(x)
    outputs = keras.layers.Dense(
        classes,
        kernel_initializer="zeros",
        name="head",
        dtype="float32",
    )(x)  # (batch, classes)
    return keras.Model(images, outputs, name="resnet")


def _stem(x, size, dtype):
    if size.stem == "small":
        return _conv(x, size.width, 3, 2, "stem", dtype)  # half the height and width
    x = _conv(x, size.width, 7, 2, "stem", dtype)  # half the height and width
    x = _pad(x, 1, "stem_pool", dtype)
    return keras.layers.MaxPooling2D(
        3, strides=2, data_format=CHANNELS_LAST, name="stem_pool", dtype=dtype
    )(x)  # a quarter of the height and width


def _block(x, width, strides, project, name, dtype):
    """Return x + f(x) for a bottleneck f: three convolutions, each after GroupNorm and ReLU.

    This is full pre-activation (figure 4e of He et al. 2016). With `project`, a 1 × 1 convolution
    of the first activations replaces the shortcut x. As in BiT, the 3 × 3 convolution has the
    stride.
    """
    y = _norm_relu(x, f"{name}_0", dtype)
    if project:
        x = _conv(y, EXPANSION * width, 1, strides, f"{name}_projection", dtype)
    y = _conv(y, width, 1, 1, f"{name}_conv_0", dtype)
    y = _norm_relu(y, f"{name}_1", dtype)
    y = _conv(y, width, 3, strides, f"{name}_conv_1", dtype)
    y = _norm_relu(y, f"{name}_2", dtype)
    y = _conv(y, EXPANSION * width, 1, 1, f"{name}_conv_2", dtype)
    return keras.layers.Add(name=f"{name}_add", dtype=dtype)([x, y])


def _conv(x, filters, kernel_size, strides, name, dtype):
    if strides > 1 and kernel_size > 1:
        # "same" pads an even side on the right only, unlike BiT.
        x = _pad(x, kernel_size // 2, name, dtype)
    return WeightStandardizedConv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same" if strides == 1 else "valid",
        use_bias=False,
        kernel_initializer="lecun_normal",
        data_format=CHANNELS_LAST,
        name=name,
        dtype=dtype,
    )(x)


def _pad(x, pixels, name, dtype):
    """Pad each side with zeros."""
    return keras.layers.ZeroPadding2D(pixels, CHANNELS_LAST, name=f"{name}_pad", dtype=dtype)(x)


def _norm_relu(x, name, dtype):
    """Apply GroupNorm and ReLU. The number of groups is gcd(32, channels), so that it divides."""
    x = keras.layers.GroupNormalization(
        math.gcd(GROUPS, x.shape[-1]),
        epsilon=GROUP_NORM_EPSILON,
        name=f"{name}_group_norm",
        dtype=dtype,
    )(x)
    return keras.layers.ReLU(name=f"{name}_relu", dtype=dtype)(x)
