import dataclasses

import numpy as np
import pytest
from PIL import Image

from training.benchmarks import data
from training.config import Augmentation

pytestmark = pytest.mark.backend("torch")  # tf.data does this under every backend

FILES, BATCH = 16, 4


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    data.write_photos(folder, FILES)
    return folder, data.pipelines(folder, image_size=224, batch_size=BATCH)


@pytest.mark.long
def test_files_are_different_photographs(pipelines):
    folder, _ = pipelines
    files = sorted(folder.glob("class */*.jpg"))
    assert len({file.read_bytes() for file in files}) == FILES
    for file in files:
        photo = Image.open(file)
        assert (photo.format, photo.size) == ("JPEG", (500, 400))
        assert np.asarray(photo).std() > 20


@pytest.mark.long
def test_nothing_is_cached_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    folder = tmp_path / "photos"
    folder.mkdir()
    data.write_photos(folder, FILES)
    data.pipelines(folder, image_size=32, batch_size=BATCH)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", [data.PLAIN, data.OURS])
@pytest.mark.long
def test_both_pipelines_give_equal_kinds_of_batches_from_the_same_files(pipelines, name):
    _, datasets = pipelines
    batches = list(datasets[name].take(FILES // BATCH).as_numpy_iterator())
    for images, labels in batches:
        assert (images.dtype, images.shape) == (np.uint8, (BATCH, 224, 224, 3))
        assert images.std() > 10
        assert (labels.dtype, labels.shape) == (np.float32, (BATCH, data.NUM_CLASSES))
        np.testing.assert_array_equal(np.sort(labels)[:, -2:], [[0, 1]] * BATCH)
    counts = sum(labels.sum(axis=0) for _, labels in batches)  # one pass over the files
    np.testing.assert_array_equal(counts, FILES / data.NUM_CLASSES)


@pytest.mark.parametrize("name", [*data.AUGMENTATIONS, data.PRETRAINING])
@pytest.mark.long
def test_every_augmentation_changes_the_images(pipelines, name):
    """Both pipelines crop alike, so that only the augmentation differs."""
    _, datasets = pipelines
    images, _ = next(datasets[name].as_numpy_iterator())
    untouched, _ = next(datasets[data.OURS].as_numpy_iterator())
    assert images.shape == untouched.shape
    assert (images != untouched).mean() > 0.01


def test_every_augmentation_is_measured():
    measured = set()
    for augmentation in data.AUGMENTATIONS.values():
        augmentation.check()
        measured |= {
            field.name
            for field in dataclasses.fields(Augmentation)
            if getattr(augmentation, field.name) != field.default
        }
    fields = {field.name for field in dataclasses.fields(Augmentation)}
    assert fields - measured == {"randaugment_layers", "mix_probability"}  # their defaults


@pytest.mark.long
def test_measurement_is_complete():
    """The speed itself is not asserted."""
    result = data.measure(batches=1, repeats=1, files=FILES, image_size=16, batch_size=BATCH)
    names = [speed.pipeline for speed in result.speeds]
    assert names == [data.PLAIN, data.OURS, *data.AUGMENTATIONS, data.PRETRAINING]
    plain, ours, *_ = result.speeds
    assert plain.to_plain == 1 and ours.milliseconds_above_ours == 0
    for speed in result.speeds:
        assert speed.images_per_second > 0 and speed.core_milliseconds > 0
        ratio = speed.images_per_second / plain.images_per_second
        assert speed.to_plain == pytest.approx(ratio)
        above = 1000 / speed.images_per_second - 1000 / ours.images_per_second
        assert speed.milliseconds_above_ours == pytest.approx(above)
    added = {
        speed.pipeline: speed.core_milliseconds - ours.core_milliseconds for speed in result.speeds
    }
    assert result.pretraining_to_its_parts == pytest.approx(
        added[data.PRETRAINING] / (added["RandAugment"] + added["mixup"])
    )
    assert (result.files, result.image_size, result.batch_size) == (FILES, 16, BATCH)
    assert result.cores >= 1
