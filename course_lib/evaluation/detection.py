"""Judging detections by COCO's rule: average precision over classes and thresholds of overlap.

A detection is right if its class is that of an object and their IoU is at least a threshold; each object can be found
once. Sorted by score, the detections of a class over all images make a curve of precision over recall, whose average is
the class's average precision (AP). `mean_average_precision` averages it over the classes and over the ten thresholds
0.50, 0.55, ..., 0.95, and equals ``COCOeval`` of `pycocotools`, boxes that stand for a crowd included.

>>> truth = [{"boxes": [[0, 0, 10, 10], [20, 20, 30, 30]], "classes": [7, 7]}]
>>> found = [{"boxes": [[0, 0, 10, 10], [40, 40, 50, 50]], "classes": [7, 7], "scores": [0.9, 0.8]}]
>>> result = mean_average_precision(truth, found)
>>> round(result["AP"], 3), result["AR100"]
(0.505, 0.5)

References
----------
T.-Y. Lin et al., Microsoft COCO: Common Objects in Context, 2014, https://arxiv.org/abs/1405.0312
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib import _check
from course_lib.evaluation import boxes as geometry

__all__ = ["AREAS", "COCO", "RECALLS", "mean_average_precision", "precision_recall"]

COCO = np.linspace(0.5, 0.95, 10)  # thresholds of IoU
RECALLS = np.linspace(0, 1, 101)  # where the curve is read
# Sizes of objects, in square pixels; both ends belong to the range.
AREAS = {"all": (0, 1e5**2), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e5**2)}
LIMITS = (1, 10, 100)  # detections that count, of each class in each image: those with the highest scores


def mean_average_precision(
    truths: Sequence[Mapping[str, Any]],
    detections: Sequence[Mapping[str, Any]],
    thresholds: Any = COCO,
    classes: Any = None,
) -> dict[str, Any]:
    """Judge the detections in many images.

    Parameters
    ----------
    truths : sequence of dict, one an image
        ``"boxes"`` (objects, 4) as ``x1, y1, x2, y2`` in pixels and ``"classes"`` (objects,), whole numbers. Two more
        keys may be there. ``"crowd"`` (objects,), truth values: such a box stands for many objects; a detection that
        lies in it (measured by the share of its own area) is neither right nor wrong. ``"areas"`` (objects,): what
        counts as the size of each object, such as the area of its mask; by default the area of the box.
    detections : sequence of dict, one an image, in the same order
        ``"boxes"``, ``"classes"`` and ``"scores"`` (detections,). An image without any has empty arrays.
    thresholds : array_like, shape (thresholds,)
        The IoU from which on a detection is right; above 0, at most 1.
    classes : sequence of int, optional
        The classes that are judged; by default those of the truths. One without an object counts nowhere, so
        detections of a class that is in no image cost nothing: the rule of COCO.

    Returns
    -------
    dict
        ``"AP"``: the mean over thresholds and classes. ``"AP50"``, ``"AP75"``: at the threshold 0.5, 0.75 alone.
        ``"AP_small"``, ``"AP_medium"``, ``"AP_large"``: of objects of a size in `AREAS`. ``"AR1"``, ``"AR10"``,
        ``"AR100"``: average recall with the best 1, 10, 100 detections of each class in each image; ``"AR_small"``,
        ``"AR_medium"``, ``"AR_large"``: with 100. All floats from 0 to 1; NaN where there is nothing to average, for
        which pycocotools writes -1. ``"classes"``: a dict from each class to its AP.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range; the message names the image.
    """
    limits = _thresholds(thresholds)
    true, found = _images(truths, detections)
    chosen = _classes(true, classes)
    precision = np.full((len(chosen), len(AREAS), len(limits), len(RECALLS)), np.nan)
    recall = np.full((len(chosen), len(AREAS), len(limits), len(LIMITS)), np.nan)
    for k, label in enumerate(chosen):
        pairs = [_Pair.of(t, d, label) for t, d in zip(true, found, strict=True)]
        for a, areas in enumerate(AREAS.values()):
            judged = [pair.judge(limits, areas) for pair in pairs]
            for m, most in enumerate(LIMITS):
                curves = _accumulate(judged, most)
                if curves is None:
                    break  # no object of this class and size
                recall[k, a, :, m] = curves.recall[:, -1] if curves.recall.shape[1] else 0
                if most == LIMITS[-1]:
                    precision[k, a] = [_read(*curve) for curve in zip(curves.recall, curves.precision, strict=True)]
    names = list(AREAS)
    result: dict[str, Any] = {"AP": _mean(precision[:, 0])}
    for threshold in (0.5, 0.75):
        result[f"AP{threshold * 100:.0f}"] = _mean(precision[:, 0, np.isclose(limits, threshold)])
    result |= {f"AP_{name}": _mean(precision[:, names.index(name)]) for name in names[1:]}
    result |= {f"AR{most}": _mean(recall[:, 0, :, m]) for m, most in enumerate(LIMITS)}
    result |= {f"AR_{name}": _mean(recall[:, names.index(name), :, -1]) for name in names[1:]}
    result["classes"] = {int(label): _mean(precision[k, 0]) for k, label in enumerate(chosen)}
    return result


def precision_recall(
    truths: Sequence[Mapping[str, Any]], detections: Sequence[Mapping[str, Any]], label: int, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give one class's curve: what the average precision is the average of.

    Parameters
    ----------
    truths, detections
        As `mean_average_precision` takes them.
    label : int
        The class.
    threshold : float
        The IoU from which on a detection is right.

    Returns
    -------
    recall, precision, scores : arrays of float64, shape (detections,)
        Row i is reached if the i + 1 detections with the highest scores are reported. Those that a crowd excuses repeat
        the row before.

    Raises
    ------
    TypeError, ValueError
        As `mean_average_precision`; and if no image has an object of this class.
    """
    limits = _thresholds([threshold])
    true, found = _images(truths, detections)
    pairs = [_Pair.of(t, d, label) for t, d in zip(true, found, strict=True)]
    curves = _accumulate([pair.judge(limits, AREAS["all"]) for pair in pairs], LIMITS[-1])
    if curves is None:
        raise ValueError(f"label is {label!r}; no image has an object of this class")
    return curves.recall[0], curves.precision[0], curves.scores


