"""Keras's AdamW updates in many passes under PyTorch, and a subclass one variable at a time.

Seen in Keras 3.15.1. `TorchOptimizer.__new__` makes `keras.optimizers.AdamW()` an instance of a
private class that updates all variables at once; a subclass of the public class is not. The
private class passes over all weights ten times, with temporary copies of them, where PyTorch has
a fused update; and Keras clips the gradients one by one.
"""

from typing import Any

import keras


def adamw_base():
    """Return the class that Keras uses for AdamW under the current backend, fused on PyTorch."""
    base = type(keras.optimizers.AdamW())
    return _fused(base) if keras.backend.backend() == "torch" else base


def _fused(base: Any):
    """Return a subclass of Keras's class for PyTorch that updates and clips in few passes."""
    import torch

    class FusedAdamW(base):
        def _parallel_update_step(self, grads, variables, learning_rate):
            parameters = [variable.value for variable in variables]
            if parameters[0].device.type != "cpu" or self.amsgrad:
                return super()._parallel_update_step(grads, variables, learning_rate)
            indices = [self._get_variable_index(variable) for variable in variables]
            step = float(self.iterations) + 1
            # Keras adds ε before the correction of the bias, PyTorch after it.
            epsilon = self.epsilon / (1 - self.beta_2**step) ** 0.5
            torch._fused_adamw_(
                parameters,
                [gradient.contiguous() for gradient in grads],  # the kernel ignores strides
                [self._momentums[i].value for i in indices],
                [self._velocities[i].value for i in indices],
                [],
                [torch.tensor(step)] * len(indices),
                lr=float(learning_rate),
                beta1=self.beta_1,
                beta2=self.beta_2,
                weight_decay=0.0,  # `_apply_weight_decay` was called before
                eps=epsilon,
                amsgrad=False,
                maximize=False,
            )

        def _clip_gradients(self, grads):
            if not self.global_clipnorm:
                return super()._clip_gradients(grads)
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
            # NaN if the norm is not finite, as in Keras
            scale = (self.global_clipnorm / norm).clamp(max=1) + (norm - norm)
            return torch._foreach_mul(grads, scale)

    return FusedAdamW
