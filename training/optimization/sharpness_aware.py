"""Sharpness-Aware Minimization (Foret et al. 2021, arXiv 2010.01412)."""

import functools

import keras
from keras import ops

from training.keras_workarounds.replica_seeds import random_states
from training.keras_workarounds.torch_dropout import keep_generator
from training.optimization.replicas import number_of_replicas, sum_over_replicas

SMALLEST_NORM = 1e-12  # of a gradient, so that a gradient of 0 gives a step of 0


def sharpness_aware(model, rho):
    """Return `model`, or for a `rho` above 0 a `SharpnessAwareModel` with its layers."""
    if not rho:
        return model
    return SharpnessAwareModel(model.input, model.output, name=model.name, rho=rho)


def ascent(gradients, rho):
    """Return the step ε = ρ g / ‖g‖ for each gradient, with the norm over all of them."""
    # float32, so that scaled gradients of half precision do not overflow when squared.
    squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients]
    norm = ops.sqrt(ops.sum(ops.stack(squares)))
    scale = rho / ops.maximum(norm, SMALLEST_NORM)
    return [g * ops.cast(scale, g.dtype) for g in gradients]


class SharpnessAwareModel(keras.Model):
    """A model whose train step moves the weights w by the gradient at w + ρ g(w) / ‖g(w)‖.

    It computes two gradients, both with the same masks of dropout and stochastic depth, as in the
    authors' code: with other masks ε would ascend a different loss than the one whose gradient is
    taken at w + ε. The loss and the metrics are those at w.

    Clipping, weight decay, EMA and loss scaling happen in the optimizer and use the second
    gradient only; ε does not depend on the scale of the loss. With accumulation each batch has
    its own ε (m-sharpness, section 4.2).

    Args:
        rho: ρ, the length of ε.
    """

    def __init__(self, *args, rho, **kwargs):
        super().__init__(*args, **kwargs)
        self.rho = rho

    if keras.backend.backend() == "jax":

        def compute_loss_and_updates(self, trainable_variables, *args, training=False, **kwargs):
            import jax

            compute = functools.partial(
                super().compute_loss_and_updates, training=training, **kwargs
            )
            if not training:
                return compute(trainable_variables, *args)
            # Keras differentiates what is returned: ε counts as a constant (equation 3).
            here = jax.lax.stop_gradient(trainable_variables)
            gradients, at_here = jax.grad(compute, has_aux=True)(here, *args)
            steps = ascent(gradients, self.rho)
            there = [w + step for w, step in zip(trainable_variables, steps, strict=True)]
            loss, _ = compute(there, *args)
            return loss, at_here

    else:

        def train_step(self, data):
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
            weights = self.trainable_variables
            here = [ops.copy(w) for w in weights]
            seeds = random_states(self)
            states = [ops.copy(seed) for seed in seeds]

            with keep_generator():
                gradients, loss, y_pred = self._gradients(x, y, sample_weight)
            steps = ascent(sum_over_replicas(gradients), self.rho)
            for w, value, step in zip(weights, here, steps, strict=True):
                w.assign(value + step)
            for seed, state in zip(seeds, states, strict=True):
                seed.assign(state)
            gradients, _, _ = self._gradients(x, y, sample_weight)
            for w, value in zip(weights, here, strict=True):
                w.assign(value)

            self.optimizer.apply(gradients, weights)
            loss = loss * number_of_replicas()  # Keras divides it by that number
            self._loss_tracker.update_state(loss, sample_weight=ops.shape(x)[0])
            return self.compute_metrics(x, y, y_pred, sample_weight)

        def _gradients(self, x, y, sample_weight):
            """Return the gradients of the scaled loss, the loss, and the output."""

            def compute():
                y_pred = self(x, training=True)
                loss = self.compute_loss(x, y, y_pred, sample_weight, training=True)
                return self.optimizer.scale_loss(loss), loss, y_pred

            if keras.backend.backend() == "tensorflow":
                import tensorflow as tf

                with tf.GradientTape() as tape:
                    scaled, loss, y_pred = compute()
                return tape.gradient(scaled, self.trainable_variables), loss, y_pred

            import torch

            scaled, loss, y_pred = compute()
            gradients = torch.autograd.grad(scaled, [w.value for w in self.trainable_variables])
            return gradients, loss.detach(), y_pred.detach()
