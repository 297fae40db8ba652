"""Fixed permutation of the pixels of all images (section 3.4 and figure 4 of the paper)."""

import keras
import numpy as np
from keras import ops

from training.studies.models.registration import PACKAGE


def patch_permutation(patches, pixels, seed):
    """Return the order of the patches, and that of the pixels in each of them.

    Args:
        patches: Number of patches of an image.
        pixels: Number of pixels of a patch.
        seed: Seed of the two random permutations.
    """
    rng = np.random.default_rng(seed)
    return rng.permutation(patches), rng.permutation(pixels)


def pixel_permutation(kind, height, width, patch_size, seed):
    """Return the index of the input pixel at each pixel of the output, row by row.

    Args:
        kind: "patches" permutes the patches, and all pixels inside of a patch as those of the
            other patches; "pixels" permutes all pixels of the image.
        height: Of the images, in pixels.
        width: Of the images.
        patch_size: Side of a patch in pixels; it divides height and width if `kind` is "patches".
        seed: Seed of the permutation.
    """
    if kind == "pixels":
        return np.random.default_rng(seed).permutation(height * width)
    patches = height * width // patch_size**2
    order, inner = patch_permutation(patches, patch_size**2, seed)
    return index_of_patches(order, inner, height, width, patch_size)


def index_of_patches(order, inner, height, width, patch_size):
    """Return the index of the input pixel at each pixel of the output, row by row.

    Args:
        order: Number of the input patch at each patch of the output.
        inner: Number of the input pixel at each pixel of a patch of the output.
        height: Of the images, in pixels.
        width: Of the images.
        patch_size: Side of a patch in pixels, which divides height and width.
    """
    grid = (height // patch_size, patch_size, width // patch_size, patch_size)
    indices = np.arange(height * width).reshape(grid).transpose(0, 2, 1, 3)
    indices = indices.reshape(-1, patch_size**2)  # (patches, pixels)
    indices = indices[order][:, inner].reshape(grid[0], grid[2], patch_size, patch_size)
    return indices.transpose(0, 2, 1, 3).reshape(-1)


def permute_weights(mixer, order, inner):
    """Permute the weights of a Mixer so that it sees permuted images as it saw the others.

    Args:
        mixer: A Mixer whose weights are plain variables, neither quantized nor of LoRA.
        order: Permutation of the patches; see `index_of_patches`.
        inner: Permutation of the pixels of a patch.
    """

    def change(variable, function):
        variable.assign(function(keras.ops.convert_to_numpy(variable)))

    def by_pixel(kernel):  # (P, P, channels, hidden_dim)
        return kernel.reshape(-1, *kernel.shape[2:])[inner].reshape(kernel.shape)

    change(mixer.get_layer("stem").kernel, by_pixel)
    for layer in mixer.layers:
        if layer.name.startswith("MixerBlock_"):
            mixing = layer.token_mixing
            change(mixing.dense_0.kernel, lambda kernel: kernel[order])  # (patches, D_S)
            change(mixing.dense_1.kernel, lambda kernel: kernel[:, order])  # (D_S, patches)
            change(mixing.dense_1.bias, lambda bias: bias[order])


@keras.saving.register_keras_serializable(PACKAGE)
class PixelPermutation(keras.layers.Layer):
    """Permute the pixels of every image in the same way; see `pixel_permutation`."""

    def __init__(self, kind, patch_size, seed, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.patch_size, self.seed = kind, patch_size, seed

    def build(self, input_shape):
        _, height, width, _ = input_shape
        self.indices = pixel_permutation(self.kind, height, width, self.patch_size, self.seed)

    def call(self, images):
        _, height, width, channels = images.shape
        pixels = ops.reshape(images, (-1, height * width, channels))
        return ops.reshape(ops.take(pixels, self.indices, axis=1), (-1, height, width, channels))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        own = {"kind": self.kind, "patch_size": self.patch_size, "seed": self.seed}
        return {**super().get_config(), **own}


def permute_input(model, kind, patch_size, seed):
    """Return a model that permutes the pixels of its images and then is `model`."""
    images = keras.Input(model.input_shape[1:])
    permuted = PixelPermutation(kind, patch_size, seed, name="permutation", dtype="float32")(images)
    return keras.Model(images, model(permuted), name=f"permuted_{model.name}")
