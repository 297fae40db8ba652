"""The one error of the application."""


class UserError(ValueError):
    """What the user asked for cannot be done; the message says why and what to do instead.

    The command line prints the message alone and ends with status 2.
    """
