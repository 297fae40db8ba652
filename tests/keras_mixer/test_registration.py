"""Registration of the layers with Keras, whichever of the two is imported first."""

import subprocess
import sys

import keras
import pytest

import keras_mixer
from tests.support.models import small_mixer

pytestmark = pytest.mark.backend("torch")  # registration is the same on all


def run(code):
    """Run `code` in a new process; fail if it fails."""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """Python code that loads a saved model."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    small_mixer().save(path)
    return f"assert keras.saving.load_model({str(path)!r}).get_layer('MixerBlock_1')\n"


@pytest.mark.long
def test_a_saved_model_loads_if_the_library_is_imported_first(load):
    run(
        "import importlib.util, sys\n"
        "import keras_mixer, keras_mixer.registration\n"
        "keras_mixer.registration.register_layers()  # a second time\n"
        "def hooks():\n"
        "    return [f for f in sys.meta_path if 'keras_mixer' in type(f).__module__]\n"
        "assert len(hooks()) == 1\n"
        "assert importlib.util.find_spec('no_such_package') is None\n"
        "assert importlib.util.find_spec('keras').loader.name == 'keras'  # is not an import\n"
        "assert 'keras' not in sys.modules and len(hooks()) == 1\n"
        "from keras import saving\n"
        "assert 'keras_mixer.layers' in sys.modules and not hooks()\n"
        f"import keras\n{load}"
    )


@pytest.mark.long
def test_a_saved_model_loads_if_keras_is_imported_first(load):
    run(f"import keras, keras_mixer\n{load}")


@pytest.mark.long
def test_threads_may_import_both_at_once(load):
    run(
        "import importlib, threading, keras_mixer\n"
        "def start(module):\n"
        "    thread = threading.Thread(target=importlib.import_module, args=[module])\n"
        "    thread.start()\n"
        "    return thread\n"
        "for thread in [start(m) for m in ('keras', 'keras_mixer.layers') * 2]:\n"
        "    thread.join()\n"
        f"import keras\n{load}"
    )


def test_the_registered_names_are_those_in_saved_files():
    for name in ("MlpBlock", "MixerBlock", "StochasticDepth"):
        registered = keras.saving.get_registered_object(f"keras_mixer>{name}")
        assert registered is getattr(keras_mixer, name)
