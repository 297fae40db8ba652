import pytest
import yaml

from training.sharing.front_matter import front_matter

pytestmark = pytest.mark.backend("torch")  # no backend is involved


@pytest.mark.parametrize(
    "metadata",
    [
        {"license": "mit", "tags": ["a", "b"], "n": 3, "x": 0.5, "nil": None, "b": True},
        {"results": [{"task": {"type": "t"}, "metrics": [{"value": 0.9}, {"value": 1e-7}]}]},
        {"empty": [], "nothing": {}, "text": ""},
        {"name": "no", "date": "2026-01-01", "number": "1e3", "nil": "null"},
        {"name": "a: b # c\n---\nlicense: mit", "quote": '"\\', "bell": "\x07\x7f\x85\u2028"},
        {"emoji": "🎉 é", "list": [[1, 2], ["x"]]},
    ],
)
def test_it_is_read_as_it_was(metadata):
    text = front_matter(metadata)
    first, *lines, last = text.split("\n")
    assert first == last == "---"
    assert yaml.safe_load("\n".join(lines)) == metadata
