"""Reference in float64 NumPy, written from the papers: a small network and its training."""

import dataclasses

import keras
import numpy as np

from training.config import Optimization
from training.optimization.ema import apply_ema
from training.optimization.loss import loss_function
from training.optimization.optimizer import optimizer
from training.optimization.schedule import learning_rate_schedule
from training.optimization.sharpness_aware import sharpness_aware

BATCH = 4
LARGEST_ERROR = 1e-5  # of the largest weight


def weights(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {
        "hidden/kernel": (5, 6),
        "hidden/bias": (6,),
        "head/kernel": (6, 3),
        "head/bias": (3,),
    }
    return {
        path: rng.standard_normal(shape).astype("float32").astype(np.float64)
        for path, shape in shapes.items()
    }


def batches(count, seed=1):
    """Return `count` batches of examples: inputs and one-hot labels."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count * BATCH, 5)).astype("float32")
    return x, np.eye(3, dtype="float32")[rng.integers(0, 3, len(x))]


def loss_and_gradients(w, x, y):
    """Return the softmax cross-entropy of `W2 tanh(W1 x)` and its gradients."""
    hidden = np.tanh(x @ w["hidden/kernel"] + w["hidden/bias"])
    logits = hidden @ w["head/kernel"] + w["head/bias"]
    logits = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    loss = -(y * np.log(probabilities)).sum(axis=1).mean()
    d_logits = (probabilities - y) / len(x)
    d_hidden = d_logits @ w["head/kernel"].T * (1 - hidden**2)
    return loss, {
        "hidden/kernel": x.T @ d_hidden,
        "hidden/bias": d_hidden.sum(axis=0),
        "head/kernel": hidden.T @ d_logits,
        "head/bias": d_logits.sum(axis=0),
    }


def norm(arrays):
    return np.sqrt(sum((a**2).sum() for a in arrays.values()))


def batch_gradients(w, x, y, rho):
    loss, gradients = loss_and_gradients(w, x, y)
    if rho:
        length = norm(gradients)
        there = {path: w[path] + rho * gradients[path] / length for path in w}
        _, gradients = loss_and_gradients(there, x, y)
    return loss, gradients


def train(settings, x, y, rates, scales=None, frozen=()):
    """Return `(weights, averages, losses)` after `len(rates)` updates with `settings`."""
    w = weights()
    first = {path: np.zeros_like(a) for path, a in w.items()}
    second = {path: np.zeros_like(a) for path, a in w.items()}
    averages, losses = None, []
    examples = iter(range(0, len(x), BATCH))
    for t, rate in enumerate(rates, start=1):
        parts = []
        for _ in range(settings.accumulation_steps):
            i = next(examples)
            loss, gradients = batch_gradients(
                w, x[i : i + BATCH], y[i : i + BATCH], settings.sam_rho
            )
            losses.append(loss)
            parts.append(gradients)
        gradients = {p: sum(part[p] for part in parts) / len(parts) for p in w if p not in frozen}
        if settings.clip_global_norm:
            factor = min(1, settings.clip_global_norm / norm(gradients))
            gradients = {path: g * factor for path, g in gradients.items()}
        for path, g in gradients.items():
            own_rate = rate * (scales or {}).get(path, 1)
            if path.endswith("kernel"):
                w[path] = w[path] * (1 - own_rate * settings.weight_decay)
            if settings.optimizer == "sgd":
                first[path] = settings.momentum * first[path] + g
                w[path] = w[path] - own_rate * first[path]
            else:
                first[path] = 0.9 * first[path] + 0.1 * g
                second[path] = 0.999 * second[path] + 0.001 * g**2
                root = np.sqrt(second[path]) + 1e-7  # the ε̂ of section 2 of the Adam paper
                step_size = own_rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
                w[path] = w[path] - step_size * first[path] / root
        kept = settings.ema_momentum if averages else 0
        averages = {p: kept * averages[p] + (1 - kept) * w[p] if kept else w[p] for p in w}
    return w, averages, losses


def rates(settings, updates):
    """Return the learning rate of each update: a cosine after a warmup."""
    t, warmup = np.arange(updates), settings.warmup_steps
    cosine = 0.5 + 0.5 * np.cos(np.pi * (t - warmup) / (updates - warmup))
    return settings.learning_rate * np.where(t < warmup, t / max(warmup, 1), cosine)


def keras_model(rho=0.0):
    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(6, "tanh", name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(hidden), name="plain")
    for variable in model.weights:
        variable.assign(weights()[variable.path])
    return sharpness_aware(model, rho)


def settings(**changes):
    """Return an `Optimization` with momentum SGD and only the named changes."""
    plain = Optimization(
        optimizer="sgd", learning_rate=0.1, warmup_steps=5, weight_decay=0.0, clip_global_norm=0.0
    )
    return dataclasses.replace(plain, **changes)


def fit(chosen, x, y, scale_of=None, prepare=None, wrap=None, callbacks=(), **compiled):
    """Train a model with `model.fit`; return it and the loss of each batch."""
    model = keras_model(chosen.sam_rho)
    if prepare:
        prepare(model)
    updates = len(x) // BATCH // chosen.accumulation_steps
    made = optimizer(chosen, learning_rate_schedule(chosen, updates, BATCH), scale_of)
    losses = Losses()
    model.compile(wrap(made) if wrap else made, loss_function(chosen), **compiled)
    callbacks = [losses, *callbacks]
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks)
    if chosen.ema_momentum:
        apply_ema(model)
    return model, losses.of_batches


class Losses(keras.callbacks.Callback):
    """Records the loss of each batch, from Keras's running means."""

    def __init__(self):
        super().__init__()
        self.of_batches = []
        self._sum = 0.0

    def on_train_batch_end(self, batch, logs=None):
        total = logs["loss"] * (batch + 1)
        self.of_batches.append(total - self._sum)
        self._sum = total


def largest_error(model, expected):
    """Return the largest error of any weight, divided by the largest weight."""
    largest = max(np.abs(a).max() for a in expected.values())
    errors = [np.abs(np.array(v) - expected[v.path]).max() for v in model.weights]
    return max(errors) / largest
