"""Names of the classes that the published weights predict."""

import functools
import json

import keras
import numpy as np

from keras_mixer.files import read_text
from keras_mixer.validation import check_positive_int
from keras_mixer.weights.download import fetch

IMAGENET = "imagenet_class_index.json"
IMAGENET_URL = f"https://storage.googleapis.com/download.tensorflow.org/data/{IMAGENET}"

# WordNet synsets in the order of the classes, and the words of each synset.
SYNSETS = {21843: "imagenet21k_goog_synsets.txt", 11221: "imagenet21k_miil_synsets.txt"}
LEMMAS = "imagenet_synset_to_lemma.txt"
SYNSETS_URL = (
    "https://raw.githubusercontent.com/huggingface/pytorch-image-models/"
    "a10ed118c94d767ca9c2e1eaaa177fe993c1216d/timm/data/_info/"
)

DIGESTS = {
    IMAGENET: "md5:c2c37ea517e94d9795004a39431a14cb",
    SYNSETS[21843]: "sha256:66362bdedf36d933382edca5493fc562dcc17128ce36403c9e730a75f48cb2f2",
    SYNSETS[11221]: "sha256:cd76d977daaa2f13a4a91fca0f53713f2f29675308d4ce0f0ee0e5b07a3164c6",
    LEMMAS: "sha256:1b8babda187421a4bde0c9c5a197c36f6bdda962f7ca11ffb2813806cbb2178f",
}


def decode_predictions(preds, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Return the most probable classes of each image by name, as `keras.applications` does.

    The number of classes decides which list of names applies: 1000 is ImageNet, 21843 is
    ImageNet-21k in Google's order, and 11221 is ImageNet-21K-P, used by MIIL's weights. The names
    are downloaded once, into Keras's cache; the ImageNet names are in the file that Keras uses.

    Args:
        preds: Scores of shape `(batch, classes)`: a NumPy array or a tensor of the backend.
        top: Number of classes to name for each image.

    Returns:
        For each image a list of `top` tuples `(class_id, class_name, score)`, such as
        `("n02119789", "kit_fox", 0.93)`, the highest score first.

    Raises:
        ValueError: If `preds` has another shape or `top` is not from 1 to the number of classes.
        DownloadError: If the names are not cached and cannot be downloaded.

    Examples:
        >>> import keras_mixer
        >>> import numpy as np
        >>> preds = np.zeros((1, 1000), "float32")
        >>> preds[0, 0] = 0.75
        >>> [[(class_id, class_name, score)]] = keras_mixer.decode_predictions(preds, top=1)
        >>> print(class_id, class_name, score)
        n01440764 tench 0.75
    """
    top = check_positive_int("decode_predictions", "top", top)
    preds = keras.ops.convert_to_numpy(preds)
    if preds.ndim != 2 or preds.shape[1] not in (1000, *SYNSETS):
        raise ValueError(
            "decode_predictions: `preds` must be (batch, classes), with 1000, 11221 or 21843 "
            f"classes. Received: preds of shape {preds.shape}. Pass the predictions for a batch "
            "of a model with the head of published weights."
        )
    classes = preds.shape[1]
    if np.isnan(preds).any():
        raise ValueError(
            "decode_predictions: `preds` must be numbers. Received: preds with NaN. Check the "
            "model and its input."
        )
    if top > classes:
        raise ValueError(
            f"decode_predictions: `top` must be at most the number of classes, {classes}. "
            f"Received: top={top}. Pass a smaller number."
        )
    names = class_names(classes)
    best = np.argsort(preds)[:, : -top - 1 : -1]  # (batch, top)
    return [
        [(*names[i], row[i]) for i in indices] for row, indices in zip(preds, best, strict=True)
    ]


@functools.cache
def class_names(classes):
    """Return `(class_id, class_name)` of each class, as a tuple in the order of the head."""
    if classes == 1000:
        path = fetch(IMAGENET_URL, f"models/{IMAGENET}", digest=DIGESTS[IMAGENET])
        index = json.loads(read_text(path))
        return tuple(tuple(index[str(i)]) for i in range(classes))
    lemmas = dict(line.split("\t") for line in _lines(LEMMAS))
    names = tuple(
        (synset, lemmas[synset].split(", ")[0].replace(" ", "_"))
        for synset in _lines(SYNSETS[classes])
    )
    assert len(names) == classes  # `fetch` has verified the digest
    return names


def _lines(name):
    path = fetch(SYNSETS_URL + name, f"models/keras_mixer/{name}", digest=DIGESTS[name])
    return read_text(path).splitlines()
