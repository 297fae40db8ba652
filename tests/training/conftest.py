import pytest


@pytest.fixture(autouse=True, scope="session")
def keras_home(tmp_path_factory):
    """What is remembered of images goes into a folder of the tests' own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras_home")))
    yield
    patch.undo()
