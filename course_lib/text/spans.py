"""Questions and passages as rows for a model that points at the answer, and answers from what it says.

A passage that is longer than a row is read through windows that overlap. In each window the label is where the answer
starts and ends, or twice position 0, ``[CLS]``, if the answer is not in it.

>>> from course_lib.data.squad import Answer, Question
>>> from course_lib.text.wordpiece import WordPiece, learn_wordpiece
>>> asked = Question("1", "", "In 1815 Ada was born in London.", "Where was Ada born?", (Answer("London", 24),))
>>> tokenizer = WordPiece(learn_wordpiece(f"{asked.context} {asked.question}", 200))
>>> rows = span_rows([asked], tokenizer, length=16, stride=4, most_asked=6)
>>> rows["start"].tolist(), rows["end"].tolist()
([13], [13])
>>> answer_text(rows, 0, rows["start"][0], rows["end"][0], asked.context)
'London'

References
----------
J. Devlin et al., BERT, 2019, https://arxiv.org/abs/1810.04805, section 4.2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from course_lib import _check
from course_lib.data.squad import Question
from course_lib.text.wordpiece import WordPiece

__all__ = ["answer_text", "best_spans", "span_rows"]


def span_rows(
    questions: Sequence[Question], tokenizer: WordPiece, length: int = 384, stride: int = 128, most_asked: int = 64
) -> dict[str, np.ndarray]:
    """Write questions with their passages as rows ``[CLS] question [SEP] window of the passage [SEP]``.

    Parameters
    ----------
    questions : sequence of Question
        The first answer of each is the label.
    tokenizer : WordPiece
        With ``[CLS]``, ``[SEP]`` and ``[PAD]`` in its vocabulary.
    length : int
        Positions of a row.
    stride : int
        Tokens of the passage from the beginning of one window to that of the next.
    most_asked : int
        Tokens of a question that are kept.

    Returns
    -------
    dict of arrays
        ``tokens`` and ``segments`` (rows, length), int32; ``start`` and ``end`` (rows,), int32, the positions of the
        answer's first and last token, 0 and 0 where the window does not hold all of it; ``question`` (rows,), int32,
        the number of the question; ``places`` (rows, length, 2), int32, the characters of the passage that each token
        stands for, first and behind the last, -1 where it is not of the passage.

    Raises
    ------
    TypeError, ValueError
        If a number is out of its range, or `stride` is so long that tokens between two windows are in none.
    """
    _check.count("most_asked", most_asked)
    _check.count("length", length, least=most_asked + 4)
    if _check.count("stride", stride) > length - 3 - most_asked:
        raise ValueError(f"stride is {stride}; a window may have as few as {length - 3 - most_asked} tokens")
    asked = tokenizer.encode_many([question.question for question in questions])
    passages = tokenizer.encode_with_places([question.context for question in questions])
    firsts, seconds, starts, ends, numbers, spans = [], [], [], [], [], []
    for number, (question, (ids, places)) in enumerate(zip(questions, passages, strict=True)):
        first = asked[number][:most_asked]
        room, offset = length - 3 - len(first), len(first) + 2
        answer = _answer_tokens(question, places)
        begin = 0
        while True:
            window = slice(begin, begin + room)
            inside = answer is not None and begin <= answer[0] and answer[1] < begin + room
            starts.append(answer[0] - begin + offset if answer and inside else 0)
            ends.append(answer[1] - begin + offset if answer and inside else 0)
            firsts.append(first)
            seconds.append(ids[window])
            numbers.append(number)
            spans.append((offset, places[window]))
            if begin + room >= len(ids):
                break
            begin += stride
    tokens, segments = tokenizer.rows(firsts, seconds, length)
    table = np.full((len(tokens), length, 2), -1, np.int32)
    for row, (offset, places) in enumerate(spans):
        if places:
            table[row, offset : offset + len(places)] = places
    labels = {"start": starts, "end": ends, "question": numbers}
    columns = {name: np.array(column, np.int32) for name, column in labels.items()}
    return {"tokens": tokens, "segments": segments, **columns, "places": table}


def _answer_tokens(question: Question, places: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Give the first and the last token of a passage that share a character with the first answer."""
    if not question.answers:
        return None
    answer = question.answers[0]
    touched = [n for n, (start, end) in enumerate(places) if start < answer.end and end > answer.start]
    return (touched[0], touched[-1]) if touched else None


def best_spans(start: Any, end: Any, places: Any, longest: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give each row's best span: the pair of a start and an end not before it whose scores have the greatest sum.

    Parameters
    ----------
    start, end : array, shape (rows, length)
        Scores.
    places : array of int, shape (rows, length, 2)
        As `span_rows` gives them: only tokens of the passage may be in a span.
    longest : int
        Tokens of a span at most.

    Returns
    -------
    first, last : array of int32, shape (rows,)
        Positions. Both are 0 in a row without a token of the passage.
    score : array, shape (rows,)
        The sum of the two scores minus that of ``[CLS]`` as start and end, above 0 where the span is more likely than
        no answer.

    Raises
    ------
    ValueError
        If the shapes do not fit, or `longest` is below 1.
    """
    start, end, places = np.asarray(start), np.asarray(end), np.asarray(places)
    if start.ndim != 2 or start.shape != end.shape or places.shape != (*start.shape, 2):
        raise ValueError(
            f"start, end and places have the shapes {start.shape}, {end.shape} and {places.shape}; they must be (rows, "
            "length), the same, and (rows, length, 2)"
        )
    longest = _check.count("longest", longest)
    length = start.shape[1]
    gap = np.arange(length) - np.arange(length)[:, None]  # (start, end)
    allowed = (gap >= 0) & (gap < longest)
    inside = places[..., 0] >= 0
    both = allowed & inside[:, :, None] & inside[:, None, :]
    sums = np.where(both, start[:, :, None] + end[:, None, :], -np.inf)
    best = sums.reshape(len(sums), -1).argmax(axis=1)
    first, last = np.divmod(best, length)
    found = both.any(axis=(1, 2))
    score = sums[np.arange(len(sums)), first, last] - (start[:, 0] + end[:, 0])
    return np.where(found, first, 0).astype(np.int32), np.where(found, last, 0).astype(np.int32), score


def answer_text(rows: dict[str, np.ndarray], row: int, first: int, last: int, context: str) -> str:
    """Give the passage's own characters of a span; nothing for one that begins at ``[CLS]``."""
    start, end = rows["places"][row, first, 0], rows["places"][row, last, 1]
    return "" if start < 0 or end < 0 else context[start:end]
