"""Subclasses of Keras's AdamW update one variable at a time under PyTorch.

Seen in Keras 3.15.1 (`TorchOptimizer.__new__`): `keras.optimizers.AdamW()` is an instance of a
private class that updates all variables at once. A subclass of the public class is not, and is
slower.
"""

import keras


def adamw_base():
    """Return the class that Keras uses for AdamW under the current backend."""
    return type(keras.optimizers.AdamW())
