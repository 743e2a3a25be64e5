"""Questions about a passage whose answers are spans of it, in the form of SQuAD, versions 1.1 and 2.0.

SQuAD itself is at https://rajpurkar.github.io/SQuAD-explorer; XQuAD, with the same questions in eleven languages, at
https://github.com/google-deepmind/xquad.

References
----------
P. Rajpurkar et al., SQuAD, 2016, https://arxiv.org/abs/1606.05250; P. Rajpurkar, R. Jia, P. Liang, 2018,
https://arxiv.org/abs/1806.03822; M. Artetxe, S. Ruder, D. Yogatama, XQuAD, 2020, https://arxiv.org/abs/1910.11856
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.data.labelled import read_text

__all__ = ["Answer", "Question", "squad"]


@dataclass(frozen=True)
class Answer:
    """A span of a passage.

    Attributes
    ----------
    text : str
    start : int
        The place of its first character in the passage, from 0.
    """

    text: str
    start: int

    @property
    def end(self) -> int:
        """The place behind its last character."""
        return self.start + len(self.text)


@dataclass(frozen=True)
class Question:
    """A question with its passage.

    Attributes
    ----------
    id : str
    title : str
        The article that the passage is from.
    context : str
        The passage.
    question : str
    answers : tuple of Answer
        What several people marked; empty where the passage does not answer the question (version 2.0).
    """

    id: str
    title: str
    context: str
    question: str
    answers: tuple[Answer, ...]


def squad(path: str | Path) -> tuple[Question, ...]:
    """Read a file in SQuAD's form and check every answer against its passage.

    Parameters
    ----------
    path : str or Path
        A JSON file: ``data`` is a list of articles, those have ``paragraphs``, and those a ``context`` and ``qas``.

    Returns
    -------
    tuple of Question
        In the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it has not that form, an answer does not stand in its passage where the file says, or a question has neither
        an answer nor the mark ``is_impossible``; the message names the place.
    """
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    questions = []
    for a, article in enumerate(_get(content, "data", list, str(path))):
        where = f"{path}, data[{a}]"
        title = article.get("title", "") if isinstance(article, dict) else ""
        for p, paragraph in enumerate(_get(article, "paragraphs", list, where)):
            place = f"{where}['paragraphs'][{p}]"
            context = _get(paragraph, "context", str, place)
            questions += [
                _question(entry, title, context, f"{place}['qas'][{q}]")
                for q, entry in enumerate(_get(paragraph, "qas", list, place))
            ]
    return tuple(questions)


def _question(entry: Any, title: str, context: str, where: str) -> Question:
    number, question = _get(entry, "id", str, where), _get(entry, "question", str, where)
    answers = []
    for n, answer in enumerate(_get(entry, "answers", list, where)):
        place = f"{where}['answers'][{n}] (question {number})"
        text, start = _get(answer, "text", str, place), _get(answer, "answer_start", int, place)
        if start < 0 or not text or context[start : start + len(text)] != text:
            found = context[max(start, 0) : max(start, 0) + len(text)]
            raise ValueError(f"{place}: {text!r} must stand at character {start} of the context; {found!r} does")
        answers.append(Answer(text, start))
    if not answers and entry.get("is_impossible") is not True:
        raise ValueError(f"{where} (question {number}) has no answer; only a question with is_impossible may have none")
    return Question(number, title, context, question, tuple(answers))


def _get(tree: Any, key: str, kind: type, where: str) -> Any:
    """Give a value of a dict, and require its type."""
    if not isinstance(tree, dict) or key not in tree:
        kinds = f"the keys {sorted(tree)}" if isinstance(tree, dict) else f"the type {type(tree).__name__}"
        raise ValueError(f"{where} has {kinds}; it must be a dict with the key {key!r}")
    if not isinstance(tree[key], kind) or isinstance(tree[key], bool):
        raise ValueError(f"{where}[{key!r}] is {str(tree[key])[:40]!r}; it must be of type {kind.__name__}")
    return tree[key]
