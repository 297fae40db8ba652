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
import importlib.util
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
    *sorted(
        path.stem.replace("_", "-") for path in (ROOT / "training" / "commands").glob("[!_]*.py")
    ),
    "test",
]
# What some commands need beside the backend.
EXTRAS = {"demo": {"demo"}, "export": {"export"}, "share": {"hub"}}


def needed_extras(command, arguments=()):
    """Return the extras of setup.cfg that a command with these arguments needs."""
    if command == "test":
        return {"training", "test", *BACKENDS, "export", "hub", "keras-hub", "demo"}
    # tf.data feeds every backend, so the application always needs TensorFlow.
    needed = {"training", "tensorflow"} | ({keras_backend()} & set(BACKENDS))
    if any("hf://" in argument for argument in arguments):
        needed |= {"hub"}
    return needed | EXTRAS.get(command, set())


def keras_backend():
    """Return the backend that Keras will use, from KERAS_BACKEND or from keras.json."""
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    home = os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))
    backend = read_object(Path(home) / "keras.json").get("backend")
    return backend if backend in BACKENDS else "tensorflow"


def read_object(path):
    """Return the object in a JSON file; an empty one if there is none."""
    try:
        entries = json.loads(path.read_text()) if path.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}


def installed_extras():
    """Return the extras that are installed, and the digest of their pins."""
    installed = read_object(INSTALLED)
    extras = installed.get("extras")
    known = needed_extras("test")
    return {e for e in known if isinstance(extras, list) and e in extras}, installed.get("pins")


def digest_of_pins():
    """Return a digest of the files that determine what is installed."""
    files = (ROOT / name for name in ("setup.cfg", "pyproject.toml", "constraints.txt"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def usage():
    return f"{__doc__}\nCommands: {', '.join(COMMANDS)}"


def fail(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def has_environment():
    """Return whether the environment exists, unless its creation was interrupted.

    venv installs pip last, after setuptools, and pip writes a package's RECORD last. So nothing is
    lost by replacing an environment in which no other package has a RECORD.
    """
    records = VENV.glob("lib/python*/site-packages/*.dist-info/RECORD")
    packages = {path.parent.name.partition("-")[0] for path in records}
    return PYTHON.exists() and not packages <= {"setuptools"}


def create_environment():
    if not all(map(importlib.util.find_spec, ("venv", "ensurepip"))):
        fail(
            "this Python must be able to create virtual environments and is not. "
            f"Received: {sys.executable}. Install its venv module (on Debian and Ubuntu the "
            "package python3-venv), or start this file with another Python."
        )
    import venv

    print(f"Creating a virtual environment in {VENV}", flush=True)
    created = False
    try:
        venv.create(VENV, clear=True, symlinks=True, with_pip=True)
        created = True
    except subprocess.CalledProcessError as error:
        lines = error.output.decode(errors="replace").splitlines()
        causes = [line for line in lines if "[Errno" in line] or [str(error)]
        raise OSError(causes[0].strip()) from error
    finally:
        if not created:  # do not leave a partial environment behind
            shutil.rmtree(VENV, ignore_errors=True)


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
            f"Fix that, or delete {VENV}, then run the same command again."
        )
    INSTALLED.write_text(json.dumps({"pins": digest_of_pins(), "extras": sorted(extras)}))


def prepare(command, arguments):
    """Create the environment and install what a command needs, unless it is there."""
    extras, pins = installed_extras()
    needed = needed_extras(command, arguments)
    if PYTHON.exists() and pins == digest_of_pins() and needed <= extras:
        return
    if not has_environment():
        create_environment()
    install(needed | extras)


def main():
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        found = ".".join(map(str, sys.version_info[:3]))
        fail(
            f"Python must be 3.11, 3.12 or 3.13, since all backends have builds for these. "
            f"Received: {found}. Start this file with one of them: python3.11 run.py."
        )
    from keras_mixer.terminal import command_line  # older versions of Python cannot read it

    with command_line():
        start(sys.argv[1:])


def start(arguments):
    """Run the command that `arguments` begin with, in the environment."""
    if not arguments:
        print(usage(), file=sys.stderr)
        sys.exit(2)
    command, *others = arguments
    if command in ("-h", "--help"):
        print(usage())
        return
    if command not in COMMANDS:
        fail(
            f"COMMAND must be one of {', '.join(COMMANDS)}. Received: {command}. Pass one of those."
        )
    try:
        prepare(command, arguments)
    except OSError as error:
        fail(
            f"the virtual environment {VENV} must be yours to change, on a disk with 5 GB of free "
            f"space. Received: {error}. Make room, or clone the repository into a folder of yours."
        )
    module = ["tests"] if command == "test" else ["training", command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_MIXER_PROGRAM": "python3 run.py"}
    # -P: files in the working folder, which may be someone else's, are not modules.
    os.execve(PYTHON, [str(PYTHON), "-P", "-m", *module, *others], environment)


if __name__ == "__main__":
    main()
