"""Metrics of segmentation: equal to scikit-learn's on the pixels, and small cases by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score

from course_lib.evaluation.segmentation import class_dice, class_iou, dice, mean_iou, pixel_table


def masks(seed, classes, used):
    rng = np.random.default_rng(seed)
    return tuple(rng.choice(used, (2, 5, 4), p=rng.dirichlet(np.ones(len(used)))) for _ in range(2))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sets(st.integers(0, 4), min_size=1))
def test_equal_to_scikit_learn(seed, used):
    true, predicted = masks(seed, 5, sorted(used))
    labels = sorted(set(true.ravel()) | set(predicted.ravel()))
    options = {"labels": labels, "average": None, "zero_division": 0}
    for ours, mean, theirs in ((class_iou, mean_iou, jaccard_score), (class_dice, dice, f1_score)):
        expected = np.full(5, np.nan)
        expected[labels] = theirs(true.ravel(), predicted.ravel(), **options)
        np.testing.assert_allclose(ours(true, predicted, 5), expected)
        assert mean(true, predicted, 5) == pytest.approx(expected[labels].mean())
    j = class_iou(true, predicted, 5)
    np.testing.assert_allclose(class_dice(true, predicted, 5), 2 * j / (1 + j))


def test_by_hand():
    true, predicted = [[0, 0, 1, 1]], [[0, 1, 1, 2]]
    assert pixel_table(true, predicted, 3).tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    np.testing.assert_allclose(class_iou(true, predicted, 3), [1 / 2, 1 / 3, 0])
    np.testing.assert_allclose(class_dice(true, predicted, 3), [2 / 3, 2 / 4, 0])
    assert mean_iou(true, true, 3) == dice(true, true, 3) == 1


def test_ignored_pixels_do_not_count():
    true, predicted = np.array([0, 255, 1, 1]), np.array([0, 1, 1, 0])
    assert pixel_table(true, predicted, 2, ignore=255).tolist() == [[1, 0], [1, 1]]
    np.testing.assert_allclose(class_iou(true, predicted, 2, ignore=255), [1 / 2, 1 / 2])
    with pytest.raises(ValueError, match="true holds the class 255; it must be from 0 to 1"):
        mean_iou(true, predicted, 2)


@pytest.mark.parametrize(
    ("true", "predicted", "options", "error", "text"),
    [
        ([[0, 1]], [0, 1], {}, ValueError, r"predicted has shape \(2,\); it must be that of true, \(1, 2\)"),
        ([0, 1], [0, -1], {}, ValueError, "predicted holds the class -1"),
        ([0, 1], [0.0, 1.0], {}, TypeError, "predicted has dtype float64"),
        ([], [], {}, TypeError, "true has dtype float64"),
        ([3, 3], [0, 1], {"ignore": 3}, ValueError, "true holds no pixel that counts"),
        ([0, 1], [0, 1], {"ignore": 0.5}, TypeError, r"ignore is 0\.5"),
        ([0, 1], [0, 1], {"classes": 0}, ValueError, "classes is 0"),
    ],
)
def test_bad_arguments_say_why(true, predicted, options, error, text):
    with pytest.raises(error, match=text):
        mean_iou(true, predicted, **{"classes": 2} | options)
