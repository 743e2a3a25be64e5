"""The book's pages as text: their examples run, and the list of references is complete."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
from site_pages import CHAPTERS, ROOT

BOOK = ROOT / "book"


@pytest.mark.parametrize("page", sorted(BOOK.rglob("*.md")), ids=lambda path: str(path.relative_to(BOOK)))
def test_examples_run(page: Path) -> None:
    """Run the Python fences of a page; what they show with ``>>>`` prints what the page says."""
    fences = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    example = doctest.DocTestParser().get_doctest("\n".join(fences), {}, page.name, str(page), 0)
    assert doctest.DocTestRunner().run(example).failed == 0


def identifiers(text: str) -> set[str]:
    """Find the arXiv numbers and DOIs in a text; a DOI ends before punctuation that closes a link or a sentence."""
    arxiv = re.findall(r"arxiv(?:\.org/abs/|:)(\d{4}\.\d{4,5})", text, re.IGNORECASE)
    doi = re.findall(r"\b10\.\d{4,9}/[^\s\"\\\]>`,;]+", text)
    return set(arxiv) | {name.rstrip(".)").replace("(", "").replace(")", "").lower() for name in doi}


@pytest.mark.parametrize("source", [*(f"{chapter}.ipynb" for chapter in CHAPTERS), "course_lib/optimization"])
def test_references_page_lists_what_is_cited(source: str) -> None:
    place = ROOT / source
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    cited = set().union(*(identifiers(file.read_text(encoding="utf-8")) for file in files))
    listed = identifiers((BOOK / "references.md").read_text(encoding="utf-8"))
    assert cited, "nothing is cited"
    assert sorted(cited - listed) == [], "add these works to book/references.md"


def test_identifiers_are_found() -> None:
    text = "arXiv:1412.6980, [x](https://doi.org/10.1137/16M1080173). <https://doi.org/10.1016/0041-5553(64)90137-5>"
    assert identifiers(text) == {"1412.6980", "10.1137/16m1080173", "10.1016/0041-55536490137-5"}
