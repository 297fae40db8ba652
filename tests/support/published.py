"""Stand-ins for the published files: real names, shapes and sizes, made-up content."""

import functools
import io
import json
import zipfile
from urllib.parse import urlsplit

import numpy as np
import safetensors.numpy

from keras_mixer.weights.catalog import CATALOG
from keras_mixer.weights.layouts import TIMM
from keras_mixer.weights.transfer import MIRROR_VARIABLE
from tests.support.class_lists import FILES, INDEX, serve_class_lists
from tests.support.layouts import in_layout
from tests.support.loopback import Answer
from tests.support.models import architecture_of

CLASS_INDEX = "/download.tensorflow.org/data/imagenet_class_index.json"


def serve_everything(server, monkeypatch, cache):
    """Serve everything that is published from a `Loopback`; it is cached in the folder `cache`."""
    monkeypatch.setenv("KERAS_HOME", str(cache))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(MIRROR_VARIABLE, server.url)
    for row in CATALOG:
        content = functools.partial(weight_file, row)
        server.serve(urlsplit(row.url).path, Answer(content))
    first = {"0": ["n01440764", "tench"]}  # which an example shows
    serve_class_lists(server, monkeypatch, FILES | {CLASS_INDEX: json.dumps(INDEX | first)})


def weight_shapes(row):
    """Return `{published name: shape}` of the arrays of a row of the catalog."""
    return architecture_of(row.size, classes=row.classes).shapes()


def weight_file(row, arrays=None):
    """Return a file of weights in the format of a row of the catalog, and of its size.

    The weights are random unless `arrays` are given, by their published names.
    """
    if arrays is None:
        noise = 0.02 * np.random.default_rng(0).standard_normal(2**20, dtype="float32")
        arrays = {name: np.resize(noise, shape) for name, shape in weight_shapes(row).items()}
    if row.url.endswith(".safetensors"):
        return safetensors.numpy.save(in_layout(TIMM, arrays))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            zip64 = row.name in ("sam", "gsam")  # written by a later NumPy
            with archive.open(f"{name}.npy", "w", force_zip64=zip64) as entry:
                np.lib.format.write_array(entry, array)
    return file.getvalue()
