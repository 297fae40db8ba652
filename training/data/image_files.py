"""Files of images: which can be read, and how their pixels lie.

Every file is decoded once before the first step, by the very operation that training uses, so
that a damaged one is found here, with its name, and not in the middle of a run.
"""

import contextlib
import hashlib
import io
import json
import os
import uuid
import warnings
from multiprocessing.pool import ThreadPool
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from keras_mixer.weights.download import cached_path
from training.data.splits import UPRIGHT

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
EXIF_ORIENTATION = 0x0112
VERSION = [1, tf.__version__]  # of the memory: what can be read may change with TensorFlow


class Finding(NamedTuple):
    """What is wrong with a file, None if nothing, and its orientation, 1 to 8 as EXIF counts."""

    fault: str | None
    orientation: int = UPRIGHT


def examine(paths, root):
    """Return a `Finding` for each path, with a progress bar.

    What was found is remembered in Keras's folder, so that a file is decoded again only if its
    size or its time has changed.

    Args:
        paths: Paths of files below `root`.
        root: Folder of the set.
    """
    memory = _Memory(root)
    findings = {path: memory.recall(path) for path in paths}
    unknown = [path for path, finding in findings.items() if finding is None]
    if unknown:
        try:
            with ThreadPool() as pool, warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                results = pool.imap(_examine, unknown, chunksize=16)
                progress = tqdm(results, "checking images", len(unknown), unit="file")
                for path, (finding, stamp) in zip(unknown, progress, strict=True):
                    findings[path] = finding
                    memory.keep(path, finding, stamp)
        finally:
            memory.write()  # what is known so far
    return list(findings.values())


def _examine(path):
    """Return a finding, and the stamp of the file that it holds for; None if it may not last."""
    stamp = _stamp(path)
    try:
        return _look_at(path), stamp
    except OSError as error:  # such as of a network's disk
        return Finding(f"it cannot be opened: {error.strerror}"), None


def _stamp(path):
    try:
        status = path.stat()
    except OSError:  # a link to nothing
        return None
    return [status.st_size, status.st_ctime_ns]


def _look_at(path):
    if path.suffix.lower() not in SUFFIXES:
        return Finding(f"it is none of {', '.join(SUFFIXES)}")
    encoded = path.read_bytes()
    if not encoded:
        return Finding("it is empty")
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            kind, orientation = image.format, _orientation(image)
            reference = np.asarray(image.convert("RGB")) if kind == "BMP" else None
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many kinds for what it cannot read
        return Finding(f"it is not an image that can be read: {_first_line(error)}")
    try:
        with tf.device("CPU"):
            pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    except tf.errors.OpError as error:
        return Finding(f"its {kind} data are damaged or of an unknown kind: {_first_line(error)}")
    # TensorFlow takes the indices of a BMP's palette for grey levels.
    if reference is not None and not np.array_equal(reference, pixels):
        return Finding("it is a BMP with a palette, or of another kind that TensorFlow misreads")
    return Finding(None, orientation)


def _orientation(image):
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, UPRIGHT)
    except Exception:  # EXIF data are often damaged in images that are not
        return UPRIGHT
    return orientation if orientation in range(1, 9) else UPRIGHT


class _Memory:
    """The findings of earlier runs for the files below a folder, with their sizes and times."""

    def __init__(self, root):
        self.root = root
        name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
        self.path = cached_path(f"datasets/keras_mixer/{name}.json")
        self.entries = {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
            memory = json.loads(self.path.read_text())
            if memory["version"] == VERSION:
                self.entries = dict(memory["entries"])
        self.has_news = False

    def recall(self, path):
        entry = self.entries.get(self._key(path))
        stamp = _stamp(path)
        return Finding(*entry[1:]) if entry and stamp and entry[0] == stamp else None

    def keep(self, path, finding, stamp):
        if stamp is not None:
            self.entries[self._key(path)] = [stamp, *finding]
            self.has_news = True

    def write(self):
        """Write what is new, whole or not at all; a folder that cannot be written is no fault."""
        if not self.has_news:
            return
        draft = self.path.with_suffix(f".{uuid.uuid4().hex}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({"version": VERSION, "entries": self.entries}))
            draft.replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink()

    def _key(self, path):
        return str(path.relative_to(self.root))


def _first_line(error):
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    text = text.partition("}} ")[2] or text  # without the name of TensorFlow's node
    return text.partition(" [Op:")[0]
