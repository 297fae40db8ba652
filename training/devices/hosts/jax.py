"""Several hosts under JAX."""

import os
import re

import jax
import numpy as np
from jax.experimental import multihost_utils

from training.devices.hosts.environment import ADDRESSES, NUMBER, PROCESS
from training.errors import UserError

STATUS_OF_XLA = re.compile("[A-Z_]+: ")  # such as "UNKNOWN: Gloo AllGather failed"
# A host that is silent for so long is lost.
HEARTBEAT_SECONDS = 30


def connect():
    """Wait for the other hosts; to be called before JAX does anything.

    As `keras.distribution.initialize`, by the same variables, but for its heartbeat of 100 seconds:
    a host shall not wait that long for one that is lost.

    Raises:
        UserError: If the variables are wrong, or the others do not come within five minutes.
    """
    addresses, number, process = (os.environ.get(name) for name in (ADDRESSES, NUMBER, PROCESS))
    jax.config.update("jax_enable_preemption_service", False)  # see `training.run.signals`
    try:
        jax.distributed.initialize(
            coordinator_address=addresses and addresses.split(",")[0],
            num_processes=int(number) if number else None,
            process_id=int(process) if process else None,
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
    return jax.process_count()


def index():
    return jax.process_index()


def may_mean_a_lost_host(error):
    """Return whether an error is of XLA, which says by some ValueErrors too that it lost a host."""
    is_of_xla = isinstance(error, jax.errors.JaxRuntimeError) or (
        isinstance(error, ValueError) and STATUS_OF_XLA.match(str(error))
    )
    return bool(is_of_xla) and "RESOURCE_EXHAUSTED" not in str(error)


def gather(content):
    """Return the bytes of all hosts, (hosts, length): bytes, since JAX rounds 64 bits to 32."""
    return multihost_utils.process_allgather(content)


def broadcast(content):
    """Return the bytes of the first host; all give as many."""
    return multihost_utils.broadcast_one_to_all(content)


def to_numpy(variable):
    value = variable.value
    if value.is_fully_replicated or value.is_fully_addressable:
        return np.asarray(variable.numpy())
    return multihost_utils.process_allgather(value, tiled=True)
