"""Every Python snippet and every command in the documentation, executed as a reader would.

Published weights are downloaded from a local server that has random weights in the same formats.
`EXECUTED` has the options that shorten a command, `ONLY_PARSED` the commands that are parsed but
not run, each with the reason. A command in none of the tables is an error.
"""

import contextlib
import dataclasses
import doctest
import functools
import gc
import importlib
import io
import json
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
from keras_mixer.convert import convert
from keras_mixer.sizes import SIZES
from keras_mixer.weights.catalog import CATALOG
from tests.support.backends import rotated
from tests.support.loopback import Loopback
from tests.support.published import serve_everything, weight_file

pytestmark = pytest.mark.usefixtures("full_optimization")  # computes large models

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if path.exists()),
    *sorted(ROOT.glob("docs/**/*.md")),
]

# Prefixes of commands (the longest one applies), and options that make them take seconds.
ONE_EPOCH = "--total-epochs 1 --warmup-steps 0"
TWO_STEPS = "--variant S/32 --batch-size 8 --total-steps 2 --warmup-steps 1"
EXECUTED = {
    "training train digits": ONE_EPOCH,
    "training train shapes": f"{ONE_EPOCH} --source shapes:train=700,test=64 --batch-size 32",
    "training train tiny": f"{ONE_EPOCH} --batch-size 8",
    "training train finetune-pets --source folder:photos": f"{TWO_STEPS} --weights gsam",
    "training train finetune-pets --source folder:more-photos --weights runs/photos": TWO_STEPS,
    "training show digits": "",
    "training show tiny": "--batch-size 8",
    "training tune-lr digits": "--steps 60 --batch-size 8 --seeds 1",
    "training tune-lr digits --validation-fraction 0.2 --seeds 3 --grid": "--seeds 1 --steps 2",
    "training tune-lr finetune-pets --source folder:photos": "--variant S/32 --weights gsam "
    "--batch-size 8 --steps 1",
    "training show finetune-pets --source folder:": "--batch-size 8",
    "training compare": "",
    "training evaluate": "",
    "training predict": "",
    "training fewshot": "",
    "training knn": "",
    "training study comparison --preset smoke": "",
    "training share": "",
    "training explain": "",
    "training export": "--num-images 4 --calibration-images 16",
    "keras_mixer weights": "",
    "keras_mixer convert": "",
}
ONLY_PARSED = {
    "training train imagenet": "ImageNet is a manual download",
    "training train finetune-": "needs a download",
    "training train cifar10-scratch": "needs a download",
    "training evaluate MixerB16:imagenet1k --source imagenet": "ImageNet is a manual download",
    "training fewshot MixerB16:imagenet21k --source fewshot-imagenet": "needs a download",
    "training plan": "the compiler for TPUs needs an environment of its own",
    "training share runs/digits --to hf://": "needs the Hub",
    "training predict hf://": "needs the Hub",
    "training export MixerB16:imagenet1k": "converting a B/16 takes minutes",
    "training export runs/digits --to keras --quantize gptq": "GPTQ takes minutes",
    "training study": "a study takes minutes",
    "training demo": "it runs until ctrl-C",
    "training benchmark": "a measurement takes minutes",
}
OTHER_PROGRAMS = {
    "run.py test": "these tests",
    "python -m tests": "these tests",
    "python -m pytest": "these tests",
    "python -m mkdocs": "tests/test_documents.py builds the site",
    "python -m venv": "creates an environment",
    "pip": "installs packages",
    "pre-commit": "installs hooks",
    "ruff": "another test",
    "mypy": "another test",
    "git": "downloads the project",
    "cd": "depends on the reader",
    "python -m http.server": "serves until it is stopped",
    "npm": "installs packages",
    "curl": "needs a demo that runs",
    "export": "depends on the reader",
    "source": "depends on the reader",
}
# Commands of several pages, which are executed once, and the folders that they write.
REPEATED = {
    "python3 run.py train digits": "runs/digits",
    "KERAS_BACKEND=jax python3 run.py train digits --run-dir runs/jax": "runs/jax",
}
CLASS_NAMES = ("china", "flower")  # of the photos
SHELLS = ("", "bash", "console", "sh")
LANGUAGES = (*SHELLS, "python", "json", "yaml", "toml", "text")


