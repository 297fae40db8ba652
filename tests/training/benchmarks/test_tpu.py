"""Comparison of compiled steps, on a device of this host instead of a TPU: needs no libtpu."""

import keras
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("the steps are JAX's", allow_module_level=True)
pytest.importorskip("flax")

import jax

from training.benchmarks import tpu
from training.cli.tpu_table import print_comparison
from training.devices.detection import DetectedDevices
from training.devices.distribution import Distribution
from training.errors import UserError
from training.planning.footprint import refused_footprint

pytestmark = pytest.mark.usefixtures("full_optimization")


class Target:
    name = "cpu"
    devices = tuple(jax.devices()[:1])

    def distribution(self, config):
        return Distribution(DetectedDevices("jax"), self.devices, 1, "mixed_bfloat16")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(tpu, "IMAGE_SIZE", 64)
    monkeypatch.setattr(tpu, "CLASSES", 10)
    monkeypatch.setattr(tpu.importlib.metadata, "version", lambda name: "1.0")  # without libtpu


def test_both_compute_the_same_step(capsys):
    result = tpu.measure("S/32", Target(), 2)
    assert (result.variant, result.topology, result.batch_size) == ("S/32", "cpu", 2)
    assert result.flops_to_flax == result.ours.flops / result.flax.flops
    assert result.flops_to_flax == pytest.approx(1, abs=0.05)
    state = (result.ours.argument_bytes, result.flax.argument_bytes)
    assert state[0] == pytest.approx(state[1], abs=256)  # counters of Keras
    assert result.rematerialized.flops > result.ours.flops
    print_comparison(result)
    out = capsys.readouterr().out
    for words in ("Flax", "ours", "rematerialized", "Compiled, not run", "2 images", "libtpu 1.0"):
        assert words in out


def test_a_batch_that_does_not_fit(monkeypatch):
    monkeypatch.setattr(
        tpu, "footprint_of", lambda lower, batch, replicas: refused_footprint("", 2, 0.0)
    )
    with pytest.raises(UserError, match="--batch-size must fit .* Received: 2, which does not"):
        tpu.measure("S/32", Target(), 2)
