"""The start from a fresh checkout, without creating an environment."""

import configparser
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import run

pytestmark = pytest.mark.backend("torch")  # no backend is involved

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_ci_and_the_readme_name_the_same_test_command():
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line]
    assert commands[-1] == "python3 run.py test"
    assert "\npython3 run.py test\n" in README
    assert "\npython3 run.py train digits\n" in README


@pytest.mark.parametrize(
    "command, backend, extras",
    [
        ("train", None, {"training", "tensorflow"}),
        ("train", "tensorflow", {"training", "tensorflow"}),
        ("predict", "jax", {"training", "tensorflow", "jax"}),
        ("train", "no_such", {"training", "tensorflow"}),
        ("export", "jax", {"training", "tensorflow", "jax", "export"}),
        (
            "test",
            "jax",
            {"training", "test", *run.BACKENDS, "export", "hub", "keras-hub", "demo"},
        ),
    ],
)
def test_a_command_installs_the_extras_it_needs(monkeypatch, command, backend, extras):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", "no/such/folder")
    if backend:
        monkeypatch.setenv("KERAS_BACKEND", backend)
    assert run.needed_extras(command) == extras
    assert run.needed_extras(command, ["hf://a/b"]) == extras | {"hub"}


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Folder of a complete environment, in which `run.py` does not start anything."""
    monkeypatch.setattr(run, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(run, "PYTHON", run.VENV / "bin" / "python")
    monkeypatch.setattr(run, "INSTALLED", run.VENV / "installed.json")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    make_environment()
    return run.VENV


def make_environment():
    """Do what `python -m venv` does."""
    packages = run.VENV / "lib" / "python3.11" / "site-packages"
    records = [packages / f"{name}.dist-info" / "RECORD" for name in ("setuptools-65", "pip-23")]
    for file in (run.PYTHON, *records):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


@pytest.fixture
def called(monkeypatch, environment):
    """Return a function of arguments that returns the commands that `run.py` calls."""
    calls, status = [], []

    def create(path, **options):
        assert path == environment
        make_environment()
        calls.append("venv")

    def call(command):
        calls.append(command[-1].split("[")[1].rstrip("]"))
        return status[0]

    def start(*arguments, pip=0):
        calls.clear()
        status[:] = [pip]
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        run.main()
        return list(calls)

    monkeypatch.setattr(venv, "create", create)
    monkeypatch.setattr(run.subprocess, "call", call)
    monkeypatch.setattr(run.os, "execve", lambda *arguments: calls.append(arguments[1][1:]))
    return start


def test_an_extra_is_installed_once(monkeypatch, called, capsys):
    started = ["-P", "-m", "training", "train", "digits"]
    assert called("train", "digits") == ["tensorflow,training", started]
    assert called("evaluate", "runs/digits") == [
        ["-P", "-m", "training", "evaluate", "runs/digits"]
    ]
    everything = "demo,export,hub,jax,keras-hub,tensorflow,test,torch,training"
    assert called("test", "-k", "x") == [everything, ["-P", "-m", "tests", "-k", "x"]]
    assert called("train", "digits") == [started]
    monkeypatch.setattr(run, "digest_of_pins", lambda: "changed")
    assert called("train", "digits") == [everything, started]

    monkeypatch.setattr(run, "digest_of_pins", lambda: "changed again")
    with pytest.raises(SystemExit, match="2"):
        called("train", "digits", pip=1)
    assert "pip could not install" in capsys.readouterr().err
    assert not run.INSTALLED.exists()  # so that the next call installs again


@pytest.mark.parametrize("missing", ["bin/python", "lib/*/*/pip*/RECORD", "lib"])
def test_an_environment_without_pip_is_created_again(called, environment, missing):
    """A kill -9 leaves one in which Python runs and pip does not."""
    for path in environment.glob(missing):
        path.unlink() if path.is_file() else shutil.rmtree(path)
    assert called("train", "digits")[:2] == ["venv", "tensorflow,training"]
    assert called("train", "digits") == [["-P", "-m", "training", "train", "digits"]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '{"pins": "PINS"}',
        '{"pins": "PINS", "extras": null}',
        '{"pins": "PINS", "extras": 3}',
        '{"pins": "PINS", "extras": "tensorflow,training"}',
        '{"pins": "PINS", "extras": {"training": 1}}',
        '{"pins": "PINS", "extras": [1, null, [], {}, "training", "no_such"]}',
        '{"pins": ["PINS"], "extras": ["tensorflow", "training"]}',
        "[" * 100_000,
        "\xff",
    ],
)
def test_a_foreign_list_of_what_is_installed_is_replaced(called, text):
    run.INSTALLED.write_text(text.replace("PINS", run.digest_of_pins()), "latin-1")
    assert called("train", "digits")[0] == "tensorflow,training"
    assert called("train", "digits") == [["-P", "-m", "training", "train", "digits"]]


def start(*arguments):
    command = [sys.executable, ROOT / "run.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_misspelled_command_creates_no_environment(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "PYTHON", tmp_path / "none")
    result = start("trian", "digits")
    assert result.returncode == 2 and result.stdout == ""
    assert "COMMAND must be one of benchmark, compare, " in result.stderr
    assert "Received: trian" in result.stderr


def test_it_lists_the_commands_of_the_application():
    help_text = subprocess.run(
        [sys.executable, "-m", "training", "--help"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    listed = re.search(r"{(\w+,.*?)}", help_text, re.DOTALL)[1]
    assert set(re.findall("[a-z-]+", listed)) | {"test"} == set(run.COMMANDS)


def test_without_a_command_it_prints_its_usage():
    assert start().returncode == 2
    assert "python3 run.py train digits" in start().stderr
    assert start("--help").returncode == 0
    assert "python3 run.py train digits" in start("--help").stdout


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 14, 0)])
def test_an_unsupported_python_is_rejected(monkeypatch, capsys, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match="2"):
        run.main()
    assert f"Received: {'.'.join(map(str, version))}" in capsys.readouterr().err


def test_the_backend_in_keras_json_is_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "")  # as if it were not set, as in Keras
    monkeypatch.setenv("KERAS_HOME", "~/home")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run.needed_extras("train") == {"training", "tensorflow"}
    settings = tmp_path / "home" / "keras.json"
    settings.parent.mkdir()
    settings.write_text('{"backend": "jax"}')
    assert run.needed_extras("train") == {"training", "tensorflow", "jax"}
    for text in ("", "not JSON", "[]", "null", "{}", '{"backend": 3}', '{"backend": ["jax"]}'):
        settings.write_text(text)
        assert run.needed_extras("train") == {"training", "tensorflow"}
    settings.unlink()
    settings.mkdir()
    monkeypatch.setenv("KERAS_HOME", "~no_such_user/home")
    assert run.needed_extras("train") == {"training", "tensorflow"}


FULL = "[Errno 28] No space left on device"


@pytest.mark.parametrize(
    "error, status, message",
    [
        (subprocess.CalledProcessError(1, "pip", f"Traceback\n{FULL}\n".encode()), 2, FULL),
        (subprocess.CalledProcessError(1, "pip", b""), 2, "returned non-zero exit status 1"),
        (
            PermissionError(13, "Permission denied", "x"),
            2,
            "Received: [Errno 13] Permission denied",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_a_partial_environment_is_removed(
    monkeypatch, called, environment, capsys, error, status, message
):
    def create(path, **options):
        make_environment()
        raise error

    shutil.rmtree(environment)
    monkeypatch.setattr(venv, "create", create)
    with pytest.raises(SystemExit) as end:
        called("train", "digits")
    assert end.value.code == status
    assert not environment.exists()
    err = capsys.readouterr().err
    assert message in err and "python3-venv" not in err


def test_a_python_without_venv_is_named(monkeypatch, called, environment, capsys):
    shutil.rmtree(environment)
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: name != "ensurepip")
    with pytest.raises(SystemExit, match="2"):
        called("train", "digits")
    assert "package python3-venv" in capsys.readouterr().err


def test_the_environment_of_another_user_is_not_changed(monkeypatch, called, capsys):
    run.INSTALLED.write_text("{}")

    def refuse(path, missing_ok):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(run.INSTALLED), "unlink", refuse)
    with pytest.raises(SystemExit, match="2"):
        called("train", "digits")
    err = capsys.readouterr().err
    assert "must be yours to change" in err and f"Permission denied: '{run.INSTALLED}'" in err


def test_ctrl_c_ends_it_with_the_status_of_the_signal(monkeypatch, called):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "install", interrupt)
    with pytest.raises(SystemExit, match="130"):
        called("train", "digits")


def direct_requirements(extras):
    """Return what setup.cfg asks for: for the library, and for some of its extras."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = [setup["options"]["install_requires"]]
    lists += [setup["options.extras_require"][extra] for extra in extras]
    return [Requirement(line) for line in "\n".join(lists).split("\n") if line]


EXTRAS_BY_CONSTRAINTS = {
    "constraints.txt": {
        *("tensorflow", "jax", "torch", "training", "benchmark", "plan", "test"),
        *("export", "hub", "keras-hub", "demo"),
    },
    "constraints-tpu.txt": {"tensorflow-tpu", "training"},
}


@pytest.mark.parametrize("file", EXTRAS_BY_CONSTRAINTS)
def test_every_direct_dependency_is_pinned_within_its_bounds(file):
    pins = dict(line.strip().lower().split("==") for line in (ROOT / file).open() if "==" in line)
    for requirement in direct_requirements(EXTRAS_BY_CONSTRAINTS[file]):
        pin = pins[requirement.name.lower()]
        assert requirement.specifier.contains(pin), f"{requirement}, pinned: {pin}"


def test_every_extra_has_constraints():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert set(setup["options.extras_require"]) == set().union(*EXTRAS_BY_CONSTRAINTS.values())
