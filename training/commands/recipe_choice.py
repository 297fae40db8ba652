"""The choice of a recipe on the command line: one subcommand each."""

import tyro

from training.recipes import RECIPES


def for_each_recipe(make):
    """Return a choice of recipes as subcommands, each of which gives `make(name, recipe)`.

    Their help is the first line of what the recipe says of itself.
    """
    return tyro.extras.subcommand_type_from_defaults(
        {name: make(name, recipe) for name, recipe in RECIPES.items()},
        {name: str(recipe.__doc__).partition("\n")[0] for name, recipe in RECIPES.items()},
    )
