"""The home folder in arguments of the command line."""

import os
import re

# What may be before a path: `--weights=`, and `folder:` or `MixerB16:`.
PREFIX_AND_PATH = re.compile(r"((?:--[^=]+=)?(?:\w+:)?)(~.*)", re.DOTALL)


def expand_home(argument):
    """Return an argument in which `~` or `~USER` at the start of a path is the home folder.

    A shell expands it at the start of an argument only, not in `--run-dir=~/run` or
    `folder:~/photos`. As in a shell, `~USER` of an unknown user is left as it is.
    """
    if not (match := PREFIX_AND_PATH.fullmatch(argument)):
        return argument
    prefix, path = match.groups()
    return prefix + os.path.expanduser(path)
