"""Help texts without the line breaks of the docstrings that they come from.

tyro uses docstrings as help. It joins the lines of a function's docstring before it removes their
indentation, which would keep the line breaks of the source.
"""

import functools

import docstring_parser


def _joining_lines(parse):
    """Return a docstring parser that joins the text of each option into one line."""

    @functools.wraps(parse)
    def parse_joining_lines(*args, **kwargs):
        parsed = parse(*args, **kwargs)
        for option in parsed.params:
            option.description = " ".join((option.description or "").split()) or None
        return parsed

    return parse_joining_lines


_PARSERS = {
    name: _joining_lines(getattr(docstring_parser, name)) for name in ("parse", "parse_from_object")
}


def join_lines():
    """Make tyro show the help of each option without the line breaks of the source."""
    for name, parse in _PARSERS.items():
        setattr(docstring_parser, name, parse)
