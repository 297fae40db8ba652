import numpy as np
import pytest

from tests.support.speed import BATCH, small_task
from training.benchmarks import speed_contestants

CLASSES = (*speed_contestants.ours(), *speed_contestants.opponents())


@pytest.fixture(scope="module")
def expected():
    """Logits, and loss and weights in two steps, of the library's model."""
    return results_of(speed_contestants.Ours, small_task())


def results_of(cls, task):
    contestant = cls(task, task.random_weights())
    images, labels = task.random_images(3 * BATCH), task.random_labels(BATCH)
    logits = contestant.inference(images, BATCH)()
    step = contestant.training(images[:BATCH], labels)
    losses = [step(), step()]
    return logits, losses, contestant.weights()


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.name)
def test_contestants_compute_the_same(cls, expected):
    logits, losses, weights = results_of(cls, small_task())
    assert logits.dtype == "float32" and logits.shape == (3 * BATCH, 5)
    np.testing.assert_allclose(logits, expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(losses, expected[1], rtol=1e-5)
    assert weights.keys() == expected[2].keys()
    before = small_task().random_weights()
    for name, array in weights.items():
        np.testing.assert_allclose(array, expected[2][name], rtol=1e-4, atol=1e-6, err_msg=name)
        if name.endswith("kernel"):
            assert np.abs(array - before[name]).max() > 1e-4, name
