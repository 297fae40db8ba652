"""The page in `examples/browser`, with onnxruntime-web in headless Chromium."""

import dataclasses
import functools
import http.server
import io
import json
import re
import shutil
import struct
import subprocess

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

import run
from keras_mixer.preprocessing import prepare_image
from tests.support import image_files
from tests.support.browser import open_page
from tests.support.exported import gray_mixer
from tests.support.loopback import LoopbackServer
from tests.support.models import random_pixels, randomize, small_mixer
from tests.support.pixels import PHOTO
from training.export.exporter import export_formats
from training.export.serving_model import build_serving_model
from training.model_argument import LoadedModel

# TensorFlow writes ONNX. The page is the same for the files of all backends.
pytestmark = [pytest.mark.backend("tensorflow"), pytest.mark.long]

PAGE = run.ROOT / "examples" / "browser"
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ENETUNREACH", "ETIMEDOUT")
HTML = "<img src=x onerror=alert(1)>"  # a class name that must stay text
ANSWER = """({
    ...lastAnswer,
    input: Array.from(lastAnswer.input.data),
    logits: Array.from(lastAnswer.logits),
    probabilities: Array.from(lastAnswer.probabilities),
})"""
FETCH = """url => new Promise((resolve) => {
    document.addEventListener("securitypolicyviolation", (e) => resolve(e.effectiveDirective));
    fetch(url).catch(() => {});
})"""
DROP = """([name, bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name));
    document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
}"""


