"""Average precision of detections: equal to pycocotools on random images, and small cases by hand."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO as Annotations
from pycocotools.cocoeval import COCOeval

from course_lib.evaluation.detection import COCO, mean_average_precision, precision_recall

NAMES = (
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR100", "AR_small", "AR_medium",
    "AR_large",
)  # fmt: skip


def peer(truths, detections, labels):
    """Run COCOeval; its numbers count from 1, because it takes the number 0 of an object for no object."""
    objects, found = [], []
    for image, (truth, guess) in enumerate(zip(truths, detections, strict=True), 1):
        for box, label, crowd, size in zip(*(truth[k] for k in ("boxes", "classes", "crowd", "areas")), strict=True):
            objects.append(
                {"id": len(objects) + 1, "image_id": image, "category_id": int(label), "bbox": xywh(box),
                 "area": float(size), "iscrowd": int(crowd)}
            )  # fmt: skip
        for box, label, score in zip(*(guess[k] for k in ("boxes", "classes", "scores")), strict=True):
            found.append({"image_id": image, "category_id": int(label), "bbox": xywh(box), "score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        true = Annotations()
        images = [{"id": image} for image in range(1, len(truths) + 1)]
        true.dataset = {"images": images, "annotations": objects, "categories": [{"id": int(k)} for k in labels]}
        true.createIndex()
        judge = COCOeval(true, true.loadRes(found) if found else Annotations(), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge


def xywh(box):
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


def random_boxes(rng, count, side):
    corner, size = rng.integers(0, side, (count, 2)), rng.integers(1, max(side // 2, 2), (count, 2))
    return np.hstack([corner, corner + size]).astype(float)


def random_images(rng, side, most_found):
    """Make objects and detections near some of them; few different scores, so that many are equal."""
    truths, detections = [], []
    for _ in range(rng.integers(1, 7)):
        count = int(rng.integers(0, 6))
        boxes = random_boxes(rng, count, side)
        sizes = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        if rng.random() < 0.5:
            sizes = sizes / 2  # as with masks, which are smaller than their boxes
        truths.append(
            {"boxes": boxes, "classes": rng.integers(0, 3, count), "crowd": rng.random(count) < 0.2, "areas": sizes}
        )
        found = int(rng.choice([0, 3, most_found]))
        guesses = random_boxes(rng, found, side)
        if count:
            near = boxes[rng.integers(0, count, found)] + rng.integers(-2, 3, (found, 4))
            guesses = np.where(rng.random((found, 1)) < 0.6, near, guesses)
        guesses[:, 2:] = np.maximum(guesses[:, 2:], guesses[:, :2] + 1)
        scores = rng.integers(0, 9, found) / 8
        detections.append({"boxes": guesses, "classes": rng.integers(0, 4, found), "scores": scores})
    return truths, detections


def check(ours, judge):
    for name, value in zip(NAMES, judge.stats, strict=True):
        np.testing.assert_allclose(-1 if np.isnan(ours[name]) else ours[name], value, atol=1e-12, err_msg=name)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from((10, 60, 400)), st.sampled_from((8, 40)))
def test_equal_to_pycocotools(seed, side, most_found):
    """Crowds, all sizes, equal scores, images without objects or detections, classes without objects."""
    truths, detections = random_images(np.random.default_rng(seed), side, most_found)
    ours = mean_average_precision(truths, detections, classes=range(4))
    judge = peer(truths, detections, range(4))
    check(ours, judge)
    for k, value in ours["classes"].items():
        theirs = judge.eval["precision"][:, :, k, 0, 2]
        np.testing.assert_allclose(-1 if np.isnan(value) else value, theirs.mean(), atol=1e-12)
    without = {name: value for name, value in mean_average_precision(truths, detections).items() if name != "classes"}
    np.testing.assert_equal(without, {name: ours[name] for name in without})


def test_equal_to_pycocotools_with_more_detections_than_count():
    rng = np.random.default_rng(0)
    boxes = random_boxes(rng, 150, 40)
    truths = [{"boxes": boxes, "classes": np.zeros(150, int), "crowd": np.zeros(150, bool), "areas": np.full(150, 9)}]
    detections = [{"boxes": boxes, "classes": np.zeros(150, int), "scores": rng.integers(0, 50, 150) / 50}]
    ours = mean_average_precision(truths, detections)
    check(ours, peer(truths, detections, [0]))
    assert ours["AR100"] < 0.7


def one(boxes, classes=None, scores=None, **others):
    found = {"boxes": boxes, "classes": [0] * len(boxes) if classes is None else classes, **others}
    return found | ({} if scores is None else {"scores": scores})


def test_by_hand():
    """Two objects; right, wrong, right by falling score: precision 1 up to recall 1/2, then 2/3."""
    truth = [one([[0, 0, 10, 10], [20, 0, 30, 10]])]
    found = [one([[0, 0, 10, 10], [50, 0, 60, 10], [20, 0, 30, 10]], scores=[0.9, 0.8, 0.7])]
    result = mean_average_precision(truth, found)
    assert result["AP"] == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert result["AP50"] == pytest.approx(result["AP"])
    assert (result["AR1"], result["AR10"]) == (0.5, 1)
    assert np.isnan(result["AP_large"])
    recall, precision, scores = precision_recall(truth, found, 0)
    np.testing.assert_allclose(recall, [0.5, 0.5, 1])
    np.testing.assert_allclose(precision, [1, 0.5, 2 / 3])
    assert scores.tolist() == [0.9, 0.8, 0.7]


def test_an_object_is_found_once():
    truth, found = [one([[0, 0, 10, 10]])], [one([[0, 0, 10, 10]] * 2, scores=[0.9, 0.8])]
    recall, precision, _ = precision_recall(truth, found, 0)
    np.testing.assert_allclose(recall, [1, 1])
    np.testing.assert_allclose(precision, [1, 0.5])


def test_a_crowd_excuses_what_lies_in_it():
    truth = [one([[0, 0, 10, 10], [20, 0, 60, 10]], crowd=[False, True])]
    found = [one([[20, 0, 30, 10], [30, 0, 40, 10], [0, 0, 10, 10]], scores=[0.9, 0.8, 0.7])]
    assert mean_average_precision(truth, found)["AP"] == pytest.approx(1)
    assert mean_average_precision([one(truth[0]["boxes"])], found)["AP"] < 0.5


def test_of_two_objects_that_fit_alike_the_later_one_is_taken():
    """The first detection fits both by 100 / 120, the second one of them alone: the order of the objects decides."""
    objects = np.array([[0, 0, 10, 10], [2, 0, 12, 10]], float)
    guesses = np.array([[0, 0, 12, 10], [2, 0, 12, 10]], float)
    found = [{"boxes": guesses, "classes": np.zeros(2, int), "scores": np.array([0.9, 0.8])}]
    recalls = []
    for order in ([0, 1], [1, 0]):
        truth = [
            {"boxes": objects[order], "classes": np.zeros(2, int), "crowd": np.zeros(2, bool), "areas": np.full(2, 100)}
        ]
        result = mean_average_precision(truth, found)
        check(result, peer(truth, found, [0]))
        recalls.append(result["AR100"])
    assert recalls[0] < recalls[1]


def test_thresholds():
    truth, found = [one([[0, 0, 10, 10]])], [one([[0, 0, 10, 7]], scores=[1.0])]  # IoU 0.7
    result = mean_average_precision(truth, found)
    assert result["AP50"] == pytest.approx(1)
    assert result["AP75"] == 0
    assert result["AP"] == pytest.approx(0.5)  # 0.50 to 0.70
    result = mean_average_precision(truth, found, [0.6, 0.7, 0.8])
    assert result["AP"] == pytest.approx(2 / 3)
    assert np.isnan(result["AP50"])
    np.testing.assert_allclose(COCO, np.arange(50, 100, 5) / 100)


def test_nothing_to_find_and_nothing_found():
    assert np.isnan(mean_average_precision([one([])], [one([], scores=[])])["AP"])
    assert mean_average_precision([one([[0, 0, 9, 9]])], [one([], scores=[])])["AP"] == 0
    with pytest.raises(ValueError, match="label is 3; no image has an object of this class"):
        precision_recall([one([[0, 0, 9, 9]])], [one([], scores=[])], 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_what_does_not_matter_and_what_does(seed):
    """A growing function of the scores changes nothing; a right detection more, at the top, never harms."""
    truths, detections = random_images(np.random.default_rng(seed), 60, 8)
    before = mean_average_precision(truths, detections)
    squeezed = [d | {"scores": np.exp(d["scores"]) / 9} for d in detections]
    np.testing.assert_equal(mean_average_precision(truths, squeezed), before)
    perfect = [
        {"boxes": t["boxes"][~t["crowd"]], "classes": t["classes"][~t["crowd"]], "scores": np.ones((~t["crowd"]).sum())}
        for t in truths
    ]
    best = mean_average_precision(truths, perfect)["AP"]
    assert np.isnan(best) or best == pytest.approx(1)


@pytest.mark.parametrize(
    ("truths", "detections", "options", "text"),
    [
        ([one([])], [], {}, "detections is for 0 images; truths is for 1"),
        ([{"boxes": []}], [one([], scores=[])], {}, r"truths\[0\] has the keys \['boxes'\]; 'classes' must be one"),
        ([one([])], [one([])], {}, r"detections\[0\] has the keys .*; 'scores' must be one"),
        ([one([[0, 0, 1, 1]], classes=[])], [one([], scores=[])], {}, r"truths\[0\]\['classes'\] has shape \(0,\)"),
        ([one([[2, 0, 1, 1]])], [one([], scores=[])], {}, r"truths\[0\]\['boxes'\]\[0\] is \[2\.0"),
        ([one([[0, 0, 1, 1]], crowd=[])], [one([], scores=[])], {}, r"truths\[0\]\['crowd'\] has shape"),
        ([one([[0, 0, 1, 1]], areas=[1, 2])], [one([], scores=[])], {}, r"truths\[0\]\['areas'\] has shape"),
        ([one([])], [one([[0, 0, 1, 1]], scores=[np.nan])], {}, r"detections\[0\]\['scores'\] has 1 value"),
        ([one([])], [one([], scores=[])], {"thresholds": [0.5, 1.5]}, r"thresholds is \[0\.5, 1\.5\]"),
        ([one([])], [one([], scores=[])], {"thresholds": []}, r"thresholds is \[\]"),
    ],
)
def test_bad_arguments_say_why(truths, detections, options, text):
    with pytest.raises(ValueError, match=text):
        mean_average_precision(truths, detections, **options)


def test_classes_that_are_no_numbers():
    with pytest.raises(TypeError, match=r"truths\[0\]\['classes'\] has dtype float64"):
        mean_average_precision([one([[0, 0, 1, 1]], classes=[1.0])], [one([], scores=[])])
