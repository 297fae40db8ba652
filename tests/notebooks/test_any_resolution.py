"""Weights of one image size at others: tile for tile, and interpolated."""

import re

import pytest

from tests import notebooks

NAME = "any_resolution"
pytestmark = pytest.mark.backend("torch")
FLOAT32 = 5e-6  # what its rounding may come to, relative to the largest number


def errors(pattern, text):
    return [float(error) for error in re.findall(pattern + r".*? off by (\S+)", text)]


def test_384_pixels_are_refused_with_what_to_do(text):
    assert re.search(r"integer multiple.*14 × 14 patches.*24 × 24.*'interpolate'", text)


def test_only_token_mixing_changes_shape(text):
    rows = re.findall(r"^(\w+(?:/\w+)+) +(\([\d, ]+\)) +(\S.*?) {2,}(\S.*)$", text, re.M)
    assert len(rows) == 18  # stem, one block, last LayerNorm, head
    changes = {path: (at_448, at_384) for path, _, at_448, at_384 in rows}
    mixing = "MixerBlock_0/token_mixing"
    expected = {
        f"{mixing}/Dense_0/kernel": ("(784, 128) × 16.0", "(576, 32) × 2.9"),
        f"{mixing}/Dense_0/bias": ("(128,) × 4.0", "identical"),
        f"{mixing}/Dense_1/kernel": ("(128, 784) × 16.0", "(32, 576) × 2.9"),
        f"{mixing}/Dense_1/bias": ("(784,) × 4.0", "(576,) × 2.9"),
    }
    assert {path: changes.pop(path) for path in expected} == expected
    assert set(changes.values()) == {("identical", "identical")}


def test_everything_else_is_identical_in_all_blocks(text):
    found = re.findall(
        r"(\d+): (\d+) variables are identical; (\d+) differ, of which\s+(\d+) belong", text
    )
    blocks = 4
    variables = 12 * blocks + 6
    for size, changed in (("448", 4 * blocks), ("384", 3 * blocks)):
        assert (size, str(variables - changed), str(changed), str(changed)) in found


def test_costs(text):
    rows = re.findall(
        r"(\d+) pixels, +(\d+) patches: +([\d,]+) parameters, +([\d,.]+) million", text
    )
    costs = {
        int(size): (int(tokens), int(parameters.replace(",", "")), float(products.replace(",", "")))
        for size, tokens, parameters, products in rows
    }
    assert {size: cost[0] for size, cost in costs.items()} == {224: 196, 448: 784, 384: 576}
    width, hidden, mlp, blocks = 64, 32, 256, 4
    for size, (tokens, parameters, products) in costs.items():
        units = 4 * hidden if size == 448 else hidden
        kernels = 2 * tokens * units
        of_block = kernels + units + tokens + 2 * width * mlp + mlp + width + 4 * width
        of_ends = 16 * 16 * 3 * width + width + 2 * width + width * 10 + 10
        assert parameters == of_ends + blocks * of_block
        of_tokens = tokens * (16 * 16 * 3 * width + blocks * 2 * width * mlp)
        million = (of_tokens + blocks * kernels * width + width * 10) / 1e6
        assert products == pytest.approx(million, abs=0.06)


def test_448_pixels_are_mixed_tile_by_tile(text):
    of_tiles = errors(r"tokens of the tile", text)
    assert len(of_tiles) == 4 and max(of_tiles) <= FLOAT32
    assert max(errors("pooled features at 448", text)) <= FLOAT32
    # It would say nothing if the tiles were alike.
    assert float(re.search(r"first tile's own features are off by (\S+)", text)[1]) > 0.01


def test_the_trap_is_one(text):
    assert min(errors("with naive kernels,", text)) > 0.001


def test_an_image_that_is_not_square(text):
    assert max(errors(r"\(224, 448\):", text)) <= FLOAT32


def test_interpolation_keeps_the_answers_to_a_constant_map(text):
    assert max(errors("to a constant map:", text)) <= FLOAT32
    assert 0.9 < float(re.search(r"correlation ([\d.]+)", text)[1]) <= 1


def test_a_saved_model_computes_the_same(text):
    assert "loaded: images of (448, 448) pixels, bitwise identical outputs: True" in text


def test_it_draws_the_kernels_and_the_maps(executed):
    assert len(notebooks.figures(executed)) == 2
