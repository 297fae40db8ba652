import keras
import pytest

from run import BACKENDS


@pytest.fixture(autouse=True, scope="session")
def compilation_cache(tmp_path_factory):
    """JAX compiles the same computation once for all tests, which halves their time."""
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def pytest_collection_modifyitems(config, items):
    """Deselect the tests that another backend runs: `@pytest.mark.backend("jax")`."""
    marks = [mark for item in items for mark in item.iter_markers("backend")]
    # Without this check, no backend would run a test whose mark is misspelt.
    assert all(len(mark.args) == 1 and mark.args[0] in BACKENDS for mark in marks), marks
    own = (keras.backend.backend(),)
    selected, others = [], []
    for item in items:
        elsewhere = any(mark.args != own for mark in item.iter_markers("backend"))
        (others if elsewhere else selected).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = selected
