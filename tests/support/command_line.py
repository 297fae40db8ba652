"""The output of commands, as tests read it."""


def flat(text):
    """Return the text in a table or box as one line."""
    return " ".join(text.replace("│", " ").split())
