"""The interface of a demo on loopback: answers, limits, and what it refuses."""

import concurrent.futures
import http.client
import io
import json
import socket
import threading
import time

import numpy as np
import pytest
import requests
from PIL import Image

from tests.support.demo import CLASSES, HOST, demo_model, post, serving
from tests.support.image_files import JPEG, PNG, READABLE, UNREADABLE, WEBP, encode, png_of_size
from tests.support.models import random_pixels, randomize, small_mixer
from training.data.decode import DecodeError
from training.demo import app
from training.demo.shuffle import Shuffle
from training.demo.upload import Limits, prepare_upload

pytestmark = pytest.mark.backend("torch")  # test_demo_model has what depends on the backend

LIMITS = Limits(num_bytes=200_000, pixels=100_000)
SHAPE = (8, 12, 3)
HTML = b"<!doctype html><script>alert(1)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script/></svg>'
MALFORMED = [
    *((name, contents) for name, contents, _ in UNREADABLE),
    ("image.ppm", encode(Image.new("L", (9, 9)), "PPM")),
    ("image.tga", encode(Image.new("L", (9, 9)), "TGA")),
    ("page.html", HTML),
    ("drawing.svg", SVG),
    ("zeros.bin", bytes(5000)),
    ("pickle.pkl", b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94."),
    ("signature.png", b"\x89PNG\r\n\x1a\n"),
    ("no width.png", png_of_size(0, 9)),
    ("page in jpeg.jpg", b"\xff\xd8\xff\xe0" + HTML),
    ("archive.zip", b"PK\x03\x04" + bytes(100)),
    ("numbers.npy", b"\x93NUMPY\x01\x00" + bytes(100)),
]


@pytest.fixture(scope="module")
def model():
    model = small_mixer()
    randomize(model)
    return demo_model(model)


@pytest.fixture(scope="module")
def url(model):
    with serving(model, demo_model(small_mixer(num_blocks=1), "other"), limits=LIMITS) as url:
        yield url


def png(pixels):
    return encode(Image.fromarray(pixels), "PNG")


def test_models_are_described(url):
    answer = requests.get(f"{url}/api/models", timeout=60).json()
    assert [model["title"] for model in answer["models"]] == ["small", "other"]
    assert (answer["largest_bytes"], answer["largest_pixels"]) == LIMITS
    first = answer["models"][0]
    assert (first["height"], first["width"], first["channels"], first["classes"]) == (8, 12, 3, 5)


def test_an_image_gets_the_answer_of_its_model(url, model):
    pixels = random_pixels(SHAPE)
    for parameters in ({}, {"shuffle": "both", "seed": 7}):
        status, answer = post(url, "0/predict", png(pixels), **parameters)
        expected = model.predict(
            pixels, Shuffle(parameters.get("shuffle", "none"), parameters.get("seed", 0))
        )
        assert status == 200
        answer.pop("milliseconds"), expected.pop("milliseconds")
        assert answer == json.loads(json.dumps(expected))
    status, answer = post(url, "0/explain", png(pixels), method="occlusion", **{"class": 3})
    assert (status, answer["class"]) == (200, CLASSES[3])
    expected = model.explain(pixels, Shuffle(), "occlusion", 3)
    assert answer == json.loads(json.dumps(expected))


@pytest.mark.parametrize("name, contents", [row[:2] for row in READABLE])
def test_formats_that_predict_reads(url, model, name, contents):
    status, answer = post(url, "0/predict", contents)
    assert status == 200
    expected = model.predict(prepare_upload(contents, LIMITS, "resize", SHAPE), Shuffle())
    assert answer["classes"] == expected["classes"] and answer["image"] == expected["image"]


def test_malformed_files_are_answered_with_their_error(url):
    assert len(MALFORMED) >= 20
    for name, contents in MALFORMED:
        for path in ("0/predict", "0/explain"):
            status, answer = post(url, path, contents)
            assert (status, [*answer]) == (415, ["error"]), name
            assert "cannot be used: it" in answer["error"] and "Choose a JPEG" in answer["error"]
    assert post(url, "0/predict", PNG)[0] == 200


def test_images_of_too_many_pixels_are_not_decoded(url):
    fits = encode(Image.new("L", (400, 250)), "PNG")
    larger = encode(Image.new("L", (401, 250)), "PNG")
    assert post(url, "0/predict", fits)[0] == 200
    status, answer = post(url, "0/predict", larger)
    assert status == 415 and "it has 100,250 pixels, more than 100,000" in answer["error"]


def gif(*sizes):
    """Return a GIF with frames of these sizes on the canvas of the first one."""
    frames = [encode(Image.new("L", size), "GIF") for size in sizes]
    table = 13 + (3 << ((frames[0][10] & 7) + 1))  # header and colors
    start = frames[0][:table]
    return start + b"".join(frame[table:-1] for frame in frames) + b";"


def test_all_frames_of_a_gif_count():
    def count(contents):
        try:
            prepare_upload(contents, LIMITS, "resize", SHAPE)
        except DecodeError as error:
            return str(error)
        return ""

    assert count(gif((100, 100))) == count(gif(*[(100, 100)] * 10)) == ""
    assert "110,000 pixels" in count(gif(*[(100, 100)] * 11))
    assert "160,004 pixels" in count(gif((2, 2), (400, 400)))
    for end in range(14, 60):  # truncated anywhere
        count(gif((100, 100), (100, 100))[:end])


def test_files_of_too_many_bytes_are_not_read(url):
    largest = PNG + bytes(LIMITS.num_bytes - len(PNG))
    assert post(url, "0/predict", largest)[0] == 200  # decoders ignore what follows the image
    for contents in (largest + b"0", iter([largest, b"0"])):  # with and without Content-Length
        status, answer = post(url, "0/predict", contents)
        assert status == 413 and "at most 200,000 bytes" in answer["error"]


def test_what_never_arrives_is_given_up(url, monkeypatch):
    monkeypatch.setattr(app, "UPLOAD_SECONDS", 0.2)
    host, _, port = url.partition("//")[2].partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        head = f"POST /api/models/0/predict HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 99\r\n\r\n"
        client.sendall(head.encode() + b"only this")
        assert client.recv(1000).startswith(b"HTTP/1.1 408")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(head.encode())  # and hang up
    assert post(url, "0/predict", PNG)[0] == 200


def test_fifty_users_at_once(url, model):
    images = [random_pixels((12, 18, 3), number) for number in range(50)]
    expected = [
        model.predict(prepare_upload(png(image), LIMITS, "resize", SHAPE), Shuffle())["classes"]
        for image in images
    ]

    def use(number):
        status, answer = post(url, "0/predict", png(images[number]))
        return status, answer.get("classes")

    with concurrent.futures.ThreadPoolExecutor(50) as users:
        answers = list(users.map(use, range(50)))
    assert answers == [(200, classes) for classes in expected]


def test_too_many_images_at_once_are_refused(model):
    with serving(model, limits=Limits(app.MOST_BYTES, 10**6)) as url:  # one file at a time
        host, _, port = url.partition("//")[2].partition(":")
        head = f"POST /api/models/0/predict HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(head.encode())
            deadline = time.monotonic() + 60
            while (answer := post(url, "0/predict", PNG))[0] == 200 and time.monotonic() < deadline:
                pass  # until the first request has been read
            assert answer[0] == 503 and "Try again later" in answer[1]["error"]
        while post(url, "0/predict", PNG)[0] == 503 and time.monotonic() < deadline:
            pass  # until the server has seen that the client hung up
        assert post(url, "0/predict", PNG)[0] == 200


@pytest.mark.parametrize(
    ("path", "parameters", "status", "words"),
    [
        ("2/predict", {}, 404, "The model must be 0 to 1. Received: 2. /api/models lists"),
        ("x/predict", {}, 404, "The model must be 0 to 1. Received: x."),
        (f"{'9' * 5000}/predict", {}, 404, "The model must be 0 to 1."),
        ("0/predict", {"shuffle": "rows"}, 400, "shuffle must be one of none, patches"),
        ("0/predict", {"seed": "-1"}, 400, "seed must be an integer from 0. Received: -1."),
        ("0/predict", {"seed": "9" * 12}, 400, "seed must be at most 2147483647"),
        ("0/predict", {"seed": "²"}, 400, "seed must be an integer"),
        ("0/explain", {"method": "lime"}, 400, "method must be one of integrated-gradients, occl"),
        ("0/explain", {"class": "5"}, 400, "class must be 0 to 4. Received: 5."),
        ("0/explain", {"class": "ant"}, 400, "class must be an integer"),
    ],
)
def test_parameters_that_are_not_valid(url, path, parameters, status, words):
    found, answer = post(url, path, PNG, **parameters)
    assert found == status and words in answer["error"]


def test_what_is_not_there(url):
    assert requests.get(f"{url}/api/models/0/predict", timeout=60).status_code == 405
    client = http.client.HTTPConnection(url.partition("//")[2], timeout=60)
    paths = ("/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "//etc/passwd", "/x.js", "/api/x")
    for path in paths:  # as they are; `requests` would remove the dots
        client.request("GET", path)
        response = client.getresponse()
        response.read()
        assert response.status == 404


def test_the_page_loads_nothing_from_elsewhere(url):
    response = requests.get(url, timeout=60)
    assert response.status_code == 200 and "http" not in response.text.replace("<!doctype", "")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "server" not in response.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:9000"}, 200),  # a forwarded port
        ({"Host": "[::1]:7860"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:7860"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 200),
        ({"Host": "localhost:9000", "Origin": "http://localhost:8000"}, 403),
    ],
)
def test_pages_of_other_sites_are_refused(url, headers, status):
    for path in ("/", "/api/models"):
        response = requests.get(url + path, headers=headers, timeout=60)
        assert response.status_code == status
        assert (status == 403) == ("error" in response.text and "Received" in response.text)
    response = requests.post(f"{url}/api/models/0/predict", WEBP, headers=headers, timeout=60)
    assert response.status_code == status


def test_a_failure_is_answered_and_the_demo_goes_on(model, monkeypatch):
    with serving(model) as url:
        monkeypatch.setattr(model, "predict", lambda *_: 1 / 0)
        status, answer = post(url, "0/predict", JPEG)
        assert status == 500 and "ZeroDivisionError" in answer["error"]
        monkeypatch.undo()
        assert post(url, "0/predict", JPEG)[0] == 200


def test_logits_that_are_not_finite_are_an_error():
    model = small_mixer()
    model.layers[-1].bias.assign(np.full(5, np.nan))
    with serving(demo_model(model)) as url:
        for path in ("0/predict", "0/explain"):
            status, answer = post(url, path, io.BytesIO(JPEG))
            assert status == 500 and "finite" in answer["error"]


def test_requests_that_nobody_waits_for_are_not_computed(model, monkeypatch):
    started, end, calls = threading.Event(), threading.Event(), []

    def predict(*_):
        calls.append(1)
        started.set()
        end.wait(60)
        return {"classes": []}

    monkeypatch.setattr(model, "predict", predict)
    with serving(model) as url:
        host, _, port = url.partition("//")[2].partition(":")
        head = f"POST /api/models/0/predict HTTP/1.1\r\nHost: {HOST}\r\n"
        head += f"Content-Length: {len(PNG)}\r\n\r\n"
        clients = [socket.create_connection((host, int(port)), timeout=60) for _ in range(5)]
        for client in clients:
            client.sendall(head.encode() + PNG)
        assert started.wait(60)
        for client in clients:
            client.close()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            last = pool.submit(post, url, "0/predict", PNG)
            time.sleep(0.5)  # for the server to see that the connections are closed
            end.set()
            assert last.result()[0] == 200
    assert len(calls) == 2


def test_a_demo_that_ends_answers_who_waits(model, monkeypatch):
    end = threading.Event()
    monkeypatch.setattr(model, "predict", lambda *_: end.wait(60) and {})
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with serving(model) as url:
            waiting = [pool.submit(post, url, "0/predict", PNG) for _ in range(3)]
            time.sleep(0.5)
        assert [user.result()[0] for user in waiting] == [503] * 3
    end.set()
