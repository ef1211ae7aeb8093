"""A server of its own for the browser tests, and pages that tell of anything that goes wrong in them."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.app.tiny_folder import make_folder
from ui.state import OTHER

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 30_000
"""Milliseconds that any state may take to be reached on a busy machine."""

_PROBE = re.compile(r"^/[a-z]+/_stcore/(health|host-config)$")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser test that fails is run once more, and the summary says so: a click can hit a page that is being drawn
    anew. What is broken fails twice.
    """
    for item in items:
        if item.get_closest_marker("browser") is not None:
            item.add_marker(pytest.mark.flaky(reruns=1))


@dataclass
class Watch:
    """What went wrong in a test's pages."""

    console: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> Page:
        """Note the page's console errors, uncaught exceptions and requests to other hosts."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on("request", self._request)
        page.on("websocket", lambda socket: self._host(socket.url))
        return page

    def _console(self, message: ConsoleMessage) -> None:
        """Note an error, unless it is Streamlit's: at a page's own address it looks for its server there first."""
        if message.type == "error" and not _PROBE.search(urlsplit(message.location["url"]).path):
            self.console.append(message.text)

    def _request(self, request: Request) -> None:
        self._host(request.url)

    def _host(self, url: str) -> None:
        if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname not in ("localhost", "127.0.0.1"):
            self.foreign.append(url)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of four layers with random weights."""
    return make_folder(tmp_path_factory.mktemp("models") / "tiny", n_layers=4)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app's address; the server's log is shown where it does not start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    command = [sys.executable, "-m", "ui", "--server.port", str(port)]
    command += ["--server.headless", "true", "--server.fileWatcherType", "none"]
    store = {"IVCORE_CACHE": str(tmp_path_factory.mktemp("store"))}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT, env=os.environ | store
        )
    try:
        _await(f"http://localhost:{port}/_stcore/health", process, log)
        yield f"http://localhost:{port}/"
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium: the one that CHROMIUM names, Debian's, or one on PATH."""
    path = os.environ.get("CHROMIUM") or next(
        (found for name in ("/usr/bin/chromium", "chromium", "google-chrome") if (found := shutil.which(name))), None
    )
    assert path, "no Chromium found; install Debian's chromium, or name one in the environment variable CHROMIUM"
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails the test whose pages had a console error or asked another host for anything."""
    found = Watch()
    yield found
    assert found.foreign == []
    assert found.console == []


@pytest.fixture
def visit(browser: Browser, server: str, folder: Path, watch: Watch) -> Iterator[Visit]:
    """Open the app as a new visitor."""
    visits = Visit(browser, server, folder, watch)
    yield visits
    for context in visits.contexts:
        context.close()


@dataclass
class Visit:
    """Opens pages, each as a visitor who was never there before."""

    browser: Browser
    server: str
    folder: Path
    watch: Watch
    contexts: list[BrowserContext] = field(default_factory=list)

    def __call__(self, *, width: int = 1400, height: int = 1000, scheme: str = "light", **parameters: object) -> Page:
        """The app on the tiny model; ``parameters`` go into the address."""
        named = {"model": OTHER, "ref": str(self.folder)} | parameters
        return self.address(f"{self.server}?{urlencode(named, doseq=True)}", width=width, height=height, scheme=scheme)

    def address(self, url: str, *, width: int = 1400, height: int = 1000, scheme: str = "light") -> Page:
        """The page at ``url``, once its result is there."""
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            accept_downloads=True,
        )
        context.set_default_timeout(PATIENCE)
        self.contexts.append(context)
        page = self.watch.follow(context.new_page())
        page.goto(url)
        return page


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, f"the server ended:\n{log.read_text()}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"the server did not answer:\n{log.read_text()}")