# --- One class in one image ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Judged:
    right: np.ndarray  # (thresholds, detections): found an object that counts
    excused: np.ndarray  # (thresholds, detections): neither right nor wrong
    scores: np.ndarray  # (detections,), falling
    objects: int  # that count


@dataclass(frozen=True)
class _Pair:
    """Objects and detections of one class in one image, the highest score first."""

    overlaps: np.ndarray  # (detections, objects)
    crowd: np.ndarray
    object_areas: np.ndarray
    areas: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, truth: dict[str, np.ndarray], found: dict[str, np.ndarray], label: int) -> _Pair:
        objects = truth["classes"] == label
        mine = np.flatnonzero(found["classes"] == label)
        mine = mine[np.argsort(-found["scores"][mine], kind="stable")[: LIMITS[-1]]]
        a, b, crowd = found["boxes"][mine], truth["boxes"][objects], truth["crowd"][objects]
        common, areas = geometry.intersection(a, b), geometry.area(a)
        # A crowd's box is mostly somebody else: what counts is the share of the detection that lies in it.
        whole = np.where(crowd[None, :], areas[:, None], areas[:, None] + geometry.area(b)[None, :] - common)
        return cls(geometry.ratio(common, whole), crowd, truth["areas"][objects], areas, found["scores"][mine])

    def judge(self, thresholds: np.ndarray, areas: tuple[float, float]) -> _Judged:
        """Give each detection, in the order of scores, the best object that is still free."""
        low, high = areas
        ignored = self.crowd | (self.object_areas < low) | (self.object_areas > high)
        free = np.ones((len(thresholds), len(ignored)), bool)
        shape = (len(thresholds), len(self.scores))
        matched, excused = np.zeros(shape, bool), np.zeros(shape, bool)
        least = np.minimum(thresholds, 1 - 1e-10)[:, None]
        rows = np.arange(len(thresholds))
        for d, overlap in enumerate(self.overlaps):
            for kind in (~ignored, ignored):  # one that counts comes first, however well another fits
                candidates = np.where(free & kind & (overlap >= least), overlap, -1)
                if not candidates.shape[1]:
                    break
                best = candidates.shape[1] - 1 - candidates[:, ::-1].argmax(axis=1)  # of equal ones, the last
                hit = (candidates[rows, best] >= 0) & ~matched[:, d]
                matched[:, d] |= hit
                excused[:, d] |= hit & ignored[best]
                free[rows[hit], best[hit]] = self.crowd[best[hit]]  # a crowd has room for many
        outside = (self.areas < low) | (self.areas > high)
        excused |= ~matched & outside[None, :]
        return _Judged(matched & ~excused, excused, self.scores, int((~ignored).sum()))


