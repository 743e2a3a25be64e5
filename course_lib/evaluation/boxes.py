"""Boxes: their area, how much two of them overlap, and which of many that overlap is kept.

A box is a row ``x1, y1, x2, y2`` in pixels: its left, upper, right and lower edge. x runs to the right, y runs down,
and an edge lies between pixels, so the box of the first three pixels of a row of an image is 0, 0, 3, 1.

>>> iou([[0, 0, 4, 4]], [[0, 0, 4, 4], [2, 0, 6, 4], [9, 9, 10, 10]]).round(3)
array([[1.   , 0.333, 0.   ]])
>>> non_maximum_suppression([[0, 0, 4, 4], [0, 0, 4, 5], [8, 8, 12, 12]], [0.7, 0.9, 0.3])
array([1, 2])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["FORMS", "area", "convert", "giou", "iou", "non_maximum_suppression"]

FORMS = ("corners", "center", "coco")


def area(boxes: Any) -> np.ndarray:
    """Give the area of each box.

    Parameters
    ----------
    boxes : array_like, shape (boxes, 4)
        ``x1, y1, x2, y2``.

    Returns
    -------
    array of float64, shape (boxes,)
        In square pixels.

    Raises
    ------
    TypeError, ValueError
        If these are no boxes: not four finite numbers each, or a right edge to the left of the left one.
    """
    return _area(check_boxes("boxes", boxes))


def iou(a: Any, b: Any) -> np.ndarray:
    """Divide what two boxes have in common by what they cover together: intersection over union.

    Parameters
    ----------
    a, b : array_like, shapes (n, 4) and (m, 4)
        ``x1, y1, x2, y2``.

    Returns
    -------
    array of float64, shape (n, m)
        1 for equal boxes, 0 for boxes that share no area. A box without area has 0 with every box.

    Raises
    ------
    TypeError, ValueError
        As `area`.
    """
    a, b = check_boxes("a", a), check_boxes("b", b)
    common = intersection(a, b)
    return ratio(common, _area(a)[:, None] + _area(b)[None, :] - common)


def giou(a: Any, b: Any) -> np.ndarray:
    r"""Give the generalised IoU, which also says how far apart two boxes are that share nothing.

    .. math:: \mathrm{GIoU} = \mathrm{IoU} - \frac{|C| - |A \cup B|}{|C|}

    with :math:`C` the smallest box around both.

    Parameters
    ----------
    a, b : array_like, shapes (n, 4) and (m, 4)
        ``x1, y1, x2, y2``.

    Returns
    -------
    array of float64, shape (n, m)
        From -1 to 1, and never above the IoU.

    Raises
    ------
    TypeError, ValueError
        As `area`.

    References
    ----------
    H. Rezatofighi et al., Generalized Intersection over Union, 2019, https://arxiv.org/abs/1902.09630

    Examples
    --------
    >>> giou([[0, 0, 1, 1]], [[0, 0, 1, 1], [3, 0, 4, 1]])
    array([[ 1. , -0.5]])
    """
    a, b = check_boxes("a", a), check_boxes("b", b)
    common = intersection(a, b)
    union = _area(a)[:, None] + _area(b)[None, :] - common
    low, high = np.minimum(a[:, None, :2], b[None, :, :2]), np.maximum(a[:, None, 2:], b[None, :, 2:])
    around = np.prod(high - low, axis=-1)
    return ratio(common, union) - ratio(around - union, around)


def convert(boxes: Any, source: str = "corners", target: str = "corners") -> np.ndarray:
    """Write boxes in another form.

    Parameters
    ----------
    boxes : array_like, shape (boxes, 4)
        In the form `source`.
    source, target : {"corners", "center", "coco"}
        ``"corners"``: ``x1, y1, x2, y2``, the form of all other functions. ``"center"``: x and y of the centre, width,
        height. ``"coco"``: left and upper edge, width, height, as the files of COCO have them.

    Returns
    -------
    array of float64, shape (boxes, 4)
        In the form `target`.

    Raises
    ------
    TypeError, ValueError
        If a form is not one of these, or these are no boxes: a negative width, say.

    Examples
    --------
    >>> convert([[10, 20, 14, 28]], target="center")
    array([[12., 24.,  4.,  8.]])
    """
    _check.choice("source", source, FORMS)
    _check.choice("target", target, FORMS)
    first, second = np.split(_rows("boxes", boxes), 2, axis=1)
    if source != "corners":  # the second half is width and height
        first = first - second / 2 if source == "center" else first
        second = first + second
    corners = check_boxes("boxes", np.hstack([first, second]))
    first, second = np.split(corners, 2, axis=1)
    if target == "corners":
        return corners
    size = second - first
    return np.hstack([first + size / 2 if target == "center" else first, size])


def non_maximum_suppression(boxes: Any, scores: Any, threshold: float = 0.5, classes: Any = None) -> np.ndarray:
    """Of boxes that overlap, keep the one with the highest score.

    The box with the highest score is kept, all that overlap it too much are dropped, and so on with what is left. Doing
    it again to what was kept changes nothing.

    Parameters
    ----------
    boxes : array_like, shape (boxes, 4)
        ``x1, y1, x2, y2``.
    scores : array_like, shape (boxes,)
        Higher is better; of equal scores the first counts as higher.
    threshold : float
        A box is dropped if its IoU with one that was kept is above this; from 0 to 1.
    classes : array_like, shape (boxes,), optional
        Boxes of different classes do not drop each other; None: all are of one.

    Returns
    -------
    array of int64, shape (kept,)
        Which boxes are kept, the highest score first.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, or the lengths differ.
    """
    boxes = check_boxes("boxes", boxes)
    scores = check_length("scores", _check.finite("scores", scores, ndim=1), len(boxes))
    if not 0 <= _check.non_negative("threshold", threshold) <= 1:
        raise ValueError(f"threshold is {threshold!r}; it must be from 0 to 1")
    kinds = np.zeros(len(boxes), int) if classes is None else check_length("classes", classes, len(boxes))
    left = np.argsort(-scores, kind="stable")
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        overlaps = iou(boxes[best : best + 1], boxes[left])[0]
        left = left[(overlaps <= threshold) | (kinds[left] != kinds[best])]
    return np.array(kept, np.int64)


# --- What the metrics of detection use as well -----------------------------------------------------------------------


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Give the area that checked boxes (n, 4) and (m, 4) have in common, as (n, m)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), axis=-1)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide, and give 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(np.broadcast_shapes(part.shape, whole.shape)), where=whole > 0)


def check_boxes(name: str, boxes: Any) -> np.ndarray:
    """Require boxes in corners, as float64 of shape (boxes, 4); an empty list is no boxes."""
    found = _rows(name, boxes)
    wrong = (found[:, 2:] < found[:, :2]).any(axis=1)
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{name}[{place}] is {found[place].tolist()}; it must be x1, y1, x2, y2 with x1 <= x2 and y1 <= y2"
        )
    return found


def check_length(name: str, values: Any, length: int) -> np.ndarray:
    """Require one value a box."""
    found = np.asarray(values)
    if found.shape != (length,):
        raise ValueError(f"{name} has shape {found.shape}; there are {length} boxes, so it must be ({length},)")
    return found


def _rows(name: str, boxes: Any) -> np.ndarray:
    array = np.asarray(boxes)
    found = _check.finite(name, array.reshape(0, 4) if array.shape == (0,) else array).astype(np.float64)
    if found.ndim != 2 or found.shape[1] != 4:
        raise ValueError(f"{name} has shape {found.shape}; it must be (boxes, 4)")
    return found


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
