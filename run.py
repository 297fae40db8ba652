#!/usr/bin/env python3
"""Run the project from a fresh checkout, with nothing but Python.

    python3 run.py train digits      any command of `python -m training`
    python3 run.py test              all tests, on all three backends

Makes a virtual environment, .venv, beside this file, installs the pinned dependencies into it
the first time and whenever they change, and runs the command there. The backend is Keras's own
choice (KERAS_BACKEND), TensorFlow if nothing is set.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
INSTALLED = VENV / "installed.json"  # which extras, from which pins
BACKENDS = ("tensorflow", "jax", "torch")


def needed_extras(command):
    """Return the extras of setup.cfg that `command` needs."""
    if command == "test":
        return {"training", "test", *BACKENDS}
    # tf.data feeds every backend, so the application always needs TensorFlow.
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    return {"training", "tensorflow"} | ({backend} & set(BACKENDS))


def pins():
    """Return a digest of all that decides what is installed."""
    files = (ROOT / name for name in ("setup.cfg", "pyproject.toml", "constraints.txt"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def make_environment():
    print(f"Making a virtual environment in {VENV}", flush=True)
    if subprocess.call([sys.executable, "-m", "venv", str(VENV)]):
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            "error: this Python cannot make virtual environments. Install its venv module "
            "(on Debian and Ubuntu the package python3-venv), or use another Python."
        )


def install(extras):
    print("Installing the dependencies (some minutes, once)", flush=True)
    INSTALLED.unlink(missing_ok=True)
    package = f"{ROOT}[{','.join(sorted(extras))}]"
    constraints = str(ROOT / "constraints.txt")
    status = subprocess.call(
        [PYTHON, "-m", "pip", "install", "--constraint", constraints, "--editable", package]
    )
    if status:
        sys.exit("error: pip could not install the dependencies; its messages above say why.")
    INSTALLED.write_text(json.dumps({"pins": pins(), "extras": sorted(extras)}))


def main():
    if sys.version_info < (3, 11):  # noqa: UP036  an older Python reaches this line
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"error: Python must be 3.11 or newer. Received: {found}. "
            "Start this file with another Python, such as python3.11 run.py."
        )
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    command, arguments = sys.argv[1], sys.argv[2:]

    if not PYTHON.exists():
        make_environment()
    extras = needed_extras(command)
    installed = json.loads(INSTALLED.read_text()) if INSTALLED.exists() else {"extras": []}
    if installed.get("pins") != pins() or not extras <= set(installed["extras"]):
        install(extras | set(installed["extras"]))

    module = ["tests"] if command == "test" else ["training", command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    os.execve(PYTHON, [str(PYTHON), "-m", *module, *arguments], environment)


if __name__ == "__main__":
    main()
