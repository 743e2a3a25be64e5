"""The book's pages as text: their examples run, and the list of references is complete."""

from __future__ import annotations

import doctest
import re
import unicodedata
from pathlib import Path
from urllib.parse import unquote

import pytest
from bs4 import BeautifulSoup
from pybtex.database import parse_file
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
    return set(arxiv) | {plain_doi(name.rstrip(".)")) for name in doi}


def plain_doi(name: str) -> str:
    """Give a DOI as it is compared: without parentheses and percent signs, in lower case."""
    return unquote(name).replace("(", "").replace(")", "").lower()


def works() -> dict[str, dict[str, str]]:
    """Give the fields of each work of ``references.bib``, names in lower case, with its kind and its first author."""
    found = {}
    for key, entry in parse_file(str(BOOK / "references.bib"), "bibtex").entries.items():
        fields = {name.lower(): value for name, value in entry.fields.items()}
        found[key] = {**fields, "first author": " ".join(entry.persons["author"][0].last_names)}
    return found


def listed() -> set[str]:
    found = {work["eprint"] for work in works().values() if "eprint" in work}
    return found | {plain_doi(work["doi"]) for work in works().values() if "doi" in work}


def cited_in(place: Path) -> set[str]:
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return set().union(*(identifiers(file.read_text(encoding="utf-8")) for file in files))


FLOORS = [path for path in sorted((ROOT / "course_lib").iterdir()) if path.name != "__pycache__" and cited_in(path)]
CITING = [*(ROOT / f"{chapter}.ipynb" for chapter in CHAPTERS), *FLOORS, *sorted(BOOK.rglob("*.md"))]


@pytest.mark.parametrize("place", CITING, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_list_of_references_has_what_is_cited(place: Path) -> None:
    cited = cited_in(place)
    assert cited or place.suffix == ".md", "nothing is cited"
    assert sorted(cited - listed()) == [], "add these works to book/references.bib"


def test_the_optimizers_cite_papers() -> None:
    assert ROOT / "course_lib" / "optimization" in FLOORS


def test_every_work_is_complete() -> None:
    for key, work in works().items():
        assert {"title", "year", "keywords"} <= set(work), key
        # Cauchy's note has no address.
        assert {"doi", "eprint", "url"} & set(work) or key == "cauchy1847methode", key
        assert re.fullmatch(r"[a-z]+\d{4}[a-z]+[a-z0-9]*", key), key
        plain = unicodedata.normalize("NFKD", work["first author"]).encode("ascii", "ignore").decode().lower()
        surname = re.sub("[^a-z]", "", plain)
        assert surname.endswith(re.match("[a-z]+", key)[0]) or surname.startswith(re.match("[a-z]+", key)[0]), key


def test_no_work_stands_twice() -> None:
    for field in ("doi", "eprint", "url", "title"):
        values = [work[field].lower() for work in works().values() if field in work]
        assert sorted({value for value in values if values.count(value) > 1}) == []


@pytest.mark.browser
def test_the_page_shows_every_work_once(site: Path) -> None:
    page = BeautifulSoup((site / "book" / "references.html").read_text(encoding="utf-8"), "html.parser")
    items = page.select("article li")
    assert len(items) == len(works())
    links = [tag["href"] for item in items for tag in item.find_all("a")]
    for key, work in works().items():
        for field, start in (("doi", "https://doi.org/"), ("eprint", "https://arxiv.org/abs/"), ("url", "")):
            if field in work:
                assert links.count(start + work[field]) == 1, (key, work[field])


def test_identifiers_are_found() -> None:
    text = "arXiv:1412.6980, [x](https://doi.org/10.1137/16M1080173). <https://doi.org/10.1016/0041-5553(64)90137-5>"
    assert identifiers(text) == {"1412.6980", "10.1137/16m1080173", "10.1016/0041-55536490137-5"}
    assert identifiers("doi:10.1175/1(1950)%3C1:V%3E2.0.CO%3B2.") == {"10.1175/11950<1:v>2.0.co;2"}
