import base64
import contextlib
import errno
import hashlib
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest
import requests

import keras_mixer
from keras_mixer.weights import download, transfer
from keras_mixer.weights.cache import cached_path
from keras_mixer.weights.download import DownloadError, fetch
from keras_mixer.weights.transfer import MIRROR_VARIABLE
from tests.support.loopback import Answer, Loopback, google_hash

pytestmark = pytest.mark.backend("torch")  # no backend is involved

URL = "https://storage.googleapis.com/mixer_models/imagenet1k/x.npz"
SERVED = "/mixer_models/imagenet1k/x.npz"  # where the mirror has it
PATH = "models/keras_mixer/x.npz"
RECORD = f"{PATH}.sha256"
CONTENT = bytes(range(256)) * 20
ALTERED = bytes([1]) + CONTENT[1:]
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """The cache of the test: empty, and no mirror."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(download, "RETRY_WAITS_SECONDS", (0, 0))
    return tmp_path / "keras"


@pytest.fixture
def server(monkeypatch, home):
    with Loopback() as server:
        monkeypatch.setenv(MIRROR_VARIABLE, server.url)
        yield server


@pytest.fixture
def offline(monkeypatch, home):
    """A mirror at a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv(MIRROR_VARIABLE, url)
    return url


def put(content):
    path = cached_path(PATH)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


