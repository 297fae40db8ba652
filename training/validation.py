"""What values of options must be; each refusal names the option, the rule and a way out."""

import math
import tempfile

from training.errors import UserError


def refuse_unless(holds, argument, rule, value, advice):
    """Raise UserError naming the command-line option of `argument` unless `holds`."""
    if not holds:
        option = "--" + argument.replace("_", "-")
        raise UserError(f"{option} {rule}. Received: {value}. {advice}")


def require_positive(config, *arguments):
    for argument in arguments:
        value = getattr(config, argument)
        holds = 0 < value < math.inf
        refuse_unless(holds, argument, "must be above 0 and finite", value, "Pass such a number.")


def require_not_negative(config, *arguments):
    for argument in arguments:
        value = getattr(config, argument)
        holds = 0 <= value < math.inf
        refuse_unless(holds, argument, "must be at least 0 and finite", value, "Pass 0 for none.")


def require_fraction(config, *arguments):
    for argument in arguments:
        value = getattr(config, argument)
        refuse_unless(
            0 <= value < 1, argument, "must be at least 0 and below 1", value, "Pass 0 for none."
        )


def require_range(config, argument, largest):
    value = getattr(config, argument)
    refuse_unless(
        0 <= value <= largest,
        argument,
        f"must be at least 0 and at most {largest}",
        value,
        "Pass 0 for none.",
    )


def require_output_dir(folder):
    """Make the folder of `--output-dir`; raise UserError unless it can be written.

    So a mistake is found before the work and not after.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise not_writable(folder, error) from error


def not_writable(folder, error):
    """Return the UserError for an OSError at writing into `--output-dir`."""
    return UserError(
        "--output-dir must be a folder that can be written and has room. Received: "
        f"{folder}: {error.strerror or error}. Choose another."
    )