# --- One class in all images -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Curves:
    recall: np.ndarray  # (thresholds, detections)
    precision: np.ndarray
    scores: np.ndarray  # (detections,), falling


def _accumulate(judged: list[_Judged], most: int) -> _Curves | None:
    objects = sum(one.objects for one in judged)
    if objects == 0:
        return None
    scores = np.concatenate([one.scores[:most] for one in judged])
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate([one.right[:, :most] for one in judged], axis=1)[:, order]
    excused = np.concatenate([one.excused[:, :most] for one in judged], axis=1)[:, order]
    hits = np.cumsum(right, axis=1)
    errors = np.cumsum(~right & ~excused, axis=1)
    return _Curves(hits / objects, hits / (hits + errors + np.spacing(1)), scores[order])


def _read(recall: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Give at each of `RECALLS` the best precision that this recall or a higher one has."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return np.append(best, 0)[np.searchsorted(recall, RECALLS, side="left")]  # 0 beyond the curve's end


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


# --- Arguments -------------------------------------------------------------------------------------------------------


def _thresholds(values: Any) -> np.ndarray:
    found = _check.finite("thresholds", values, ndim=1)
    if not len(found) or (found <= 0).any() or (found > 1).any():
        raise ValueError(f"thresholds is {found.tolist()}; it must hold numbers above 0 and at most 1")
    return found


def _images(truths: Any, detections: Any) -> tuple[list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]]:
    if len(truths) != len(detections):
        raise ValueError(f"detections is for {len(detections)} images; truths is for {len(truths)}")
    true = [_image(f"truths[{n}]", image, ("boxes", "classes")) for n, image in enumerate(truths)]
    found = [_image(f"detections[{n}]", image, ("boxes", "classes", "scores")) for n, image in enumerate(detections)]
    return true, found


def _image(name: str, image: Mapping[str, Any], needed: tuple[str, ...]) -> dict[str, np.ndarray]:
    for key in needed:
        if key not in image:
            raise ValueError(f"{name} has the keys {sorted(image)}; {key!r} must be one")
    boxes = geometry.check_boxes(f"{name}['boxes']", image["boxes"])
    count = len(boxes)
    result = {"boxes": boxes}
    labels = geometry.check_length(f"{name}['classes']", image["classes"], count)
    if count and labels.dtype.kind not in "iu":
        raise TypeError(f"{name}['classes'] has dtype {labels.dtype}; it must hold whole numbers")
    result["classes"] = labels
    if "scores" in needed:
        scores = _check.finite(f"{name}['scores']", image["scores"], ndim=1)
        result["scores"] = geometry.check_length(f"{name}['scores']", scores, count)
    else:
        crowd = image.get("crowd", np.zeros(count, bool))
        result["crowd"] = geometry.check_length(f"{name}['crowd']", crowd, count).astype(bool)
        areas = _check.finite(f"{name}['areas']", image.get("areas", geometry.area(boxes)))
        result["areas"] = geometry.check_length(f"{name}['areas']", areas, count)
    return result


def _classes(true: list[dict[str, np.ndarray]], classes: Any) -> list[int]:
    if classes is None:
        return sorted({int(label) for image in true for label in image["classes"]})
    chosen = [_check.count("classes", label, least=-(2**31)) for label in classes]
    return sorted(set(chosen))
