import dataclasses
import json
from typing import Annotated, Any, Literal

import pytest

from training.config.schema import conform

pytestmark = pytest.mark.backend("torch")  # no backend is used


@dataclasses.dataclass(frozen=True)
class Part:
    size: Annotated[int | None, "a comment"] = None
    kind: Literal["", "a", 1] = ""


@dataclasses.dataclass(frozen=True)
class Whole:
    rate: float
    flip: bool
    name: str
    part: Part
    rows: tuple[dict[str, float], ...] = ()
    rest: list[Any] | None = None


ENTRIES = {
    "rate": 1,
    "flip": True,
    "name": "x",
    "part": {"size": 3, "kind": "a"},
    "rows": [{"loss": 1.5}, {"loss": 2}],
    "rest": [1, ["a"]],
}


def test_values_become_what_the_hints_say():
    part, rows = Part(3, "a"), ({"loss": 1.5}, {"loss": 2})
    assert conform(ENTRIES, Whole) == Whole(1, True, "x", part, rows, [1, ["a"]])
    nothing = ENTRIES | {"part": {"size": None, "kind": 1}, "rest": None}
    assert conform(nothing, Whole).part == Part(None, 1)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"rate": "1"}, "rate must be a number, not '1'"),
        ({"rate": True}, "rate must be a number, not True"),
        ({"rate": 10**5000}, "rate must be a number below 2\\*\\*63, not a larger one"),
        ({"rate": None}, "rate must be a number, not None"),
        ({"flip": 1}, "flip must be true or false, not 1"),
        ({"name": ["x" * 100]}, "name must be a string, not \\['x{58}…$"),
        ({"part": 3}, "part must be an object with named values, not 3"),
        ({"part": {"size": 3.0, "kind": ""}}, "part.size must be an integer, not 3.0"),
        ({"part": {"size": 3, "kind": True}}, "part.kind must be one of '', 'a', 1, not True"),
        ({"part": {"size": 3, "kind": []}}, "part.kind must be one of '', 'a', 1, not \\[\\]"),
        ({"part": {"size": 3}}, "part.kind is missing"),
        ({"part": {"size": 3, "kind": "", "color": 1}}, "part.'color' is not known"),
        ({"rows": {"loss": 1}}, "rows must be a list, not {'loss': 1}"),
        ({"rows": [{"loss": 1}, {"loss": "x"}]}, r"rows\[1\].loss must be a number, not 'x'"),
        ({"rest": 5}, "rest must be a list, not 5"),
    ],
)
def test_other_values_are_named(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        conform(ENTRIES | changes, Whole)


def test_an_object_is_needed():
    for value in json.loads('[[], 1, null, "x"]'):
        with pytest.raises(ValueError, match="^the value must be an object with named values"):
            conform(value, Whole)
