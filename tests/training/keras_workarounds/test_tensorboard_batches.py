"""TensorBoard works after each batch. If the test of Keras fails, the workaround can go."""

import keras
import pytest

from tests.support import optimization as reference
from training.keras_workarounds.tensorboard_batches import EpochsOnlyTensorBoard

pytestmark = pytest.mark.backend("torch")


@pytest.mark.parametrize(
    "kind, calls", [(keras.callbacks.TensorBoard, 5), (EpochsOnlyTensorBoard, 0)]
)
def test_calls_after_batches(tmp_path, kind, calls):
    names = []

    class Spy(kind):
        def on_train_begin(self, logs=None):
            super().on_train_begin(logs)
            scalar = self.summary.scalar
            self.summary.scalar = lambda name, *a, **k: names.append(name) or scalar(name, *a, **k)

        def on_train_end(self, logs=None):
            super().on_train_end(logs)
            del self.summary.scalar

    x, y = reference.batches(5)
    callback = Spy(tmp_path, update_freq="epoch")
    reference.fit(reference.settings(), x, y, callbacks=[callback])
    assert names.count("batch_loss") == calls
    assert "epoch_loss" in names
