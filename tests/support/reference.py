"""Reference MLP-Mixer in float64 NumPy, written from the paper alone."""

import numpy as np
import scipy.special

LARGEST_ERROR = 2e-6  # of the largest value, for float32 against float64


def relative_error(found, expected):
    """Return the largest error, relative to the largest expected value."""
    return np.abs(found - expected).max() / np.abs(expected).max()


def gelu(x, approximate):
    """Hendrycks & Gimpel (arXiv 1606.08415, section 2): their tanh approximation, or exact."""
    if approximate:
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + scipy.special.erf(x / np.sqrt(2)))


def layer_norm(x, scale, bias):
    centered = x - x.mean(axis=-1, keepdims=True)
    variance = (centered**2).mean(axis=-1, keepdims=True)
    return centered / np.sqrt(variance + 1e-6) * scale + bias


def mixer(weights, pixels, approximate_gelu=True, value_range=(-1, 1)):
    """Return the logits of `pixels`, (batch, height, width, channels) in [0, 255].

    `weights` maps canonical names to arrays.
    """
    features = mixer_features(weights, pixels, approximate_gelu, value_range)
    return features @ weights["head/kernel"].astype(np.float64) + weights["head/bias"]


def mixer_features(weights, pixels, approximate_gelu=True, value_range=(-1, 1)):
    """Return the input of the head, (batch, hidden_dim)."""
    w = {path: array.astype(np.float64) for path, array in weights.items()}

    def norm(x, name):
        return layer_norm(x, w[f"{name}/scale"], w[f"{name}/bias"])

    def mlp(x, name):
        hidden = gelu(x @ w[f"{name}/Dense_0/kernel"] + w[f"{name}/Dense_0/bias"], approximate_gelu)
        return hidden @ w[f"{name}/Dense_1/kernel"] + w[f"{name}/Dense_1/bias"]

    low, high = value_range
    images = pixels.astype(np.float64) / 255 * (high - low) + low
    kernel = w["stem/kernel"]
    patch_height, patch_width, channels, hidden_dim = kernel.shape
    batch, height, width, _ = images.shape
    patches = images.reshape(
        batch, height // patch_height, patch_height, width // patch_width, patch_width, channels
    )
    patches = patches.swapaxes(2, 3).reshape(batch, -1, patch_height * patch_width * channels)
    x = patches @ kernel.reshape(-1, hidden_dim) + w["stem/bias"]

    num_blocks = sum(path.endswith("LayerNorm_0/scale") for path in w)
    for i in range(num_blocks):
        block = f"MixerBlock_{i}"
        y = norm(x, f"{block}/LayerNorm_0").swapaxes(1, 2)
        x = x + mlp(y, f"{block}/token_mixing").swapaxes(1, 2)
        x = x + mlp(norm(x, f"{block}/LayerNorm_1"), f"{block}/channel_mixing")
    return norm(x, "pre_head_layer_norm").mean(axis=1)
