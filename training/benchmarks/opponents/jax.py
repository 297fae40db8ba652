"""Opponent in plain JAX: functions of a dictionary of weights, compiled by `jax.jit`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from training.benchmarks.opponents.task import (
    EPSILON,
    LEARNING_RATE,
    MOMENTUM,
    Contestant,
    Limit,
    batches,
)


def affine(x, weights, name):
    kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
    return x @ kernel.astype(x.dtype) + bias.astype(x.dtype)


def layer_norm(x, weights, name):
    dtype, x = x.dtype, x.astype("float32")
    mean = x.mean(-1, keepdims=True)
    variance = jnp.square(x - mean).mean(-1, keepdims=True)
    y = (x - mean) * jax.lax.rsqrt(variance + EPSILON)
    return (y * weights[f"{name}/scale"] + weights[f"{name}/bias"]).astype(dtype)


def mlp(x, weights, name):
    x = jax.nn.gelu(affine(x, weights, f"{name}/Dense_0"), approximate=True)
    return affine(x, weights, f"{name}/Dense_1")


def stem(images, weights):
    kernel = weights["stem/kernel"].astype(images.dtype)
    x = jax.lax.conv_general_dilated(
        images, kernel, kernel.shape[:2], "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = x.reshape(x.shape[0], -1, x.shape[-1])  # (batch, patches, hidden_dim)
    return x + weights["stem/bias"].astype(x.dtype)


def mixer(weights, images, num_blocks, dtype="float32"):
    x = stem(images.astype(dtype), weights)
    for i in range(num_blocks):
        block = f"MixerBlock_{i}"
        y = layer_norm(x, weights, f"{block}/LayerNorm_0")
        y = mlp(y.swapaxes(1, 2), weights, f"{block}/token_mixing")
        x = x + y.swapaxes(1, 2)
        y = layer_norm(x, weights, f"{block}/LayerNorm_1")
        x = x + mlp(y, weights, f"{block}/channel_mixing")
    x = layer_norm(x, weights, "pre_head_layer_norm")
    return affine(x.astype("float32").mean(1), weights, "head")


def cross_entropy(logits, labels):
    logits = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(logits, labels[:, None], 1).mean()


class HandWritten(Contestant):
    """`jax.jit` of the functions above; the step donates its buffers."""

    name = "hand-written"

    def __init__(self, task, weights):
        super().__init__(task, weights)
        apply = functools.partial(
            mixer,
            num_blocks=task.architecture.num_blocks,
            dtype="bfloat16" if task.is_mixed else "float32",
        )

        def step(weights, velocity, images, labels):
            def loss(weights):
                return cross_entropy(apply(weights, images), labels)

            value, gradients = jax.value_and_grad(loss)(weights)
            velocity = jax.tree.map(
                lambda v, g: MOMENTUM * v - LEARNING_RATE * g, velocity, gradients
            )
            return jax.tree.map(jnp.add, weights, velocity), velocity, value

        self._apply = jax.jit(apply)
        self._step = jax.jit(step, donate_argnums=(0, 1))
        self._weights = jax.tree.map(jnp.array, weights)
        self._velocity = None

    def inference(self, images, batch_size):
        parts = batches(images, batch_size)
        return lambda: np.concatenate(
            [np.asarray(self._apply(self._weights, part)) for part in parts]
        )

    def training(self, images, labels):
        if self._velocity is None:
            self._velocity = jax.tree.map(jnp.zeros_like, self._weights)

        def run():
            self._weights, self._velocity, loss = self._step(
                self._weights, self._velocity, images, labels
            )
            return float(loss)

        return run

    def weights(self):
        return jax.tree.map(np.asarray, self._weights)


class Products(Limit):
    """The matrix products of all blocks alone."""

    name = "matrix products"

    def __init__(self, task, weights):
        super().__init__(task, weights)
        dtype = "bfloat16" if task.is_mixed else "float32"
        pairs = [
            [jnp.asarray(weights[f"MixerBlock_{i}/{mlp}/Dense_{k}/kernel"], dtype) for k in (0, 1)]
            for mlp in ("token_mixing", "channel_mixing")
            for i in range(task.architecture.num_blocks)
        ]
        halves = pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]
        self._halves, self._dtype = halves, dtype

        @jax.jit
        def multiply(streams, halves):
            results = []
            for x, pairs in zip(streams, halves, strict=True):
                for first, second in pairs:
                    x = x @ first @ second
                results.append(x)
            return results

        self._multiply = multiply

    def _streams(self, batch_size):
        a = self.task.architecture
        rng = np.random.default_rng(0)
        columns = rng.standard_normal((batch_size * a.hidden_dim, a.num_patches), "float32")
        rows = rng.standard_normal((batch_size * a.num_patches, a.hidden_dim), "float32")
        return [jnp.asarray(x, self._dtype) for x in (columns, rows)]

    def _run(self, streams, times):
        for _ in range(times):
            jax.block_until_ready(self._multiply(streams, self._halves))


OPPONENTS = (HandWritten,)
LIMITS = (Products,)
