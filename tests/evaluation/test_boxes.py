"""Boxes: small cases by hand, properties, the suppression of overlaps against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask

from course_lib.evaluation.boxes import FORMS, area, convert, giou, iou, non_maximum_suppression


@st.composite
def some_boxes(draw, least=0, most=8):
    """Draw boxes on a coarse grid, so that equal edges, boxes inside each other and boxes without area are common."""
    rows = draw(st.lists(st.tuples(*[st.integers(0, 12)] * 4), min_size=least, max_size=most))
    return np.array([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in rows], float).reshape(-1, 4)


def test_by_hand():
    boxes = [[0, 0, 4, 2], [2, 1, 6, 3], [4, 0, 6, 2], [1, 1, 1, 3]]
    assert area(boxes).tolist() == [8, 8, 4, 0]
    # The first two share 2 x 1 of 8 + 8 - 2; the first and the third share an edge, which is no area.
    np.testing.assert_allclose(iou(boxes[:1], boxes), [[1, 1 / 7, 0, 0]])
    # Around the first two lies 6 x 3, of which 4 is in neither; around the first and the third 6 x 2, all covered.
    np.testing.assert_allclose(giou(boxes[:1], boxes), [[1, 1 / 7 - 4 / 18, 0, -4 / 12]])
    assert iou([], boxes).shape == (0, 4)
    assert area([]).shape == (0,)


@settings(max_examples=60, deadline=None)
@given(some_boxes(1), some_boxes(1))
def test_iou_is_that_of_pycocotools(a, b):
    theirs = mask.iou(convert(a, target="coco"), convert(b, target="coco"), [0] * len(b))
    np.testing.assert_allclose(iou(a, b), theirs, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(some_boxes(1), some_boxes(1), st.integers(-5, 5), st.sampled_from((0.5, 3.0)))
def test_properties_of_overlaps(a, b, shift, scale):
    for function, lowest in ((iou, 0), (giou, -1)):
        values = function(a, b)
        assert ((lowest <= values) & (values <= 1)).all()
        np.testing.assert_allclose(values, function(b, a).T)
        np.testing.assert_allclose(values, function(scale * a + shift, scale * b + shift), atol=1e-12)
    assert (giou(a, b) <= iou(a, b)).all()
    whole = a[area(a) > 0]
    np.testing.assert_allclose(np.diag(iou(whole, whole)), 1)
    np.testing.assert_allclose(np.diag(giou(whole, whole)), 1)


def test_giou_still_says_how_far():
    values = giou([[0, 0, 1, 1]], [[1, 0, 2, 1], [2, 0, 3, 1], [50, 0, 51, 1]])[0]
    assert values[0] == 0 > values[1] > values[2] > -1


@settings(max_examples=40, deadline=None)
@given(some_boxes(), st.sampled_from(FORMS), st.sampled_from(FORMS))
def test_forms_and_back(boxes, first, second):
    there = convert(boxes, target=first)
    across = convert(there, source=first, target=second)
    np.testing.assert_allclose(convert(across, source=second), boxes, atol=1e-12)
    sides = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(convert(boxes, target="coco"), np.hstack([boxes[:, :2], sides]))
    np.testing.assert_allclose(convert(boxes, target="center"), np.hstack([boxes[:, :2] + sides / 2, sides]))


def kept_by_definition(boxes, scores, threshold, classes):
    """Keep a box if no better one of its class that is kept overlaps it: asked box by box."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        rivals = [k for k in kept if classes[k] == classes[i]]
        if all(iou(boxes[[k]], boxes[[i]])[0, 0] <= threshold for k in rivals):
            kept.append(i)
    return kept


@settings(max_examples=60, deadline=None)
@given(some_boxes(), st.data(), st.sampled_from((0.0, 0.25, 0.5, 1.0)))
def test_suppression_is_its_definition_and_idempotent(boxes, data, threshold):
    scores = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(boxes), max_size=len(boxes))), float)
    classes = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(boxes), max_size=len(boxes))), int)
    kept = non_maximum_suppression(boxes, scores, threshold, classes)
    assert kept.tolist() == kept_by_definition(boxes, scores, threshold, classes)
    again = non_maximum_suppression(boxes[kept], scores[kept], threshold, classes[kept])
    assert again.tolist() == list(range(len(kept)))
    together = non_maximum_suppression(boxes, scores, threshold)
    assert together.tolist() == kept_by_definition(boxes, scores, threshold, 0 * classes)


def test_suppression_by_hand():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 30, 10], [0, 0, 10, 9]]
    assert non_maximum_suppression(boxes, [0.5, 0.9, 0.1, 0.8]).tolist() == [1, 0, 2]  # 0.5 overlaps, and is allowed
    assert non_maximum_suppression(boxes, [0.5, 0.9, 0.1, 0.8], 0.49).tolist() == [1, 2]
    assert non_maximum_suppression(boxes, [0.5, 0.9, 0.1, 0.8], classes=["a", "b", "a", "c"]).tolist() == [1, 3, 0, 2]
    assert non_maximum_suppression([], []).tolist() == []


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: area([[0, 0, 1]]), r"boxes has shape \(1, 3\); it must be \(boxes, 4\)"),
        (lambda: area([0, 0, 1, 1]), r"boxes has shape \(4,\)"),
        (lambda: iou([[0, 0, 1, 1], [3, 0, 1, 1]], []), r"a\[1\] is \[3\.0, 0\.0, 1\.0, 1\.0\]; it must be x1, y1"),
        (lambda: giou([], [[0, 0, 1, -1]]), r"b\[0\] is"),
        (lambda: area([[0, 0, np.nan, 1]]), "boxes has 1 value"),
        (lambda: convert([[0, 0, -1, 1]], source="coco"), r"boxes\[0\] is \[0\.0, 0\.0, -1\.0, 1\.0\]"),
        (lambda: convert([], target="yolo"), "target is 'yolo'; allowed are 'corners', 'center', 'coco'"),
        (lambda: non_maximum_suppression([[0, 0, 1, 1]], [1, 2]), r"scores has shape \(2,\); there are 1 boxes"),
        (lambda: non_maximum_suppression([[0, 0, 1, 1]], [1], classes=[]), r"classes has shape \(0,\)"),
        (lambda: non_maximum_suppression([], [], 1.5), r"threshold is 1\.5; it must be from 0 to 1"),
    ],
)
def test_bad_arguments_say_why(call, text):
    with pytest.raises(ValueError, match=text):
        call()
