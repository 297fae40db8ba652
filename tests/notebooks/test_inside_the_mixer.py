"""The architecture by hand, and what its weights look like."""

import re

import pytest

from tests import notebooks

NAME = "inside_the_mixer"
pytestmark = pytest.mark.backend("jax")
FLOAT32 = 5e-6  # what its rounding may come to, relative to the largest number


def test_the_small_mixer_learns(text):
    epochs = re.findall(r"epoch \d: loss of the class ([\d.]+), of the pixels ([\d.]+)", text)
    labels, pixels = ([float(loss) for loss in losses] for losses in zip(*epochs, strict=True))
    assert labels[-1] < 0.8 * labels[0]
    assert pixels[-1] < 0.8 * pixels[0]
    right = int(re.search(r"right about (\d+)%", text)[1])
    assert right >= 40  # of eight classes


def test_equation_1_in_numpy_is_what_the_layers_compute(text):
    """Of every step, from the pixels to the logits."""
    steps = re.findall(r"\((.*?)\) +off by (\S+) from Keras's `(\w+)`", text)
    blocks = [f"MixerBlock_{i}" for i in range(3)]
    expected = ["tokens", "MixerBlock_0", *blocks, "pre_head_layer_norm", "avg_pool", "head"]
    assert [layer for _, _, layer in steps] == expected
    assert [shape for shape, _, _ in steps] == ["144, 32"] * 6 + ["32,", "8,"]
    assert all(float(error) <= FLOAT32 for _, error, _ in steps)


def test_the_shapes_of_the_architecture(text):
    assert "image (96, 96, 3) → patches (144, 192) · stem (192, 32) → tokens (144, 32)" in text
    assert re.search(r"token_mixing +kernels \(144, 32\) and \(32, 144\)", text)
    assert re.search(r"channel_mixing +kernels \(32, 64\) and \(64, 32\)", text)


def test_training_makes_the_maps_smooth(text):
    rows = re.findall(
        r"(before|after) training, block (\d): frequencies ([\d.]+) to ([\d.]+), "
        r"median ([\d.]+); mean cosine of the pairs (\S+)",
        text,
    )
    medians = {(when, block): float(median) for when, block, _, _, median, _ in rows}
    assert len(rows) == len(medians) == 6
    for _, _, low, high, median, cosine in rows:
        assert 0 < float(low) <= float(median) <= float(high) <= 6 * 2**0.5  # of 12 × 12 patches
        assert -1 <= float(cosine) <= 0.1
    for block in "012":
        assert medians["after", block] < 0.85 * medians["before", block]


def test_maps_are_sorted_by_frequency(text):
    line = re.search(r"the first of the first pairs of block 2: ([\d. ]+)", text)[1]
    frequencies = [float(frequency) for frequency in line.split()]
    assert len(frequencies) == 16  # pairs of 32 units
    assert frequencies == sorted(frequencies)
    assert frequencies[0] < frequencies[-1]


def test_two_permutations_are_undone_by_the_weights_and_a_third_is_not(text):
    rows = re.findall(r"^(\w[\w ]+?) +logits off by (\S+) with .*?, by (\S+) with", text, re.M)
    errors = {name: (float(as_they_are), float(in_order)) for name, as_they_are, in_order in rows}
    assert list(errors) == ["patches", "pixels inside patches", "both", "all pixels of the image"]
    for name, (as_they_are, in_order) in errors.items():
        assert as_they_are > 0.01, name
        if name == "all pixels of the image":
            assert in_order > 0.01
        else:
            assert in_order <= FLOAT32, name


def test_it_draws_the_steps_the_maps_the_filters_and_the_permutations(executed):
    assert len(notebooks.figures(executed)) == 4