@dataclasses.dataclass
class Fence:
    """A fenced code block of a page."""

    language: str
    line: int  # line number of its first line in the page
    text: str


@dataclasses.dataclass
class Command:
    """One documented command, such as `KERAS_BACKEND=jax python3 run.py train digits`."""

    line: int = dataclasses.field(compare=False)  # where its fence begins
    program: str  # "training", "keras_mixer", or one of OTHER_PROGRAMS
    arguments: list
    environment: dict

    def __str__(self):
        return " ".join([self.program, *self.arguments])


def page_id(path):
    return str(path.relative_to(ROOT))


def fences(page):
    """Return the fences of a page in order; fences inside lists are dedented."""
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
    assert opened is None, f"{page_id(page)}: the fence at line {opened.line} is not closed"
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
    """Return the commands of a fence; a fence without a language may have other lines too."""
    found = []
    for text in re.sub(r"\\\n *", " ", fence.text).splitlines():
        if fence.language == "console" and not text.startswith("$ "):
            continue  # output of a command
        command = as_command(text.removeprefix("$ "), fence.line)
        where = f"the fence at line {fence.line}"
        assert command or not fence.language or not text.strip(), f"{where}: what is {text!r}?"
        found += [command] if command else []
    return found


def inline(page):
    """Return the inline code of a page, `like this`, outside of fences."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"(?<!`)`([^`]+)`(?!`)", text)


def inline_commands(page):
    """Return the inline commands of the application that have no placeholders."""
    found = [as_command(text, 0) for text in inline(page) if not re.search(r"…|\b[A-Z]+\b", text)]
    return [c for c in found if c and c.program == "training" and c.arguments]


def as_command(text, line):
    """Return the `Command` of a line, or None if it starts with no known program."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:  # not a shell command
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
    if any(f"{first} ".startswith(f"{program.split()[0]} ") for program in OTHER_PROGRAMS):
        return Command(line, first, words[1:], environment)
    return None


def entry(table, command):
    """Return the value of the longest prefix of a command in a table, or None."""
    prefixes = [key for key in table if str(command).startswith(key)]
    return table[max(prefixes, key=len)] if prefixes else None


def is_executed(command):
    """Return whether a command is run; ONLY_PARSED may have a longer prefix than EXECUTED."""
    return entry(dict.fromkeys(EXECUTED, True) | dict.fromkeys(ONLY_PARSED, False), command)


@pytest.fixture(scope="module")
def published():
    """Serve every published file, with random content, from a local server."""
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
    """A folder with the files a reader has: photos, the examples, and weight files."""
    from sklearn.datasets import load_sample_image

    folder = tmp_path_factory.mktemp("files")
    skipped = shutil.ignore_patterns("node_modules", "model")  # of examples/browser
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=skipped)
    photo = Image.fromarray(load_sample_image("china.jpg"))
    photo.save(folder / "photo.jpg")
    for source in ("photos", "more-photos"):
        for name in CLASS_NAMES:
            (folder / source / name).mkdir(parents=True)
            photo = Image.fromarray(load_sample_image(f"{name}.jpg"))
            for i in range(8):
                crop = photo.crop((20 * i, 10 * i, 20 * i + 160, 10 * i + 120))
                crop.save(folder / source / name / f"{i}.jpg")
    trained_model((8, 8, 1), 10).save(folder / "trained.keras")
    return folder


def trained_model(input_shape, classes):
    """Return a model such as a run saves."""
    return keras_mixer.MlpMixer(
        2, 16, 2, 8, 24, input_shape=input_shape, classes=classes, classifier_activation=None
    )


