"""The start from a fresh checkout, without making an environment."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import run

pytestmark = pytest.mark.backend("torch")  # no backend takes part

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_ci_runs_the_test_command_of_the_readme():
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
def test_each_command_installs_what_it_needs(monkeypatch, command, backend, extras):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", "no/such/folder")
    if backend:
        monkeypatch.setenv("KERAS_BACKEND", backend)
    assert run.needed_extras(command) == extras


def test_nothing_is_installed_twice(monkeypatch, tmp_path, capsys):
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
    monkeypatch.setattr(run, "pins", lambda: "changed")
    assert start("train", "digits") == ["jax,tensorflow,test,torch,training"]

    monkeypatch.setattr(run, "pins", lambda: "changed again")
    monkeypatch.setattr(run.subprocess, "call", lambda command: 1)
    with pytest.raises(SystemExit, match="2"):
        start("train", "digits")
    assert "pip could not install" in capsys.readouterr().err
    assert not run.INSTALLED.exists()  # so the next call tries again


def start(*arguments):
    command = [sys.executable, ROOT / "run.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_misspelt_command_makes_no_environment(monkeypatch, tmp_path):
    monkeypatch.setattr(run, "PYTHON", tmp_path / "none")
    result = start("trian", "digits")
    assert result.returncode == 2 and result.stdout == ""
    assert "COMMAND must be one of benchmark, evaluate, " in result.stderr
    assert "Received: trian" in result.stderr


def test_it_knows_the_commands():
    help_text = subprocess.run(
        [sys.executable, "-m", "training", "--help"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    listed = re.search(r"{(\w+,.*?)}", help_text, re.DOTALL)[1]
    assert set(re.findall("[a-z]+", listed)) | {"test"} == set(run.COMMANDS)


def test_it_explains_itself():
    assert start().returncode == 2
    assert "python3 run.py train digits" in start().stderr
    assert start("--help").returncode == 0
    assert "python3 run.py train digits" in start("--help").stdout


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 14, 0)])
def test_other_pythons_are_refused(monkeypatch, capsys, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match="2"):
        run.main()
    assert f"Received: {'.'.join(map(str, version))}" in capsys.readouterr().err


def test_the_backend_of_keras_own_file_is_installed(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert run.needed_extras("train") == {"training", "tensorflow"}
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert run.needed_extras("train") == {"training", "tensorflow", "jax"}
    (tmp_path / "keras.json").write_text("damaged")
    assert run.needed_extras("train") == {"training", "tensorflow"}


@pytest.mark.parametrize("outcome", [1, KeyboardInterrupt])
def test_half_an_environment_is_removed(monkeypatch, tmp_path, outcome):
    def call(command):
        (tmp_path / "venv").mkdir()
        if outcome is KeyboardInterrupt:
            raise KeyboardInterrupt
        return outcome

    monkeypatch.setattr(run, "VENV", tmp_path / "venv")
    monkeypatch.setattr(run.subprocess, "call", call)
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        run.make_environment()
    assert not (tmp_path / "venv").exists()


def test_every_direct_dependency_is_pinned():
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").open()}
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    for line in "\n".join(lists).splitlines():
        name = re.match("[^<>=#[]*", line)[0].strip().lower()
        assert not name or name in pinned, name
