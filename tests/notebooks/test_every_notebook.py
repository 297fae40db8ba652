"""Properties that every notebook must have; each has a test file for its content."""

import ast

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tests import notebooks

pytestmark = pytest.mark.backend("torch")  # the files are read, not executed


@pytest.mark.parametrize("name", notebooks.names())
def test_a_notebook_has_the_outputs_of_one_run(name):
    cells = notebooks.code_cells(notebooks.read(name))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert notebooks.figures(notebooks.read(name))


@pytest.mark.parametrize("name", notebooks.names())
def test_a_notebook_starts_with_the_installation_and_one_switch(name):
    first, second, *rest = notebooks.code_cells(notebooks.read(name))
    assert "%pip install" in first.source
    assert "KERAS_MIXER_OFFLINE" in second.source
    assert not any("KERAS_MIXER_OFFLINE" in cell.source for cell in rest)


@pytest.mark.parametrize("name", notebooks.names())
def test_a_notebook_uses_public_names_only(name):
    cells = notebooks.code_cells(notebooks.read(name))
    code = TransformerManager().transform_cell("\n".join(cell.source for cell in cells))
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_") or node.attr.endswith("__"), node.attr
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            assert "training" not in {name.partition(".")[0] for name in names}
