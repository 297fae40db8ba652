"""Communication between several hosts, each of which runs one process of the same program.

All hosts compute the same steps, each on its shard of the batches. The first host alone writes
files. `from_first` broadcasts a value and `gather` collects one, through the backend's module,
`jax` or `tensorflow`.
"""

import contextlib
import hashlib
import os
import pickle
import subprocess
import sys

import keras
import numpy as np

from training.devices.hosts.environment import ADDRESSES, NUMBER
from training.errors import UserError, report

BROADCAST_BYTES = 2**26  # per collective, since it takes memory on the devices
LOST = (
    "error: Training on this host was stopped by a signal, or because another host ended or cannot "
    "be reached; see the messages of that host. The saved checkpoints are valid. Once all hosts "
    "are available, run the same command on each of them to resume from the last checkpoint."
)
# Waits until its parent ends, then prints a message unless the parent has cancelled it.
WATCH = (
    "import signal, sys; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; "
    "sys.stdin.read() or print(sys.argv[1], file=sys.stderr)"
)

_watch = None  # the process that runs WATCH, once `connect` has started it


def _engine():
    """Return the module for the backend, or None if it trains on one host only."""
    backend = keras.backend.backend()
    if backend == "jax":
        from training.devices.hosts import jax as jax_hosts

        return jax_hosts
    if backend == "tensorflow":
        from training.devices.hosts import tensorflow as tensorflow_hosts

        return tensorflow_hosts
    return None


def are_named(environment, backend):
    """Return whether the environment variables that a backend reads name several hosts.

    TensorFlow reads `TF_CONFIG`. JAX reads Keras's variables or those of a TPU.

    Raises:
        UserError: If they are invalid.
    """
    if backend == "tensorflow":
        from training.devices.hosts.tensorflow import shard_of

        return shard_of(environment).count > 1
    return (
        ADDRESSES in environment
        or NUMBER in environment
        or "," in environment.get("TPU_WORKER_HOSTNAMES", "")
    )


def connect():
    """Connect to the other hosts and wait for all of them; call it before using the backend.

    Raises:
        UserError: If the environment variables are invalid, or a host does not connect in time.
    """
    global _watch
    _watch = subprocess.Popen([sys.executable, "-c", WATCH, LOST], stdin=subprocess.PIPE)
    print("Waiting for the other hosts; press Ctrl-C to cancel", flush=True)
    _engine().connect()


def count():
    """Return the number of hosts."""
    engine = _engine()
    return engine.count() if engine else 1


def index():
    """Return the index of this host, from 0."""
    engine = _engine()
    return engine.index() if engine else 0


def is_first():
    return index() == 0


@contextlib.contextmanager
def exit_on_failure():
    """Exit the process at once if this host fails, so that the other hosts do not deadlock.

    An exception would leave the other hosts waiting in a collective, so the process exits after
    reporting it. If the backend aborts the process because another host is lost, its message is
    not meant for users; the process that `connect` started prints one that is.
    """
    try:
        yield
    except Exception as error:
        if _watch is None:
            raise
        status = report(error)
        if not _engine().may_mean_a_lost_host(error):  # otherwise the watch explains it
            _stop_watch()
        os._exit(status)
    finally:
        _stop_watch()


def _stop_watch():
    global _watch
    if _watch is not None:
        _watch.communicate(b"cancelled")
        _watch = None


def gather(array):
    """Return the NumPy arrays of all hosts, stacked: `(hosts, …)`; shapes and types must agree."""
    array = np.asarray(array)
    if count() == 1:
        return array[None]
    gathered = _engine().gather(np.frombuffer(array.tobytes(), np.uint8))
    return np.frombuffer(gathered.tobytes(), array.dtype).reshape(-1, *array.shape)


def from_first(compute):
    """Call `compute` on the first host only and return its result on every host."""
    if count() == 1:
        return compute()
    content = np.frombuffer(pickle.dumps(compute()) if is_first() else b"", np.uint8)
    size = int(gather(len(content))[0])
    if not is_first():
        content = np.zeros(size, np.uint8)
    chunks = [
        _engine().broadcast(content[begin : begin + BROADCAST_BYTES])
        for begin in range(0, size, BROADCAST_BYTES)
    ]
    return pickle.loads(b"".join(chunk.tobytes() for chunk in chunks))


def require_same(value, argument, rule, advice):
    """Raise UserError unless a picklable value is the same on all hosts."""
    digest = np.frombuffer(hashlib.sha256(pickle.dumps(value)).digest(), np.uint8)
    for number, other in enumerate(gather(digest)):
        if (other != digest).any():
            raise UserError(
                f"{argument} must {rule} on all hosts. Received: different values on hosts "
                f"{index()} and {number}. {advice}"
            )


def to_numpy(variable):
    """Return the value of a Keras variable as a NumPy array, even if it is sharded over hosts."""
    return _engine().to_numpy(variable) if count() > 1 else np.asarray(variable.numpy())
