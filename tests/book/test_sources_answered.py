"""The pages ``book/sources.md`` and ``book/errata.md``: complete against the five documents, and leading somewhere."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from book_pages import BOOK, ROOT, SOURCES, document, pattern_of, places_of, sections_of, stands_in
from bs4 import BeautifulSoup
from myst_parser.mdit_to_docutils.base import default_slugify
from site_pages import CHAPTERS

needs_documents = pytest.mark.skipif(SOURCES is None, reason="the five documents are not beside this checkout")
WRITTEN = {Path(chapter).name[:2]: chapter for chapter in CHAPTERS}
SYLLABUS = [f"{number:02}" for number in range(1, 24)]
# Latin words of the documents that are no names: of questions, of printed lines and of formulas.
NO_NAMES = {"Epoch", "Loss", "Test", "True"}
# Words with a dot or an underscore that are variables of a program or symbols of a formula.
VARIABLES = {"self.fc1", "self.fc2", "x_train", "y_train", "x_test", "y_pred", "loss_fn", "model_params", "train_op"}
VARIABLES |= {"x_i", "y_i", "m_t", "v_t", "g_t", "__init__"}


def tables(page: str) -> dict[str, list[list[str]]]:
    """Give the rows of a page's tables, each a list of cells, by the heading above the table."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in page.splitlines():
        if match := re.fullmatch(r"#+ (.*)", line):
            heading = match[1]
        elif line.startswith("| ") and not line.startswith(("| ---", "| Section |", "| Name |")):
            found.setdefault(heading, []).append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


@cache
def source_tables() -> dict[str, list[list[str]]]:
    return tables((BOOK / "sources.md").read_text(encoding="utf-8"))


def section_rows(number: int) -> list[list[str]]:
    (rows,) = [rows for heading, rows in source_tables().items() if heading.startswith(f"Document {number}:")]
    return rows


def name_rows() -> list[list[str]]:
    return [row for rows in source_tables().values() for row in rows if len(row) == 4]


def terms_of(row: list[str]) -> list[str]:
    return [term.strip("`") for term in row[1].split("; ")]


@cache
def slugs(path: Path) -> set[str]:
    """Give the anchors of a page's or a notebook's headings down to level 3 (``myst_heading_anchors``)."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return {default_slugify(heading) for heading in re.findall(r"^#{1,3} (.*)$", text, re.MULTILINE)}


def faults_of_place(cell: str) -> list[str]:
    """Say what is wrong with a cell that says where something is treated; nothing, where every part leads somewhere."""
    links = re.findall(r"\]\(([^)]+)\)", cell)
    planned = [number for group in re.findall(r"planned: chapter ([\d, ]+)", cell) for number in group.split(", ")]
    faults = [] if links or planned else ["neither a link nor a planned chapter"]
    for link in links:
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = (BOOK / parts.path).resolve()
        page = target.relative_to(ROOT).with_suffix("").as_posix()
        if not target.is_file() or (page.startswith("notebooks/") and page not in CHAPTERS):
            faults.append(f"{link} leads to no page of the book")
        elif parts.fragment not in slugs(target):
            faults.append(f"{link} leads to no heading")
    faults += [f"chapter {number} is not in the syllabus" for number in planned if number not in SYLLABUS]
    return faults + [f"chapter {number} is written: link to it" for number in planned if number in WRITTEN]


def test_faults_of_a_place_are_seen() -> None:
    good = "[03](../notebooks/03_gradient_descent.ipynb#a-step-against-the-gradient); planned: chapter 21, 22"
    assert faults_of_place(good) == []
    assert faults_of_place("chapter three") == ["neither a link nor a planned chapter"]
    assert faults_of_place("planned: chapter 24") == ["chapter 24 is not in the syllabus"]
    assert faults_of_place("planned: chapter 21, 03") == ["chapter 03 is written: link to it"]
    assert "no heading" in faults_of_place("[x](../notebooks/03_gradient_descent.ipynb#no-such-thing)")[0]
    assert "no page" in faults_of_place("[x](../notebooks/03_descent.ipynb#a-step-against-the-gradient)")[0]


@pytest.mark.parametrize("heading", source_tables())
def test_every_row_leads_somewhere(heading: str) -> None:
    faults = {row[0]: faults_of_place(row[-1]) for row in source_tables()[heading]}
    assert {name: fault for name, fault in faults.items() if fault} == {}


def test_no_name_stands_twice() -> None:
    terms = [term for row in name_rows() for term in terms_of(row)]
    assert sorted({term for term in terms if terms.count(term) > 1}) == []


@needs_documents
@pytest.mark.parametrize("number", range(1, 6))
def test_every_section_has_a_row(number: int) -> None:
    assert [row[0] for row in section_rows(number)] == list(sections_of(number))


@needs_documents
def test_names_stand_where_the_page_says() -> None:
    places = places_of([term for row in name_rows() for term in terms_of(row)])
    assert [term for term, found in places.items() if not found] == [], "these stand in no document"
    said = {row[0]: row[2] for row in name_rows()}
    counted = {row[0]: stands_in([place for term in terms_of(row) for place in places[term]]) for row in name_rows()}
    assert said == counted


@needs_documents
@pytest.mark.parametrize("number", range(1, 6))
def test_no_latin_name_is_missing(number: int) -> None:
    rest = pattern_of([term for row in name_rows() for term in terms_of(row)]).sub(" ", document(number))
    names = re.findall(r"(?<![A-Za-z0-9_.\\])[A-Z][A-Za-z0-9-]+|[a-z]+[A-Z]\w+", rest)
    dotted = re.findall(r"(?<![\w.\\])(?:[a-z]\w*(?:\.[A-Za-z_]\w*)+|[a-z]\w*_\w+)", rest)
    assert sorted(set(names) - NO_NAMES) == []
    assert sorted(set(dotted) - VARIABLES) == []


@needs_documents
@pytest.mark.parametrize("number", range(1, 6))
def test_no_item_of_a_list_is_missing(number: int) -> None:
    """In Chinese a list of names is joined by 、: each item holds a name of the tables, or is known to be none."""
    pattern = pattern_of([term for row in name_rows() for term in terms_of(row)])
    lists = re.findall(
        r"(?:如|使用|有|包括|选择|以及)([^，。；：:,.\n（）()]*、[^，。；：:,.\n]*?)等", document(number)
    )
    assert lists
    items = [item for text in lists for item in re.split("、|和", text)]
    assert [item for item in items if item and not pattern.search(item) and item not in NO_ITEMS] == []


# Low efficiency, scarcity of resources, parsing of outputs, evaluation.
NO_ITEMS = {"低效率", "资源紧张", "输出结果的解析", "评估"}


@cache
def places_of_page(page: Path) -> set[str]:
    """Give the anchors of a built page; none where there is no such page."""
    if not page.is_file():
        return set()
    return {tag["id"] for tag in BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").find_all(id=True)}


@pytest.mark.browser
def test_every_row_leads_to_a_place_of_the_site(site: Path) -> None:
    page = (site / "book" / "sources.html").resolve()
    rows = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select("table tbody tr")
    assert len(rows) == sum(len(rows) for rows in source_tables().values())
    faults = []
    for row in rows:
        place = row.find_all("td")[-1]
        links = [tag["href"] for tag in place.find_all("a")]
        if not links and not re.search(r"planned: chapter \d\d", place.get_text()):
            faults.append(row.get_text(" ", strip=True))
        for link in links:
            parts = urlsplit(link)
            if unquote(parts.fragment) not in places_of_page((page.parent / unquote(parts.path)).resolve()):
                faults.append(link)
    assert faults == []


# The page of errors


@cache
def entries() -> dict[str, dict[str, str]]:
    """Give each entry's parts by its title."""
    text = (BOOK / "errata.md").read_text(encoding="utf-8")
    blocks = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    found = {}
    for block in blocks:
        title, body = block.split("\n", 1)
        body = re.split(r"^## ", body, flags=re.MULTILINE)[0]
        parts = re.findall(r"^- \*\*(.+?):\*\* (.*?)(?=^- \*\*|\Z)", body, re.MULTILINE | re.DOTALL)
        found[title] = {name: " ".join(value.split()) for name, value in parts}
    return found


