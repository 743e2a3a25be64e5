"""The built site's files: links, anchors, pictures and their texts, and what stands on the landing page."""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from site_pages import CHAPTERS, PAGES, ROOT

pytestmark = pytest.mark.browser


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(path: Path) -> set[str]:
    return {tag["id"] for tag in soup(path).find_all(id=True)} | {
        tag["name"] for tag in soup(path).find_all("a", attrs={"name": True})
    }


def fault_of_link(site: Path, page: Path, link: str) -> str | None:
    """Say what is wrong with a link; None where nothing is. Other hosts are not asked."""
    sound = "data:audio/wav;base64,"  # the chapter on speech holds its sounds itself
    if link.startswith(sound):
        return None if base64.b64decode(link.removeprefix(sound)).startswith(b"RIFF") else f"{link[:60]} is no sound"
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        if parts.scheme == "mailto" and "@" in parts.path:
            return None
        good_host = re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.hostname or "")
        return None if parts.scheme == "https" and good_host else f"{link} is no https address"
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_relative_to(site) or not target.is_file():
        return f"{link} leads to no file of the site"
    if parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in anchors(target):
        return f"{link} leads to no place on that page"
    return None


@pytest.mark.parametrize("name", ["index.html", *PAGES])
def test_links_lead_somewhere(site: Path, name: str) -> None:
    page = (site / name).resolve()
    links = [tag[key] for key in ("href", "src") for tag in soup(page).find_all(attrs={key: True})]
    # The bare "#" is what the theme's buttons have; a script answers them.
    faults = [fault_of_link(site.resolve(), page, link) for link in links if link not in ("#", "")]
    assert [fault for fault in faults if fault] == []
    assert links or name == "index.html"


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_has_a_text(site: Path, name: str) -> None:
    mute = [str(tag)[:200] for tag in soup(site / name).find_all("img") if not (tag.get("alt") or "").strip()]
    assert mute == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_figures_carry_the_text_of_the_notebook(site: Path, chapter: str) -> None:
    notebook = json.loads((ROOT / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    stored = [
        output["metadata"]["image/png"]["alt"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    page = soup(site / f"{chapter}.html")
    assert stored, "the chapter has no figure"
    assert [tag["alt"] for tag in page.select(".cell_output img")] == stored


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_landing_page_leads_to_each_chapter(site: Path, chapter: str) -> None:
    landing = soup(site / "book" / "index.html").select_one("#the-syllabus")
    assert landing.select(f'li a[href="../{chapter}.html"]')


def test_landing_page_marks_what_is_not_written(site: Path) -> None:
    landing = soup(site / "book" / "index.html").select_one("#the-syllabus")
    rows = [item.get_text(" ", strip=True) for item in landing.find_all("li")]
    numbers = [row[:2] for row in rows]
    assert numbers == [f"{number:02}" for number in range(1, 24)]
    written = {Path(chapter).name[:2] for chapter in CHAPTERS}
    assert {row[:2] for row in rows if "(not yet written)" not in row} == written


def test_results_page_shows_what_the_notebooks_measured(site: Path) -> None:
    section = soup(site / "book" / "results.html").select_one("#what-the-chapters-cost")
    rows = [row.get_text(" ", strip=True) for row in section.select("tbody tr")]
    assert len(rows) == len(CHAPTERS)
    for row, chapter in zip(rows, sorted(CHAPTERS), strict=True):
        measured = json.loads((ROOT / f"{chapter}.ipynb").read_text(encoding="utf-8"))["metadata"]["course"]["measured"]
        assert measured["date"] in row
        assert measured["device"] in row
