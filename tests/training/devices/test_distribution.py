import keras
import pytest

from training.config import Hardware as Wanted
from training.devices.detection import DetectedDevices
from training.devices.selection import choose_distribution, find_distribution
from training.errors import UserError

EIGHT_GPUS = DetectedDevices("jax", "gpu", tuple(f"gpu:{i}" for i in range(8)))


def test_batch_sizes_divide_evenly():
    distribution = choose_distribution(EIGHT_GPUS, Wanted(devices=6, model_devices=2), {})
    assert distribution.replicas == 3 and distribution.distribution == "model parallel"
    distribution.require_even_batches(48)
    with pytest.raises(UserError, match="a multiple of 3, .* Received: 64. Pass 63 or 66"):
        distribution.require_even_batches(64)
    with pytest.raises(UserError, match="Pass 3 or"):
        distribution.require_even_batches(1)
    assert distribution.evaluation_batch_size(64) == 66
    assert distribution.evaluation_batch_size(66) == 66


def test_scope_restores_the_precision():
    before = keras.config.dtype_policy().name
    wanted = Wanted(devices=1, precision="mixed_bfloat16")
    distribution = find_distribution(wanted)
    with distribution.scope():
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == before
