import keras
import numpy as np

from tests.support import optimization as reference
from training.optimization.ema import apply_ema
from training.run.callbacks.evaluate_ema import EvaluateEma


class Watch(keras.callbacks.Callback):
    """Records the weights before, during and after the validation."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append([])

    def on_test_begin(self, logs=None):
        self.seen[-1].append(self.model.get_weights())

    on_epoch_end = on_test_end = lambda self, *_, **__: self.on_test_begin()


def test_the_average_is_validated_and_the_weights_are_unchanged():
    chosen = reference.settings(ema_momentum=0.8, warmup_steps=0)
    x, y = reference.batches(10)
    before, inside = Watch(), Watch()

    def train(callbacks, **validation):
        model = reference.keras_model()
        made = reference.optimizer(chosen, reference.learning_rate_schedule(chosen, 20, 4))
        model.compile(made, reference.loss_function(chosen))
        record = model.fit(
            x,
            y,
            batch_size=4,
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
            **validation,
        )
        return model, record.history

    # The callbacks are called in order: the first sees the weights before they are replaced.
    model, history = train([before, EvaluateEma(), inside], validation_data=(x, y))
    alone, _ = train([])
    for variable, other in zip(model.weights, alone.weights, strict=True):
        np.testing.assert_array_equal(np.array(variable), np.array(other))

    rates = reference.rates(chosen, 20)
    twice = [np.concatenate([a, a]) for a in (x, y)]
    for epoch in (0, 1):
        updates = 10 * (epoch + 1)
        weights, averages, _ = reference.train(chosen, *twice, rates[:updates])
        paths = [variable.path for variable in model.weights]
        for path, own, average, later in zip(
            paths, before.seen[epoch][0], inside.seen[epoch][0], inside.seen[epoch][2], strict=True
        ):
            np.testing.assert_allclose(own, weights[path], atol=1e-5)
            np.testing.assert_allclose(average, averages[path], atol=1e-5)
            np.testing.assert_array_equal(later, own)  # bitwise
        loss, _ = reference.loss_and_gradients(averages, x, y)
        np.testing.assert_allclose(history["val_loss"][epoch], loss, rtol=1e-5)
    assert reference.largest_error(model, weights) < reference.LARGEST_ERROR
    assert reference.largest_error(model, averages) > 1e-3
    apply_ema(model)
    assert reference.largest_error(model, averages) < reference.LARGEST_ERROR
    model.predict_on_batch(x)
    for average in model.optimizer._model_variables_moving_average:
        assert np.isfinite(np.array(average)).all()  # not consumed by the prediction
