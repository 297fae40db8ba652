"""Stand-ins for the published files: real names, shapes and sizes, made-up content."""

import functools
import hashlib
import io
import json
import zipfile
from urllib.parse import urlsplit

import numpy as np
import safetensors.numpy

from keras_mixer import labels
from keras_mixer.weights.catalog import CATALOG
from keras_mixer.weights.download import MIRROR_VARIABLE
from keras_mixer.weights.layouts import TIMM
from tests.support.loopback import Answer
from tests.support.models import architecture_of, in_layout

CLASS_INDEX = "/download.tensorflow.org/data/imagenet_class_index.json"
INDEX = {str(i): [f"n{i:08}", f"thing_{i}"] for i in range(1000)}
# The two lists differ in their order, so that neither can stand in for the other.
SYNSETS = {21843: [f"n{i:08}" for i in range(21843)], 11221: [f"n{2 * i:08}" for i in range(11221)]}
LEMMAS = {f"n{i:08}": f"big thing {i}, Thing {i}, it" for i in range(22442)}

LABEL_FILES = {
    CLASS_INDEX: json.dumps(INDEX),
    "imagenet21k_goog_synsets.txt": "".join(f"{synset}\n" for synset in SYNSETS[21843]),
    "imagenet21k_miil_synsets.txt": "".join(f"{synset}\n" for synset in SYNSETS[11221]),
    "imagenet_synset_to_lemma.txt": "".join(f"{key}\t{text}\n" for key, text in LEMMAS.items()),
}
LABEL_FOLDER = (
    "/huggingface/pytorch-image-models/a10ed118c94d767ca9c2e1eaaa177fe993c1216d/timm/data/_info/"
)


def serve_everything(server, monkeypatch, cache):
    """Serve everything that is published from a `Loopback`; it is cached in the folder `cache`."""
    monkeypatch.setenv("KERAS_HOME", str(cache))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(MIRROR_VARIABLE, server.url)
    for row in CATALOG:
        content = functools.partial(weight_file, row)
        server.serve(urlsplit(row.url).path, Answer(content))
    first = {"0": ["n01440764", "tench"]}  # which an example shows
    serve_labels(server, monkeypatch, {CLASS_INDEX: json.dumps(INDEX | first)})


def serve_labels(server, monkeypatch, changes=None):
    """Serve the lists of class names, with `changes` to some of the files."""
    for path, text in (LABEL_FILES | (changes or {})).items():
        content = text.encode()
        server.serve(path if path.startswith("/") else LABEL_FOLDER + path, content)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        monkeypatch.setitem(labels.DIGESTS, path.split("/")[-1], digest)


def weight_file(row):
    """Return a file of random weights in the format of a row of the catalog, and of its size."""
    shapes = architecture_of(row.size, classes=row.classes).shapes()
    noise = 0.02 * np.random.default_rng(0).standard_normal(2**20, dtype="float32")
    arrays = {name: np.resize(noise, shape) for name, shape in shapes.items()}
    if row.url.endswith(".safetensors"):
        return safetensors.numpy.save(in_layout(TIMM, arrays))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            zip64 = row.name in ("sam", "gsam")  # written by a later NumPy
            with archive.open(f"{name}.npy", "w", force_zip64=zip64) as entry:
                np.lib.format.write_array(entry, array)
    return file.getvalue()
