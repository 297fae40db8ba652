"""The contestants of `benchmark speed` on the running backend: ours, opponents and the limit."""

import importlib
import importlib.util

import keras

import keras_mixer
from keras_mixer.weights.load import variables_by_name
from training.benchmarks.opponents.task import LEARNING_RATE, MOMENTUM, Contestant

FLAX_PACKAGES = ("flax", "optax")
MODULES = {"jax": ("jax", "flax"), "tensorflow": ("tensorflow",), "torch": ("torch",)}


class Ours(Contestant):
    """The library's model as a user calls it: `predict` and `train_on_batch`."""

    name = "keras_mixer"
    jit_compile: bool | str = "auto"  # Keras's default

    def __init__(self, task, weights):
        super().__init__(task, weights)
        sizes = task.architecture
        self.model = keras_mixer.MlpMixer(
            sizes.patch_size,
            sizes.hidden_dim,
            sizes.num_blocks,
            sizes.tokens_mlp_dim,
            sizes.channels_mlp_dim,
            include_preprocessing=False,
            input_shape=(*task.image_size, sizes.channels),
            classes=sizes.classes,
            classifier_activation=None,
            dtype=task.precision,
        )
        self._variables = variables_by_name(self.model)
        for name, variable in self._variables.items():
            variable.assign(weights[name])
        self.model.compile(
            keras.optimizers.SGD(LEARNING_RATE, MOMENTUM),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=self.jit_compile,
        )

    def inference(self, images, batch_size):
        return lambda: self.model.predict(images, batch_size=batch_size, verbose=0)

    def training(self, images, labels):
        return lambda: float(self.model.train_on_batch(images, labels))

    def weights(self):
        return {
            name: keras.ops.convert_to_numpy(variable) for name, variable in self._variables.items()
        }


class OursCompiled(Ours):
    """The same, compiled with `jit_compile=True`."""

    name = "keras_mixer, XLA"
    jit_compile = True


def ours():
    """Return the classes of our contestants on the running backend, the default one first."""
    return (Ours, OursCompiled) if keras.backend.backend() == "tensorflow" else (Ours,)


def opponents():
    """Return the classes of the opponents on the running backend, without those not installed."""
    return tuple(o for module in _modules() for o in module.OPPONENTS)


def limits():
    """Return the classes that compute the matrix products alone on the running backend."""
    return tuple(o for module in _modules() for o in getattr(module, "LIMITS", ()))


def missing_packages():
    """Return the packages that an opponent of the running backend needs and that are missing."""
    if keras.backend.backend() != "jax":
        return []
    return [name for name in FLAX_PACKAGES if importlib.util.find_spec(name) is None]


def _modules():
    for name in MODULES[keras.backend.backend()]:
        if name != "flax" or not missing_packages():
            yield importlib.import_module(f"training.benchmarks.opponents.{name}")
