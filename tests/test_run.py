"""The start from a fresh checkout, without creating an environment."""

import configparser
import re
import subprocess
import sys
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
        ("test", "jax", {"training", "test", "tensorflow", "jax", "torch"}),
    ],
)
def test_a_command_installs_the_extras_it_needs(monkeypatch, command, backend, extras):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", "no/such/folder")
    if backend:
        monkeypatch.setenv("KERAS_BACKEND", backend)
    assert run.needed_extras(command) == extras


def test_an_extra_is_installed_once(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "VENV", tmp_path)
    monkeypatch.setattr(run, "PYTHON", tmp_path / "python")
    monkeypatch.setattr(run, "INSTALLED", tmp_path / "installed.json")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    calls, started = [], []
    monkeypatch.setattr(run.subprocess, "call", lambda command: calls.append(command) or 0)
    monkeypatch.setattr(run.os, "execve", lambda *arguments: started.append(arguments[1]))
    (tmp_path / "python").touch()

    def start(*arguments):
        calls.clear()
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        run.main()
        return [command[-1].split("[")[1].rstrip("]") for command in calls]

    assert start("train", "digits") == ["tensorflow,training"]
    assert started[-1][1:] == ["-m", "training", "train", "digits"]
    assert start("evaluate", "runs/digits") == []
    assert start("test", "-k", "x") == ["jax,tensorflow,test,torch,training"]
    assert started[-1][1:] == ["-m", "tests", "-k", "x"]
    assert start("train", "digits") == []
    monkeypatch.setattr(run, "digest_of_pins", lambda: "changed")
    assert start("train", "digits") == ["jax,tensorflow,test,torch,training"]

    monkeypatch.setattr(run, "digest_of_pins", lambda: "changed again")
    monkeypatch.setattr(run.subprocess, "call", lambda command: 1)
    with pytest.raises(SystemExit, match="2"):
        start("train", "digits")
    assert "pip could not install" in capsys.readouterr().err
    assert not run.INSTALLED.exists()  # so that the next call installs again


def start(*arguments):
    command = [sys.executable, ROOT / "run.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_misspelled_command_creates_no_environment(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "PYTHON", tmp_path / "none")
    result = start("trian", "digits")
    assert result.returncode == 2 and result.stdout == ""
    assert "COMMAND must be one of benchmark, evaluate, " in result.stderr
    assert "Received: trian" in result.stderr


def test_it_lists_the_commands_of_the_application():
    help_text = subprocess.run(
        [sys.executable, "-m", "training", "--help"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    listed = re.search(r"{(\w+,.*?)}", help_text, re.DOTALL)[1]
    assert set(re.findall("[a-z]+", listed)) | {"test"} == set(run.COMMANDS)


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
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert run.needed_extras("train") == {"training", "tensorflow"}
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert run.needed_extras("train") == {"training", "tensorflow", "jax"}
    (tmp_path / "keras.json").write_text("not JSON")
    assert run.needed_extras("train") == {"training", "tensorflow"}


@pytest.mark.parametrize("outcome", [1, KeyboardInterrupt])
def test_a_partial_environment_is_removed(monkeypatch, tmp_path, outcome):
    def call(command):
        (tmp_path / "venv").mkdir()
        if outcome is KeyboardInterrupt:
            raise KeyboardInterrupt
        return outcome

    monkeypatch.setattr(run, "VENV", tmp_path / "venv")
    monkeypatch.setattr(run.subprocess, "call", call)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        run.create_environment()
    assert not (tmp_path / "venv").exists()


def direct_requirements(extras):
    """Return what setup.cfg asks for: for the library, and for some of its extras."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = [setup["options"]["install_requires"]]
    lists += [setup["options.extras_require"][extra] for extra in extras]
    return [Requirement(line) for line in "\n".join(lists).split("\n") if line]


EXTRAS_BY_CONSTRAINTS = {
    "constraints.txt": {"tensorflow", "jax", "torch", "training", "plan", "test"},
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
