"""Outputs of a model for a batch, computed on all devices of the scope that made the model."""

import keras
import numpy as np


def predict_batch(model, images):
    """Return the outputs of a model for a batch.

    Args:
        model: A Keras model.
        images: The batch, whose size the number of devices divides.
    """
    images = np.asarray(images)  # JAX takes no tensors of tf.data
    if distribution := keras.distribution.distribution():
        layout = distribution.get_data_layout(images.shape)
        images = keras.distribution.distribute_tensor(images, layout)
    elif (
        keras.backend.backend() == "tensorflow"
        and model.distribute_strategy.num_replicas_in_sync > 1
    ):  # `predict_on_batch` would give each replica all images
        return model.predict(images, batch_size=len(images), verbose=0)
    return model.predict_on_batch(images)
