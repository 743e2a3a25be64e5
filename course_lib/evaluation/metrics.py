"""Metrics of classification and regression, equal to those of scikit-learn, in NumPy alone.

Arguments come in scikit-learn's order, what is true first. A class label is a whole number, a truth value or a string;
one call never mixes strings with numbers. Nothing here warns: where scikit-learn warns and goes on, a function either
has an argument that says what to do (`zero_division`), or it refuses. There are no sample weights.

>>> y_true = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]
>>> always_no = [0] * 10
>>> accuracy(y_true, always_no), recall(y_true, always_no), balanced_accuracy(y_true, always_no)
(0.8, 0.0, 0.5)
>>> confusion_matrix(y_true, always_no)
array([[8, 0],
       [2, 0]])
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from course_lib import _check

__all__ = [
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "brier_score",
    "confusion_matrix",
    "expected_calibration_error",
    "f1",
    "fbeta",
    "log_loss",
    "matthews_correlation",
    "mean_absolute_error",
    "mean_squared_error",
    "precision",
    "precision_recall_curve",
    "r2_score",
    "recall",
    "reliability_curve",
    "roc_auc",
    "roc_curve",
    "top_k_accuracy",
]

_AVERAGES = ("binary", "macro", "micro", "weighted")


def accuracy(y_true: Any, y_pred: Any) -> float:
    """Give the share of predictions that are right.

    Parameters
    ----------
    y_true, y_pred : array_like of labels, shape (examples,)
        The true and the predicted classes.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If one of them is empty, is not one-dimensional, holds something that is no label (such as a probability), or if
        their lengths or kinds differ.

    Examples
    --------
    >>> accuracy(["cat", "dog", "dog"], ["cat", "dog", "cat"]).__round__(3)
    0.667
    """
    true, predicted = _pair(y_true, y_pred)
    return float(np.mean(true == predicted))


def balanced_accuracy(y_true: Any, y_pred: Any, *, adjusted: bool = False) -> float:
    """Give the mean of the recalls of all classes that occur in `y_true`.

    A model that always says the same scores 1 / classes, however rare the other classes are.

    Parameters
    ----------
    y_true, y_pred : array_like of labels, shape (examples,)
        The true and the predicted classes.
    adjusted : bool
        Rescale, so that such a model scores 0 and a perfect one 1.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        As `accuracy`; and if `adjusted` is asked for with one true class only, which leaves nothing to rescale.

    References
    ----------
    K. H. Brodersen and others, 2010, The balanced accuracy and its posterior distribution, doi:10.1109/ICPR.2010.764

    Examples
    --------
    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    classes, true, predicted = _encoded(y_true, y_pred)
    table = _table(true, predicted, len(classes))
    present = table.sum(axis=1) > 0
    score = float(np.mean(np.diag(table)[present] / table.sum(axis=1)[present]))
    if not _check.flag("adjusted", adjusted):
        return score
    chance = 1 / int(present.sum())
    if chance == 1:
        raise ValueError("y_true holds one class only; adjusted=True needs at least 2")
    return (score - chance) / (1 - chance)


def confusion_matrix(y_true: Any, y_pred: Any, *, labels: Any = None, normalize: str | None = None) -> np.ndarray:
    """Count how often each class was predicted as each class.

    Parameters
    ----------
    y_true, y_pred : array_like of labels, shape (examples,)
        The true and the predicted classes.
    labels : array_like of labels, shape (classes,), optional
        The classes of the rows and columns, in this order; examples of other classes are left out. Unless given, all
        that occur, sorted.
    normalize : {None, "true", "pred", "all"}
        Divide each row by its sum, each column by its sum, or all by the number of examples; empty ones stay 0.

    Returns
    -------
    ndarray, shape (classes, classes)
        Row: the true class. Column: the predicted one. Whole numbers unless normalised.

    Raises
    ------
    TypeError, ValueError
        As `accuracy`; and if no label of `labels` occurs in `y_true`.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1, 2], [0, 1, 1, 1])
    array([[1, 1, 0],
           [0, 1, 0],
           [0, 1, 0]])
    """
    classes, true, predicted = _encoded(y_true, y_pred)
    table = _table(true, predicted, len(classes))
    if labels is not None:
        table = _select(table, classes, _chosen(labels, classes))
        if table is None:
            raise ValueError(f"labels is {labels!r}; none of them occurs in y_true")
    if normalize is None:
        return table
    kind = _check.choice("normalize", normalize, ("true", "pred", "all"))
    axis = {"true": 1, "pred": 0, "all": None}[kind]
    total = table.sum(axis=axis, keepdims=True)
    return np.divide(table, total, out=np.zeros(table.shape), where=total > 0)


