"""Subclasses of AdamW are slow. If the test of Keras fails, the workaround can go."""

import keras
import pytest

from training.keras_workarounds.torch_adamw import adamw_base

pytestmark = pytest.mark.backend("torch")


class Subclass(keras.optimizers.AdamW):
    pass


def test_a_subclass_of_the_public_class_updates_one_variable_at_a_time():
    assert hasattr(keras.optimizers.AdamW(), "_parallel_update_step")
    assert not hasattr(Subclass(), "_parallel_update_step")


def test_the_base_updates_all_variables_at_once():
    assert hasattr(type("Sub", (adamw_base(),), {})(), "_parallel_update_step")
