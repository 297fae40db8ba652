#!/usr/bin/env python3
"""Run the project from a fresh checkout, with nothing but Python.

    python3 run.py train digits      train a Mixer on handwritten digits
    python3 run.py test              run all tests on all three backends
    python3 run.py test --quick      run the fast tests on one backend
    python3 run.py COMMAND --help    explain a command

The first call creates a virtual environment, .venv, beside this file and installs the pinned
dependencies into it; later calls install again only if the pins have changed. The command runs
in that environment. The environment variable KERAS_BACKEND chooses the backend, as everywhere
in Keras; the default is tensorflow.
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
INSTALLED = VENV / "installed.json"  # the installed extras, and a digest of their pins
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
    """Return the backend that Keras will use, from KERAS_BACKEND or from keras.json."""
    if "KERAS_BACKEND" in os.environ:
        return os.environ["KERAS_BACKEND"]
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        return json.loads((home / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError):
        return "tensorflow"


def digest_of_pins():
    """Return a digest of the files that determine what is installed."""
    files = (ROOT / name for name in ("setup.cfg", "pyproject.toml", "constraints.txt"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def usage():
    return f"{__doc__}\nCommands: {', '.join(COMMANDS)}"


def fail(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def create_environment():
    print(f"Creating a virtual environment in {VENV}", flush=True)
    created = False
    try:
        created = subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)]) == 0
    finally:
        if not created:  # otherwise the next call would use a partial environment
            shutil.rmtree(VENV, ignore_errors=True)
    if not created:
        fail(
            "this Python must be able to create virtual environments and is not. "
            f"Received: {sys.executable}. Install its venv module (on Debian and Ubuntu the "
            "package python3-venv), or start this file with another Python."
        )


def install(extras):
    print("Installing the dependencies (takes minutes, needed once)", flush=True)
    INSTALLED.unlink(missing_ok=True)
    package = f"{ROOT}[{','.join(sorted(extras))}]"
    constraints = str(ROOT / "constraints.txt")
    status = subprocess.call(
        [PYTHON, "-m", "pip", "install", "--constraint", constraints, "--editable", package]
    )
    if status:
        fail(
            "pip could not install the dependencies; its messages above give the reason. "
            "Fix that, then run the same command again."
        )
    INSTALLED.write_text(json.dumps({"pins": digest_of_pins(), "extras": sorted(extras)}))


def main():
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        found = ".".join(map(str, sys.version_info[:3]))
        fail(
            f"Python must be 3.11, 3.12 or 3.13, since all backends have builds for these. "
            f"Received: {found}. Start this file with one of them: python3.11 run.py."
        )
    if len(sys.argv) < 2:
        print(usage(), file=sys.stderr)
        sys.exit(2)
    if sys.argv[1] in ("-h", "--help"):
        print(usage())
        return
    command, arguments = sys.argv[1], sys.argv[2:]
    if command not in COMMANDS:
        fail(
            f"COMMAND must be one of {', '.join(COMMANDS)}. Received: {command}. Pass one of those."
        )

    if not PYTHON.exists():
        create_environment()
    extras = needed_extras(command)
    installed = json.loads(INSTALLED.read_text()) if INSTALLED.exists() else {"extras": []}
    if installed.get("pins") != digest_of_pins() or not extras <= set(installed["extras"]):
        install(extras | set(installed["extras"]))

    module = ["tests"] if command == "test" else ["training", command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_MIXER_PROGRAM": "python3 run.py"}
    os.execve(PYTHON, [str(PYTHON), "-m", *module, *arguments], environment)


if __name__ == "__main__":
    main()
