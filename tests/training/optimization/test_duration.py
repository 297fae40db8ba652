import pytest

from training.config import Optimization
from training.errors import UserError
from training.optimization.duration import Duration, duration

pytestmark = pytest.mark.backend("torch")  # no backend is used


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"total_epochs": 3}, (30, 30, 3)),
        ({"total_epochs": 3, "accumulation_steps": 4}, (7, 30, 3)),
        ({"total_steps": 30}, (30, 30, 3)),
        ({"total_steps": 25}, (25, 25, 3)),
        ({"total_steps": 7, "accumulation_steps": 4}, (7, 28, 3)),
    ],
)
def test_updates_batches_and_epochs(fields, expected):
    length = duration(Optimization(warmup_steps=2, **fields), epoch_batches=10)
    assert (length.updates, length.batches, length.epochs) == expected


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"warmup_steps": 30}, r"--warmup-steps must be below .* 30 \(3 epochs of 10\)"),
        ({"accumulation_steps": 31}, "--accumulation-steps must be at most .* 30. Received: 31"),
        ({"warmup_steps": 7, "accumulation_steps": 4}, "--warmup-steps must be below .* 7"),
    ],
)
def test_trainings_that_are_too_short_are_rejected(fields, message):
    with pytest.raises(UserError, match=message):
        duration(Optimization(**{"total_epochs": 3, "warmup_steps": 0, **fields}), 10)


@pytest.mark.parametrize(
    "done, stretches",
    [
        (0, [(0, 3, 10), (3, 4, 5)]),
        (10, [(1, 3, 10), (3, 4, 5)]),
        (13, [(1, 2, 7), (2, 3, 10), (3, 4, 5)]),
        (31, [(3, 4, 4)]),
        (35, []),
    ],
)
def test_stretches_that_remain_of_three_and_a_half_epochs(done, stretches):
    length = Duration(updates=35, batches=35, epoch_batches=10)
    assert length.stretches(done) == stretches
    assert sum((end - first) * batches for first, end, batches in stretches) == 35 - done


def test_a_very_long_training_is_divided_quickly():
    length = Duration(updates=10**30, batches=10**30, epoch_batches=10)
    assert length.stretches(5) == [(0, 1, 5), (1, 10**29, 10)]


def test_ends_of_epochs_and_updates():
    length = Duration(updates=8, batches=35, epoch_batches=10, accumulation_steps=4)
    assert [batches for batches in range(1, 36) if length.ends_epoch(batches)] == [10, 20, 30, 35]
    assert [length.updates_after(batches) for batches in (3, 4, 35)] == [0, 1, 8]
