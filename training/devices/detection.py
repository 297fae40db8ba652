"""The devices that a backend finds."""

import dataclasses
import functools
import os

import keras

from training.devices import hosts
from training.errors import UserError

FIRST_WITH_BFLOAT16 = (8, 0)  # compute capability of NVIDIA's GPUs


@dataclasses.dataclass(frozen=True)
class DetectedDevices:
    """The devices of the best kind, those of all hosts together."""

    backend: str
    kind: str = "cpu"  # or gpu or tpu; PyTorch has others too, such as mps
    devices: tuple[str, ...] = ("cpu:0",)  # by the backend's own names
    hosts: int = 1
    has_bfloat16: bool = False


def detect_devices():
    """Return the `DetectedDevices` of the backend; its accelerators are no one else's then.

    JAX and TensorFlow wait for the other hosts before, if there are any.

    Raises:
        UserError: If they do not come.
    """
    hide_accelerators_from_tensorflow()
    backend = keras.backend.backend()
    return {"tensorflow": _of_tensorflow, "jax": _of_jax, "torch": _of_torch}[backend]()


def hide_accelerators_from_tensorflow():
    """Leave the accelerators to the backend where TensorFlow only feeds it."""
    if keras.backend.backend() != "tensorflow":
        import tensorflow as tf

        for kind in ("GPU", "TPU"):
            if tf.config.list_physical_devices(kind):
                tf.config.set_visible_devices([], kind)


def _of_tensorflow():
    import tensorflow as tf

    if hosts.are_named(os.environ, "tensorflow"):
        return _of_hosts_of_tensorflow()
    if tf.config.list_physical_devices("TPU"):
        connect_tpu()
    for kind in ("TPU", "GPU", "CPU"):
        devices = tf.config.list_logical_devices(kind)
        if devices:
            break
    return _machine_of_tensorflow(kind, len(devices))


def _of_hosts_of_tensorflow():
    hosts.connect()
    import tensorflow as tf

    from training.devices.hosts.tensorflow import strategy

    ours = strategy().extended.worker_devices  # this host's
    kind = tf.DeviceSpec.from_string(ours[0]).device_type
    return _machine_of_tensorflow(kind, strategy().num_replicas_in_sync)


def _machine_of_tensorflow(kind, number):
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
    """Make the TPU of this machine ready for TensorFlow; return its resolver.

    Raises:
        UserError: If that fails.
    """
    import tensorflow as tf

    try:
        return tf.distribute.cluster_resolver.TPUClusterResolver.connect("local")
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(
            f"The TPU must be one that this TensorFlow can use. Received: {error}. Set "
            "KERAS_BACKEND=jax, or install the build of TensorFlow for this TPU."
        ) from error


def _of_jax():
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


def _of_torch():
    import torch

    device = keras.ops.zeros(()).device  # Keras lists no devices there, and uses one
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
    """Return whether all GPUs compute in bfloat16; AMD's, which have no such number, do not ask."""
    return all(c and c >= FIRST_WITH_BFLOAT16 for c in capabilities)
