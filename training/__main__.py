"""The command line, `python -m training COMMAND …`: registers the commands."""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # `-m` puts the working folder first: a file in it, which may be someone else's, would be
    # imported in the place of any module. Only `keras_mixer`, which imports no other package at
    # first, comes from where this package is, which can be the working folder too.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    import keras_mixer  # noqa: F401

    del sys.path[0]

import importlib
import pkgutil

from keras_mixer.terminal import command_line
from training.cli.memory_reuse import keep_freed_memory
from training.errors import UserError

PROGRAM = os.environ.get("KERAS_MIXER_PROGRAM", "python -m training")  # as the user called it


def find_commands():
    """Return the function of each command by its name."""
    from training import commands

    names = [module.name for module in pkgutil.iter_modules(commands.__path__)]
    return {
        name.replace("_", "-"): importlib.import_module(f"{commands.__name__}.{name}").run
        for name in names
    }


def main():
    """Run the command line; end with status 2 and one message on a user's mistake."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # fewer of TensorFlow's log messages
    with command_line(UserError):  # with the imports, so that ctrl-C ends them without traceback
        import tyro

        from training.cli.help_texts import join_lines
        from training.cli.home_folder import expand_home
        from training.cli.unknown_options import refuse_unknown_options

        commands = find_commands()
        arguments = [expand_home(argument) for argument in sys.argv[1:]]
        refuse_unknown_options(arguments, commands, PROGRAM)
        join_lines()
        app = tyro.extras.SubcommandApp()
        for name, run in commands.items():
            app.command(run, name=name)
        app.cli(
            args=arguments,
            prog=PROGRAM,
            description="Train, evaluate and use MLP-Mixers.",
            config=(
                tyro.conf.OmitArgPrefixes,
                tyro.conf.OmitSubcommandPrefixes,
                tyro.conf.FlagCreatePairsOff,
            ),
        )


if __name__ == "__main__":
    keep_freed_memory()
    main()
