"""How one update moves the weights: Keras's AdamW and the authors' momentum SGD, set right."""

import functools
from typing import Any

import keras
from keras import ops

from training.optimization.replicas import EachReplicaUpdates

_Replicas: Any = EachReplicaUpdates if keras.backend.backend() == "tensorflow" else object


class Corrections(_Replicas):
    """What Keras's optimizers lack, over any of them and under every backend.

    With `gradient_accumulation_steps`, Keras asks the schedule by batches and averages the
    weights after every batch; here both count updates. At the end of each `fit` Keras takes the
    averages for the weights; here `training.optimization.ema.apply_ema` does, when the
    training is over. And the learning rate, with the decay that it multiplies, can differ between
    the variables.

    Args:
        scale_of: Function from a variable to a factor of its learning rate; 1 for all if None.
    """

    weight_decay: float | None  # of Keras's optimizers

    def __init__(self, *args, scale_of=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.scale_of = scale_of or (lambda variable: 1.0)

    def _get_current_learning_rate(self):
        return self._learning_rate(self.iterations)

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
        # Keras multiplies the two factors, so that scaling one of them scales both.
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

    def _update_model_variables_moving_average(self, trainable_variables):
        steps = self.gradient_accumulation_steps or 1
        is_update = ops.equal((self._iterations + 1) % steps, 0)
        # The average begins at the weights after the first update, as Keras has it.
        kept = ops.where(is_update, self.ema_momentum, 1.0)
        kept = ops.where(ops.equal(self.iterations, 0), 0.0, kept)
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            share = ops.cast(kept, variable.dtype)
            average.assign(share * average + (1 - share) * variable)

    def finalize_variable_values(self, var_list):
        """Leave the weights: a run is several calls of `fit`, and only its end takes averages."""


class Momentum(Corrections, keras.optimizers.Optimizer):
    """Momentum SGD as the authors have it, by optax: b = μb + g, then w = w - ηb.

    Keras's SGD keeps the learning rate inside the sum, m = μm - ηg and w = w + m, so that a
    gradient goes on at the rate of its own time. Where the rate is constant both are the same.

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
    """Return Keras's AdamW with the `Corrections`."""
    # Under torch, Keras makes an AdamW of a class that moves all variables at once; a subclass of
    # the public name alone would move them one by one.
    return type("AdamW", (Corrections, type(keras.optimizers.AdamW())), {})
