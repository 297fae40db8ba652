"""Table of the Mixer sizes: table 1 of the paper, and S/8, published later. Needs no Keras."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class MixerSize:
    """One column of table 1, with the paper's symbols."""

    name: str  # as the paper writes it, "B/16"
    patch_size: int  # P, side of a square patch in pixels
    hidden_dim: int  # C, width of a token
    num_blocks: int
    tokens_mlp_dim: int  # D_S = C / 2
    channels_mlp_dim: int  # D_C = 4 C

    @property
    def constructor_name(self):
        """Name of the function in `keras_mixer` that builds it, "MixerB16"."""
        return f"Mixer{self.name.replace('/', '')}"

    @property
    def dimensions(self):
        """The five sizes as arguments of `keras_mixer.MlpMixer`."""
        fields = dataclasses.asdict(self)
        del fields["name"]
        return fields


SIZES = {
    size.name: size
    for size in (
        #          name    P     C  blocks D_S   D_C
        MixerSize("S/32", 32, 512, 8, 256, 2048),
        MixerSize("S/16", 16, 512, 8, 256, 2048),
        MixerSize("S/8", 8, 512, 8, 256, 2048),
        MixerSize("B/32", 32, 768, 12, 384, 3072),
        MixerSize("B/16", 16, 768, 12, 384, 3072),
        MixerSize("L/32", 32, 1024, 24, 512, 4096),
        MixerSize("L/16", 16, 1024, 24, 512, 4096),
        MixerSize("H/14", 14, 1280, 32, 640, 5120),
    )
}