class TestCache:
    def test_it_is_the_cache_of_keras(self, monkeypatch, tmp_path):
        assert cached_path("models/x") == tmp_path / "keras/models/x"
        monkeypatch.setenv("KERAS_HOME", "~/elsewhere")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert cached_path("models/x") == tmp_path / "elsewhere/models/x"
        monkeypatch.setenv("KERAS_HOME", "")
        assert cached_path("models/x") == tmp_path / ".keras/models/x"
        monkeypatch.delenv("KERAS_HOME")
        assert cached_path("models/x") == tmp_path / ".keras/models/x"

    def test_without_a_home_folder_it_is_where_keras_has_it(self, monkeypatch, tmp_path):
        def getpwuid(_):
            raise KeyError("no such user")

        monkeypatch.delenv("KERAS_HOME")
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr(pwd, "getpwuid", getpwuid)
        assert cached_path("models/x") == Path("/tmp/.keras/models/x")
        monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
        assert cached_path("models/x") == Path("/tmp/.keras/models/x")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert cached_path("models/x") == Path("/tmp/.keras/models/x")
        (tmp_path / ".keras").mkdir()  # by someone else, who filled it
        assert cached_path("models/x") == tmp_path / ".keras/models/x"

    def test_the_home_folder_of_nobody(self, monkeypatch):
        monkeypatch.setenv("KERAS_HOME", "~nouser/k")
        assert cached_path("models/x") == Path("/tmp/.keras/models/x")

    def test_a_file_is_downloaded_once(self, server, home):
        server.serve(SERVED, CONTENT)
        for _ in range(3):
            path = fetch(URL, PATH)
            assert path == home / PATH and path.read_bytes() == CONTENT
        assert len(server.requests) == 1
        assert files(home) == {PATH, RECORD}

    @pytest.mark.parametrize("digest", [None, f"sha256:{SHA256}", f"md5:{MD5.upper()}"])
    @pytest.mark.parametrize("num_bytes", [None, len(CONTENT)])
    def test_a_valid_file_needs_no_network(self, offline, capsys, num_bytes, digest):
        path = put(CONTENT)
        assert fetch(URL, PATH, num_bytes, digest) == path
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize(
        "content, fault",
        [(CONTENT[:-1], "has 5,119 bytes instead of 5,120"), (ALTERED, "has the sha256 digest")],
    )
    def test_a_wrong_file_is_downloaded_again(self, server, capsys, content, fault):
        path = put(content)
        server.serve(SERVED, CONTENT)
        fetch(URL, PATH, len(CONTENT), f"sha256:{SHA256}")
        assert path.read_bytes() == CONTENT
        printed = [line for line in capsys.readouterr().err.splitlines() if "keras_mixer" in line]
        assert (
            len(printed) == 1
            and f"{path} {fault}" in printed[0]
            and "downloading it again" in printed[0]
        )

    def test_a_wrong_file_stays_until_the_right_one_is_complete(self, server):
        path = put(b"another file")
        server.serve(SERVED, Answer(CONTENT, send_bytes=100))
        with pytest.raises(DownloadError):
            fetch(URL, PATH, len(CONTENT))
        assert path.read_bytes() == b"another file"
        assert list(path.parent.iterdir()) == [path]

    def test_the_new_file_replaces_the_old_one_atomically(self, server, monkeypatch):
        path = put(b"another file")
        server.serve(SERVED, CONTENT)
        moves = []

        def replace(source, target):
            moves.append((source.parent, source.read_bytes(), target, path.read_bytes()))
            source.rename(target)

        monkeypatch.setattr(os, "replace", replace)
        fetch(URL, PATH, len(CONTENT))
        digest = f"{SHA256}  x.npz\n".encode()  # first, since without its file it is ignored
        assert moves == [
            (path.parent, digest, path.with_name("x.npz.sha256"), b"another file"),
            (path.parent, CONTENT, path, b"another file"),
        ]

    def test_an_altered_file_of_the_same_size_is_downloaded_again(self, server, home, capsys):
        server.serve(SERVED, CONTENT)
        path = fetch(URL, PATH)
        assert (home / RECORD).read_text() == f"{SHA256}  x.npz\n"  # as sha256sum writes it
        path.write_bytes(ALTERED)
        assert fetch(URL, PATH, len(CONTENT)).read_bytes() == CONTENT
        assert f"instead of {SHA256}; downloading it again" in capsys.readouterr().err
        path.write_bytes(ALTERED)
        server.serve(SERVED, Answer(status=404))
        with pytest.raises(DownloadError, match="put the file there.* Then delete x.npz.sha256"):
            fetch(URL, PATH)
        (home / RECORD).unlink()
        assert fetch(URL, PATH).read_bytes() == ALTERED

    def test_a_new_file_of_the_publisher_replaces_the_record(self, server, home):
        server.serve(SERVED, CONTENT, ALTERED)
        fetch(URL, PATH).unlink()
        assert fetch(URL, PATH).read_bytes() == ALTERED
        assert fetch(URL, PATH).read_bytes() == ALTERED
        assert len(server.requests) == 2

    def test_a_process_that_is_killed_between_record_and_file(self, server, home, monkeypatch):
        path, real = put(CONTENT[:-1]), os.replace

        def replace(source, target):
            if target == path:
                raise KeyboardInterrupt
            real(source, target)

        server.serve(SERVED, CONTENT)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, "replace", replace)
            fetch(URL, PATH, len(CONTENT))
        assert path.read_bytes() == CONTENT[:-1]
        assert files(home) == {PATH, RECORD}
        assert fetch(URL, PATH).read_bytes() == CONTENT
        assert len(server.requests) == 2
        path.unlink()
        assert fetch(URL, PATH).read_bytes() == CONTENT

    @pytest.mark.parametrize("content", ["", "x", SHA256, f"{SHA256[:-1]}  x.npz", None])
    def test_a_record_that_is_none_is_ignored(self, offline, home, content):
        path = put(CONTENT)
        if content is None:
            os.mkfifo(home / RECORD)
        else:
            (home / RECORD).write_text(content)
        assert fetch(URL, PATH) == path

    def test_a_folder_that_cannot_be_made_is_named(self, server, home):
        home.write_text("a file in the way")
        with pytest.raises(DownloadError, match="must be writable.*Not a directory.*KERAS_HOME"):
            fetch(URL, PATH)
        assert not server.requests

    @pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
    def test_a_folder_that_is_read_only_is_named(self, server, home):
        home.mkdir(mode=0o500)
        with pytest.raises(DownloadError, match="must be writable.*Permission denied.*KERAS_HOME"):
            fetch(URL, PATH)

    def test_a_full_disk_is_named(self, server, home, monkeypatch):
        def fsync(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", fsync)
        server.serve(SERVED, CONTENT)
        with pytest.raises(DownloadError, match="have room.*No space left.*KERAS_HOME"):
            fetch(URL, PATH)
        assert not files(home)

    def test_other_users_of_the_cache_can_read_the_file(self, server):
        server.serve(SERVED, CONTENT)
        umask = os.umask(0o022)
        try:
            assert stat.S_IMODE(fetch(URL, PATH).stat().st_mode) == 0o644
        finally:
            os.umask(umask)


class TestMirror:
    @pytest.mark.parametrize("base", ["", "/", "/deep/er", "/deep/er/"])
    def test_it_replaces_scheme_and_host(self, server, monkeypatch, base):
        monkeypatch.setenv(MIRROR_VARIABLE, server.url + base)
        asked = f"{base.rstrip('/')}{SERVED}?download=true"
        server.serve(asked, CONTENT)
        fetch(f"{URL}?download=true", PATH)
        assert [path for path, _ in server.requests] == [asked]

    @pytest.mark.parametrize(
        "value", ["/srv/files", "ftp://host/files", "host.example", "https://", "http://[::1"]
    )
    def test_it_must_be_a_url(self, monkeypatch, value):
        monkeypatch.setenv(MIRROR_VARIABLE, value)
        received = re.escape(f"Received: KERAS_MIXER_MIRROR={value!r}")
        with pytest.raises(ValueError, match=f"KERAS_MIXER_MIRROR must be .*{received}"):
            fetch(URL, PATH)

    @pytest.mark.parametrize("mirror", [None, ""])
    def test_without_it_there_is_no_plain_http(self, server, monkeypatch, mirror):
        monkeypatch.delenv(MIRROR_VARIABLE)
        if mirror is not None:
            monkeypatch.setenv(MIRROR_VARIABLE, mirror)
        with pytest.raises(ValueError, match="`url` must be an https URL. Received: url='http:"):
            fetch(server.url + SERVED, PATH)
        assert not server.requests

    def test_its_password_is_not_shown(self, offline, monkeypatch, capsys):
        monkeypatch.setenv(MIRROR_VARIABLE, offline.replace("//", "//username:secret@"))
        with pytest.raises(DownloadError) as failure:
            fetch(URL, PATH)
        assert f"{offline}{SERVED}" in str(failure.value)
        shown = "".join(traceback.format_exception(failure.value)) + capsys.readouterr().err
        assert "secret" not in shown and "username" not in shown

    def test_its_password_is_sent(self, server, monkeypatch):
        monkeypatch.setenv(MIRROR_VARIABLE, server.url.replace("//", "//us%40er:sec%2Fret@"))
        server.serve(SERVED, CONTENT)
        fetch(URL, PATH)
        [(_, headers)] = server.requests
        expected = base64.b64encode(b"us@er:sec/ret").decode()
        assert headers["Authorization"] == f"Basic {expected}"

    @pytest.mark.parametrize(
        "value",
        [
            "ftp://user:secret@host/files",
            "user:secret@host",
            "https://user:sec/secret@host",
            "https://user:?secret@host",
            "https://user:#secret@host",
            "https://user:/secret@host",
            "http://user:secret@[::1",
            "http://user:secret@host:port",
        ],
    )
    def test_the_password_of_an_invalid_one_is_not_shown(self, monkeypatch, value):
        monkeypatch.setenv(MIRROR_VARIABLE, value)
        with pytest.raises(ValueError, match="KERAS_MIXER_MIRROR='…@.*percent-encoded") as error:
            fetch(URL, PATH)
        assert "secret" not in str(error.value)


class TestRedirects:
    def test_they_are_followed(self, server):
        server.serve(SERVED, Answer(status=302, headers={"Location": "/elsewhere"}))
        server.serve("/elsewhere", CONTENT)
        assert fetch(URL, PATH, len(CONTENT)).read_bytes() == CONTENT

    @pytest.mark.parametrize(
        "location",
        ["http://[::1", "//[", f"http://{'a' * 70}.example/", "gopher://x/", "http://:0/"],
    )
    def test_a_malformed_one_is_an_error(self, server, home, location):
        server.serve(SERVED, Answer(status=302, headers={"Location": location}))
        with pytest.raises(DownloadError, match=f"{server.url}{SERVED} could not be downloaded: "):
            fetch(URL, PATH)
        assert not files(home)

    def test_a_circle_ends(self, server, home):
        server.serve(SERVED, Answer(status=302, headers={"Location": SERVED}))
        with pytest.raises(DownloadError, match="Exceeded 30 redirects. It belongs at"):
            fetch(URL, PATH)
        assert not files(home)

    @pytest.mark.parametrize(
        "location, target",
        [
            ("http://cdn.example/x", "http://cdn.example/x"),
            ("HTTP://cdn.example/x", "http://cdn.example/x"),
            ("ftp://cdn.example/x", "ftp://cdn.example/x"),
        ],
    )
    def test_none_may_leave_https(self, home, monkeypatch, location, target):
        asked = []

        def send(_, request, **__):
            asked.append(request.url)
            response = requests.Response()
            response.status_code = 302
            response.headers["Location"] = location
            response.url = request.url
            response.request = request
            response._content = b""
            return response

        monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
        with pytest.raises(DownloadError, match=f"(?i)redirects to {target}, which is not https"):
            fetch(URL, PATH)
        assert asked == [URL]
        assert not files(home)

    @pytest.mark.parametrize("location", ["https://cdn.example/x", "//cdn.example/x", "/x", "x"])
    def test_others_are_no_concern(self, location):
        response = requests.Response()
        response.status_code = 302
        response.headers["Location"] = location
        response.url = "https://host.example/file"
        transfer.refuse_loss_of_tls(response)
        response.url = "http://mirror.example/file"
        response.headers["Location"] = "http://cdn.example/x"
        transfer.refuse_loss_of_tls(response)


class TestVerification:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Content-Length": None},
            {"x-goog-hash": google_hash(CONTENT)},
            {"x-goog-hash": google_hash(CONTENT).split(",")},  # two headers
            {"x-goog-hash": google_hash(CONTENT).replace(",", ", ") + ",new=c29tZXRoaW5n"},
            {"x-linked-size": len(CONTENT), "x-linked-etag": f'"{SHA256}"'},
            {"x-linked-etag": '"an opaque one"'},
        ],
    )
    @pytest.mark.parametrize("digest", [None, f"sha256:{SHA256}", f"md5:{MD5}"])
    def test_a_right_file_passes(self, server, headers, digest):
        server.serve(SERVED, Answer(CONTENT, headers=headers))
        assert fetch(URL, PATH, len(CONTENT), digest).read_bytes() == CONTENT
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "headers, digest, algorithm",
        [
            ({"x-goog-hash": google_hash(CONTENT, ["crc32c"])}, None, "crc32c"),
            ({"x-goog-hash": google_hash(CONTENT, ["md5"])}, None, "md5"),
            (
                {"x-goog-hash": [google_hash(ALTERED, ["crc32c"]), google_hash(CONTENT, ["md5"])]},
                None,
                "md5",
            ),
            (
                {"x-goog-hash": [google_hash(ALTERED, ["md5"]), google_hash(CONTENT, ["crc32c"])]},
                None,
                "crc32c",
            ),
            ({"x-linked-etag": f'"{SHA256}"'}, None, "sha256"),
            ({}, f"sha256:{SHA256}", "sha256"),
            ({}, f"md5:{MD5}", "md5"),
            ({"x-goog-hash": google_hash(ALTERED)}, f"md5:{MD5}", "md5"),
        ],
    )
    def test_another_digest_is_refused(self, server, home, headers, digest, algorithm):
        server.serve(SERVED, Answer(ALTERED, headers=headers))
        cause = f"the received file has the {algorithm} digest [0-9a-f]+ instead of [0-9a-f]+"
        with pytest.raises(DownloadError, match=f"{cause}.*pass the path as `weights`"):
            fetch(URL, PATH, len(CONTENT), digest)
        assert not files(home)
        assert len(server.requests) == 3

    def test_digests_of_a_redirect_are_those_of_the_file(self, server, home):
        headers = {
            "Location": "/cdn",
            "x-linked-size": len(CONTENT),
            "x-linked-etag": f'"{SHA256}"',
        }
        server.serve(SERVED, Answer(b"moved", status=302, headers=headers))
        server.serve("/cdn", ALTERED)
        with pytest.raises(DownloadError, match="has the sha256 digest"):
            fetch(URL, PATH)
        server.serve("/cdn", Answer(CONTENT[:-1], headers={"Content-Length": None}))
        with pytest.raises(DownloadError, match="has 5,119 bytes instead of 5,120"):
            fetch(URL, PATH)
        assert not files(home)
        server.serve("/cdn", CONTENT)
        assert fetch(URL, PATH).read_bytes() == CONTENT

    @pytest.mark.parametrize("value", ["md5=?", "crc32c=", "md5=AAAA", "crc32c", "md5=AAA"])
    def test_an_unreadable_digest_is_an_error(self, server, home, value):
        server.serve(SERVED, Answer(CONTENT, headers={"x-goog-hash": value}))
        with pytest.raises(DownloadError, match="announces an unreadable digest"):
            fetch(URL, PATH)
        assert not files(home)

    @pytest.mark.parametrize("redirected", [False, True])
    def test_another_size_is_refused_before_the_transfer(self, server, home, redirected):
        # The body never comes: only a client that does not wait for it sees the sizes.
        answer = Answer(CONTENT, send_bytes=0, stall=True)
        if redirected:
            answer.headers = {"Content-Length": None}
            headers = {"Location": "/cdn", "x-linked-size": len(CONTENT)}
            server.serve(SERVED, Answer(status=302, headers=headers))
            server.serve("/cdn", answer)
        else:
            server.serve(SERVED, answer)
        with pytest.raises(DownloadError) as error:
            fetch(URL, PATH, num_bytes=1_234_567)
        assert "the server offers 5,120 bytes instead of 1,234,567." in str(error.value)
        assert "download them manually and pass the path as `weights`" in str(error.value)
        assert server.count(SERVED) == 1
        assert not files(home)

    def test_a_page_instead_of_the_file_is_refused(self, server, home):
        server.serve(SERVED, b"<html>Please log in to the network.</html>")
        with pytest.raises(DownloadError, match="offers 42 bytes instead of 5,120"):
            fetch(URL, PATH, len(CONTENT))
        with pytest.raises(DownloadError, match="has the sha256 digest"):
            fetch(URL, PATH, digest=f"sha256:{SHA256}")
        assert not files(home)

    def test_an_implausible_size_is_refused_before_the_transfer(self, server, home):
        answer = Answer(headers={"Content-Length": 10**9}, send_bytes=0, stall=True)
        server.serve(SERVED, answer)
        with pytest.raises(DownloadError, match="offers 1,000,000,000 bytes, of at most 5,000 exp"):
            fetch(URL, PATH, most_bytes=5_000)
        assert not files(home)

    @pytest.mark.parametrize("name", ["Content-Length", "X-Linked-Size"])
    @pytest.mark.parametrize("size", ["9" * 5_000, "9" * 20])
    def test_an_impossible_size_is_an_error(self, server, home, name, size):
        server.serve(SERVED, Answer(CONTENT, headers={name: size}))
        with pytest.raises(DownloadError, match="impossible size|limit .4300 digits") as error:
            fetch(URL, PATH)
        assert len(str(error.value)) < 1_000
        assert not files(home)

    def test_a_file_with_a_flaw_is_not_cached(self, server, home):
        server.serve(SERVED, ALTERED, CONTENT)

        def find_flaw(path):
            return "is altered" if path.read_bytes() == ALTERED else None

        path = fetch(URL, PATH, find_flaw=find_flaw)
        assert path.read_bytes() == CONTENT
        path.write_bytes(ALTERED)
        (home / RECORD).unlink()
        server.serve(SERVED, ALTERED)
        with pytest.raises(DownloadError, match="the received file is altered"):
            fetch(URL, PATH, find_flaw=find_flaw)

    @pytest.mark.parametrize("known", [True, False])
    def test_an_endless_answer_is_ended(self, server, home, monkeypatch, known):
        """Without a length the server could fill the disk."""
        monkeypatch.setattr(transfer, "CHUNK_BYTES", 100)
        monkeypatch.setattr(download, "LARGEST_FILE_BYTES", 1_000)
        server.serve(SERVED, Answer(CONTENT, headers={"Content-Length": None}))
        with pytest.raises(DownloadError, match="sends more than the expected 1,000 bytes"):
            fetch(URL, PATH, 1_000 if known else None)
        assert server.count(SERVED) == 1
        assert not files(home)

    def test_the_file_is_asked_for_as_it_is(self, server):
        server.serve(SERVED, CONTENT)
        fetch(URL, PATH)
        [(_, headers)] = server.requests
        assert headers["Accept-Encoding"] == "identity"


