import pytest

from training.benchmarks import precision


@pytest.mark.long
@pytest.mark.parametrize("training", [False, True])
def test_measurement_is_complete(training, monkeypatch):
    """The speed itself is not asserted."""
    describe = precision.describe_products

    def describe_one(model, batch, module, arguments):
        """Start one process instead of six, since each takes ten seconds."""
        is_one = arguments[1] == "mixed_bfloat16" and not training
        return describe(model, batch, module, arguments) if is_one else "not described"

    monkeypatch.setattr(precision, "describe_products", describe_one)
    result = precision.measure("S/32", 2, images=3, repeats=2, training=training, image_size=64)
    assert result.training == training
    assert [speed.dtype for speed in result.speeds] == ["float32", "mixed_bfloat16", "bfloat16"]
    reference, *others = result.speeds
    assert reference.to_float32 == 1 and reference.logit_error == 0
    for speed in result.speeds:
        assert speed.images_per_second > 0 and speed.products
        ratio = speed.images_per_second / reference.images_per_second
        assert speed.to_float32 == pytest.approx(ratio)
        low, high = speed.to_float32_range
        assert low <= speed.to_float32 <= high  # medians of two are means
    for speed in others:
        assert 1e-4 < speed.logit_error < 0.1  # the resolution of bfloat16 is 2^-8


@pytest.mark.backend("torch")
def test_weights_are_the_same_in_each_dtype():
    plain, mixed = (
        precision.build_model("S/32", dtype, "auto", 64) for dtype in ("float32", "mixed_bfloat16")
    )
    for a, b in zip(plain.get_weights(), mixed.get_weights(), strict=True):
        assert a.dtype == b.dtype and (a == b).all()
