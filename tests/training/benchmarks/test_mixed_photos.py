"""JPEG files of mixed sizes, some damaged."""

import pytest
from PIL import Image

from training.benchmarks.mixed_photos import LARGE, write_photos
from training.evaluation.prepared_images import prepared_images

pytestmark = pytest.mark.backend("torch")  # no backend is involved


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """What `write_photos` returns for 1,000 files."""
    return write_photos(tmp_path_factory.mktemp("photos") / "photos", 1000)


def test_photos_have_the_stated_mix(photos):
    paths, valid = photos
    assert paths == sorted(paths[0].parent.iterdir())
    sizes = {path: Image.open(path).size for path in valid}
    for i in range(0, 1000, 50):
        assert sum(sizes.get(path) in LARGE for path in paths[i : i + 50]) <= 1
    pixels = [width * height for width, height in sizes.values()]
    assert {number for number in pixels if number > 2e6} == {12_000_000}
    assert sum(number > 2e6 for number in pixels) in range(18, 21)  # the others are damaged
    assert sum(8e5 < number <= 2e6 for number in pixels) in range(45, 51)
    assert all(number < 3e5 or number > 8e5 for number in pixels)


def test_exactly_the_files_that_are_not_valid_are_damaged(photos):
    paths, valid = photos
    images = list(prepared_images(paths[:150], "resize", (8, 8, 3), ahead=8))
    found = [image.path for image in images if not image.fault]
    assert found == valid[: len(found)] and len(valid) == 1000 - 23
    reasons = ("it is not an image of a known format", "its JPEG data are corrupt", "it is empty")
    faults = [image.fault for image in images if image.fault]
    for fault, reason in zip(faults, reasons, strict=True):
        assert fault.startswith(reason)


def test_the_same_files_are_written_again(photos, tmp_path):
    paths, valid = photos
    again, also_valid = write_photos(tmp_path / "photos", 120)
    assert [path.name for path in also_valid] == [path.name for path in valid[: len(also_valid)]]
    for one, other in zip(paths[:120], again, strict=True):
        assert one.read_bytes() == other.read_bytes()
