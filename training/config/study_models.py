"""Names and sizes of the models of the studies, which are compared with the Mixer; no Keras."""

import dataclasses

from training.validation import refuse_unless

MIXER = "mixer"  # the architecture of the paper, beside the study models below
EXPANSION = 4  # output channels of a bottleneck block, relative to the channels inside


@dataclasses.dataclass(frozen=True)
class VitSize:
    """One row of table 1 of the Vision Transformer's paper, or of DeiT (arXiv 2012.12877) for S."""

    patch_size: int  # P, side of a square patch in pixels
    hidden_dim: int  # D, width of a token
    num_blocks: int
    mlp_dim: int
    num_heads: int


@dataclasses.dataclass(frozen=True)
class ResnetSize:
    """A ResNet of bottleneck blocks, as in BiT (arXiv 1912.11370).

    Args:
        width: Width inside the blocks of the first stage; it doubles with each stage. The output
            of a block is `EXPANSION` times as wide.
        blocks: Number of blocks of each stage.
        stem: "large" for a 7 × 7 convolution with stride 2 and pooling with stride 2, "small" for
            a 3 × 3 convolution with stride 2, for images of about 32 pixels.
    """

    width: int
    blocks: tuple[int, ...]
    stem: str = "large"


VITS = {
    #                     P    D   blocks MLP  heads
    "vit-tiny/4": VitSize(4, 64, 4, 256, 4),
    "vit-S/16": VitSize(16, 384, 12, 1536, 6),
    "vit-B/16": VitSize(16, 768, 12, 3072, 12),
    "vit-L/16": VitSize(16, 1024, 24, 4096, 16),
}
RESNETS = {
    "resnet-tiny": ResnetSize(16, (2, 2, 2), "small"),
    "resnet-50": ResnetSize(64, (3, 4, 6, 3)),
    "resnet-152": ResnetSize(64, (3, 8, 36, 3)),
}
# Mixers with the changes of appendix A.1; their sizes are those of the configuration.
MIXERS = (
    "mixer-untied",
    "mixer-grouped",
    "mixer-views",
    "mixer-pyramid",
)
STUDY_MODELS = (*MIXERS, *VITS, *RESNETS)


def check_study_model(config):
    """Raise UserError if a `Config` asks of a study model what only a plain Mixer can do."""
    model, optimization = config.model, config.optimization
    if model.is_plain:
        return
    chosen = f"--architecture {model.architecture}"
    if model.input_permutation != "none":
        chosen += f" --input-permutation {model.input_permutation}"
    plain = {
        "weights": (model.weights, ""),
        "freeze": (optimization.freeze, "nothing"),
        "frozen_blocks": (optimization.frozen_blocks, 0),
        "layer_decay": (optimization.layer_decay, 1),
        "model_devices": (config.hardware.model_devices, 1),
    }
    if model.architecture != MIXER:
        plain["rematerialize"] = (model.rematerialize, False)
    if model.architecture in (*VITS, *RESNETS):
        plain["drop_path_rate"] = (model.drop_path_rate, 0)
        plain["dropout_rate"] = (model.dropout_rate, 0)
    for name, (value, default) in plain.items():
        option = "--" + name.replace("_", "-")
        rule, advice = f"must be {default}", f"Pass {option} {default}."
        if default == "" or default is False:
            rule, advice = "must be left out", f"Drop {option}, or choose a recipe without it."
        refuse_unless(value == default, name, f"{rule} with {chosen}", value, advice)
