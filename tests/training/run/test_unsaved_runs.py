"""Trainings without files, and the range tests and grids that consist of them."""

import dataclasses

import keras
import numpy as np
import pytest

from tests.support.runs import SMALL
from training.config import Config, Data, Optimization
from training.data.pipeline import training_batches
from training.errors import UserError
from training.model import build_model
from training.optimization.schedule import Schedule
from training.run.learning_rates import (
    GridRow,
    GridRun,
    best_row,
    learning_rate_scale,
    run_range_tests,
    summarize,
    train_grid,
)
from training.run.unsaved_runs import UnsavedRuns

CONFIG = Config(
    data=Data(source="digits", batch_size=16, train_fraction=0.2),
    model=SMALL,
    optimization=Optimization(total_steps=30, warmup_steps=10),
)


def never(losses):
    return False


def load(**fields):
    return UnsavedRuns.load(CONFIG.vary(**fields), show_progress=False, needs_validation=True)


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_the_loss_of_each_update_is_recorded(accumulation_steps):
    """Compared with the losses of the same batches, at weights that do not change."""
    runs = load(accumulation_steps=accumulation_steps, head_bias=0.5, label_smoothing=0.1)
    recorder, metrics = runs.train(Schedule(1e-30, "constant", 0, 3), 7, never, "")
    assert metrics is None and not recorder.diverged
    keras.utils.set_random_seed(7)
    model = build_model(runs.config.model, 8, runs.source)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    batches = training_batches(runs.source, runs.config.data, runs.config.augmentation, 7)
    expected = [
        float(keras.ops.stop_gradient(loss(labels.numpy(), model(images.numpy()))))
        for images, labels in batches.take(3 * accumulation_steps)
    ]
    expected = np.reshape(expected, (3, accumulation_steps)).mean(axis=1)
    np.testing.assert_allclose(recorder.losses, expected, rtol=1e-5)


def test_a_training_that_diverges_ends_early():
    runs = load()
    recorder, _ = runs.train(
        Schedule(1e-3, "constant", 0, 9), 0, lambda losses: len(losses) == 4, ""
    )
    assert recorder.diverged and len(recorder.losses) == 4


def test_a_loss_that_is_not_finite_ends_a_training_and_is_not_recorded():
    runs = load(optimizer="sgd", clip_global_norm=0.0)
    recorder, metrics = runs.train(Schedule(1e30, "constant", 0, 9), 0, never, "", validate=True)
    assert recorder.diverged and metrics is None
    assert len(recorder.losses) < 9 and np.isfinite(recorder.losses).all()


@pytest.mark.parametrize("fields", [{"optimizer": "sgd"}, {"sam_rho": 0.05}])
def test_a_range_test_uses_the_settings_of_the_recipe(fields):
    runs = load(**fields)
    (test,) = run_range_tests(runs, 1e-5, 1.0, 25, [3])
    assert test.seed == 3
    assert len(test.losses) == len(test.smoothed) == len(test.learning_rates) <= 25
    np.testing.assert_allclose(
        test.learning_rates, np.geomspace(1e-5, 1, 25)[: len(test.losses)], rtol=1e-9
    )
    if "optimizer" not in fields:  # momentum SGD moves at the lowest rate already
        assert test.losses[0] == pytest.approx(np.log(10), rel=1e-4)
    (other,) = run_range_tests(load(**fields, weight_decay=100.0), 1e-5, 1.0, 25, [3])
    assert other.losses[:1] == test.losses[:1] and other.losses != test.losses


@pytest.mark.backend("torch")
def test_learning_rates_are_those_of_the_option():
    scaled = load(reference_batch_size=64)
    assert learning_rate_scale(scaled.config) == 16 / 64
    (plain,) = run_range_tests(load(), 1e-5, 1.0, 25, [0])
    (other,) = run_range_tests(scaled, 4e-5, 4.0, 25, [0])
    np.testing.assert_allclose(other.losses, plain.losses, rtol=1e-3)
    np.testing.assert_allclose(other.learning_rates, 4 * np.array(plain.learning_rates))


def test_a_grid_is_compared_on_the_validation_split():
    updates, runs = load(ema_momentum=0.5).shortened(15)
    assert updates == 15 and runs.config.optimization.warmup_steps == 5
    trained = [*train_grid(runs, [1e-9, 1e-2], updates, [2])]
    assert [(t.learning_rate, t.seed) for t in trained] == [(1e-9, 2), (1e-2, 2)]
    untrained, row = summarize(trained)
    assert untrained.loss == pytest.approx(np.log(10), rel=1e-3)
    assert row.loss < untrained.loss and row.accuracy > untrained.accuracy
    assert best_row([untrained, row]) == row


@pytest.mark.backend("torch")
def test_a_grid_needs_a_validation_split():
    with pytest.raises(UserError, match="must have images in its validation split"):
        load(validation_fraction=0.0)


@pytest.mark.backend("torch")
def test_the_number_of_updates_is_the_recipes_unless_given():
    runs = load()
    assert runs.shortened(0) == (30, runs)
    with pytest.raises(UserError, match="--warmup-steps must be below"):
        load(warmup_steps=30).shortened(0)


@pytest.mark.backend("torch")
def test_the_best_rate_is_the_most_accurate_and_then_that_with_the_lowest_loss():
    trained = [
        *(GridRun(1e-3, 0, 0.5, 1.0), GridRun(1e-3, 1, 0.7, 2.0)),
        *(GridRun(1e-2, 0, 0.6, 1.1), GridRun(1e-2, 1, 0.6, 1.1)),
        *(GridRun(1e-1, 0, 1.0, 0.0), GridRun(1e-1, 1, None, None)),
    ]
    rows = summarize(trained)
    assert rows[2] == GridRow(0.1, None, None)
    assert rows[0].accuracy == pytest.approx(0.6) and rows[0].loss == 1.5
    equal = [dataclasses.replace(row, accuracy=0.6) for row in rows[:2]]
    assert best_row([*equal, rows[2]]) == equal[1]
    assert best_row([rows[2]]) is None
