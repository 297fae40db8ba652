"""Keras calibrates GPTQ and AWQ without seeing a single activation.

Seen in Keras 3.15.1 (`quantizers/gptq_core.py`, `quantizers/awq_core.py`), and fixed upstream in
https://github.com/keras-team/keras/pull/23512, which no release that we support contains:
`Model.quantize` first gives each layer its new dtype policy, from which on Keras calls
`quantized_call`. Then it waits for inputs in `call`, which nothing calls any more. The Hessian of
GPTQ and the magnitudes of AWQ stay zero, and the result is plain rounding.
"""

import contextlib


@contextlib.contextmanager
def calibration_through_call(layers):
    """Compute layers that are not calibrated yet through `call`, where Keras observes the inputs.

    Args:
        layers: Dense layers that `quantize` is about to calibrate.
    """
    for layer in layers:
        layer.quantized_call = _calls(layer, layer.quantized_call)
    try:
        yield
    finally:
        for layer in layers:
            del layer.quantized_call  # the method of the class is visible again


def _calls(layer, quantized_call):
    def call(inputs, *args, **kwargs):
        mode = layer.quantization_mode
        is_waiting = mode in ("gptq", "awq") and not getattr(layer, f"is_{mode}_calibrated", True)
        # In the layer itself, not here: Keras replaces the attribute while it observes.
        return (layer.call if is_waiting else quantized_call)(inputs, *args, **kwargs)

    return call
