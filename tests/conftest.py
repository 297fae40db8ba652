import keras
import pytest

from run import BACKENDS

# Fixtures that execute a notebook, train, or build the site; tests that use them are `long`.
LONG_FIXTURES = {"executed", "finished_run", "site"}


@pytest.fixture(autouse=True, scope="session")
def compilation_cache(tmp_path_factory):
    """JAX compiles the same computation once for all tests, which halves their time."""
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(config, items):
    """Mark the tests of slow fixtures, and deselect those that another backend runs."""
    for item in items:
        if LONG_FIXTURES.intersection(item.fixturenames):
            item.add_marker("long")
    marks = [mark for item in items for mark in item.iter_markers("backend")]
    # Without this check, no backend would run a test whose mark is misspelled.
    assert all(len(mark.args) == 1 and mark.args[0] in BACKENDS for mark in marks), marks
    own = (keras.backend.backend(),)
    selected, others = [], []
    for item in items:
        elsewhere = any(mark.args != own for mark in item.iter_markers("backend"))
        (others if elsewhere else selected).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = selected
