"""Detection of the devices that the backend can use."""

import dataclasses
import functools
import os

import keras

from training.devices import hosts
from training.errors import UserError

BFLOAT16_CAPABILITY = (8, 0)  # compute capability of the first NVIDIA GPUs with bfloat16


@dataclasses.dataclass(frozen=True)
class DetectedDevices:
    """The devices of the best kind that was found, on all hosts.

    Args:
        backend: Name of the Keras backend.
        kind: "cpu", "gpu" or "tpu"; PyTorch has others, such as "mps".
        devices: Their names, as the backend spells them.
        hosts: Number of hosts that they belong to.
        has_bfloat16: Whether all of them compute in bfloat16.
    """

    backend: str
    kind: str = "cpu"
    devices: tuple[str, ...] = ("cpu:0",)
    hosts: int = 1
    has_bfloat16: bool = False


def detect_devices():
    """Return the `DetectedDevices` and hide them from TensorFlow when it only feeds data.

    On several hosts, JAX and TensorFlow first connect to the others.

    Raises:
        UserError: If the hosts cannot connect, or TensorFlow cannot use the TPU.
    """
    hide_accelerators_from_tensorflow()
    backend = keras.backend.backend()
    return {"tensorflow": _detect_tensorflow, "jax": _detect_jax, "torch": _detect_torch}[backend]()


def hide_accelerators_from_tensorflow():
    """Hide GPUs and TPUs from TensorFlow when it only feeds data, so that it allocates nothing."""
    if keras.backend.backend() != "tensorflow":
        import tensorflow as tf

        for kind in ("GPU", "TPU"):
            if tf.config.list_physical_devices(kind):
                tf.config.set_visible_devices([], kind)


def _detect_tensorflow():
    import tensorflow as tf

    if hosts.are_named(os.environ, "tensorflow"):
        return _detect_tensorflow_hosts()
    if tf.config.list_physical_devices("TPU"):
        connect_tpu()
    for kind in ("TPU", "GPU", "CPU"):
        devices = tf.config.list_logical_devices(kind)
        if devices:
            break
    return _tensorflow_devices(kind, len(devices))


def _detect_tensorflow_hosts():
    hosts.connect()
    import tensorflow as tf

    from training.devices.hosts.tensorflow import strategy

    local_devices = strategy().extended.worker_devices
    kind = tf.DeviceSpec.from_string(local_devices[0]).device_type
    return _tensorflow_devices(kind, strategy().num_replicas_in_sync)


def _tensorflow_devices(kind, number):
    import tensorflow as tf

    details = [
        tf.config.experimental.get_device_details(gpu)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return DetectedDevices(
        backend="tensorflow",
        kind=kind.lower(),
        devices=tuple(f"{kind.lower()}:{n}" for n in range(number)),
        hosts=hosts.count(),
        has_bfloat16=kind == "TPU"
        or (kind == "GPU" and _have_bfloat16(d.get("compute_capability") for d in details)),
    )


@functools.cache
def connect_tpu():
    """Initialize this host's TPU for TensorFlow and return its cluster resolver.

    Raises:
        UserError: If TensorFlow cannot use the TPU.
    """
    import tensorflow as tf

    try:
        return tf.distribute.cluster_resolver.TPUClusterResolver.connect("local")
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(
            f"The TPU must be one that this TensorFlow can use. Received: {error}. Set "
            "KERAS_BACKEND=jax, or install the build of TensorFlow for this TPU."
        ) from error


def _detect_jax():
    if hosts.are_named(os.environ, "jax"):
        hosts.connect()
    import jax

    devices = jax.devices()
    kind = devices[0].platform
    capabilities = (getattr(device, "compute_capability", None) for device in devices)
    return DetectedDevices(
        backend="jax",
        kind=kind,
        devices=tuple(keras.distribution.list_devices()),
        hosts=hosts.count(),
        has_bfloat16=kind == "tpu"
        or (
            kind == "gpu"
            and _have_bfloat16(c and tuple(map(int, c.split("."))) for c in capabilities)
        ),
    )


def _detect_torch():
    import torch

    device = keras.ops.zeros(()).device  # On PyTorch, Keras lists no devices and uses one.
    if device.type != "cuda":
        return DetectedDevices("torch", device.type, (f"{device.type}:{device.index or 0}",))
    number = torch.cuda.device_count()
    return DetectedDevices(
        backend="torch",
        kind="gpu",
        devices=tuple(f"cuda:{n}" for n in range(number)),
        has_bfloat16=_have_bfloat16([torch.cuda.get_device_capability()]),
    )


def _have_bfloat16(capabilities):
    """Return whether all GPUs compute in bfloat16; False for AMD's, which report no capability."""
    return all(c and c >= BFLOAT16_CAPABILITY for c in capabilities)