def precision(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    zero_division: float = 0.0,
) -> Any:
    """Give the share of the predicted positives that are positive.

    Parameters
    ----------
    y_true, y_pred : array_like of labels, shape (examples,)
        The true and the predicted classes.
    labels : array_like of labels, optional
        The classes over which to average, or whose scores to give; unless given, all that occur, sorted. Not used with
        ``average="binary"``.
    pos_label : label
        The class that counts as positive; used with ``average="binary"`` alone.
    average : {"binary", "macro", "micro", "weighted", None}
        ``"binary"``: the score of `pos_label`. ``"macro"``: the mean over the classes. ``"micro"``: from the counts of
        all classes together. ``"weighted"``: the mean, each class weighing its number of true examples. None: one score
        a class.
    zero_division : {0.0, 1.0, nan}
        The score of a class of which nothing was predicted (for recall: of which nothing is true). NaN leaves such
        classes out of a mean.

    Returns
    -------
    float, or ndarray of shape (classes,) for ``average=None``

    Raises
    ------
    TypeError, ValueError
        As `accuracy`; if an argument is not one of the values above; and with ``average="binary"`` if there are more
        than two classes, or two of which none is `pos_label`.

    References
    ----------
    M. Sokolova, G. Lapalme, 2009, A systematic analysis of performance measures for classification tasks,
    doi:10.1016/j.ipm.2009.03.002

    Examples
    --------
    >>> precision([0, 1, 1, 1], [1, 1, 1, 0]).__round__(3)
    0.667
    >>> precision([0, 1, 2, 2], [0, 1, 1, 2], average=None)
    array([1. , 0.5, 1. ])
    """
    hits, true, predicted, how = _counted(y_true, y_pred, labels, pos_label, average)
    return _averaged(hits, predicted, true, how, zero_division)


def recall(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    zero_division: float = 0.0,
) -> Any:
    """Give the share of the true positives that are found.

    Parameters
    ----------
    y_true, y_pred : array_like of labels, shape (examples,)
        The true and the predicted classes.
    labels, pos_label, average, zero_division
        As in `precision`.

    Returns
    -------
    float, or ndarray of shape (classes,) for ``average=None``

    Raises
    ------
    TypeError, ValueError
        As `precision`.

    Examples
    --------
    >>> recall([0, 1, 1, 1, 1], [1, 1, 1, 0, 1])
    0.75
    """
    hits, true, _, how = _counted(y_true, y_pred, labels, pos_label, average)
    return _averaged(hits, true, true, how, zero_division)


def fbeta(
    y_true: Any,
    y_pred: Any,
    *,
    beta: float,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    zero_division: float = 0.0,
) -> Any:
    r"""Give the weighted harmonic mean of precision and recall.

    With hits *tp*, false alarms *fp* and misses *fn* it is
    :math:`(1 + \beta^2) tp / ((1 + \beta^2) tp + \beta^2 fn + fp)`.

    Parameters
    ----------
    y_true, y_pred : array_like of labels, shape (examples,)
        The true and the predicted classes.
    beta : float
        Above 0. How many times as much recall counts as precision.
    labels, pos_label, average
        As in `precision`.
    zero_division : {0.0, 1.0, nan}
        The score of a class that is neither true nor predicted anywhere.

    Returns
    -------
    float, or ndarray of shape (classes,) for ``average=None``

    Raises
    ------
    TypeError, ValueError
        As `precision`; and if `beta` is not above 0.

    Examples
    --------
    >>> fbeta([0, 1, 1, 1], [1, 1, 1, 0], beta=2).__round__(3)
    0.667
    """
    square = _check.positive("beta", beta) ** 2
    hits, true, predicted, how = _counted(y_true, y_pred, labels, pos_label, average)
    return _averaged((1 + square) * hits, square * true + predicted, true, how, zero_division)


