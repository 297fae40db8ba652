"""The choice of a source by its name."""

import importlib
import inspect

import pytest

from tests.support.splits import assert_refused
from training.config import Data
from training.data.presets import EVALUATION, PRESETS, TRANSFER
from training.data.sources import KINDS, digits
from training.planning.image_kinds import channels_of, classes_of
from training.recipes import RECIPES

pytestmark = pytest.mark.backend("torch")  # tf.data reads under every backend


def test_every_kind_of_source_is_a_module():
    assert KINDS == ["arrays", "digits", "folder", "shapes", "tfds"]


def test_the_help_names_every_kind_of_source_and_the_presets():
    text = inspect.getsource(Data)
    for kind in KINDS:
        assert importlib.import_module(f"training.data.sources.{kind}").FORM in text
    for name in TRANSFER | EVALUATION:
        assert name in text


@pytest.mark.parametrize("source", ["digit", "digits:", "folder:", "tfds", "zip:a.zip", ""])
def test_unknown_sources_are_refused(source):
    forms = "arrays:FILE.npz, digits, folder:PATH, shapes, tfds:NAME or one of imagenet, cifar10, "
    assert_refused(f"--source must be {forms}", source=source)


def test_split_expressions_are_for_tfds():
    assert_refused("--test-split must be left out unless", test_split="test")


def test_the_counts_that_planning_uses_are_those_of_the_digits():
    source = digits.load(Data())
    assert classes_of("digits", 0) == len(source.class_names)
    assert channels_of("digits") == source.channels


@pytest.mark.parametrize("name", RECIPES)
def test_the_source_of_a_recipe_exists(name):
    source = RECIPES[name].CONFIG.data.source
    assert source.partition(":")[0] in {*KINDS, *PRESETS}
