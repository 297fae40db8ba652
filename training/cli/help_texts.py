"""Help texts in paragraphs, as wide as the terminal.

tyro takes what docstrings say of an option for its help. It joins the lines before it takes their
indentation away, and so would keep the line breaks of the source.
"""

import functools

import docstring_parser


def _in_paragraphs(parse):
    """Return a parser of docstrings that leaves the text of each option in one line."""

    @functools.wraps(parse)
    def parse_in_paragraphs(*args, **kwargs):
        parsed = parse(*args, **kwargs)
        for option in parsed.params:
            option.description = " ".join((option.description or "").split()) or None
        return parsed

    return parse_in_paragraphs


_PARSERS = {
    name: _in_paragraphs(getattr(docstring_parser, name)) for name in ("parse", "parse_from_object")
}


def join_lines():
    """Let tyro show the help of each option without the line breaks of the source."""
    for name, parse in _PARSERS.items():
        setattr(docstring_parser, name, parse)