def f1(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    pos_label: Any = 1,
    average: str | None = "binary",
    zero_division: float = 0.0,
) -> Any:
    """Give the harmonic mean of precision and recall.

    Parameters
    ----------
    y_true, y_pred : array_like of labels, shape (examples,)
        The true and the predicted classes.
    labels, pos_label, average, zero_division
        As in `fbeta`, of which this is the case ``beta=1``.

    Returns
    -------
    float, or ndarray of shape (classes,) for ``average=None``

    Raises
    ------
    TypeError, ValueError
        As `precision`.

    Examples
    --------
    >>> f1([0, 0, 1, 1], [0, 1, 1, 1])
    0.8
    """
    return fbeta(
        y_true, y_pred, beta=1.0, labels=labels, pos_label=pos_label, average=average, zero_division=zero_division
    )


def matthews_correlation(y_true: Any, y_pred: Any) -> float:
    """Give the correlation of true and predicted classes.

    Parameters
    ----------
    y_true, y_pred : array_like of labels, shape (examples,)
        The true and the predicted classes, two or more of them.

    Returns
    -------
    float
        From -1 to 1; 0 where all are predicted alike, or all truly are.

    Raises
    ------
    TypeError, ValueError
        As `accuracy`.

    References
    ----------
    B. W. Matthews, 1975, Comparison of the predicted and observed secondary structure of T4 phage lysozyme,
    doi:10.1016/0005-2795(75)90109-9; for several classes: J. Gorodkin, 2004, doi:10.1016/j.compbiolchem.2004.09.006

    Examples
    --------
    >>> matthews_correlation([0, 0, 1, 1], [0, 0, 1, 1])
    1.0
    >>> matthews_correlation([0, 0, 0, 1], [0, 0, 0, 0])
    0.0
    """
    classes, true, predicted = _encoded(y_true, y_pred)
    table = _table(true, predicted, len(classes)).astype(np.float64)
    n, rows, columns = table.sum(), table.sum(axis=1), table.sum(axis=0)
    spread = (n**2 - rows @ rows) * (n**2 - columns @ columns)
    return float((np.trace(table) * n - rows @ columns) / math.sqrt(spread)) if spread > 0 else 0.0


def roc_curve(
    y_true: Any, y_score: Any, *, pos_label: Any = None, drop_intermediate: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give false and true positive rates for every threshold.

    Parameters
    ----------
    y_true : array_like of labels, shape (examples,)
        Two classes, both present.
    y_score : array_like of float, shape (examples,)
        The larger, the more positive: probabilities or any scores.
    pos_label : label, optional
        The positive class; unless given, the labels must be 0 and 1, or -1 and 1, and 1 is it.
    drop_intermediate : bool
        Leave out thresholds between two others on one straight line: the curve is the same.

    Returns
    -------
    false_positive_rate, true_positive_rate : ndarray, shape (thresholds,)
        From 0 to 1, rising.
    thresholds : ndarray, shape (thresholds,)
        Falling; what scores at least as much counts as positive. The first is infinite: nothing does.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above: a score that is NaN, three classes, one class only.

    References
    ----------
    T. Fawcett, 2006, An introduction to ROC analysis, doi:10.1016/j.patrec.2005.10.010

    Examples
    --------
    >>> fpr, tpr, thresholds = roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> fpr
    array([0. , 0. , 0.5, 0.5, 1. ])
    >>> tpr
    array([0. , 0.5, 0.5, 1. , 1. ])
    >>> thresholds
    array([ inf, 0.8 , 0.4 , 0.35, 0.1 ])
    """
    positive, score = _binary(y_true, y_score, pos_label)
    if positive.all() or not positive.any():
        kind = "positives" if positive.all() else "negatives"
        raise ValueError(f"y_true holds {kind} only; the curve needs examples of both classes")
    false, true, thresholds = _cumulated(positive, score)
    if _check.flag("drop_intermediate", drop_intermediate) and len(false) > 2:
        corner = np.r_[True, (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0), True]
        false, true, thresholds = false[corner], true[corner], thresholds[corner]
    return np.r_[0.0, false / false[-1]], np.r_[0.0, true / true[-1]], np.r_[np.inf, thresholds]


def roc_auc(
    y_true: Any, y_score: Any, *, pos_label: Any = None, average: str | None = "macro", labels: Any = None
) -> Any:
    """Give the area under the ROC curve: how often a positive scores more than a negative.

    Of all pairs of a positive and a negative, it is the share in which the positive has the larger score; a tie counts
    one half.

    Parameters
    ----------
    y_true : array_like of labels, shape (examples,)
        The true classes; each of them must occur.
    y_score : array_like of float, shape (examples,) or (examples, classes)
        One score for two classes; one a class, in the order of the sorted labels, for one class against the rest.
    pos_label : label, optional
        The positive class, for scores of shape (examples,), as in `roc_curve`.
    average : {"macro", "weighted", None}
        For scores of shape (examples, classes): the mean over the classes, the mean weighted by their numbers of
        examples, or one area a class.
    labels : array_like of labels, optional
        The classes of the columns, where they are not in sorted order.

    Returns
    -------
    float, or ndarray of shape (classes,) for ``average=None``

    Raises
    ------
    TypeError, ValueError
        As `roc_curve`; if a class has no example, or the number of columns is not that of the classes.

    References
    ----------
    J. A. Hanley, B. J. McNeil, 1982, The meaning and use of the area under a receiver operating characteristic (ROC)
    curve, doi:10.1148/radiology.143.1.7063747

    Examples
    --------
    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    if np.ndim(y_score) != 2:
        false, true, _ = roc_curve(y_true, y_score, pos_label=pos_label)
        return float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))
    score = _check.finite("y_score", y_score, ndim=2)
    classes, true = _columns("y_score", y_true, score, labels)
    if average is not None:
        _check.choice("average", average, ("macro", "weighted"))
    counts = np.bincount(true, minlength=len(classes))
    if not counts.all():
        missing = classes[counts == 0].tolist()
        raise ValueError(f"y_true holds no example of {missing}; the area of a class needs some")
    areas = np.array([roc_auc(true == k, score[:, k], pos_label=True) for k in range(len(classes))])
    return areas if average is None else float(np.average(areas, weights=counts if average == "weighted" else None))


