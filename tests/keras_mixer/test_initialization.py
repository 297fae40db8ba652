"""Initialization on the host: which initializers are replaced, and when."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mixer import MlpBlock
from keras_mixer.layers import initialization
from keras_mixer.layers.initialization import build, skip_initialization
from tests.support.models import SMALL_IMAGE, small_mixer


@pytest.fixture
def sampled_by_keras(monkeypatch):
    """The shapes of the kernels that Keras samples."""
    shapes, sample = [], keras.initializers.VarianceScaling.__call__

    def record(self, shape, dtype=None, **options):
        shapes.append(shape)
        return sample(self, shape, dtype, **options)

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", record)
    return shapes


def dense(**options):
    layer = keras.layers.Dense(8, **options)
    build(layer, (None, 16))
    return layer


def values(model):
    return {v.path: ops.convert_to_numpy(v) for v in model.weights}


def test_the_same_global_seed_gives_the_same_weights():
    models = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        models.append(values(small_mixer()))
    first, again, other = models
    for path, array in first.items():
        np.testing.assert_array_equal(array, again[path], err_msg=path)
        assert np.array_equal(array, other[path]) != path.endswith("kernel") or "head" in path, path


def test_all_backends_sample_the_same_weights():
    keras.utils.set_random_seed(0)
    kernel = ops.convert_to_numpy(dense(kernel_initializer="lecun_normal").kernel)
    expected = [-0.39254164695739746, -0.06322821974754333, 0.2119550257921219, 0.34884294867515564]
    np.testing.assert_array_equal(kernel[0, :4], np.float32(expected))


def test_every_layer_samples_other_values():
    kernels = [array for path, array in values(small_mixer()).items() if path.endswith("kernel")]
    firsts = [kernel.flat[0] for kernel in kernels if kernel.any()]
    assert len(set(firsts)) == len(firsts) == 9


def test_a_clone_is_initialized_anew():
    block = MlpBlock(4)
    block.build((None, 8))
    clone = MlpBlock.from_config(block.get_config())
    clone.build((None, 8))
    assert not np.array_equal(*(ops.convert_to_numpy(b.dense_0.kernel) for b in (block, clone)))


@pytest.mark.parametrize(
    "initializer",
    [
        keras.initializers.LecunNormal(seed=3),  # the user expects Keras's values
        keras.initializers.HeNormal(),
        keras.initializers.VarianceScaling(),
    ],
    ids=lambda initializer: type(initializer).__name__,
)
def test_other_initializers_are_left_to_keras(initializer, sampled_by_keras):
    layer = dense(kernel_initializer=initializer)
    assert sampled_by_keras == [(16, 8)]
    if initializer.get_config().get("seed"):
        np.testing.assert_array_equal(layer.kernel, initializer((16, 8), "float32"))


def test_a_subclass_of_an_initializer_is_left_alone():
    class Twos(keras.initializers.Ones):
        def __call__(self, shape, dtype=None):
            return 2 * super().__call__(shape, dtype)

    assert np.all(ops.convert_to_numpy(dense(bias_initializer=Twos()).bias) == 2)


def test_a_layer_keeps_its_initializers():
    layer = keras.layers.Dense(8, kernel_initializer="lecun_normal")
    before = layer.get_config(), layer.kernel_initializer, layer.bias_initializer
    build(layer, (None, 16))
    assert before == (layer.get_config(), layer.kernel_initializer, layer.bias_initializer)


def test_a_layer_keeps_its_initializers_when_building_fails():
    layer = keras.layers.Dense(8, kernel_initializer="lecun_normal")
    initializer = layer.kernel_initializer
    with pytest.raises((ValueError, TypeError)):
        build(layer, (None, None))
    assert layer.kernel_initializer is initializer


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_variables_have_the_dtype_of_the_layer(dtype, sampled_by_keras):
    layer = dense(kernel_initializer="lecun_normal", dtype=dtype)
    assert layer.kernel.dtype == layer.bias.dtype == dtype
    assert len(sampled_by_keras) == (dtype == "float64")
    kernel = ops.convert_to_numpy(ops.cast(layer.kernel, "float32"))
    assert kernel.std() == pytest.approx(1 / 4, rel=0.2)


def test_norms_start_at_one_and_zero():
    norm = keras.layers.LayerNormalization()
    build(norm, (None, 16))
    assert np.all(ops.convert_to_numpy(norm.gamma) == 1)
    assert not ops.convert_to_numpy(norm.beta).any()


def test_skipped_kernels_are_zero_and_norms_are_not():
    norm = keras.layers.LayerNormalization()
    with skip_initialization():
        kernel = dense(kernel_initializer="orthogonal").kernel
        build(norm, (None, 16))
    assert not ops.convert_to_numpy(kernel).any()
    assert np.all(ops.convert_to_numpy(norm.gamma) == 1)


@pytest.mark.backend("jax")
def test_nothing_is_sampled_while_jax_traces(monkeypatch, sampled_by_keras):
    import jax

    def fail(*arguments):
        raise AssertionError("sampled a constant")

    monkeypatch.setattr(initialization, "truncated_normal", fail)
    layers = []
    jax.eval_shape(lambda: layers.append(dense(kernel_initializer="lecun_normal")))
    assert sampled_by_keras == [(16, 8)]
    assert layers[0].kernel.shape == (16, 8)


@pytest.mark.backend("tensorflow")
def test_a_layer_built_in_a_function_has_values():
    import tensorflow as tf

    layers = []

    @tf.function
    def call(x):
        if not layers:
            layers.append(dense(kernel_initializer="lecun_normal"))
        return layers[0](x)

    result = call(tf.ones((2, 16)))
    assert np.all(np.abs(result) > 0)


def test_a_layer_built_in_a_stateless_scope_has_values_afterwards():
    layer = keras.layers.Dense(8, kernel_initializer="lecun_normal")
    with keras.StatelessScope():
        build(layer, (None, 16))
    from keras.src.backend.common.variables import initialize_all_variables

    initialize_all_variables()
    assert np.std(ops.convert_to_numpy(layer.kernel)) == pytest.approx(1 / 4, rel=0.2)


def test_training_changes_weights_that_were_sampled_on_the_host():
    """On JAX, the arrays may share memory with NumPy's, and steps donate them."""
    model = small_mixer(classifier_activation=None)
    before = values(model)
    copies = {path: array.copy() for path, array in before.items()}
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = np.random.default_rng(0).uniform(0, 255, (2, *SMALL_IMAGE)).astype("float32")
    for _ in range(2):
        model.train_on_batch(images, np.array([0, 1]))
    after = values(model)
    assert not np.array_equal(after["head/kernel"], copies["head/kernel"])
    assert not np.array_equal(after["stem/kernel"], copies["stem/kernel"])
