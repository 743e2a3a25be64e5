"""The book's own extension, by builds of a book of one chapter."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from site_pages import ROOT, build

pytestmark = pytest.mark.browser

# One pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
ALT = 'One pixel, which shows "nothing" & says so.'
CHAPTER = "notebooks/03_gradient_descent"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Make a book of one page and one chapter with the course's own configuration and extension."""
    shutil.copytree(ROOT / "book" / "_ext", tmp_path / "book" / "_ext", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "book" / "_static", tmp_path / "book" / "_static")
    shutil.copy(ROOT / "book" / "references.bib", tmp_path / "book")  # the configuration names it
    shutil.copy(ROOT / "_config.yml", tmp_path)
    toc = {"format": "jb-book", "root": "book/index", "chapters": [{"file": CHAPTER}]}
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    (tmp_path / "book" / "index.md").write_text("# A book\n\n```{measured-chapters}\n```\n")
    write_chapter(tmp_path, {"image/png": {"alt": ALT}})
    return tmp_path


def write_chapter(book: Path, metadata: dict, measured: dict | None = None) -> None:
    output = new_output("display_data", data={"image/png": PNG, "text/plain": ALT}, metadata=metadata)
    notebook = new_notebook(
        cells=[new_markdown_cell("# 03 Gradient descent"), new_code_cell("show()", outputs=[output])],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    notebook.metadata["course"] = {"measured": measured} if measured else {}
    (book / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, book / f"{CHAPTER}.ipynb")


def set_repository(book: Path, url: str) -> None:
    config = yaml.safe_load((book / "_config.yml").read_text())
    config["repository"]["url"] = url
    (book / "_config.yml").write_text(yaml.safe_dump(config))


def built(book: Path, page: str) -> BeautifulSoup:
    result = build(book)
    assert result.returncode == 0, result.stdout + result.stderr
    return BeautifulSoup((book / "_build" / "html" / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


def links(page: BeautifulSoup) -> list[str]:
    return [tag["href"] for tag in page.find_all(href=True)]


def test_without_an_address_there_is_no_button(book: Path) -> None:
    set_repository(book, "")
    page = built(book, CHAPTER)
    assert [link for link in links(page) if "github" in link or "colab" in link] == []
    assert page.select(".dropdown-launch-buttons, .dropdown-source-buttons") == []


def test_with_an_address_the_colab_button_opens_the_notebook(book: Path) -> None:
    set_repository(book, "https://github.com/org/repo")
    page = built(book, CHAPTER)
    assert f"https://colab.research.google.com/github/org/repo/blob/main/{CHAPTER}.ipynb" in links(page)
    assert "https://github.com/org/repo" in links(page)
    index = BeautifulSoup((book / "_build" / "html" / "book" / "index.html").read_text(), "html.parser")
    assert [link for link in links(index) if "colab" in link] == [], "a page that is no notebook has a Colab button"


def test_figure_gets_the_alt_text_of_its_output(book: Path) -> None:
    page = built(book, CHAPTER)
    assert [tag["alt"] for tag in page.select(".cell_output img")] == [ALT]


def test_figure_without_alt_text_fails_the_build(book: Path) -> None:
    write_chapter(book, {"image/png": {"alt": "  "}})
    result = build(book)
    assert result.returncode != 0
    assert "03_gradient_descent" in result.stderr
    assert "has no alt text" in result.stderr


def test_table_of_chapters_follows_the_notebooks(book: Path) -> None:
    assert "not measured yet" in built(book, "book/index").get_text()
    measured = {
        "seconds": 12.2,
        "peak_mib": 345.1,
        "scale": "laptop",
        "device": "CPU with 2 cores",
        "versions": {"NumPy": "2.4.6", "Python": "3.11.7"},
        "date": "2026-11-22",
    }
    write_chapter(book, {"image/png": {"alt": ALT}}, measured)
    rows = built(book, "book/index").select("tbody tr")  # the second build is incremental: the page must notice
    assert [cell.get_text() for cell in rows[0].select("td")] == [
        "03 Gradient descent",
        "13 s",
        "346 MiB",
        "laptop, CPU with 2 cores",
        "NumPy 2.4.6, Python 3.11.7",
        "2026-11-22",
    ]
