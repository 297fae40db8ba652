"""Opponents in plain PyTorch: an `nn.Module`, eager and compiled by `torch.compile`."""

import contextlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from training.benchmarks.opponents.task import (
    EPSILON,
    LEARNING_RATE,
    MOMENTUM,
    Contestant,
    Limit,
    batches,
)

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Mlp(nn.Module):
    def __init__(self, width, mlp_dim):
        super().__init__()
        self.Dense_0 = nn.Linear(width, mlp_dim)
        self.Dense_1 = nn.Linear(mlp_dim, width)

    def forward(self, x):
        return self.Dense_1(F.gelu(self.Dense_0(x), approximate="tanh"))


class MixerBlock(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        width = sizes.hidden_dim
        self.LayerNorm_0 = nn.LayerNorm(width, EPSILON)
        self.token_mixing = Mlp(sizes.num_patches, sizes.tokens_mlp_dim)
        self.LayerNorm_1 = nn.LayerNorm(width, EPSILON)
        self.channel_mixing = Mlp(width, sizes.channels_mlp_dim)

    def forward(self, x):
        y = self.LayerNorm_0(x).transpose(1, 2)  # (batch, hidden_dim, patches)
        x = x + self.token_mixing(y).transpose(1, 2)
        return x + self.channel_mixing(self.LayerNorm_1(x))


class Mixer(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.stem = nn.Conv2d(sizes.channels, sizes.hidden_dim, sizes.patch_size, sizes.patch_size)
        self.blocks = nn.Sequential(*(MixerBlock(sizes) for _ in range(sizes.num_blocks)))
        self.pre_head_layer_norm = nn.LayerNorm(sizes.hidden_dim, EPSILON)
        self.head = nn.Linear(sizes.hidden_dim, sizes.classes)

    def forward(self, images):  # (batch, channels, height, width)
        x = self.stem(images).flatten(2).transpose(1, 2)  # (batch, patches, hidden_dim)
        x = self.pre_head_layer_norm(self.blocks(x))
        return self.head(x.mean(1))

    def load(self, weights):
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                array = weights[published_name(name)]
                parameter.copy_(torch.from_numpy(to_torch(name, array)))


def published_name(name):
    """Return the name in the published files of a parameter of `Mixer`."""
    name = name.replace("blocks.", "MixerBlock_").replace(".", "/")
    path, _, kind = name.rpartition("/")
    weight = "scale" if "norm" in path.lower() else "kernel"
    return f"{path}/{weight if kind == 'weight' else kind}"


def to_torch(name, array):
    """Return an array of the published files with the order of axes of a parameter."""
    if name == "stem.weight":
        return np.ascontiguousarray(array.transpose(3, 2, 0, 1))
    return np.ascontiguousarray(array.T)


def to_published(name, array):
    return array.transpose(2, 3, 1, 0) if name == "stem.weight" else array.T


class Eager(Contestant):
    """The module above, and `torch.optim.SGD` in its fused implementation."""

    name = "hand-written"

    def __init__(self, task, weights):
        super().__init__(task, weights)
        self._model = Mixer(task.architecture)
        self._model.load(weights)
        self._model.to(DEVICE)
        self._call = self._callable()
        self._optimizer: Any = None

    def _callable(self):
        return self._model

    def _precision(self):
        if self.task.is_mixed:
            return torch.autocast(DEVICE.type, torch.bfloat16)
        return contextlib.nullcontext()

    def inference(self, images, batch_size):
        self._model.eval()
        parts = [_channels_first(part) for part in batches(images, batch_size)]

        def run():
            with torch.inference_mode(), self._precision():
                return np.concatenate(
                    [self._call(x.to(DEVICE)).float().cpu().numpy() for x in parts]
                )

        return run

    def training(self, images, labels):
        self._model.train()
        if self._optimizer is None:
            self._optimizer = torch.optim.SGD(
                self._model.parameters(), LEARNING_RATE, MOMENTUM, fused=True
            )
        images, labels = _channels_first(images), torch.from_numpy(labels).long()

        def run():
            self._optimizer.zero_grad()
            with self._precision():
                loss = F.cross_entropy(self._call(images.to(DEVICE)), labels.to(DEVICE))
            loss.backward()
            self._optimizer.step()
            return loss.item()

        return run

    def weights(self):
        return {
            published_name(name): to_published(name, parameter.detach().cpu().numpy())
            for name, parameter in self._model.named_parameters()
        }


class Compiled(Eager):
    """The same module under `torch.compile`, compiled again for each contestant."""

    name = "torch.compile"

    def _callable(self):
        torch._dynamo.reset()  # otherwise a second batch size compiles for all sizes
        torch.compiler.config.force_disable_caches = True  # of earlier processes, on disk
        return torch.compile(self._model, dynamic=False)


def _channels_first(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


class Products(Limit):
    """The matrix products of all blocks alone, into buffers that are allocated once."""

    name = "matrix products"

    def __init__(self, task, weights):
        super().__init__(task, weights)
        self._dtype = torch.bfloat16 if task.is_mixed else torch.float32
        self._kernels = {
            name: torch.from_numpy(array).to(DEVICE, self._dtype)
            for name, array in weights.items()
            if "mixing" in name and name.endswith("kernel")
        }

    def _streams(self, batch_size):
        """Return an input and buffers for the hidden units and the output of each kind of MLP."""
        sizes = self.task.architecture
        patches, width = sizes.num_patches, sizes.hidden_dim
        widths = {
            "token_mixing": (batch_size * width, patches, sizes.tokens_mlp_dim),
            "channel_mixing": (batch_size * patches, width, sizes.channels_mlp_dim),
        }
        return {
            mlp: [
                torch.randn(rows, columns, device=DEVICE).to(self._dtype)
                for columns in (outer, hidden, outer)
            ]
            for mlp, (rows, outer, hidden) in widths.items()
        }

    @torch.inference_mode()
    def _run(self, streams, times):
        for _ in range(times):
            for i in range(self.task.architecture.num_blocks):
                for mlp, (x, hidden, y) in streams.items():
                    name = f"MixerBlock_{i}/{mlp}"
                    torch.mm(x, self._kernels[f"{name}/Dense_0/kernel"], out=hidden)
                    torch.mm(hidden, self._kernels[f"{name}/Dense_1/kernel"], out=y)
            for *_, y in streams.values():
                y[0, 0].item()  # waits for the device


OPPONENTS = (Eager, Compiled)
LIMITS = (Products,)
