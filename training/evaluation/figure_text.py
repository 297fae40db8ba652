"""Names and other text in figures."""

import functools

from matplotlib.font_manager import FontProperties, findfont, get_font


def drawable(text):
    """Return text in which characters that cannot be drawn are escaped, such as `\\u732b`.

    These are the ones that the font of figures does not have, undecodable bytes, as in names of
    folders in other encodings, and what a terminal takes as a command. Lines stay lines.
    """
    return "".join(c if c == "\n" or _can_draw(c) else ascii(c)[1:-1] for c in text)


def short_name(name, longest):
    """Return a name on one line of at most `longest` characters; its end may be left out."""
    name = _in_one_line(name)
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def short_path(path, longest):
    """Return a path on one line of at most `longest` characters; its start may be left out."""
    path = _in_one_line(path)
    return path if len(path) <= longest else f"…{path[1 - longest :]}"


def _in_one_line(text):
    return drawable(text.replace("\n", " "))


def _can_draw(character):
    return character.isprintable() and ord(character) in _characters()


@functools.cache
def _characters():
    """Return the code points that the fonts of figures have."""
    families = (FontProperties(family=[family]) for family in FontProperties().get_family())
    return frozenset().union(*(get_font(findfont(family)).get_charmap() for family in families))