@pytest.fixture(scope="module")
def timm_weights(tmp_path_factory):
    """The path of a Mixer-S/32 in timm's layout."""
    (checkpoint,) = (c for c in CATALOG if (c.name, c.variant) == ("gsam", "MixerS32"))
    folder = tmp_path_factory.mktemp("timm")
    (folder / "mixer_s32.npz").write_bytes(weight_file(checkpoint))
    convert(folder / "mixer_s32.npz", folder / "mixer_s32.safetensors")
    return folder / "mixer_s32.safetensors"


@pytest.fixture
def workspace(files, published, tmp_path, monkeypatch):
    """A copy of `files` as the working directory."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(workspace, timm_weights):
    """The files that earlier commands of a page left: the models of two runs, timm's weights."""
    for run, model in (
        ("digits", trained_model((8, 8, 1), 10)),
        ("photos", trained_model((32, 32, 3), 2)),
    ):
        (workspace / "runs" / run).mkdir(parents=True)
        model.save(workspace / "runs" / run / "model.keras")
    (workspace / "runs/photos/class_names.json").write_text(json.dumps(CLASS_NAMES))
    (workspace / "mixer_s32.safetensors").symlink_to(timm_weights)
    yield
    keras.backend.clear_session()
    gc.collect()  # the models of a page


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_fences_are_of_known_languages(page):
    for fence in fences(page):
        assert fence.language in LANGUAGES, fence


WITH_PYTHON = [p for p in PAGES if any(f.language == "python" for f in fences(p))]


# The first page, README.md, on every backend; the guides call what other tests call on each.
@pytest.mark.parametrize("page", [WITH_PYTHON[0], *rotated(WITH_PYTHON[1:])], ids=page_id)
@pytest.mark.long
def test_python(page, trained):
    namespace = {"__name__": "__main__"}
    for fence in fences(page):
        if fence.language == "python":
            lines_before = "\n" * (fence.line - 1)  # errors then show the line in the page
            exec(compile(lines_before + fence.text, str(page), "exec"), namespace)


WITH_EXAMPLES = [
    path
    for package in ("keras_mixer", "training")
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>>" in path.read_text()
]
CONSTRUCTORS = {size.constructor_name for size in SIZES.values()}


def examples():
    """Return the examples in all docstrings as test parameters."""
    found = []
    for path in WITH_EXAMPLES:
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for test in doctest.DocTestFinder().find(module):
            if test.examples:
                # The constructors differ in sizes only, so one of them runs on every backend.
                name = test.name.rpartition(".")[2]
                once = name in CONSTRUCTORS - {"MixerS32"}
                marks = [pytest.mark.backend("torch"), pytest.mark.long] if once else []
                found.append(pytest.param(test, id=test.name, marks=marks))
    return found


@pytest.mark.parametrize("example", examples())
def test_examples_of_docstrings(example, workspace):
    example.globs = {"__name__": "__main__"}
    output = []
    result = doctest.DocTestRunner(verbose=False).run(example, out=output.append)
    assert result.failed == 0, "".join(output)


def test_every_public_name_has_an_example():
    tested = {parameters.id.rpartition(".")[2] for parameters in examples()}
    without = {"preprocessing", "list_weights"}  # a module; a function of no arguments or result
    without |= {"MixerL32", "MixerH14"}  # have no published weights
    assert {*keras_mixer.__all__, "prepare_image", "convert"} - without <= tested


