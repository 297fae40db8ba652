import dataclasses

import pytest

from training.benchmarks import startup

pytestmark = pytest.mark.backend("torch")  # each is timed by the same code


@pytest.mark.long
def test_measurement_is_complete():
    """The speed itself is not asserted."""
    result = startup.measure("S/32", batch_size=1, repeats=1)
    assert (result.variant, result.backend) == ("S/32", "torch")
    assert (result.batch_size, result.repeats) == (1, 1)
    times = dataclasses.asdict(result)
    for name in ("variant", "backend", "batch_size", "repeats"):
        del times[name]
    assert len(times) == 7
    assert min(times.values()) > 0


def test_medians_are_over_processes(monkeypatch):
    parts = [f.name for f in dataclasses.fields(startup.Startup) if f.type is float]
    numbers = iter([3.0, 1.0, 2.0])

    def report(code):
        return {"backend": "torch", **dict.fromkeys(parts, next(numbers))}

    monkeypatch.setattr(startup, "_last_line", report)
    result = startup.measure("B/16", batch_size=2, repeats=3)
    assert {getattr(result, part) for part in parts} == {2.0}
