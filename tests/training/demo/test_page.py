"""The page of a demo in headless Chromium, as someone uses it."""

import base64
import io
import time

import keras
import numpy as np
import pytest
from PIL import Image

from keras_mixer import explain
from tests.support.browser import open_page
from tests.support.demo import CLASSES, demo_model, serving
from tests.support.image_files import encode
from tests.support.models import random_pixels, randomize, small_mixer
from training.demo.shuffle import Shuffle
from training.demo.upload import Limits, prepare_upload

pytestmark = [
    pytest.mark.backend("torch"),  # test_demo_model has what depends on the backend
    pytest.mark.long,  # a browser
]

LIMITS = Limits(num_bytes=100_000, pixels=400_000)
PIXELS = random_pixels((24, 18, 3))
WHOLE = Shuffle()
READY = "body[data-ready]"
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
# A file that is dropped: a drag from outside of the browser cannot be simulated as a whole.
DROP = """([contents, name]) => {
    const bytes = Uint8Array.from(atob(contents), (letter) => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type: "image/png" }));
    const event = { dataTransfer: data, bubbles: true, cancelable: true };
    document.querySelector("#drop").dispatchEvent(new DragEvent("dragover", event));
    return document.querySelector("#drop").dispatchEvent(new DragEvent("drop", event));
}"""


@pytest.fixture(scope="module")
def models():
    """A Mixer, and a model without patches."""
    mixer = small_mixer(input_shape=(24, 16, 3))
    randomize(mixer)
    images = keras.Input((16, 16, 3))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(images))
    other = keras.Model(images, keras.layers.Dense(5)(features))
    names = ("<b>ant</b>", *CLASSES[1:])  # shown as it is, not as a part of the page
    return demo_model(mixer, "a Mixer", names), demo_model(other, "a CNN", names)


@pytest.fixture(scope="module")
def demo(models):
    """A `Visit` of the page, as it was opened."""
    with serving(*models, limits=LIMITS) as url, open_page(url, *FAKE_CAMERA) as visit:
        visit.page.wait_for_selector(READY)
        yield visit


@pytest.fixture
def visit(demo, models):
    """A `Visit` of the page, reloaded; at the end, nothing has been reported as an error."""
    demo.errors.clear(), demo.failures.clear(), demo.urls.clear()
    demo.page.reload()
    demo.page.wait_for_selector(READY)
    yield demo
    assert demo.errors == [] and demo.failures == []
    host = demo.page.url.rstrip("/")
    assert all(url.startswith((host, "blob:" + host, "data:")) for url in demo.urls)


def png(pixels):
    return encode(Image.fromarray(pixels), "PNG")


def drop(visit, contents, name="photo.png"):
    text = base64.b64encode(contents).decode()
    assert visit.page.evaluate(DROP, [text, name]) is False  # the browser does not open it itself


def wait(visit):
    """Wait until all models have answered."""
    visit.page.wait_for_selector(".model .plain:not([hidden])")
    visit.page.wait_for_selector(".model.busy", state="detached")


def wait_for_another_picture(visit, before):
    """Wait until a model sees another image than that of the URL `before`."""
    deadline = time.monotonic() + 30
    while visit.page.locator(".seen img").first.get_attribute("src") == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shown(visit, model, part=".plain"):
    """Return the names and the probabilities that the page shows, and the texts, per class."""
    rows = visit.page.locator(f".model >> nth={model} >> {part} button").all()
    return [
        (row.locator("span").first.text_content(), float(row.get_attribute("data-probability")))
        for row in rows
    ]


def prepared(model):
    """Return the image as a model sees it."""
    return prepare_upload(png(PIXELS), LIMITS, "resize", model.image_shape)


def expected(model, shuffle=WHOLE):
    """Return what `shown` should return for the image."""
    classes = model.predict(prepared(model), shuffle)["classes"]
    return [(entry["name"], pytest.approx(entry["probability"])) for entry in classes]


