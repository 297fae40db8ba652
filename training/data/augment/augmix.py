"""AugMix (Hendrycks et al. 2020, arXiv 1912.02781), without its consistency loss.

    x' = m x + (1 - m) sum_i w_i chain_i(x),    m ~ Beta(1, 1),  w ~ Dirichlet(1, 1, 1)

Each of the three chains applies one to three of nine operations. The paper adds a Jensen-Shannon
loss between a clean and two augmented views of an image; here an image has one view.
"""

import tensorflow as tf

from training.data.augment import geometry, image_ops

NUM_CHAINS = 3
MAX_DEPTH = 3
NUM_OPERATIONS = 9
SAMPLING = {"fill": 0, "interpolation": "bilinear"}


def operations(image, level, sign):
    """Return, by name, a function for every operation at `level`, 0 to 1."""

    def to_int(number):
        return tf.cast(number, tf.int32)

    return {
        "AutoContrast": lambda: image_ops.autocontrast(image),
        "Equalize": lambda: image_ops.equalize(image),
        "Posterize": lambda: image_ops.posterize(image, tf.maximum(4 - to_int(4 * level), 1)),
        "Rotate": lambda: geometry.rotate(image, sign * 30 * level, **SAMPLING),
        "Solarize": lambda: image_ops.solarize(image, 256 - to_int(256 * level)),
        "ShearX": lambda: geometry.shear_x(image, sign * 0.3 * level, **SAMPLING),
        "ShearY": lambda: geometry.shear_y(image, sign * 0.3 * level, **SAMPLING),
        "TranslateX": lambda: geometry.translate_x(
            image, sign * level * (image.shape[1] / 3), **SAMPLING
        ),
        "TranslateY": lambda: geometry.translate_y(
            image, sign * level * (image.shape[0] / 3), **SAMPLING
        ),
    }


def augmix(image, severity, seed):
    """Return a mixture of the image and three augmented versions of it.

    Args:
        image: uint8 `(height, width, channels)`.
        severity: Largest level of an operation, above 0 and up to 10.
        seed: Stateless seed, `(2,)`.
    """
    # All random numbers at once, since sampling takes as long as a cheap operation.
    samples = tf.random.stateless_uniform((1 + NUM_CHAINS * (2 + 3 * MAX_DEPTH),), seed)
    share, samples = samples[0], tf.reshape(samples[1:], (NUM_CHAINS, -1))  # Beta(1, 1): uniform
    # Exponential samples divided by their sum follow Dirichlet(1, ..., 1).
    weights = -tf.math.log1p(-samples[:, 0])
    weights /= tf.reduce_sum(weights)
    # A TensorFlow loop, since tracing each of nine operations nine times takes seconds.
    chains = tf.map_fn(
        lambda chain_samples: _chain(image, severity, chain_samples),
        samples[:, 1:],
        fn_output_signature=tf.TensorSpec(image.shape, tf.uint8),
    )
    mixture = tf.tensordot(weights, tf.cast(chains, tf.float32), axes=1)
    mixture += share * (tf.cast(image, tf.float32) - mixture)
    return tf.cast(tf.round(mixture), tf.uint8)


def _chain(image, severity, samples):
    depth = 1 + tf.cast(samples[0] * MAX_DEPTH, tf.int32)

    def step(image, element):
        position, operation_samples = element
        return _operation(image, severity, operation_samples, active=position < depth)

    elements = tf.range(MAX_DEPTH), tf.reshape(samples[1:], (MAX_DEPTH, 3))
    return tf.foldl(step, elements, initializer=image)


def _operation(image, severity, samples, active):
    choice = tf.cast(samples[0] * NUM_OPERATIONS, tf.int32)
    level = (0.1 + (severity - 0.1) * samples[1]) / 10  # from 0.1, as in the paper's code
    sign = tf.where(samples[2] < 0.5, 1.0, -1.0)
    branches = [*operations(image, level, sign).values(), lambda: image]
    return tf.switch_case(tf.where(active, choice, NUM_OPERATIONS), branches)
