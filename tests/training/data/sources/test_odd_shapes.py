"""Folders and files of arrays in the shapes that people have.

Each is read as it is meant, or refused with a next step that works when it is typed.
"""

import os
import re
import shlex
import shutil
import sys
import unicodedata
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.support.image_files import JPEG, PNG, encode_png_16_bits
from training.config import Data
from training.data.sources import load_source
from training.errors import UserError

pytestmark = pytest.mark.backend("torch")  # tf.data reads under every backend

DEFAULT = {"validation_fraction": 0.2, "test_fraction": 0.2}


def write(root, files, contents=PNG):
    """Write `{folder: number of images}` below a folder; names of files are contents."""
    for name, number in files.items():
        if isinstance(number, bytes):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(number)
            continue
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(number):
            (root / name / f"{i:02}.png").write_bytes(contents)


def pair(split, number=4):
    """A split with two classes."""
    return {f"{split}/cat": number, f"{split}/dog": number}


def counts(source):
    """Return the number of images of each split."""
    return [len(split) for split in (source.train, source.validation, source.test)]


def load(root, **fields):
    return load_source(Data(**{"source": f"folder:{root}", **DEFAULT, **fields}))


def decomposed(name):
    """Return a name as macOS writes it."""
    return unicodedata.normalize("NFD", name)


LITTER = {
    "__MACOSX/cat": 2,
    "__MACOSX/train": 0,
    "@eaDir/cat": 2,
    "$RECYCLE.BIN": 1,
    "lost+found": 0,
    ".ipynb_checkpoints": 1,
    "Thumbs.db": b"x",
    "desktop.ini": b"x",
    ".DS_Store": b"x",
    "README.md": b"x",
    "labels.csv": b"x",
}


def with_litter(split):
    return {
        f"{split}__MACOSX": 2,
        f"{split}.DS_Store": b"x",
        f"{split}cat/Thumbs.db": b"x",
        f"{split}cat/._00.png": b"x",
        f"{split}cat/@eaDir": 1,
        f"{split}dog/.ipynb_checkpoints": 1,
        f"{split}dog/Desktop.ini": b"x",
    }


READ = {
    "splits": ({**pair("train"), **pair("validation", 2), **pair("test", 1)}, [8, 4, 2]),
    "Val and TEST": ({**pair("Train"), **pair("Val", 2), **pair("TEST", 1)}, [8, 4, 2]),
    "valid": ({**pair("training"), **pair("valid", 2), **pair("testing", 1)}, [8, 4, 2]),
    "dev": ({**pair("Training Set"), **pair("dev", 2), **pair("test_set", 1)}, [8, 4, 2]),
    "eval": ({**pair("trainset"), **pair("eval_images", 2), **pair("test-data", 1)}, [8, 4, 2]),
    "no test": ({**pair("train", 10), **pair("val", 2)}, [16, 4, 4]),
    "classes alone": ({"cat": 10, "dog": 10}, [12, 4, 4]),
    "litter beside classes": ({"cat": 10, "dog": 10, **LITTER, **with_litter("")}, [12, 4, 4]),
    "litter beside splits": (
        {**pair("train"), **pair("val", 2), **pair("test", 1), **LITTER, **with_litter("train/")},
        [8, 4, 2],
    ),
    "no cat in test": ({**pair("train"), **pair("val", 2), "test/dog": 3}, [8, 4, 3]),
    "empty cat in val": ({**pair("train"), "val/cat": 0, "val/dog": 2, "test/cat": 3}, [8, 2, 3]),
    "valid is a class": ({"valid": 10, "invalid": 10}, [12, 4, 4]),
    "train is a class": ({"train": 10, "plane": 10}, [12, 4, 4]),
    "three of a class": ({"cat": 30, "dog": 3}, [20, 6, 7]),
    "twelve images": ({"a": 3, "b": 3, "c": 3, "d": 3}, [4, 4, 4]),
    "upper case suffixes": (
        {"cat": 8, "dog": 8, "cat/A.PNG": PNG, "cat/B.Jpg": JPEG, "dog/A.JPEG": JPEG},
        [12, 3, 4],
    ),
    "Unicode": ({"貓": 8, "chien noir": 8, "🐦 & co": 8}, [15, 4, 5]),
    "not UTF-8": ({os.fsdecode(b"caf\xe9"): 8, "th\u00e9": 8}, [9, 3, 4]),
    "accents in two forms": (
        {"train/café": 5, "train/thé": 5, f"test/{decomposed('café')}": 1},
        [8, 2, 1],
    ),
}


