import keras
import pytest

from run import BACKENDS


@pytest.fixture(autouse=True, scope="session")
def compiled_once(tmp_path_factory):
    """What JAX has compiled in one test is not compiled again in others: half of the time."""
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def pytest_collection_modifyitems(config, items):
    """Leave out the tests that another backend runs: `@pytest.mark.backend("jax")`."""
    marks = [mark for item in items for mark in item.iter_markers("backend")]
    # Or a misspelt one would leave its test out everywhere, in silence.
    assert all(len(mark.args) == 1 and mark.args[0] in BACKENDS for mark in marks), marks
    elsewhere = [
        item
        for item in items
        if any(mark.args != (keras.backend.backend(),) for mark in item.iter_markers("backend"))
    ]
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = [item for item in items if item not in elsewhere]
