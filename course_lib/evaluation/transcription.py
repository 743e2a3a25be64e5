"""Error rates of transcriptions: how many edits turn what was recognised into what was said.

>>> word_error_rate(["four two six"], ["for two"])  # one wrong, one left out, of three
0.6666666666666666
>>> character_error_rate(["four"], ["for"])
0.25
>>> edit_distance("four", "for").operations
('same', 'same', 'deletion', 'same')
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Edits", "character_error_rate", "edit_distance", "word_error_rate"]


@dataclass(frozen=True)
class Edits:
    """The cheapest way from a reference to a hypothesis.

    Attributes
    ----------
    distance : int
        Substitutions, deletions and insertions together; no other way needs fewer.
    operations : tuple of str
        From the beginning: "same", "substitution", "deletion" (the hypothesis leaves a token of the reference out) or
        "insertion" (it has one more).
    """

    distance: int
    operations: tuple[str, ...]


def edit_distance(reference: Sequence[Any], hypothesis: Sequence[Any]) -> Edits:
    r"""Give the least number of edits, and which ones.

    .. math:: D_{i,j} = \min(D_{i-1,j-1} + [r_i \ne h_j], \; D_{i-1,j} + 1, \; D_{i,j-1} + 1)

    Parameters
    ----------
    reference, hypothesis : sequence
        What was said and what was recognised: strings for letters, lists for words.

    Returns
    -------
    Edits
        Of several cheapest ways one.

    References
    ----------
    R. Wagner, M. Fischer, 1974, https://doi.org/10.1145/321796.321811
    """
    rows, columns = len(reference), len(hypothesis)
    table = np.zeros((rows + 1, columns + 1), np.int64)
    table[:, 0], table[0] = np.arange(rows + 1), np.arange(columns + 1)
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            change = table[i - 1, j - 1] + (reference[i - 1] != hypothesis[j - 1])
            table[i, j] = min(change, table[i - 1, j] + 1, table[i, j - 1] + 1)
    operations = []
    i, j = rows, columns
    while i or j:  # back from the end, where each step's number came from
        if i and j and table[i, j] == table[i - 1, j - 1] + (reference[i - 1] != hypothesis[j - 1]):
            operations.append("same" if reference[i - 1] == hypothesis[j - 1] else "substitution")
            i, j = i - 1, j - 1
        elif i and table[i, j] == table[i - 1, j] + 1:
            operations.append("deletion")
            i -= 1
        else:
            operations.append("insertion")
            j -= 1
    return Edits(int(table[rows, columns]), tuple(reversed(operations)))


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Give the edits of words, summed over all texts, over the words of the references.

    Parameters
    ----------
    references, hypotheses : sequence of str
        What was said and what was recognised, text by text; blanks part words. Capitals and points count.

    Returns
    -------
    float
        0 is perfect; it passes 1 where more is inserted than was said.

    Raises
    ------
    TypeError
        If one text is given and not a list of texts.
    ValueError
        If the numbers of texts differ, or the references hold no word.

    Examples
    --------
    >>> word_error_rate(["one"], ["one two three"])
    2.0
    """
    return _rate([text.split() for text in _texts("references", references)],
                 [text.split() for text in _texts("hypotheses", hypotheses)], "word")  # fmt: skip


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Give the edits of letters, summed over all texts, over the letters of the references.

    Parameters
    ----------
    references, hypotheses : sequence of str
        As in `word_error_rate`. A blank counts as a letter, but not before or behind a text.

    Returns
    -------
    float
        As there.

    Raises
    ------
    TypeError, ValueError
        As there.
    """
    return _rate([text.strip() for text in _texts("references", references)],
                 [text.strip() for text in _texts("hypotheses", hypotheses)], "letter")  # fmt: skip


def _rate(references: Sequence[Sequence[Any]], hypotheses: Sequence[Sequence[Any]], unit: str) -> float:
    if len(references) != len(hypotheses):
        raise ValueError(f"there are {len(references)} references and {len(hypotheses)} hypotheses; as many are needed")
    length = sum(map(len, references))
    if not length:
        raise ValueError(f"references hold no {unit}; there must be at least one")
    edits = sum(edit_distance(r, h).distance for r, h in zip(references, hypotheses, strict=True))
    return edits / length


def _texts(name: str, texts: Sequence[str]) -> Sequence[str]:
    if isinstance(texts, str):
        raise TypeError(f"{name} is {texts!r}; it must be a list of texts")
    return texts
