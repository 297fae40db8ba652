"""Gradients on the running backend, as NumPy arrays."""

import keras
from keras import ops


def gradients(function, arguments, weights):
    """Return `function(*arguments)`, and the gradients of Σ weights · output by the arguments.

    Args:
        function: Function of tensors that returns a tensor.
        arguments: NumPy arrays.
        weights: NumPy array with the shape of the output.
    """
    weights = weights.astype("float32")
    if keras.backend.backend() == "jax":
        import jax

        output, pull_back = jax.vjp(function, *map(jax.numpy.asarray, arguments))
        found = pull_back(jax.numpy.asarray(weights))
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tensors = [tf.constant(a) for a in arguments]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            output = function(*tensors)
        found = tape.gradient(output, tensors, output_gradients=tf.constant(weights))
    else:
        import torch

        tensors = [torch.from_numpy(a.copy()).requires_grad_() for a in arguments]
        output = function(*tensors)
        found = torch.autograd.grad(output, tensors, torch.from_numpy(weights))
    return ops.convert_to_numpy(output), [ops.convert_to_numpy(g) for g in found]


def model_gradients(model, pixels, weights):
    """Return the gradients of Σ weights · output by the variables, `{canonical name: array}`."""
    variables = model.trainable_variables
    weights = weights.astype("float32")
    if keras.backend.backend() == "jax":
        import jax

        def output(values):
            state = [v.value for v in model.non_trainable_variables]
            return model.stateless_call(values, state, pixels)[0]

        _, pull_back = jax.vjp(output, [v.value for v in variables])
        (found,) = pull_back(jax.numpy.asarray(weights))
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            output = model(pixels)
        values = [v.value for v in variables]
        found = tape.gradient(output, values, output_gradients=tf.constant(weights))
    else:
        import torch

        output = model(pixels)
        found = torch.autograd.grad(output, [v.value for v in variables], torch.from_numpy(weights))
    return {
        v.path.replace("gamma", "scale").replace("beta", "bias"): ops.convert_to_numpy(g)
        for v, g in zip(variables, found, strict=True)
    }
