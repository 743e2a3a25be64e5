"""Named entities and other spans from tags, and how many of them were found.

A tag says how a token belongs to a span: ``B-PER`` begins a person's name, ``I-PER`` goes on with it, ``O`` belongs to
none. A span counts as found only as a whole, with both ends and its kind right.

>>> spans(["B-PER", "I-PER", "O", "B-LOC"])
[('PER', 0, 2), ('LOC', 3, 4)]
>>> span_scores([["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "O", "O", "B-LOC"]])
SpanScores(precision=0.5, recall=0.5, f1=0.5)

References
----------
E. F. Tjong Kim Sang, F. De Meulder, CoNLL-2003, https://arxiv.org/abs/cs/0306050
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["SpanScores", "span_f1", "span_scores", "spans"]


class SpanScores(NamedTuple):
    """Shares from 0 to 1; 0 where there is nothing to divide by.

    Attributes
    ----------
    precision : float
        Of the predicted spans, the share that is right.
    recall : float
        Of the true spans, the share that was found.
    f1 : float
        Their harmonic mean.
    """

    precision: float
    recall: float
    f1: float


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Read the spans of one sentence by CoNLL's rule.

    A span begins at a ``B-`` and also at an ``I-`` that has no span of its kind before it, which a model may write
    though no sentence was tagged so; the program of CoNLL forgives that. It ends before the next ``B-``, ``O``, or tag
    of another kind.

    Parameters
    ----------
    tags : list of str
        One for each token: ``O``, ``B-kind`` or ``I-kind``.

    Returns
    -------
    list of (kind, start, end)
        In the order of the sentence; tokens ``start`` to before ``end``.

    Raises
    ------
    TypeError, ValueError
        If `tags` is no list of strings, or one of them is no such tag.

    Examples
    --------
    >>> spans(["I-PER", "I-LOC", "B-LOC", "O", "I-LOC"])
    [('PER', 0, 1), ('LOC', 1, 2), ('LOC', 2, 3), ('LOC', 4, 5)]
    """
    if isinstance(tags, str):
        raise TypeError(f"tags is the text {tags!r}; it must be a list of tags")
    found: list[tuple[str, int, int]] = []
    start, inside = 0, ""  # where the span began that the token before belongs to, and its kind
    for place, tag in enumerate([*tags, "O"]):  # one more, to end what is open
        if not isinstance(tag, str):
            raise TypeError(f"tags[{place}] is {tag!r}; a tag is a string")
        mark, _, kind = tag.partition("-")
        if tag != "O" and not (mark in ("B", "I") and kind):
            raise ValueError(f"tags[{place}] is {tag!r}; it must be 'O', 'B-kind' or 'I-kind'")
        if mark == "I" and kind == inside:
            continue
        if inside:
            found.append((inside, start, place))
        start, inside = place, kind
    return found


def span_scores(
    true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], kind: str | None = None
) -> SpanScores:
    """Count the spans of all sentences together (micro average).

    Parameters
    ----------
    true, predicted : list of list of str
        The tags of each sentence, as `spans` takes them.
    kind : str, optional
        Only spans of this kind count; by default all.

    Returns
    -------
    SpanScores
        Precision, recall and F1.

    Raises
    ------
    TypeError, ValueError
        If the sentences differ in number or length, or a tag is not allowed.
    """
    if len(true) != len(predicted) or not len(true):
        raise ValueError(
            f"true has {len(true)} sentences and predicted {len(predicted)}; there must be as many, and at least one"
        )
    wanted, written, right = 0, 0, 0
    for number, (ours, theirs) in enumerate(zip(true, predicted, strict=True)):
        if len(ours) != len(theirs):
            raise ValueError(f"sentence {number} has {len(ours)} true tags and {len(theirs)} predicted ones")
        good, guessed = ({span for span in spans(tags) if kind in (None, span[0])} for tags in (ours, theirs))
        wanted, written, right = wanted + len(good), written + len(guessed), right + len(good & guessed)
    precision, recall = right / max(written, 1), right / max(wanted, 1)
    return SpanScores(precision, recall, 2 * right / max(wanted + written, 1))


def span_f1(true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], kind: str | None = None) -> float:
    """Give the F1 of `span_scores`: what papers on named entities report.

    Parameters
    ----------
    true, predicted, kind
        As in `span_scores`.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    TypeError, ValueError
        As in `span_scores`.
    """
    return span_scores(true, predicted, kind).f1
