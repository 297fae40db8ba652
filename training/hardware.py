"""How the devices of a machine share the work of a run.

The engines are `tf.distribute` and `keras.distribution`; one is chosen here, checked and explained.
"""

import contextlib
import dataclasses
import functools
import os

import keras

from training import hosts
from training.config import refuse_unless
from training.errors import UserError
from training.machine import Machine, connect_tpu, find_machine
from training.model_parallel import BATCH, MODEL, layout_map

PLURAL_ENGINES = "KERAS_BACKEND=jax or KERAS_BACKEND=tensorflow"
HOSTS_OF_JAX = f"{hosts.ADDRESSES}, {hosts.NUMBER} and {hosts.PROCESS}"
VARIABLES_OF_TPUS = ("TPU_NAME", "COLAB_TPU_ADDR", "TPU_ACCELERATOR_TYPE", "TPU_WORKER_HOSTNAMES")


@dataclasses.dataclass(frozen=True)
class Hardware:
    """The devices of a run, and how they share its work.

    Args:
        machine: What was found.
        devices: Those that are used.
        model_devices: How many of them share one copy of the weights.
        precision: Keras's name of what is computed in.
        note: What the user might want to know besides, or nothing.
    """

    machine: Machine
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
        of_tensorflow = self.machine.backend == "tensorflow"
        if len(self.devices) == 1 and not (of_tensorflow and self.machine.kind == "tpu"):
            return ""
        if of_tensorflow:
            several_hosts = "MultiWorkerMirrored" if self.machine.hosts > 1 else "Mirrored"
            return f"tf.distribute.{'TPU' if self.machine.kind == 'tpu' else several_hosts}Strategy"
        return f"keras.distribution.{'Model' if self.model_devices > 1 else 'Data'}Parallel"

    def describe(self, work="Training"):
        """Return one line on what works, and what does not."""
        line = f"{work} on {_counted(len(self.devices), self.machine.kind)}"
        if len(self.devices) < len(self.machine.devices):
            line += f" of {len(self.machine.devices)}"
        if self.machine.hosts > 1:
            line += f" of {self.machine.hosts} hosts"
        if self.engine:
            line += f" by {self.engine}"
        if self.model_devices > 1:
            line += f", {self.model_devices} to each copy of the weights"
        return f"{line}, in {self.precision} on {self.machine.backend}. {self.note}".rstrip()

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
        if self.machine.hosts == 1:
            return 0, 1
        if self.machine.backend == "tensorflow":
            return hosts.index(), self.machine.hosts
        distribution = keras.distribution.distribution()
        return distribution.data_shard_id, min(self.replicas, self.machine.hosts)

    def distribute(self, batches, batch_size):
        """Return this host's parts of batches of `batch_size` as `model.fit` takes them."""
        if self.machine.hosts == 1 or self.machine.backend != "tensorflow":
            return batches
        if self.replicas > self.machine.hosts:  # a host has several devices
            batches = batches.rebatch(batch_size // self.replicas, drop_remainder=True)
        return self._strategy.distribute_datasets_from_function(lambda _: batches)

    def scope(self):
        """Return the context in which models are made, trained and used: engine and precision."""
        return self._scope_of(self._strategy or self._distribution)

    def scope_of_this_host(self):
        """Return the context of a model that each host uses by itself; on one host, `scope`.

        Not to be entered within `scope`. TensorFlow uses one device of each host then.
        """
        if self.machine.hosts == 1:
            return self.scope()
        if self.machine.backend == "tensorflow":
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
        if self.machine.backend != "tensorflow" or not self.engine:
            return None
        import tensorflow as tf

        from training.hosts import of_tensorflow

        if self.machine.hosts > 1:
            return of_tensorflow.strategy()
        if self.machine.kind == "tpu":
            return tf.distribute.TPUStrategy(connect_tpu())
        return tf.distribute.MirroredStrategy(list(self.devices))

    @functools.cached_property
    def _distribution(self):
        if self.machine.backend != "jax" or not self.engine:
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


def find_hardware(wanted):
    """Return the `Hardware` of this machine for a `training.config.Hardware`.

    Raises:
        UserError: If the machine or its backend cannot do what is wanted.
    """
    refuse_clusters(keras.backend.backend(), os.environ)
    return choose_hardware(find_machine(), wanted, os.environ)


def refuse_several_hosts(command):
    """Raise UserError where environment variables name several hosts, of which one is enough."""
    if hosts.are_named(os.environ, keras.backend.backend()):
        raise UserError(
            f"{command} works on one host. Received: {hosts.ADDRESSES}, {hosts.NUMBER}, "
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
            f"KERAS_BACKEND must be jax to train on the hosts that {hosts.ADDRESSES}, "
            f"{hosts.NUMBER} or TPU_WORKER_HOSTNAMES name. Received: {backend}. Set it{remedy}, or "
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


def choose_hardware(machine, wanted, environment):
    """Return the `Hardware` that a `training.config.Hardware` asks of a `Machine`.

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
    return Hardware(machine, devices, wanted.model_devices, precision, note)


def _note(machine, used, wanted, environment):
    """Return what is left idle without being asked for, and what would use it."""
    idle = len(machine.devices) - used
    if idle and not wanted.devices:
        return (
            f"Idle, since PyTorch trains on one device here: {_counted(idle, machine.kind)}. "
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


def _counted(number, kind):
    return f"one {kind.upper()}" if number == 1 else f"{number} {kind.upper()}s"
