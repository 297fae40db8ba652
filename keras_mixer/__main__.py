"""The command line of the library: `python -m keras_mixer weights | convert`."""

import argparse
import dataclasses
import json
import sys

from keras_mixer.weights.catalog import CHECKPOINTS
from keras_mixer.weights.layouts import CHOICES
from keras_mixer.weights.table import list_weights


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m keras_mixer", description="Published and own weights of MLP-Mixer."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    weights = commands.add_parser("weights", help="list every published checkpoint")
    weights.add_argument("--json", action="store_true", help="print the rows as JSON")

    conversion = commands.add_parser(
        "convert",
        help="write weights in another format",
        description="Write the weights of IN to OUT. OUT's suffix names the format: .npz, "
        ".safetensors, .weights.h5 or .keras; IN's is recognised by content.",
    )
    conversion.add_argument("source", metavar="IN", help="file of weights")
    conversion.add_argument("target", metavar="OUT", help="file to write")
    conversion.add_argument(
        "--layout",
        choices=CHOICES,
        help="names of the arrays in .npz (default google, for Flax) and .safetensors (default "
        "timm)",
    )
    conversion.add_argument(
        "--image-size",
        nargs=2,
        type=int,
        metavar=("HEIGHT", "WIDTH"),
        help="pixels at which the weights were trained, if IN does not say and it was not square",
    )
    conversion.add_argument(
        "--gelu", choices=("tanh", "erf"), help="kind of GELU, instead of what IN says or implies"
    )
    conversion.add_argument(
        "--value-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="range of the pixels, instead of what IN says or implies",
    )
    conversion.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")

    options = parser.parse_args(arguments)
    try:
        if options.command == "convert":
            _convert(options)
        elif options.json:
            print(json.dumps([dataclasses.asdict(c) for c in CHECKPOINTS], indent=2))
        else:
            list_weights()
    except (ValueError, OSError) as error:  # of the user's, or of a file
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _convert(options):
    from keras_mixer.convert import convert  # imports Keras

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


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
