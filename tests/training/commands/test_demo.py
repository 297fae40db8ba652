"""`demo` on the command line; tests/training/demo has what it serves."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest
import requests

from tests.support.demo import CLASSES
from tests.support.image_files import PNG
from tests.support.models import randomize, small_mixer

PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two models and the names of their classes."""
    folder = tmp_path_factory.mktemp("demo")
    for name in ("one", "two"):
        model = small_mixer()
        randomize(model, len(name))
        model.save(folder / f"{name}.keras")
    (folder / "names.txt").write_text("\n".join(CLASSES))
    return folder


@pytest.mark.long  # a process of its own
def test_the_page_is_served_until_ctrl_c(folder):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "training", "demo", "one.keras", "two.keras"),
            *("--port", "0", "--class-names", "names.txt", "--evaluation-transform", "resize"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        line = process.stdout.readline()
        url = re.fullmatch(r"The demo is at (http://127\.0\.0\.1:\d+) until .*\n", line)[1]
        assert "keras_mixer" in requests.get(url, timeout=60).text
        answer = requests.get(f"{url}/api/models", timeout=60).json()
        assert [model["title"] for model in answer["models"]] == ["one.keras", "two.keras"]
        response = requests.post(f"{url}/api/models/1/predict", PNG, timeout=60)
        assert {entry["name"] for entry in response.json()["classes"]} == {*CLASSES}
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 130 and out == "" and "Traceback" not in err
    finally:
        process.kill()
        process.communicate()


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "MODEL... must be 1 to 4 models. Received: none. Pass a run"),
        (["one.keras"] * 5, "MODEL... must be 1 to 4 models. Received: 5."),
        (["none.keras"], "MODEL must be a folder of a run"),
        (["one.keras", "--port", "70000"], "--port must be from 0 to 65535. Received: 70000."),
        (["one.keras", "--host", ""], "--host must be an address of this computer"),
        (["one.keras", "--host", "192.0.2.7"], "--host and --port must be an address of this"),
        (["one.keras", "--host", "a b"], "--host and --port must be an address of this"),
        (["one.keras", "--max-megabytes", "0"], "--max-megabytes must be from 1 to 1000"),
        (["one.keras", "--max-megapixels", "171"], "--max-megapixels must be from 1 to 170"),
        (["one.keras", "--class-names", "none.txt"], "--class-names must be a file"),
    ],
)
def test_mistakes_end_with_status_2(call, folder, monkeypatch, arguments, words):
    monkeypatch.chdir(folder)
    status, out, err = call("demo", *arguments)
    assert (status, out) == (2, "") and words in err and "Traceback" not in err


@pytest.mark.backend("torch")
def test_a_port_that_is_taken_is_found_before_models_are_loaded(call, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "broken.keras").write_bytes(b"never read")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = call("demo", "broken.keras", "--port", port)
    assert status == 2 and f"Received: 127.0.0.1, port {port}: " in err and "--port 0" in err


@pytest.mark.backend("torch")
def test_a_missing_package_gives_the_line_that_installs_it(call, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    status, _, err = call("demo", "one.keras")
    assert status == 2 and 'pip install -e ".[demo]"' in err
