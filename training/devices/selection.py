"""Selection of the devices, engine and precision of a run; rejects unsupported settings."""

import os

import keras

from training.devices import hosts
from training.devices.detection import detect_devices
from training.devices.distribution import Distribution, counted
from training.devices.hosts.environment import ADDRESSES, NUMBER, PROCESS
from training.errors import UserError
from training.validation import refuse_unless

MULTI_DEVICE_BACKENDS = "KERAS_BACKEND=jax or KERAS_BACKEND=tensorflow"
HOST_VARIABLES = f"{ADDRESSES}, {NUMBER} and {PROCESS}"
TPU_VARIABLES = ("TPU_NAME", "COLAB_TPU_ADDR", "TPU_ACCELERATOR_TYPE", "TPU_WORKER_HOSTNAMES")


def find_distribution(wanted):
    """Detect the devices and return the `Distribution` for a `training.config.Hardware`.

    Raises:
        UserError: If the devices or the backend do not support it.
    """
    refuse_clusters(keras.backend.backend(), os.environ)
    return choose_distribution(detect_devices(), wanted, os.environ)


def refuse_several_hosts(command):
    """Raise UserError if environment variables name several hosts for a single-host command."""
    if hosts.are_named(os.environ, keras.backend.backend()):
        raise UserError(
            f"`{command}` must run on one host. Received: {ADDRESSES}, {NUMBER}, "
            "TPU_WORKER_HOSTNAMES or TF_CONFIG, which name several. Unset them and run it on the "
            "host that has the run folder."
        )


def refuse_clusters(backend, environment):
    """Raise UserError if variables name several hosts but the backend does not read them.

    Otherwise each host would train the same run on its own.
    """
    if backend != "jax" and hosts.are_named(environment, "jax"):
        alternative = ", or name the hosts in TF_CONFIG" if backend == "tensorflow" else ""
        raise UserError(
            f"KERAS_BACKEND must be jax to train on the hosts named by {ADDRESSES}, "
            f"{NUMBER} or TPU_WORKER_HOSTNAMES. Received: {backend}. Set "
            f"KERAS_BACKEND=jax{alternative}, or unset these variables to train on one host."
        )
    named = backend == "jax" and hosts.are_named(environment, "jax")
    if backend != "tensorflow" and not named and hosts.are_named(environment, "tensorflow"):
        raise UserError(
            "TF_CONFIG must name one host unless KERAS_BACKEND=tensorflow. Received: "
            f"{environment['TF_CONFIG']}, with {backend}. Set KERAS_BACKEND=jax and "
            f"{HOST_VARIABLES} on each host, or unset TF_CONFIG to train on one host."
        )
    processes = environment.get("WORLD_SIZE", "1")
    if backend == "torch" and processes != "1":
        raise UserError(
            "WORLD_SIZE must be 1 with KERAS_BACKEND=torch, which trains in one process. Received: "
            f"{processes}. Start the command without torchrun, or set KERAS_BACKEND=jax and "
            f"{HOST_VARIABLES} on each host."
        )


def choose_distribution(detected, wanted, environment):
    """Return the `Distribution` that a `training.config.Hardware` asks for.

    Args:
        detected: The `DetectedDevices` to choose from.
        wanted: The `training.config.Hardware`.
        environment: Environment variables, which may tell of a TPU that was not detected.

    Raises:
        UserError: If the detected devices do not support it.
    """
    devices = _choose_devices(detected, wanted)
    _require_model_parallelism(detected, len(devices), wanted)
    refuse_unless(
        wanted.precision != "mixed_float16" or detected.kind != "tpu",
        "precision",
        "must not be mixed_float16 on a TPU, which computes in bfloat16",
        wanted.precision,
        "Pass mixed_bfloat16, or auto.",
    )
    precision = wanted.precision
    if precision == "auto":
        precision = "mixed_bfloat16" if detected.has_bfloat16 else "float32"
    note = _note(detected, len(devices), wanted, environment) or _slow_precision(
        detected, precision
    )
    return Distribution(detected, devices, wanted.model_devices, precision, note)


def _choose_devices(detected, wanted):
    backend, found = detected.backend, len(detected.devices)
    most = 1 if backend == "torch" else found
    refuse_unless(
        wanted.devices <= most,
        "devices",
        f"must be at most {most}, the number of devices that {backend} can train on here",
        wanted.devices,
        "Pass 0 for all of them." if found == most else f"Pass 0, or set {MULTI_DEVICE_BACKENDS}.",
    )
    devices = detected.devices[: wanted.devices or most]
    if len(devices) < found:
        where = f"{detected.hosts} hosts" if detected.hosts > 1 else f"{backend} on a TPU"
        refuse_unless(
            detected.hosts == 1 and (backend, detected.kind) != ("tensorflow", "tpu"),
            "devices",
            f"must be 0 with {where}, where a run uses all devices",
            wanted.devices,
            "Leave it out.",
        )
    return devices


def _require_model_parallelism(detected, used, wanted):
    refuse_unless(
        wanted.model_devices == 1 or detected.backend == "jax",
        "model_devices",
        "must be 1 unless KERAS_BACKEND=jax: Keras shards weights on JAX only",
        wanted.model_devices,
        "Set KERAS_BACKEND=jax, or pass 1.",
    )
    refuse_unless(
        used % wanted.model_devices == 0,
        "model_devices",
        f"must divide the number of devices, {used}",
        wanted.model_devices,
        "Pass 1, or another of its divisors.",
    )
    replicas = used // wanted.model_devices
    refuse_unless(
        replicas % detected.hosts == 0 or detected.hosts % replicas == 0,
        "model_devices",
        f"must give each of {detected.hosts} hosts the same number of model replicas, or each "
        f"replica the same number of hosts, with {used} devices",
        wanted.model_devices,
        "Pass 1, or another divisor of the number of devices per host.",
    )


def _note(detected, used, wanted, environment):
    """Return a note on devices that are idle unintentionally, or "" if there are none."""
    idle = len(detected.devices) - used
    if idle and not wanted.devices:
        return (
            f"PyTorch trains on one device, which leaves {counted(idle, detected.kind)} idle; set "
            f"{MULTI_DEVICE_BACKENDS} to use all {len(detected.devices)}."
        )
    if detected.kind == "cpu" and any(name in environment for name in TPU_VARIABLES):
        remedy = (
            "install jax[tpu]"
            if detected.backend == "jax"
            else "set KERAS_BACKEND=jax and install jax[tpu]"
        )
        return f"This host seems to have a TPU that {detected.backend} does not find: {remedy}."
    return ""


def _slow_precision(detected, precision):
    """Return a note on a precision that takes longer than float32, or ""."""
    if (detected.kind, detected.backend) == ("cpu", "jax") and precision != "float32":
        return (
            f"On CPUs, JAX converts the numbers of {precision} to float32 in every operation, so "
            "--precision float32 is faster."
        )
    return ""
