"""Permutation of the patches and the pixels of an image, and the weights of a Mixer that match it.

Section 3.4 of the paper: a Mixer does not depend on the order of the patches, or of the pixels in
them. Nothing in it changes but the order of some weights.
"""

import dataclasses
from typing import Literal, get_args

import numpy as np

from training.studies.models.permutation import (
    index_of_patches,
    patch_permutation,
    pixel_permutation,
)

Kind = Literal["none", "patches", "pixels-in-patches", "both", "all-pixels"]
KINDS = get_args(Kind)
LARGEST_SEED = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Shuffle:
    """A random permutation of the pixels of images.

    Args:
        kind: "patches" permutes the patches, "pixels-in-patches" the pixels of each patch, all
            patches alike, and "both" does both; "all-pixels" permutes all pixels of the image.
        seed: Seed of the permutation.
    """

    kind: Kind = "none"
    seed: int = 0

    @property
    def keeps_patches(self):
        """Whether the pixels of a patch stay together, in some order."""
        return self.kind not in ("none", "all-pixels")

    def orders(self, patches, pixels):
        """Return the permutations of the patches, and of the pixels in each of them.

        Args:
            patches: Number of patches of an image.
            pixels: Number of pixels of a patch.
        """
        if not self.keeps_patches:
            raise ValueError(f"the kind must keep patches. Received: {self.kind}.")
        order, inner = patch_permutation(patches, pixels, self.seed)
        if self.kind == "patches":
            inner = np.arange(pixels)
        elif self.kind == "pixels-in-patches":
            order = np.arange(patches)
        return order, inner

    def permute(self, image, patch_size):
        """Return a permuted image.

        Args:
            image: Pixels, `(height, width, channels)`.
            patch_size: Side of a patch in pixels, which divides height and width.
        """
        height, width, channels = image.shape
        if self.kind == "none":
            return image
        if self.kind == "all-pixels":
            index = pixel_permutation("pixels", height, width, patch_size, self.seed)
        else:
            pixels = patch_size**2
            order, inner = self.orders(height * width // pixels, pixels)
            index = index_of_patches(order, inner, height, width, patch_size)
        return image.reshape(-1, channels)[index].reshape(image.shape)
