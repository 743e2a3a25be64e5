"""Summaries made of the text's own sentences: the first ones, the most central ones, and the best there are.

Each function gives the numbers of the sentences it chose, in the order of the text.

>>> text = ["Rain fell on the town.", "The town hall flooded.", "Nobody minds.", "Rain flooded the hall of the town."]
>>> lead(text, 2)
[0, 1]
>>> textrank(text, 1)
[3]
>>> oracle(text, ["Flooded hall."], 1)
[1]

References
----------
R. Mihalcea, P. Tarau, TextRank, 2004, https://aclanthology.org/W04-3252
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from course_lib import _check
from course_lib.evaluation.overlap import best_rouge, words

__all__ = ["centrality", "lead", "oracle", "similarity", "textrank"]


def lead(sentences: Sequence[Any], count: int = 1) -> list[int]:
    """Choose the first sentences: hard to beat where texts say first what matters.

    Parameters
    ----------
    sentences : list
        The text's sentences.
    count : int
        How many to choose; all where there are fewer.

    Returns
    -------
    list of int

    Raises
    ------
    TypeError, ValueError
        If `count` is out of range, or `sentences` is a text.
    """
    return list(range(min(_check.count("count", count), len(_listed(sentences)))))


def textrank(sentences: Sequence[Any], count: int = 1, damping: float = 0.85) -> list[int]:
    """Choose the most central sentences, those that have words in common with many that are central themselves.

    Parameters
    ----------
    sentences : list of str, or list of list of tokens
        The text's sentences. Strings are cut by `course_lib.evaluation.overlap.words`, which knows English letters
        only.
    count : int
        How many to choose; all where there are fewer. Of equally central ones the earlier.
    damping : float
        As in `centrality`.

    Returns
    -------
    list of int

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    """
    scores = centrality(similarity(sentences), damping)
    best = np.argsort(-scores.round(9), kind="stable")[: _check.count("count", count)]
    return sorted(best.tolist())


def similarity(sentences: Sequence[Any]) -> np.ndarray:
    r"""Compare all sentences: distinct common words, divided by :math:`\ln|a| + \ln|b|` for lengths a and b in words.

    Parameters
    ----------
    sentences : list of str, or list of list of tokens
        As `textrank` takes them.

    Returns
    -------
    numpy.ndarray, shape (sentences, sentences)
        Symmetric, 0 on the diagonal, and 0 where both sentences have one word at most.

    Raises
    ------
    TypeError
        If `sentences` is a text.
    """
    cut = [words(sentence) if isinstance(sentence, str) else list(sentence) for sentence in _listed(sentences)]
    sets = [set(tokens) for tokens in cut]
    common = np.array([[len(a & b) for b in sets] for a in sets], np.float64).reshape(len(cut), len(cut))
    logarithms = np.log([max(len(tokens), 1) for tokens in cut])
    both = logarithms[:, None] + logarithms[None, :]
    result = np.divide(common, both, out=np.zeros_like(common), where=both > 0)
    np.fill_diagonal(result, 0)
    return result


def centrality(weights: Any, damping: float = 0.85) -> np.ndarray:
    r"""Rank the nodes of a graph by PageRank with weights on its edges.

    A node's score is :math:`s_i = (1 - d) + d \sum_j w_{ij} s_j / \sum_k w_{kj}`: each node divides its score among its
    neighbours. These are as many linear equations as nodes, and they are solved as such.

    Parameters
    ----------
    weights : array_like, shape (nodes, nodes)
        At least 0. Column j says how node j divides its score.
    damping : float
        :math:`d`, at least 0 and below 1.

    Returns
    -------
    numpy.ndarray, shape (nodes,)
        At least ``1 - damping``; a node without neighbours has exactly that.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    """
    table, d = _check.finite("weights", weights, ndim=2), _check.fraction("damping", damping)
    if table.shape[0] != table.shape[1] or (table < 0).any():
        raise ValueError(f"weights has shape {table.shape}; it must be square, and no weight below 0")
    sums = table.sum(axis=0)
    shares = np.divide(table, sums, out=np.zeros_like(table), where=sums > 0)
    return np.linalg.solve(np.eye(len(table)) - d * shares, np.full(len(table), 1 - d))


def oracle(sentences: Sequence[Any], summaries: Sequence[Any], count: int = 1, kind: str = "rouge1") -> list[int]:
    """Choose by looking at the answer: the sentence that raises ROUGE most, then the next, until none does.

    What no method can be expected to beat, and so a measure of how far sentences of the text can go at all. The search
    is greedy: for more than one sentence it may miss the best set.

    Parameters
    ----------
    sentences : list of str, or list of list of tokens
        The text's sentences.
    summaries : list of str, or list of list of tokens
        The references.
    count : int
        How many to choose at most.
    kind : {"rouge1", "rouge2", "rougeL"}
        Whose F1 is to be raised.

    Returns
    -------
    list of int
        At least one, even if none has a word of a reference.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    """
    cut = [words(sentence) if isinstance(sentence, str) else list(sentence) for sentence in _listed(sentences)]
    chosen: list[int] = []
    best = -1.0
    for _ in range(min(_check.count("count", count), len(cut))):
        sets = [sorted([*chosen, number]) for number in range(len(cut)) if number not in chosen]
        scores = [best_rouge([word for n in numbers for word in cut[n]], summaries, kind).f1 for numbers in sets]
        if max(scores) <= best:
            break
        best, chosen = max(scores), sets[int(np.argmax(scores))]
    return chosen


def _listed(sentences: Sequence[Any]) -> Sequence[Any]:
    if isinstance(sentences, str):
        raise TypeError(f"sentences is the text {sentences[:40]!r}; it must be a list of sentences")
    if not len(sentences):
        raise ValueError("sentences is empty; a summary needs a text")
    return sentences
