import keras
import numpy as np

from training.optimization.sweep import Sweep


def test_the_learning_rate_grows_by_the_same_factor():
    sweep = Sweep(1e-6, 10.0, 30)
    found = [float(sweep(update)) for update in range(30)]
    np.testing.assert_allclose(found, np.geomspace(1e-6, 10, 30), rtol=1e-5)


def test_the_sweep_can_be_saved():
    sweep = Sweep(1e-6, 10.0, 30)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(sweep))
    assert again.get_config() == sweep.get_config()
