"""Sizes of a Mixer, and the names and shapes of its arrays."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The sizes that determine the shapes of all arrays, with the symbols of table 1."""

    patch_size: tuple[int, int]  # height, width in pixels
    channels: int  # of the images
    hidden_dim: int  # C
    num_blocks: int
    num_patches: int  # S
    tokens_mlp_dim: int  # D_S
    channels_mlp_dim: int  # D_C
    classes: int | None  # None: no head

    def shapes(self):
        """Return `{name: shape}` of every array, with the names in the published files."""
        width = self.hidden_dim
        shapes = {
            **_affine("stem", (*self.patch_size, self.channels, width)),
            **_norm("pre_head_layer_norm", width),
        }
        for i in range(self.num_blocks):
            block = f"MixerBlock_{i}"
            shapes |= {
                **_norm(f"{block}/LayerNorm_0", width),
                **_mlp(f"{block}/token_mixing", self.num_patches, self.tokens_mlp_dim),
                **_norm(f"{block}/LayerNorm_1", width),
                **_mlp(f"{block}/channel_mixing", width, self.channels_mlp_dim),
            }
        if self.classes is not None:
            shapes |= _affine("head", (width, self.classes))
        return shapes


def _affine(name, kernel_shape):
    return {f"{name}/kernel": kernel_shape, f"{name}/bias": kernel_shape[-1:]}


def _norm(name, width):
    return {f"{name}/scale": (width,), f"{name}/bias": (width,)}


def _mlp(name, width, mlp_dim):
    return {
        **_affine(f"{name}/Dense_0", (width, mlp_dim)),
        **_affine(f"{name}/Dense_1", (mlp_dim, width)),
    }
