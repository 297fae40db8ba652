"""GPTQ and AWQ see no inputs. If the test of Keras fails, the workaround can go."""

import contextlib

import keras
import numpy as np
import pytest

from training.keras_workarounds.calibration_calls import calibration_through_call

pytestmark = [
    pytest.mark.backend("torch"),
    pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize` method"),
]
CONFIG = {"dataset": [np.arange(4)], "tokenizer": str, "num_samples": 4, "sequence_length": 1}
CONFIGS = {"gptq": keras.quantizers.GPTQConfig, "awq": keras.quantizers.AWQConfig}


def calibrate(mode, context):
    """Return how many inputs reach `call`, where Keras waits for them."""
    dense = keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((2,)), dense])
    seen = []
    call = dense.call
    dense.call = lambda inputs: seen.append(inputs) or call(inputs)
    structure = {"pre_block_layers": [lambda i: keras.ops.ones((1, 2))]}
    structure["sequential_blocks"] = [dense]
    config = CONFIGS[mode](**CONFIG, quantization_layer_structure=structure)
    with context([dense]):
        model.quantize(mode, config=config)
    return len(seen)


@pytest.mark.parametrize("mode", CONFIGS)
def test_no_input_reaches_call(mode):
    assert calibrate(mode, contextlib.nullcontext) == 0


@pytest.mark.parametrize("mode", CONFIGS)
def test_every_input_reaches_call(mode):
    assert calibrate(mode, calibration_through_call) == 4
