"""`~` in options and behind prefixes, where shells do not expand it."""

import json

import pytest

from training.cli.home_folder import expand_home
from training.run.folder import RunFolder

pytestmark = pytest.mark.backend("torch")  # the command line is parsed alike under every backend


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """The home folder, /…/home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    "argument",
    [
        "~",
        "~/run@best",
        "--run-dir=~/r",
        "--output-dir=~",
        "folder:~/photos",
        "folder:~",
        "arrays:~/x.npz",
        "MixerB16:~/x.npz",
        "--source=folder:~/photos",
        "--weights=MixerB16:~/x.npz",
        "--class_names=~/two\nlines",
    ],
)
def test_it_is_expanded_where_a_path_starts(home, argument):
    assert expand_home(argument) == argument.replace("~", str(home))


@pytest.mark.parametrize(
    "argument",
    [
        "~no_such_user/x",
        "folder:~no_such_user/x",
        "a~",
        "a/~/b",
        "./~",
        "folder:a/~",
        "--x=a~b",
        "",
    ],
)
def test_it_stays_elsewhere_and_for_unknown_users(argument):
    assert expand_home(argument) == argument


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("evaluate ~/run@best", "{home}/run, which does not exist"),
        ("predict MixerB16:x.npz a.png --class-names=~/c", "Received: {home}/c: "),
        ("evaluate MixerB16:x.npz --source=digits --class-names=~no_one/c", "Received: ~no_one/c"),
        ("show tiny --source folder:~/photos --output-dir={tmp}", "{home}/photos must be a folder"),
        ("show tiny --source=arrays:~/x.npz --output-dir={tmp}", "Received: {home}/x.npz"),
        ("show tiny --source folder:~no_one/x --output-dir={tmp}", "~no_one/x must be a folder"),
        ("train tiny --weights=MixerB16:~/x.npz --run-dir={tmp}/r", "{home}/x.npz"),
        ("train tiny --weights=~/x.npz --run-dir={tmp}/r", "Received: {home}/x.npz. It does not"),
    ],
)
def test_commands_expand_it(call, home, tmp_path, arguments, expected):
    status, _, err = call(*arguments.format(tmp=tmp_path).split())
    assert status == 2
    assert expected.format(home=home) in err


@pytest.mark.long
def test_a_run_is_resumed_however_its_paths_are_written(call, home):
    arguments = ["train", "tiny", "--total-steps=1", "--warmup-steps=0", "--quiet"]
    status, _, err = call(*arguments, "--run-dir=~/r", "--cache-dir=~/c", "--data-dir=~/d")
    assert status == 0, err
    data = json.loads(RunFolder(home / "r").config.read_text())["data"]
    assert (data["cache_dir"], data["data_dir"]) == (f"{home}/c", f"{home}/d")
    status, out, _ = call(*arguments, f"--run-dir={home}/r", "--cache-dir", home / "c")
    assert status == 0 and "already finished" in out
