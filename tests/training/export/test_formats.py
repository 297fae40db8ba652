"""The table of formats, and what has to be installed for one."""

import importlib.util

import pytest

from training.errors import UserError
from training.export.formats import FORMATS, require_formats
from training.export.formats.openvino import TELEMETRY

pytestmark = pytest.mark.backend("torch")  # a table


@pytest.mark.parametrize("row", FORMATS.values(), ids=str)
def test_a_format_is_a_module(row):
    for name in ("write", "load", "read_metadata"):
        assert callable(getattr(row.module, name))


def test_all_formats_are_installed():
    require_formats(FORMATS)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "one or more of .*, each once. Received: nothing. Pass --to onnx, for example."),
        (("onnx", "onnx"), "each once. Received: onnx onnx. Pass --to onnx, for example."),
        (("onxx",), "--to must be of saved_model, .*torch. Received: onxx. Pass one of these."),
    ],
)
def test_names_that_are_refused(names, message):
    with pytest.raises(UserError, match=message):
        require_formats(names)


@pytest.mark.parametrize(
    ("name", "without", "message"),
    [
        ("onnx", {"tf2onnx"}, r'tf2onnx not installed. Install .*`pip install -e "\.\[export\]"`'),
        ("onnx", {"onnx", "tensorflow"}, r"\[tensorflow,export\]"),
        ("litert", {"ai_edge_litert"}, "--to litert must have .*ai_edge_litert not installed"),
        ("openvino", {"openvino"}, r"\[export\]"),
        (
            "torch",
            {"torch"},
            r'torch not installed. Install .*`pip install -e "\.\[torch\]"`',
        ),
    ],
)
def test_what_is_missing_is_named_with_the_line_that_installs_it(
    monkeypatch, name, without, message
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda module: None if module in without else find(module)
    )
    with pytest.raises(UserError, match=message):
        require_formats([name])


def test_the_telemetry_of_openvino_is_a_package_of_this_name():
    """Otherwise it would be imported under another one; see test_runtimes.py."""
    assert importlib.util.find_spec(TELEMETRY)
