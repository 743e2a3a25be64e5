"""A corpus that needs no download: the English prose that every Python ships.

Python's own documentation comes in two parts: the language reference, which ``help("with")`` shows, and the
docstrings of the standard library's source files. Both are read as text; no module is imported for its docstring.

>>> documents = python_documentation(docstrings=False)
>>> text = " ".join(sentence for document in documents for sentence in document)
>>> len(documents) > 50 and len(text.split()) > 30_000
True
>>> sentences("It is short, e.g. this one.  Is that so?  Yes.")
['It is short, e.g. this one.', 'Is that so?', 'Yes.']
"""

from __future__ import annotations

import ast
import functools
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from course_lib import _check

__all__ = ["python_documentation", "sentences"]

# A plain word, perhaps in quotes or brackets and with a sign behind it; code is mostly something else.
_WORD = re.compile(r"""["'“‘(*]*[A-Za-z]+(?:[-'’][A-Za-z]+)*["'”’)*]*[.,;:!?]*["'”’)]*""")
_END = re.compile(r"(?<=[.!?])\s+(?=[\"'“‘(]?[A-Z])|(?<=[.!?][\"'”’)])\s+(?=[\"'“‘(]?[A-Z])")
_WHOLE = re.compile(r"""["'“‘(]?[A-Z].*[.!?]["'”’)]*""")
_BULLET = re.compile(r"^(?:[*•-]|\(?\d+[.)]|\[\d+\])\s+")
# Folders of the library that hold tests and programs, or that some systems leave out.
_LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip", "distutils", "tkinter", "pydoc_data"}


def python_documentation(
    reference: bool = True, docstrings: bool = True, least_words: int = 5, least_sentences: int = 2
) -> list[list[str]]:
    """Read the prose of Python's documentation: documents, each a list of sentences that follow each other.

    Code, tables, grammar and headings are left out: a sentence starts with a capital, ends with a full stop or the
    like, and at least four in five of its words are plain words. What stands there twice is taken once.

    Parameters
    ----------
    reference : bool
        Take the language reference; a document is one of its topics.
    docstrings : bool
        Take the standard library's docstrings; a document is one docstring.
    least_words : int
        Shorter sentences are left out.
    least_sentences : int
        Documents with fewer sentences are left out.

    Returns
    -------
    list of list of str
        The same, in the same order, in every process of one Python version. Versions differ a little.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, or both parts are turned off.
    FileNotFoundError
        If the library's source files are not where this Python says.
    """
    _check.count("least_words", least_words)
    _check.count("least_sentences", least_sentences)
    if not (_check.flag("reference", reference) | _check.flag("docstrings", docstrings)):
        raise ValueError("reference and docstrings are False; at least one must be True")
    texts = [*(_topics() if reference else ()), *(_docstrings() if docstrings else ())]
    seen: set[str] = set()
    documents = []
    for text in texts:
        document = []
        for paragraph in _paragraphs(text):
            if paragraph not in seen:
                seen.add(paragraph)
                document += [sentence for sentence in sentences(paragraph) if _is_prose(sentence, least_words)]
        if len(document) >= least_sentences:
            documents.append(document)
    return documents


def sentences(text: str) -> list[str]:
    """Split a text behind full stops, question marks and exclamation marks that a capital follows."""
    return [sentence for sentence in _END.split(" ".join(text.split())) if sentence]


def _paragraphs(text: str) -> Iterator[str]:
    """Give what stands between blank lines, each on one line and without the sign of a list."""
    for block in re.split(r"\n\s*\n", text):
        yield _BULLET.sub("", " ".join(block.split()))


def _is_prose(sentence: str, least_words: int) -> bool:
    words = sentence.split()
    if len(words) < least_words or not _WHOLE.fullmatch(sentence):
        return False
    return sum(_WORD.fullmatch(word) is not None for word in words) >= 0.8 * len(words)


def _topics() -> list[str]:
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


@functools.lru_cache(maxsize=1)
def _docstrings() -> tuple[str, ...]:
    """Give the docstrings of the library's modules, classes and functions, file by file in the order of their names."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    files: list[Path] = []
    for name in sorted(sys.stdlib_module_names - _LEFT_OUT):
        module = folder / f"{name}.py"
        files += [module] if module.exists() else sorted((folder / name).rglob("*.py"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no source file of the standard library; use docstrings=False")
    found: list[str | None] = []
    for path in files:
        if _LEFT_OUT & set(path.relative_to(folder).parts):
            continue
        found += [
            ast.get_docstring(node)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        ]
    return tuple(text for text in found if text)
