"""The wheel: it ships the library, all of it, and nothing else."""

import email
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import keras_mixer
from run import BACKENDS

pytestmark = pytest.mark.backend("torch")  # a wheel is the same on every backend
ROOT = Path(__file__).resolve().parent.parent


def run(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def tracked():
    """Return the paths of the files that git tracks, relative to the root."""
    return [n for n in run("git", "ls-files", cwd=ROOT).splitlines() if (ROOT / n).exists()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the tracked files, since a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    run(*pip, "--wheel-dir", folder, folder / "source")
    (path,) = folder.glob("*.whl")
    return path


def test_it_holds_the_library_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    library = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "keras_mixer").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    about = f"keras_mixer-{keras_mixer.__version__}.dist-info/"
    assert {name for name in names if not name.startswith(about)} == library
    assert f"{about}licenses/LICENSE" in names


def test_its_metadata(wheel):
    name = f"keras_mixer-{keras_mixer.__version__}.dist-info/METADATA"
    about = email.message_from_bytes(zipfile.ZipFile(wheel).read(name))
    assert about["Version"] == keras_mixer.__version__
    assert about["Requires-Python"] == ">=3.11"
    assert about["License-Expression"] == "Apache-2.0"
    assert set(BACKENDS) <= set(about.get_all("Provides-Extra"))
    needed = [line for line in about.get_all("Requires-Dist") if "extra ==" not in line]
    assert not any(line.startswith(BACKENDS) for line in needed)
    assert about.get_payload().startswith("# keras_mixer")


def test_the_version_is_defined_once():
    version = keras_mixer.__version__
    holding = {
        name
        for name in tracked()
        if name.endswith((".py", ".cfg", ".toml", ".cff", ".yml"))
        and version in (ROOT / name).read_text()
    }
    assert holding == {"keras_mixer/__init__.py"}


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("python", ["python3.11", "python3.12", "python3.13"])
def test_it_works_with_one_backend_alone(wheel, tmp_path, python, backend):
    if shutil.which(python) is None:
        pytest.skip(f"{python} is not installed")
    run(python, "-m", "venv", tmp_path / "environment")
    environment = tmp_path / "environment" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    run(environment, "-m", "pip", "install", "-c", constraints, f"{wheel}[{backend}]")
    # -I isolates Python from the checkout.
    print(run(environment, "-I", ROOT / "tests" / "support" / "installed.py", backend, tmp_path))
