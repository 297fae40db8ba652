import keras
import numpy as np
import pytest

from keras_mixer import labels
from keras_mixer.labels import decode_predictions
from keras_mixer.weights.download import DownloadError
from keras_mixer.weights.transfer import MIRROR_VARIABLE
from tests.support.class_lists import FILES, INDEX, SYNSETS, serve_class_lists
from tests.support.loopback import Loopback


@pytest.fixture(autouse=True)
def server(monkeypatch, tmp_path):
    """Serve lists of the published form and length with made-up content."""
    with Loopback() as server:
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv(MIRROR_VARIABLE, server.url)
        serve_class_lists(server, monkeypatch)
        labels.class_names.cache_clear()
        yield server
        labels.class_names.cache_clear()


def scores(batch, classes):
    draw = np.random.default_rng(0).permuted(np.tile(np.arange(classes), (batch, 1)), axis=1)
    return (draw / classes).astype("float32")  # no two alike in a row


def test_imagenet_is_decoded_as_in_keras(monkeypatch):
    theirs = keras.applications.imagenet_utils.decode_predictions
    monkeypatch.setitem(theirs.__globals__, "CLASS_INDEX", INDEX)
    preds = scores(3, 1000)
    for top in (1, 5, 1000):
        assert decode_predictions(preds, top) == theirs(preds, top)
    assert decode_predictions(preds) == theirs(preds)
    ours = decode_predictions(preds)[0][0]
    assert [type(part) for part in ours] == [type(part) for part in theirs(preds)[0][0]]


def test_the_imagenet_list_is_that_of_keras(tmp_path):
    theirs = keras.applications.imagenet_utils.decode_predictions
    assert theirs.__globals__["CLASS_INDEX_PATH"] == labels.IMAGENET_URL
    decode_predictions(scores(1, 1000))
    assert (tmp_path / "models/imagenet_class_index.json").is_file()


@pytest.mark.parametrize("classes", [21843, 11221])
def test_the_number_of_classes_selects_the_list(classes):
    preds = scores(2, classes)
    decoded = decode_predictions(preds, top=3)
    for row, guesses in zip(preds, decoded, strict=True):
        best = np.argsort(-row)[:3]
        assert guesses == [
            (SYNSETS[classes][i], f"big_thing_{int(SYNSETS[classes][i][1:])}", row[i]) for i in best
        ]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_tensors_of_the_backend_are_decoded(dtype):
    preds = keras.ops.cast(keras.ops.eye(1000)[7:9], dtype)
    decoded = decode_predictions(preds, top=1)
    assert decoded == [[("n00000007", "thing_7", 1.0)], [("n00000008", "thing_8", 1.0)]]


def test_an_empty_batch():
    assert decode_predictions(np.zeros((0, 1000))) == []


def test_lists_are_downloaded_and_read_once(server):
    for classes in (1000, 21843, 11221) * 2:
        decode_predictions(scores(1, classes))
    first = labels.class_names(21843)
    assert sorted(path.split("/")[-1] for path, _ in server.requests) == sorted(
        name.split("/")[-1] for name in FILES
    )
    assert labels.class_names(21843) is first


@pytest.mark.parametrize("shape", [(1000,), (2, 3, 1000), (), (2, 999), (2, 21841), (1000, 2)])
def test_other_shapes_are_refused(server, shape):
    with pytest.raises(ValueError, match=r"`preds` must be \(batch, classes\), .* shape \("):
        decode_predictions(np.zeros(shape))
    assert not server.requests


@pytest.mark.parametrize("top", [0, -1, 2.0, "5", None, True])
def test_top_must_be_a_positive_integer(top):
    with pytest.raises(ValueError, match="decode_predictions: `top` must be a positive integer"):
        decode_predictions(scores(1, 1000), top)


def test_nan_is_refused():
    preds = np.zeros((2, 1000))
    preds[1, 3] = np.nan
    with pytest.raises(ValueError, match="preds with NaN"):
        decode_predictions(preds)


def test_top_is_at_most_the_number_of_classes():
    with pytest.raises(ValueError, match="at most the number of classes, 1000. Received: top=1001"):
        decode_predictions(scores(1, 1000), top=1001)


@pytest.mark.parametrize(
    "classes, word",
    [(1000, "class_index"), (21843, "goog"), (11221, "miil"), (21843, "lemma"), (11221, "lemma")],
)
def test_another_list_is_refused(server, monkeypatch, classes, word):
    monkeypatch.setattr("keras_mixer.weights.download.RETRY_WAITS_SECONDS", ())
    [path] = [path for path in server.answers if word in path]
    [answer] = server.answers[path]
    server.serve(path, answer.body.replace(b"n00000002", b"n00000003"))
    with pytest.raises(DownloadError, match=f"{path} .* has the sha256 digest"):
        decode_predictions(scores(1, classes))
