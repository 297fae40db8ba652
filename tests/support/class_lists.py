"""Class lists of the published form and length, with made-up content."""

import hashlib
import json

from keras_mixer import labels

INDEX = {str(i): [f"n{i:08}", f"thing_{i}"] for i in range(1000)}
# The lists of synsets differ in their order, so that one in place of the other is noticed.
SYNSETS = {21843: [f"n{i:08}" for i in range(21843)], 11221: [f"n{2 * i:08}" for i in range(11221)]}
LEMMAS = {f"n{i:08}": f"big thing {i}, Thing {i}, it" for i in range(22442)}

FILES = {
    "/download.tensorflow.org/data/imagenet_class_index.json": json.dumps(INDEX),
    "imagenet21k_goog_synsets.txt": "".join(f"{synset}\n" for synset in SYNSETS[21843]),
    "imagenet21k_miil_synsets.txt": "".join(f"{synset}\n" for synset in SYNSETS[11221]),
    "imagenet_synset_to_lemma.txt": "".join(f"{key}\t{text}\n" for key, text in LEMMAS.items()),
}
FOLDER = (
    "/huggingface/pytorch-image-models/a10ed118c94d767ca9c2e1eaaa177fe993c1216d/timm/data/_info/"
)


def serve_class_lists(server, monkeypatch, files=FILES):
    """Serve the lists from a `Loopback`, and let the library expect their digests."""
    for path, text in files.items():
        content = text.encode()
        server.serve(path if path.startswith("/") else FOLDER + path, content)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        monkeypatch.setitem(labels.DIGESTS, path.split("/")[-1], digest)
