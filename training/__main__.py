"""The command line, `python -m training COMMAND …`: registers the commands."""

import importlib
import os
import pkgutil
import sys

import tyro

from training import commands
from training.cli.help_texts import join_lines
from training.cli.home_folder import expand_home
from training.cli.unknown_options import refuse_unknown_options
from training.errors import STATUS_INTERRUPTED, UserError, report

PROGRAM = os.environ.get("KERAS_MIXER_PROGRAM", "python -m training")  # as the user called it

COMMANDS = {
    module.name: importlib.import_module(f"{commands.__name__}.{module.name}").run
    for module in pkgutil.iter_modules(commands.__path__)
}
app = tyro.extras.SubcommandApp()
for _name, _run in COMMANDS.items():
    app.command(_run, name=_name)


def main():
    """Run the command line; end with status 2 and one message on a user's mistake."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # fewer of TensorFlow's log messages
    join_lines()
    arguments = [expand_home(argument) for argument in sys.argv[1:]]
    try:
        refuse_unknown_options(arguments, COMMANDS, PROGRAM)
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
    except (UserError, OSError) as error:
        sys.exit(report(error))
    except KeyboardInterrupt:
        sys.exit(STATUS_INTERRUPTED)


if __name__ == "__main__":
    main()
