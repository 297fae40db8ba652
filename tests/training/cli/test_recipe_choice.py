"""Sizes of the model on the command line: from the recipe, the variant or an option."""

import dataclasses
import functools

import pytest

from keras_mixer.sizes import SIZES
from training import __main__ as application
from training.recipes import RECIPES

pytestmark = pytest.mark.backend("torch")  # needs no backend


@pytest.fixture
def parse(call, monkeypatch):
    """Return a function that returns the `Config` that `train` receives."""
    commands = application.find_commands()
    received = []

    @functools.wraps(commands["train"])  # tyro reads its signature
    def receive(options):
        received.append(options.config)

    def run(*arguments):
        assert call("train", *arguments)[0] == 0
        return received.pop()

    monkeypatch.setattr(application, "find_commands", lambda: commands | {"train": receive})
    return run


@pytest.mark.parametrize("name", RECIPES)
def test_without_options_a_recipe_is_unchanged(parse, name):
    config = parse(name)
    assert config == RECIPES[name].CONFIG
    for size in dataclasses.asdict(config.model).values():
        assert type(size) in (int, float, str, bool, type(None))


def test_a_variant_replaces_the_sizes_of_the_recipe(parse):
    config = parse("digits", "--variant", "S/32", "--image-size", "32")
    config.check()
    assert config.model.size == SIZES["S/32"]
    assert parse("finetune-imagenet", "--variant", "L/16").model.size == SIZES["L/16"]


def test_a_size_on_the_command_line_replaces_the_variants(parse):
    """Even a size that is equal to the recipe's."""
    patch_size = RECIPES["digits"].CONFIG.model.patch_size
    model = parse("digits", "--variant", "S/32", "--patch-size", str(patch_size)).model
    assert model.size == dataclasses.replace(SIZES["S/32"], name="", patch_size=patch_size)
    model = parse("finetune-imagenet", "--num-blocks", "2").model
    assert model.size == dataclasses.replace(SIZES["B/16"], name="", num_blocks=2)


def test_a_size_on_the_command_line_replaces_the_recipes(parse):
    recipe = RECIPES["digits"].CONFIG.model
    model = parse("digits", "--hidden-dim", "8").model
    assert model == dataclasses.replace(recipe, hidden_dim=8)
