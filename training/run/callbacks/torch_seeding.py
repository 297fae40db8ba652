"""Callback that makes PyTorch's random numbers a function of the seed and the batch."""

import keras


class TorchSeeding(keras.callbacks.Callback):
    """Seed PyTorch's global generator before each batch; do nothing on other backends.

    Keras's dropout samples from that generator, and not from the seed of its layer, which is in
    the checkpoint: see `training.keras_workarounds.torch_dropout`. Each new iterator over the
    images also samples from it.

    Args:
        run: The `training.run.ongoing.OngoingRun`.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_train_batch_begin(self, batch, logs=None):
        if keras.backend.backend() == "torch":
            import torch

            torch.manual_seed((self.run.config.seed << 31) + self.run.progress.batches)
