"""Multi-host functions on one host; `test_devices.py` starts two."""

import keras
import numpy as np
import pytest

from training.devices import hosts
from training.devices.hosts.environment import ADDRESSES, NUMBER, PROCESS
from training.errors import UserError


def test_one_host():
    assert (hosts.count(), hosts.index(), hosts.is_first()) == (1, 0, True)
    np.testing.assert_array_equal(hosts.gather([2.5, 3.0]), [[2.5, 3.0]])
    assert hosts.from_first(lambda: {"a": 1}) == {"a": 1}
    variable = keras.Variable([1.0, 2.0])
    np.testing.assert_array_equal(hosts.to_numpy(variable), [1.0, 2.0])
    hosts.require_same(1, "--seed", "be the same", "Pass one.")


def test_different_values_are_refused(monkeypatch):
    monkeypatch.setattr(hosts, "gather", lambda digest: np.stack([digest, digest + 1]))
    with pytest.raises(UserError, match="--seed must be 3 on all hosts. Received: .* Pass 3."):
        hosts.require_same(1, "--seed", "be 3", "Pass 3.")


def test_one_host_raises_errors_as_usual():
    with pytest.raises(OSError, match="full"), hosts.exit_on_failure():
        raise OSError("full")


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, False),
        ({ADDRESSES: "a:1"}, True),
        ({NUMBER: "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
    ],
)
def test_several_hosts_are_recognized(environment, expected):
    assert hosts.are_named(environment, "jax") == expected


@pytest.mark.backend("jax")
@pytest.mark.parametrize(
    "addresses, number, process",
    [("127.0.0.1:1", "two", "0"), ("no port", "2", "0"), ("127.0.0.1:1", "2", "2")],
)
def test_invalid_host_variables_are_refused(monkeypatch, addresses, number, process):
    from training.devices.hosts import jax as engine

    monkeypatch.setenv(ADDRESSES, addresses)
    monkeypatch.setenv(NUMBER, number)
    monkeypatch.setenv(PROCESS, process)
    with pytest.raises(UserError, match=f"HOST:PORT .* Received: {addresses}, {number}, {process}"):
        engine.connect()
