"""All variants: their costs, speeds and known accuracies."""

import pytest

from keras_mixer.sizes import SIZES
from training.benchmarks import variants
from training.benchmarks.variants_figure import draw_variants

pytestmark = pytest.mark.backend("torch")  # each is timed by the same code


@pytest.mark.long
def test_measurement_is_complete(tmp_path):
    """The speed itself is not asserted."""
    result = variants.measure(("S/32", "B/32"), 2, repeats=2, image_size=64)
    small, base = result.variants
    assert [row.variant for row in result.variants] == ["S/32", "B/32"]
    assert 0 < small.gigaflops < base.gigaflops
    for row in result.variants:
        assert row.images_per_second > 0 and row.batch_size == 2
    assert min(row.to_fastest for row in result.variants) == 1
    ratio = small.images_per_second / base.images_per_second
    assert base.to_fastest / small.to_fastest == pytest.approx(ratio)
    for some in (result, variants.Variants("torch", 2, 3, result.variants, ())):
        draw_variants(some, tmp_path / "figure.png")
        assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_accuracies_have_a_source():
    """Table 3 of the paper, and what others report of the published files."""
    known = [a for variant in SIZES for a in variants.accuracies(variant)]
    assert {a.variant for a in known} == set(SIZES) - {"S/8"}
    assert all(60 < a.top1 < 90 and a.source and a.pixels in (224, 448) for a in known)
    of_b16 = [(a.weights, a.top1, a.source) for a in known if a.variant == "B/16"]
    assert of_b16[0] == ("imagenet1k", 76.44, "paper, table 3")
    assert ("ImageNet-21k, 300 epochs", 80.64, "paper, table 3") in of_b16
    assert len(of_b16) == len(set(of_b16))
    assert {a.weights for a in known if a.published} == {
        *("imagenet1k", "sam", "miil_in21k_ft_in1k")
    }