def proofs(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


HERE, PYTORCH = "tests/book/test_errata.py", "tests/reference/test_sources.py"


def faults_of_entry(entry: dict[str, str]) -> list[str]:
    """Say what is wrong with an entry: its parts, the sections that it names, its proofs."""
    if list(entry) != ["Where", "It says", "In truth", "Proof"]:
        return [f"its parts are {list(entry)}"]
    faults = []
    for place in entry["Where"].rstrip(".").split("; "):
        match = re.fullmatch(r"document ([1-5]), sections? ([\d., and]+)", place)
        known = [row[0] for row in section_rows(int(match[1]))] if match else []
        named = re.split(r", | and ", match[2]) if match else []
        if not named or not set(named) <= set(known):
            faults.append(f"{place}: no such section")
    for name, peer in re.findall(r"`(test_\w+)`( \(PyTorch\))?", entry["Proof"]):
        if name not in proofs(PYTORCH if peer else HERE):
            faults.append(f"{name}: no such test")
    if not re.search(r"`test_", entry["Proof"]) or "](" in entry["Proof"] or "planned" in entry["Proof"]:
        faults += faults_of_place(entry["Proof"])
    return faults


def test_faults_of_an_entry_are_seen() -> None:
    good = {
        "Where": "document 1, sections 3.1 and 4.",
        "It says": "a",
        "In truth": "b",
        "Proof": "planned: chapter 23.",
    }
    assert faults_of_entry(good) == []
    assert faults_of_entry({**good, "Where": "document 1, section 9.1."}) == [
        "document 1, section 9.1: no such section"
    ]
    assert faults_of_entry({**good, "Proof": "`test_nothing`."}) == ["test_nothing: no such test"]
    assert faults_of_entry({**good, "Proof": "see above."}) == ["neither a link nor a planned chapter"]
    assert faults_of_entry({**good, "Proof": "planned: chapter 03."}) == ["chapter 03 is written: link to it"]
    assert faults_of_entry({"Where": "document 1, section 3.1."}) == ["its parts are ['Where']"]


@pytest.mark.parametrize("title", entries())
def test_every_entry_is_whole(title: str) -> None:
    assert faults_of_entry(entries()[title]) == []


@pytest.mark.parametrize("path", [HERE, PYTORCH])
def test_every_proof_belongs_to_an_entry(path: str) -> None:
    named = {name for entry in entries().values() for name in re.findall(r"`(test_\w+)`", entry["Proof"])}
    # In the reference tests some show why, or that the remedy works: they belong to the entry of the test before.
    beside = {"test_the_rows_of_a_tensor_are_no_parameters_either", "test_with_an_intercept_it_goes_to_zero"}
    assert sorted(proofs(path) - named - (beside if path == PYTORCH else set())) == []


def test_what_an_entry_claims_without_a_test_is_cited() -> None:
    bare = [
        title
        for title, entry in entries().items()
        if not re.search(r"`test_|ipynb#", entry["Proof"]) and "](https://" not in entry["In truth"]
    ]
    # A definition has a book for it and no number.
    assert bare == ["Intelligence by imitation"]
