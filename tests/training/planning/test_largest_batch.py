import pytest

from training.planning.footprint import Footprint
from training.planning.largest_batch import TOLERANCE, largest_batch

pytestmark = pytest.mark.backend("torch")


class Compiler:
    """Fake compiler that has memory for `room` images and records its calls."""

    def __init__(self, room):
        self.room = room
        self.asked = []

    def __call__(self, images):
        self.asked.append(images)
        return Footprint(images, fits=images <= self.room, seconds=0.0, total_bytes=images)


@pytest.mark.parametrize("multiple", [1, 8, 64, 24])
@pytest.mark.parametrize("room", [1, 7, 8, 100, 513, 4095, 4096, 100_000])
@pytest.mark.parametrize("first", [8, 100, 4096])
def test_result_is_bracketed(multiple, room, first):
    compiler = Compiler(room)
    fits, fails = largest_batch(compiler, first, multiple)
    assert fails.images > room and not fails.fits
    if fits is None:
        assert fails.images <= multiple
    else:
        assert fits.images <= room and fits.fits
        gap = fails.images - fits.images
        assert gap <= max(multiple, TOLERANCE * fits.images)
    assert len(set(compiler.asked)) == len(compiler.asked) < 40
    assert all(images % multiple == 0 for images in compiler.asked[1:])


def test_few_compilations_succeed():
    """Successful compilations are slow; a good first guess needs at most four."""
    for room in range(4096, 8192, 128):
        compiler = Compiler(room)
        largest_batch(compiler, 4096, 64)
        assert sum(images <= room for images in compiler.asked) <= 4
