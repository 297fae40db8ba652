"""What several hosts do together: processes of one program, one on each.

All compute the same steps, each on its part of the batches. What only one may do, such as writing
files, the first host does; `from_first` and `gather` let all know what one of them knows. How they
meet is the backend's: `of_jax` and `of_tensorflow`.
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

BROADCAST_BYTES = 2**26  # at a time, since it takes memory of the devices
LOST = (
    "error: The training on this host was ended from outside: by a signal, or because another host "
    "ended or cannot be reached, whose own messages say why. What was saved is whole: once all "
    "hosts are there again, the same command on each of them goes on after the last checkpoint."
)
# Waits until its parent ends, and tells the user unless the parent has said that it need not.
WATCH = (
    "import signal, sys; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; "
    "sys.stdin.read() or print(sys.argv[1], file=sys.stderr)"
)

_watch = None  # the process that runs WATCH, from `connect` on


def _engine():
    """Return the module of the backend, or None where it trains on one host only."""
    backend = keras.backend.backend()
    if backend == "jax":
        from training.devices.hosts import jax as of_jax

        return of_jax
    if backend == "tensorflow":
        from training.devices.hosts import tensorflow as of_tensorflow

        return of_tensorflow
    return None


def are_named(environment, backend):
    """Return whether the environment variables that a backend heeds name several hosts.

    TensorFlow has its own; JAX heeds Keras's, or a TPU's, and PyTorch would have to.

    Raises:
        UserError: If they are wrong.
    """
    if backend == "tensorflow":
        from training.devices.hosts import tensorflow as of_tensorflow

        return of_tensorflow.shard_of(environment).count > 1
    return (
        ADDRESSES in environment
        or NUMBER in environment
        or "," in environment.get("TPU_WORKER_HOSTNAMES", "")
    )


def connect():
    """Wait for the other hosts; to be called before the backend does anything.

    Raises:
        UserError: If the environment variables are wrong, or the others do not come.
    """
    global _watch
    _watch = subprocess.Popen([sys.executable, "-c", WATCH, LOST], stdin=subprocess.PIPE)
    print("Waiting for the other hosts; ctrl-C ends it", flush=True)
    _engine().connect()


def count():
    """Return the number of hosts."""
    engine = _engine()
    return engine.count() if engine else 1


def index():
    """Return the number of this host, from 0 on."""
    engine = _engine()
    return engine.index() if engine else 0


def is_first():
    return index() == 0


@contextlib.contextmanager
def ending_together():
    """Return a context for all that hosts do together, `connect` first: none waits for another.

    At an error it ends this one at once, where the backend would wait for all of them. And where
    the backend ends it, since another host is lost, with a message that is not for users, the
    process that `connect` started has one for them.
    """
    try:
        yield
    except Exception as error:
        if _watch is None:
            raise
        status = report(error)
        if not _engine().may_mean_a_lost_host(error):  # else the watch says what it means
            _call_off_the_watch()
        os._exit(status)
    finally:
        _call_off_the_watch()


def _call_off_the_watch():
    global _watch
    if _watch is not None:
        _watch.communicate(b"ended by itself")
        _watch = None


def gather(array):
    """Return the arrays of all hosts, of one shape and type on all: `(hosts, …)`, in NumPy."""
    array = np.asarray(array)
    if count() == 1:
        return array[None]
    gathered = _engine().gather(np.frombuffer(array.tobytes(), np.uint8))
    return np.frombuffer(gathered.tobytes(), array.dtype).reshape(-1, *array.shape)


def from_first(compute):
    """Return what `compute` returns on the first host, on all; only there it is called."""
    if count() == 1:
        return compute()
    content = np.frombuffer(pickle.dumps(compute()) if is_first() else b"", np.uint8)
    size = int(gather(len(content))[0])
    if not is_first():
        content = np.zeros(size, np.uint8)
    parts = [
        _engine().broadcast(content[begin : begin + BROADCAST_BYTES])
        for begin in range(0, size, BROADCAST_BYTES)
    ]
    return pickle.loads(b"".join(part.tobytes() for part in parts))


def require_same(value, argument, rule, advice):
    """Raise UserError unless a value, which pickles, is the same on all hosts."""
    digest = np.frombuffer(hashlib.sha256(pickle.dumps(value)).digest(), np.uint8)
    for number, other in enumerate(gather(digest)):
        if (other != digest).any():
            raise UserError(
                f"{argument} must {rule} on all hosts. Received: others on host {index()} than on "
                f"host {number}. {advice}"
            )


def to_numpy(variable):
    """Return the value of a Keras variable in NumPy, also if each host holds a part of it."""
    return _engine().to_numpy(variable) if count() > 1 else np.asarray(variable.numpy())
