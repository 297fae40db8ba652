"""What several hosts do together: JAX processes of one program, one on each.

All compute the same steps, each on its part of the batches. What only one may do, such as writing
files, the first host does; `from_first` and `gather` let all know what one of them knows.
"""

import contextlib
import hashlib
import os
import pickle
import subprocess
import sys

import keras
import numpy as np

from training.errors import UserError, report

ADDRESSES, NUMBER, PROCESS = (
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
)
# A host that is silent for so long is lost.
HEARTBEAT_SECONDS = 30
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


def are_named(environment):
    """Return whether environment variables, Keras's or a TPU's, say that there are several."""
    return (
        ADDRESSES in environment
        or NUMBER in environment
        or "," in environment.get("TPU_WORKER_HOSTNAMES", "")
    )


def connect():
    """Wait for the other hosts; to be called before JAX does anything.

    As `keras.distribution.initialize`, by the same variables, but for its heartbeat of 100 seconds:
    a host shall not wait that long for one that is lost.

    Raises:
        UserError: If the variables are wrong, or the others do not come within five minutes.
    """
    import jax

    addresses, number, process = (os.environ.get(name) for name in (ADDRESSES, NUMBER, PROCESS))
    jax.config.update("jax_enable_preemption_service", False)  # `training.signals` heeds SIGTERM
    try:
        jax.distributed.initialize(
            coordinator_address=addresses and addresses.split(",")[0],
            num_processes=number and int(number),
            process_id=process and int(process),
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        raise UserError(
            f"{ADDRESSES}, {NUMBER} and {PROCESS} must name the address HOST:PORT of the first "
            "host, how many there are, and which one this is, from 0 on. Received: "
            f"{addresses}, {number}, {process}: {error} Set all three on each host, and start the "
            "same command on all of them; or unset them to train on one."
        ) from error


def count():
    """Return the number of hosts."""
    if keras.backend.backend() != "jax":
        return 1
    import jax

    return jax.process_count()


def index():
    """Return the number of this host, from 0 on."""
    if keras.backend.backend() != "jax":
        return 0
    import jax

    return jax.process_index()


def is_first():
    return index() == 0


@contextlib.contextmanager
def ending_together():
    """Return a context in which no host waits for one that has ended.

    At an error it ends this one at once, where JAX would wait for all of them. And since JAX ends
    it at once when another host is lost, with a message that is not for users, it starts a process
    that has one for them.
    """
    if count() == 1:
        yield
        return
    import jax

    watch = subprocess.Popen([sys.executable, "-c", WATCH, LOST], stdin=subprocess.PIPE)
    try:
        yield
    except Exception as error:
        status = report(error)
        is_of_jax = isinstance(error, jax.errors.JaxRuntimeError)
        if not is_of_jax or "RESOURCE_EXHAUSTED" in str(error):  # else the watch says what it means
            watch.communicate(b"ended by itself")
        os._exit(status)
    finally:
        watch.communicate(b"ended by itself")


def gather(array):
    """Return the arrays of all hosts, of one shape and type on all: `(hosts, …)`, in NumPy."""
    array = np.asarray(array)
    if count() == 1:
        return array[None]
    from jax.experimental import multihost_utils

    # As bytes, since JAX rounds 64 bits to 32.
    gathered = multihost_utils.process_allgather(np.frombuffer(array.tobytes(), np.uint8))
    return np.frombuffer(gathered.tobytes(), array.dtype).reshape(-1, *array.shape)


def from_first(compute):
    """Return what `compute` returns on the first host, on all; only there it is called."""
    if count() == 1:
        return compute()
    from jax.experimental import multihost_utils

    content = np.frombuffer(pickle.dumps(compute()) if is_first() else b"", np.uint8)
    size = int(gather(len(content))[0])
    if not is_first():
        content = np.zeros(size, np.uint8)
    parts = [
        multihost_utils.broadcast_one_to_all(content[begin : begin + BROADCAST_BYTES])
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


def whole(variable):
    """Return the value of a Keras variable in NumPy, also if each host holds a part of it."""
    value = variable.value
    if count() > 1 and not (value.is_fully_replicated or value.is_fully_addressable):
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(value, tiled=True)
    return np.asarray(variable.numpy())