def decode_jpeg(content):
    """Return the upright RGB pixels of a JPEG file, from Pillow: Chromium's are the same."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    return np.asarray(image.convert("RGB"))


SUBSAMPLED = image_files.encode(Image.fromarray(PHOTO), "JPEG", quality=90, subsampling=2)
ORIENTED = image_files.encode_oriented("JPEG", 6)
ALPHA = Image.fromarray(random_pixels(image_files.PIXELS.shape[:2]))
TRANSLUCENT = image_files.encode(Image.merge("RGBA", [*image_files.IMAGE.split(), ALPHA]), "PNG")
LINEAR = PngImagePlugin.PngInfo()
LINEAR.add(b"gAMA", struct.pack(">I", 100_000))  # a browser would convert to sRGB
GAMMA = image_files.encode(image_files.IMAGE, "PNG", pnginfo=LINEAR)
# Name and contents of a file, and the decoded pixels.
FILES = [
    *(
        (name, content, decode_jpeg(content) if tolerance else pixels)
        for name, content, pixels, tolerance in image_files.READABLE
    ),
    ("translucent.png", TRANSLUCENT, image_files.PIXELS),
    ("gamma.png", GAMMA, image_files.PIXELS),
    ("subsampled.jpg", SUBSAMPLED, decode_jpeg(SUBSAMPLED)),
    ("oriented.jpg", ORIENTED, decode_jpeg(ORIENTED)),
]


class FolderServer(LoopbackServer):
    """The server of `python3 -m http.server`, silent."""

    def __init__(self, folder):
        self._folder = folder

    def _handler(self):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        return functools.partial(Handler, directory=self._folder)


def copy_page(folder):
    """Copy the files of the page, without what a developer installed or exported there."""
    shutil.copytree(PAGE, folder, ignore=shutil.ignore_patterns("node_modules", "model"))
    return folder


@pytest.mark.parametrize(
    "files, message",
    [
        ({}, r"onnxruntime-web cannot be loaded: .* Run npm install --prefix examples/browser"),
        (
            {"node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs": ""},
            r"model/model.json is missing .*404.* Run python3 run.py export runs/digits .*",
        ),
        (
            {
                "node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs": "",
                "model/model.json": json.dumps({"metadata_version": 2}),
            },
            r"model.json must have metadata version 1. Received: 2. .* python3 run.py export .*",
        ),
    ],
    ids=["no runtime", "no model", "another version"],
)
def test_what_is_missing_is_said_with_the_command(tmp_path, files, message):
    folder = copy_page(tmp_path / "page")
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    with FolderServer(folder) as server, open_page(server.url) as visit:
        visit.page.locator("#status", has_text=re.compile(message)).wait_for()


def test_a_page_without_a_server_says_so():
    with open_page((PAGE / "index.html").as_uri()) as visit:
        visit.page.get_by_text("This page needs a web server.").wait_for()


def test_the_page_may_not_ask_other_hosts(tmp_path):
    with FolderServer(copy_page(tmp_path / "page")) as server, open_page(server.url) as visit:
        assert visit.page.evaluate(FETCH, "https://example.com") == "connect-src"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A copy of the page with onnxruntime-web, and without a model."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    folder = copy_page(tmp_path_factory.mktemp("browser") / "page")
    result = subprocess.run(
        ["npm", "install", "--prefix", folder, "--prefer-offline", "--no-audit", "--no-fund"],
        capture_output=True,
        text=True,
    )
    if result.returncode and any(reason in result.stderr for reason in OFFLINE):
        pytest.skip("needs the registry of npm")
    assert result.returncode == 0, result.stderr
    return folder


def gray_model():
    """A model such as that of the digits."""
    names = (*(f"digit {i}" for i in range(9)), HTML)
    return LoadedModel(gray_mixer(), names, evaluation_transform="resize-crop")


def color_model():
    """A model with another transform, another activation and without class names."""
    model = small_mixer(input_shape=(40, 24, 3), classes=7)
    randomize(model)
    return LoadedModel(model, evaluation_transform="timm-bicubic", activation="sigmoid")


@dataclasses.dataclass
class Served:
    """A model, the Keras model of its export, and the address of the page that runs the export."""

    loaded: LoadedModel
    model: keras.Model
    url: str


@pytest.fixture(scope="module", params=[gray_model, color_model])
def served(request, installed):
    """A model, and the page that runs its export."""
    loaded = request.param()
    folder = installed / "model"
    folder.mkdir()
    export_formats(loaded, {"onnx": folder / "model.onnx"}, origin="runs/small")
    with FolderServer(installed) as server:
        yield Served(loaded, build_serving_model(loaded), server.url)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def visit(served):
    with open_page(served.url) as visit:
        visit.page.get_by_text("small is ready.").wait_for()
        yield visit


def answer_for(visit, name):
    """Return what the page computed for an image, when it is there."""
    visit.page.wait_for_function("name => window.lastAnswer?.name === name", arg=name)
    return visit.page.evaluate(ANSWER)


@pytest.mark.parametrize("name, content, decoded", FILES, ids=[row[0] for row in FILES])
def test_the_page_computes_what_keras_does(served, visit, tmp_path, name, content, decoded):
    path = tmp_path / name
    path.write_bytes(content)
    visit.page.set_input_files("#file", path)
    answer = answer_for(visit, name)

    height, width, channels = served.loaded.model.input_shape[1:]
    if channels == 1:
        decoded = np.asarray(Image.fromarray(decoded).convert("L"))[..., None]
    pixels = prepare_image(decoded, served.loaded.evaluation_transform, (height, width))
    pixels = pixels[..., :channels]
    np.testing.assert_array_equal(np.reshape(answer["input"], pixels.shape), pixels)

    expected = served.model.predict_on_batch(pixels[None].astype("float32"))
    for output in ("logits", "probabilities"):
        (values,) = expected[output]
        allowed = 1e-4 * np.abs(values).max()
        np.testing.assert_allclose(answer[output], values, rtol=0, atol=allowed)
    assert np.argmax(answer["logits"]) == np.argmax(expected["logits"])


def test_the_table_has_the_most_likely_classes(served, visit, tmp_path):
    loaded = served.loaded
    visit.page.evaluate(DROP, ["dropped.png", list(image_files.PNG)])
    probabilities = answer_for(visit, "dropped.png")["probabilities"]
    best = np.argsort(probabilities)[::-1][:5]
    names = loaded.class_names or [f"class {i}" for i in range(loaded.classes)]
    rows = visit.page.locator("#classes tr").all()
    assert [row.locator("th").text_content() for row in rows] == [names[i] for i in best]
    shown = [row.locator("td").last.text_content() for row in rows]
    assert shown == [f"{100 * probabilities[i]:.1f} %" for i in best]
    assert re.fullmatch(r"dropped.png: \d+\.\d ms", visit.page.text_content("#status"))


def test_a_file_that_is_no_image(visit):
    visit.page.evaluate(DROP, ["notes.txt", list(b"not an image")])
    visit.page.get_by_text("notes.txt is not an image that this browser can decode").wait_for()
    visit.page.evaluate(DROP, ["after.png", list(image_files.PNG)])
    answer_for(visit, "after.png")


def test_nothing_fails_and_nothing_leaves_the_machine(served, visit):
    """Runs last: the visit of all tests above had no error and asked for these files only."""
    assert (visit.errors, visit.failures) == ([], [])
    runtime = "/node_modules/onnxruntime-web/dist/"
    assert {u.removeprefix(served.url) for u in visit.urls} == {
        "/",
        "/style.css",
        "/classify.js",
        "/decode.js",
        "/transform.js",
        f"{runtime}ort.wasm.bundle.min.mjs",
        f"{runtime}ort-wasm-simd-threaded.wasm",
        "/model/model.json",
        "/model/model.onnx",
    }
