"""Every snippet and command of the documents, executed as a reader would.

Weights come from stand-ins on this machine. `EXECUTED` says what shortens a command, and
`ONLY_PARSED` which commands end where their work would begin; a command in neither is an error.
"""

import contextlib
import dataclasses
import doctest
import functools
import gc
import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import pytest
from PIL import Image

import keras_mixer
from tests.support.loopback import Loopback
from tests.support.published import serve_everything

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if path.exists()),
    *sorted(ROOT.glob("docs/**/*.md")),
]

# Beginnings of commands, the longest counts, and what is added so that they take seconds.
EXECUTED = {
    "training train digits": "--total-epochs 1 --warmup-steps 1",
    "training train tiny": "--total-epochs 1 --warmup-steps 1 --batch-size 8",
    "training show digits": "",
    "training show tiny": "--batch-size 8",
    "training evaluate": "",
    "training predict": "",
    "keras_mixer weights": "",
    "keras_mixer convert": "",
}
ONLY_PARSED = {
    "training train imagenet": "ImageNet must be fetched by hand",
    "training train finetune-": "the sets must be fetched",
    "training train cifar10-scratch": "CIFAR-10 must be fetched",
    "training plan": "the compiler for TPUs needs an environment of its own",
    "training benchmark": "to measure takes minutes",
}
NOT_OURS = {
    "run.py test": "these tests",
    "python -m tests": "these tests",
    "python -m pytest": "these tests",
    "python -m mkdocs": "tests/test_documents.py builds the site",
    "python -m venv": "makes an environment",
    "pip": "fetches packages",
    "ruff": "another test",
    "mypy": "another test",
    "git": "fetches the project",
    "cd": "is the reader's",
    "export": "is the reader's",
    "source": "is the reader's",
}
SHELLS = ("", "bash", "console", "sh")
LANGUAGES = (*SHELLS, "python", "json", "yaml", "toml", "text")


@dataclasses.dataclass
class Fence:
    """A block of a page between two lines of backticks."""

    language: str
    line: int  # number of its first line in the page
    text: str


@dataclasses.dataclass
class Command:
    """One documented command: `KERAS_BACKEND=jax python3 run.py train digits`."""

    line: int  # at which its fence begins
    program: str  # "training", "keras_mixer", or another as in NOT_OURS
    arguments: list
    environment: dict

    def __str__(self):
        return " ".join([self.program, *self.arguments])


def named(path):
    return str(path.relative_to(ROOT))


def fences(page):
    """Return the fences of a page in order; those in lists are moved to the margin."""
    found, opened = [], None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        mark = re.fullmatch(r"( *)```(\S*).*", line)
        if opened is None and mark:
            opened = Fence(mark[2], number + 1, "")
            indent = len(mark[1])
        elif mark:
            found.append(opened)
            opened = None
        elif opened is not None:
            opened.text += line[indent:] + "\n"
    assert opened is None, f"{named(page)}: no end of the fence at line {opened.line}"
    return found


def commands(page):
    """Return the commands of a page in order."""
    return [
        command
        for fence in fences(page)
        if fence.language in SHELLS
        for command in commands_of(fence)
    ]


def commands_of(fence):
    """Return the commands of a fence; one without a language may show other things as well."""
    found = []
    for text in re.sub(r"\\\n *", " ", fence.text).splitlines():
        if fence.language == "console" and not text.startswith("$ "):
            continue  # what a command printed
        command = as_command(text.removeprefix("$ "), fence.line)
        where = f"the fence from line {fence.line} on"
        assert command or not fence.language or not text.strip(), f"{where}: what is {text!r}?"
        found += [command] if command else []
    return found


def inline(page):
    """Return the pieces of code in the sentences and tables of a page, `like this`."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"(?<!`)`([^`]+)`(?!`)", text)


def inline_commands(page):
    """Return the commands of the application among them, without those that leave a gap."""
    found = [as_command(text, 0) for text in inline(page) if not re.search(r"…|\b[A-Z]+\b", text)]
    return [c for c in found if c and c.program == "training" and c.arguments]


def as_command(text, line):
    """Return the `Command` of a line; None if it begins with no program that is known here."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:  # not for a shell
        return None
    environment = {}
    while words and re.match(r"[A-Z_]+=", words[0]):
        name, _, environment[name] = words.pop(0).partition("=")
    if not words:
        return None
    first = words[0].rpartition("/")[2]
    if re.match(r"python(3(\.\d+)?)?$", first) and words[1:]:
        if words[1].rpartition("/")[2] == "run.py":
            words, first = words[1:], "run.py"
        elif words[1] == "-m" and words[2:]:
            program, *arguments = words[2:]
            if program in ("training", "keras_mixer"):
                return Command(line, program, arguments, environment)
            return Command(line, f"python -m {program}", arguments, environment)
    if first == "run.py" and words[1:2] != ["test"]:
        return Command(line, "training", words[1:], environment)
    if any(f"{first} ".startswith(f"{program.split()[0]} ") for program in NOT_OURS):
        return Command(line, first, words[1:], environment)
    return None


