import gc

import keras
import pytest

from run import BACKENDS

# Fixtures that execute a notebook, train, or build the site; tests that use them are `long`.
LONG_FIXTURES = {"executed", "finished_runs", "site"}


@pytest.fixture(autouse=True, scope="session")
def fast_compilation(tmp_path_factory):
    """JAX compiles the same computation once for all tests and the processes that they start.

    In this process it leaves out optimizations of the machine code, which takes half of the time.
    """
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.2,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name.upper(), str(value))
            update_jax(name, value)
        update_jax("jax_disable_most_optimizations", True)
        yield


@pytest.fixture(scope="module")
def full_optimization(fast_compilation):
    """Compile the models of a module as users do, with all optimizations."""
    update_jax("jax_disable_most_optimizations", False)
    yield
    update_jax("jax_disable_most_optimizations", True)


def update_jax(name, value):
    """Set an option of JAX if it is the backend."""
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update(name, value)


@pytest.fixture(autouse=True, scope="module")
def fast_collection():
    """Leave what exists out of garbage collection, which Keras runs for each quantized layer.

    With all libraries imported, a collection of everything takes about a second.
    """
    gc.collect()
    gc.freeze()


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
