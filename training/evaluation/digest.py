"""Digest of a model, and of what else the results that are kept in files depend on."""

import hashlib
import json

import keras
import numpy as np


def digest_of(model, *contents):
    """Return a digest of the weights and the configuration of a model, the backend and `contents`.

    The states of random generators, which are among the variables of a model, do not count.

    Args:
        model: A Keras model.
        *contents: Values that JSON can hold.
    """
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).data)
    own = (json.dumps(model.get_config(), default=str), keras.backend.backend())
    digest.update(json.dumps([*own, *contents]).encode())
    return digest.hexdigest()[:16]
