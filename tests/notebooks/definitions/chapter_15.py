"""What chapter 15 writes out about boxes and their marks, against the package."""

import numpy as np

from course_lib.evaluation import boxes as geometry
from course_lib.evaluation.detection import mean_average_precision
from course_lib.models.detector import BACKGROUND, IGNORED, FocalLoss


def _boxes(rng, count):
    corner = rng.uniform(0, 30, (count, 2))
    return np.hstack([corner, corner + rng.uniform(1, 20, (count, 2))])


def check_iou(iou, rng):
    for n, m in ((5, 7), (1, 4), (3, 0)):
        a, b = _boxes(rng, n), _boxes(rng, m)
        np.testing.assert_allclose(iou(a, b), geometry.iou(a, b), atol=1e-12)


def check_non_maximum_suppression(suppress, rng):
    for threshold in (0.2, 0.5, 0.8):
        boxes, scores = _boxes(rng, 50), rng.random(50).round(1)  # with equal scores
        np.testing.assert_array_equal(
            suppress(boxes, scores, threshold), geometry.non_maximum_suppression(boxes, scores, threshold)
        )


def check_average_precision(average_precision, rng):
    """On images without objects or without answers, too."""
    truths, found = [], []
    for number in range(30):
        true = _boxes(rng, number % 5)
        near = true + rng.uniform(-0.4, 0.4, true.shape) if number % 7 else true[:0]
        kinds = rng.integers(0, 2, len(true))
        truths.append({"boxes": true, "classes": kinds})
        found.append({"boxes": near, "classes": kinds[: len(near)], "scores": rng.random(len(near))})
    for threshold in (0.5, 0.7, 0.9):
        package = mean_average_precision(truths, found, thresholds=[threshold])["classes"]
        for label in (0, 1):
            np.testing.assert_allclose(average_precision(truths, found, label, threshold), package[label], atol=1e-9)


def check_focal(focal, rng):
    """The package adds up an image's terms and divides by its anchors with an object."""
    logits = rng.normal(size=(4, 9, 3)) * 3
    labels = rng.choice([0, 1, 2, BACKGROUND, IGNORED], size=(4, 9))
    labels[:, 0] = 1
    for gamma, alpha in ((0.0, 0.5), (2.0, 0.25), (1.5, 0.6)):
        loss, _ = focal(logits, labels[..., None] == np.arange(3), gamma, alpha)
        loss = (loss * (labels != IGNORED)[..., None]).sum(axis=(1, 2)) / (labels >= 0).sum(axis=1)
        package = FocalLoss(gamma, alpha, reduction=None)(labels, logits.astype("float32"))
        np.testing.assert_allclose(loss, np.asarray(package), rtol=1e-4)
