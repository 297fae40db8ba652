"""Convolution that projects patches to tokens."""

import keras
from keras import ops

from keras_mixer import kernels


@keras.saving.register_keras_serializable("keras_mixer")
class Conv2D(keras.layers.Conv2D):
    """Keras's convolution, which is one matrix product if the patches do not overlap.

    That is so in a Mixer, whose stem has strides of the kernel's size ("per-patch fully-connected"
    in figure 1 of the paper). `keras_mixer.kernels` then computes the product in the backend's
    fastest way. Any other convolution is computed by Keras.

    It has the name of Keras's class, which is part of the names in a `.weights.h5` file.
    """

    def convolution_op(self, inputs, kernel):
        if self._has_separate_patches():
            return kernels.convolve_patches(inputs, ops.convert_to_tensor(kernel))
        return super().convolution_op(inputs, kernel)

    def _has_separate_patches(self):
        return (
            self.strides == self.kernel_size
            and self.padding == "valid"
            and self.data_format == "channels_last"
            and self.dilation_rate == (1, 1)
            and self.groups == 1
        )
