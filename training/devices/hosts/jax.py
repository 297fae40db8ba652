"""Connection and collectives between hosts on JAX."""

import os
import re

import jax
import numpy as np
from jax.experimental import multihost_utils

from training.devices.hosts.environment import ADDRESSES, NUMBER, PROCESS
from training.errors import UserError

XLA_STATUS = re.compile("[A-Z_]+: ")  # such as "UNKNOWN: Gloo AllGather failed"
# A host that sends no heartbeat for this long counts as lost.
HEARTBEAT_SECONDS = 30


def connect():
    """Connect to the other hosts and wait for all of them; call it before using JAX.

    Does what `keras.distribution.initialize` does with the same variables, but with a shorter
    heartbeat timeout than its 100 seconds, so that hosts notice sooner that one is lost.

    Raises:
        UserError: If the variables are invalid, or a host does not connect within five minutes.
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
            f"{ADDRESSES}, {NUMBER} and {PROCESS} must be the address HOST:PORT of the first "
            "host, the number of hosts, and the index of this host, from 0. Received: "
            f"{addresses}, {number}, {process}: {error} Set all three on each host and start the "
            "same command on all of them, or unset them to train on one host."
        ) from error


def count():
    return jax.process_count()


def index():
    return jax.process_index()


def may_mean_a_lost_host(error):
    """Return whether an error comes from XLA, which also raises ValueError for a lost host."""
    from_xla = isinstance(error, jax.errors.JaxRuntimeError) or (
        isinstance(error, ValueError) and XLA_STATUS.match(str(error))
    )
    return bool(from_xla) and "RESOURCE_EXHAUSTED" not in str(error)


def gather(content):
    """Return the bytes of all hosts, (hosts, length); bytes, since JAX rounds 64 bits to 32."""
    return multihost_utils.process_allgather(content)


def broadcast(content):
    """Return the bytes of the first host; every host passes an array of the same length."""
    return multihost_utils.broadcast_one_to_all(content)


def to_numpy(variable):
    """Return the value of a Keras variable, gathered from all hosts that hold a shard of it."""
    value = variable.value
    if value.is_fully_replicated or value.is_fully_addressable:
        return np.asarray(variable.numpy())
    return multihost_utils.process_allgather(value, tiled=True)
