"""TensorBoard works after each batch. If the test of Keras fails, the workaround can go."""

import keras
import pytest

from tests.support import optimization as reference
from training.keras_workarounds.tensorboard_batches import EpochsOnlyTensorBoard


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "kind, calls", [(keras.callbacks.TensorBoard, 5), (EpochsOnlyTensorBoard, 0)]
)
def test_calls_after_batches(tmp_path, monkeypatch, kind, calls):
    import tensorflow.summary

    names, scalar = [], tensorflow.summary.scalar

    def spy(name, *arguments, **options):
        names.append(name)
        return scalar(name, *arguments, **options)

    monkeypatch.setattr(tensorflow.summary, "scalar", spy)
    x, y = reference.batches(5)
    tensorboard = kind(tmp_path, update_freq="epoch")
    reference.fit(reference.settings(warmup_steps=0), x, y, callbacks=[tensorboard])
    assert names.count("batch_loss") == calls
    assert "epoch_loss" in names
