import pytest

from training.benchmarks import loading


@pytest.mark.long
def test_a_measurement_is_whole():
    """It measures; what it finds is not asserted."""
    result = loading.measure("S/32", ".safetensors", repeats=1)
    assert (result.variant, result.format) == ("S/32", ".safetensors")
    assert 76 < result.file_megabytes < 77
    assert min(result.read_seconds, result.load_seconds, result.build_seconds) > 0
    assert result.load_to_read == result.load_seconds / result.read_seconds
    if loading.STATUS.exists():
        assert result.peak_megabytes > 76  # at least the model itself
