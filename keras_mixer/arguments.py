"""Checks of arguments that the layers and the model share."""

import difflib
import inspect
import numbers


def check_rate(owner, argument, rate):
    """Return `rate` as a float, or raise ValueError unless it is a probability below 1."""
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or not 0 <= rate < 1:
        raise ValueError(
            f"{owner}: `{argument}` is the probability of dropping and must be a number, at least "
            f"0 and below 1. Received: {argument}={rate!r}. Pass 0.0 to drop nothing."
        )
    return float(rate)


def check_positive_int(owner, argument, value):
    """Return `value`, or raise ValueError unless it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(
            f"{owner}: `{argument}` must be a positive integer. "
            f"Received: {argument}={value!r}. Pass an integer of at least 1."
        )
    return int(value)


def reject_unknown(constructor, unknown):
    """Raise ValueError if `unknown`, the surplus keyword arguments of a call, is not empty."""
    for argument, value in unknown.items():
        known = [
            parameter.name
            for parameter in inspect.signature(constructor).parameters.values()
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        near = difflib.get_close_matches(argument, known, n=1)
        advice = f"Did you mean `{near[0]}`?" if near else f"It knows {', '.join(known)}."
        raise ValueError(
            f"{constructor.__name__}: `{argument}` is not an argument. "
            f"Received: {argument}={value!r}. {advice}"
        )