@pytest.mark.parametrize("name", READ)
def test_folders_that_are_read(name, tmp_path):
    files, expected = READ[name]
    write(tmp_path, files)
    source = load(tmp_path)
    assert counts(source) == expected
    assert not source.skipped
    assert not {"__MACOSX", "Thumbs.db", "@eaDir"} & set(source.class_names)


def test_links_are_followed(tmp_path):
    write(tmp_path / "elsewhere", {"cats": 10, "dogs": 10})
    root = tmp_path / "photos"
    (root / "dog").mkdir(parents=True)
    (root / "cat").symlink_to(tmp_path / "elsewhere" / "cats")
    for file in (tmp_path / "elsewhere" / "dogs").iterdir():
        (root / "dog" / file.name).symlink_to(file)
    (tmp_path / "link").symlink_to(root)
    assert counts(load(tmp_path / "link")) == [12, 4, 4]


def test_labels_are_matched_by_name(tmp_path):
    """`b` is class 1, although it is the first folder of the test split."""
    write(
        tmp_path, {"train/a": 4, "train/b": 4, "train/c": 4, "val/c": 2, "test/b": 1, "test/c": 2}
    )
    source = load(tmp_path)
    assert source.test.labels.tolist() == [1, 2, 2]
    assert source.validation.labels.tolist() == [2, 2]


def move(root, old, new):
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(root / old, root / new)


def merge(root, message):
    for file in (root / "valid").rglob("*.png"):
        move(root, file.relative_to(root), f"val/{file.parent.name}/moved-{file.name}")
    shutil.rmtree(root / "valid")


def move_out(name, root, message):
    move(root, name, f"../out of it/{name}")


def rename(old, new, root, message):
    move(root, old, new)


def pass_source(root, message):
    """Return the source that the message names."""
    (source,) = re.findall(r"--source folder:(\S+)\.$", message)
    return {"source": f"folder:{source}"}


def pass_options(root, message, **options):
    for name, value in options.items():
        assert f"--{name.replace('_', '-')} {value}".removesuffix(".0") in message
    return options


def add_images(name, number, root, message):
    write(root, {f"{name}/": number})


def nest(root, message):
    for file in (root / "cat" / "kittens").iterdir():
        move(root, file.relative_to(root), f"cat/kitten-{file.name}")
    (root / "cat" / "kittens").rmdir()


def run_command(root, message):
    """Run the Python of the command in the last line of the message."""
    _, option, code, folder = shlex.split(message.splitlines()[-1])
    assert option == "-c" and Path(folder) == root
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["-c", folder])
        exec(code, {})


SPLITS = {**pair("train"), **pair("val", 2), **pair("test", 1)}
RNG = np.random.default_rng(0)
SCAN = encode_png_16_bits(RNG.integers(0, 4096, (9, 12, 3)).astype("uint16"))
SKIP = partial(pass_options, on_bad_image="skip")