def entry(table, command):
    """Return the value of the longest beginning of a command in a table, or None."""
    beginnings = [key for key in table if str(command).startswith(key)]
    return table[max(beginnings, key=len)] if beginnings else None


@pytest.fixture(scope="module")
def published():
    """Names of weights and classes lead to stand-ins, which are fetched once."""
    with (
        tempfile.TemporaryDirectory() as cache,
        Loopback() as server,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        serve_everything(server, monkeypatch, cache)
        keras_mixer.labels.class_names.cache_clear()
        yield
        keras_mixer.labels.class_names.cache_clear()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with what a reader has: photos, the project's examples, and a trained model."""
    from sklearn.datasets import load_sample_image

    folder = tmp_path_factory.mktemp("files")
    shutil.copytree(ROOT / "examples", folder / "examples")
    photo = Image.fromarray(load_sample_image("china.jpg"))
    photo.save(folder / "photo.jpg")
    for place in ("photos", "more-photos"):
        for name in ("china", "flower"):
            (folder / place / name).mkdir(parents=True)
            picture = Image.fromarray(load_sample_image(f"{name}.jpg"))
            for i in range(20):
                part = picture.crop((20 * i, 10 * i, 20 * i + 160, 10 * i + 120))
                part.save(folder / place / name / f"{i}.jpg")
    model = keras_mixer.MlpMixer(
        2, 16, 2, 8, 24, input_shape=(8, 8, 1), classes=10, classifier_activation=None
    )
    model.save(folder / "trained.keras")
    return folder


@pytest.fixture
def place(files, published, tmp_path, monkeypatch):
    """A copy of `files` to work in."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run_digits(place):
    """The first command of the README has been here, under any backend."""
    (place / "runs/digits").mkdir(parents=True)
    shutil.copy(place / "trained.keras", place / "runs/digits/model.keras")
    yield
    keras.backend.clear_session()
    gc.collect()  # several models of a page


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_fences_are_of_known_languages(page):
    for fence in fences(page):
        assert fence.language in LANGUAGES, fence


@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(f.language == "python" for f in fences(p))], ids=named
)
@pytest.mark.long
def test_python(page, run_digits):
    namespace = {"__name__": "__main__"}
    for fence in fences(page):
        if fence.language == "python":
            lines_before = "\n" * (fence.line - 1)  # so that an error names the line of the page
            exec(compile(lines_before + fence.text, str(page), "exec"), namespace)


WITH_EXAMPLES = [
    path
    for package in ("keras_mixer", "training")
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>>" in path.read_text()
]
LARGE = "MixerL16"  # under one backend: the others' examples are the same


def examples():
    """Return the examples of all docstrings, as parameters of a test."""
    found = []
    for path in WITH_EXAMPLES:
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for test in doctest.DocTestFinder().find(module):
            if test.examples:
                large = test.name.endswith(LARGE)
                marks = [pytest.mark.backend("torch"), pytest.mark.long] if large else []
                found.append(pytest.param(test, id=test.name, marks=marks))
    return found


@pytest.mark.parametrize("example", examples())
def test_examples_of_docstrings(example, place):
    example.globs = {"__name__": "__main__"}
    said = []
    result = doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    assert result.failed == 0, "".join(said)


def test_every_public_name_has_an_example():
    tested = {parameters.id.rpartition(".")[2] for parameters in examples()}
    without = {"preprocessing", "list_weights"}  # a module, and what takes and returns nothing
    without |= {"MixerL32", "MixerH14"}  # of which nothing was published
    assert {*keras_mixer.__all__, "prepare_image", "convert"} - without <= tested


@pytest.fixture(scope="module")
def finished_run(published, files, tmp_path_factory):
    """The folder `runs` after the first command of the README."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        execute(as_command("python3 run.py train digits", 0), monkeypatch)
    return folder / "runs"


@pytest.mark.backend("torch")
@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=named)
def test_commands(page, place, finished_run, monkeypatch):
    """Each command of a page in order, as the real command line takes it."""
    shutil.copytree(finished_run, place / "runs")
    for command in commands(page):
        print(f"{named(page)}, line {command.line}: {command}", flush=True)
        if "--help" in command.arguments or entry(ONLY_PARSED, command):
            parse(command, monkeypatch)
        elif entry(EXECUTED, command) is not None:
            execute(command, monkeypatch)
        else:
            assert entry(NOT_OURS, command), f"{command} is in none of the tables of this test"


