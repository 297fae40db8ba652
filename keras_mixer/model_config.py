"""Configuration of a saved Keras model, checked against a list of what it may name.

Keras rebuilds a model by calling what the configuration in its file names, with arguments from the
same file. Its safe mode forbids some names; a `Lambda` over a function of Keras that writes files
is not among them. Here everything is forbidden but data and `OBJECTS`: the parts of a Mixer, and
what Keras has that computes and does nothing else.
"""

import keras

import keras_mixer.layers  # noqa: F401  registers the layers that files name

PACKAGE = "keras_mixer"  # of the names under which the library's layers are registered
LAYERS_OF_THE_LIBRARY = frozenset(
    {
        *("Conv2D", "ImageShapeCheck", "LayerNormalization"),
        *("MixerBlock", "MlpBlock", "StochasticDepth"),
    }
)
# Names of classes by the module that Keras writes. Excluded on purpose: layers that call a function
# from the file (Lambda), load a file (TFSMLayer, the lookups, TextVectorization), run code of a
# backend (TorchModuleWrapper, JaxLayer, FlaxLayer), and those for inputs other than images.
OBJECTS = {
    "keras": {"Sequential", "DTypePolicy"},
    "keras.src.models.functional": {"Functional"},
    "keras.layers": {
        *("InputLayer", "Identity", "Activation", "Softmax"),
        *("ReLU", "LeakyReLU", "PReLU", "ELU"),
        *("Dense", "EinsumDense", "Conv1D", "Conv2D", "DepthwiseConv2D", "SeparableConv2D"),
        *("LayerNormalization", "BatchNormalization", "GroupNormalization", "RMSNormalization"),
        *("UnitNormalization", "Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
        *("SpatialDropout1D", "SpatialDropout2D", "ActivityRegularization"),
        *("Attention", "AdditiveAttention", "MultiHeadAttention", "GroupQueryAttention"),
        *("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"),
        *("Flatten", "Permute", "RepeatVector", "Reshape"),
        *("Cropping1D", "Cropping2D", "ZeroPadding1D", "ZeroPadding2D", "UpSampling2D"),
        *("AveragePooling1D", "AveragePooling2D", "MaxPooling1D", "MaxPooling2D"),
        *("AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D"),
        *("AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D"),
        *("GlobalAveragePooling1D", "GlobalAveragePooling2D"),
        *("GlobalMaxPooling1D", "GlobalMaxPooling2D"),
        *("CenterCrop", "Normalization", "Rescaling", "Resizing", "Pipeline"),
        *("AugMix", "AutoContrast", "CutMix", "Equalization", "MixUp", "RandAugment"),
        *("RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomContrast"),
        *("RandomCrop", "RandomElasticTransform", "RandomErasing", "RandomFlip"),
        *("RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert"),
        *("RandomPerspective", "RandomPosterization", "RandomRotation", "RandomSaturation"),
        *("RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom", "Solarization"),
    },
    # Operations on the outputs of layers in a Functional model, such as `keras.ops.sigmoid(x)`.
    "keras.src.ops.core": {"Cast"},
    "keras.src.ops.nn": {
        *("Gelu", "LogSigmoid", "LogSoftmax", "Relu", "Sigmoid", "Silu", "Softmax", "Softplus"),
        *("Normalize",),
    },
    "keras.src.ops.numpy": {
        *("Absolute", "Add", "Average", "Clip", "Concatenate", "Divide", "Exp", "ExpandDims"),
        *("Flip", "GetItem", "Log", "Matmul", "Max", "Maximum", "Mean", "Min", "Minimum"),
        *("Multiply", "Negative", "Power", "Reshape", "Sqrt", "Square", "Squeeze", "Stack"),
        *("Subtract", "Sum", "Tanh", "Transpose", "TrueDivide"),
    },
    "keras.constraints": {"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"},
    "keras.dtype_policies": {
        *("DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "QuantizedDTypePolicy"),
        *("QuantizedFloat8DTypePolicy", "Int4DTypePolicy", "GPTQDTypePolicy", "AWQDTypePolicy"),
    },
    "keras.initializers": {
        *("Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity"),
        *("LecunNormal", "LecunUniform", "Ones", "Orthogonal", "OrthogonalInitializer"),
        *("RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros"),
    },
    "keras.quantizers": {
        *("AbsMaxQuantizer", "Int4QuantizationConfig", "Int8QuantizationConfig"),
        *("Float8QuantizationConfig", "GPTQConfig", "AWQConfig"),
    },
    "keras.random": {"SeedGenerator"},
    "keras.regularizers": {"L1", "L1L2", "L2", "OrthogonalRegularizer"},
}
# Values that JSON cannot hold itself. Each has a `config`.
VALUES = ("__keras_tensor__", "__numpy__", "__slice__", "__ellipsis__")
NUMBERS = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
# Of an object, besides its names and its `config`. What else Keras reads is left out of the copy:
# `compile_config`, which names optimizers, losses and metrics.
DETAILS = ("build_config", "shared_object_id", "name", "inbound_nodes")


class ModelConfigError(ValueError):
    """A configuration that names what is not in the list."""


def check_model_config(config, others=frozenset()):
    """Return a copy of a configuration that names only `OBJECTS`, and compiles nothing.

    Args:
        config: JSON of a model, a layer or one of its arguments, as Python objects. It must be
            read once: what is deserialized is to be what was checked.
        others: Registered names of other classes that it may name, `"PACKAGE>NAME"`.

    Raises:
        ModelConfigError: If it names anything else.
    """
    return _check(config, "model", others)


def _check(value, owner, others):
    """Return a copy of JSON; `owner` is the name of the innermost layer, for messages."""
    if isinstance(value, list):
        return [_check(item, owner, others) for item in value]
    # Keras puts a registered class or function in the place of its name, anywhere.
    if isinstance(value, str) and keras.saving.get_registered_object(value) is not None:
        raise ModelConfigError(f"{value!r} in {owner!r}, the name of a registered object")
    if not isinstance(value, dict):
        return value
    if "class_name" not in value:
        return {key: _check(item, owner, others) for key, item in value.items()}
    if value["class_name"] in VALUES:
        return _check_value(value, owner, others)
    return _check_object(value, owner, others)


def _check_value(value, owner, others):
    config = value.get("config")
    if not isinstance(config, dict) or "class_name" in config:
        raise ModelConfigError(f"{value['class_name']} without a configuration in {owner!r}")
    if value["class_name"] == "__numpy__" and config.get("dtype") not in NUMBERS:
        raise ModelConfigError(f"an array of {config.get('dtype')!r} in {owner!r}")
    return {"class_name": value["class_name"], "config": _check(config, owner, others)}


def _check_object(value, owner, others):
    module, name, config = (value.get(key) for key in ("module", "class_name", "config"))
    registered = value.get("registered_name")
    if isinstance(config, dict) and isinstance(config.get("name"), str):
        owner = config["name"]
    if not isinstance(module, str) or not isinstance(name, str) or not isinstance(config, dict):
        raise ModelConfigError(f"{module}.{name} of {config!r} in {owner!r}")
    if registered == f"{PACKAGE}>{name}":  # Keras finds the class by this name alone
        known = name in LAYERS_OF_THE_LIBRARY
    elif isinstance(registered, str) and registered in others:
        known = registered.endswith(f">{name}")
    else:
        known = name in OBJECTS.get(module, ()) and registered in (None, name)
        known = known and keras.saving.get_registered_object(name) is None
    if not known or "class_name" in config:
        raise ModelConfigError(f"{registered or f'{module}.{name}'} in {owner!r}")
    checked = {"module": module, "class_name": name, "registered_name": registered}
    checked["config"] = _check(config, owner, others)
    return checked | {key: _check(value[key], owner, others) for key in DETAILS if key in value}
