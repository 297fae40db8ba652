"""The recipes by name: one file each, with what differs from the defaults or from another recipe.

A file `my_recipe.py` is the recipe `my-recipe`. It holds `CONFIG` and a docstring whose first line
is the help.
"""

import importlib
import pkgutil

RECIPES = {
    module.name.replace("_", "-"): importlib.import_module(f"{__name__}.{module.name}")
    for module in pkgutil.iter_modules(__path__)
}
