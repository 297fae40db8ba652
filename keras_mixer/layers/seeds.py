"""Random states of layers, which have the same name in each process."""

import keras


def seed_generator(layer, seed=None):
    """Return a generator for a layer, whose state is named after the layer.

    Keras would number it by a count of all generators in the process, so that the keys of
    PyTorch's `state_dict` depended on what was created before.
    """
    with keras.name_scope(layer.name):
        return keras.random.SeedGenerator(seed, name="seed_generator")


class Dropout(keras.layers.Dropout):
    """Dropout of Keras, with a generator from `seed_generator`."""

    def __init__(self, rate, **kwargs):
        super().__init__(0, **kwargs)  # which does not create a generator
        self.rate = rate
        self.seed_generator = seed_generator(self)

    def build(self, input_shape):
        """Build nothing. Without this method, Keras would refuse a generator after `__init__`."""