def precision_recall_curve(
    y_true: Any, y_score: Any, *, pos_label: Any = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give precision and recall for every threshold.

    Parameters
    ----------
    y_true, y_score, pos_label
        As in `roc_curve`; negatives may be absent.

    Returns
    -------
    precision, recall : ndarray, shape (thresholds + 1,)
        One value a threshold, and at the end precision 1 with recall 0, which belong to no threshold.
    thresholds : ndarray, shape (thresholds,)
        Rising; what scores at least as much counts as positive.

    Raises
    ------
    TypeError, ValueError
        As `roc_curve`; and if there is no positive.

    References
    ----------
    J. Davis, M. Goadrich, 2006, The relationship between precision-recall and ROC curves, doi:10.1145/1143844.1143874

    Examples
    --------
    >>> precisions, recalls, thresholds = precision_recall_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> precisions.round(3)
    array([0.5  , 0.667, 0.5  , 1.   , 1.   ])
    >>> recalls
    array([1. , 1. , 0.5, 0.5, 0. ])
    """
    positive, score = _binary(y_true, y_score, pos_label)
    if not positive.any():
        raise ValueError("y_true holds negatives only; recall needs positives")
    false, true, thresholds = _cumulated(positive, score)
    precisions, recalls = true / (true + false), true / true[-1]
    return np.r_[precisions[::-1], 1.0], np.r_[recalls[::-1], 0.0], thresholds[::-1]


def average_precision(y_true: Any, y_score: Any, *, pos_label: Any = None) -> float:
    """Give the mean precision over the recall gained at each threshold.

    It sums steps, not trapezia: between two points of the curve precision does not run in a straight line.

    Parameters
    ----------
    y_true, y_score, pos_label
        As in `precision_recall_curve`.

    Returns
    -------
    float
        From 0 to 1; a random score gets about the share of positives.

    Raises
    ------
    TypeError, ValueError
        As `precision_recall_curve`.

    Examples
    --------
    >>> average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).__round__(4)
    0.8333
    """
    precisions, recalls, _ = precision_recall_curve(y_true, y_score, pos_label=pos_label)
    return float(-np.sum(np.diff(recalls) * precisions[:-1]))


def log_loss(y_true: Any, y_proba: Any, *, labels: Any = None) -> float:
    """Give the mean of minus the logarithm of the probability that the true class got: the cross-entropy.

    Parameters
    ----------
    y_true : array_like of labels, shape (examples,)
        The true classes.
    y_proba : array_like of float, shape (examples, classes) or (examples,)
        One probability a class, in the order of the sorted labels; or the probability of the second of two.
    labels : array_like of labels, optional
        The classes of the columns, in their order; needed where not all of them occur in `y_true`.

    Returns
    -------
    float
        In nats, 0 or more. Probabilities are clipped to [e, 1 - e] with the rounding unit e of their precision, so that
        a certain and wrong prediction costs much (36 in float64) and not infinitely much.

    Raises
    ------
    TypeError, ValueError
        If a probability is outside [0, 1], a row does not sum to 1, or the number of columns is not that of the
        classes.

    Examples
    --------
    >>> log_loss([0, 1], [[0.9, 0.1], [0.2, 0.8]]).__round__(4)
    0.1643
    """
    _, true, proba = _probabilities(y_true, y_proba, labels)
    unit = np.finfo(proba.dtype).eps
    return float(-np.mean(np.log(np.clip(proba[np.arange(len(true)), true], unit, 1 - unit)), dtype=np.float64))


def brier_score(y_true: Any, y_proba: Any, *, labels: Any = None) -> float:
    """Give the mean squared distance of the probabilities from what happened.

    Parameters
    ----------
    y_true, y_proba, labels
        As in `log_loss`.

    Returns
    -------
    float
        0 for a certain and right prediction. For two classes the squared error of one probability (at most 1); for more
        the sum over all classes (at most 2), as Brier defined it.

    Raises
    ------
    TypeError, ValueError
        As `log_loss`.

    References
    ----------
    G. W. Brier, 1950, Verification of forecasts expressed in terms of probability,
    doi:10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO%3B2

    Examples
    --------
    >>> brier_score([0, 1], [0.1, 0.8]).__round__(4)
    0.025
    """
    classes, true, proba = _probabilities(y_true, y_proba, labels)
    errors = proba - (true[:, None] == np.arange(len(classes)))
    total = float(np.mean(np.sum(np.square(errors), axis=1), dtype=np.float64))
    return total / 2 if len(classes) == 2 else total


def top_k_accuracy(y_true: Any, y_score: Any, *, k: int = 2, labels: Any = None) -> float:
    """Give the share of examples whose true class is among the `k` with the largest scores.

    Parameters
    ----------
    y_true : array_like of labels, shape (examples,)
        The true classes.
    y_score : array_like of float, shape (examples, classes)
        One score a class, in the order of the sorted labels.
    k : int
        At least 1.
    labels : array_like of labels, optional
        The classes of the columns, in their order; needed where not all of them occur in `y_true`.

    Returns
    -------
    float
        From 0 to 1. Of classes with the same score the later one comes first, as in scikit-learn.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or the number of columns is not that of the classes.

    Examples
    --------
    >>> top_k_accuracy([0, 1, 2], [[0.5, 0.3, 0.2], [0.4, 0.1, 0.5], [0.3, 0.4, 0.3]], k=2).__round__(3)
    0.667
    """
    score = _check.finite("y_score", y_score, ndim=2)
    _, true = _columns("y_score", y_true, score, labels)
    best = np.argsort(score, axis=1, kind="stable")[:, ::-1][:, : _check.count("k", k)]
    return float(np.mean(np.any(best == true[:, None], axis=1)))


def reliability_curve(
    y_true: Any, y_proba: Any, *, bins: int = 15, labels: Any = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group predictions by their confidence; give each group's mean confidence and accuracy.

    The confidence of a prediction is the largest of its probabilities, and the class that has it is what is predicted.

    Parameters
    ----------
    y_true, y_proba, labels
        As in `log_loss`.
    bins : int
        Into how many parts of equal length [0, 1] is cut; each part holds its upper end.

    Returns
    -------
    confidence, accuracy : ndarray, shape (bins,)
        NaN for a part without a prediction.
    counts : ndarray of int, shape (bins,)
        How many predictions are in each.

    Raises
    ------
    TypeError, ValueError
        As `log_loss`.

    Examples
    --------
    >>> confidence, share, counts = reliability_curve([1, 1, 0, 1], [0.95, 0.85, 0.1, 0.2], bins=5)
    >>> counts
    array([0, 0, 0, 1, 3])
    >>> share[3:].round(3)
    array([0., 1.])
    """
    _, true, proba = _probabilities(y_true, y_proba, labels)
    pieces = _check.count("bins", bins)
    sure, right = proba.max(axis=1).astype(np.float64), np.argmax(proba, axis=1) == true
    part = np.clip(np.searchsorted(np.linspace(0, 1, pieces + 1), sure, side="left") - 1, 0, pieces - 1)
    counts = np.bincount(part, minlength=pieces)
    empty = np.full(pieces, np.nan)
    confidence = np.divide(np.bincount(part, sure, pieces), counts, out=empty.copy(), where=counts > 0)
    share = np.divide(np.bincount(part, right, pieces), counts, out=empty, where=counts > 0)
    return confidence, share, counts


