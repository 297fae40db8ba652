"""Keras saves dense layers of GPTQ and AWQ without their zero points, and cannot load them again.

Seen in Keras 3.15.1 (`layers/core/dense.py`): `save_own_variables` writes the zero points that
merging LoRA returns, which are None in both modes.
"""


def save_zero_points(layers):
    """Let calibrated dense layers save their zero points. A model loaded from the file does not.

    Args:
        layers: Dense layers after `quantize` in mode "gptq" or "awq".
    """
    for layer in layers:
        # Of the three values, files of these modes use the last one only.
        layer._get_kernel_with_merged_lora = lambda layer=layer: (None, None, layer.kernel_zero)
