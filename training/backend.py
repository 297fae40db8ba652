"""The backend, Keras's own choice."""

import contextlib
import os
import signal

from training.errors import UserError

BACKENDS = ("tensorflow", "jax", "torch")


def require_backend():
    """Raise UserError unless Keras finds its backend, and TensorFlow for tf.data."""
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
            "KERAS_BACKEND must be tensorflow, jax or torch, and installed together with "
            f"TensorFlow, which reads the data. Received: {chosen}: {error}. "
            "Install what is missing, such as by `pip install -e .[tensorflow,jax]`."
        ) from error


@contextlib.contextmanager
def ctrl_c_ends_at_once():
    """Let the system end the process, for what has nothing to save.

    A KeyboardInterrupt is lost where it meets a callback or an import of JAX or TensorFlow that
    drops exceptions.
    """
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
