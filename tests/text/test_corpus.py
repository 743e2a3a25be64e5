"""The corpus: prose, the same in every process, without repetitions."""

import hashlib
import subprocess
import sys

import pytest

from course_lib.text import corpus
from course_lib.text.corpus import python_documentation, sentences

SHOW = (
    "import hashlib; from course_lib.text.corpus import python_documentation as p;"
    "print(hashlib.sha256(repr(p()).encode()).hexdigest())"
)


def test_the_same_in_another_process():
    run = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == hashlib.sha256(repr(python_documentation()).encode()).hexdigest()


def test_it_is_large_enough_and_prose():
    documents = python_documentation()
    assert min(map(len, documents)) >= 2
    lines = [sentence for document in documents for sentence in document]
    words = [word for line in lines for word in line.split()]
    assert len(documents) > 1500
    assert len(words) > 120_000
    assert min(len(line.split()) for line in lines) >= 5
    assert all(line[-1] in ".!?\"”’')" and "\n" not in line for line in lines)
    common = {"the", "a", "of", "is", "to", "and", "in", "be", "if", "that"}
    assert 0.2 < sum(word in common for word in words) / len(words) < 0.4  # as in any English prose
    code = sum(any(sign in line for sign in (">>>", "::=", "+---", "#!")) for line in lines)
    assert code < 0.003 * len(lines)


def test_the_parts_and_what_is_repeated():
    reference, docstrings, both = (
        python_documentation(docstrings=False), python_documentation(reference=False), python_documentation()
    )  # fmt: skip
    assert both[: len(reference)] == reference
    assert len(both) <= len(reference) + len(docstrings)
    assert len(both) == len({tuple(document) for document in both})


def test_paragraphs_are_taken_once_and_code_not_at_all(monkeypatch):
    text = """A heading
*********

* This sentence stands in a
  list, over two lines. So does this one in the list.

This is said twice in the text. It really is said twice.

   x = [y for y in z]

   The = a[0] + b[1] == {} + () + "c".

This is said twice in the text. It really is said twice.

Short one.  He said that it "ends in a quotation mark." Then (perhaps) came another sentence!
"""
    monkeypatch.setattr(corpus, "_topics", lambda: [text, "This is said twice in the text. It really is said twice."])
    assert python_documentation(docstrings=False) == [
        [
            "This sentence stands in a list, over two lines.",
            "So does this one in the list.",
            "This is said twice in the text.",
            "It really is said twice.",
            'He said that it "ends in a quotation mark."',
            "Then (perhaps) came another sentence!",
        ]
    ]
    assert python_documentation(docstrings=False, least_words=7, least_sentences=5) == []


def test_sentences():
    assert sentences("One. Two!\nThree? four. 5. Six e.g. seven") == [
        "One.",
        "Two!",
        "Three? four. 5.",
        "Six e.g. seven",
    ]
    assert sentences('She said "No." He left (at once.) "Why?" Nobody knows.') == [
        'She said "No."', "He left (at once.)", '"Why?"', "Nobody knows."
    ]  # fmt: skip
    assert sentences("") == []


def test_bad_arguments_say_why(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="reference and docstrings are False"):
        python_documentation(False, False)
    with pytest.raises(ValueError, match="least_words is 0"):
        python_documentation(least_words=0)
    with pytest.raises(TypeError, match="docstrings is 'yes'"):
        python_documentation(docstrings="yes")
    corpus._docstrings.cache_clear()
    monkeypatch.setattr(corpus.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(FileNotFoundError, match="holds no source file of the standard library"):
        python_documentation()
