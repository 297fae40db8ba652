"""YAML at the top of a model card, which the Hugging Face Hub reads."""

import json
import re


def front_matter(metadata):
    """Return nested dictionaries, lists, strings and numbers as YAML between two lines of dashes.

    Scalars are written as JSON, which YAML contains, so that no text can become anything else.
    """
    return "\n".join(["---", *_lines(metadata), "---"])


def _lines(value):
    """Return the lines of a block of YAML."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _item(f"{key}:", item)
    else:
        for item in value:
            yield from _item("-", item)


def _item(start, value):
    if not isinstance(value, (dict, list)) or not value:
        yield f"{start} {_scalar(value)}"
        return
    yield start
    yield from (f"  {line}" for line in _lines(value))


def _scalar(value):
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return re.sub(r"^(-?\d+)e", r"\1.0e", text)  # YAML takes 1e-07 for text
    # YAML allows printable characters only, and JSON escapes others than those below U+0020.
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
