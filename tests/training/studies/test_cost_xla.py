"""FLOPs from the equations, against XLA's count in programs that are lowered but not run."""

import keras
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("XLA is asked through JAX", allow_module_level=True)

import jax
import numpy as np

import keras_mixer
from keras_mixer.sizes import SIZES
from training.config.study_models import ResnetSize, VitSize
from training.planning.step import lower_train_step, without_values
from training.studies.cost import MODELS, cost
from training.studies.models.resnet import build_resnet
from training.studies.models.vit import build_vit

IMAGES = 16  # per batch: the update of the weights, once a batch, is then small
CLASSES = 1000
SIZES_IN_PIXELS = (224, 448, 672)  # multiples of all patch sizes
QUICK = ("S/32", "vit-S/16", "resnet-50")
WIDE = [name for name in MODELS if "tiny" not in name]
# A ResNet pads its images itself before strided convolutions, so that XLA counts these zeros.
LARGEST_PADDING = 0.006
LARGEST_ELEMENTWISE = 0.02
PRODUCTS = ("dot_general", "conv_general_dilated")


def build(name, image_size):
    size = MODELS[name]
    if isinstance(size, VitSize):
        model = build_vit(size, image_size, classes=CLASSES)
    elif isinstance(size, ResnetSize):
        model = build_resnet(size, image_size, classes=CLASSES)
    else:
        shape = (image_size, image_size, 3)
        model = keras_mixer.MlpMixer(
            **size.dimensions, input_shape=shape, classes=CLASSES, classifier_activation=None
        )
    model.compile(keras.optimizers.SGD(), keras.losses.CategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    model.compute_metrics(None, *[keras.ops.zeros((1, CLASSES))] * 2)
    return model


def shapes(variables):
    return [jax.ShapeDtypeStruct(variable.shape, variable.dtype) for variable in variables]


def flops_of_products(jaxpr, known):
    """Return the sum of XLA's counts for each product of a program, lowered on its own."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in PRODUCTS:
            operands = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars]
            key = str((equation.primitive, equation.params, operands))
            if key not in known:
                product = jax.jit(lambda *x, e=equation: e.primitive.bind(*x, **e.params))
                known[key] = product.lower(*operands).cost_analysis()["flops"]
            total += known[key]
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += flops_of_products(inner, known)
    return total


def xla_counts(name, image_size):
    """Return FLOPs per image, of products alone and of all, in inference and in training."""
    model = without_values(lambda: build(name, image_size))
    batch = (
        jax.ShapeDtypeStruct((IMAGES, image_size, image_size, 3), "float32"),
        jax.ShapeDtypeStruct((IMAGES, CLASSES), "float32"),
    )
    state = [shapes(model.trainable_variables), shapes(model.non_trainable_variables)]

    def predict(state, images):
        return model.stateless_call(*state, images, training=False)[0]

    forward = jax.jit(predict).trace(state, batch[0])
    state += [shapes(model.optimizer.variables), shapes(model.metrics_variables)]
    step = jax.make_jaxpr(model.train_step)(tuple(state), batch)
    products = [flops_of_products(traced.jaxpr, {}) for traced in (forward.jaxpr, step)]
    lowered = forward.lower(), lower_train_step(model, batch, jax.devices()[0])
    return (
        model.count_params(),
        np.array(products) / IMAGES,
        np.array([program.cost_analysis()["flops"] for program in lowered]) / IMAGES,
    )


@pytest.mark.parametrize(
    "name, image_size",
    [
        pytest.param(
            name,
            image_size,
            marks=() if name in QUICK and image_size == 224 else pytest.mark.slow,
        )
        for name in WIDE
        for image_size in (SIZES_IN_PIXELS if name in SIZES else SIZES_IN_PIXELS[:1])
    ],
)
def test_flops_are_those_of_xla(name, image_size):
    """Its products exactly; with norms, activations and the update, it counts up to 2 % more."""
    parameters, products, everything = xla_counts(name, image_size)
    counted = cost(MODELS[name], image_size, classes=CLASSES)
    flops = np.array([counted.inference_flops, counted.training_flops])
    assert counted.parameters == parameters
    if isinstance(MODELS[name], ResnetSize):
        assert (flops <= products).all() and (products <= flops * (1 + LARGEST_PADDING)).all()
    else:
        assert products.tolist() == flops.tolist()
    assert (products < everything).all()
    assert (everything <= flops * (1 + LARGEST_ELEMENTWISE)).all()


def test_padding_is_not_counted():
    """Of a 3 × 3 convolution of 4 × 4 pixels, 10 of 12 taps along each axis are inside."""
    image, kernel = (
        jax.ShapeDtypeStruct(shape, "float32") for shape in ((1, 4, 4, 8), (3, 3, 8, 8))
    )

    def convolve(image, kernel):
        return keras.ops.conv(image, kernel, 1, "same", data_format="channels_last")

    lowered = jax.jit(convolve).lower(image, kernel)
    found = cost(ResnetSize(8, (1,), "small"), 8, 8, 1).inference_flops
    stem = 2 * 11**2 * 8 * 8  # of 8 × 8 pixels with stride 2: 11 of 12 taps are inside
    block = 2 * 16 * 8 * (32 + 8 + 32) + 2 * 32  # the 1 × 1 convolutions, and the head
    assert lowered.cost_analysis()["flops"] == 2 * 10**2 * 8 * 8 == found - block - stem