@pytest.fixture(scope="module")
def finished_runs(published, files, tmp_path_factory):
    """The working folder after the commands `REPEATED`."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        for text in REPEATED:
            execute(as_command(text, 0), monkeypatch)
    return folder


@pytest.mark.backend("torch")
@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=page_id)
def test_commands(page, workspace, finished_runs, monkeypatch):
    """The real command line takes each command of a page, in order."""
    repeated = [(as_command(text, 0), folder) for text, folder in REPEATED.items()]
    shutil.copytree(finished_runs / "runs/digits", "runs/digits")  # of the page README.md
    for command in commands(page):
        print(f"{page_id(page)}, line {command.line}: {command}", flush=True)
        if "--help" in command.arguments or is_executed(command) is False:
            add_runs_of_study(command)
            parse(command, monkeypatch)
        elif is_executed(command):
            folders = [folder for other, folder in repeated if other == command]
            for folder in folders:
                shutil.copytree(finished_runs / folder, folder, dirs_exist_ok=True)
            if not folders:
                execute(command, monkeypatch)
        else:
            assert entry(OTHER_PROGRAMS, command), f"{command} is in no table of this test"


def add_runs_of_study(command):
    """Add the runs of the small preset that a command names; only the smoke preset was executed."""
    for path in (Path(a) for a in command.arguments if a.startswith("studies/comparison/runs/")):
        if not path.exists():
            shutil.copytree(path.parent / "mixer-seed-0", path)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("page", [p for p in PAGES if inline_commands(p)], ids=page_id)
def test_inline_commands_are_parsed(page, monkeypatch):
    for command in inline_commands(page):
        parse(command, monkeypatch)


@pytest.mark.backend("torch")
@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_inline_options_exist(page, options):
    mentioned = {text.split()[0] for text in inline(page) if text.startswith("--")}
    assert {option.rstrip("*") for option in mentioned} <= options


@pytest.fixture(scope="module")
def options():
    """Every option of every command of the application and of the library."""
    helps = (
        "training train digits",
        "training show digits",
        "training plan digits",
        "training tune-lr digits",
        "training compare",
        "training demo",
        "training evaluate",
        "training predict",
        "training fewshot",
        "training knn",
        "training share",
        "training explain",
        "training export",
        "training study comparison",
        "training study weights",
        "training study cost",
        "training study robustness",
        "training benchmark loading",
        "training benchmark data",
        "training benchmark training",
        "training benchmark startup",
        "training benchmark prediction",
        "training benchmark speed",
        "training benchmark tpu",
        "keras_mixer weights",
        "keras_mixer convert",
        "tests",
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
def test_a_wrong_command_fails(text, monkeypatch):
    with pytest.raises(AssertionError, match="status 2"):
        parse(as_command(text, 0), monkeypatch)


def test_commands_are_recognized():
    assert as_command("runs/digits/model.keras  # a file", 0) is None
    assert (
        entry(EXECUTED | ONLY_PARSED | OTHER_PROGRAMS, as_command("./run.py frobnicate runs/a", 0))
        is None
    )
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
    """Run a shortened command in this process, or in another one for another backend."""
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
    """Call the `main` of a program; an error exit fails the test."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    main = importlib.import_module(f"{program}.__main__").main
    try:
        main()
    except SystemExit as end:
        assert not end.code, f"{program} {shlex.join(arguments)}: status {end.code}"


class Parsed(Exception):
    """Raised where a parsed command would start its work."""


def parse(command, monkeypatch):
    """Let the real command line parse and check a command, but not run it."""
    if "--help" in command.arguments:
        with monkeypatch.context() as changes:
            call_main(command.program, command.arguments, changes)
        return
    from training import __main__ as application

    def stopped(function):
        @functools.wraps(function)  # the signature defines the options
        def stop(*positional, **named):
            for value in (*positional, *named.values()):
                for checked in (getattr(value, "config", None), value):
                    if hasattr(checked, "check"):
                        checked.check()
            raise Parsed

        return stop

    assert command.program == "training"
    commands = {name: stopped(run) for name, run in application.find_commands().items()}
    with monkeypatch.context() as changes:
        changes.setattr(application, "find_commands", lambda: commands)
        with pytest.raises(Parsed):
            call_main(command.program, command.arguments, changes)
