import functools
import types

import keras
import pytest
import tensorflow as tf

from training.devices import detection, hosts
from training.devices.hosts.environment import ADDRESSES
from training.errors import UserError

KINDS = ("cpu", "gpu", "tpu", "mps", "xpu")


def test_devices_of_this_host():
    found = detection.detect_devices()
    assert found.backend == keras.backend.backend() and found.kind in KINDS
    assert found.hosts == 1
    for name in found.devices:
        kind, index = name.split(":")
        assert kind in (*KINDS, "cuda") and int(index) >= 0


def test_accelerators_are_hidden_from_tensorflow_when_it_only_feeds_data(monkeypatch):
    hidden = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"a {kind}"])
    monkeypatch.setattr(
        tf.config, "set_visible_devices", lambda devices, kind: hidden.append((devices, kind))
    )
    detection.hide_accelerators_from_tensorflow()
    expected = [] if keras.backend.backend() == "tensorflow" else [([], "GPU"), ([], "TPU")]
    assert hidden == expected


def fake_devices(monkeypatch, physical, capability=None):
    """Make TensorFlow list fake devices, `{kind: number}`."""

    def listed(kind):
        return [f"{kind} {i}" for i in range(physical.get(kind, 0))]

    monkeypatch.setattr(tf.config, "list_physical_devices", listed)
    monkeypatch.setattr(tf.config, "list_logical_devices", listed)
    details = {} if capability is None else {"compute_capability": capability}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)


@pytest.mark.backend("tensorflow")
@pytest.mark.parametrize(
    "physical, capability, expected",
    [
        ({"CPU": 1}, None, ("cpu", ("cpu:0",), False)),
        ({"CPU": 1, "GPU": 1}, (7, 5), ("gpu", ("gpu:0",), False)),
        ({"CPU": 1, "GPU": 2}, (8, 0), ("gpu", ("gpu:0", "gpu:1"), True)),
        ({"CPU": 1, "GPU": 1}, None, ("gpu", ("gpu:0",), False)),
        ({"CPU": 1, "TPU": 2}, None, ("tpu", ("tpu:0", "tpu:1"), True)),
    ],
)
def test_tensorflow_devices(monkeypatch, physical, capability, expected):
    connected = []
    fake_devices(monkeypatch, physical, capability)
    monkeypatch.setattr(detection, "connect_tpu", lambda: connected.append("TPU"))
    found = detection.detect_devices()
    assert (found.kind, found.devices, found.has_bfloat16) == expected
    assert bool(connected) == ("TPU" in physical)


@pytest.mark.backend("tensorflow")
def test_tpu_is_connected_once_or_refused(monkeypatch):
    seen = []
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver
    monkeypatch.setattr(
        detection, "connect_tpu", functools.cache(detection.connect_tpu.__wrapped__)
    )

    def fail(tpu):
        raise ValueError("no TPU")

    monkeypatch.setattr(resolver, "connect", fail)
    with pytest.raises(UserError, match="The TPU must be .* no TPU. Set KERAS_BACKEND=jax"):
        detection.connect_tpu()
    monkeypatch.setattr(resolver, "connect", lambda tpu: seen.append(tpu) or "a resolver")
    assert detection.connect_tpu() == detection.connect_tpu() == "a resolver"
    assert seen == ["local"]


@pytest.mark.backend("jax")
@pytest.mark.parametrize(
    "platform, capability, has_bfloat16",
    [("cpu", None, False), ("gpu", "7.5", False), ("gpu", "9.0", True), ("tpu", None, True)],
)
def test_jax_devices(monkeypatch, platform, capability, has_bfloat16):
    import jax

    device = types.SimpleNamespace(platform=platform, id=0, compute_capability=capability)
    monkeypatch.setattr(jax, "devices", lambda *_, **__: [device, device])
    found = detection.detect_devices()
    assert (found.kind, len(found.devices)) == (platform, 2)
    assert found.has_bfloat16 == has_bfloat16


@pytest.mark.backend("tensorflow")
def test_tensorflow_uses_the_devices_of_all_hosts(monkeypatch):
    from training.devices.hosts import tensorflow as engine

    connected = []
    monkeypatch.setenv(
        "TF_CONFIG",
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}',
    )
    strategy = types.SimpleNamespace(
        num_replicas_in_sync=4,
        extended=types.SimpleNamespace(worker_devices=["/job:worker/task:1/device:GPU:0"]),
    )
    fake_devices(monkeypatch, {"CPU": 1, "GPU": 2}, (8, 0))
    monkeypatch.setattr(hosts, "connect", lambda: connected.append(1))
    monkeypatch.setattr(engine, "strategy", lambda: strategy)
    monkeypatch.setattr(engine, "count", lambda: 2)
    expected = ("gpu:0", "gpu:1", "gpu:2", "gpu:3")
    assert detection.detect_devices() == detection.DetectedDevices(
        "tensorflow", "gpu", expected, 2, True
    )
    assert connected


@pytest.mark.backend("jax")
def test_jax_connects_to_the_hosts_that_are_named(monkeypatch):
    connected = []
    monkeypatch.setattr(hosts, "connect", lambda: connected.append(1))
    detection.detect_devices()
    assert not connected
    monkeypatch.setenv(ADDRESSES, "127.0.0.1:1")
    detection.detect_devices()
    assert connected


@pytest.mark.backend("torch")
@pytest.mark.parametrize("capability, has_bfloat16", [((7, 5), False), ((9, 0), True)])
def test_torch_devices(monkeypatch, capability, has_bfloat16):
    import torch

    on_gpu = types.SimpleNamespace(device=torch.device("cuda", 0))
    monkeypatch.setattr(keras.ops, "zeros", lambda shape: on_gpu)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    expected = detection.DetectedDevices(
        "torch", "gpu", ("cuda:0", "cuda:1"), has_bfloat16=has_bfloat16
    )
    assert detection.detect_devices() == expected
