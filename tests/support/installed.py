"""Check the installed library in an environment with one backend and nothing else.

python tests/support/installed.py BACKEND FOLDER, run by test_wheel.py.
"""

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

backend, folder = sys.argv[1], Path(sys.argv[2])
os.environ["KERAS_BACKEND"] = backend
OTHERS = {"tensorflow", "jax", "torch"} - {backend}
assert not any(map(importlib.util.find_spec, OTHERS | {"training", "tests"}))

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_mixer  # noqa: E402

assert keras.backend.backend() == backend
assert Path(sys.prefix) in Path(keras_mixer.__file__).parents  # not a checkout
assert keras_mixer.__version__ == importlib.metadata.version("keras_mixer")

images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), "uint8")
model = keras_mixer.MixerB16(weights=None)
assert model.count_params() == 59_880_472
assert np.allclose(model.predict(images, verbose=0), 1 / 1000)  # the head is initialized with zeros

random = np.random.default_rng(1)
for weight in model.get_layer("head").weights:
    weight.assign(random.standard_normal(weight.shape))
expected = model.predict(images, verbose=0)
model.save(folder / "mixer.keras")
again = keras.saving.load_model(folder / "mixer.keras")
assert np.array_equal(again.predict(images, verbose=0), expected)

from keras_mixer import convert  # noqa: E402

convert.convert(folder / "mixer.keras", folder / "mixer.npz", layout="google")
loaded = keras_mixer.MixerB16(weights=folder / "mixer.npz")
assert np.array_equal(loaded.predict(images, verbose=0), expected)
print(f"Python {sys.version.split()[0]}, {backend}: keras_mixer {keras_mixer.__version__} works")
