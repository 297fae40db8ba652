"""Opponents in plain TensorFlow: one function of `tf.Variable`s, as a graph and compiled by XLA."""

from typing import Any

import numpy as np
import tensorflow as tf

from training.benchmarks.opponents.task import (
    EPSILON,
    LEARNING_RATE,
    MOMENTUM,
    Contestant,
    Limit,
    batches,
)


def affine(x, weights, name):
    """Multiply matrices `(rows, width)`: TensorFlow fuses the bias and the GELU into those."""
    kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
    return tf.nn.bias_add(tf.matmul(x, tf.cast(kernel, x.dtype)), tf.cast(bias, x.dtype))


def layer_norm(x, weights, name):
    wide = tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(wide, -1, keepdims=True)
    scale, bias = weights[f"{name}/scale"], weights[f"{name}/bias"]
    return tf.cast(tf.nn.batch_normalization(wide, mean, variance, bias, scale, EPSILON), x.dtype)


def mlp(x, weights, name):
    y = tf.reshape(x, (-1, x.shape[-1]))
    y = tf.nn.gelu(affine(y, weights, f"{name}/Dense_0"), approximate=True)
    return tf.reshape(affine(y, weights, f"{name}/Dense_1"), x.shape)


def mixer(weights, images, num_blocks, dtype):
    kernel = tf.cast(weights["stem/kernel"], dtype)
    x = tf.nn.conv2d(tf.cast(images, dtype), kernel, kernel.shape[:2], "VALID")
    x = tf.nn.bias_add(x, tf.cast(weights["stem/bias"], dtype))
    x = tf.reshape(x, (x.shape[0], -1, x.shape[-1]))  # (batch, patches, hidden_dim)
    for i in range(num_blocks):
        block = f"MixerBlock_{i}"
        y = layer_norm(x, weights, f"{block}/LayerNorm_0")
        y = mlp(tf.transpose(y, (0, 2, 1)), weights, f"{block}/token_mixing")
        x = x + tf.transpose(y, (0, 2, 1))
        y = layer_norm(x, weights, f"{block}/LayerNorm_1")
        x = x + mlp(y, weights, f"{block}/channel_mixing")
    x = layer_norm(x, weights, "pre_head_layer_norm")
    return affine(tf.reduce_mean(tf.cast(x, tf.float32), 1), weights, "head")


class Graph(Contestant):
    """`tf.function` of the functions above and of a step with TensorFlow's fused momentum."""

    name = "hand-written"
    jit_compile = False

    def __init__(self, task, weights):
        super().__init__(task, weights)
        dtype = tf.bfloat16 if task.is_mixed else tf.float32
        self._weights = {name: tf.Variable(array) for name, array in weights.items()}
        self._velocity: Any = None
        variables = list(self._weights.values())

        def apply(images):
            return mixer(self._weights, images, task.architecture.num_blocks, dtype)

        def step(images, labels):
            with tf.GradientTape() as tape:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, apply(images))
                loss = tf.reduce_mean(losses)
            gradients = tape.gradient(loss, variables)
            for variable, velocity, gradient in zip(
                variables, self._velocity, gradients, strict=True
            ):
                tf.raw_ops.ResourceApplyKerasMomentum(
                    var=variable.handle,
                    accum=velocity.handle,
                    lr=LEARNING_RATE,
                    grad=gradient,
                    momentum=MOMENTUM,
                )
            return loss

        self._apply = tf.function(apply, jit_compile=self.jit_compile)
        self._step = tf.function(step, jit_compile=self.jit_compile)

    def inference(self, images, batch_size):
        parts = [tf.constant(part) for part in batches(images, batch_size)]
        return lambda: np.concatenate([self._apply(part).numpy() for part in parts])

    def training(self, images, labels):
        if self._velocity is None:
            variables = self._weights.values()
            self._velocity = [tf.Variable(tf.zeros_like(v)) for v in variables]
        images, labels = tf.constant(images), tf.constant(labels)
        return lambda: float(self._step(images, labels))

    def weights(self):
        return {name: variable.numpy() for name, variable in self._weights.items()}


class Compiled(Graph):
    """The same with `jit_compile=True`."""

    name = "hand-written, XLA"
    jit_compile = True


class Products(Limit):
    """The matrix products of all blocks alone, in a graph."""

    name = "matrix products"
    jit_compile = False

    def __init__(self, task, weights):
        super().__init__(task, weights)
        self._dtype = tf.bfloat16 if task.is_mixed else tf.float32
        kernels = {
            name: tf.Variable(tf.cast(array, self._dtype))
            for name, array in weights.items()
            if "mixing" in name and name.endswith("kernel")
        }

        def multiply(columns, rows):
            for i in range(task.architecture.num_blocks):
                for k in (0, 1):
                    columns = columns @ kernels[f"MixerBlock_{i}/token_mixing/Dense_{k}/kernel"]
                    rows = rows @ kernels[f"MixerBlock_{i}/channel_mixing/Dense_{k}/kernel"]
            return columns, rows

        self._multiply = tf.function(multiply, jit_compile=self.jit_compile)

    def _streams(self, batch_size):
        sizes = self.task.architecture
        width, patches = sizes.hidden_dim, sizes.num_patches
        shapes = (batch_size * width, patches), (batch_size * patches, width)
        return [tf.cast(tf.random.normal(shape), self._dtype) for shape in shapes]

    def _run(self, streams, times):
        for _ in range(times):
            for result in self._multiply(*streams):
                result[0, 0].numpy()  # waits for the device


class CompiledProducts(Products):
    """The same with `jit_compile=True`."""

    name = "matrix products, XLA"
    jit_compile = True


OPPONENTS = (Graph, Compiled)
LIMITS = (Products, CompiledProducts)
