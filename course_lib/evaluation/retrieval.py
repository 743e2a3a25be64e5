"""How well a search ranks: recall among the first k, the reciprocal rank, and the discounted gain.

Every function takes the scores of all documents for all queries. Where two documents have the same score, the worse one
is taken to stand first: a search that gives every document the same score earns nothing by the order of the files.

>>> scores = [[0.9, 0.1, 0.5], [0.2, 0.3, 0.4]]  # two queries, three documents
>>> recall_at(scores, [0, 1], k=1)  # document 0 answers the first query, document 1 the second
0.5
>>> mean_reciprocal_rank(scores, [0, 1])
0.75
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["mean_reciprocal_rank", "ndcg", "recall_at"]


def recall_at(scores: Any, relevant: Any, k: int) -> float:
    """Give the share of the relevant documents that stand among the first `k`, averaged over the queries.

    Parameters
    ----------
    scores : array_like of float, shape (queries, documents)
        The higher, the earlier a document stands.
    relevant : array_like
        Shape (queries,), int: the number of each query's one relevant document; or shape (queries, documents), bool:
        which documents are relevant.
    k : int
        From 1 to the number of documents.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, a query has no relevant document, or an argument is out of range.
    """
    ranked = _ranked(*_scored(scores, relevant))
    if _check.count("k", k) > ranked.shape[1]:
        raise ValueError(f"k is {k}; there are {ranked.shape[1]} documents")
    return float(np.mean(ranked[:, :k].sum(axis=1) / ranked.sum(axis=1)))


def mean_reciprocal_rank(scores: Any, relevant: Any) -> float:
    """Give the mean of 1 / rank of the first relevant document.

    Parameters
    ----------
    scores, relevant
        As in `recall_at`.

    Returns
    -------
    float
        Above 0, at most 1.

    Raises
    ------
    TypeError, ValueError
        As in `recall_at`.

    References
    ----------
    E. M. Voorhees, The TREC-8 Question Answering Track Report, 1999, https://trec.nist.gov/pubs/trec8/papers/qa_report.pdf
    """
    ranked = _ranked(*_scored(scores, relevant))
    return float(np.mean(1 / (1 + np.argmax(ranked > 0, axis=1))))


def ndcg(scores: Any, gains: Any, k: int | None = None) -> float:
    r"""Give the discounted gain of the ranking, as a share of the best ranking's: scikit-learn's ``ndcg_score``.

    The document at rank :math:`i` counts its gain divided by :math:`\log_2(1 + i)`.

    Parameters
    ----------
    scores : array_like of float, shape (queries, documents)
        The higher, the earlier a document stands.
    gains : array_like of float, shape (queries, documents)
        What each document is worth to each query, at least 0.
    k : int, optional
        Only the first `k` ranks count; by default all.

    Returns
    -------
    float
        From 0 to 1, averaged over the queries.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, a query has no document of a gain above 0, or an argument is out of range.

    References
    ----------
    K. Järvelin, J. Kekäläinen, Cumulated Gain-Based Evaluation of IR Techniques, 2002,
    https://doi.org/10.1145/582415.582418
    """
    score = _check.finite("scores", scores, ndim=2)
    gain = _check.finite("gains", gains, ndim=2)
    _require_worth(score, gain, "gains")
    first = score.shape[1] if k is None else min(_check.count("k", k), score.shape[1])
    discounts = 1 / np.log2(np.arange(2, first + 2))
    found = _ranked(score, gain)[:, :first] @ discounts
    best = -np.sort(-gain, axis=1)[:, :first] @ discounts
    return float(np.mean(found / best))


def _scored(scores: Any, relevant: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give the scores and which documents are relevant, both (queries, documents)."""
    score, given = _check.finite("scores", scores, ndim=2), np.asarray(relevant)
    if given.ndim == 1 and given.dtype.kind in "iu":
        if ((given < 0) | (given >= score.shape[1])).any():
            wrong = given[(given < 0) | (given >= score.shape[1])][0]
            raise ValueError(f"relevant holds {wrong}; documents are numbered from 0 to {score.shape[1] - 1}")
        if len(given) != len(score):
            raise ValueError(f"relevant has {len(given)} entries; there are {len(score)} queries")
        given = np.arange(score.shape[1]) == given[:, None]
    elif given.dtype.kind != "b":
        raise TypeError(
            f"relevant has dtype {given.dtype} and shape {given.shape}; it must be whole numbers of the shape "
            "(queries,) or truth values of the shape (queries, documents)"
        )
    _require_worth(score, given, "relevant")
    return score, given.astype(np.float64)


def _require_worth(score: np.ndarray, worth: np.ndarray, name: str) -> None:
    if worth.shape != score.shape or not score.size:
        raise ValueError(
            f"{name} has shape {worth.shape} and scores {score.shape}; both must be the same, not empty: "
            "(queries, documents)"
        )
    if (worth < 0).any():
        raise ValueError(f"{name} holds {worth.min()}; it must be at least 0")
    none = ~(worth > 0).any(axis=1)
    if none.any():
        raise ValueError(f"{name} has no relevant document for query {int(np.argmax(none))}; leave such queries out")


def _ranked(score: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Give what the documents are worth in the order in which they stand; of equal scores the worse first."""
    return np.take_along_axis(worth, np.lexsort((worth, -score), axis=1), axis=1)
