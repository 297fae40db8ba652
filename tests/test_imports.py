"""The rules for imports between modules."""

import ast
import graphlib
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import keras_mixer

pytestmark = pytest.mark.backend("torch")  # files are read, and subprocesses set their own backend

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = sorted((ROOT / "keras_mixer").rglob("*.py"))
APPLICATION = sorted((ROOT / "training").rglob("*.py"))
ORDER_OF_THE_LIBRARY = (
    "terminal",
    "files",
    "sizes",
    "transforms",
    "weights.numerics",
    "validation",
    "kernels.reference",
    "kernels.jax",
    "kernels.tensorflow",
    "kernels.torch",
    "kernels",
    "layers.dtype_policy",
    "layers.composite",
    "layers.conv2d",
    "layers.dense",
    "layers.image_shape_check",
    "layers.seeds",
    "layers.flat_array",
    "layers.truncated_normal",
    "layers.initialization",
    "layers.layer_norm",
    "layers.stochastic_depth",
    "layers.mlp_block",
    "layers.mixer_block",
    "layers",
    "model_config",
    "mixer",
    "resizing",
    "preprocessing",
    "weights.catalog",
    "weights.table",
    "weights.cache",
    "weights.transfer",
    "weights.download",
    "weights.hub",
    "labels",
    "weights.architecture",
    "weights.archives",
    "weights.keras_archive",
    "weights.formats",
    "weights.layouts",
    "weights.writers",
    "weights.resolution",
    "weights.load",
    "building",
    "models",
    *("explain.score_model", "explain.tokens", "explain.checks", "explain.maps", "explain"),
    "convert",
    *("keras_hub.image_shape", "keras_hub.presets", "keras_hub.backbone"),
    *("keras_hub.image_converter", "keras_hub.preprocessor", "keras_hub.image_classifier"),
    "keras_hub",
    "registration",
    "__init__",
    "__main__",
)  # a module imports from earlier ones only
# No backend but in the kernels, and what is installed with the library: see setup.cfg.
PACKAGES_OF_THE_LIBRARY = {
    "google_crc32c",
    "h5py",
    "huggingface_hub",
    "keras",
    "keras_mixer",
    "numpy",
    "requests",
    "rich",
    "safetensors",
    "tqdm",
}
# A module of the application imports from lower levels and from its own part only. The longest
# name that fits a module decides.
LEVELS_OF_THE_APPLICATION = (
    ("errors",),
    ("validation", "backend"),
    ("config",),
    ("recipes", "data.shard", "optimization.replicas"),
    ("keras_workarounds",),
    ("devices.hosts",),
    (
        *("run.folder", "run.json_file", "run.csv_file", "run.checkpoints"),
        *("data", "devices", "optimization"),
    ),
    ("studies.models", "studies.cost", "studies.paper_tables"),
    (
        *("keras_file", "sharing.reading", "sharing.shared_config"),
        *("sharing.shared_folder", "sharing.shared_model"),
    ),
    ("model_argument",),
    ("model", "evaluation"),
    ("run",),
    ("planning", "sharing"),
    ("benchmarks",),
    ("studies", "export", "demo"),
    ("comparing",),
    ("cli",),
    ("commands",),
    ("__main__",),
    ("studies.run_process",),
)


def module(path):
    """Return the name of a file of the library as a module in it, `weights.load`."""
    name = ".".join(path.relative_to(ROOT / "keras_mixer").with_suffix("").parts)
    return name.removesuffix(".__init__")


def imported(path):
    """Return the names of the modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", LIBRARY, ids=module)
def test_the_library_needs_few_packages_and_a_backend_in_its_kernels_only(path):
    allowed = PACKAGES_OF_THE_LIBRARY | sys.stdlib_module_names
    if path.parent.name == "kernels" and path.stem in ("jax", "tensorflow", "torch"):
        allowed |= {path.stem}
    if path.parent.name == "keras_hub":
        allowed |= {"keras_hub"}
    assert {name.split(".")[0] for name in imported(path)} <= allowed


@pytest.mark.parametrize("path", LIBRARY, ids=module)
def test_imports_in_the_library_run_one_way(path):
    if module(path) == "weights":
        assert imported(path) <= {"importlib"}
        return
    allowed = ORDER_OF_THE_LIBRARY[: ORDER_OF_THE_LIBRARY.index(module(path))]
    for name in imported(path):
        inside = name.removeprefix("keras_mixer.")
        if inside in ("weights", name):  # a folder, or another package
            continue
        assert any(f"{inside}.".startswith(f"{earlier}.") for earlier in allowed), name


def level(name):
    """Return the level of a module of the application, `data.pipeline`."""
    levels = {part: i for i, parts in enumerate(LEVELS_OF_THE_APPLICATION) for part in parts}
    *_, longest = sorted((p for p in levels if f"{name}.".startswith(f"{p}.")), key=len)
    return levels[longest]


def modules_of_the_application():
    """Return `{module: modules of the application that it imports}`."""
    names = {}
    for path in APPLICATION:
        parts = path.relative_to(ROOT / "training").with_suffix("").parts
        names[".".join(parts).removesuffix(".__init__")] = path
    imports = {}
    for name, path in names.items():
        inside = {i.removeprefix("training.") for i in imported(path)} & names.keys() - {name}
        # `from package import module` is an import of the module alone.
        imports[name] = {i for i in inside if not any(o.startswith(f"{i}.") for o in inside)}
    return imports


def test_imports_in_the_application_run_one_way():
    for name, others in modules_of_the_application().items():
        for other in others:
            same_part = name.partition(".")[0] == other.partition(".")[0]
            assert same_part or level(other) < level(name), f"{name} imports {other}"


def test_no_module_of_the_application_imports_itself_by_way_of_others():
    graphlib.TopologicalSorter(modules_of_the_application()).prepare()


def modules_after(code, backend="torch"):
    """Return the top-level modules that a new process has loaded after running `code`."""
    code = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    environment = {**os.environ, "KERAS_BACKEND": backend}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_public_names_are_declared_for_type_checkers():
    """`__all__` names what the block under TYPE_CHECKING imports."""
    tree = ast.parse((ROOT / "keras_mixer" / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = {
        alias.name: f"{node.module}.{alias.name}" for node in block.body for alias in node.names
    }
    assert imports.keys() == set(keras_mixer.__all__)
    for name, path in imports.items():
        module = importlib.import_module(path.rpartition(".")[0])
        assert getattr(module, name) is getattr(keras_mixer, name)
        assert name in dir(keras_mixer)
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        keras_mixer.no_such_name  # noqa: B018


@pytest.mark.long
@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_the_library_loads_one_backend(backend):
    loaded = modules_after("import keras_mixer; keras_mixer.MixerBlock", backend)
    assert backend in loaded
    if backend != "tensorflow":
        assert "tensorflow" not in loaded


@pytest.mark.parametrize(
    "code",
    [
        "import keras_mixer",
        "from keras_mixer.sizes import SIZES",
        "from keras_mixer import list_weights",
        "import keras_mixer.__main__",
    ],
)
def test_keras_is_imported_only_when_it_is_needed(code):
    loaded = modules_after(code)
    assert "keras_mixer" in loaded
    assert not loaded & {"keras", "torch", "jax", "tensorflow"}


def test_only_pytest_imports_test_modules():
    """What several tests need is in tests/support."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for name in imported(path):
            assert not re.match(r"tests\..*\btest_", name), f"{path} imports {name}"
