"""Masked language modelling: which tokens a model has to guess, and what it sees in their place.

BERT chooses 15 % of the tokens. Of the chosen ones 80 % are replaced by ``[MASK]``, 10 % by a random token, and 10 %
stay as they are, so that a model cannot rely on seeing ``[MASK]``, which no later task contains.

>>> tokens = np.array([[2, 11, 12, 13, 14, 3, 0, 0]])
>>> rng = np.random.default_rng(6)
>>> inputs, labels = mask_tokens(tokens, vocabulary=20, mask=4, special=range(5), rng=rng, rate=0.5)
>>> inputs
array([[ 2,  4,  4,  8, 14,  3,  0,  0]])
>>> labels
array([[-100,   11,   12,   13, -100, -100, -100, -100]])

References
----------
J. Devlin et al., BERT, 2019, https://arxiv.org/abs/1810.04805, section 3.1 and appendix A.1
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["IGNORE", "mask_tokens", "masked_positions"]

IGNORE = -100
"""The label of a position that the loss leaves out."""


def mask_tokens(
    tokens: Any,
    vocabulary: int,
    mask: int,
    special: Iterable[int],
    rng: np.random.Generator,
    rate: float = 0.15,
    parts: Sequence[float] = (0.8, 0.1, 0.1),
) -> tuple[np.ndarray, np.ndarray]:
    """Choose tokens to guess, and hide most of them.

    Each token that is not special is chosen with probability `rate`, independently of the others. Called anew for each
    batch, as a transform of `course_lib.data.batches.Batches`, this is the dynamic masking of RoBERTa; called once for
    the whole data set, it is the static masking of BERT.

    Parameters
    ----------
    tokens : array of int, any shape
        The text. It is not changed.
    vocabulary : int
        The number of tokens there are, numbered from 0.
    mask : int
        The number of ``[MASK]``.
    special : iterable of int
        Tokens that are never chosen, and never put in another's place: padding, ``[CLS]``, ``[SEP]``, ``[MASK]``, ...
    rng : numpy.random.Generator
        Where the random numbers come from.
    rate : float
        The share of tokens to choose, at least 0 and below 1.
    parts : three floats
        Of the chosen tokens, the shares that become ``[MASK]``, become a random token that is not special (which may
        be the same one), and stay. They sum to 1.

    Returns
    -------
    inputs : array of int, the shape and type of `tokens`
        What the model sees.
    labels : array of int, the shape and type of `tokens`
        What it must say: the token where it was chosen, `IGNORE` elsewhere.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, or `tokens` holds numbers outside the vocabulary.

    References
    ----------
    J. Devlin et al., BERT, 2019, https://arxiv.org/abs/1810.04805, appendix A.1; Y. Liu et al., RoBERTa, 2019,
    https://arxiv.org/abs/1907.11692, section 4.1
    """
    tokens = _whole_numbers("tokens", tokens)
    vocabulary = _check.count("vocabulary", vocabulary)
    rate = _check.fraction("rate", rate)
    shares = np.asarray(parts, np.float64)
    if shares.shape != (3,) or not (shares >= 0).all() or not np.isclose(shares.sum(), 1):
        raise ValueError(f"parts is {parts!r}; it must be three numbers of at least 0 that sum to 1")
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocabulary:
        raise ValueError(
            f"tokens has numbers from {tokens.min()} to {tokens.max()}; they must be from 0 to {vocabulary - 1}, below "
            "vocabulary"
        )
    if not 0 <= _check.count("mask", mask, least=0) < vocabulary:
        raise ValueError(f"mask is {mask}; it must be below vocabulary, {vocabulary}")
    is_special = np.zeros(vocabulary, bool)
    numbers = np.fromiter(special, np.int64)
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < vocabulary:
        raise ValueError(f"special is {numbers.tolist()}; all must be from 0 to {vocabulary - 1}, below vocabulary")
    is_special[numbers] = True
    ordinary = np.flatnonzero(~is_special)
    if not ordinary.size:
        raise ValueError(f"special holds all {vocabulary} tokens; at least one must be left to choose")

    chosen = (rng.random(tokens.shape) < rate) & ~is_special[tokens]
    labels = np.where(chosen, tokens, IGNORE).astype(tokens.dtype)
    fate = rng.random(tokens.shape)  # one draw decides: below 0.8 hidden, up to 0.9 replaced, else kept
    inputs = np.where(chosen & (fate < shares[0]), mask, tokens)
    replaced = chosen & (fate >= shares[0]) & (fate < shares[0] + shares[1])
    inputs = np.where(replaced, ordinary[rng.integers(ordinary.size, size=tokens.shape)], inputs)
    return inputs.astype(tokens.dtype), labels


def masked_positions(labels: Any, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List the chosen positions of each row in arrays of one fixed width.

    A head that computes logits at these positions only does about a seventh of the work of one that computes them
    everywhere.

    Parameters
    ----------
    labels : array of int, shape (batch, positions)
        As `mask_tokens` gives them.
    count : int
        The width: how many positions there is room for in a row. Rows with more keep their first ones.

    Returns
    -------
    positions : array of int32, shape (batch, count)
        The places of the chosen tokens, in rising order, then 0 where there are no more.
    labels : array of int, shape (batch, count)
        What to say there, `IGNORE` where there is nothing to say.
    weights : array of float32, shape (batch, count)
        1 where there is something to say, 0 elsewhere.

    Raises
    ------
    TypeError, ValueError
        If `labels` is not a matrix of whole numbers, or `count` is below 1.

    Examples
    --------
    >>> positions, answers, weights = masked_positions(np.array([[-100, 7, -100, 9], [-100, -100, 8, -100]]), count=2)
    >>> positions
    array([[1, 3],
           [2, 0]], dtype=int32)
    >>> answers
    array([[   7,    9],
           [   8, -100]])
    >>> weights
    array([[1., 1.],
           [1., 0.]], dtype=float32)
    """
    labels = _whole_numbers("labels", labels)
    if labels.ndim != 2:
        raise ValueError(f"labels has shape {labels.shape}; it must be (batch, positions)")
    count = _check.count("count", count)
    chosen = labels != IGNORE
    width = min(count, labels.shape[1])
    order = np.argsort(~chosen, axis=1, kind="stable")[:, :width]  # chosen places first, each group in rising order
    real = np.take_along_axis(chosen, order, axis=1)
    positions = np.zeros((len(labels), count), np.int32)
    positions[:, :width] = np.where(real, order, 0)
    answers = np.full((len(labels), count), IGNORE, labels.dtype)
    answers[:, :width] = np.where(real, np.take_along_axis(labels, order, axis=1), IGNORE)
    return positions, answers, (answers != IGNORE).astype(np.float32)


def _whole_numbers(name: str, array: Any) -> np.ndarray:
    result = np.asarray(array)
    if result.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {result.dtype}; it must hold whole numbers")
    if result.dtype.kind == "u":  # IGNORE is negative
        result = result.astype(np.int64)
    return result
