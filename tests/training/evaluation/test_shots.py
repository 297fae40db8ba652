import numpy as np
import pytest

from training.errors import UserError
from training.evaluation.linear_probe import PENALTY, RidgePath
from training.evaluation.shots import PENALTIES, choose_penalty, draw_shots

pytestmark = pytest.mark.backend("torch")  # computed by NumPy

LABELS = np.array([2, 0, 1, 1, 0, 2, 2, 0, 1, 0, 1])


def test_each_class_has_its_shots():
    drawn = draw_shots(LABELS, 3, shots=3, seed=0)
    assert len(set(drawn)) == 9
    assert LABELS[drawn].reshape(3, 3).tolist() == [[0, 1, 2]] * 3


def test_fewer_shots_are_a_part_of_more_and_seeds_differ():
    drawn = draw_shots(LABELS, 3, shots=3, seed=1)
    assert (draw_shots(LABELS, 3, shots=2, seed=1) == drawn[:6]).all()
    assert (draw_shots(LABELS, 3, shots=3, seed=1) == drawn).all()
    others = [draw_shots(LABELS, 3, shots=2, seed=seed) for seed in range(5)]
    assert len({tuple(indices) for indices in others}) > 1


def test_every_example_is_drawn_as_often():
    counts = np.zeros(len(LABELS))
    for seed in range(2000):
        counts[draw_shots(LABELS, 3, shots=1, seed=seed)] += 1
    for label in range(3):
        of_class = counts[label == LABELS]
        assert np.abs(of_class / 2000 - 1 / len(of_class)).max() < 0.05


def test_too_many_shots_are_an_error():
    with pytest.raises(UserError, match="rarest class, 3. Received: 4. Pass --shots 3"):
        draw_shots(LABELS, 3, shots=4, seed=0)


def noisy_examples(shots, width, noise):
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(3), shots)
    centers = np.random.default_rng(1).standard_normal((3, width))
    return centers[labels] + noise * rng.standard_normal((len(labels), width)), labels


def test_the_penalty_is_the_best_on_examples_that_were_held_out():
    features, labels = noisy_examples(shots=6, width=40, noise=2.5)
    chosen = choose_penalty(features, labels, 3)

    def accuracy(penalty):
        total = 0
        for k in range(5):
            out = np.arange(len(labels)) // 3 % 5 == k
            probe = RidgePath(features[~out], labels[~out], 3).probe(penalty)
            total += probe.accuracy(features[out], labels[out])
        return total

    accuracies = [accuracy(penalty) for penalty in PENALTIES]
    assert accuracy(chosen) == pytest.approx(max(accuracies))
    assert accuracy(chosen) > min(accuracies)  # the choice makes a difference
    larger = [a for p, a in zip(PENALTIES, accuracies, strict=True) if p > chosen]
    assert all(a < accuracy(chosen) - 1e-9 for a in larger)


def test_one_shot_keeps_the_default():
    assert choose_penalty(*noisy_examples(1, 5, 1), classes=3) == PENALTY
