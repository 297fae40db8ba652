"""Digest of a model, which names the files of results."""

import keras
import numpy as np

from tests.support.models import randomize, small_mixer
from training.evaluation.digest import digest_of


def test_the_digest_depends_on_weights_and_contents_alone():
    keras.utils.set_random_seed(0)
    model = small_mixer(input_shape=(8, 8, 3), drop_path_rate=0.5)
    first = digest_of(model, "a", [1])
    model(np.zeros((2, 8, 8, 3), "float32"), training=True)  # advances the random generator
    assert digest_of(model, "a", [1]) == first
    assert digest_of(model, "a", [2]) != first
    randomize(model)
    assert digest_of(model, "a", [1]) != first
