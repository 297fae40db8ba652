import pytest

from tests import notebooks


@pytest.fixture(scope="module")
def executed(request):
    """The notebook that the module of the tests calls `NAME`, with the outputs of a new run."""
    return notebooks.execute(request.module.NAME)


@pytest.fixture(scope="module")
def text(executed):
    return notebooks.text(executed)
