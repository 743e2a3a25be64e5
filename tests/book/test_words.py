"""Glossary and notation: they have the words of the chapters' headings and the symbols of their mathematics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from book_pages import BOOK, ROOT, SOURCES, chapter_markdown, document, formulas, symbols
from site_pages import CHAPTERS

NOTEBOOKS = {chapter: ROOT / f"{chapter}.ipynb" for chapter in CHAPTERS}
PLAIN = set((Path(__file__).parent / "plain_words.txt").read_text(encoding="utf-8").split())
"""Words of everyday English, and names, that a heading may use and that a glossary need not explain."""


# Other forms of a term: the heading's word, and the term that explains it.
FORMS = {
    "conditioning": "ill-conditioned",
    "converge": "convergence",
    "explode": "divergence",
    "explosion": "divergence",
    "leak": "leakage",
    "noisy": "gradient noise",
    "node": "computation graph",
    "tanh": "activation",
    "vanish": "vanishing gradient",
}


def glossary() -> dict[str, str]:
    """Give the definitions by their terms."""
    text = (BOOK / "glossary.md").read_text(encoding="utf-8")
    body = text.split(":::{glossary}\n")[1].split("\n:::")[0]
    entries = (block.split("\n", 1) for block in re.split(r"\n\n(?=\S)", body.strip()))
    return {term: " ".join(definition.split()) for term, definition in entries}


def stem(word: str) -> str:
    """Give a word without the endings that differ between a heading and the glossary, and in one spelling."""
    word = word.lower().removesuffix("'s").replace("isation", "ization").replace("ise", "ize")
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word


def words(text: str) -> set[str]:
    return {stem(word) for word in re.findall(r"[A-Za-z]+(?:'s)?", re.sub(r"`[^`]*`|\$[^$]*\$", " ", text))}


def headings(path: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", chapter_markdown(path), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#{1,3} (.*)$", text, re.MULTILINE)
    return [heading for heading in found if not re.match(r"Exercise \d+ \(|Take-away$|Pitfalls$", heading)]


def unexplained(text: str) -> list[str]:
    """Give the words of a heading that are neither everyday words nor words of a term in the glossary."""
    known = set().union(*(words(term) for term in glossary())) | {stem(word) for word in [*PLAIN, *FORMS]}
    return sorted(words(text) - known)


def test_a_word_that_nobody_explains_is_seen() -> None:
    assert unexplained("Why the gradients of a transmogrifier vanish") == ["transmogrifier"]
    assert unexplained("A step against the gradient") == []


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_headings_use_words_that_are_explained(chapter: str) -> None:
    """A new word in a heading goes into the glossary, or into ``plain_words.txt`` where everybody knows it."""
    found = {heading: unexplained(heading) for heading in headings(NOTEBOOKS[chapter])}
    assert {heading: rest for heading, rest in found.items() if rest} == {}


def test_no_plain_word_is_a_term() -> None:
    assert sorted(PLAIN & {term.lower() for term in glossary()}) == []
    assert len(PLAIN) == len((Path(__file__).parent / "plain_words.txt").read_text(encoding="utf-8").split())


def test_other_forms_belong_to_terms() -> None:
    assert sorted(set(FORMS.values()) - set(glossary())) == []
    assert sorted(set(FORMS) & PLAIN) == []


def test_the_glossary_is_in_order_and_complete() -> None:
    terms = list(glossary())
    assert terms == sorted(terms, key=str.lower)
    for term, definition in glossary().items():
        assert definition.rstrip("*").endswith("."), term
        missing = [name for name in re.findall(r"\{term\}`([^`]+)`", definition) if name not in terms]
        assert missing == [], term


@pytest.mark.skipif(SOURCES is None, reason="the five documents are not beside this checkout")
def test_chinese_terms_are_those_of_the_documents() -> None:
    text = "".join(document(number) for number in range(1, 6))
    chinese = {term: re.findall(r"\*Chinese: ([^*]+)\.\*$", entry) for term, entry in glossary().items()}
    given = {term: found[0] for term, found in chinese.items() if found}
    assert len(given) > 40
    assert {term: name for term, name in given.items() if name not in text} == {}


# Notation


def listed_symbols(chapter: str) -> set[str]:
    """Give the symbols that the page explains for all chapters, and those that it explains for this one."""
    page = (BOOK / "notation.md").read_text(encoding="utf-8")
    general, local = page.split("## Local to a chapter")
    rows = re.findall(r"^\| (?!---|Symbol|Chapter)([^|]*) \|", general.replace(r"\|", ""), re.MULTILINE)
    rows += re.findall(rf"^\| {chapter} \| ([^|]*) \|", local.replace(r"\|", ""), re.MULTILINE)
    return set().union(*(symbols(formula) for row in rows for formula in formulas(row)))


def used_symbols(path: Path) -> dict[str, str]:
    """Give the symbols of a chapter's mathematics, each with the shortest formula that has it."""
    found: dict[str, str] = {}
    for formula in sorted(formulas(chapter_markdown(path)), key=len):
        for symbol in symbols(formula):
            found.setdefault(symbol, formula)
    return found


def test_symbols_are_read_out_of_formulas() -> None:
    assert symbols(r"w_{t+1} = w_t - \eta \nabla f(w_t)") == {"w", "t", r"\eta", r"\nabla", "f"}
    assert symbols(r"\hat m_t / \sqrt{\hat{v}_t} + \text{words} + \log \mathbb{E}[x]") == {
        r"\hat m",
        "t",
        r"\hat v",
        r"\mathbb E",
        "x",
    }
    assert symbols(r"z_1, \dots, z_K \quad W^\top w^\star") == {"z", "K", "W", "w"}
    assert formulas("costs `$5` or $a$ and\n$$\nb\n$$\n```python\n$c$\n```\n") == ["a", "\nb\n"]


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_every_symbol_is_on_the_page(chapter: str) -> None:
    known = listed_symbols(Path(chapter).name[:2])
    assert known
    missing = {symbol: formula for symbol, formula in used_symbols(NOTEBOOKS[chapter]).items() if symbol not in known}
    assert missing == {}


@pytest.mark.parametrize("chapter", NOTEBOOKS)
def test_every_local_symbol_is_used(chapter: str) -> None:
    page = (BOOK / "notation.md").read_text(encoding="utf-8")
    number = Path(chapter).name[:2]
    rows = re.findall(rf"^\| {number} \| ([^|]*) \|", page.replace(r"\|", ""), re.MULTILINE)
    local = set().union(*(symbols(formula) for row in rows for formula in formulas(row)))
    assert sorted(local - set(used_symbols(NOTEBOOKS[chapter]))) == []