@pytest.mark.backend("torch")
@pytest.mark.parametrize("page", [p for p in PAGES if inline_commands(p)], ids=named)
def test_commands_in_sentences_are_parsed(page, monkeypatch):
    for command in inline_commands(page):
        parse(command, monkeypatch)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("page", PAGES, ids=named)
def test_options_in_sentences_exist(page, options):
    mentioned = {text.split()[0] for text in inline(page) if text.startswith("--")}
    assert {option.rstrip("*") for option in mentioned} <= options


@pytest.fixture(scope="module")
def options():
    """Every option of every command of the application and of the library."""
    helps = (
        "training train digits",
        "training show digits",
        "training plan digits",
        "training evaluate",
        "training predict",
        "training benchmark loading",
        "training benchmark data",
        "training benchmark training",
        "keras_mixer weights",
        "keras_mixer convert",
    )
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.redirect_stdout(text):
        for words in helps:
            program, *arguments = words.split()
            call_main(program, [*arguments, "--help"], monkeypatch)
    return set(re.findall(r"--[a-z][a-z0-9-]*", text.getvalue())) | {"--help"}


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "text",
    [
        "python3 run.py trian imagenet-b16",
        "python3 run.py train imagenet-b17",
        "python3 run.py train imagenet-b16 --epochs 2",
        "python3 run.py train imagenet-b16 --total-epochs two",
        "python3 run.py train imagenet-b16 --image-size 225",
        "python3 run.py plan imagenet-b16",
    ],
)
def test_a_wrong_command_is_noticed(text, monkeypatch):
    with pytest.raises(AssertionError, match="status 2"):
        parse(as_command(text, 0), monkeypatch)


def test_commands_are_told_from_other_lines():
    assert as_command("runs/digits/model.keras  # a file", 0) is None
    assert entry(EXECUTED | ONLY_PARSED | NOT_OURS, as_command("./run.py export runs/a", 0)) is None
    command = as_command("A=1 B=2 .venv/bin/python -m training plan tiny --tpu v5e:1x1  # c", 0)
    assert (str(command), command.environment) == (
        "training plan tiny --tpu v5e:1x1",
        {"A": "1", "B": "2"},
    )
    with pytest.raises(AssertionError, match="frobnicate"):
        commands_of(Fence("bash", 7, "cd x\nfrobnicate\n"))
    shown = commands_of(Fence("console", 7, "$ ./run.py train \\\n    tiny\nEpoch 1\n"))
    assert [str(command) for command in shown] == ["training train tiny"]


def execute(command, monkeypatch):
    """Run a command, shortened: in this process, or in one of the backend that it asks for."""
    arguments = [*command.arguments, *entry(EXECUTED, command).split()]
    environment = {**os.environ, **command.environment}
    if environment.get("KERAS_BACKEND") != keras.backend.backend():
        result = subprocess.run(
            [sys.executable, "-m", command.program, *arguments],
            env=environment | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return
    with monkeypatch.context() as changes:
        for name, value in command.environment.items():
            changes.setenv(name, value)
        call_main(command.program, arguments, changes)


def call_main(program, arguments, monkeypatch):
    """Call the `main` of a program with the arguments; it must not end with an error."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    main = importlib.import_module(f"{program}.__main__").main
    try:
        main()
    except SystemExit as end:
        assert not end.code, f"{program} {shlex.join(arguments)}: status {end.code}"


class Parsed(Exception):
    """The command line has understood a command."""


def parse(command, monkeypatch):
    """Let the real command line take a command, up to where its work would begin."""
    if "--help" in command.arguments:
        with monkeypatch.context() as changes:
            call_main(command.program, command.arguments, changes)
        return
    from training.__main__ import app

    def stopped(function):
        @functools.wraps(function)  # which has the signature that is parsed
        def stop(*positional, **named):
            for value in (*positional, *named.values()):
                for sound in (getattr(value, "config", None), value):
                    if hasattr(sound, "check"):
                        sound.check()
            raise Parsed

        return stop

    assert command.program == "training"
    with monkeypatch.context() as changes:
        for spec in app._subcommands.values():
            changes.setattr(spec, "target", stopped(spec.target))
        with pytest.raises(Parsed):
            call_main(command.program, command.arguments, changes)
