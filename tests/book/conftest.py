"""The built site, served and opened: fixtures of the tests in this folder."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from site_pages import ROOT, build

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def site() -> Path:
    """Give the folder of the built site: ``COURSE_SITE`` where set, else ``_build/html``, brought up to date."""
    if os.environ.get("COURSE_SITE"):
        folder = Path(os.environ["COURSE_SITE"]).resolve()
        if not (folder / "index.html").is_file():
            pytest.fail(f"COURSE_SITE is {folder}, which holds no index.html")
        return folder
    result = build(ROOT)
    if result.returncode:
        pytest.fail(f"the book does not build:\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
    return ROOT / "_build" / "html"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def addresses(site: Path) -> Iterator[dict[str, str]]:
    """Give the address of the site's top for each way of opening it."""
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"file": site.as_uri(), "http": f"http://127.0.0.1:{server.server_address[1]}"}
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the Chromium that ``CHROMIUM`` names or that is on the path."""
    named = [os.environ.get("CHROMIUM"), *map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))]
    program = next(filter(None, named), None)
    if program is None:
        pytest.skip("no Chromium: put chromium on the path, or its full name into CHROMIUM")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        yield running
        running.close()
