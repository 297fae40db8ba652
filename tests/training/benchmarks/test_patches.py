import dataclasses
import json

import numpy as np
import pytest

from training.benchmarks import patches
from training.benchmarks.patches_figure import plot_patches

pytestmark = pytest.mark.backend("torch")  # each is timed by the same code

TINY = {"HIDDEN_DIM": 8, "MLP_DIM": 16, "BLOCKS": 1, "TOKENS_PER_BATCH": 16}


@pytest.fixture
def tiny(monkeypatch):
    for name, value in TINY.items():
        monkeypatch.setattr(patches, name, value)
    vit = dataclasses.replace(patches.VIT, hidden_dim=8, num_blocks=1, mlp_dim=16, num_heads=2)
    monkeypatch.setattr(patches, "VIT", vit)


def test_measurement_is_complete(tiny, tmp_path):
    """The speed itself is not asserted."""
    sizes = (32, 48, 64, 80)
    result = patches.measure(repeats=2, image_sizes=sizes)
    assert [(p.model, p.image_size) for p in result.points] == [
        (name, size) for size in sizes for name in patches.MODELS
    ]
    assert {(p.patches, p.batch_size) for p in result.points} == {(4, 4), (9, 1), (16, 1), (25, 1)}
    for exponents in result.exponents:
        points = [p for p in result.points if p.model == exponents.model]
        assert min(p.milliseconds_per_image for p in points) > 0
        low, high = exponents.time_range
        assert low <= high
        times = [p.milliseconds_per_image for p in points[1:]]
        assert exponents.time_at_the_end == pytest.approx(patches.exponent([9, 16, 25], times))
    json.dumps(dataclasses.asdict(result))
    plot_patches(result, tmp_path / "patches.svg")
    assert "<svg" in (tmp_path / "patches.svg").read_text()


def test_exponent():
    assert patches.exponent([1, 10, 100], [3, 300, 30_000]) == pytest.approx(2)


@pytest.mark.parametrize("name", patches.MODELS)
def test_flops_are_two_for_each_use_of_a_weight(tiny, name):
    """All kernels are used once per token, apart from the head and from the token mixing."""
    image_size, count = 64, 16
    model = patches.build_model(name, image_size)
    shapes = {weight.path: weight.shape for weight in model.weights}
    uses = dict.fromkeys(shapes, count + (name == patches.TRANSFORMER))
    uses |= {path: count for path in shapes if path.startswith("stem/")}
    uses |= {path: 1 for path in shapes if path.startswith("head/")}
    uses |= {path: 8 for path in shapes if "token_mixing" in path}  # channels
    expected = 2 * sum(
        uses[path] * np.prod(shape) for path, shape in shapes.items() if path.endswith("kernel")
    )
    if name == patches.TRANSFORMER:
        expected += 2 * 2 * 17**2 * 8  # scores, and sums of values
    assert patches.flops(name, image_size) == expected


def test_exponents_of_the_flops():
    """Linear for a fixed D_S, quadratic in the limit for attention and for a growing D_S."""
    image_sizes = [2**14, 2**16]
    counts = [patches.patches_of(image_size) for image_size in image_sizes]
    slopes = {
        name: patches.exponent(counts, [patches.flops(name, size) for size in image_sizes])
        for name in patches.MODELS
    }
    assert slopes == pytest.approx(
        {patches.MIXER: 1, patches.GROWING_MIXER: 2, patches.TRANSFORMER: 2}, abs=0.01
    )


def test_the_mixer_is_that_of_table_1_at_224_pixels():
    for name in (patches.MIXER, patches.GROWING_MIXER):
        assert patches.tokens_mlp_dim(name, patches.patches_of(224)) == 256
    model = patches.build_model(patches.GROWING_MIXER, 224)
    assert model.count_params() == 18_528_264
