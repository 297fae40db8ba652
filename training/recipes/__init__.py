"""The recipes by name: one file each, which holds what differs from the defaults."""

from training.recipes import digits, tiny

RECIPES = {"digits": digits, "tiny": tiny}
