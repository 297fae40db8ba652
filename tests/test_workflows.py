"""The workflows and hooks: valid YAML, commands that exist, and the rules that all of them keep."""

import configparser
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import run
from tests import __main__ as runner

pytestmark = pytest.mark.backend("torch")  # no backend is involved

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
INSTALLED_BY_A_STEP = {"build", "twine"}  # modules, besides those of the test environment
MATRIX = re.compile(r"\$\{\{ matrix\.(\w+) \}\}")


def read(path):
    return yaml.safe_load(path.read_text())


def jobs(path):
    return read(path)["jobs"].items()


def commands(job):
    """Return the commands of a job as lists of words, for each value of its matrix."""
    lines = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
    matrix = job.get("strategy", {}).get("matrix", {})
    for line in lines:
        names = MATRIX.findall(line)
        for value in matrix[names[0]] if names else [""]:
            yield shlex.split(MATRIX.sub(value, line))


def require_pip(arguments):
    """Constraints and extras must exist; other packages must be pinned."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    words = iter(arguments)
    assert next(words) == "install"
    for word in words:
        if word == "--constraint":
            assert (ROOT / next(words)).is_file()
        elif word == "--editable":
            extras = Requirement(f"keras_mixer{next(words).removeprefix('.')}").extras
            assert extras <= set(setup["options.extras_require"])
        else:
            name, _, version = word.partition("==")
            assert name in INSTALLED_BY_A_STEP and version, word


def require_command(words):
    if words[0] == "test":
        return
    if words[:2] == ["python3", "run.py"]:
        assert words[2] in run.COMMANDS
        if words[2] == "test":
            _, for_pytest = runner.parse(words[3:])
            assert all((ROOT / path).exists() for path in for_pytest if path.endswith(".py"))
        return
    assert words[0] in ("python", ".venv/bin/python") and words[1] == "-m", words
    if words[2] == "pip":
        require_pip(words[3:])
    elif words[2] not in INSTALLED_BY_A_STEP:
        assert importlib.util.find_spec(words[2]), words


def test_there_are_workflows():
    assert {path.stem for path in WORKFLOWS} == {"docs", "lint", "release", "test"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_a_trigger_a_time_limit_and_no_more_rights_than_it_needs(path):
    workflow = read(path)
    assert workflow["name"] == path.stem
    assert workflow[True]  # `on`, which is a truth value in YAML 1.1
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in jobs(path):
        assert job["timeout-minutes"] <= 60
        writes = {right for right, level in job.get("permissions", {}).items() if level == "write"}
        assert writes <= {"pages", "id-token"} and (not writes or name in ("deploy", "publish"))
        needed = job.get("needs")
        assert needed is None or needed in dict(jobs(path))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_steps_use_pinned_actions_and_commands_that_exist(path):
    for _, job in jobs(path):
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert "run" in step or re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", step["uses"])
        for words in commands(job):
            require_command(words)


def test_hooks_run_the_pinned_tools_of_the_environment():
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    entries = [shlex.split(hook["entry"]) for hook in repository["hooks"]]
    for hook, words in zip(repository["hooks"], entries, strict=True):
        assert hook["language"] == "system" and {"id", "name"} <= hook.keys()
        require_command(words)
        assert words[0] == run.PYTHON.relative_to(ROOT).as_posix()
    assert {" ".join(words[2:4]) for words in entries} == {
        "mypy",
        "ruff check",
        "ruff format",
    }
