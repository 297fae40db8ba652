"""Opponent in Flax, in the style of the paper's own code, with Optax."""

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax

from training.benchmarks.opponents.task import LEARNING_RATE, MOMENTUM, Contestant, batches


class MlpBlock(nn.Module):
    mlp_dim: int
    dtype: str

    @nn.compact
    def __call__(self, x):
        y = nn.gelu(nn.Dense(self.mlp_dim, dtype=self.dtype)(x))
        return nn.Dense(x.shape[-1], dtype=self.dtype)(y)


class MixerBlock(nn.Module):
    tokens_mlp_dim: int
    channels_mlp_dim: int
    dtype: str

    @nn.compact
    def __call__(self, x):
        y = nn.LayerNorm(dtype=self.dtype)(x)
        y = y.swapaxes(1, 2)  # (batch, hidden_dim, patches)
        y = MlpBlock(self.tokens_mlp_dim, self.dtype, name="token_mixing")(y)
        x = x + y.swapaxes(1, 2)
        y = nn.LayerNorm(dtype=self.dtype)(x)
        return x + MlpBlock(self.channels_mlp_dim, self.dtype, name="channel_mixing")(y)


class Mixer(nn.Module):
    patch_size: tuple[int, int]
    hidden_dim: int
    num_blocks: int
    tokens_mlp_dim: int
    channels_mlp_dim: int
    classes: int
    dtype: str

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(
            self.hidden_dim,
            self.patch_size,
            strides=self.patch_size,
            padding="VALID",
            dtype=self.dtype,
            name="stem",
        )(x)
        x = x.reshape(x.shape[0], -1, x.shape[-1])  # (batch, patches, hidden_dim)
        for i in range(self.num_blocks):
            x = MixerBlock(
                self.tokens_mlp_dim, self.channels_mlp_dim, self.dtype, name=f"MixerBlock_{i}"
            )(x)
        x = nn.LayerNorm(dtype=self.dtype, name="pre_head_layer_norm")(x)
        x = x.astype("float32").mean(axis=1)
        return nn.Dense(self.classes, name="head")(x)


class Flax(Contestant):
    """`jax.jit` of the modules above and of a step with `optax.sgd`."""

    name = "Flax"

    def __init__(self, task, weights):
        super().__init__(task, weights)
        sizes = task.architecture
        model = Mixer(
            sizes.patch_size,
            sizes.hidden_dim,
            sizes.num_blocks,
            sizes.tokens_mlp_dim,
            sizes.channels_mlp_dim,
            sizes.classes,
            dtype="bfloat16" if task.is_mixed else "float32",
        )
        self._optimizer = optax.sgd(LEARNING_RATE, MOMENTUM)

        def step(variables, state, images, labels):
            def loss(variables):
                logits = model.apply(variables, images)
                return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

            value, gradients = jax.value_and_grad(loss)(variables)
            updates, state = self._optimizer.update(gradients, state)
            return optax.apply_updates(variables, updates), state, value

        self._apply = jax.jit(model.apply)
        self._step = jax.jit(step, donate_argnums=(0, 1))
        arrays = jax.tree.map(jnp.array, weights)
        self._variables = {"params": flax.traverse_util.unflatten_dict(arrays, sep="/")}
        self._state = None

    def inference(self, images, batch_size):
        parts = batches(images, batch_size)
        return lambda: np.concatenate(
            [np.asarray(self._apply(self._variables, part)) for part in parts]
        )

    def training(self, images, labels):
        if self._state is None:
            self._state = self._optimizer.init(self._variables)

        def run():
            self._variables, self._state, loss = self._step(
                self._variables, self._state, images, labels
            )
            return float(loss)

        return run

    def weights(self):
        arrays = flax.traverse_util.flatten_dict(self._variables["params"], sep="/")
        return jax.tree.map(np.asarray, arrays)


OPPONENTS = (Flax,)
