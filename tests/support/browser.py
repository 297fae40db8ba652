"""Web pages in headless Chromium, for tests that see what a reader's browser does."""

import contextlib
import dataclasses
import shutil
from typing import Any

import pytest

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Only servers on this machine exist for the browser, so a page that loads from others fails.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclasses.dataclass
class Visit:
    """A page in the browser, and what happened since it was opened.

    Attributes:
        page: The `playwright.sync_api.Page`.
        errors: Errors and warnings of the console, and exceptions that the page did not catch.
        failures: Requests without an answer, or with one of status 400 or more: "404 URL".
        urls: All URLs that were requested, in order.
    """

    page: Any
    errors: list = dataclasses.field(default_factory=list)
    failures: list = dataclasses.field(default_factory=list)
    urls: list = dataclasses.field(default_factory=list)

    def __post_init__(self):
        self.page.on("console", self._read_console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.urls.append(request.url))
        self.page.on("requestfailed", lambda r: self.failures.append(f"{r.failure} {r.url}"))
        self.page.on("response", self._read_response)

    def _read_console(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _read_response(self, response):
        if response.status >= 400:
            self.failures.append(f"{response.status} {response.url}")


@contextlib.contextmanager
def open_page(url, *flags):
    """Open a page in a new Chromium, with an empty profile, and yield a `Visit`.

    The test is skipped if Playwright or Chromium is not installed.

    Args:
        url: Address of the page, on 127.0.0.1.
        *flags: Further options of Chromium.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    chromium = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if chromium is None:
        pytest.skip(f"needs one of {', '.join(CHROMIUMS)}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=[*FLAGS, *flags])
        with contextlib.closing(browser):
            visit = Visit(browser.new_page())
            visit.page.goto(url)
            yield visit
