import itertools
import warnings

import numpy as np
import pytest
from PIL import Image

from tests.support.evaluated import evaluated
from tests.support.models import random_pixels
from training.evaluation.mistakes import DRAWN_MISTAKES, Mistakes, draw_mistakes

pytestmark = pytest.mark.backend("torch")  # no backend is involved

NAMES = ["cat", "dog", "emu", "fox"]


def random_batches(examples, size=7, channels=3, seed=0):
    """Return batches of random examples of 4 classes, and all their logits, labels and images."""
    rng = np.random.default_rng(seed)
    logits, labels = 3 * rng.standard_normal((examples, 4)), rng.integers(0, 4, examples)
    images = random_pixels((examples, 8, 8, channels), seed)
    batches = [
        evaluated(logits[i : i + size], labels[i : i + size], images[i : i + size], start=i)
        for i in range(0, examples, size)
    ]
    return batches, logits, labels, images


def collect(batches, **options):
    mistakes = Mistakes(**options)
    for batch in batches:
        mistakes.add(batch)
    return mistakes


@pytest.mark.parametrize("most", [1, 10, 1000])
def test_the_worst_are_those_of_the_largest_probability(most):
    batches, logits, labels, images = random_batches(300)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    guesses = logits.argmax(axis=1)
    wrong = np.flatnonzero(guesses != labels)
    order = wrong[np.argsort(-shares[wrong, guesses[wrong]], kind="stable")]
    mistakes = collect(batches, most=most)
    worst = mistakes.worst()
    assert mistakes.total == len(wrong) > 100
    assert [mistake.index for mistake in worst] == order[:most].tolist()
    for mistake in worst:
        i = mistake.index
        assert (mistake.true_classes, mistake.predicted) == ((labels[i],), guesses[i])
        assert mistake.probability == pytest.approx(shares[i].max(), rel=1e-12)
        assert mistake.true_probability == pytest.approx(shares[i, labels[i]], rel=1e-12)
        np.testing.assert_array_equal(mistake.image, images[i])


def test_of_equal_probabilities_the_first_is_kept():
    batches = [evaluated(np.zeros((4, 4)), [1, 0, 2, 3], start=i) for i in (0, 4, 8)]
    assert [m.index for m in collect(batches, most=4).worst()] == [0, 2, 3, 4]


def test_kept_images_do_not_keep_their_batches():
    """Memory is that of a few images, however many there are."""
    batches, *_ = random_batches(200)
    worst = collect(batches).worst()
    assert len(worst) == DRAWN_MISTAKES
    assert all(mistake.image.base is None for mistake in worst)


@pytest.fixture
def draw(tmp_path, saved_figures):
    """Return a function that draws and returns the figure and its path; a warning is an error."""

    def draw(mistakes, names=NAMES, name_of_image=str, title="a set: 9 images, accuracy 50.00%"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            draw_mistakes(mistakes, names, name_of_image, title, tmp_path / "mistakes.png")
        return saved_figures[-1], tmp_path / "mistakes.png"

    return draw


def texts(figure):
    """Return the texts of each mistake, and the title."""
    *own, title = (text.get_text() for text in figure.axes[0].texts)
    return [own[i : i + 3] for i in range(0, len(own), 3)], title


@pytest.mark.parametrize("channels", [1, 3])
def test_each_mistake_has_its_image_classes_and_probabilities(draw, channels):
    batches, *_, images = random_batches(60, channels=channels)
    mistakes = collect(batches)
    figure, _ = draw(mistakes, name_of_image=lambda i: f"{i}.png")
    shown = figure.axes[0].images
    own, title = texts(figure)
    assert len(shown) == len(own) == DRAWN_MISTAKES < mistakes.total
    for image, lines, mistake in zip(shown, own, mistakes.worst(), strict=True):
        predicted, (true,) = NAMES[mistake.predicted], mistake.true_classes
        assert lines == [
            f"{mistake.index}.png",
            f"predicted {predicted}  {mistake.probability:.3f}",
            f"true {NAMES[true]}  {mistake.true_probability:.3f}",
        ]
        expected = np.broadcast_to(images[mistake.index], (8, 8, 3))
        np.testing.assert_array_equal(image.get_array(), expected)
    first, second = title.split("\n")
    assert first == "a set: 9 images, accuracy 50.00%"
    assert f"the 25 of {mistakes.total} mistakes with the largest probability" in second


def test_the_number_of_mistakes_is_in_the_title(draw):
    batch = evaluated([[1, 0], [1, 0], [1, 0]], [0, 1, 1])
    for rows, expected in (([1], "1 mistake, by"), ([0, 1, 2], "2 mistakes, by")):
        chosen = evaluated(np.array([[1.0, 0]] * len(rows)), batch.labels[rows])
        figure, _ = draw(collect([chosen]), ["a", "b"])
        assert expected in texts(figure)[1]


def test_of_several_true_classes_the_most_likely_one_is_named(draw):
    figure, _ = draw(collect([evaluated([[1, 2, 9, 0]], [[1, 1, 0, 1]])]))
    ((_, predicted, true),), _ = texts(figure)
    assert predicted.startswith("predicted emu  0.99") and true == "true dog +2  0.001"


HARD_NAMES = [
    "$\\frac{1}{2$ a rather long name of a class",
    "WWWWWWWWWWWWWWWWWWWWWWWW",
    "猫と\U0001f431",
    "caf\udce9\nand \x1b[31mmore",
]


@pytest.mark.long
@pytest.mark.parametrize("examples", [2, 9, 60])
def test_nothing_in_the_figure_is_cut_or_covered(draw, examples):
    batches, *_ = random_batches(examples, seed=1)
    title = f"folder:{'x$' * 90}: 9 images"
    figure, path = draw(
        collect(batches), HARD_NAMES, lambda i: f"caf\udce9/{'W' * 90}/$a$ {i}.png", title
    )
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [artist.get_window_extent() for artist in (*axes.images, *axes.texts)]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    pixels = np.asarray(Image.open(path).convert("L"))
    edges = np.concatenate([pixels[:3].ravel(), pixels[-3:].ravel(), pixels[:, :3].ravel()])
    assert edges.min() == 255 and pixels.min() < 128  # a white margin around what is drawn
    assert pixels.shape[1] < 1300
