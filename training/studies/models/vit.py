"""Vision Transformer (Dosovitskiy et al. 2021, arXiv 2010.11929), to compare with MLP-Mixer.

images → patches → tokens and a class token → blocks of self-attention and an MLP → logits of the
class token. Pixels, stem, LayerNorm, GELU, MLP and the zero head are those of `keras_mixer`.
"""

import keras
from keras import ops

from training.studies.models.registration import PACKAGE

EPSILON = 1e-6  # of LayerNorm, as in the Mixer
TRUNCATED_NORMAL_STDDEV = 0.02  # of the position embedding


@keras.saving.register_keras_serializable(PACKAGE)
class ClassTokenAndPositions(keras.layers.Layer):
    """Prepend the learned class token, and add a learned embedding of the position to each token.

    The input is `(batch, patches, hidden_dim)`, the output `(batch, 1 + patches, hidden_dim)`.
    """

    def build(self, input_shape):
        _, patches, hidden_dim = input_shape
        self.class_token = self.add_weight(
            shape=(1, 1, hidden_dim), initializer="zeros", name="class_token"
        )
        self.positions = self.add_weight(
            shape=(1, 1 + patches, hidden_dim),
            initializer=keras.initializers.TruncatedNormal(stddev=TRUNCATED_NORMAL_STDDEV),
            name="positions",
        )

    def call(self, tokens):
        first = ops.broadcast_to(
            ops.cast(self.class_token, tokens.dtype), (ops.shape(tokens)[0], 1, tokens.shape[-1])
        )
        x = ops.concatenate([first, tokens], axis=1)  # (batch, 1 + patches, hidden_dim)
        return x + ops.cast(self.positions, x.dtype)

    def compute_output_shape(self, input_shape):
        batch, patches, hidden_dim = input_shape
        return batch, 1 + patches, hidden_dim


def build_vit(size, image_size, channels=3, classes=1000, dtype=None):
    """Build a Vision Transformer as a plain `keras.Model` of pixels in [0, 255].

    Args:
        size: A `training.config.study_models.VitSize`.
        image_size: Side of the square images in pixels, a multiple of the patch size.
        channels: Number of channels of the images.
        classes: Number of classes.
        dtype: Keras dtype or policy.
    """
    images = keras.Input((image_size, image_size, channels))
    x = keras.layers.Rescaling(2 / 255, offset=-1, name="preprocessing", dtype="float32")(images)
    x = keras.layers.Conv2D(
        size.hidden_dim,
        size.patch_size,
        strides=size.patch_size,
        kernel_initializer="lecun_normal",
        data_format="channels_last",
        name="stem",
        dtype=dtype,
    )(x)  # (batch, height / P, width / P, hidden_dim)
    x = keras.layers.Reshape((-1, size.hidden_dim), name="tokens", dtype=dtype)(x)
    x = ClassTokenAndPositions(name="positions", dtype=dtype)(x)
    for i in range(size.num_blocks):
        x = _block(x, size, f"block_{i}", dtype)
    x = _layer_norm("pre_head_layer_norm", dtype)(x)
    return keras.Model(images, _head(x, classes), name="vit")


def _block(x, size, name, dtype):
    """Return the tokens after a block (equations 2 and 3): self-attention, then an MLP."""
    y = _layer_norm(f"{name}_layer_norm_0", dtype)(x)
    y = keras.layers.MultiHeadAttention(
        size.num_heads,
        size.hidden_dim // size.num_heads,
        name=f"{name}_attention",
        dtype=dtype,
    )(y, y)
    u = keras.layers.Add(name=f"{name}_add_0", dtype=dtype)([x, y])
    y = _layer_norm(f"{name}_layer_norm_1", dtype)(u)
    y = keras.layers.Dense(size.mlp_dim, name=f"{name}_dense_0", dtype=dtype)(y)
    y = ops.gelu(y, approximate=True)  # as in the authors' code
    y = keras.layers.Dense(size.hidden_dim, name=f"{name}_dense_1", dtype=dtype)(y)
    return keras.layers.Add(name=f"{name}_add_1", dtype=dtype)([u, y])


def _layer_norm(name, dtype):
    return keras.layers.LayerNormalization(epsilon=EPSILON, name=name, dtype=dtype)


def _head(x, classes):
    """Return the outputs for the class token, in float32 under every policy."""
    return keras.layers.Dense(classes, kernel_initializer="zeros", name="head", dtype="float32")(
        x[:, 0]
    )  # (batch, classes)
