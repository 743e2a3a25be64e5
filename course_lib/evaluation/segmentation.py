"""Judging a segmentation: a class for every pixel, compared with the true one.

>>> true = [[0, 0, 1], [0, 1, 1]]
>>> predicted = [[0, 0, 0], [0, 1, 1]]
>>> class_iou(true, predicted, classes=3).round(3)
array([0.75 , 0.667,   nan])
>>> mean_iou(true, predicted, classes=3).__round__(3), dice(true, predicted, classes=3).__round__(3)
(0.708, 0.829)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["class_dice", "class_iou", "dice", "mean_iou", "pixel_table"]


def pixel_table(true: Any, predicted: Any, classes: int, ignore: int | None = None) -> np.ndarray:
    """Count the pixels of each true and each predicted class, over all images together.

    Parameters
    ----------
    true, predicted : array_like of int, the same shape
        The class of each pixel, from 0 to classes - 1; of one image or of many.
    classes : int
        How many there are.
    ignore : int, optional
        Pixels with this true class are left out, whatever was predicted there; it may lie outside the classes.

    Returns
    -------
    array of int64, shape (classes, classes)
        A row for each true class, a column for each predicted one.

    Raises
    ------
    TypeError, ValueError
        If an array holds something else, the shapes differ, or nothing is left.
    """
    classes = _check.count("classes", classes)
    true, predicted = _whole("true", true), _whole("predicted", predicted)
    if true.shape != predicted.shape:
        raise ValueError(f"predicted has shape {predicted.shape}; it must be that of true, {true.shape}")
    if ignore is not None:
        if isinstance(ignore, bool) or not isinstance(ignore, (int, np.integer)):
            raise TypeError(f"ignore is {ignore!r}; it must be a whole number or None")
        counted = true != ignore
        true, predicted = true[counted], predicted[counted]
    if true.size == 0:
        raise ValueError("true holds no pixel that counts; there must be at least 1")
    for name, values in (("true", true), ("predicted", predicted)):
        if values.min() < 0 or values.max() >= classes:
            wrong = values[(values < 0) | (values >= classes)][0]
            raise ValueError(f"{name} holds the class {wrong}; it must be from 0 to {classes - 1}")
    pairs = true.ravel().astype(np.int64) * classes + predicted.ravel()
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def class_iou(true: Any, predicted: Any, classes: int, ignore: int | None = None) -> np.ndarray:
    """Give each class's intersection over union: pixels that have it in both, of those that have it in either.

    Parameters
    ----------
    true, predicted, classes, ignore
        As in `pixel_table`.

    Returns
    -------
    array of float64, shape (classes,)
        From 0 to 1; NaN for a class that occurs in neither.

    Raises
    ------
    TypeError, ValueError
        As `pixel_table`.
    """
    both, rows, columns = _sums(true, predicted, classes, ignore)
    return _divide(both, rows + columns - both)


def class_dice(true: Any, predicted: Any, classes: int, ignore: int | None = None) -> np.ndarray:
    r"""Give each class's Dice coefficient, :math:`2 |A \cap B| / (|A| + |B|)`: the F1 score of its pixels.

    Parameters
    ----------
    true, predicted, classes, ignore
        As in `pixel_table`.

    Returns
    -------
    array of float64, shape (classes,)
        From 0 to 1; NaN for a class that occurs in neither. With IoU :math:`J` it is :math:`2 J / (1 + J)`.

    Raises
    ------
    TypeError, ValueError
        As `pixel_table`.

    References
    ----------
    L. R. Dice, Measures of the Amount of Ecologic Association Between Species, 1945, doi:10.2307/1932409
    """
    both, rows, columns = _sums(true, predicted, classes, ignore)
    return _divide(2 * both, rows + columns)


def mean_iou(true: Any, predicted: Any, classes: int, ignore: int | None = None) -> float:
    """Average `class_iou` over the classes that occur in either; arguments and errors as there.

    The background counts as a class like any other.
    """
    return float(np.nanmean(class_iou(true, predicted, classes, ignore)))


def dice(true: Any, predicted: Any, classes: int, ignore: int | None = None) -> float:
    """Average `class_dice` over the classes that occur in either; arguments and errors as there."""
    return float(np.nanmean(class_dice(true, predicted, classes, ignore)))


def _sums(true: Any, predicted: Any, classes: int, ignore: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = pixel_table(true, predicted, classes, ignore)
    return np.diag(table), table.sum(axis=1), table.sum(axis=0)


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _whole(name: str, values: Any) -> np.ndarray:
    found = np.asarray(values)
    if found.dtype.kind not in "iub":
        raise TypeError(f"{name} has dtype {found.dtype}; it must hold whole numbers, the class of each pixel")
    return found
