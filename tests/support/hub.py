"""A stand-in for the Hugging Face Hub on loopback: what huggingface_hub asks of it.

It stores files in memory, and answers as the Hub does: a redirect to another path for files of
LFS, codes of errors in headers, commits in lines of JSON.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import logging
import re
from urllib.parse import unquote, urlsplit

import yaml

from tests.support.loopback import LoopbackServer

TOKEN = "hf_stand_in_for_a_secret"
LFS_SUFFIXES = (".safetensors", ".keras")
LARGEST_REGULAR_BYTES = 10**7


class Hub(LoopbackServer):
    """The stand-in.

    Attributes:
        repositories: `{"USER/REPO": {commit: {file: bytes}}}`, the newest commit last.
        private: Names of private repositories, which need the token.
        failing: `{pattern of "METHOD /path": status}` of requests to be refused.
        metadata_errors: What it finds wrong with the metadata of a model card.
        truncated: Names of files of which only a half is sent.
        sizes: `{file: bytes}` to be stated instead of the true ones.
        requests: `["METHOD /path", …]` so far.
        authorizations: The headers `Authorization` so far.
    """

    def __init__(self):
        self.repositories = {}
        self.private = set()
        self.failing = {}
        self.truncated = set()
        self.metadata_errors = []
        self.sizes = {}
        self.requests = []
        self.authorizations = []
        self.objects = {}  # of LFS, by digest

    def use(self, monkeypatch, cache, token=TOKEN):
        """Let huggingface_hub talk to this server, with an empty cache and a token or none."""
        import huggingface_hub
        from huggingface_hub import constants

        for name, value in self.environment(cache, token).items():
            monkeypatch.setenv(name, value)
        if not token:
            monkeypatch.delenv("HF_TOKEN", raising=False)
        # It reads the environment when it is imported, and other tests may have done that.
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        template = self.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # between its attempts
        # Its handler holds the standard error stream of the test that imported it.
        monkeypatch.setattr(logging.getLogger("huggingface_hub"), "handlers", [])
        huggingface_hub.close_session()

    def environment(self, cache, token=TOKEN):
        """Return the variables with which another process uses this server."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(cache),
            "HF_HUB_DISABLE_XET": "1",  # a protocol of its own
            "HF_TOKEN": token,
            "NO_PROXY": "127.0.0.1",
        }

    def put(self, name, files):
        """Commit files, `{name: bytes}`, to a repository; return the commit."""
        commits = self.repositories.setdefault(name, {})
        commit = hashlib.sha1(f"{name} {len(commits)}".encode()).hexdigest()
        commits[commit] = {**self.files(name), **files}
        return commit

    def files(self, name):
        """Return the files in the newest commit of a repository, `{name: bytes}`."""
        commits = self.repositories.get(name)
        return dict(next(reversed(commits.values()))) if commits else {}

    def answer(self, method, path, body, headers):
        """Return the status, the headers and the body of an answer."""
        self.requests.append(f"{method} {path}")
        self.authorizations.append(headers.get("Authorization", ""))
        for pattern, status in self.failing.items():
            if re.search(pattern, f"{method} {path}"):
                return status, {}, b"refused"
        for form, function in self._routes():
            if match := re.fullmatch(form, f"{method} {path}"):
                return function(*map(unquote, match.groups()), body, headers)
        return 404, {}, b"not a part of the stand-in"

    def _routes(self):
        name = r"([\w.-]+/[\w.-]+)"
        return (
            (r"POST /api/repos/create", self._create),
            (r"POST /api/validate-yaml", self._validate),
            (rf"GET /api/models/{name}", self._info),
            (rf"POST /api/models/{name}/preupload/([^/]+)", self._preupload),
            (rf"POST /api/models/{name}/commit/([^/]+)", self._commit),
            (rf"POST /{name}\.git/info/lfs/objects/batch", self._batch),
            (r"PUT /objects/(\w+)", self._store),
            (r"(?:GET|HEAD) /objects/(\w+)", self._object),
            (rf"(?:GET|HEAD) /{name}/resolve/([^/]+)/(.+)", self._resolve),
        )

    def _create(self, body, headers):
        wanted = json.loads(body)
        name = f"{wanted['organization']}/{wanted['name']}"
        url = {"url": f"{self.url}/{name}"}
        if not _is_authorized(headers):
            return 401, {}, b"{}"
        if name in self.repositories:
            return _json({**url, "error": "You already created this model repo"}, 409)
        self.repositories[name] = {}
        if wanted.get("visibility") == "private" or wanted.get("private"):
            self.private.add(name)
        return _json(url)

    def _validate(self, body, headers):
        _, front, _ = json.loads(body)["content"].split("---\n", 2)
        errors = list(self.metadata_errors)
        try:
            yaml.safe_load(front)
        except yaml.YAMLError as error:
            errors.append(str(error))
        found = {"errors": [{"message": error} for error in errors], "warnings": []}
        return _json(found, 400 if errors else 200)

    def _info(self, name, body, headers):
        if not self._is_visible(name, headers):
            return 401, {"X-Error-Code": "RepoNotFound"}, b""
        commits = self.repositories[name]
        sha = next(reversed(commits), None)
        info = {"id": name, "sha": sha, "private": name in self.private, "tags": []}
        return _json(info | {"downloads": 0, "likes": 0, "siblings": []})

    def _preupload(self, name, revision, body, headers):
        if not _is_authorized(headers):
            return 401, {"X-Error-Code": "RepoNotFound"}, b""
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs"
                if file["path"].endswith(LFS_SUFFIXES) or file["size"] > LARGEST_REGULAR_BYTES
                else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        return _json({"files": files})

    def _batch(self, name, body, headers):
        objects = [
            {
                **one,
                "actions": {"upload": {"href": f"{self.url}/objects/{one['oid']}", "header": {}}},
            }
            for one in json.loads(body)["objects"]
        ]
        return _json({"transfer": "basic", "objects": objects})

    def _store(self, oid, body, headers):
        if hashlib.sha256(body).hexdigest() != oid:
            return 400, {}, b"another digest"
        self.objects[oid] = body
        return 200, {}, b""

    def _object(self, oid, body, headers):
        return 200, {}, self.objects[oid]

    def _commit(self, name, revision, body, headers):
        files = {}
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
        oid = self.put(name, files)
        return _json({"commitUrl": f"{self.url}/{name}/commit/{oid}", "commitOid": oid})

    def _resolve(self, name, revision, file, body, headers):
        if not self._is_visible(name, headers):
            return 401, {"X-Error-Code": "RepoNotFound"}, b""
        commits = self.repositories[name]
        commit = next(reversed(commits)) if revision == "main" else revision
        if commit not in commits:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        content = commits[commit].get(file)
        about = {"X-Repo-Commit": commit}
        if content is None:
            return 404, {**about, "X-Error-Code": "EntryNotFound"}, b""
        digest = hashlib.sha256(content).hexdigest()
        if not file.endswith(LFS_SUFFIXES):
            return 200, {**about, "ETag": f'"{digest[:40]}"'}, content
        self.objects[digest] = content[: len(content) // 2] if file in self.truncated else content
        linked = {
            "X-Linked-ETag": f'"{digest}"',
            "X-Linked-Size": str(self.sizes.get(file, len(content))),
        }
        # On the Hub, another host; requests for it carry no token.
        location = self.url.replace("127.0.0.1", "localhost")
        return 302, {**about, **linked, "Location": f"{location}/objects/{digest}"}, b""

    def _is_visible(self, name, headers):
        return name in self.repositories and (name not in self.private or _is_authorized(headers))

    def _handler(self):
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def respond(self):
                path = urlsplit(self.path).path
                status, headers, body = hub.answer(self.command, path, self.read(), self.headers)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    with contextlib.suppress(ConnectionError):
                        self.wfile.write(body)

            def read(self):
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            do_GET = do_HEAD = do_POST = do_PUT = respond

            def log_message(self, *_):
                pass

        return Handler


def _is_authorized(headers):
    return headers.get("Authorization") == f"Bearer {TOKEN}"


def _json(value, status=200):
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()
