"""The pages on the sources as tests read them: tables, entries, links; and the five documents, where they are."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
_PLACE = ROOT.parent / "shared" / "sources"
SOURCES: Path | None = _PLACE if _PLACE.is_dir() else None
"""The folder of the five documents; None where it is not beside the checkout."""


@dataclass(frozen=True)
class Section:
    """One section of a document: its number ("3.2.1"), its heading, and its text with the heading, up to the next."""

    number: str
    heading: str
    text: str


@cache
def document(number: int) -> str:
    """Read a document."""
    if SOURCES is None:
        raise FileNotFoundError(f"no folder {_PLACE}")
    return (SOURCES / f"document-{number}.txt").read_text(encoding="utf-8")


@cache
def sections_of(number: int) -> dict[str, Section]:
    """Split a document at its numbered headings, in order; a second heading of the same number continues the first.

    Documents 1, 2, 3 and 5 mark headings with ``#`` (which also begins comments inside their fences); document 4
    has the bare numbers.
    """
    pattern = r"(\d+(?:\.\d+)*)\.?\s*(\S.*)" if number == 4 else r"#+ (\d+(?:\.\d+)*)\.?\s*(\S.*)"
    found: dict[str, tuple[str, list[str]]] = {}
    lines: list[str] | None = None
    fenced = False
    for line in document(number).splitlines():
        fenced ^= line.startswith("```")
        heading = None if fenced else re.fullmatch(pattern, line)
        if heading:
            lines = found.setdefault(heading[1], (heading[2], []))[1]
        if lines is not None:
            lines.append(line)
    return {key: Section(key, heading, "\n".join(text)) for key, (heading, text) in found.items()}


def code_blocks(number: int) -> list[str]:
    """Give the fenced programs of a document, in order (document 4 has none: its fences and indents were lost)."""
    return re.findall(r"```python\n(.*?)```", document(number), re.DOTALL)


# Names in the documents. A term of the table stands for itself where no longer term of the table covers it.


def pattern_of(terms: list[str]) -> re.Pattern[str]:
    """Make one pattern of all terms, the longest first; a Latin term ends at the ends of a name."""
    ordered = sorted(terms, key=len, reverse=True)
    latin = [re.escape(term) for term in ordered if term[0].isascii() and term[-1].isascii()]
    other = [re.escape(term) for term in ordered if not (term[0].isascii() and term[-1].isascii())]
    return re.compile(rf"(?<![A-Za-z0-9_.])(?:{'|'.join(latin)})(?![A-Za-z0-9_])|{'|'.join(other)}")


def places_of(terms: list[str]) -> dict[str, list[tuple[int, str]]]:
    """Say for each term in which (document, section) it stands, in reading order."""
    pattern, places = pattern_of(terms), {term: [] for term in terms}
    for number in range(1, 6):
        for key, section in sections_of(number).items():
            for term in set(pattern.findall(section.text)):
                places[term].append((number, key))
    return places


THROUGHOUT = 25
"""A name that stands in more sections than this is said to stand throughout."""


def stands_in(places: list[tuple[int, str]]) -> str:
    """Write places as the page does: "1: 3.1, 5; 4: 2.1"."""
    places = sorted(set(places), key=lambda place: (place[0], [int(part) for part in place[1].split(".")]))
    if len(places) > THROUGHOUT:
        return "throughout"
    by_document: dict[int, list[str]] = {}
    for number, key in places:
        by_document.setdefault(number, []).append(key)
    return "; ".join(f"{number}: {', '.join(keys)}" for number, keys in by_document.items())


# Mathematics

_DECORATION = r"\\(?:hat|bar|tilde|vec|dot|mathbb|mathcal|mathbf|mathsf)(?![a-z])"
_GREEK = "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma tau"
_GREEK += " upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell nabla odot"


def formulas(text: str) -> list[str]:
    """Give what stands between dollars in Markdown, code left out."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text)
    text = text.replace(r"\$", "")
    return [double or single for double, single in re.findall(r"\$\$(.+?)\$\$|\$([^$]+?)\$", text, re.DOTALL)]


def symbols(formula: str) -> set[str]:
    r"""Give the symbols of a formula: letters, Greek letters, and both with what stands over them, as "\hat m".

    Words (``\text``, ``\operatorname``, ``\mathrm``, ``\log``) and the letters of other commands are none. An index is
    a symbol of its own; a prime, a star and a transpose are not.
    """
    formula = re.sub(r"\\(?:text|operatorname\*?|mathrm|mathit|begin|end|tag|label)\s*\{[^{}]*\}", " ", formula)
    formula = re.sub(r"\^\s*\{?\s*\\?(?:top|star|ast|prime|dagger|mathsf\s*\{?T\}?)\s*\}?", " ", formula)
    found = set()
    for match in re.finditer(
        rf"({_DECORATION})\s*(?:\{{\s*)?(\\[A-Za-z]+|[A-Za-z])\s*\}}?|\\([A-Za-z]+)|([A-Za-z])", formula
    ):
        decoration, under, command, letter = match.groups()
        if decoration:
            found.add(f"{decoration} {under}")
        elif letter:
            found.add(letter)
        elif command in _GREEK.split():
            found.add(f"\\{command}")
    return found


def chapter_markdown(path: Path) -> str:
    """Give a notebook's Markdown cells as one text."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
