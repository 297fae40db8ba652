"""Command line of the library: `python -m keras_mixer weights | convert`."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the working folder, whose files may be someone else's: see `training`

import argparse
import dataclasses
import json
import os

from keras_mixer.terminal import command_line, ctrl_c_ends_at_once


def main(arguments=None):
    """Run the command line; end with status 2 and one message on a user's mistake."""
    # A ValueError is the user's mistake, or that of a file. The imports are inside, so that ctrl-C
    # ends them without a traceback.
    with command_line(ValueError):
        options = _parse(arguments)
        if options.command == "convert":
            _convert(options)
        else:
            _list(options)


def _parse(arguments):
    from keras_mixer.weights.layouts import CHOICES

    parser = argparse.ArgumentParser(
        prog="python -m keras_mixer", description="List and convert weights of MLP-Mixer."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    weights = commands.add_parser("weights", help="list the published weights")
    weights.add_argument("--json", action="store_true", help="print the rows as JSON")

    conversion = commands.add_parser(
        "convert",
        help="convert a weight file to another format",
        description="Write the weights of IN to OUT. The suffix of OUT names its format: .npz, "
        ".safetensors, .weights.h5 or .keras. The format of IN is recognized by content; it may "
        "also be a checkpoint of a training run.",
    )
    conversion.add_argument("source", metavar="IN", help="weight file to read")
    conversion.add_argument("target", metavar="OUT", help="weight file to write")
    conversion.add_argument(
        "--layout",
        choices=CHOICES,
        help="names of the arrays in .npz (defaults to google, the Flax code) and .safetensors "
        "(defaults to timm)",
    )
    conversion.add_argument(
        "--image-size",
        nargs=2,
        type=int,
        metavar=("HEIGHT", "WIDTH"),
        help="image size in pixels that the weights were trained at, if IN does not state it and "
        "it was not square",
    )
    conversion.add_argument(
        "--gelu",
        choices=("tanh", "erf"),
        help="kind of GELU; defaults to what IN states or implies",
    )
    conversion.add_argument(
        "--value-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="range of the pixels; defaults to what IN states or implies",
    )
    conversion.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")

    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # this parser shows the options of the command
        commands.choices[options.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def _list(options):
    from keras_mixer.weights.catalog import CATALOG
    from keras_mixer.weights.table import list_weights

    if options.json:
        print(json.dumps([dataclasses.asdict(row) for row in CATALOG], indent=2))
    else:
        list_weights()


def _convert(options):
    _require_keras()
    from keras_mixer.convert import convert

    note = convert(
        options.source,
        options.target,
        layout=options.layout,
        image_size=options.image_size,
        approximate_gelu=None if options.gelu is None else options.gelu == "tanh",
        value_range=options.value_range and tuple(options.value_range),
        overwrite=options.overwrite,
    )
    print(f"Wrote {options.target}.")
    if note:
        print(f"Note: {note}")


def _require_keras():
    """Raise ValueError unless Keras and its backend can be imported."""
    try:
        with ctrl_c_ends_at_once():
            import keras  # noqa: F401
    except Exception as error:  # of many kinds for a keras.json that is not Keras's
        raise ValueError(
            "KERAS_BACKEND must be a backend of Keras that is installed: tensorflow, jax or torch. "
            f"Received: {os.environ.get('KERAS_BACKEND') or 'not set'}: {error}. Set it to one of "
            "these, install what is missing, or correct keras.json, the settings of Keras in "
            "KERAS_HOME or ~/.keras."
        ) from error


if __name__ == "__main__":
    main()