FAILURES = {
    "busy": (Answer(status=503), "the server answered 503 Service Unavailable"),
    "too many requests": (Answer(status=429), "the server answered 429 Too Many Requests"),
    "cut": (
        Answer(CONTENT, send_bytes=1234),
        "the connection was cut after 1,234 of 5,120 bytes",
    ),
    "truncated": (
        Answer(CONTENT, headers={"Content-Length": None}, send_bytes=1234),
        "the received file has 1,234 bytes instead of 5,120",
    ),
    "corrupt": (
        Answer(ALTERED, headers={"x-goog-hash": google_hash(CONTENT)}),
        "the received file has the crc32c digest",
    ),
}


class TestAttempts:
    @pytest.mark.parametrize("failure", FAILURES)
    def test_the_third_may_succeed(self, server, home, capsys, failure):
        answer, cause = FAILURES[failure]
        server.serve(SERVED, answer, answer, Answer(CONTENT))
        assert fetch(URL, PATH, len(CONTENT)).read_bytes() == CONTENT
        assert len(server.requests) == 3
        assert files(home) == {PATH, RECORD}
        printed = [line for line in capsys.readouterr().err.splitlines() if "keras_mixer" in line]
        assert len(printed) == 2
        assert all(cause in line and "Trying again in 0 s" in line for line in printed)

    @pytest.mark.parametrize("failure", FAILURES)
    def test_there_is_no_fourth(self, server, home, failure):
        answer, cause = FAILURES[failure]
        server.serve(SERVED, answer, answer, answer, Answer(CONTENT))
        with pytest.raises(DownloadError, match=f"{server.url}{SERVED} could not be.*{cause}"):
            fetch(URL, PATH, len(CONTENT))
        assert len(server.requests) == 3
        assert not files(home)

    @pytest.mark.parametrize("status, reason", [(403, "Forbidden"), (404, "Not Found")])
    def test_there_is_one_for_what_is_not_there(self, server, home, status, reason):
        server.serve(SERVED, Answer(b"<html>", status=status))
        with pytest.raises(DownloadError) as error:
            fetch(URL, PATH)
        message = str(error.value)
        assert f"{server.url}{SERVED} could not be downloaded" in message
        assert f"the server answered {status} {reason}." in message
        assert f"It belongs at {home / PATH}." in message
        assert "put the file there" in message and "KERAS_MIXER_MIRROR" in message
        assert len(server.requests) == 1
        assert not files(home)

    def test_the_waits_grow(self, server, monkeypatch):
        waits = []
        monkeypatch.setattr(download, "RETRY_WAITS_SECONDS", (2, 5))
        monkeypatch.setattr(time, "sleep", waits.append)
        server.serve(SERVED, Answer(status=500))
        with pytest.raises(DownloadError):
            fetch(URL, PATH)
        assert waits == [2, 5]

    def test_silence_ends(self, server, monkeypatch):
        monkeypatch.setattr(transfer, "TIMEOUTS_SECONDS", (0.2, 0.2))
        server.serve(SERVED, Answer(CONTENT, send_bytes=100, stall=True))
        with pytest.raises(DownloadError, match="the connection fell silent after .* of 5,120"):
            fetch(URL, PATH)
        assert len(server.requests) == 3

    def test_a_trickle_ends(self, server, home, monkeypatch):
        monkeypatch.setattr(transfer, "SPEED_SECONDS", 0.2)
        server.serve(SERVED, Answer(CONTENT, pause_seconds=0.001))
        with pytest.raises(DownloadError, match=r"the server is too slow, with \d+ bytes in 0 s"):
            fetch(URL, PATH)
        assert len(server.requests) == 1
        assert not files(home)

    def test_a_trickle_of_headers_ends(self, server, home, monkeypatch):
        monkeypatch.setattr(transfer, "ANSWER_SECONDS", 0.2)
        server.serve(SERVED, Answer(CONTENT, pause_seconds=0.05))
        with pytest.raises(DownloadError, match="the server did not answer within 0.2 s"):
            fetch(URL, PATH)
        assert not files(home)

    def test_a_slow_transfer_that_is_not_too_slow_ends_well(self, server, monkeypatch):
        monkeypatch.setattr(transfer, "SPEED_SECONDS", 0.05)
        monkeypatch.setattr(transfer, "LOWEST_SPEED", 10)
        server.serve(SERVED, Answer(CONTENT[:200], pause_seconds=0.001))
        assert fetch(URL, PATH).read_bytes() == CONTENT[:200]

    def test_without_a_network_the_next_step_is_said(self, offline, home, capsys):
        with pytest.raises(DownloadError) as error:
            fetch(URL, PATH)
        message = str(error.value)
        assert f"{offline}{SERVED} could not be downloaded: no connection: " in message
        assert "Connection refused." in message
        assert f"It belongs at {home / PATH}. Download that URL by other means" in message
        assert capsys.readouterr().err.count("no connection: Connection refused. Trying again") == 2
        assert not files(home)

    def test_an_unknown_host_is_no_connection(self, monkeypatch):
        def getaddrinfo(*_, **__):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        with pytest.raises(DownloadError, match="no connection: Name or service not known. It bel"):
            fetch(URL, PATH)


