import keras
import pytest

from training.benchmarks import process_memory, rematerialization

BACKEND = keras.backend.backend()


@pytest.mark.long
def test_measurement_is_complete():
    """Neither the memory nor the speed is asserted."""
    result = rematerialization.measure("S/32", batch_size=2, repeats=1, image_size=64)
    assert (result.backend, result.batch_size) == (BACKEND, 2)
    for name in ("", "resident_"):
        plain = getattr(result, f"plain_{name}megabytes")
        other = getattr(result, f"rematerialized_{name}megabytes")
        ratio = getattr(result, f"{name or 'memory_'}ratio")
        if name and not process_memory.is_measurable():
            assert plain is other is ratio is None
        else:
            assert min(plain, other) > 0
            assert ratio == pytest.approx(other / plain)
    assert result.time_ratio == result.rematerialized_seconds / result.plain_seconds


@pytest.mark.backend("torch")
def test_peak_of_allocations():
    assert rematerialization.peak([]) == 0
    assert rematerialization.peak([(3, -5), (1, 4), (2, 5), (4, 1), (5, 2)]) == 9


@pytest.mark.backend("torch")
def test_the_profiler_sees_a_known_allocation():
    import torch

    class Step:
        model = torch.nn.Identity()

        def __call__(self):
            a = torch.ones(1000, 1000)
            b = torch.ones(500, 1000)
            del a
            return b + 1

    assert rematerialization.peak_by_profiler(Step()) == pytest.approx(6e6, rel=0.01)


@pytest.mark.backend("jax")
def test_the_compiler_reports_temporaries():
    step = rematerialization.training_step("S/32", 2, "auto", 64, False)
    step()  # creates the variables of the optimizer and the metrics
    patches, blocks, hidden_dim = 4, 8, 512
    kept = 2 * patches * blocks * hidden_dim * 4  # at least the input of each block
    assert rematerialization.bytes_of_compiled_step(step) > kept
