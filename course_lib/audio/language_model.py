"""A language model by counting: the probability of a letter behind the last few.

>>> model = CharacterNGram(["two", "ten", "tin"], order=2)
>>> model.log_probability("t", "e") > model.log_probability("t", "o")
True
>>> sum(np.exp(model.log_probability("t", letter)) for letter in (*model.symbols, None)).round(6)
np.float64(1.0)
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["CharacterNGram"]


class CharacterNGram:
    r"""An n-gram model whose orders are mixed as Witten and Bell do.

    .. math:: p(c \mid h) = \frac{N(h c) + T(h) \, p(c \mid h')}{N(h) + T(h)}

    :math:`N` counts what was seen, :math:`T(h)` the different symbols seen behind :math:`h`, and :math:`h'` is
    :math:`h` without its first symbol. Behind the empty beginning stands the same probability for all. Many different
    symbols behind :math:`h` mean that a new one is likely, so more is given to the shorter beginning.

    Parameters
    ----------
    texts : iterable of sequences
        Strings, or lists of labels: any sequence of symbols.
    order : int
        Symbols that are looked at, with the one that is asked for: 1 knows frequencies only.
    symbols : iterable, optional
        All symbols there are; by default those of the texts.

    Attributes
    ----------
    symbols : tuple
        Without the end, which is None.

    Raises
    ------
    ValueError
        If there is no text, or a text holds a symbol that is not among `symbols`.

    References
    ----------
    I. Witten, T. Bell, 1991, https://doi.org/10.1109/18.87000, method C
    """

    def __init__(
        self, texts: Iterable[Sequence[Hashable]], order: int = 4, symbols: Iterable[Hashable] | None = None
    ) -> None:
        rows = [tuple(text) for text in texts]
        if not rows:
            raise ValueError("texts is empty; there must be at least one")
        seen = dict.fromkeys(symbol for row in rows for symbol in row)
        self.order = _check.count("order", order)
        self.symbols = tuple(seen if symbols is None else dict.fromkeys(symbols))
        if unknown := set(seen) - set(self.symbols):
            raise ValueError(f"texts holds {sorted(map(repr, unknown))[0]}, which is not among symbols")
        self._counts: dict[tuple, Counter] = defaultdict(Counter)
        for row in rows:
            for place, symbol in enumerate((*row, None)):
                for length in range(min(self.order - 1, place) + 1):
                    self._counts[row[place - length : place]][symbol] += 1

    def log_probability(self, before: Sequence[Any], label: Any) -> float:
        """Give the natural logarithm of a symbol's probability behind a beginning; None is the end.

        Parameters
        ----------
        before : sequence of symbols
            All that stands before; the last ``order - 1`` count.
        label : symbol or None
            What comes.

        Raises
        ------
        ValueError
            If `label` is not among the symbols.
        """
        if label is not None and label not in self.symbols:
            raise ValueError(f"label is {label!r}; allowed are {self.symbols!r} and None for the end")
        probability = 1 / (len(self.symbols) + 1)
        past = tuple(before)
        for length in range(min(self.order - 1, len(past)) + 1):
            counts = self._counts.get(past[len(past) - length :])
            if counts is None:
                break  # a longer beginning was not seen either
            kinds, total = len(counts), counts.total()
            probability = (counts[label] + kinds * probability) / (total + kinds)
        return math.log(probability)

    def perplexity(self, texts: Iterable[Sequence[Any]]) -> float:
        """Give how many symbols the model hesitates between: e to the mean of -log p, each end counted as a symbol."""
        costs = [
            -self.log_probability(text[:place], symbol)
            for text in map(tuple, texts)
            for place, symbol in enumerate((*text, None))
        ]
        if not costs:
            raise ValueError("texts is empty; there must be at least one")
        return float(np.exp(np.mean(costs)))
