"""The devices of this machine."""

import keras


def hide_accelerators_from_tensorflow():
    """Leave the accelerators to the backend where TensorFlow only feeds it."""
    if keras.backend.backend() != "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            tf.config.set_visible_devices([], "GPU")


def device_names():
    """Return the names of the devices the backend computes on, such as `["cpu:0"]`."""
    if keras.backend.backend() == "torch":  # Keras lists no devices there, and uses one
        device = keras.ops.zeros(()).device
        return [f"{device.type}:{device.index or 0}"]
    return keras.distribution.list_devices()
