"""Costs from the equations, against published counts, built models and what PyTorch keeps."""

import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer.sizes import SIZES, MixerSize
from training.config.study_models import RESNETS, VITS, ResnetSize, VitSize
from training.studies.cost import MODELS, attention_dominates_from, cost, patches_of
from training.studies.models.resnet import build_resnet
from training.studies.models.vit import build_vit

CLASSES = 5
MIXER = MixerSize("", 4, 24, 2, 20, 40)
VIT = VitSize(4, 24, 2, 40, 3)
LARGE_STEM = ResnetSize(8, (2, 1))
SMALL_STEM = ResnetSize(8, (1, 2), "small")
SMALL_MODELS = [MIXER, VIT, LARGE_STEM, SMALL_STEM]
PUBLISHED = {  # at 224 pixels, with 1000 classes
    "S/32": 19_104_624,
    "S/16": 18_528_264,
    "S/8": 20_646_504,
    "B/32": 60_293_428,
    "B/16": 59_880_472,
    "L/32": 206_939_264,
    "L/16": 208_196_168,
    "H/14": 432_350_952,
    "vit-S/16": 22_050_664,
    "vit-B/16": 86_567_656,
    "vit-L/16": 304_326_632,
    "resnet-50": 25_549_352,
}


def build(size, image_size, channels=3):
    if isinstance(size, VitSize):
        return build_vit(size, image_size, classes=CLASSES)
    if isinstance(size, ResnetSize):
        return build_resnet(size, image_size, channels, CLASSES)
    return keras_mixer.MlpMixer(
        **size.dimensions,
        input_shape=(image_size, image_size, channels),
        classes=CLASSES,
        classifier_activation=None,
    )


@pytest.mark.backend("torch")
def test_published_parameter_counts():
    assert {name: cost(MODELS[name], 224).parameters for name in PUBLISHED} == PUBLISHED
    assert PUBLISHED.keys() >= SIZES.keys()
    headless = cost(SIZES["B/16"], 224).parameters - 1000 * 769
    assert headless == 59_111_472


@pytest.mark.parametrize("image_size", [16, 36])
@pytest.mark.parametrize("size", SMALL_MODELS, ids=str)
def test_parameters_are_those_of_the_built_model(size, image_size):
    assert cost(size, image_size, 3, CLASSES).parameters == build(size, image_size).count_params()


@pytest.mark.parametrize("size", [MIXER, LARGE_STEM], ids=str)
def test_parameters_of_gray_images(size):
    assert cost(size, 16, 1, CLASSES).parameters == build(size, 16, 1).count_params()


@pytest.mark.backend("torch")
@pytest.mark.parametrize("name", [*VITS, *RESNETS, "S/16"])
def test_the_classes_and_channels_change_head_and_stem_only(name):
    size = MODELS[name]
    one, other = cost(size, 32, 1, 10), cost(size, 32, 1, 11)
    width = other.parameters - one.parameters - 1
    assert other.inference_flops - one.inference_flops == 2 * width
    assert other.training_flops - one.training_flops == 6 * width
    assert cost(size, 32, 3, 10).parameters > one.parameters


@pytest.mark.backend("torch")
def test_patches_must_fit():
    assert patches_of(SIZES["H/14"], 224) == 256
    with pytest.raises(ValueError, match=r"multiple of the patch size, 14 .* 100\. Pass 98\."):
        cost(SIZES["H/14"], 100)


@pytest.mark.backend("torch")
def test_attention_dominates_from():
    """There the products of attention have as many FLOPs as the dense layers."""
    tokens = attention_dominates_from(VIT)
    attention = 2 * 2 * tokens**2 * VIT.hidden_dim
    dense = 2 * tokens * (4 * VIT.hidden_dim**2 + 2 * VIT.hidden_dim * VIT.mlp_dim)
    assert attention == dense


@pytest.mark.backend("torch")
@pytest.mark.parametrize("image_size", [16, 32])
def test_pytorch_keeps_the_activations_of_a_mixer(image_size):
    """With the mean and the standard deviation of each token in each LayerNorm."""
    import torch

    model, kept = build(MIXER, image_size), {}
    parameters = {v.value.untyped_storage().data_ptr() for v in model.weights}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage  # which stays, so that no other has its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(torch.rand(1, image_size, image_size, 3), training=True)
    assert output.requires_grad
    statistics = 4 * 2 * (image_size // 4) ** 2 * (2 * MIXER.num_blocks + 1)
    total = sum(storage.nbytes() for storage in kept.values())
    assert total == cost(MIXER, image_size, 3, CLASSES).activation_bytes + statistics


def kept_values(model):
    """Return the number of values that the layers of a functional model keep, each tensor once."""
    layers = keras.layers
    kept, unpadded, inside = {}, {}, 0

    def keep(tensor):
        tensor = unpadded.get(id(tensor), tensor)
        kept[id(tensor)] = np.prod(tensor.shape[1:])

    for layer in model.layers:
        if isinstance(layer, layers.ZeroPadding2D):
            unpadded[id(layer.output)] = layer.input
        elif isinstance(layer, layers.ReLU):
            keep(layer.output)
        elif isinstance(layer, layers.MultiHeadAttention):
            query = layer.input[0]
            keep(query)
            _, tokens, width = query.shape
            # Queries, keys, values, their weighted sums, and the weights of each head.
            inside += 4 * tokens * width + layer.num_heads * tokens**2
        elif isinstance(
            layer,
            layers.Dense
            | layers.Conv2D
            | layers.LayerNormalization
            | layers.GroupNormalization
            | layers.MaxPooling2D,
        ):
            keep(layer.input)
            if layer.name.endswith("_dense_0"):
                inside += np.prod(layer.output.shape[1:])  # the input of GELU
    return sum(kept.values()) + inside


@pytest.mark.backend("torch")
@pytest.mark.parametrize("image_size", [16, 36])
@pytest.mark.parametrize("size", [VIT, LARGE_STEM, SMALL_STEM], ids=str)
def test_activations_are_those_of_the_layers(size, image_size):
    expected = 4 * kept_values(build(size, image_size))
    assert cost(size, image_size, 3, CLASSES).activation_bytes == expected


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "size, image_size, values",
    [
        # 16 patches: the residual stream, its normalized copy, and the hidden layer.
        (MIXER, 16, 2 * 16 * 24 + 16 * 40),  # of channel mixing
        (MixerSize("", 4, 24, 2, 100, 8), 16, 2 * 16 * 24 + 24 * 100),  # of token mixing
        (MixerSize("", 4, 2, 2, 2, 2), 16, 16 * 16 * 3 + 16 * 2),  # image and tokens
        # 65 tokens: stream, normalized copy, queries and keys, and three tables of weights.
        (VIT, 32, 4 * 65 * 24 + 3 * 65**2),
        # Image of 32 × 32 pixels, and half the side with 8 channels.
        (ResnetSize(8, (1,)), 32, 32 * 32 * 3 + 16 * 16 * 8),
        # The shortcut of four times the width, next to input and output of the last convolution.
        (ResnetSize(8, (2,), "small"), 16, 8 * 8 * (32 + 8 + 32)),
    ],
    ids=str,
)
def test_peak_of_inference(size, image_size, values):
    assert cost(size, image_size, 3, CLASSES).inference_peak_bytes == 4 * values
