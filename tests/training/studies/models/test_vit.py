"""The Vision Transformer: published parameter counts, and logits by independent NumPy code."""

import keras
import numpy as np
import pytest

from tests.support.reference import LARGEST_ERROR, gelu, layer_norm, relative_error
from training.config.study_models import VITS, VitSize
from training.studies.models.vit import build_vit

TINY = VitSize(patch_size=4, hidden_dim=12, num_blocks=2, mlp_dim=20, num_heads=3)
IMAGE_SIZE = 12
CLASSES = 5


def parameters(size, patches, classes):
    """Return the number of parameters, counted from the equations of the paper."""
    d, mlp = size.hidden_dim, size.mlp_dim
    stem = (3 * size.patch_size**2 + 1) * d
    tokens = d + (patches + 1) * d  # class token and positions
    attention = 4 * (d + 1) * d  # query, key, value and output
    block = 2 * 2 * d + attention + (d + 1) * mlp + (mlp + 1) * d
    return stem + tokens + size.num_blocks * block + 2 * d + (d + 1) * classes


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "name, expected", [("S/16", 22_050_664), ("B/16", 86_567_656), ("L/16", 304_326_632)]
)
def test_published_parameter_counts(name, expected):
    """Of timm's vit_small, vit_base and vit_large_patch16_224."""
    assert parameters(VITS[f"vit-{name}"], patches=196, classes=1000) == expected


@pytest.mark.backend("torch")
@pytest.mark.parametrize("size", [TINY, pytest.param(VITS["vit-S/16"], marks=pytest.mark.long)])
def test_the_model_has_as_many_parameters_as_the_equations(size):
    side = 3 * size.patch_size
    model = build_vit(size, side, classes=CLASSES)
    assert model.count_params() == parameters(size, patches=9, classes=CLASSES)


def random_vit(seed=0, **arguments):
    model = build_vit(TINY, IMAGE_SIZE, classes=CLASSES, **arguments)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.weights])
    return model


def reference_logits(model, pixels):
    """Return the logits of the model's weights in float64."""

    def weights(layer):
        return [np.asarray(w, np.float64) for w in model.get_layer(layer).get_weights()]

    def attend(x, name):
        """Equations 5 to 8 of the paper's appendix A, head by head."""
        wq, bq, wk, bk, wv, bv, wo, bo = weights(name)
        result = bo
        for head in range(TINY.num_heads):
            q, k, v = (
                x @ w[:, head] + b[head] for w, b in ((wq, bq), (wk, bk), (wv, bv))
            )  # (batch, tokens, head width)
            scores = q @ k.swapaxes(1, 2) / np.sqrt(TINY.hidden_dim / TINY.num_heads)
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            result = result + scores / scores.sum(axis=-1, keepdims=True) @ v @ wo[head]
        return result

    images = pixels.astype(np.float64) / 127.5 - 1
    kernel, bias = weights("stem")
    p, rows = TINY.patch_size, IMAGE_SIZE // TINY.patch_size
    patches = np.stack(
        [
            images[:, p * i : p * (i + 1), p * j : p * (j + 1)].reshape(len(images), -1)
            for i in range(rows)
            for j in range(rows)
        ],
        axis=1,
    )
    x = patches @ kernel.reshape(-1, TINY.hidden_dim) + bias
    first, positions = weights("positions")
    x = np.concatenate([np.repeat(first, len(x), axis=0), x], axis=1) + positions
    for i in range(TINY.num_blocks):
        x = x + attend(layer_norm(x, *weights(f"block_{i}_layer_norm_0")), f"block_{i}_attention")
        kernel, bias = weights(f"block_{i}_dense_0")
        y = gelu(layer_norm(x, *weights(f"block_{i}_layer_norm_1")) @ kernel + bias, True)
        kernel, bias = weights(f"block_{i}_dense_1")
        x = x + y @ kernel + bias
    kernel, bias = weights("head")
    return layer_norm(x, *weights("pre_head_layer_norm"))[:, 0] @ kernel + bias


def random_pixels():
    shape = (3, IMAGE_SIZE, IMAGE_SIZE, 3)
    return np.random.default_rng(1).integers(0, 256, shape).astype("float32")


def test_logits():
    model, pixels = random_vit(), random_pixels()
    expected = reference_logits(model, pixels)
    assert relative_error(model.predict(pixels, verbose=0), expected) <= LARGEST_ERROR


def test_training_and_saving(tmp_path):
    model, pixels = random_vit(dtype="mixed_bfloat16"), random_pixels()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()
    model.fit(pixels, np.arange(3), verbose=0)
    changed = [np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(changed)
    model.save(tmp_path / "vit.keras")
    loaded = keras.saving.load_model(tmp_path / "vit.keras")
    np.testing.assert_allclose(
        loaded.predict(pixels, verbose=0), model.predict(pixels, verbose=0), rtol=1e-6
    )
