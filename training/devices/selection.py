"""Which devices and which engine a run gets, and which it cannot have."""

import os

import keras

from training.devices import hosts
from training.devices.detection import detect_devices
from training.devices.distribution import Distribution, counted
from training.devices.hosts.environment import ADDRESSES, NUMBER, PROCESS
from training.errors import UserError
from training.validation import refuse_unless

PLURAL_ENGINES = "KERAS_BACKEND=jax or KERAS_BACKEND=tensorflow"
HOSTS_OF_JAX = f"{ADDRESSES}, {NUMBER} and {PROCESS}"
VARIABLES_OF_TPUS = ("TPU_NAME", "COLAB_TPU_ADDR", "TPU_ACCELERATOR_TYPE", "TPU_WORKER_HOSTNAMES")


def find_distribution(wanted):
    """Return the `Distribution` of this machine for a `training.config.Hardware`.

    Raises:
        UserError: If the machine or its backend cannot do what is wanted.
    """
    refuse_clusters(keras.backend.backend(), os.environ)
    return choose_distribution(detect_devices(), wanted, os.environ)


def refuse_several_hosts(command):
    """Raise UserError where environment variables name several hosts, of which one is enough."""
    if hosts.are_named(os.environ, keras.backend.backend()):
        raise UserError(
            f"{command} works on one host. Received: {ADDRESSES}, {NUMBER}, "
            "TPU_WORKER_HOSTNAMES or TF_CONFIG, which name several. Unset them, on the host of the "
            "run's folder."
        )


def refuse_clusters(backend, environment):
    """Refuse variables that name several hosts to a backend that does not heed them.

    Each host would train the same run by itself.
    """
    if backend != "jax" and hosts.are_named(environment, "jax"):
        remedy = ", or name the hosts by TF_CONFIG" if backend == "tensorflow" else ""
        raise UserError(
            f"KERAS_BACKEND must be jax to train on the hosts that {ADDRESSES}, "
            f"{NUMBER} or TPU_WORKER_HOSTNAMES name. Received: {backend}. Set it{remedy}, or "
            "unset these variables to train on one host."
        )
    named = backend == "jax" and hosts.are_named(environment, "jax")
    if backend != "tensorflow" and not named and hosts.are_named(environment, "tensorflow"):
        raise UserError(
            "TF_CONFIG must name one host except with KERAS_BACKEND=tensorflow. Received: "
            f"{environment['TF_CONFIG']}, with {backend}. Set KERAS_BACKEND=jax and "
            f"{HOSTS_OF_JAX} on each host, or unset TF_CONFIG to train on one."
        )
    processes = environment.get("WORLD_SIZE", "1")
    if backend == "torch" and processes != "1":
        raise UserError(
            "WORLD_SIZE must be 1 with KERAS_BACKEND=torch, which trains in one process. Received: "
            f"{processes}. Start the command without torchrun, or set KERAS_BACKEND=jax and "
            f"{HOSTS_OF_JAX} on each host."
        )


def choose_distribution(machine, wanted, environment):
    """Return the `Distribution` that a `training.config.Hardware` asks of a `DetectedDevices`.

    Raises:
        UserError: If it cannot do that.
    """
    backend, found = machine.backend, len(machine.devices)
    largest = 1 if backend == "torch" else found
    refuse_unless(
        wanted.devices <= largest,
        "devices",
        f"must be at most {largest}, what {backend} trains on here",
        wanted.devices,
        "Pass 0 for all of them." if found == largest else f"Pass 0, or set {PLURAL_ENGINES}.",
    )
    devices = machine.devices[: wanted.devices or largest]
    if len(devices) < found:
        what = f"{machine.hosts} hosts" if machine.hosts > 1 else f"{backend} on a TPU"
        refuse_unless(
            machine.hosts == 1 and (backend, machine.kind) != ("tensorflow", "tpu"),
            "devices",
            f"must be 0 with {what}, where all are taken",
            wanted.devices,
            "Leave it out.",
        )
    refuse_unless(
        wanted.model_devices == 1 or backend == "jax",
        "model_devices",
        "must be 1 except with KERAS_BACKEND=jax: no other engine of Keras divides the weights",
        wanted.model_devices,
        "Set KERAS_BACKEND=jax, or pass 1.",
    )
    refuse_unless(
        len(devices) % wanted.model_devices == 0,
        "model_devices",
        f"must divide the number of devices, {len(devices)}",
        wanted.model_devices,
        "Pass 1, or another of its divisors.",
    )
    replicas = len(devices) // wanted.model_devices
    refuse_unless(
        replicas % machine.hosts == 0 or machine.hosts % replicas == 0,
        "model_devices",
        f"must leave each of {machine.hosts} hosts as many whole copies of the weights, or each "
        f"copy as many whole hosts, of {len(devices)} devices",
        wanted.model_devices,
        "Pass 1, or another divisor of the devices of a host.",
    )
    refuse_unless(
        wanted.precision != "mixed_float16" or machine.kind != "tpu",
        "precision",
        "must not be mixed_float16 on a TPU, which computes in bfloat16",
        wanted.precision,
        "Pass mixed_bfloat16, or auto.",
    )
    precision = wanted.precision
    if precision == "auto":
        precision = "mixed_bfloat16" if machine.has_bfloat16 else "float32"
    note = _note(machine, len(devices), wanted, environment)
    return Distribution(machine, devices, wanted.model_devices, precision, note)


def _note(machine, used, wanted, environment):
    """Return what is left idle without being asked for, and what would use it."""
    idle = len(machine.devices) - used
    if idle and not wanted.devices:
        return (
            f"Idle, since PyTorch trains on one device here: {counted(idle, machine.kind)}. "
            f"{PLURAL_ENGINES} would use all {len(machine.devices)}."
        )
    if machine.kind == "cpu" and any(name in environment for name in VARIABLES_OF_TPUS):
        remedy = (
            "install jax[tpu]"
            if machine.backend == "jax"
            else "KERAS_BACKEND=jax would, with jax[tpu] installed"
        )
        return f"This machine seems to have a TPU, which {machine.backend} does not find: {remedy}."
    return ""