def read_map(canvas, grid):
    """Return the colors at the middle of each patch of a map, row by row."""
    url = canvas.evaluate("(canvas) => canvas.toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2]))) as image:
        pixels = np.asarray(image)
    side = pixels.shape[0] // grid[0]
    return pixels[side // 2 :: side, side // 2 :: side].reshape(-1, 4).astype(int)


def test_a_dropped_image_is_classified_by_all_models(visit, models):
    drop(visit, png(PIXELS))
    wait(visit)
    for number, model in enumerate(models):
        assert shown(visit, number) == expected(model)
        picture = visit.page.locator(f".model >> nth={number} >> .seen img")
        size = picture.evaluate("(image) => [image.naturalHeight, image.naturalWidth]")
        assert size == [*model.image_shape[:2]] and picture.is_visible()
    assert visit.page.locator("h2").all_text_contents() == ["a Mixer", "a CNN"]
    assert visit.page.locator("b").count() == 0  # names are text
    assert visit.page.locator("#preview").is_visible()


def test_a_map_is_drawn_and_a_click_explains_another_class(visit, models):
    visit.page.select_option("#method", "occlusion")
    visit.page.set_input_files(
        "#file", {"name": "photo.png", "mimeType": "image/png", "buffer": png(PIXELS)}
    )
    wait(visit)
    mixer = models[0]
    canvas = visit.page.locator(".seen canvas").first
    assert canvas.is_visible() and visit.page.locator(".seen canvas").nth(1).is_hidden()
    assert "needs a Mixer" in visit.page.locator(".note").nth(1).text_content()
    names = [name for name, _ in shown(visit, 0)]
    for click in (0, 3):
        if click:
            visit.page.locator(".model >> nth=0 >> .plain button").nth(click).click()
            visit.page.wait_for_selector(f".note >> text=evidence for {names[click]},")
            wait(visit)
        chosen = mixer.class_names.index(names[click])
        values = explain.occlusion(mixer.loaded.model, prepared(mixer)[None], chosen)
        largest = np.abs(values).max()
        colors = read_map(canvas, values.shape[1:])
        for (red, _, blue, alpha), value in zip(colors, values.flat, strict=True):
            assert alpha == pytest.approx(200 * abs(value) / largest, abs=2)
            if alpha > 20:
                assert (red > blue) == (value > 0)


@pytest.mark.parametrize("kind", ["patches", "both"])
def test_a_mixer_holds_when_its_weights_are_shuffled_too(visit, models, kind):
    drop(visit, png(PIXELS))
    wait(visit)
    before = shown(visit, 0)
    assert visit.page.locator("#again").is_disabled()
    visit.page.select_option("#shuffle", kind)
    visit.page.wait_for_selector(".reordered:not([hidden])")
    wait(visit)
    held = [(name, pytest.approx(value, rel=1e-4)) for name, value in before]
    assert shown(visit, 0, ".reordered") == held
    assert shown(visit, 0) == expected(models[0], Shuffle(kind, 1)) != before
    assert "plain Mixer" in visit.page.locator(".note").nth(1).text_content()
    picture = visit.page.locator(".seen img").first.get_attribute("src")
    visit.page.click("#again")
    wait_for_another_picture(visit, picture)
    wait(visit)
    assert shown(visit, 0, ".reordered") == held
    assert shown(visit, 0) == expected(models[0], Shuffle(kind, 2))
    visit.page.select_option("#shuffle", "none")
    visit.page.wait_for_selector(".model .reordered", state="hidden")
    wait(visit)
    assert shown(visit, 0) == held


def test_a_file_that_is_no_image_is_an_error_until_the_next_one(visit):
    drop(visit, b"<script>alert(1)</script>", "page.png")
    visit.page.wait_for_selector(".model .error:not([hidden])")
    texts = visit.page.locator(".model .error").all_text_contents()
    assert all("not an image of a known format" in text for text in texts)
    assert all("415" in text for text in visit.failures) and len(visit.failures) == 2
    visit.failures.clear()
    visit.errors.clear()  # the browser notes both
    drop(visit, bytes(LIMITS.num_bytes + 1))
    assert "100,001 bytes; at most 100,000" in visit.page.locator("#error").text_content()
    drop(visit, png(PIXELS))
    wait(visit)
    assert visit.page.locator(".model .error").first.is_hidden()
    assert visit.page.locator("#error").is_hidden()


def test_the_camera(visit):
    visit.page.click("#camera")
    wait(visit)
    first = visit.page.locator(".seen img").first.get_attribute("src")
    wait_for_another_picture(visit, first)  # the picture of the fake camera moves
    assert visit.page.locator("#video").is_visible()
    visit.page.click("#camera")
    visit.page.wait_for_selector("#video", state="hidden")
    wait(visit)
    assert visit.page.locator("#camera").text_content() == "Use the camera"
    assert visit.page.locator("#preview").is_visible()
