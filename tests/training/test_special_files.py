"""Each reader of the application refuses FIFOs, devices and folders, and does not wait for them."""

import signal

import numpy as np
import pytest
import tensorflow as tf

from tests.support.special_files import SPECIAL, make_special
from training.cli.model_options import read_class_names
from training.config import Data
from training.data import cache, image_files
from training.data.decode import Encoded, read_image
from training.data.source import Source
from training.data.sources import arrays
from training.data.splits import IndexedSplit
from training.errors import UserError
from training.keras_file import open_model
from training.model_argument import parse
from training.run.checkpoint_file import CorruptCheckpointError, read_checkpoint_file
from training.run.folder import RunFolder

pytestmark = pytest.mark.backend("torch")  # files are read

READERS = {
    "image": lambda path: read_image(path, 3),
    "arrays": lambda path: arrays.load(Data(source=f"arrays:{path}")),
    "class names": read_class_names,
    "configuration": lambda path: RunFolder(path.parent).read_config(),
    "summary": lambda path: RunFolder(path.parent).read_summary(),
    "checkpoint": read_checkpoint_file,
    "model": open_model,
}
NAMES = {"configuration": "config.json", "summary": "summary.json", "model": "model.keras"}


@pytest.fixture(autouse=True)
def patience():
    """End a reader that waits for a FIFO."""

    def end(*_):
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_refuses_it(reader, kind, tmp_path):
    path = make_special(kind, tmp_path / NAMES.get(reader, "file"))
    with pytest.raises(
        (UserError, OSError, CorruptCheckpointError),
        match=f"not a regular file but {SPECIAL[kind]}",
    ):
        READERS[reader](path)


@pytest.mark.parametrize("kind", SPECIAL)
def test_it_is_a_bad_image_of_a_folder(kind, tmp_path):
    path = make_special(kind, tmp_path / "file.png")
    (finding,) = image_files.inspect_files([path], tmp_path)
    assert finding.fault == f"it cannot be opened: not a regular file but {SPECIAL[kind]}"


@pytest.mark.parametrize("kind", SPECIAL)
def test_it_is_no_cache_of_findings(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    path = image_files._FindingsCache(tmp_path).path
    path.parent.mkdir(parents=True)
    make_special(kind, path)
    assert image_files._FindingsCache(tmp_path).entries == {}


def test_it_is_no_index_of_a_cache(tmp_path):
    data = Data(source="images", cache_dir=str(tmp_path), cache="disk")
    image = Encoded(tf.constant(b"?"), tf.constant(1))
    split = IndexedSplit(np.zeros(1, int), lambda _: image)
    source = Source(("a",), 3, train=split, validation=split, test=split)
    cache.cached(source, data)
    for index in tmp_path.rglob(cache.INDEX):
        index.unlink()
        make_special("FIFO", index)
    with pytest.raises(UserError, match="--cache-dir .*: not a regular file but a FIFO"):
        cache.cached(source, data)


@pytest.mark.parametrize("kind", ["FIFO", "device"])
def test_it_is_a_file_to_parse(kind, tmp_path):
    path = make_special(kind, tmp_path / "model.keras")
    assert parse(str(path)).path == path
    with pytest.raises(UserError, match="a file. Name the constructor of its weights"):
        parse(str(make_special(kind, tmp_path / "other")))


def test_the_lock_of_a_run_is_no_fifo_and_no_link(tmp_path):
    make_special("FIFO", tmp_path / ".lock")
    with pytest.raises(UserError, match="--run-dir must be writable"), RunFolder(tmp_path).lock():
        pass
    other = tmp_path / "other"
    other.write_text("kept")
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").symlink_to(other)
    with pytest.raises(UserError, match="--run-dir must be writable"), RunFolder(tmp_path).lock():
        pass
    assert other.read_text() == "kept"


@pytest.mark.parametrize("kind", ["FIFO", "link"])
def test_a_draft_of_a_run_is_replaced_and_not_followed(kind, tmp_path):
    other = tmp_path / "other"
    other.write_text("kept")
    draft = tmp_path / "class_names.draft"
    make_special(kind, draft) if kind == "FIFO" else draft.symlink_to(other)
    folder = RunFolder(tmp_path)
    folder.write_class_names(["a"])
    assert folder.read_class_names() == ["a"] and not draft.exists()
    assert other.read_text() == "kept"