def expected_calibration_error(y_true: Any, y_proba: Any, *, bins: int = 15, labels: Any = None) -> float:
    """Give the mean gap between confidence and accuracy, over the groups of `reliability_curve`.

    Parameters
    ----------
    y_true, y_proba, bins, labels
        As in `reliability_curve`.

    Returns
    -------
    float
        From 0 to 1; each group weighs its number of predictions. It depends on `bins`, and with few examples it is
        above 0 even for a calibrated model.

    Raises
    ------
    TypeError, ValueError
        As `log_loss`.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, 2017, On calibration of modern neural networks, arXiv:1706.04599

    Examples
    --------
    >>> expected_calibration_error([1, 1, 0, 1], [0.95, 0.85, 0.1, 0.2], bins=5).__round__(3)
    0.275
    """
    confidence, share, counts = reliability_curve(y_true, y_proba, bins=bins, labels=labels)
    filled = counts > 0
    return float(np.sum(np.abs(confidence - share)[filled] * counts[filled]) / counts.sum())


def mean_squared_error(y_true: Any, y_pred: Any) -> float:
    """Give the mean of the squared errors.

    Parameters
    ----------
    y_true, y_pred : array_like of float, shape (examples,) or (examples, outputs)
        What happened and what was predicted. Nothing is broadcast: (examples,) against (examples, 1) is refused.

    Returns
    -------
    float
        In the squared unit of `y_true`.

    Raises
    ------
    TypeError, ValueError
        If the shapes differ, an array is empty or holds a NaN or an infinity.

    Examples
    --------
    >>> mean_squared_error([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    true, predicted = _numbers(y_true, y_pred)
    return float(np.mean(np.square(true - predicted)))


def mean_absolute_error(y_true: Any, y_pred: Any) -> float:
    """Give the mean of the absolute errors.

    Parameters
    ----------
    y_true, y_pred : array_like of float, shape (examples,) or (examples, outputs)
        As in `mean_squared_error`.

    Returns
    -------
    float
        In the unit of `y_true`.

    Raises
    ------
    TypeError, ValueError
        As `mean_squared_error`.

    Examples
    --------
    >>> mean_absolute_error([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    true, predicted = _numbers(y_true, y_pred)
    return float(np.mean(np.abs(true - predicted)))


def r2_score(y_true: Any, y_pred: Any) -> float:
    """Give the share of the variance that the predictions explain.

    Parameters
    ----------
    y_true, y_pred : array_like of float, shape (examples,) or (examples, outputs)
        As in `mean_squared_error`; at least two examples.

    Returns
    -------
    float
        1 for perfect predictions, 0 for those that always say the mean of `y_true`, below 0 for worse ones. For several
        outputs the mean over them. Where `y_true` does not vary: 1 if it is met exactly, else 0.

    Raises
    ------
    TypeError, ValueError
        As `mean_squared_error`; and if there is one example only.

    Examples
    --------
    >>> r2_score([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    true, predicted = _numbers(y_true, y_pred)
    if len(true) < 2:
        raise ValueError("y_true has 1 example; r2_score needs at least 2")
    left = np.sum(np.square(true - predicted), axis=0)
    total = np.sum(np.square(true - true.mean(axis=0)), axis=0)
    constant = np.where(left == 0, 1.0, 0.0)
    return float(np.mean(np.where(total > 0, 1 - left / np.where(total > 0, total, 1.0), constant)))


# Labels: what counts as one, and their numbers in the sorted list of classes.


def _labels(name: str, values: Any, ndim: int = 1) -> np.ndarray:
    """Check an array of labels; strings become NumPy's, truth values and whole floats become whole numbers."""
    array = np.asarray(values)
    if array.ndim != ndim or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; it must have one dimension and at least one label")
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array):
        array = array.astype(str)
    if array.dtype.kind == "f":
        odd = array[~(np.isfinite(array) & (np.floor(array) == array))]
        if odd.size:
            raise ValueError(f"{name} holds {float(odd[0])!r}, which is no class label; turn scores into classes first")
        array = array.astype(np.int64)
    if array.dtype.kind not in "biuUS":
        raise TypeError(f"{name} has dtype {array.dtype}; labels are whole numbers, truth values or strings")
    return array.astype(np.int64) if array.dtype.kind == "b" else array


def _alike(first: np.ndarray, second: np.ndarray, names: str) -> None:
    if (first.dtype.kind in "US") != (second.dtype.kind in "US"):
        raise TypeError(f"{names} hold numbers here and strings there; labels must be of one kind")


def _pair(y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    true, predicted = _labels("y_true", y_true), _labels("y_pred", y_pred)
    _alike(true, predicted, "y_true and y_pred")
    if len(true) != len(predicted):
        raise ValueError(f"y_pred has {len(predicted)} examples and y_true {len(true)}; they must be as many")
    return true, predicted


def _encoded(y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the sorted classes and both arrays as their numbers in it."""
    true, predicted = _pair(y_true, y_pred)
    classes, numbers = np.unique(np.concatenate([true, predicted]), return_inverse=True)
    return classes, numbers[: len(true)], numbers[len(true) :]


def _chosen(labels: Any, classes: np.ndarray) -> np.ndarray:
    chosen = _labels("labels", labels)
    _alike(chosen, classes, "labels and y_true")
    if len(np.unique(chosen)) != len(chosen):
        raise ValueError(f"labels is {labels!r}; each class must stand there once")
    return chosen


def _table(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count pairs of numbers: rows true, columns predicted."""
    return np.bincount(true * classes + predicted, minlength=classes**2).reshape(classes, classes)


def _select(table: np.ndarray, classes: np.ndarray, chosen: np.ndarray) -> Any:
    """Give the rows and columns of the chosen classes, 0 for one that does not occur; None if no row has examples."""
    place = {label: index for index, label in enumerate(classes.tolist())}
    known = [(new, place[label]) for new, label in enumerate(chosen.tolist()) if label in place]
    if not any(table[old].any() for _, old in known):
        return None
    result = np.zeros((len(chosen), len(chosen)), dtype=table.dtype)
    new, old = np.array(known).T
    result[np.ix_(new, new)] = table[np.ix_(old, old)]
    return result


# Precision, recall and F: counts a class, then the average.


def _counted(
    y_true: Any, y_pred: Any, labels: Any, pos_label: Any, average: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str | None]:
    """Give hits, true examples and predicted ones of each class, and how to average them."""
    classes, true, predicted = _encoded(y_true, y_pred)
    how = None if average is None else _check.choice("average", average, _AVERAGES)
    if how == "binary":
        if len(classes) > 2:
            raise ValueError(
                f"average is 'binary' and there are {len(classes)} classes; choose 'macro', 'micro', 'weighted' or None"
            )
        if len(classes) == 2 and pos_label not in classes.tolist():
            raise ValueError(f"pos_label is {pos_label!r}; it must be one of the classes {classes.tolist()}")
        labels = [pos_label]
    table = _table(true, predicted, len(classes))
    sums = np.stack([np.diag(table), table.sum(axis=1), table.sum(axis=0)])
    if labels is not None:
        place = {label: index for index, label in enumerate(classes.tolist())}
        wanted = [place.get(label, -1) for label in _chosen(labels, classes).tolist()]
        sums = np.c_[sums, [0, 0, 0]][:, wanted]  # the last column is for classes that do not occur
    return *(sums.sum(axis=1, keepdims=True) if how == "micro" else sums), how


def _averaged(part: np.ndarray, whole: np.ndarray, weights: np.ndarray, how: str | None, zero_division: float) -> Any:
    """Divide counts and average the shares over the classes."""
    if zero_division not in (0, 1) and not (isinstance(zero_division, float) and math.isnan(zero_division)):
        raise ValueError(f"zero_division is {zero_division!r}; allowed are 0, 1 and NaN")
    scores = np.divide(part, whole, out=np.full(len(part), float(zero_division)), where=whole > 0)
    if how is None:
        return scores
    if how in ("binary", "micro"):
        return float(scores[0])
    counted = ~np.isnan(scores)
    if not counted.any():
        return math.nan
    shares = weights[counted] if how == "weighted" and weights[counted].any() else None
    return float(np.average(scores[counted], weights=shares))


# Scores and probabilities.


def _binary(y_true: Any, y_score: Any, pos_label: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give which examples are positive, and their scores."""
    true, score = _labels("y_true", y_true), _check.finite("y_score", y_score, ndim=1)
    if len(true) != len(score):
        raise ValueError(f"y_score has {len(score)} examples and y_true {len(true)}; they must be as many")
    classes = np.unique(true).tolist()
    if len(classes) > 2:
        raise ValueError(f"y_true holds {len(classes)} classes; this metric is for two")
    if pos_label is None:
        if not (set(classes) <= {0, 1} or set(classes) <= {-1, 1}):
            raise ValueError(f"y_true holds {classes}; give pos_label, which of them is positive")
        pos_label = 1
    elif len(classes) == 2 and pos_label not in classes:
        raise ValueError(f"pos_label is {pos_label!r}; it must be one of the classes {classes}")
    return true == pos_label, score


def _cumulated(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count false and true positives at each score that occurs, the largest first."""
    order = np.argsort(score, kind="stable")[::-1]
    positive, score = positive[order], score[order]
    last = np.r_[np.flatnonzero(np.diff(score)), len(score) - 1]  # ties pass the threshold together
    true = np.cumsum(positive)[last]
    return 1 + last - true, true, score[last]


def _columns(name: str, y_true: Any, scores: np.ndarray, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give the classes of the columns, and each example's true column."""
    true = _labels("y_true", y_true)
    if len(true) != len(scores):
        raise ValueError(f"{name} has {len(scores)} examples and y_true {len(true)}; they must be as many")
    classes = np.unique(true) if labels is None else _chosen(labels, true)
    if len(classes) != scores.shape[1]:
        raise ValueError(
            f"{name} has {scores.shape[1]} columns, and there are {len(classes)} classes; give all of them as labels"
        )
    order = np.argsort(classes, kind="stable")
    place = np.clip(np.searchsorted(classes[order], true), 0, len(classes) - 1)
    found = order[place]
    if not (classes[found] == true).all():
        raise ValueError(f"y_true holds {true[classes[found] != true][0].item()!r}, which is not among the labels")
    return classes, found


def _probabilities(y_true: Any, y_proba: Any, labels: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the classes, each example's true column, and the probabilities, shape (examples, classes)."""
    proba = _check.finite("y_proba", y_proba)
    if proba.ndim not in (1, 2):
        raise ValueError(f"y_proba has shape {proba.shape}; it must be (examples,) or (examples, classes)")
    if ((proba < 0) | (proba > 1)).any():
        raise ValueError(f"y_proba holds {float(proba[(proba < 0) | (proba > 1)][0])!r}; it must be from 0 to 1")
    if proba.ndim == 1:
        proba = np.stack([1 - proba, proba], axis=1)
    elif (np.abs(proba.sum(axis=1) - 1) > math.sqrt(np.finfo(proba.dtype).eps)).any():
        raise ValueError("y_proba has rows that do not sum to 1; take the softmax of scores first")
    classes, true = _columns("y_proba", y_true, proba, labels)
    return classes, true, proba


def _numbers(y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    true, predicted = _check.finite("y_true", y_true), _check.finite("y_pred", y_pred)
    if true.shape != predicted.shape or true.ndim not in (1, 2) or true.size == 0:
        raise ValueError(
            f"y_true has shape {true.shape} and y_pred {predicted.shape}; "
            "both must be (examples,) or both (examples, outputs), and not empty"
        )
    return true.astype(np.float64), predicted.astype(np.float64)
