"""The commands: one file each, named as the command.

A command is a function `run`. Its signature, or the dataclass that it takes, gives the options, and
its docstring is the help. `training.__main__` finds it by the name of its file. Slow imports belong
inside `run`, so that help and errors appear at once.
"""
