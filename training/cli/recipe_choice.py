"""The choice of a recipe on the command line: one subcommand each."""

import dataclasses
from typing import Annotated

import tyro

from training.config import SIZE_FIELDS, Config
from training.recipes import RECIPES


@dataclasses.dataclass(frozen=True)
class RecipeOptions:
    """Options of a command that takes a recipe: those of its configuration. Base class."""

    recipe: Annotated[Config, tyro.conf.arg(name="")]

    @property
    def config(self):
        """The recipe's `Config` with the options of the command line.

        `--variant` replaces the sizes that come from the recipe, and an explicit option for a size
        replaces the variant's.
        """
        model = self.recipe.model
        sizes = {name: getattr(model, name) for name in SIZE_FIELDS}
        return self.recipe.vary(**{name: _replace(size, model) for name, size in sizes.items()})


class RecipeSize(int):
    """A size of the model that comes from the recipe and not from the command line.

    tyro returns the default object itself if an option is missing, so the two can be told apart.
    """

    variant: str  # the recipe's


def _mark(config):
    """Return a recipe's `Config` with each of its sizes as a `RecipeSize`."""
    marked = {}
    for name in SIZE_FIELDS:
        if (size := getattr(config.model, name)) is not None:
            marked[name] = RecipeSize(size)
            marked[name].variant = config.model.variant
    return config.vary(**marked)


def _replace(size, model):
    """Return a size as an int; None, if it comes from the recipe and the variant does not."""
    if isinstance(size, RecipeSize):
        return int(size) if size.variant == model.variant else None
    return size


def for_each_recipe(make_options):
    """Decorate the `run` of a command: it takes the name of a recipe, then the recipe's options.

    The first line of a recipe's docstring is its help.

    Args:
        make_options: Function of a recipe's name and its `Config` that returns the default options,
            an instance of the subclass of `RecipeOptions` that `run` takes.
    """
    choice = tyro.extras.subcommand_type_from_defaults(
        {name: make_options(name, _mark(recipe.CONFIG)) for name, recipe in RECIPES.items()},
        {name: str(recipe.__doc__).partition("\n")[0] for name, recipe in RECIPES.items()},
    )

    def decorate(run):
        (argument,) = (name for name in run.__annotations__ if name != "return")
        run.__annotations__[argument] = choice
        return run

    return decorate
