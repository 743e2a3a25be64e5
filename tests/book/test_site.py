"""The built site in a headless browser, as a reader meets it: from a folder or a server, on a phone or a desk."""

from __future__ import annotations

import json
import re
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page
from site_pages import CHAPTERS, PAGES, WIDTHS, Visit, visit

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


# Scripts for the page.
BROKEN_PICTURES = "() => [...document.images].filter(i => !(i.complete && i.naturalWidth)).map(i => i.src)"
PROSE = """() => [...document.querySelectorAll('.bd-article :is(p, li, td, th, h1, h2, h3, summary)')].map(element => {
    const copy = element.cloneNode(true);
    copy.querySelectorAll('code, pre, mjx-container, script').forEach(part => part.remove());
    return copy.textContent;
})"""
# Scroll boxes may hold more than they show; they themselves may not be wider than the screen.
TOO_WIDE = """columns => [...document.querySelectorAll('body *')].filter(element => {
    if (!element.checkVisibility() || element.closest('dialog, .bd-sidebar-primary, .bd-sidebar-secondary'))
        return false;
    if (element.closest('#pst-skip-link, mjx-assistive-mml')) return false;
    for (let box = element.parentElement; box; box = box.parentElement)
        if (box.matches('.bd-article *') && getComputedStyle(box).overflowX != 'visible') return false;
    return element.getBoundingClientRect().right > columns + 1;
}).map(element => element.outerHTML.slice(0, 150))"""

# Text that a box hides for good: no scrolling brings it back.
CUT_OFF = """() => {
    const overflow = element => getComputedStyle(element).overflowX, cut = [];
    const texts = document.createTreeWalker(document.querySelector('.bd-main'), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const range = document.createRange();
        range.selectNodeContents(texts.currentNode);
        const text = range.getBoundingClientRect();
        const element = texts.currentNode.parentElement;
        if (!text.width || !element.checkVisibility() || element.closest('mjx-assistive-mml')) continue;
        let box = element;
        while (box && overflow(box) == 'visible') box = box.parentElement;
        if (!box || !['hidden', 'clip'].includes(overflow(box))) continue;
        const room = box.getBoundingClientRect();
        if (room.width > 2 && (text.left < room.left - 1 || text.right > room.right + 1)) cut.push(range.toString());
    }
    return cut;
}"""


def check_opened(opened: Visit, name: str) -> None:
    """No error, no request off the site, every picture loaded, every formula set."""
    # Pictures below the fold are loaded when they are scrolled to.
    opened.page.evaluate("() => document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    opened.page.evaluate("() => Promise.allSettled([...document.images].map(image => image.decode()))")
    assert opened.off_site == []
    assert opened.faults == []
    assert opened.page.evaluate(BROKEN_PICTURES) == []
    check_mathematics(opened.page, name.removesuffix(".html") in [*CHAPTERS, "book/notation"])


def check_mathematics(page: Page, expected: bool) -> None:
    """Each formula is set, none as an error, in MathJax's own font, and no formula is left as text."""
    formulas = page.locator(".bd-article .math")
    unset = "es => es.filter(e => !e.querySelector('mjx-container')).map(e => e.textContent)"
    assert formulas.evaluate_all(unset) == []
    assert page.locator("mjx-merror, [data-mjx-error]").all_text_contents() == []
    left = [text for text in page.evaluate(PROSE) if re.search(r"\$[^$]+\$|\\\(|\\\[|\\begin\{", text)]
    assert left == []
    if expected:
        assert formulas.count() > 0
        assert page.evaluate("() => [...document.fonts].some(f => f.family.startsWith('MJX') && f.status == 'loaded')")


@pytest.mark.parametrize("page", PAGES)
def test_page_opens_from_a_server(browser: Browser, addresses: dict[str, str], page: str) -> None:
    with visit(browser, addresses["http"], page) as opened:
        check_opened(opened, page)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", WIDTHS)
def test_page_opens_from_a_folder_fits_and_is_accessible(
    browser: Browser, addresses: dict[str, str], width: str, page: str
) -> None:
    """Nothing is wider than the screen, and axe-core finds no serious or critical violation."""
    with visit(browser, addresses["file"], page, width) as opened:
        check_opened(opened, page)
        # Solutions and hidden cells are part of the page: open them.
        opened.page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
        opened.page.evaluate("() => Promise.all(document.getAnimations().map(animation => animation.finished))")
        columns = WIDTHS[width][0]
        assert opened.page.evaluate(TOO_WIDE, columns) == []
        assert opened.page.evaluate(CUT_OFF) == []
        assert opened.page.evaluate("() => document.scrollingElement.scrollWidth") <= columns
        opened.page.evaluate(AXE)
        result = opened.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        assert result["passes"], "axe found nothing that it could check"
        faults = [
            f"{fault['id']}: {fault['help']}: {node['html'][:200]}"
            for fault in result["violations"]
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]
        assert faults == []


@pytest.mark.parametrize("way", ["file", "http"])
def test_search_finds_a_word_of_a_chapter(browser: Browser, addresses: dict[str, str], way: str) -> None:
    with visit(browser, addresses[way], "search.html?q=condition+number") as opened:
        opened.page.wait_for_selector("#search-results li a", timeout=10_000)
        opened.page.wait_for_function(
            "() => !document.querySelector('.search-progress, #search-progress')?.offsetHeight"
        )
        targets = opened.page.locator("#search-results li > a").evaluate_all("es => es.map(e => e.href)")
        assert any("book/glossary.html" in target for target in targets)
        assert opened.off_site == []
        assert opened.faults == []


def test_search_finds_nothing_for_nonsense(browser: Browser, addresses: dict[str, str]) -> None:
    with visit(browser, addresses["http"], "search.html?q=qwxzvbkj") as opened:
        opened.page.wait_for_selector("#search-results .search-summary", timeout=10_000)
        opened.page.wait_for_timeout(500)
        assert opened.page.locator("#search-results li").count() == 0


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_claims_wrap_on_a_phone_and_lose_nothing(browser: Browser, addresses: dict[str, str], chapter: str) -> None:
    """Every claim of the stored outputs can be read without scrolling sideways, and tables keep their columns."""
    cells = json.loads((Path(__file__).parents[2] / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    printed = "".join(
        "".join(o.get("text", "")) for c in cells for o in c.get("outputs", []) if o.get("name") == "stdout"
    )
    stored = [line.strip() for line in printed.splitlines() if line.startswith("✓ ")]
    with visit(browser, addresses["file"], f"{chapter}.html", "phone") as opened:
        shown = opened.page.locator(".cell_output .claim:not(.values)").all_text_contents()
        assert [line.strip() for line in shown] == stored != []
        wide = "es => es.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
        assert opened.page.locator(".cell_output .claim").evaluate_all(wide) == []
        spaces = "es => es.map(e => getComputedStyle(e).whiteSpace)"
        assert set(opened.page.locator(".cell_output .line").evaluate_all(spaces)) == {"pre"}
