"""The rules of who may import whom."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = sorted((ROOT / "keras_mixer").rglob("*.py"))
APPLICATION = sorted((ROOT / "training").rglob("*.py"))
LAYERS_OF_THE_LIBRARY = (
    "checkpoints.numerics",
    "arguments",
    "resizing",
    "preprocessing",
    "checkpoints.catalog",
    "checkpoints.table",
    "checkpoints.download",
    "labels",
    "checkpoints.architecture",
    "checkpoints.formats",
    "checkpoints.layouts",
    "checkpoints.resolution",
    "checkpoints.load",
    "layers",
    "model",
    "variants",
    "convert",
    "__init__",
    "__main__",
)  # imports run this way only
# No backend, and what is installed with the library: see setup.cfg.
PACKAGES_OF_THE_LIBRARY = {
    "google_crc32c",
    "h5py",
    "keras",
    "keras_mixer",
    "numpy",
    "requests",
    "rich",
    "safetensors",
    "tqdm",
}
# Of the application.
FURTHER_PARTS = {
    "hardware": {"machine", "model_parallel"},
    "hardware_choice": {"hardware", "machine"},
}


def module(path):
    """Return the name of a file of the library as a module in it, `checkpoints.load`."""
    return ".".join(path.relative_to(ROOT / "keras_mixer").with_suffix("").parts)


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
def test_the_library_needs_few_packages_and_no_backend(path):
    allowed = PACKAGES_OF_THE_LIBRARY | sys.stdlib_module_names
    assert {name.split(".")[0] for name in imported(path)} <= allowed


@pytest.mark.parametrize("path", LIBRARY, ids=module)
def test_imports_in_the_library_run_one_way(path):
    if module(path) == "checkpoints.__init__":
        assert not imported(path)
        return
    allowed = LAYERS_OF_THE_LIBRARY[: LAYERS_OF_THE_LIBRARY.index(module(path))]
    for name in imported(path):
        inside = name.removeprefix("keras_mixer.")
        if inside in ("checkpoints", name):  # a folder, or another package
            continue
        assert any(f"{inside}.".startswith(f"{layer}.") for layer in allowed), name


@pytest.mark.parametrize("path", APPLICATION, ids=lambda path: path.stem)
def test_only_fit_and_the_commands_join_the_parts(path):
    parts = {name.split(".")[1] for name in imported(path) if name.startswith("training.")} - {
        "arguments",
        "config",
        "errors",
        "hosts",
        "signals",
        "printing",
    }
    # Benchmarks time the parts, and plans compile them; commands and one run join them.
    joins = path.stem in ("fit", "__main__", "command", "commands")
    if not joins and not {"benchmarks", "planning"} & {*path.parts}:
        inside = (
            path.relative_to(ROOT / "training").parts[0]
            if path.parent != ROOT / "training"
            else None
        )
        assert parts <= {inside, *FURTHER_PARTS.get(path.stem, ())}, parts


@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
def test_importing_the_library_loads_one_backend(backend):
    code = (
        "import sys, keras_mixer\n"
        "print(*sorted({'tensorflow', 'jax', 'torch'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "KERAS_BACKEND": backend}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    assert backend in loaded
    if backend != "tensorflow":
        assert "tensorflow" not in loaded
