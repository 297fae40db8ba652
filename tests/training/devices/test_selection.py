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


def machine(backend, kind="cpu", number=1, **fields):
    return DetectedDevices(backend, kind, tuple(f"{kind}:{i}" for i in range(number)), **fields)


def of_tpus(backend, number, **fields):
    return machine(backend, "tpu", number, has_bfloat16=True, **fields)


BF16 = {"has_bfloat16": True}
CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
HOSTS = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": "a:1", "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}


def tf_config(cluster, task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


ONE_OF_TENSORFLOW = tf_config(CLUSTER, {"type": "chief", "index": 0})
IDLE_TPU = {"TPU_ACCELERATOR_TYPE": "v5litepod-8"}

# What is found, what is wanted, and the line that a user reads.
CHOICES = {
    "CPU": (machine("jax"), {}, "Training on one CPU, in float32 on jax."),
    "CPU of PyTorch": (machine("torch"), {}, "Training on one CPU, in float32 on torch."),
    "one GPU": (
        machine("tensorflow", "gpu", 1, **BF16),
        {},
        "Training on one GPU, in mixed_bfloat16 on tensorflow.",
    ),
    "one old GPU": (
        machine("jax", "gpu"),
        {},
        "Training on one GPU, in float32 on jax.",
    ),
    "four GPUs of TensorFlow": (
        machine("tensorflow", "gpu", 4, **BF16),
        {},
        "Training on 4 GPUs by tf.distribute.MirroredStrategy, in mixed_bfloat16 on tensorflow.",
    ),
    "four GPUs of JAX": (
        machine("jax", "gpu", 4, **BF16),
        {},
        "Training on 4 GPUs by keras.distribution.DataParallel, in mixed_bfloat16 on jax.",
    ),
    "three of them": (
        machine("jax", "gpu", 4, **BF16),
        {"devices": 3, "precision": "float32"},
        "Training on 3 GPUs of 4 by keras.distribution.DataParallel, in float32 on jax.",
    ),
    "one of them": (
        machine("tensorflow", "gpu", 4, **BF16),
        {"devices": 1},
        "Training on one GPU of 4, in mixed_bfloat16 on tensorflow.",
    ),
    "weights in two parts": (
        machine("jax", "gpu", 4, **BF16),
        {"model_devices": 2},
        "Training on 4 GPUs by keras.distribution.ModelParallel, 2 to each copy of the weights, in "
        "mixed_bfloat16 on jax.",
    ),
    "PyTorch with two GPUs": (
        machine("torch", "gpu", 2, **BF16),
        {},
        "Training on one GPU of 2, in mixed_bfloat16 on torch. Idle, since PyTorch trains on "
        "one device here: one GPU. KERAS_BACKEND=jax or KERAS_BACKEND=tensorflow would use all 2.",
    ),
    "PyTorch with eight GPUs": (
        machine("torch", "gpu", 8),
        {},
        "Training on one GPU of 8, in float32 on torch. Idle, since PyTorch trains on one "
        "device here: 7 GPUs. KERAS_BACKEND=jax or KERAS_BACKEND=tensorflow would use all 8.",
    ),
    "Colab TPU": (
        of_tpus("jax", 1),
        {},
        "Training on one TPU, in mixed_bfloat16 on jax.",
    ),
    "TPU VM": (
        of_tpus("jax", 8),
        {},
        "Training on 8 TPUs by keras.distribution.DataParallel, in mixed_bfloat16 on jax.",
    ),
    "one TPU of TensorFlow": (
        of_tpus("tensorflow", 1),
        {},
        "Training on one TPU by tf.distribute.TPUStrategy, in mixed_bfloat16 on tensorflow.",
    ),
    "TPU VM with TensorFlow": (
        of_tpus("tensorflow", 8),
        {},
        "Training on 8 TPUs by tf.distribute.TPUStrategy, in mixed_bfloat16 on tensorflow.",
    ),
    "several hosts of TensorFlow": (
        machine("tensorflow", "gpu", 16, hosts=2, **BF16),
        {},
        "Training on 16 GPUs of 2 hosts by tf.distribute.MultiWorkerMirroredStrategy, in "
        "mixed_bfloat16 on tensorflow.",
    ),
    "several hosts of JAX": (
        of_tpus("jax", 16, hosts=2),
        {},
        "Training on 16 TPUs of 2 hosts by keras.distribution.DataParallel, in mixed_bfloat16 on "
        "jax.",
    ),
}


@pytest.mark.parametrize("case", CHOICES)
def test_the_line_that_a_user_reads(case):
    found, wanted, line = CHOICES[case]
    assert choose_distribution(found, Wanted(**wanted), {}).describe() == line


@pytest.mark.parametrize(
    "backend, remedy",
    [
        ("tensorflow", "KERAS_BACKEND=jax would, with jax[tpu] installed."),
        ("torch", "KERAS_BACKEND=jax would, with jax[tpu] installed."),
        ("jax", "install jax[tpu]."),
    ],
)
def test_a_tpu_that_the_backend_does_not_find(backend, remedy):
    line = choose_distribution(machine(backend), Wanted(), IDLE_TPU).describe()
    assert line.startswith(f"Training on one CPU, in float32 on {backend}. ")
    assert line.endswith(f"seems to have a TPU, which {backend} does not find: {remedy}")


@pytest.mark.parametrize(
    "found, wanted, message",
    [
        (machine("jax", "gpu", 4), {"devices": 5}, "--devices must be at most 4.* Received: 5"),
        (
            machine("torch", "gpu", 2),
            {"devices": 2},
            "--devices must be at most 1, what torch .* set KERAS_BACKEND=jax",
        ),
        (of_tpus("tensorflow", 8), {"devices": 4}, "must be 0 with tensorflow on a TPU, where all"),
        (of_tpus("jax", 8, hosts=2), {"devices": 4}, "must be 0 with 2 hosts, where all"),
        (machine("tensorflow", "gpu", 8, hosts=2), {"devices": 4}, "must be 0 with 2 hosts, wh"),
        (machine("tensorflow", "gpu", 4), {"model_devices": 2}, "--model-devices must be 1 except"),
        (
            machine("torch"),
            {"model_devices": 2},
            "--model-devices must be 1 except with KERAS_BACK",
        ),
        (machine("jax", "gpu", 4), {"model_devices": 3}, "must divide the number of devices, 4"),
        (of_tpus("jax", 6, hosts=2), {"model_devices": 2}, "must leave each of 2 hosts as many"),
        (of_tpus("jax", 24, hosts=3), {"model_devices": 12}, "must leave each of 3 hosts as many"),
        (of_tpus("jax", 8), {"precision": "mixed_float16"}, "--precision must not be mixed_float1"),
    ],
)
def test_what_cannot_be_done_is_refused(found, wanted, message):
    with pytest.raises(UserError, match=message):
        choose_distribution(found, Wanted(**wanted), {})


@pytest.mark.parametrize(
    "backend, environment, message",
    [
        ("tensorflow", HOSTS, "KERAS_BACKEND must be jax .*, or name the hosts by TF_CONFIG"),
        ("torch", HOSTS, "KERAS_BACKEND must be jax to train on the hosts .* Received: torch"),
        ("tensorflow", {"TPU_WORKER_HOSTNAMES": "a,b"}, "KERAS_BACKEND must be jax"),
        ("torch", {"WORLD_SIZE": "2"}, "WORLD_SIZE must be 1 with KERAS_BACKEND=torch"),
        ("jax", ONE_OF_TENSORFLOW, "TF_CONFIG must name one host except .* Set KERAS_BACKEND=jax"),
        ("torch", ONE_OF_TENSORFLOW, "TF_CONFIG must name one host except"),
    ],
)
def test_clusters_that_no_engine_serves_are_refused(backend, environment, message):
    with pytest.raises(UserError, match=message):
        refuse_clusters(backend, environment)


@pytest.mark.parametrize(
    "backend, environment",
    [
        ("jax", HOSTS),
        ("jax", {**HOSTS, **ONE_OF_TENSORFLOW}),
        ("tensorflow", ONE_OF_TENSORFLOW),
        ("tensorflow", {"TPU_WORKER_HOSTNAMES": "localhost"}),
        ("torch", {"WORLD_SIZE": "1"}),
    ],
)
def test_what_is_no_cluster_or_one_that_the_backend_serves(backend, environment):
    refuse_clusters(backend, environment)


@pytest.mark.parametrize(
    "environment, index, count",
    [
        ({}, 0, 1),
        (tf_config({"worker": ["a:1"]}, {}), 0, 1),
        (tf_config(CLUSTER, {"type": "chief", "index": 0}), 0, 3),
        (tf_config(CLUSTER, {"type": "worker", "index": 1}), 2, 3),
    ],
)
def test_which_host_of_tensorflow_this_is(environment, index, count):
    assert shard_of(environment) == Shard(index, count)
    assert hosts.are_named(environment, "tensorflow") == (count > 1)


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"TF_CONFIG": "{"}, "TF_CONFIG must be TensorFlow's description .* unset it"),
        ({"TF_CONFIG": "[]"}, "TF_CONFIG must be TensorFlow's description .* unset it"),
        (tf_config({**CLUSTER, "ps": ["d:1"]}, {}), "must name hosts that train.* Received: ps"),
        (tf_config(CLUSTER, {}), "must name which .* Received: {}, in a cluster of 3"),
        (tf_config(CLUSTER, {"type": "worker", "index": 2}), "must name which of the cluster's"),
        (tf_config(CLUSTER, {"type": "evaluator", "index": 0}), "must name which of the cluster's"),
    ],
)
def test_a_tf_config_that_does_not_say_it(environment, message):
    with pytest.raises(UserError, match=message):
        shard_of(environment)


def test_some_commands_work_on_one_host(monkeypatch):
    refuse_several_hosts("evaluate")
    of_tensorflow = keras.backend.backend() == "tensorflow"
    for name, value in (ONE_OF_TENSORFLOW if of_tensorflow else HOSTS).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="evaluate works on one host"):
        refuse_several_hosts("evaluate")
