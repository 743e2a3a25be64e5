"""Which pages the site has, how it is built, and how a test opens a page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from playwright.sync_api import Browser, Page, Route

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = {"phone": (390, 844), "desktop": (1280, 900)}


def toc_pages() -> list[str]:
    """List the documents of ``_toc.yml``, as ``book/index`` or ``notebooks/03_gradient_descent``."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    found = [toc["root"]]

    def collect(entries: list[dict]) -> None:
        for entry in entries:
            if "file" in entry:
                found.append(entry["file"])
            collect(entry.get("chapters", []) + entry.get("sections", []))

    collect(toc.get("parts", []) + toc.get("chapters", []))
    return found


CHAPTERS = [page for page in toc_pages() if page.startswith("notebooks/")]
PAGES = [f"{page}.html" for page in toc_pages()] + ["search.html", "genindex.html"]


def build(root: Path) -> subprocess.CompletedProcess[str]:
    """Build the book that stands in a folder, with every warning an error."""
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [str(jupyter_book), "build", ".", "-W", "-n", "--keep-going"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


@dataclass
class Visit:
    """An open page, and what went wrong while it was open."""

    page: Page
    off_site: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@contextmanager
def visit(browser: Browser, top: str, page: str, width: str = "desktop") -> Iterator[Visit]:
    """Open a page with every way off the site closed, and wait until its mathematics is set.

    `page` is relative to `top`, the address of the site. Nothing outside `top` is reached: such a request is noted
    and refused.
    """
    columns, rows = WIDTHS[width]
    context = browser.new_context(viewport={"width": columns, "height": rows})
    opened = Visit(context.new_page())

    def gate(route: Route) -> None:
        if route.request.url.startswith((top + "/", "data:", "blob:")):
            route.continue_()
        else:
            opened.off_site.append(route.request.url)
            route.abort()

    context.route("**/*", gate)
    on = opened.page.on
    on("console", lambda message: message.type == "error" and opened.faults.append(f"console: {message.text}"))
    on("pageerror", lambda error: opened.faults.append(f"script: {error}"))
    on("requestfailed", lambda request: opened.faults.append(f"not loaded: {request.url} ({request.failure})"))
    on("response", lambda answer: answer.status >= 400 and opened.faults.append(f"{answer.status}: {answer.url}"))
    try:
        opened.page.goto(f"{top}/{page}", wait_until="load")
        opened.page.evaluate("() => window.MathJax?.startup?.promise")
        opened.page.evaluate("() => document.fonts.ready.then(() => null)")
        yield opened
    finally:
        context.close()
