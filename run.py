#!/usr/bin/env python3
"""Run the project from a fresh checkout, with nothing but Python.

    python3 run.py train digits      trains a Mixer on handwritten digits
    python3 run.py test              runs all tests, on all three backends
    python3 run.py COMMAND --help    explains a command

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
COMMANDS = [
    *sorted(path.stem for path in (ROOT / "training" / "commands").glob("[!_]*.py")),
    "test",
]


def needed_extras(command):
    """Return the extras of setup.cfg that `command` needs."""
    if command == "test":
        return {"training", "test", *BACKENDS}
    # tf.data feeds every backend, so the application always needs TensorFlow.
    return {"training", "tensorflow"} | ({keras_backend()} & set(BACKENDS))


def keras_backend():
    """Return the backend that Keras will take: the environment's, or its own file's."""
    if "KERAS_BACKEND" in os.environ:
        return os.environ["KERAS_BACKEND"]
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        return json.loads((home / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError):
        return "tensorflow"


def pins():
    """Return a digest of all that decides what is installed."""
    files = (ROOT / name for name in ("setup.cfg", "pyproject.toml", "constraints.txt"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def fail(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def make_environment():
    print(f"Making a virtual environment in {VENV}", flush=True)
    made = False
    try:
        made = subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)]) == 0
    finally:
        if not made:  # half of one would be taken for whole by the next call
            shutil.rmtree(VENV, ignore_errors=True)
    if not made:
        fail(
            "this Python cannot make virtual environments. Install its venv module (on Debian "
            "and Ubuntu the package python3-venv), or use another Python."
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
        fail(
            "pip could not install the dependencies; its messages above say why. "
            "Mend that, or delete .venv, and try again."
        )
    INSTALLED.write_text(json.dumps({"pins": pins(), "extras": sorted(extras)}))


def main():
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        found = ".".join(map(str, sys.version_info[:3]))
        fail(
            f"Python must be 3.11, 3.12 or 3.13, for which all backends have builds. "
            f"Received: {found}. Start this file with one of those, such as python3.11 run.py."
        )
    if len(sys.argv) < 2:
        print(f"{__doc__}\nCommands: {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    if sys.argv[1] in ("-h", "--help"):
        print(f"{__doc__}\nCommands: {', '.join(COMMANDS)}")
        return
    command, arguments = sys.argv[1], sys.argv[2:]
    if command not in COMMANDS:
        fail(
            f"COMMAND must be one of {', '.join(COMMANDS)}. Received: {command}. Pass one of those."
        )

    if not PYTHON.exists():
        make_environment()
    extras = needed_extras(command)
    installed = json.loads(INSTALLED.read_text()) if INSTALLED.exists() else {"extras": []}
    if installed.get("pins") != pins() or not extras <= set(installed["extras"]):
        install(extras | set(installed["extras"]))

    module = ["tests"] if command == "test" else ["training", command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_MIXER_PROGRAM": "python3 run.py"}
    os.execve(PYTHON, [str(PYTHON), "-m", *module, *arguments], environment)


if __name__ == "__main__":
    main()
