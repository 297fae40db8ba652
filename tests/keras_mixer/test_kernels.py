"""The operations of each backend, and their gradients, compared with float64."""

import importlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_mixer import kernels
from keras_mixer.kernels import reference
from keras_mixer.layers.layer_norm import LayerNormalization
from run import BACKENDS
from tests.support.gradients import gradients, model_gradients
from tests.support.models import random_pixels, randomize, small_mixer
from tests.support.reference import LARGEST_ERROR, gelu, layer_norm, relative_error
from tests.support.reference import mixer as reference_mixer

pytestmark = pytest.mark.usefixtures("full_optimization")
WIDTH = 12
RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 5, WIDTH)) * 2 + 1
PARAMETERS = [RNG.standard_normal(WIDTH) + 1, RNG.standard_normal(WIDTH)]
KERNEL, BIAS = RNG.standard_normal((WIDTH, 7)), RNG.standard_normal(7)
MANY_ROWS = RNG.standard_normal((4, 100, WIDTH))  # PyTorch may compute them as a convolution
IMAGES = RNG.standard_normal((2, 10, 7, 3))  # 2 × 3 patches
PATCH_KERNEL = RNG.standard_normal((4, 2, 3, 5))


def convolve_patches(images, kernel):
    """Multiply each patch by the kernel, in NumPy."""
    height, width = kernel.shape[:2]
    rows, columns = images.shape[1] // height, images.shape[2] // width
    y = np.empty((len(images), rows, columns, kernel.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            patch = images[:, i * height :, j * width :][:, :height, :width]
            y[:, i, j] = np.tensordot(patch, kernel, 3)
    return y


# (name, function of NumPy in float64, arguments that have a gradient, other arguments)
CASES = {
    "layer_norm": (layer_norm, [X, *PARAMETERS], [1e-6]),
    "layer_norm of vectors": (layer_norm, [X[0], *PARAMETERS], [1e-6]),
    "layer_norm far from 0": (layer_norm, [X + 30, *PARAMETERS], [1e-6]),
    "gelu tanh": (lambda x: gelu(x, True), [X], [True]),
    "gelu erf": (lambda x: gelu(x, False), [X], [False]),
    "gelu far from 0": (lambda x: gelu(x, True), [20 * X], [True]),
    "linear": (lambda x, k, b: x @ k + b, [X, KERNEL, BIAS], []),
    "linear of rows": (lambda x, k, b: x @ k + b, [X[0], KERNEL, BIAS], []),
    "linear of many rows": (lambda x, k, b: x @ k + b, [MANY_ROWS, KERNEL, BIAS], []),
    "convolve_patches": (convolve_patches, [IMAGES[:, :8], PATCH_KERNEL], []),
    "convolve_patches with pixels beyond": (convolve_patches, [IMAGES, PATCH_KERNEL], []),
}


def test_every_backend_has_the_operations_of_the_reference():
    module = importlib.import_module(f"keras_mixer.kernels.{keras.backend.backend()}")
    for name in kernels.__all__:
        assert getattr(kernels, name) is getattr(module, name)
        assert callable(getattr(reference, name))
    assert set(module.__all__) == set(kernels.__all__)


@pytest.mark.backend("torch")
def test_every_backend_of_the_project_has_a_module():
    for backend in BACKENDS:
        assert importlib.util.find_spec(f"keras_mixer.kernels.{backend}")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("implementation", [kernels, reference], ids=["backend", "reference"])
def test_values_and_gradients_match_float64(case, implementation):
    function, arguments, constants = CASES[case]
    kernel = getattr(implementation, case.split()[0])
    arguments = [a.astype("float32") for a in arguments]
    wide = [a.astype("float64") for a in arguments]
    expected = function(*wide)
    weights = np.random.default_rng(1).standard_normal(expected.shape)  # of a sum of the output
    value, found = gradients(lambda *a: kernel(*a, *constants), arguments, weights)
    tolerance = LARGEST_ERROR * (30 if case == "layer_norm far from 0" else 1)  # of the input
    assert relative_error(value, expected) <= tolerance
    for i, gradient in enumerate(found):
        for direction in (gradient, np.random.default_rng(i).standard_normal(gradient.shape)):
            assert_derivative(
                lambda a, i=i: np.sum(weights * function(*wide[:i], a, *wide[i + 1 :])),
                wide[i],
                gradient,
                direction,
                tolerance * np.linalg.norm(gradient),
            )


@pytest.mark.backend("torch")
@pytest.mark.parametrize("mkl_is_slow", [True, False])
@pytest.mark.parametrize("case", ["linear of many rows", "convolve_patches"])
def test_products_and_convolutions_match_float64(case, mkl_is_slow, monkeypatch):
    """On CPUs of AMD, products are computed as convolutions. All CPUs test both."""
    monkeypatch.setattr("keras_mixer.kernels.torch._mkl_is_slow", lambda: mkl_is_slow)
    monkeypatch.setattr("keras_mixer.kernels.torch.FEWEST_ROWS", 2)
    test_values_and_gradients_match_float64(case, kernels)


def assert_derivative(function, at, gradient, direction, largest_error):
    """Compare a gradient along a direction with the central difference of a function in float64."""
    direction = direction.astype("float64") / np.linalg.norm(direction)
    step = 1e-4
    differences = [
        (function(at + h * direction) - function(at - h * direction)) / (2 * h)
        for h in (step, 2 * step)
    ]
    expected = (4 * differences[0] - differences[1]) / 3  # Richardson: the error is O(step⁴)
    found = np.sum(gradient * direction)
    assert abs(found - expected) <= largest_error


def test_a_transposed_tensor_is_multiplied_without_a_copy():
    """Token mixing: the tokens are the last axis of a transposed tensor."""
    x = X.astype("float32")
    arguments = [x, RNG.standard_normal((5, 7)).astype("float32"), BIAS.astype("float32")]

    def mix(x, kernel, bias):
        y = kernels.linear(ops.transpose(x, (0, 2, 1)), kernel, bias)
        return ops.transpose(y, (0, 2, 1))

    def mix_by_reference(x, kernel, bias):
        y = reference.linear(ops.transpose(x, (0, 2, 1)), kernel, bias)
        return ops.transpose(y, (0, 2, 1))

    weights = np.random.default_rng(1).standard_normal((3, 7, WIDTH))
    value, found = gradients(mix, arguments, weights)
    expected_value, expected = gradients(mix_by_reference, arguments, weights)
    assert relative_error(value, expected_value) <= LARGEST_ERROR
    for a, b in zip(found, expected, strict=True):
        assert relative_error(a, b) <= LARGEST_ERROR
    if keras.backend.backend() == "torch":
        assert mix(*map(ops.convert_to_tensor, arguments)).is_contiguous()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_normalized_in_float32(dtype):
    x = ops.cast(X + 30, dtype)
    gamma, beta = (ops.convert_to_tensor(a.astype("float32")) for a in PARAMETERS)
    y = kernels.layer_norm(x, gamma, beta, 1e-6)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    expected = layer_norm(ops.convert_to_numpy(ops.cast(x, "float64")), *PARAMETERS)
    rounding = {"bfloat16": 2**-8, "float16": 2**-11}[dtype]
    error = np.abs(ops.convert_to_numpy(ops.cast(y, "float64")) - expected)
    assert np.all(error <= rounding * np.abs(expected) + 1e-4)


@pytest.mark.parametrize("approximate_gelu", [True, False])
def test_gradients_of_every_variable_match_float64(approximate_gelu):
    model = small_mixer(approximate_gelu=approximate_gelu, value_range=(-1, 1))
    weights = randomize(model)
    pixels = random_pixels((4, 8, 12, 3))
    of_logits = np.random.default_rng(1).standard_normal((4, 5))
    found = model_gradients(model, pixels, of_logits)
    assert found.keys() == weights.keys()

    for i, (name, gradient) in enumerate(found.items()):

        def sum_of_logits(array, name=name):
            arrays = {**weights, name: array}
            return np.sum(of_logits * reference_mixer(arrays, pixels, approximate_gelu))

        # This bias shifts all channels of a token, which every norm removes: its gradient is 0.
        is_zero = name.endswith("token_mixing/Dense_1/bias")
        of_scale = found[name.replace("bias", "kernel")] if is_zero else gradient
        largest_error = LARGEST_ERROR * np.linalg.norm(of_scale)
        for direction in (gradient, np.random.default_rng(i).standard_normal(gradient.shape)):
            at = weights[name].astype("float64")
            assert_derivative(sum_of_logits, at, gradient, direction, largest_error)


@pytest.mark.backend("jax")
def test_reverse_mode_can_be_nested():
    import jax

    def curvature(kernel):
        gamma, beta = (a.astype("float32") for a in PARAMETERS)

        def loss(x):
            return jax.numpy.sum(kernel.layer_norm(kernel.gelu(x, True), gamma, beta, 1e-6) ** 3)

        def length(x):
            return jax.numpy.sum(jax.grad(loss)(x) ** 2)

        return jax.grad(length)(jax.numpy.asarray(X[0], "float32"))

    expected = np.asarray(curvature(reference))
    assert relative_error(np.asarray(curvature(kernels)), expected) <= 1e-5


def test_the_layer_is_saved_with_its_epsilon():
    layer = LayerNormalization(epsilon=1e-3, dtype="mixed_bfloat16", name="norm")
    config = layer.get_config()
    assert config["epsilon"] == 1e-3
    again = LayerNormalization.from_config(config)
    assert (again.epsilon, again.name, again.compute_dtype) == (1e-3, "norm", "bfloat16")
