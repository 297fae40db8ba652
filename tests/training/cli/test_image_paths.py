"""The image files that arguments name."""

import io
import sys
from pathlib import Path

import pytest

from training.cli.image_paths import SUFFIXES, find_image_files
from training.data import image_files
from training.errors import UserError

pytestmark = pytest.mark.backend("torch")  # no backend is involved

IMAGES = ("b.jpg", "a/z.PNG", "a/deep/c.jpeg", "a/deep/d.webp", "x.gif", "y.bmp")
LITTER = (".hidden.jpg", "a/.cache/e.jpg", "@eaDir/f.jpg", "a/notes.txt", "a/deep/g.tif", "h")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with images, and what is left out, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in (*IMAGES, *LITTER):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Path("photos")


@pytest.fixture
def standard_input(monkeypatch):
    """Return a function that sets the contents of standard input."""

    def contain(contents):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(contents)))

    return contain


def names(*arguments):
    return [path.as_posix() for path in find_image_files(arguments)]


def test_suffixes_are_those_of_training():
    assert SUFFIXES == image_files.SUFFIXES


def test_a_folder_stands_for_its_images_and_those_of_its_subfolders(photos):
    assert find_image_files(["photos"]) == sorted(photos / name for name in IMAGES)
    assert names("./photos/a/") == [
        "photos/a/deep/c.jpeg",
        "photos/a/deep/d.webp",
        "photos/a/z.PNG",
    ]


def test_links_to_files_are_followed_and_those_to_folders_are_not(photos):
    (photos / "a/link.jpg").symlink_to(photos.resolve() / "b.jpg")
    (photos / "a/loop").symlink_to(photos.resolve())
    found = names("photos/a")
    assert "photos/a/link.jpg" in found and len(found) == 4
    (photos.parent / "other").symlink_to(photos)
    assert len(names("other")) == len(IMAGES) + 1  # what is named itself may be a link


@pytest.mark.parametrize(
    "pattern, expected",
    [
        ("photos/*.jpg", ["photos/b.jpg"]),
        ("photos/[xy].*", ["photos/x.gif", "photos/y.bmp"]),
        ("photos/**/*.jp*g", ["photos/a/deep/c.jpeg", "photos/b.jpg"]),
        ("photos/**", sorted(f"photos/{name}" for name in IMAGES)),
        ("./photos/@eaDir/*.jpg", ["photos/@eaDir/f.jpg"]),  # named itself
    ],
)
def test_patterns_that_the_shell_did_not_expand(photos, pattern, expected):
    assert sorted(names(pattern)) == sorted(expected)
    assert find_image_files([pattern]) == sorted(find_image_files([pattern]))


def test_a_file_whose_name_looks_like_a_pattern(photos):
    (photos / "[b].jpg").touch()
    assert names("photos/[b].jpg") == ["photos/[b].jpg"]


def test_the_order_is_that_of_the_arguments_and_files_may_have_any_name(photos):
    arguments = ["photos/y.bmp", "photos/a/deep", "photos/h", "photos/y.bmp", "photos/missing.jpg"]
    assert names(*arguments) == [
        "photos/y.bmp",
        "photos/a/deep/c.jpeg",
        "photos/a/deep/d.webp",
        "photos/h",
        "photos/y.bmp",
        "photos/missing.jpg",
    ]


@pytest.mark.parametrize("separator, end", [(b"\n", b""), (b"\r\n", b"\r\n\r\n"), (b"\0", b"\0")])
def test_a_list_on_standard_input(photos, standard_input, separator, end):
    listed = [b"photos/b.jpg", b"photos/a/deep", b"photos/*.jpg"]
    standard_input(separator.join(listed) + end)
    assert names("photos/x.gif", "-", "photos/y.bmp") == [
        "photos/x.gif",
        "photos/b.jpg",
        "photos/a/deep/c.jpeg",
        "photos/a/deep/d.webp",
        "photos/*.jpg",  # lists have no patterns
        "photos/y.bmp",
    ]


def test_names_between_nul_may_have_any_character(photos, standard_input):
    name = b"photos/two\nlines \xff.jpg"
    standard_input(name + b"\0photos/b.jpg")
    first, second = find_image_files(["-"])
    assert bytes(first) == name and second == photos / "b.jpg"


@pytest.mark.parametrize(
    "argument, contents, expected",
    [
        ("https://example.org/a.jpg", b"", "https://example.org/a.jpg. Download it, as with `curl"),
        ("s3://bucket/a.jpg", b"", "s3://bucket/a.jpg. Copy the file to this computer"),
        ("file:///photos/a.jpg", b"", "Pass /photos/a.jpg."),
        ("-", b"http://example.org/a.jpg\n", "nothing is downloaded"),
        ("-", b"\n\n", "Received: none. Pass the images as arguments"),
        ("", b"", "an empty argument. Leave it out"),
        ("empty", b"", "Received: empty, in which no name ends in .jpg, .jpeg"),
        ("photos/*.tif", b"", "Received: photos/*.tif, which matches nothing"),
        ("photos/**/*.tif", b"", "which matches 1 paths, and no file that ends in .jpg"),
        ("phtos", b"", "Received: phtos, which does not. Check the path"),
    ],
)
def test_what_names_no_image_is_refused(photos, standard_input, argument, contents, expected):
    Path("empty").mkdir()
    standard_input(contents)
    with pytest.raises(UserError, match=r"^IMAGE\.\.\. ") as error:
        find_image_files([argument])
    assert expected in str(error.value)


def test_a_folder_that_cannot_be_read_is_named(photos, monkeypatch):
    """Its images would be missing from the results without a word."""
    import os

    scandir = os.scandir

    def denied(path):
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(UserError, match="photos/a/deep: Permission denied"):
        find_image_files(["photos"])
