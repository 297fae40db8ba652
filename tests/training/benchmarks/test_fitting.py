import pytest

from training.benchmarks import fitting


@pytest.mark.long
def test_a_measurement_is_whole():
    """It measures; what it finds is not asserted."""
    result = fitting.measure("S/32", batch_size=1, steps=2, repeats=1)
    assert (result.variant, result.batch_size) == ("S/32", 1)
    speeds = (
        result.bare_images_per_second,
        result.fit_images_per_second,
        result.run_images_per_second,
    )
    assert min(speeds) > 0
    assert result.fit_to_bare == pytest.approx(speeds[1] / speeds[0])
    assert result.run_to_bare == pytest.approx(speeds[2] / speeds[0])
    assert 3 * 76 < result.checkpoint_megabytes < 3 * 77  # weights and both moments of Adam
    assert result.checkpoint_seconds > 0
    assert result.overhead > result.callback_milliseconds / 1000 * speeds[2] > 0
