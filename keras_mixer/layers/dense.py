"""Dense layer that still trains after it was saved with LoRA."""

import keras
from keras import ops

from keras_mixer import kernels


class Dense(keras.layers.Dense):
    """Dense layer of Keras with a bias and without an activation, computed by `kernels.linear`.

    Keras merges LoRA into the kernel when it saves a layer, and then sets both factors to zero,
    from which neither has a gradient. Here the first one starts at random, as in a new LoRA.
    """

    def call(self, inputs, training=None):
        kernel, bias = map(ops.convert_to_tensor, (self.kernel, self.bias))
        return kernels.linear(inputs, kernel, bias)

    def load_own_variables(self, store):
        super().load_own_variables(store)
        if self.lora_enabled:
            initialize = keras.initializers.HeUniform()  # Keras's default
            self.lora_kernel_a.assign(initialize(self.lora_kernel_a.shape, "float32"))

    def quantize(self, mode=None, type_check=True, config=None):
        # Keras does not quantize subclasses, which may compute something else. This one does not.
        super().quantize(mode, type_check=False, config=config)
