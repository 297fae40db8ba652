"""The Keras backend: required before a command that needs it."""

import contextlib
import os
import signal

from training.errors import UserError

BACKENDS = ("tensorflow", "jax", "torch")


def require_backend():
    """Raise UserError unless the backend can be imported, and TensorFlow for tf.data."""
    chosen = os.environ.get("KERAS_BACKEND", "not set")
    try:
        with ctrl_c_ends_at_once():
            import keras
            import tensorflow  # noqa: F401

        chosen = keras.backend.backend()
        if chosen not in BACKENDS:
            raise ValueError("Keras cannot train on it")
    except (ImportError, ValueError) as error:
        raise UserError(
            "KERAS_BACKEND must be tensorflow, jax or torch, installed together with TensorFlow, "
            f"which reads the data. Received: {chosen}: {error}. Set it to one of these, or "
            'install what is missing, such as with `pip install -e ".[training,tensorflow,jax]"`.'
        ) from error


@contextlib.contextmanager
def ctrl_c_ends_at_once():
    """Return a context in which Ctrl-C ends the process at once; nothing can be saved in it.

    A KeyboardInterrupt would be lost in a callback, or in an import by JAX or TensorFlow, that
    swallows exceptions.
    """
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
