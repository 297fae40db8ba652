"""The comparison finds differences that are planted."""

import numpy as np
import pytest

from tests.support.exported import GRAY, gray_mixer
from tests.support.models import random_pixels
from training.evaluation.logits import probabilities
from training.export import comparison
from training.export.serving_model import build_serving_model
from training.model_argument import LoadedModel

IMAGES = random_pixels((11, *GRAY))


@pytest.fixture(scope="module")
def serving():
    return build_serving_model(LoadedModel(gray_mixer()))


def compare(serving, change=lambda logits, p: (logits, p), sizes=None):
    """Return the comparison of a model with itself, whose outputs are changed."""
    reference = comparison.compute_reference(serving, IMAGES)

    def run(pixels):
        if sizes is not None:
            sizes.append(len(pixels))
        assert pixels.dtype == np.float32
        logits = serving.predict_on_batch(pixels)["logits"].copy()
        logits, p = change(logits, probabilities(logits, "softmax"))
        return {"logits": logits, "probabilities": p}

    return comparison.compare(run, serving, reference, IMAGES, "softmax")


def test_a_model_is_equal_to_itself(serving):
    sizes = []
    result = compare(serving, sizes=sizes)
    assert sizes[:3] == [1, 8, 2]  # then the times of one image
    assert set(sizes[3:]) == {1}
    assert result.images == 11 and result.agreement == 1
    assert result.difference < 1e-6 and result.probability_difference < 1e-6
    assert result.milliseconds > 0 and result.keras_milliseconds > 0
    assert result.is_within(comparison.TOLERANCE)


def plant_difference(logits, p):
    logits[-1, logits[-1].argmin()] -= 0.01 * np.abs(logits).max()
    return logits, probabilities(logits, "softmax")


def plant_class(logits, p):
    order = logits[0].argsort()
    logits[0, order[-2:]] = logits[0, order[:-3:-1]]
    return logits, probabilities(logits, "softmax")


@pytest.mark.backend("torch")
def test_a_tie_within_the_tolerance_is_no_other_class(serving):
    reference = comparison.compute_reference(serving, IMAGES)
    largest = np.abs(reference).max()
    first, second = reference[0].argsort()[:-3:-1]
    for gap, agreement in ((1e-4, 1), (1e-3, 10 / 11)):
        expected = reference.copy()
        expected[0, second] = expected[0, first] - gap * largest
        found = expected.copy()
        found[0, second] += 1.5 * gap * largest

        def run(pixels, found=found, position=[0]):  # noqa: B006
            start = position[0] % len(IMAGES)
            position[0] += len(pixels)
            logits = found[start : start + len(pixels)]
            return {"logits": logits, "probabilities": probabilities(logits, "softmax")}

        result = comparison.compare(run, serving, expected, IMAGES, "softmax")
        assert result.agreement == pytest.approx(agreement)


def plant_activation(logits, p):
    return logits, probabilities(logits, "sigmoid")


def plant_nan(logits, p):
    logits[-1, 3] = np.nan
    return logits, p


@pytest.mark.parametrize("plant", [plant_difference, plant_class, plant_activation, plant_nan])
def test_a_difference_is_found(serving, plant):
    result = compare(serving, plant)
    assert not result.is_within(comparison.TOLERANCE)
    if plant is plant_class:
        assert result.agreement < 1
    if plant is plant_activation:
        assert result.difference < 1e-6 and result.probability_difference > 0.01


def test_a_difference_is_relative_to_the_largest_logit(serving):
    largest = np.abs(comparison.compute_reference(serving, IMAGES)).max()

    def plant(logits, p):
        logits[-1] += 0.5
        return logits, probabilities(logits, "softmax")

    assert compare(serving, plant).difference == pytest.approx(0.5 / largest, rel=1e-3)


def test_logits_of_zero(serving):
    """A model with a new head returns zeros, whose differences are not divided."""
    zero = build_serving_model(LoadedModel(gray_mixer()))
    head = zero.layers[1].get_layer("head")
    for variable in head.weights:
        variable.assign(np.zeros(variable.shape))
    assert compare(zero).is_within(comparison.TOLERANCE)


@pytest.mark.backend("tensorflow")
def test_the_precision_of_products_is_restored():
    import tensorflow as tf

    before = tf.config.experimental.tensor_float_32_execution_enabled()
    with comparison.exact_products():
        assert not tf.config.experimental.tensor_float_32_execution_enabled()
    assert tf.config.experimental.tensor_float_32_execution_enabled() == before
