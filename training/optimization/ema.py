"""Exponential moving average of the weights, which the optimizer computes."""

from keras import ops


def apply_ema(model):
    """Replace the weights of a model with their averages; its optimizer must have `use_ema`."""
    optimizer = model.optimizer
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of loss scaling
    averages = optimizer._model_variables_moving_average
    # Copies, because an evaluation under JAX takes over the memory of the variables it is given.
    for variable, average in zip(model.trainable_variables, averages, strict=True):
        variable.assign(ops.copy(average))
