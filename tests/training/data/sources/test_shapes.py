"""Generated shapes as a source, and the dials of `--source shapes:DIALS`."""

import dataclasses
import re

import numpy as np
import pytest

from tests.support.splits import assert_refused, images_of, read_examples
from training.config import Data
from training.data.shapes import SHAPES, TEXTURES, TRAIN, Dials, generate
from training.data.sources import load_source
from training.data.sources.shapes import MOST_IMAGES, parse_dials
from training.errors import UserError

pytestmark = pytest.mark.backend("torch")  # tf.data reads under every backend

SMALL = "shapes:train=640,test=320"


def load(source=SMALL, **fields):
    return load_source(Data(source=source, image_size=32, **fields))


def test_splits():
    source = load(validation_fraction=0.1)
    assert len(source.class_names) == 32 and source.class_names[5] == "stripes ring"
    assert source.channels == 3
    splits = (source.train, source.validation, source.test)
    assert [len(split) for split in splits] == [576, 64, 320]
    for split in splits:
        assert set(split.labels) == set(range(32))
    train, validation, test = map(images_of, splits)
    assert not train & validation and not test & (train | validation)
    images, labels = generate(Dials(train=640, test=320), TRAIN)
    generated = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for image, label in zip(*read_examples(source.train), strict=True):
        assert image.shape == (32, 32, 3) and image.dtype == np.uint8
        assert generated[image.tobytes()] == label


def test_the_test_split_does_not_depend_on_the_validation_split():
    one, other = load(validation_fraction=0.1), load(validation_fraction=0.0)
    assert images_of(one.test) == images_of(other.test)
    assert len(other.validation) == 0


@pytest.mark.parametrize("classes, names", [("shape", SHAPES), ("texture", TEXTURES)])
def test_the_classes_are_a_dial(classes, names):
    source = load(f"{SMALL},classes={classes}")
    assert source.class_names == names
    assert set(source.train.labels) == set(source.test.labels) == set(range(len(names)))


def test_the_fingerprint_changes_with_every_dial():
    changes = ("", ",train=641", ",test=321", ",classes=shape", ",difficulty=0.25", ",seed=1")
    fingerprints = [load(SMALL + change).fingerprint() for change in changes]
    assert len(set(fingerprints)) == len(dataclasses.fields(Dials)) + 1
    assert load(SMALL).fingerprint() == fingerprints[0]


def test_dials():
    assert parse_dials("shapes") == Dials()
    text = "shapes:train=5000,test=100,classes=texture,difficulty=0.8,seed=3"
    assert parse_dials(text) == Dials(5000, 100, "texture", 0.8, 3)
    assert parse_dials("shapes:difficulty=1") == Dials(difficulty=1.0)


@pytest.mark.parametrize(
    "setting",
    [
        *("size=3", "train", "train=", "train=x", "train=1.5", "train=639", "test=31", "test=0"),
        *("train=-1", "classes=color", "difficulty=1.01", "difficulty=-0.1", "difficulty=nan"),
        *("seed=-1", f"seed={2**32}", f"train={MOST_IMAGES + 1}", f"test={MOST_IMAGES + 1}"),
    ],
)
def test_invalid_dials_are_refused(setting):
    with pytest.raises(UserError) as error:
        load(f"shapes:{setting}")
    message = str(error.value)
    assert message.startswith("--source shapes:DIALS must be NAME=VALUE,…: train, at least ")
    assert f" Received: {setting}. Pass --source shapes:" in message
    advised = re.search(r"Pass --source (shapes:\S+), for example", message)[1]
    assert parse_dials(advised) == Dials()


def test_the_smallest_and_the_largest_numbers():
    for classes, number in (("both", 32), ("shape", 8), ("texture", 4)):
        parse_dials(f"shapes:classes={classes},train={20 * number},test={number}")
        for setting in (f"train={20 * number - 1}", f"test={number - 1}"):
            with pytest.raises(UserError, match=f"Received: {setting}. "):
                parse_dials(f"shapes:classes={classes},{setting}")
    assert parse_dials(f"shapes:train={MOST_IMAGES},test={MOST_IMAGES}").train == 100_000


def test_a_source_of_dials_must_name_one():
    assert_refused(
        "--source must be arrays:FILE.npz, .*shapes.* Received: shapes:. ", source="shapes:"
    )
