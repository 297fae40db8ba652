"""What values of options must be; each refusal names the option, the rule and a way out."""

import math

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
