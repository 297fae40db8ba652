"""Only regular files are opened."""

import ast
import os
import socket
import tempfile
from pathlib import Path

import pytest

from keras_mixer.files import (
    NotRegularFileError,
    open_regular,
    read_bytes,
    read_text,
    require_regular,
)
from tests.support.special_files import SPECIAL, make_special

pytestmark = pytest.mark.backend("torch")  # no backend is involved

ROOT = Path(__file__).resolve().parents[2]
NO_FILES_OF_USERS = {
    "keras_mixer/files.py",
    "keras_mixer/terminal.py",  # the null device
    "training/benchmarks/matrix_products.py",  # of the processor, in /proc
    "training/benchmarks/mixed_photos.py",  # which it wrote itself
    "training/benchmarks/process_memory.py",  # of the process, in /proc
    "training/run/signals.py",  # a pipe
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("read", [open_regular, require_regular, read_text])
def test_what_is_no_regular_file_is_refused(kind, read, tmp_path):
    path = make_special(kind, tmp_path / "file")
    with pytest.raises(NotRegularFileError, match=rf"not a regular file but .*{path}") as error:
        read(path)
    assert error.value.strerror == f"not a regular file but {SPECIAL[kind]}"


def opens_by_itself(node):
    """Return whether a call opens a file for reading, other than with keras_mixer.files."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr in ("read_text", "read_bytes")
    modes = [arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)]
    return getattr(node.func, "id", "") == "open" and not {*"".join(modes)} & {*"wxa"}


@pytest.mark.parametrize("package", ["keras_mixer", "training"])
def test_no_other_function_opens_files(package):
    for path in (ROOT / package).rglob("*.py"):
        if path.relative_to(ROOT).as_posix() not in NO_FILES_OF_USERS:
            calls = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
            assert not [ast.unparse(call) for call in calls if opens_by_itself(call)], path


def test_a_socket():
    # Not in tmp_path: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/s")
        with pytest.raises(NotRegularFileError, match="a socket"):
            open_regular(f"{folder}/s")


def test_a_fifo_that_takes_the_place_of_a_file_between_check_and_open(tmp_path, monkeypatch):
    path, decoy = make_special("FIFO", tmp_path / "file"), tmp_path / "decoy"
    decoy.touch()
    status = os.stat(decoy)
    monkeypatch.setattr(os, "stat", lambda _: status)
    with pytest.raises(NotRegularFileError, match="a FIFO"):
        open_regular(path)


def test_files_and_links_to_them_are_read(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes("é\n".encode())
    link.symlink_to(path)
    for one in (path, link, str(path), os.fsencode(path)):
        with open_regular(one) as file:
            assert file.read() == "é\n".encode()
        assert read_text(one) == "é\n"


def test_other_errors_are_as_ever(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nowhere")
    (tmp_path / "latin").write_bytes(b"\xe9")
    with pytest.raises(ValueError):
        read_text(tmp_path / "latin")
    assert read_text(tmp_path / "latin", "surrogateescape") == "\udce9"


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_bytes(path, 4)


def test_a_file_that_grows_ends_where_it_ended(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    status = os.stat(path)
    path.write_bytes(b"12345" * 1000)
    monkeypatch.setattr(os, "fstat", lambda _: status)
    assert read_bytes(path, 5) == b"12345"
