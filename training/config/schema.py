"""Check of values from JSON against type hints, so that what a file holds has the types it should.

`conform(entries, Data)` returns a `Data`, or says which value is wrong:
`batch_size must be an integer, not '64'`.
"""

import dataclasses
import types
import typing

LARGEST_INT64 = 2**63 - 1  # of TensorFlow, JAX and PyTorch
SHOWN_CHARACTERS = 60


def conform(value, hint, name="the value"):
    """Return a value from JSON as a type hint says.

    Objects become dataclasses, and arrays become tuples where the hint says so. All fields of a
    dataclass must be present, and no others.

    Args:
        value: What `json.loads` returned.
        hint: A dataclass, str, int, float, bool, None, Any, a Literal, a union, or a list, tuple or
            dict of these.
        name: What the value is, for messages; for fields it is extended: `data.batch_size`.

    Raises:
        ValueError: If the value has another type.
    """
    if dataclasses.is_dataclass(hint):
        return _dataclass(value, hint, name)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return conform(value, arguments[0], name)
    if origin in (typing.Union, types.UnionType):
        return _union(value, arguments, name)
    if origin is typing.Literal:
        if any(type(value) is type(choice) and value == choice for choice in arguments):
            return value
        raise _refusal(name, f"one of {', '.join(map(repr, arguments))}", value)
    if origin in (list, tuple):
        if not isinstance(value, list):
            raise _refusal(name, "a list", value)
        return origin(conform(v, arguments[0], f"{name}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        _require_object(value, name)
        return {key: conform(v, arguments[1], f"{name}.{key}") for key, v in value.items()}
    return _scalar(value, hint, name)


def _dataclass(value, kind, name):
    _require_object(value, name)
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = [field.name for field in dataclasses.fields(kind)]
    prefix = "" if name == "the value" else f"{name}."
    for field in fields:
        if field not in value:
            raise ValueError(f"{prefix}{field} is missing")
    if unknown := value.keys() - set(fields):
        raise ValueError(f"{prefix}{_shown(min(unknown))} is not known")
    return kind(**{f: conform(value[f], hints[f], f"{prefix}{f}") for f in fields})


def _union(value, hints, name):
    if value is None and type(None) in hints:
        return None
    (hint,) = (hint for hint in hints if hint is not type(None))
    return conform(value, hint, name)


def _scalar(value, hint, name):
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and isinstance(value, int) and abs(value) > LARGEST_INT64:
        raise _refusal(name, "a number below 2**63", value)
    if hint is typing.Any:
        return value
    if hint is float and is_number:
        return value  # an integer stays one, as in the configurations that are compared with it
    if type(value) is not hint:
        wanted = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
        raise _refusal(name, wanted[hint], value)
    return value


def _require_object(value, name):
    if not isinstance(value, dict):
        raise _refusal(name, "an object with named values", value)


def _refusal(name, rule, value):
    return ValueError(f"{name} must be {rule}, not {_shown(value)}")


def _shown(value):
    """Return the beginning of the representation of a value, which may have millions of digits."""
    if isinstance(value, int) and abs(value) > LARGEST_INT64:
        return "a larger one"
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
