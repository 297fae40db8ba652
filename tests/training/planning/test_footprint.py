from types import SimpleNamespace

import pytest

from training.planning.footprint import compiled_footprint, refused_footprint
from training.planning.topology import CHIPS

pytestmark = pytest.mark.backend("torch")


def test_memory_of_a_compiled_step():
    memory = SimpleNamespace(
        argument_size_in_bytes=1000,
        output_size_in_bytes=600,
        alias_size_in_bytes=590,  # the state is written in place
        temp_size_in_bytes=200,
        generated_code_size_in_bytes=30,
    )
    compiled = SimpleNamespace(
        memory_analysis=lambda: memory,
        cost_analysis=lambda: {"flops": 5.0, "bytes accessed": 7.0, "utilization0{}": 1.0},
    )
    footprint = compiled_footprint(compiled, images=8, batch_bytes=100, seconds=1.5)
    assert footprint.fits and footprint.images == 8 and footprint.seconds == 1.5
    assert footprint.total_bytes == 1000 + 10 + 200 + 30
    parts = (footprint.argument_bytes, footprint.temporary_bytes, footprint.code_bytes)
    assert parts == (1000, 210, 30)
    assert footprint.batch_bytes == 100
    assert (footprint.flops, footprint.moved_bytes) == (5.0, 7.0)


@pytest.mark.parametrize(
    "message, needed",
    [
        (
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
            "temporaries (34.5G) exceeds available HBM (15.75G).",
            34.5 * 2**30,
        ),
        ("Ran out of memory in memory space hbm. Used 512.00M of 15.75G hbm.", 2**29),
        ("RESOURCE_EXHAUSTED: it is too large", None),
    ],
)
def test_memory_of_a_refused_step(message, needed):
    footprint = refused_footprint(message, images=4096, seconds=4.0)
    assert not footprint.fits and footprint.images == 4096
    assert footprint.total_bytes == needed


def test_roofline():
    seconds = CHIPS["v5e"].roofline(SimpleNamespace(flops=197e12, moved_bytes=819e9 / 4))
    assert seconds == (1.0, 0.25)
