"""Connection and collectives between the TensorFlow hosts that `TF_CONFIG` names."""

import json
import os
import signal
from typing import Any

import numpy as np
import tensorflow as tf

from training.data.shard import Shard
from training.errors import UserError
from training.keras_workarounds.multi_worker_reduce import Strategy

ROLES = ("chief", "worker")  # in TensorFlow's order of task ids
WORD_BYTES = 8


_shard = Shard()
_strategy: Any = None  # the only one of the process, set by `connect`


def shard_of(environment):
    """Return the `Shard` of this host according to the environment variable `TF_CONFIG`.

    Raises:
        UserError: If it is invalid.
    """
    received = environment.get("TF_CONFIG", "")
    try:
        entries = json.loads(received or "{}")
        cluster, task = entries.get("cluster", {}), entries.get("task", {})
        hosts = [(role, i) for role in ROLES for i in range(len(cluster.get(role, ())))]
        others = ", ".join(sorted(cluster.keys() - set(ROLES)))
        this = task.get("type"), int(task.get("index", -1))
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(
            "TF_CONFIG must be TensorFlow's description of a cluster in JSON. Received: "
            f"{received}. Correct it, or unset TF_CONFIG to train on one host."
        ) from error
    if others:
        raise UserError(
            "TF_CONFIG must contain hosts that train only: a chief and workers. Received: "
            f"{others} as well. Remove them, or unset TF_CONFIG to train on one host."
        )
    if len(hosts) < 2:
        return Shard()
    if this not in hosts:
        raise UserError(
            'TF_CONFIG must name this host in "task", such as {"type": "worker", "index": 0}. '
            f"Received: {task}, in a cluster of {len(hosts)} hosts. Correct it, or unset TF_CONFIG "
            "to train on one host."
        )
    return Shard(hosts.index(this), len(hosts))


def connect():
    """Connect to the other hosts and wait for all of them; call it before using TensorFlow.

    Raises:
        UserError: If `TF_CONFIG` is invalid, or TensorFlow cannot connect.
    """
    global _shard, _strategy
    shard = shard_of(os.environ)
    previous = signal.getsignal(signal.SIGTERM)
    try:
        _strategy = Strategy()
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(
            "TF_CONFIG must give each host an address HOST:PORT that all others can reach and "
            f"whose port is free. Received: {os.environ['TF_CONFIG']}: {error}. Set the same "
            "cluster on each host and start the same command on all of them, or unset TF_CONFIG to "
            "train on one host."
        ) from error
    signal.signal(signal.SIGTERM, previous)  # TensorFlow has replaced this handler
    _shard = shard


def strategy():
    """Return the `tf.distribute` strategy over the devices of all hosts."""
    return _strategy


def count():
    return _shard.count


def index():
    return _shard.index


def may_mean_a_lost_host(error):
    """Return whether TensorFlow may have raised an error because another host is lost."""
    lost = tf.errors.UnavailableError | tf.errors.AbortedError | tf.errors.CancelledError
    return isinstance(error, lost) or "Collective ops is aborted" in str(error)


def gather(content):
    """Return the bytes of all hosts, (hosts, length)."""
    rows = np.zeros((count(), len(content)), np.uint8)
    rows[index()] = content
    return _sum(rows.reshape(-1)).reshape(rows.shape)


def broadcast(content):
    """Return the bytes of the first host; the others pass as many zeros."""
    return _sum(content)


def to_numpy(variable):
    """Return the value of a Keras variable, summed over hosts if it belongs to a metric."""
    return np.asarray(variable.numpy())


def _sum(content):
    """Return the sum of the hosts' bytes; each byte must be 0 on all hosts but one."""
    words = np.zeros(-(-len(content) // WORD_BYTES), np.int64)  # devices do not add single bytes
    words.view(np.uint8)[: len(content)] = content
    # TensorFlow adds a tensor that is not per-replica once for each host.
    total = _strategy.reduce("SUM", tf.constant(words), axis=None)
    return total.numpy().view(np.uint8)[: len(content)]