class TestMessages:
    def test_a_bar_with_the_name_goes_to_standard_error(self, server, capsys, caplog):
        server.serve(SERVED, CONTENT)
        fetch(URL, PATH)
        output = capsys.readouterr()
        assert "x.npz: 100%" in output.err and "5.12k/5.12k" in output.err
        assert output.out == ""
        assert not [record for record in caplog.records if record.levelname != "DEBUG"]


# It does not import Keras.
SCRIPT = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from keras_mixer.weights.download import fetch
print(fetch({URL!r}, {PATH!r}))
"""
BIG = CONTENT * 600  # three chunks


@contextlib.contextmanager
def another_process():
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(Path(keras_mixer.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


class TestProcesses:
    def test_two_at_once_both_end_with_the_whole_file(self, server, home):
        server.serve(SERVED, Answer(BIG, together=2))
        with another_process() as first, another_process() as second:
            for process in (first, second):
                output, errors = process.communicate(timeout=20)
                assert (process.returncode, output) == (0, f"{home / PATH}\n"), errors
        assert server.count(SERVED) == 2
        assert (home / PATH).read_bytes() == BIG
        assert files(home) == {PATH, RECORD}

    def test_two_threads_at_once_too(self, server, home):
        server.serve(SERVED, Answer(BIG, together=2))
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(fetch(URL, PATH).read_bytes()))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert found == [BIG, BIG]
        assert files(home) == {PATH, RECORD}

    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
    def test_an_interrupted_one_leaves_no_partial_file(self, server, home, end):
        server.serve(SERVED, Answer(BIG, send_bytes=len(BIG) * 4 // 5, stall=True), Answer(BIG))
        with another_process() as process:
            deadline = time.monotonic() + 20
            while not any(path.stat().st_size for path in home.rglob("*.part")):
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert not (home / PATH).exists()
            process.send_signal(end)
            _, errors = process.communicate(timeout=20)
        assert process.returncode != 0
        assert not (home / PATH).exists()
        if end == signal.SIGINT:
            assert "KeyboardInterrupt" in errors
            assert not files(home)
        assert fetch(URL, PATH, len(BIG)).read_bytes() == BIG

    def test_what_a_killed_one_left_is_cleared_after_a_day(self, server, home):
        server.serve(SERVED, CONTENT)
        old, young = (put(b"").with_name(f"x.npz.{name}.part") for name in ("old", "young"))
        old.write_bytes(b"half")
        young.write_bytes(b"half")
        two_days_ago = time.time() - 2 * 24 * 3600
        os.utime(old, (two_days_ago, two_days_ago))
        fetch(URL, PATH, len(CONTENT))
        assert not old.exists() and young.exists()
