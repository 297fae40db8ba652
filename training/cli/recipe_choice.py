"""The choice of a recipe on the command line: one subcommand each."""

import tyro

from training.recipes import RECIPES


def for_each_recipe(make_options):
    """Decorate the `run` of a command: it takes the name of a recipe, then the recipe's options.

    The first line of a recipe's docstring is its help.

    Args:
        make_options: A function of a recipe's name and its `Config` that returns the default
            options, an instance of the class that `run` takes.
    """
    choice = tyro.extras.subcommand_type_from_defaults(
        {name: make_options(name, recipe.CONFIG) for name, recipe in RECIPES.items()},
        {name: str(recipe.__doc__).partition("\n")[0] for name, recipe in RECIPES.items()},
    )

    def decorate(run):
        (argument,) = (name for name in run.__annotations__ if name != "return")
        run.__annotations__[argument] = choice
        return run

    return decorate
