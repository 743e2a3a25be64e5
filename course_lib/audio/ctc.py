r"""Connectionist temporal classification: how probable a text is, when nobody says which letter is spoken when.

At each step a network gives the probability of every letter, and of a blank. A path names one symbol a step;
`collapse` reads it: repeats are merged, then blanks are left out. The probability of a text is the sum over all paths
that read so, :math:`p(l \mid x) = \sum_{\pi: B(\pi) = l} \prod_t y_{t, \pi_t}`.

>>> collapse([0, 2, 2, 0, 2, 1])
(2, 2, 1)
>>> y = np.log([[0.5, 0.3, 0.2], [0.4, 0.5, 0.1]])  # two steps; blank, first letter, second letter
>>> round(float(np.exp(-ctc_loss(y, [1]))), 6)  # paths 01, 10 and 11
0.52
>>> round(float(sum(np.exp(y[0, a] + y[1, b]) for a, b in alignments([1], 2))), 6)
0.52

Everything here takes one sequence of log-probabilities (time, symbols), as ``log_softmax`` gives them, and labels as
whole numbers other than `blank`.

References
----------
A. Graves, S. Fernández, F. Gomez, J. Schmidhuber, 2006, https://doi.org/10.1145/1143844.1143891; prefix beam search:
A. Hannun, A. Maas, D. Jurafsky, A. Ng, 2014, https://arxiv.org/abs/1408.2873
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from course_lib import _check

__all__ = [
    "LanguageModel", "alignments", "beam_search", "collapse", "ctc_gradient", "ctc_loss", "forward_backward",
    "greedy_decode",
]  # fmt: skip


class LanguageModel(Protocol):
    """What `beam_search` asks: the probability of a label behind others."""

    def log_probability(self, before: Sequence[Any], label: Any) -> float:
        """Give the natural logarithm; `label` None stands for the end."""
        ...


def collapse(path: Any, blank: int = 0) -> tuple[int, ...]:
    """Read a path: merge repeats, then leave out blanks.

    Parameters
    ----------
    path : sequence of int
        One symbol a step.
    blank : int
        The symbol that says nothing, and keeps two equal letters apart.

    Returns
    -------
    tuple of int
        The labels.
    """
    steps = [int(symbol) for symbol in path]
    merged = [symbol for place, symbol in enumerate(steps) if place == 0 or symbol != steps[place - 1]]
    return tuple(symbol for symbol in merged if symbol != blank)


def alignments(labels: Any, time: int, blank: int = 0) -> Iterator[tuple[int, ...]]:
    """Go through all paths of a length that read as these labels. Their number grows fast: for small cases.

    Parameters
    ----------
    labels : sequence of int
        The text.
    time : int
        Steps of each path.
    blank : int
        The symbol that says nothing.

    Yields
    ------
    tuple of int
        One symbol a step; none is left out, none comes twice.

    Examples
    --------
    >>> list(alignments([1], 2))
    [(0, 1), (1, 0), (1, 1)]
    >>> list(alignments([1, 1], 3))
    [(1, 0, 1)]
    """
    text = _labels(labels, blank)
    steps = _check.count("time", time, least=0)

    def grow(path: tuple[int, ...], place: int) -> Iterator[tuple[int, ...]]:
        if len(path) == steps:
            if place == len(text):
                yield path
            return
        last = path[-1] if path else blank
        yield from grow((*path, blank), place)
        if last != blank:
            yield from grow((*path, last), place)  # the same letter goes on
        if place < len(text) and text[place] != last:
            yield from grow((*path, text[place]), place + 1)

    return grow((), 0)


def forward_backward(
    log_probabilities: Any, labels: Any, blank: int = 0
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    r"""Sum over all paths, step by step, from the beginning and from the end.

    The text is written with a blank before, behind and between its letters, :math:`l'` of :math:`S = 2L + 1` places. A
    path stays at its place or goes on by one, or by two where that leaves out a blank between two different letters:

    .. math::

        \alpha_{t,s} &= y_{t, l'_s} (\alpha_{t-1,s} + \alpha_{t-1,s-1} + [l'_s \ne l'_{s-2}, l'_s \ne 0]
        \, \alpha_{t-1,s-2}) \\
        \beta_{t,s} &= \beta_{t+1,s} y_{t+1,l'_s} + \beta_{t+1,s+1} y_{t+1,l'_{s+1}} + [\dots] \, \beta_{t+1,s+2}
        y_{t+1,l'_{s+2}}

    Parameters
    ----------
    log_probabilities : array_like of float, shape (time, symbols)
        :math:`\log y`; minus infinity is allowed.
    labels : sequence of int
        The text, without blanks.
    blank : int
        The symbol that says nothing.

    Returns
    -------
    alpha : float64, shape (time, 2 labels + 1)
        Log-probability of the first t + 1 steps of all paths that are at place s at step t.
    beta : float64, shape (time, 2 labels + 1)
        Log-probability of the steps after t, of all paths at place s at step t. ``logsumexp(alpha + beta, axis=1)`` is
        the same at each step: the log-probability of the text.
    extended : tuple of int
        The text with its blanks.

    Raises
    ------
    TypeError, ValueError
        If an argument has not the form above.
    """
    y = _log_probabilities(log_probabilities)
    text = _labels(labels, blank, y.shape[1])
    extended = (blank, *(symbol for label in text for symbol in (label, blank)))
    places, time = len(extended), len(y)
    # Whether place s can be reached from place s - 2.
    jump = np.array([s >= 2 and extended[s] not in (blank, extended[s - 2]) for s in range(places)])
    at = y[:, extended]  # (time, places)
    alpha = np.full((time, places), -np.inf)
    beta = np.full((time, places), -np.inf)
    alpha[0, :2] = at[0, :2]  # a path begins with the first blank or the first letter
    for t in range(1, time):
        one, two = _shifted(alpha[t - 1], 1), _shifted(alpha[t - 1], 2)
        alpha[t] = at[t] + _log_sum(alpha[t - 1], one, np.where(jump, two, -np.inf))
    beta[-1, -2:] = 0.0  # it ends with the last letter or the last blank
    for t in range(time - 2, -1, -1):
        ahead = beta[t + 1] + at[t + 1]
        two = _shifted(np.where(jump, ahead, -np.inf), -2)
        beta[t] = _log_sum(ahead, _shifted(ahead, -1), two)
    return alpha, beta, extended


def ctc_loss(log_probabilities: Any, labels: Any, blank: int = 0) -> float:
    """Give the negative log-probability of a text.

    Parameters
    ----------
    log_probabilities, labels, blank
        As in `forward_backward`.

    Returns
    -------
    float
        In nats; infinity where no path reads so: a text needs a step a letter, and one more for each letter that
        repeats the one before.

    Notes
    -----
    ``keras.ops.ctc_loss(labels, logits, label_length, logit_length, mask_index=0)`` takes batches and scores before the
    softmax, calls the blank `mask_index`, and works in single precision on TensorFlow. For a text without any path its
    backends disagree: a finite number here, infinity there.

    Examples
    --------
    >>> ctc_loss(np.log([[0.5, 0.5], [0.5, 0.5]]), [1, 1])
    inf
    """
    alpha, _, _ = forward_backward(log_probabilities, labels, blank)
    return -float(np.logaddexp.reduce(alpha[-1, -2:]))


def ctc_gradient(log_probabilities: Any, labels: Any, blank: int = 0) -> np.ndarray:
    r"""Give the gradient of `ctc_loss` by the scores before the softmax: what the network says minus what it should.

    .. math:: \frac{\partial L}{\partial u_{t,k}} = y_{t,k} - \gamma_{t,k}, \qquad
        \gamma_{t,k} = \frac{1}{p(l \mid x)} \sum_{s: l'_s = k} \alpha_{t,s} \beta_{t,s}

    Parameters
    ----------
    log_probabilities, labels, blank
        As in `forward_backward`. Each step's probabilities must sum to 1.

    Returns
    -------
    float64, shape (time, symbols)
        Each row sums to 0. :math:`\gamma_{t,k}`, the probability that a path which reads so has symbol k at step t, is
        ``exp(log_probabilities) - ctc_gradient(...)``.

    Raises
    ------
    ValueError
        If no path reads so: the loss is infinite and has no gradient.
    """
    y = _log_probabilities(log_probabilities)
    alpha, beta, extended = forward_backward(y, labels, blank)
    total = np.logaddexp.reduce(alpha[-1, -2:])
    if total == -np.inf:
        raise ValueError(f"labels is {labels!r}; no path of {len(y)} steps with these probabilities reads so")
    shares = np.exp(alpha + beta - total)  # (time, places)
    occupied = np.zeros(y.shape)
    for place, symbol in enumerate(extended):
        occupied[:, symbol] += shares[:, place]
    return np.exp(y) - occupied


def greedy_decode(log_probabilities: Any, blank: int = 0) -> tuple[int, ...]:
    """Read the most probable path. It need not be that of the most probable text.

    Parameters
    ----------
    log_probabilities : array_like of float, shape (time, symbols)
        Or any scores in the same order.
    blank : int
        The symbol that says nothing.
    """
    return collapse(_log_probabilities(log_probabilities).argmax(axis=1), blank)


def beam_search(
    log_probabilities: Any, beams: int = 16, blank: int = 0, language_model: LanguageModel | None = None,
    alpha: float = 1.0, beta: float = 0.0,
) -> list[tuple[tuple[int, ...], float]]:  # fmt: skip
    r"""Search for the texts with the largest score, keeping the best beginnings at each step.

    The score of a text is :math:`\log p(l \mid x) + \alpha \log p_\text{LM}(l) + \beta |l|`. Each beginning holds two
    sums: over the paths that end in its last letter, and over those that end in a blank. Only behind a blank does the
    same letter again make a longer text.

    Parameters
    ----------
    log_probabilities : array_like of float, shape (time, symbols)
        What the network says.
    beams : int
        Beginnings that are kept. Enough of them make the search exact.
    blank : int
        The symbol that says nothing.
    language_model : object with ``log_probability(before, label)``, optional
        For instance a `language_model.CharacterNGram` of labels; asked once for every new letter, and at the end with
        `label` None.
    alpha : float
        How much the language model counts.
    beta : float
        Added for each letter: a language model alone prefers short texts.

    Returns
    -------
    list of (labels, score)
        At most `beams` texts, the best first.

    Notes
    -----
    Hannun et al. ask a model of words where a word ends; here it is asked at every letter.
    """
    y = _log_probabilities(log_probabilities)
    width, symbols = _check.count("beams", beams), y.shape[1]
    _check.count("blank", blank, least=0)
    known: dict[tuple[int, ...], float] = {(): 0.0}  # what language model and length add to a text's score

    def extra(text: tuple[int, ...]) -> float:
        if text not in known:
            known[text] = extra(text[:-1]) + beta
            if language_model is not None:
                known[text] += alpha * language_model.log_probability(text[:-1], text[-1])
        return known[text]

    def score(text: tuple[int, ...], sums: list[float]) -> float:
        return float(np.logaddexp(sums[0], sums[1])) + extra(text)

    best: dict[tuple[int, ...], list[float]] = {(): [0.0, -math.inf]}  # sums that end in a blank, in a letter
    for step in y.tolist():
        found: dict[tuple[int, ...], list[float]] = {}

        def add(text: tuple[int, ...], place: int, value: float, found: dict[Any, list[float]] = found) -> None:
            sums = found.setdefault(text, [-math.inf, -math.inf])
            sums[place] = float(np.logaddexp(sums[place], value))

        for text, (in_blank, in_letter) in best.items():
            total = float(np.logaddexp(in_blank, in_letter))
            add(text, 0, total + step[blank])
            for symbol in range(symbols):
                if symbol == blank or step[symbol] == -math.inf:
                    continue
                if text and symbol == text[-1]:
                    add(text, 1, in_letter + step[symbol])  # the same letter goes on
                    add((*text, symbol), 1, in_blank + step[symbol])  # the letter comes again
                else:
                    add((*text, symbol), 1, total + step[symbol])
        ranked = sorted(found.items(), key=lambda item: score(*item), reverse=True)
        best = dict(ranked[:width])

    def end(text: tuple[int, ...]) -> float:
        return 0.0 if language_model is None else alpha * language_model.log_probability(text, None)

    finished = [(text, score(text, sums) + end(text)) for text, sums in best.items()]
    return sorted((item for item in finished if item[1] > -math.inf), key=lambda item: item[1], reverse=True)


def _shifted(row: np.ndarray, by: int) -> np.ndarray:
    """Move entries to later places (`by` above 0) or earlier ones; minus infinity moves in."""
    result = np.full_like(row, -np.inf)
    if by > 0:
        result[by:] = row[:-by]
    else:
        result[:by] = row[-by:]
    return result


def _log_sum(*terms: np.ndarray) -> np.ndarray:
    return np.logaddexp.reduce(terms)


def _log_probabilities(values: Any) -> np.ndarray:
    y = np.asarray(values, np.float64)
    if y.ndim != 2 or 0 in y.shape:
        raise ValueError(
            f"log_probabilities has shape {y.shape}; it must be (time, symbols), with at least one of each"
        )
    if np.isnan(y).any() or (y == np.inf).any():
        raise ValueError("log_probabilities holds a NaN or an infinity; only minus infinity is allowed")
    return y


def _labels(labels: Any, blank: int, symbols: int | None = None) -> tuple[int, ...]:
    _check.count("blank", blank, least=0)
    if symbols is not None and blank >= symbols:
        raise ValueError(f"blank is {blank}; it must be below the number of symbols, {symbols}")
    text = tuple(_check.count("labels", label, least=0) for label in labels)
    for label in text:
        if label == blank or (symbols is not None and label >= symbols):
            allowed = "another number" if symbols is None else f"from 0 to {symbols - 1}, and not"
            raise ValueError(f"labels holds {label}; it must be {allowed} the blank, {blank}")
    return text
