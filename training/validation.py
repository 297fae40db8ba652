"""Checks of options. An error names the option, the rule, the value and a next step."""

import dataclasses
import tempfile

from training.errors import UserError

LARGEST_INTEGER = 2**31 - 1
LARGEST_FLOAT = 3.4e38


def refuse_unless(holds, argument, rule, value, advice):
    """Raise UserError about the command-line option of `argument` unless `holds`."""
    if not holds:
        option = "--" + argument.replace("_", "-")
        raise UserError(f"{option} {rule}. Received: {value}. {advice}")


def require_positive(options, *arguments):
    """Raise UserError unless these fields of the dataclass `options` are positive and finite."""
    rule = "must be above 0 and finite, a 32-bit number"
    _require(options, arguments, lambda value: 0 < value <= _largest(value), rule)


def require_not_negative(options, *arguments):
    """Raise UserError unless these fields of the dataclass `options` are at least 0 and finite."""
    rule = "must be at least 0 and finite, a 32-bit number"
    _require(options, arguments, lambda value: 0 <= value <= _largest(value), rule)


def _largest(value):
    """Return the largest number of the type of `value` that TensorFlow and the backends take."""
    return LARGEST_INTEGER if isinstance(value, int) else LARGEST_FLOAT


def require_fraction(options, *arguments):
    """Raise UserError unless these fields of the dataclass `options` are at least 0 and below 1."""
    _require(options, arguments, lambda value: 0 <= value < 1, "must be at least 0 and below 1")


def require_range(options, argument, largest):
    """Raise UserError unless a field of the dataclass `options` is from 0 to `largest`."""
    rule = f"must be at least 0 and at most {largest}"
    _require(options, [argument], lambda value: 0 <= value <= largest, rule)


def _require(options, arguments, is_valid, rule):
    defaults = {field.name: field.default for field in dataclasses.fields(options)}
    for argument in arguments:
        value, default = getattr(options, argument), defaults[argument]
        # A size of a model has no default; 1 is valid for all of them.
        example = 1 if default is dataclasses.MISSING else default
        refuse_unless(is_valid(value), argument, rule, value, f"Pass {example}, for example.")


def require_output_dir(folder, option="--output-dir"):
    """Create the folder of an option; raise UserError unless it is writable.

    Call it before the work, so that the mistake is found at once.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise not_writable(folder, error, option) from error


def not_writable(folder, error, option="--output-dir"):
    """Return the UserError for an OSError while writing to the folder of an option."""
    return UserError(
        f"{option} must be a folder that can be written to, on a disk with free space. "
        f"Received: {folder}: {error.strerror or error}. Choose another folder."
    )
