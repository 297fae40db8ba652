"""The Keras backend: required before a command that needs it."""

import os

from keras_mixer.terminal import ctrl_c_ends_at_once
from training.errors import UserError

BACKENDS = ("tensorflow", "jax", "torch")


def require_backend():
    """Raise UserError unless the backend can be imported, and TensorFlow for tf.data."""
    chosen = os.environ.get("KERAS_BACKEND") or "not set"
    try:
        with ctrl_c_ends_at_once():
            import keras
            import tensorflow  # noqa: F401

        chosen = keras.backend.backend()
        if chosen not in BACKENDS:
            raise ValueError("Keras cannot train on it")
    except Exception as error:  # Keras raises many kinds for a keras.json that is not its own
        raise UserError(
            "KERAS_BACKEND must be tensorflow, jax or torch, installed together with TensorFlow, "
            f"which reads the data. Received: {chosen}: {error}. Set it to one of these; or "
            'install what is missing, such as with `pip install -e ".[training,tensorflow,jax]"`; '
            "or correct keras.json, the settings of Keras in KERAS_HOME or ~/.keras."
        ) from error


def require_jax(command):
    """Raise UserError unless the backend is JAX, for a command that compiles its steps."""
    import keras

    if keras.backend.backend() != "jax":
        raise UserError(
            f"KERAS_BACKEND must be jax for `{command}`, which compiles JAX's training step. "
            f"Received: {keras.backend.backend()}. Set it to jax for this command."
        )
