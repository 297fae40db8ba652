"""The devices of this machine."""

import keras


def reserve_accelerators():
    """Keep TensorFlow off the accelerators where it only feeds another backend."""
    if keras.backend.backend() != "tensorflow":
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")


def device_names():
    """Return the names of the devices the backend computes on, such as `["cpu:0"]`."""
    return keras.distribution.list_devices()
