"""Inspection of image files before training: faults and EXIF orientations.

Every file is decoded once before the first step, with the decoder of training, so that a corrupt
file is reported by name at the start and does not stop a run later.
"""

import contextlib
import hashlib
import json
import os
import uuid
import warnings
from multiprocessing.pool import ThreadPool
from typing import NamedTuple

import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from keras_mixer.files import read_bytes
from keras_mixer.weights.cache import cached_path
from training.data.brightness import find_peak
from training.data.decode import (
    UPRIGHT,
    DecodeError,
    decode_contents,
    read_contents,
)
from training.data.image_suffixes import SUFFIXES

LARGEST_CACHE_BYTES = 2**31  # about 100 for each of the files of a folder
LISTED_FAULTS = 10  # in a message; skipped_images.txt of a run lists all
VERSION = [3, tf.__version__]  # of the cache; TensorFlow versions differ in the files they decode


class Finding(NamedTuple):
    """What is found in a file."""

    fault: str | None  # None if it can be decoded
    orientation: int = UPRIGHT  # of EXIF, 1 to 8
    peak: int = 0  # largest value of all pixels
    full: int = 255  # largest value that the file can hold: 65535 with 16 bits


def inspect_files(paths, root):
    """Return a `Finding` for each path, with a progress bar.

    Findings are cached in the Keras folder, so that a file is decoded again only if its size or
    change time differs.

    Args:
        paths: Paths of files below `root`.
        root: Folder of the dataset.
    """
    cache = _FindingsCache(root)
    findings = {path: cache.get(path) for path in paths}
    unknown = [path for path, finding in findings.items() if finding is None]
    if unknown:
        try:
            with ThreadPool() as pool, warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                results = pool.imap(_inspect_with_stamp, unknown, chunksize=16)
                progress = tqdm(results, "checking images", len(unknown), unit="file")
                for path, (finding, stamp) in zip(unknown, progress, strict=True):
                    findings[path] = finding
                    cache.put(path, finding, stamp)
        finally:
            cache.save()  # even after an interruption
    return list(findings.values())


def list_faults(faults):
    """Return the first faults and the number of the others, on lines of their own."""
    lines = list(faults[:LISTED_FAULTS])
    if more := len(faults) - len(lines):
        lines.append(f"and {more} more")
    return "".join(f"\n  {line}" for line in lines)


def _inspect_with_stamp(path):
    """Return a finding and the stamp of the file; no stamp for errors that may be temporary."""
    stamp = _stamp(path)
    try:
        return _inspect(path), stamp
    except OSError as error:  # for example from a network file system
        return Finding(f"it cannot be opened: {error.strerror}"), None


def _stamp(path):
    try:
        status = path.stat()
    except OSError:  # a broken link
        return None
    return [status.st_size, status.st_ctime_ns]


def _inspect(path):
    if path.suffix.lower() not in SUFFIXES:
        return Finding(f"its name does not end in {', '.join(SUFFIXES)}")
    try:
        contents = read_contents(path)
        pixels, orientation = decode_contents(contents)
    except DecodeError as error:
        return Finding(str(error))
    return Finding(None, orientation, *find_peak(contents, pixels))


class _FindingsCache:
    """Findings of earlier runs for the files below a folder, with their sizes and times."""

    def __init__(self, root):
        self.root = root
        name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
        self.path = cached_path(f"datasets/keras_mixer/{name}.json")
        self.entries = {}
        # Start with an empty cache if the file is missing or corrupt.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            contents = json.loads(read_bytes(self.path, LARGEST_CACHE_BYTES))
            if contents["version"] == VERSION:
                self.entries = dict(contents["entries"])
        self.has_changed = False

    def get(self, path):
        entry = self.entries.get(self._key(path))
        stamp = _stamp(path)
        if not stamp or not isinstance(entry, list) or entry[:1] != [stamp]:
            return None
        fault, *numbers = entry[1:] or [None]
        is_valid = isinstance(fault, str | None) and [type(n) for n in numbers] == [int] * 3
        return Finding(fault, *numbers) if is_valid and numbers[0] in range(1, 9) else None

    def put(self, path, finding, stamp):
        if stamp is not None:
            self.entries[self._key(path)] = [stamp, *finding]
            self.has_changed = True

    def save(self):
        """Replace the cache file atomically; skip caching if the folder is not writable."""
        if not self.has_changed:
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
