import json

import keras
import pytest

from training.config import Hardware as Wanted
from training.data.shard import Shard
from training.devices import hosts
from training.devices.detection import DetectedDevices
from training.devices.hosts.tensorflow import shard_of
from training.devices.selection import (
    choose_distribution,
    refuse_clusters,
    refuse_several_hosts,
)
from training.errors import UserError


def detected(backend, kind="cpu", number=1, **fields):
    return DetectedDevices(backend, kind, tuple(f"{kind}:{i}" for i in range(number)), **fields)


def tpus(backend, number, **fields):
    return detected(backend, "tpu", number, has_bfloat16=True, **fields)


BF16 = {"has_bfloat16": True}
CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
JAX_HOSTS = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "a:1", "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}


def tf_config(cluster, task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


TENSORFLOW_HOST = tf_config(CLUSTER, {"type": "chief", "index": 0})
IDLE_TPU = {"TPU_ACCELERATOR_TYPE": "v5litepod-8"}

# Detected devices, hardware options, and the line that `train` prints.
CHOICES = {
    "CPU": (detected("jax"), {}, "Training on one CPU, in float32 on jax."),
    "CPU with PyTorch": (detected("torch"), {}, "Training on one CPU, in float32 on torch."),
    "CPU with PyTorch in half precision": (
        detected("torch"),
        {"precision": "mixed_bfloat16"},
        "Training on one CPU, in mixed_bfloat16 on torch.",
    ),
    "CPU with JAX in half precision": (
        detected("jax"),
        {"precision": "mixed_bfloat16"},
        "Training on one CPU, in mixed_bfloat16 on jax. On CPUs, JAX converts the numbers of "
        "mixed_bfloat16 to float32 in every operation, so --precision float32 is faster.",
    ),
    "one GPU": (
        detected("tensorflow", "gpu", 1, **BF16),
        {},
        "Training on one GPU, in mixed_bfloat16 on tensorflow.",
    ),
    "one old GPU": (
        detected("jax", "gpu"),
        {},
        "Training on one GPU, in float32 on jax.",
    ),
    "four GPUs with TensorFlow": (
        detected("tensorflow", "gpu", 4, **BF16),
        {},
        "Training on 4 GPUs via tf.distribute.MirroredStrategy, in mixed_bfloat16 on tensorflow.",
    ),
    "four GPUs with JAX": (
        detected("jax", "gpu", 4, **BF16),
        {},
        "Training on 4 GPUs via keras.distribution.DataParallel, in mixed_bfloat16 on jax.",
    ),
    "three of them": (
        detected("jax", "gpu", 4, **BF16),
        {"devices": 3, "precision": "float32"},
        "Training on 3 GPUs of 4 via keras.distribution.DataParallel, in float32 on jax.",
    ),
    "one of them": (
        detected("tensorflow", "gpu", 4, **BF16),
        {"devices": 1},
        "Training on one GPU of 4, in mixed_bfloat16 on tensorflow.",
    ),
    "weights sharded over two devices": (
        detected("jax", "gpu", 4, **BF16),
        {"model_devices": 2},
        "Training on 4 GPUs via keras.distribution.ModelParallel, each copy of the weights sharded "
        "over 2, in mixed_bfloat16 on jax.",
    ),
    "PyTorch with two GPUs": (
        detected("torch", "gpu", 2, **BF16),
        {},
        "Training on one GPU of 2, in mixed_bfloat16 on torch. PyTorch trains on one device, which "
        "leaves one GPU idle; set KERAS_BACKEND=jax or KERAS_BACKEND=tensorflow to use all 2.",
    ),
    "PyTorch with eight GPUs": (
        detected("torch", "gpu", 8),
        {},
        "Training on one GPU of 8, in float32 on torch. PyTorch trains on one device, which "
        "leaves 7 GPUs idle; set KERAS_BACKEND=jax or KERAS_BACKEND=tensorflow to use all 8.",
    ),
    "Colab TPU": (
        tpus("jax", 1),
        {},
        "Training on one TPU, in mixed_bfloat16 on jax.",
    ),
    "TPU VM": (
        tpus("jax", 8),
        {},
        "Training on 8 TPUs via keras.distribution.DataParallel, in mixed_bfloat16 on jax.",
    ),
    "one TPU with TensorFlow": (
        tpus("tensorflow", 1),
        {},
        "Training on one TPU via tf.distribute.TPUStrategy, in mixed_bfloat16 on tensorflow.",
    ),
    "TPU VM with TensorFlow": (
        tpus("tensorflow", 8),
        {},
        "Training on 8 TPUs via tf.distribute.TPUStrategy, in mixed_bfloat16 on tensorflow.",
    ),
    "several hosts with TensorFlow": (
        detected("tensorflow", "gpu", 16, hosts=2, **BF16),
        {},
        "Training on 16 GPUs on 2 hosts via tf.distribute.MultiWorkerMirroredStrategy, in "
        "mixed_bfloat16 on tensorflow.",
    ),
    "several hosts with JAX": (
        tpus("jax", 16, hosts=2),
        {},
        "Training on 16 TPUs on 2 hosts via keras.distribution.DataParallel, in mixed_bfloat16 on "
        "jax.",
    ),
}


@pytest.mark.backend("torch")
@pytest.mark.parametrize("case", CHOICES)
def test_description(case):
    devices, wanted, line = CHOICES[case]
    chosen = choose_distribution(devices, Wanted(**wanted), {})
    assert chosen.describe() == line
    assert chosen.describe(xla=True) == line.replace(", in ", ", compiled with XLA, in ")


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "backend, remedy",
    [
        ("tensorflow", "set KERAS_BACKEND=jax and install jax[tpu]."),
        ("torch", "set KERAS_BACKEND=jax and install jax[tpu]."),
        ("jax", "install jax[tpu]."),
    ],
)
def test_hint_for_an_undetected_tpu(backend, remedy):
    line = choose_distribution(detected(backend), Wanted(), IDLE_TPU).describe()
    assert line.startswith(f"Training on one CPU, in float32 on {backend}. ")
    assert line.endswith(f"seems to have a TPU that {backend} does not find: {remedy}")


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "devices, wanted, message",
    [
        (detected("jax", "gpu", 4), {"devices": 5}, "--devices must be at most 4.* Received: 5"),
        (
            detected("torch", "gpu", 2),
            {"devices": 2},
            "--devices must be at most 1, the number .* torch .* set KERAS_BACKEND=jax",
        ),
        (
            tpus("tensorflow", 8),
            {"devices": 4},
            "must be 0 with tensorflow on a TPU, where a run uses",
        ),
        (tpus("jax", 8, hosts=2), {"devices": 4}, "must be 0 with 2 hosts, where a run uses"),
        (
            detected("tensorflow", "gpu", 8, hosts=2),
            {"devices": 4},
            "must be 0 with 2 hosts, where a run",
        ),
        (
            detected("tensorflow", "gpu", 4),
            {"model_devices": 2},
            "--model-devices must be 1 unless",
        ),
        (
            detected("torch"),
            {"model_devices": 2},
            "--model-devices must be 1 unless KERAS_BACKEND=jax",
        ),
        (detected("jax", "gpu", 4), {"model_devices": 3}, "must divide the number of devices, 4"),
        (tpus("jax", 6, hosts=2), {"model_devices": 2}, "must give each of 2 hosts the same"),
        (tpus("jax", 24, hosts=3), {"model_devices": 12}, "must give each of 3 hosts the same"),
        (tpus("jax", 8), {"precision": "mixed_float16"}, "--precision must not be mixed_float1"),
    ],
)
def test_unsupported_hardware_options_are_refused(devices, wanted, message):
    with pytest.raises(UserError, match=message):
        choose_distribution(devices, Wanted(**wanted), {})


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "backend, environment, message",
    [
        ("tensorflow", JAX_HOSTS, "KERAS_BACKEND must be jax .*, or name the hosts in TF_CONFIG"),
        (
            "torch",
            JAX_HOSTS,
            "KERAS_BACKEND must be jax to train on the hosts named .* Received: torch",
        ),
        ("tensorflow", {"TPU_WORKER_HOSTNAMES": "a,b"}, "KERAS_BACKEND must be jax"),
        ("torch", {"WORLD_SIZE": "2"}, "WORLD_SIZE must be 1 with KERAS_BACKEND=torch"),
        ("jax", TENSORFLOW_HOST, "TF_CONFIG must name one host unless .* Set KERAS_BACKEND=jax"),
        ("torch", TENSORFLOW_HOST, "TF_CONFIG must name one host unless"),
    ],
)
def test_unsupported_clusters_are_refused(backend, environment, message):
    with pytest.raises(UserError, match=message):
        refuse_clusters(backend, environment)


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "backend, environment",
    [
        ("jax", JAX_HOSTS),
        ("jax", {**JAX_HOSTS, **TENSORFLOW_HOST}),
        ("tensorflow", TENSORFLOW_HOST),
        ("tensorflow", {"TPU_WORKER_HOSTNAMES": "localhost"}),
        ("torch", {"WORLD_SIZE": "1"}),
    ],
)
def test_single_hosts_and_supported_clusters_are_accepted(backend, environment):
    refuse_clusters(backend, environment)


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "environment, index, count",
    [
        ({}, 0, 1),
        (tf_config({"worker": ["a:1"]}, {}), 0, 1),
        (tf_config(CLUSTER, {"type": "chief", "index": 0}), 0, 3),
        (tf_config(CLUSTER, {"type": "worker", "index": 1}), 2, 3),
    ],
)
def test_tf_config_gives_the_shard_of_this_host(environment, index, count):
    assert shard_of(environment) == Shard(index, count)
    assert hosts.are_named(environment, "tensorflow") == (count > 1)


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "environment, message",
    [
        ({"TF_CONFIG": "{"}, "TF_CONFIG must be TensorFlow's description .* or unset"),
        ({"TF_CONFIG": "[]"}, "TF_CONFIG must be TensorFlow's description .* or unset"),
        (
            tf_config({**CLUSTER, "ps": ["d:1"]}, {}),
            "must contain hosts that train only.* Received: ps",
        ),
        (tf_config(CLUSTER, {}), "must name this host .* Received: {}, in a cluster of 3"),
        (tf_config(CLUSTER, {"type": "worker", "index": 2}), "must name this host in"),
        (tf_config(CLUSTER, {"type": "evaluator", "index": 0}), "must name this host in"),
    ],
)
def test_invalid_tf_config_is_refused(environment, message):
    with pytest.raises(UserError, match=message):
        shard_of(environment)


def test_single_host_commands_refuse_several_hosts(monkeypatch):
    refuse_several_hosts("evaluate")
    on_tensorflow = keras.backend.backend() == "tensorflow"
    for name, value in (TENSORFLOW_HOST if on_tensorflow else JAX_HOSTS).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="`evaluate` must run on one host"):
        refuse_several_hosts("evaluate")
