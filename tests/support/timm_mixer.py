"""A Mixer in PyTorch whose parameters have timm's names; timm itself is not installed."""

from torch import nn


class TimmMixer(nn.Module):
    """Takes the arguments of `timm.models.mlp_mixer.MlpMixer`, and images (batch, C, H, W)."""

    def __init__(
        self, num_classes, img_size, in_chans, patch_size, num_blocks, embed_dim, mlp_ratio
    ):
        super().__init__()
        tokens = (img_size[0] // patch_size[0]) * (img_size[1] // patch_size[1])
        widths = [int(ratio * embed_dim) for ratio in mlp_ratio]
        projection = nn.Conv2d(in_chans, embed_dim, patch_size, stride=patch_size)
        self.stem = nn.ModuleDict({"proj": projection})
        self.blocks = nn.Sequential(*(Block(embed_dim, tokens, *widths) for _ in range(num_blocks)))
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.head = nn.Linear(embed_dim, num_classes)

    def forward(self, images):
        x = self.stem["proj"](images).flatten(2).transpose(1, 2)  # (batch, tokens, embed_dim)
        return self.head(self.norm(self.blocks(x)).mean(1))


class Block(nn.Module):
    def __init__(self, embed_dim, tokens, tokens_dim, channels_dim):
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp_tokens = Mlp(tokens, tokens_dim)
        self.norm2 = nn.LayerNorm(embed_dim, eps=1e-6)
        self.mlp_channels = Mlp(embed_dim, channels_dim)

    def forward(self, x):
        x = x + self.mlp_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.mlp_channels(self.norm2(x))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x)))
