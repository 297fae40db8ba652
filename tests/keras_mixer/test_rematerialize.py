"""Rematerialized blocks: less memory is kept for the gradient, and nothing else changes."""

import keras
import numpy as np
import pytest

from tests.support.models import SMALL_IMAGE, random_pixels, small_mixer
from tests.support.reference import relative_error

BACKEND = keras.backend.backend()
LARGEST_ERROR = 2e-6  # of the largest gradient; dropout divides, and Keras may multiply
LARGEST_ERROR_BFLOAT16 = 0.03  # its resolution is 2^-8, and compilers choose where to round
PIXELS = random_pixels((4, *SMALL_IMAGE))
LABELS = np.eye(5, dtype="float32")[[0, 3, 1, 4]]


def mixer(seed=0, **arguments):
    """Return a Mixer with random weights; the head is random, too."""
    keras.utils.set_random_seed(seed)
    model = small_mixer(**arguments)
    kernel = model.get_layer("head").kernel
    kernel.assign(np.random.default_rng(seed).standard_normal(kernel.shape))
    return model


def step(model, rate=1.0):
    """Take one step of plain SGD; return the loss and the gradients."""
    before = [np.array(w) for w in model.trainable_weights]
    model.compile(
        keras.optimizers.SGD(rate), keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    keras.utils.set_random_seed(1)  # seeds PyTorch's masks, and nothing else
    loss = model.fit(PIXELS, LABELS, batch_size=4, verbose=0).history["loss"][0]
    after = [np.array(w) for w in model.trainable_weights]
    return loss, [(old - new) / rate for old, new in zip(before, after, strict=True)]


def flat(arrays):
    return np.concatenate([array.ravel() for array in arrays])


def compare(largest_error, frozen=0, **arguments):
    """Compare a step with and without rematerialization."""
    results = []
    for rematerialize in (False, True):
        model = mixer(rematerialize=rematerialize, **arguments)
        for i in range(frozen):
            model.get_layer(f"MixerBlock_{i}").trainable = False
        results.append(step(model))
    (loss, gradients), (other_loss, other_gradients) = results
    assert other_loss == pytest.approx(loss, rel=largest_error)
    assert relative_error(flat(other_gradients), flat(gradients)) <= largest_error


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"drop_path_rate": 0.5},
        {"drop_path_rate": 0.5, "rescale_drop_path": True, "dropout_rate": 0.3, "frozen": 1},
    ],
)
def test_loss_and_gradients_are_unchanged(arguments):
    compare(LARGEST_ERROR, **arguments)


def test_loss_and_gradients_are_unchanged_in_bfloat16():
    compare(LARGEST_ERROR_BFLOAT16, drop_path_rate=0.5, dropout_rate=0.3, dtype="mixed_bfloat16")


def test_each_step_samples_new_masks():
    model = mixer(drop_path_rate=0.5, rematerialize=True)
    model.compile(keras.optimizers.SGD(0.0), keras.losses.CategoricalCrossentropy(from_logits=True))
    history = model.fit(PIXELS, LABELS, batch_size=4, epochs=6, shuffle=False, verbose=0).history
    assert len(set(history["loss"])) > 1  # for the same images and weights


def test_only_training_rematerializes(monkeypatch):
    calls, remat = [], keras.remat
    monkeypatch.setattr(keras, "remat", lambda f: calls.append(1) or remat(f))
    plain, model = (mixer(drop_path_rate=0.5, rematerialize=r) for r in (False, True))
    np.testing.assert_array_equal(
        model.predict(PIXELS, verbose=0), plain.predict(PIXELS, verbose=0)
    )
    plain(PIXELS, training=True)
    assert not calls
    model(PIXELS, training=True)
    assert len(calls) == 2  # blocks


def test_less_memory_is_kept_for_the_gradient():
    """Less than half: only the input and the masks of each block are kept."""
    plain, model = (
        kept_bytes(mixer(drop_path_rate=0.5, rematerialize=rematerialize))
        for rematerialize in (False, True)
    )
    assert 0 < model < plain / 2


def kept_bytes(model):
    """Return the memory kept between the forward and the backward pass, without the weights."""
    if BACKEND == "jax":
        import jax

        state = [v.value for v in model.non_trainable_variables]
        _, gradient = jax.vjp(
            lambda weights: model.stateless_call(weights, state, PIXELS, training=True)[0],
            [v.value for v in model.trainable_variables],
        )
        kept = {id(a): a.nbytes for a in jax.tree.leaves(gradient)}
    elif BACKEND == "torch":
        import torch

        kept = {}

        def pack(tensor):
            kept[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(PIXELS, training=True)
    else:
        return tensorflow_kept_bytes(model)
    for variable in model.trainable_variables:
        kept.pop(variable.value.data_ptr() if BACKEND == "torch" else id(variable.value), None)
    return sum(kept.values())


def tensorflow_kept_bytes(model):
    """Return the bytes that the backward part of the graph reads from the forward part."""
    import tensorflow as tf

    @tf.function
    def forward_and_gradient(pixels):
        with tf.GradientTape() as tape:
            logits = model(pixels, training=True)
        with tf.name_scope("THE_GRADIENT"):
            return tape.gradient(logits, [v.value for v in model.trainable_variables])

    graph = forward_and_gradient.get_concrete_function(tf.constant(PIXELS)).graph
    backward = [op for op in graph.get_operations() if "THE_GRADIENT" in op.name]
    kept = {
        tensor.name: tensor.shape.num_elements() * tensor.dtype.size
        for op in backward
        for tensor in op.inputs
        if "THE_GRADIENT" not in tensor.op.name
        and tensor.dtype.is_floating
        and "ReadVariableOp" not in tensor.op.type
    }
    return sum(kept.values())


def test_rematerialize_is_saved_in_the_configuration_and_not_in_the_weights(tmp_path):
    plain, model = mixer(seed=1), mixer(rematerialize=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert all(loaded.get_layer(f"MixerBlock_{i}").rematerialize for i in range(2))
    assert not plain.get_layer("MixerBlock_0").get_config()["rematerialize"]
    expected = model.predict(PIXELS, verbose=0)
    for suffix in (".keras", ".weights.h5"):
        path = tmp_path / f"saved{suffix}"
        (model.save if suffix == ".keras" else model.save_weights)(path)
        for rematerialize in (False, True):
            other = small_mixer(weights=path, rematerialize=rematerialize)
            np.testing.assert_allclose(other.predict(PIXELS, verbose=0), expected, rtol=1e-6)
    plain.load_weights(tmp_path / "saved.weights.h5")
    np.testing.assert_allclose(plain.predict(PIXELS, verbose=0), expected, rtol=1e-6)
