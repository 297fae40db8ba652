import pytest

from training.benchmarks import loading, process_memory
from training.errors import UserError

pytestmark = pytest.mark.backend("torch")  # each is timed by the same code


@pytest.mark.long
def test_measurement_is_complete():
    """The speed itself is not asserted."""
    result = loading.measure("S/32", ".safetensors", repeats=1)
    assert (result.variant, result.format) == ("S/32", ".safetensors")
    assert 76 < result.file_megabytes < 77
    assert min(result.read_seconds, result.load_seconds, result.build_seconds) > 0
    assert result.load_to_read == result.load_seconds / result.read_seconds
    if process_memory.is_measurable():
        assert result.peak_megabytes > 76  # at least the model itself


def test_out_of_memory_is_a_user_error(monkeypatch):
    def fail(*options):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(loading, "_measure", fail)
    with pytest.raises(UserError, match="Received: --variant H/14, .* Pass a smaller "):
        loading.measure("H/14", ".npz", repeats=1)