# The files, words of the message, what the user then does, and the numbers of images after that.
REFUSED = {
    "val and valid": (
        {**SPLITS, **pair("valid", 1)},
        "one folder for each split. Received: val and valid, which are all validation splits",
        merge,
        [8, 6, 2],
    ),
    "a split of another name": (
        {**SPLITS, **pair("holdout")},
        "Received: holdout beside train and val and test",
        partial(move_out, "holdout"),
        [8, 4, 2],
    ),
    "a class beside splits": (
        {**SPLITS, "emu": 3},
        "Received: emu beside .* or into .*/train if they are classes",
        partial(rename, "emu", "train/emu"),
        [11, 4, 2],
    ),
    "classes beside test": (
        {"cat": 10, "dog": 10, **pair("test", 1)},
        "Received: cat and dog beside test. .*or into .*/train if",
        lambda root, message: [move(root, name, f"train/{name}") for name in ("cat", "dog")],
        [16, 4, 2],
    ),
    "test without train": (
        pair("test", 10),
        "Received: test without train",
        pass_source,
        [12, 4, 4],
    ),
    "a split without classes": (
        {**pair("train", 10), "test": 5},
        "test must have class folders, as train has",
        partial(move_out, "test"),
        [12, 4, 4],
    ),
    "a folder in a folder": (
        {"photos/cat": 10, "photos/dog": 10, "__MACOSX/photos": 1},
        "Received: one folder, photos",
        pass_source,
        [12, 4, 4],
    ),
    "splits in a folder": (
        {f"photos/{name}": number for name, number in SPLITS.items()},
        "Received: one folder, photos",
        pass_source,
        [8, 4, 2],
    ),
    "splits beside something else": (
        {**{f"images/{name}": number for name, number in SPLITS.items()}, "labels": 0},
        "must have the folders of splits itself. Received: test in images",
        pass_source,
        [8, 4, 2],
    ),
    "splits of other names": (
        {**pair("seg_train"), **pair("seg_test", 1)},
        "classes are not nested.*If seg_t.* is a split, rename it: train, validation",
        lambda root, message: [move(root, f"seg_{name}", name) for name in ("train", "test")],
        [6, 2, 2],
    ),
    "another class in test": (
        {**SPLITS, "test/Cat": 1},
        "differ in more than case.*Received: Cat and cat",
        lambda root, message: (
            move(root, "test/Cat/00.png", "test/cat/01.png") or (root / "test" / "Cat").rmdir()
        ),
        [8, 4, 3],
    ),
    "another spelling in test": (
        {**pair("train"), "val/cat": 2, "val/Dog": 2, "test/cat": 1},
        "no classes that train does not have. Received: Dog. If it is dog, rename it",
        partial(rename, "val/Dog", "val/dog"),
        [8, 4, 1],
    ),
    "an unknown class in test": (
        {**SPLITS, "test/emu": 1},
        "no classes that train does not have. Received: emu. Add images of it to .*/train",
        partial(add_images, "train/emu", 3),
        [11, 4, 3],
    ),
    "one of a class": (
        {"cat": 10, "dog": 1},
        "at least 3 training images of each class.*Received: 1 of dog. Add images of them",
        partial(add_images, "dog", 10),
        [12, 4, 4],
    ),
    "two of a class": (
        {"cat": 10, "dog": 2},
        "Received: 2 of dog. .*pass --validation-fraction 0 to",
        partial(pass_options, validation_fraction=0.0),
        [9, 0, 3],
    ),
    "one of a class with its own test": (
        {"train/cat": 10, "train/dog": 1, **pair("test", 1)},
        "at least 2 training images.*Received: 1 of dog",
        partial(pass_options, validation_fraction=0.0),
        [11, 0, 2],
    ),
    "one class": (
        {"cat": 10},
        "at least two class folders. Received: cat. Put the images into one folder per class",
        partial(add_images, "dog", 10),
        [12, 4, 4],
    ),
    "no classes": (
        {".": 5},
        "at least two class folders. Received: none",
        lambda root, message: (
            write(root, {"cat": 10, "dog": 10}) or [file.unlink() for file in root.glob("*.png")]
        ),
        [12, 4, 4],
    ),
    "an empty class": (
        {"cat": 10, "dog": 10, "emu": 0},
        "emu must have images that can be decoded. Received: none. Add some, or remove the folder",
        lambda root, message: (root / "emu").rmdir(),
        [12, 4, 4],
    ),
    "an image in no class": (
        {"cat": 10, "dog": 10, "stray.jpg": JPEG},
        "(?s)stray.jpg: it is in no class",
        SKIP,
        [12, 4, 4],
    ),
    "an archive beside the classes": (
        {"cat": 10, "dog": 10, "more.zip": b"PK"},
        "(?s)more.zip: it is in no class",
        partial(move_out, "more.zip"),
        [12, 4, 4],
    ),
    "a text in a class": (
        {"cat": 10, "dog": 10, "dog/notes.txt": b"x"},
        "(?s)notes.txt: its name does not end in .jpg",
        SKIP,
        [12, 4, 4],
    ),
    "an image of no bytes": (
        {"cat": 10, "dog": 10, "dog/a.png": b""},
        "(?s)a.png: it is empty",
        SKIP,
        [12, 4, 4],
    ),
    "a folder in a class": (
        {"cat": 5, "cat/kittens": 5, "dog": 10},
        "cat must not have folders, since classes are not nested. Received: kittens",
        nest,
        [12, 4, 4],
    ),
    "12 bits in 16": (
        {**{f"cat/{i}.png": SCAN for i in range(5)}, **{f"dog/{i}.PNG": SCAN for i in range(5)}},
        "0 to 65535 with 16 bits.*Received: 10 images of 16 bits with values up to 40.., which",
        run_command,
        [6, 2, 2],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_folders_that_are_refused(name, tmp_path):
    files, message, follow, expected = REFUSED[name]
    root = tmp_path / "data"
    write(root, files)
    with pytest.raises(UserError, match=message) as refused:
        load(root)
    changes = follow(root, str(refused.value))
    source = load(root, **(changes if isinstance(changes, dict) else {}))
    assert counts(source) == expected


def test_broken_links_can_be_skipped(tmp_path):
    write(tmp_path, {"cat": 10, "dog": 10})
    (tmp_path / "dog" / "a.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "emu").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="(?s)emu: it is in no class.*No such file or directory"):
        load(tmp_path)
    source = load(tmp_path, on_bad_image="skip")
    assert counts(source) == [12, 4, 4] and len(source.skipped) == 2


IMAGES = RNG.integers(0, 256, (20, 6, 5, 3)).astype("uint8")
LABELS = np.arange(20) % 2


def arrays_of(names, number=(20, 4, 4)):
    """Return the arrays of three splits by the names of images and of labels."""
    return {
        key: values[:count]
        for (images, labels), count in zip(names, number, strict=False)
        for key, values in ((images, IMAGES), (labels, LABELS))
    }


READ_ARRAYS = {
    "keras.datasets": arrays_of([("x_train", "y_train"), ("x_val", "y_val"), ("x_test", "y_test")]),
    "MedMNIST": arrays_of(
        [
            ("train_images", "train_labels"),
            ("val_images", "val_labels"),
            ("test_images", "test_labels"),
        ]
    ),
    "capitals": arrays_of([("X_train", "Y_train"), ("X_dev", "y_dev"), ("X_TEST", "y_TEST")]),
    "trainX": arrays_of([("trainX", "trainY"), ("validX", "validY"), ("testX", "testY")]),
    "x and y": arrays_of([("x", "y"), ("x_validation", "y_validation"), ("x_test", "y_test")]),
}


def save(tmp_path, arrays):
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    return f"arrays:{path}"


def load_arrays(tmp_path, arrays, **fields):
    return load_source(Data(source=save(tmp_path, arrays), **{**DEFAULT, **fields}))


@pytest.mark.parametrize("name", READ_ARRAYS)
def test_arrays_that_are_read(name, tmp_path):
    assert counts(load_arrays(tmp_path, READ_ARRAYS[name])) == [20, 4, 4]


@pytest.mark.parametrize(
    "change",
    [
        {"y": LABELS[:, None].astype("uint8")},
        {"y": LABELS.astype(bool)},
        {"y": LABELS.astype("uint64")},
        {"x": IMAGES[..., 0]},
        {"x": IMAGES[..., :1]},
        {"classes": np.array([b"th\xc3\xa9", b"caf\xe9"])},
        {"y_test": np.zeros(4, int), "x_test": IMAGES[:4]},  # one class
    ],
    ids=lambda change: "-".join(change),
)
def test_arrays_of_other_forms_that_are_read(change, tmp_path):
    source = load_arrays(tmp_path, {"x": IMAGES, "y": LABELS, **change})
    assert counts(source) == [12 if "y_test" not in change else 16, 4, 4]
    assert len(source.class_names) == 2


def code_in(message):
    """Return the statement in a message; "Save `EXPRESSION` as NAME" assigns."""
    if expression := re.search(r"Save `(.+?)` as (\w+)", message):
        return f"{expression[2]} = {expression[1]}"
    return re.search("`(.+?)`", message)[1]


LIGHT = IMAGES.astype("float32")
REFUSED_ARRAYS = {
    "0 to 1": {"x_train": LIGHT / 255},
    "-1 to 1": {"x_train": LIGHT / 127.5 - 1},
    "0 to 255 as floats": {"x_train": LIGHT},
    "normalized": {"x_train": (LIGHT - LIGHT.mean()) / LIGHT.std()},
    "int64": {"x_train": IMAGES.astype("int64")},
    "16 bits": {"x_train": IMAGES.astype("uint16") * 257},
    "12 bits": {"x_train": IMAGES.astype("uint16") * 16},
    "12 bits as floats": {"x_train": LIGHT * 16},
    "bool": {"x_train": IMAGES > 127},
    "0 to 16": {"x_train": IMAGES // 15},
    "0 and 1": {"x_train": (IMAGES > 127).astype("uint8")},
    "NCHW": {"x_train": IMAGES.transpose(0, 3, 1, 2)},
    "NCHW from 0 to 1": {"x_train": LIGHT.transpose(0, 3, 1, 2) / 255},
    "HWCN": {"x_train": IMAGES.transpose(1, 2, 3, 0)},
    "RGBA": {"x_train": np.concatenate([IMAGES, IMAGES[..., :1]], axis=-1)},
    "flat": {"x_train": IMAGES[:, :5, :, 0].reshape(20, 25)},
    "objects": {"x_train": np.array([*IMAGES, None], object)[:-1]},
    "one-hot": {"y_train": np.eye(2)[LABELS]},
    "labels as floats": {"y_train": LABELS.astype("float32")},
    "labels as strings": {"y_train": np.array(["cat", "dog"])[LABELS]},
    "labels as objects": {"y_train": np.array(["cat", "dog"], object)[LABELS]},
    "labels from 1": {"y_train": LABELS + 1},
    "labels from 1 and names": {"y_train": LABELS + 1, "class_names": np.array(["cat", "dog"])},
    "labels with a gap": {"y_train": LABELS * 7},
    "a huge label": {"y_train": np.where(LABELS, 10**9, 0)},
    "a label of 2**62": {"y_train": np.where(LABELS, 2**62, 0)},
    "a label of 2**64 - 1": {"y_train": np.where(LABELS, np.uint64(2**64 - 1), np.uint64(0))},
    "a label of -1": {"y_train": LABELS - 1},
}


@pytest.mark.parametrize("name", REFUSED_ARRAYS)
def test_arrays_that_are_refused(name, tmp_path):
    arrays = {"x_train": IMAGES, "y_train": LABELS, **REFUSED_ARRAYS[name]}
    for _ in range(3):  # an array of objects is then one of strings
        with pytest.raises(UserError) as refused:
            load_arrays(tmp_path, arrays)
        assert "set.npz must contain" in str(refused.value)
        exec(code_in(str(refused.value)), {"np": np}, arrays)
        try:
            source = load_arrays(tmp_path, arrays)
            break
        except UserError:
            assert "objects" in name
    assert counts(source) == [12, 4, 4]
    assert len(source.class_names) == 2
    pixels = arrays["x_train"].astype(int)
    original = IMAGES[:, :5, :, 0].reshape(20, 5, 5) if name == "flat" else IMAGES
    lossy = {"bool": 255, "0 and 1": 255, "0 to 16": 20, "normalized": 1}.get(name, 1)
    assert np.abs(pixels - original).max() <= lossy


@pytest.mark.parametrize(
    "change, message, fix",
    [
        ({"extra": LABELS}, "Received: extra. Leave extra out", {"extra": None}),
        ({"arr_0": LABELS}, "Received: arr_0. Leave arr_0 out", {"arr_0": None}),
        ({"x_unlabeled": IMAGES}, "Received: x_unlabeled. Leave", {"x_unlabeled": None}),
        ({"X_train": IMAGES}, "Received: x_train and X_train, which", {"X_train": None}),
        ({"y_train": None}, "labels of the train split beside x_train", {"y_train": LABELS}),
        ({"x_test": IMAGES}, "labels of the test split beside x_test", {"x_test": None}),
        ({"y_train": LABELS[:9]}, "20 integers as y_train", {"y_train": LABELS}),
        ({"class_names": np.array("cat")}, "as one list", {"class_names": ["cat", "dog"]}),
        (
            {"class_names": ["a", "a"]},
            "names that differ. Received: a",
            {"class_names": ["a", "b"]},
        ),
        ({"class_names": ["cat"]}, "label of 1 in y_train, and 1", {"class_names": ["cat", "dog"]}),
        ({"x_train": IMAGES * np.nan}, "from nan to nan", {"x_train": IMAGES}),
        ({"x_train": IMAGES * 0}, "from 0 to 0. Save such", {"x_train": IMAGES}),
        ({"y_train": np.repeat([0, 1], [19, 1])}, "Received: 1 of 1. Add", {"y_train": LABELS}),
        ({"y_train": LABELS * 0}, "at least two classes.*Received: 0.", {"y_train": LABELS}),
        ({"y_train": LABELS + 0.5}, "integers as y_train", {"y_train": LABELS}),
        ({"y_train": np.ones((20, 2))}, "Save one class for each", {"y_train": LABELS}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_other_arrays_that_are_refused(change, message, fix, tmp_path):
    arrays = {"x_train": IMAGES, "y_train": LABELS}

    def changed(*changes):
        merged = arrays | {k: v for change in changes for k, v in change.items()}
        return {name: array for name, array in merged.items() if array is not None}

    with pytest.raises(UserError, match=message):
        load_arrays(tmp_path, changed(change))
    assert counts(load_arrays(tmp_path, changed(change, fix))) == [12, 4, 4]


def test_every_name_of_a_path_in_a_message_exists(tmp_path):
    """What to move is named in full, so that it can be copied into a shell."""
    write(tmp_path, {**SPLITS, **pair("holdout")})
    with pytest.raises(UserError) as refused:
        load(tmp_path)
    paths = re.findall(rf"{tmp_path}[^\s,;.]*", str(refused.value))
    assert paths and all(Path(path).exists() for path in paths)


def test_no_examples(tmp_path):
    """They are refused where they are needed, in training."""
    source = load_arrays(tmp_path, {"x": IMAGES[:0], "y": LABELS[:0]})
    assert counts(source) == [0, 0, 0]
