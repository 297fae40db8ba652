"""The update of the weights: Keras's AdamW, and momentum SGD as the authors' code has it."""

import functools
from typing import Any

import keras
from keras import ops

from training.keras_workarounds.accumulated_updates import CountUpdates
from training.keras_workarounds.replica_gradients import SumGradientsFirst
from training.keras_workarounds.torch_adamw import adamw_base

_Replicas: Any = SumGradientsFirst if keras.backend.backend() == "tensorflow" else object


class ScaledLearningRates(CountUpdates, _Replicas):
    """Mixin for an optimizer whose learning rate can differ between the variables.

    The weight decay is multiplied by the learning rate, and so scaled as well.

    Args:
        scale_of: Function from a variable to a factor of its learning rate; 1 for all if None.
    """

    weight_decay: float | None  # of Keras's optimizers

    def __init__(self, *args, scale_of=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.scale_of = scale_of or (lambda variable: 1.0)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        gradients = {id(v): g for v, g in zip(trainable_variables, grads, strict=True)}
        for scale, group in self._by_scale(trainable_variables).items():
            super()._backend_update_step(
                [gradients[id(v)] for v in group], group, learning_rate * scale
            )

    def _apply_weight_decay(self, variables):
        weight_decay = self.weight_decay
        if not weight_decay:
            return
        # Keras multiplies the weight decay by the learning rate: scaling one of them scales both.
        decaying = [v for v in variables if self._use_weight_decay(v)]
        for scale, group in self._by_scale(decaying).items():
            self.weight_decay = weight_decay * scale
            super()._apply_weight_decay(group)
        self.weight_decay = weight_decay

    def _by_scale(self, variables):
        groups: dict[float, list] = {}
        for variable in variables:
            groups.setdefault(self.scale_of(variable), []).append(variable)
        return groups

    def finalize_variable_values(self, var_list):
        """Keep the weights: a run calls `fit` several times, and applies the EMA once, at its end.

        Keras replaces the weights by their averages after each `fit`.
        """


class Momentum(ScaledLearningRates, keras.optimizers.Optimizer):
    """Momentum SGD as in optax, which the authors used: b = μb + g, then w = w - ηb.

    Keras's SGD has the learning rate inside the sum, m = μm - ηg and w = w + m, so that a gradient
    keeps the learning rate of its own step. With a constant learning rate both are the same.

    Args:
        momentum: μ.
    """

    def __init__(self, learning_rate, momentum=0.9, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.buffers = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient, variable, learning_rate):
        buffer = self.buffers[self._get_variable_index(variable)]
        gradient = ops.cast(gradient, variable.dtype)
        self.assign(buffer, buffer * self.momentum + gradient)
        self.assign_sub(variable, buffer * ops.cast(learning_rate, variable.dtype))


@functools.cache
def adamw_class():
    """Return Keras's AdamW with `ScaledLearningRates`."""
    return type("AdamW", (ScaledLearningRates, adamw_base()), {})
