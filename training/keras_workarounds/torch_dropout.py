"""Keras's dropout ignores the seed of its layer under PyTorch.

Seen in Keras 3.15.1 (`backend/torch/random.py`): a dropout layer without an explicit `seed`
samples from PyTorch's global generator. `keras.utils.set_random_seed` does not make its masks a
function of the layer's state, which a checkpoint holds. `training.run.callbacks.torch_seeding`
seeds that generator before each batch.
"""

import contextlib

import keras


def keep_generator():
    """Return a context after which PyTorch's global generator is where it was before."""
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.random.fork_rng()
