"""The layout of the code: few modules at the top of the application, short ones everywhere."""

import ast
from pathlib import Path

import pytest

import run

pytestmark = pytest.mark.backend("torch")  # files are read

MODULES = sorted([*run.ROOT.glob("keras_mixer/**/*.py"), *run.ROOT.glob("training/**/*.py")])
MODULES.append(run.ROOT / "run.py")
MOST_MODULES_AT_THE_TOP = 6
MOST_LINES_OF_A_MODULE = 350
MOST_LINES_OF_A_FUNCTION = 80  # without its docstring


def named(path):
    return path.relative_to(run.ROOT).as_posix()


def lines_of(function):
    """Return the number of lines of a function without its docstring."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def test_few_modules_are_at_the_top_of_the_application():
    top = {path.stem for path in Path(run.ROOT, "training").glob("*.py")}
    assert len(top - {"__init__", "__main__"}) <= MOST_MODULES_AT_THE_TOP


def test_a_module_is_named_for_what_it_holds():
    assert not {path.stem for path in MODULES} & {"common", "helpers", "misc", "util", "utils"}


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_modules_and_functions_are_short(path):
    source = path.read_text()
    assert len(source.splitlines()) <= MOST_LINES_OF_A_MODULE
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert lines_of(node) <= MOST_LINES_OF_A_FUNCTION, node.name
