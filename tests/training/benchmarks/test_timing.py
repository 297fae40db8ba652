import pytest

from training.benchmarks.timing import interleave, medians, seconds

pytestmark = pytest.mark.backend("torch")


def test_alternatives_are_called_in_turn():
    calls = []
    results = interleave({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b", "a", "b"]
    assert results == {"a": [None, None], "b": [None, None]}


def test_medians():
    assert medians({"a": [3, 1, 2], "b": [5.0]}) == {"a": 2, "b": 5.0}


def test_seconds_of_a_call():
    assert 0 <= seconds(lambda: None) < 60
