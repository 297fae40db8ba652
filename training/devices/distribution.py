"""How the devices of a machine share the work of a run.

The engines are `tf.distribute` and `keras.distribution`.
"""

import contextlib
import dataclasses
import functools

import keras

from training.data.shard import Shard
from training.devices import hosts
from training.devices.detection import DetectedDevices, connect_tpu
from training.devices.model_parallel import BATCH, MODEL, layout_map
from training.validation import refuse_unless


@dataclasses.dataclass(frozen=True)
class Distribution:
    """The devices of a run, and how they share its work.

    Args:
        detected: What was found.
        devices: Those that are used.
        model_devices: How many of them share one copy of the weights.
        precision: Keras's name of what is computed in.
        note: What the user might want to know besides, or nothing.
    """

    detected: DetectedDevices
    devices: tuple[str, ...]
    model_devices: int
    precision: str
    note: str = ""

    @property
    def replicas(self):
        """Number of equal parts into which each batch is divided."""
        return len(self.devices) // self.model_devices

    @property
    def distribution(self):
        if len(self.devices) == 1:
            return "one device"
        return "model parallel" if self.model_devices > 1 else "data parallel"

    @property
    def engine(self):
        """Name of what shares the work, or nothing for one device.

        To one TPU, too, TensorFlow comes by a strategy only.
        """
        of_tensorflow = self.detected.backend == "tensorflow"
        if len(self.devices) == 1 and not (of_tensorflow and self.detected.kind == "tpu"):
            return ""
        if of_tensorflow:
            several_hosts = "MultiWorkerMirrored" if self.detected.hosts > 1 else "Mirrored"
            return (
                f"tf.distribute.{'TPU' if self.detected.kind == 'tpu' else several_hosts}Strategy"
            )
        return f"keras.distribution.{'Model' if self.model_devices > 1 else 'Data'}Parallel"

    def describe(self, work="Training"):
        """Return one line on what works, and what does not."""
        line = f"{work} on {counted(len(self.devices), self.detected.kind)}"
        if len(self.devices) < len(self.detected.devices):
            line += f" of {len(self.detected.devices)}"
        if self.detected.hosts > 1:
            line += f" of {self.detected.hosts} hosts"
        if self.engine:
            line += f" by {self.engine}"
        if self.model_devices > 1:
            line += f", {self.model_devices} to each copy of the weights"
        return f"{line}, in {self.precision} on {self.detected.backend}. {self.note}".rstrip()

    def require_even_batches(self, batch_size):
        """Refuse a number of images that the devices cannot share evenly."""
        below = batch_size // self.replicas * self.replicas
        refuse_unless(
            below == batch_size,
            "batch_size",
            f"must be a multiple of {self.replicas}, the parts that {len(self.devices)} devices "
            "make of it",
            batch_size,
            f"Pass {below or self.replicas} or {below + self.replicas}.",
        )

    def evaluation_batch_size(self, batch_size):
        """Return the next number of images, not below, that all devices share evenly."""
        return -(-batch_size // len(self.devices)) * len(self.devices)

    def data_shard(self):
        """Return which part of each batch this host reads, and of how many."""
        if self.detected.hosts == 1:
            return Shard()
        if self.detected.backend == "tensorflow":
            return Shard(hosts.index(), self.detected.hosts)
        distribution = keras.distribution.distribution()
        return Shard(distribution.data_shard_id, min(self.replicas, self.detected.hosts))

    def distribute(self, batches, batch_size):
        """Return this host's parts of batches of `batch_size` as `model.fit` takes them."""
        if self.detected.hosts == 1 or self.detected.backend != "tensorflow":
            return batches
        if self.replicas > self.detected.hosts:  # a host has several devices
            batches = batches.rebatch(batch_size // self.replicas, drop_remainder=True)
        return self._strategy.distribute_datasets_from_function(lambda _: batches)

    def scope(self):
        """Return the context in which models are made, trained and used: engine and precision."""
        return self._scope_of(self._strategy or self._distribution)

    def scope_of_this_host(self):
        """Return the context of a model that each host uses by itself; on one host, `scope`.

        Not to be entered within `scope`. TensorFlow uses one device of each host then.
        """
        if self.detected.hosts == 1:
            return self.scope()
        if self.detected.backend == "tensorflow":
            return self._scope_of(None)
        import jax

        names = [f"{device.platform}:{device.id}" for device in jax.local_devices()]
        return self._scope_of(_data_parallel(names))

    @contextlib.contextmanager
    def _scope_of(self, engine):
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.precision)
        try:
            with engine.scope() if engine else contextlib.nullcontext():
                yield
        finally:
            keras.config.set_dtype_policy(policy)

    @functools.cached_property
    def _strategy(self):
        if self.detected.backend != "tensorflow" or not self.engine:
            return None
        import tensorflow as tf

        from training.devices.hosts import tensorflow as of_tensorflow

        if self.detected.hosts > 1:
            return of_tensorflow.strategy()
        if self.detected.kind == "tpu":
            return tf.distribute.TPUStrategy(connect_tpu())
        return tf.distribute.MirroredStrategy(list(self.devices))

    @functools.cached_property
    def _distribution(self):
        if self.detected.backend != "jax" or not self.engine:
            return None
        if self.model_devices == 1:
            return _data_parallel(self.devices)
        mesh = keras.distribution.DeviceMesh(
            (self.replicas, self.model_devices), (BATCH, MODEL), list(self.devices)
        )
        return keras.distribution.ModelParallel(
            layout_map=layout_map(mesh), batch_dim_name=BATCH, auto_shard_dataset=False
        )


def _data_parallel(devices):
    # `training.data` divides the batches among hosts.
    return keras.distribution.DataParallel(devices=list(devices), auto_shard_dataset=False)


def counted(number, kind):
    """Return a number of devices in words, such as "one GPU"."""
    return f"one {kind.upper()}" if number == 1 else f"{number} {kind.upper()}s"
