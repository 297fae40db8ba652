import pytest

from training.epochs import Epochs


@pytest.mark.parametrize(
    "steps_done, stretches",
    [
        (0, [(0, 3, 10), (3, 4, 5)]),
        (10, [(1, 3, 10), (3, 4, 5)]),
        (13, [(1, 2, 7), (2, 3, 10), (3, 4, 5)]),
        (31, [(3, 4, 4)]),
        (35, []),
    ],
)
def test_what_is_left_of_three_and_a_half_epochs(steps_done, stretches):
    epochs = Epochs(batch_size=4, steps_per_epoch=10, total_steps=35)
    assert epochs.stretches(steps_done) == stretches
    assert sum((end - first) * length for first, end, length in stretches) == 35 - steps_done


def test_where_epochs_end():
    epochs = Epochs(batch_size=4, steps_per_epoch=10, total_steps=35)
    assert epochs.total_epochs == 4
    assert [step for step in range(1, 36) if epochs.ends_epoch(step)] == [10, 20, 30, 35]
    assert [epochs.epoch_of(step) for step in (0, 9, 10, 34)] == [0, 0, 1, 3]
