import pytest

from training.benchmarks import fitting
from training.errors import UserError


@pytest.mark.long
def test_measurement_is_complete():
    """The speed itself is not asserted."""
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


@pytest.mark.backend("torch")
def test_out_of_memory_is_a_user_error(monkeypatch):
    def fail(*options):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(fitting, "_measure", fail)
    with pytest.raises(
        UserError, match="Received: --variant H/14 with --batch-size 4096, .* Pass a smaller "
    ):
        fitting.measure("H/14", batch_size=4096, steps=1, repeats=1)
