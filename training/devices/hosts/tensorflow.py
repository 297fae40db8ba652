"""Several hosts under TensorFlow, which its environment variable `TF_CONFIG` names."""

import json
import os
import signal
from typing import Any

import numpy as np
import tensorflow as tf

from training.data.shard import Shard
from training.errors import UserError

ROLES = ("chief", "worker")  # in the order in which TensorFlow numbers them
WORD_BYTES = 8


_shard = Shard()
_strategy: Any = None  # one for the process, once it is connected


class Strategy(tf.distribute.MultiWorkerMirroredStrategy):
    """TensorFlow's, under which Keras 3.15.1's `model.fit` works as well.

    Keras asks it to reduce two things that it cannot.
    """

    def reduce(self, reduce_op, value, axis):
        if isinstance(value, tuple):  # the first batch, of which Keras needs the shapes only
            return tuple(self.experimental_local_results(part)[0] for part in value)
        if self.experimental_local_results(value)[0].shape.rank == 0:
            axis = None  # of the logs, along whose first axis Keras asks for a mean
        return super().reduce(reduce_op, value, axis)


def shard_of(environment):
    """Return the `Shard` of this host by environment variables.

    Raises:
        UserError: If they do not tell it.
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
            f"{received}. Correct it, or unset it to train on one host."
        ) from error
    if others:
        raise UserError(
            "TF_CONFIG must name hosts that train, as a chief and workers. Received: "
            f"{others} besides. Leave them out, or unset it to train on one host."
        )
    if len(hosts) < 2:
        return Shard()
    if this not in hosts:
        raise UserError(
            "TF_CONFIG must name which of the cluster's hosts this is, as "
            '{"type": "worker", "index": 0} in "task". Received: '
            f"{task}, in a cluster of {len(hosts)}. Correct it, or unset it to train on one host."
        )
    return Shard(hosts.index(this), len(hosts))


def connect():
    """Wait for the other hosts, however long; to be called before TensorFlow does anything.

    Raises:
        UserError: If the variable is wrong, or TensorFlow cannot connect.
    """
    global _shard, _strategy
    shard = shard_of(os.environ)
    previous = signal.getsignal(signal.SIGTERM)
    try:
        _strategy = Strategy()
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(
            "TF_CONFIG must name an address HOST:PORT for each host, by which all others reach it "
            f"and whose port is free. Received: {os.environ['TF_CONFIG']}: {error}. Set the same "
            "cluster on each host, and start the same command on all of them; or unset it to train "
            "on one."
        ) from error
    signal.signal(signal.SIGTERM, previous)  # for which TensorFlow set a handler of its own
    _shard = shard


def strategy():
    """Return the `tf.distribute` strategy over all devices of all hosts."""
    return _strategy


def count():
    return _shard.count


def index():
    return _shard.index


def may_mean_a_lost_host(error):
    return isinstance(
        error, tf.errors.UnavailableError | tf.errors.AbortedError | tf.errors.CancelledError
    ) or ("Collective ops is aborted" in str(error))


def gather(content):
    """Return the bytes of all hosts, (hosts, length)."""
    rows = np.zeros((count(), len(content)), np.uint8)
    rows[index()] = content
    return _sum(rows.reshape(-1)).reshape(rows.shape)


def broadcast(content):
    """Return the bytes of the first host; all give as many, the others zeros."""
    return _sum(content)


def to_numpy(variable):
    """Metrics are summed over all replicas; each host has all of the others."""
    return np.asarray(variable.numpy())


def _sum(content):
    """Return bytes of which each is 0 on all hosts but one, from that one."""
    words = np.zeros(-(-len(content) // WORD_BYTES), np.int64)  # no devices add single bytes
    words.view(np.uint8)[: len(content)] = content
    # A tensor that is not divided among replicas counts once for each host.
    total = _strategy.reduce("SUM", tf.constant(words), axis=None)
    return total.numpy().view(np.uint8)[: len(content)]
