"""Data and model parallelism over the devices of a run, on one host or several.

`tf.distribute` runs it on TensorFlow and `keras.distribution` on JAX.
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
    """The devices of a run and how they are used.

    Args:
        detected: All devices that were detected.
        devices: The devices that the run uses.
        model_devices: Number of devices over which each copy of the weights is sharded.
        precision: Name of the Keras dtype policy.
        note: Advice for the user, such as how to use idle devices; may be empty.
    """

    detected: DetectedDevices
    devices: tuple[str, ...]
    model_devices: int
    precision: str
    note: str = ""

    @property
    def replicas(self):
        """Number of model replicas; each gets an equal shard of every batch."""
        return len(self.devices) // self.model_devices

    @property
    def distribution(self):
        """Name of the kind of parallelism, for the summary of a run."""
        if len(self.devices) == 1:
            return "one device"
        return "model parallel" if self.model_devices > 1 else "data parallel"

    @property
    def engine(self):
        """Name of the class that distributes the run; empty where one device needs none.

        TensorFlow needs a strategy even for a single TPU.
        """
        on_tensorflow = self.detected.backend == "tensorflow"
        on_tpu = self.detected.kind == "tpu"
        if len(self.devices) == 1 and not (on_tensorflow and on_tpu):
            return ""
        if on_tensorflow:
            mirrored = "MultiWorkerMirrored" if self.detected.hosts > 1 else "Mirrored"
            return f"tf.distribute.{'TPU' if on_tpu else mirrored}Strategy"
        return f"keras.distribution.{'Model' if self.model_devices > 1 else 'Data'}Parallel"

    def describe(self, work="Training", xla=False):
        """Return a line for the user: devices, engine, compiler, precision, and the note."""
        line = f"{work} on {counted(len(self.devices), self.detected.kind)}"
        if len(self.devices) < len(self.detected.devices):
            line += f" of {len(self.detected.devices)}"
        if self.detected.hosts > 1:
            line += f" on {self.detected.hosts} hosts"
        if self.engine:
            line += f" via {self.engine}"
        if self.model_devices > 1:
            line += f", each copy of the weights sharded over {self.model_devices}"
        if xla:
            line += ", compiled with XLA"
        return f"{line}, in {self.precision} on {self.detected.backend}. {self.note}".rstrip()

    def require_even_batches(self, batch_size):
        """Raise UserError unless the replicas can share a batch evenly."""
        below = batch_size // self.replicas * self.replicas
        refuse_unless(
            below == batch_size,
            "batch_size",
            f"must be a multiple of {self.replicas}, the number of model replicas on "
            f"{len(self.devices)} devices",
            batch_size,
            f"Pass {below or self.replicas} or {below + self.replicas}.",
        )

    def evaluation_batch_size(self, batch_size):
        """Return the evaluation batch size, rounded up so that every device shares it evenly."""
        return -(-batch_size // len(self.devices)) * len(self.devices)

    def data_shard(self):
        """Return the `Shard` of each batch that this host reads."""
        if self.detected.hosts == 1:
            return Shard()
        if self.detected.backend == "tensorflow":
            return Shard(hosts.index(), self.detected.hosts)
        distribution = keras.distribution.distribution()
        return Shard(distribution.data_shard_id, min(self.replicas, self.detected.hosts))

    def distribute(self, batches, batch_size):
        """Return this host's shards of the batches in the form that `model.fit` takes.

        Args:
            batches: A `tf.data.Dataset` of this host's shards.
            batch_size: Global batch size.
        """
        if self.detected.hosts == 1 or self.detected.backend != "tensorflow":
            return batches
        if self.replicas > self.detected.hosts:  # several replicas per host
            batches = batches.rebatch(batch_size // self.replicas, drop_remainder=True)
        return self._strategy.distribute_datasets_from_function(lambda _: batches)

    def scope(self):
        """Return a context that sets engine and precision, to build, train and use models in."""
        return self._scope_with(self._strategy or self._distribution)

    def scope_of_this_host(self):
        """Return the `scope` for a model that each host uses independently of the others.

        Do not enter it inside `scope`. TensorFlow then uses one device of each host.
        """
        if self.detected.hosts == 1:
            return self.scope()
        if self.detected.backend == "tensorflow":
            return self._scope_with(None)
        import jax

        names = [f"{device.platform}:{device.id}" for device in jax.local_devices()]
        return self._scope_with(_data_parallel(names))

    @contextlib.contextmanager
    def _scope_with(self, engine):
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

        from training.devices.hosts import tensorflow as tensorflow_hosts

        if self.detected.hosts > 1:
            return tensorflow_hosts.strategy()
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
    # `training.data` shards the batches over hosts, so Keras must not do it again.
    return keras.distribution.DataParallel(devices=list(devices), auto_shard_dataset=False)


def counted(number, kind):
    """Return a count of devices in words, such as "one GPU"."""
    return f"one {kind.upper()}" if number == 1 else f"{number} {kind.upper()}s"
