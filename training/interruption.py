"""Ctrl-C during training, wherever it comes."""

import signal
import threading

import keras


class Interruption(keras.callbacks.Callback):
    """Context and callback that let no ctrl-C of `model.fit` get lost.

    The signal raises KeyboardInterrupt at once, as ever; but where JAX's runtime is calling back
    into Python, that exception is dropped, and the training would go on. Then it is raised again
    after the batch.
    """

    def __init__(self):
        super().__init__()
        self._is_requested = False

    def __enter__(self):
        # Only the main thread may handle signals; others are never interrupted.
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._previous)

    def _interrupt(self, *_):
        self._is_requested = True
        raise KeyboardInterrupt

    def on_train_batch_end(self, batch, logs=None):
        if self._is_requested:
            raise KeyboardInterrupt
