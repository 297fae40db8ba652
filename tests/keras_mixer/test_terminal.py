"""Closed streams, ended readers, narrow encodings, mistakes and ctrl-C in a command line."""

import os
import subprocess
import sys

import pytest

from keras_mixer.terminal import command_line

pytestmark = pytest.mark.backend("torch")  # no backend is involved

MANY_LINES = "for _ in range(20_000): print('8 × 8', flush={flush})"


SCRIPT = "from keras_mixer.terminal import command_line\nwith command_line(ValueError):\n "


def run(body, shell="{python}", **environment):
    """Run `body` as a command line in a process of its own, started by a shell command."""
    command = shell.format(python='"$0" -c "$1"')
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}", sys.executable, SCRIPT + body],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("flush", [True, False])
def test_it_ends_silently_when_the_reader_has_ended(flush):
    result = run(MANY_LINES.format(flush=flush), "{python} | head -1")
    assert (result.returncode, result.stderr) == (141, "")
    assert result.stdout == "8 × 8\n"


def test_a_reader_that_never_reads():
    """The only write is that at the end."""
    result = run("print('8 × 8'); import sys; sys.exit(0)", "{python} | true")
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_replaced(closed, tmp_path):
    """Otherwise the file would get the number of a stream, and what is printed."""
    path = tmp_path / "file"
    body = (
        f"import os, sys; file = open({str(path)!r}, 'w'); print('8 × 8'); sys.stderr.write('!'); "
        "os.write(1, b'1'); os.write(2, b'2'); sys.stdin.close()"
    )
    result = run(body, "{python} " + closed)
    assert result.returncode == 0, result.stderr
    assert path.read_text() == ""


def test_characters_that_stdout_cannot_encode_are_escaped():
    result = run("print('8 × 8 \\udcff')", PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stdout) == (0, "8 \\xd7 8 \\udcff\n"), result.stderr
    result = run("print('8 × 8 \\udcff')", PYTHONIOENCODING="utf-8")
    assert (result.returncode, result.stdout) == (0, "8 × 8 \\udcff\n"), result.stderr


def test_a_full_disk_is_a_mistake():
    result = run("print('8 × 8')", "{python} > /dev/full")
    assert result.returncode == 2
    assert result.stderr == "error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize(
    "error, status, message",
    [
        (ValueError("no"), 2, "error: no\n"),
        (FileNotFoundError("none"), 2, "error: none\n"),
        (BrokenPipeError(), 141, ""),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(7), 7, ""),
    ],
)
def test_the_status_says_how_it_ended(capsys, error, status, message):
    with pytest.raises(SystemExit) as end, command_line(ValueError):
        raise error
    assert end.value.code == status
    assert capsys.readouterr().err == message


def test_other_errors_are_not_hidden():
    with pytest.raises(KeyError), command_line(ValueError):
        raise KeyError
