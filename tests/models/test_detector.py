"""The detector: anchors, matching and offsets by hand, losses against their formulas, what it learns, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data.scenes import digit_scenes
from course_lib.evaluation.boxes import convert, iou
from course_lib.evaluation.detection import mean_average_precision
from course_lib.models.detector import (
    BACKGROUND,
    IGNORED,
    BoxLoss,
    Detector,
    DetectorConfig,
    FocalLoss,
    anchors,
    decode,
    detect,
    detector,
    encode,
    match,
    targets,
)  # fmt: skip
from tests.evaluation.test_boxes import some_boxes
from tests.layers.finite_differences import check_gradients, numpy, perturb

SMALL = DetectorConfig((20, 28, 2), 3, (4, 6, 8), (2, 3), 5, 1, (6.0, 12.0), (1.0, 1.5), (1.0, 2.0))


# --- anchors ---------------------------------------------------------------------------------------------------------


def test_anchors_by_hand():
    grid = anchors(SMALL)
    assert SMALL.places == ((5, 7), (3, 4))
    assert grid.shape == ((35 + 12) * 4, 4)
    sides = convert(grid, target="center")
    # The first place of the finer level: around (2, 2), scales before ratios, heights twice the widths.
    root = 2**0.5
    expected = [[6, 6], [6 / root, 6 * root], [9, 9], [9 / root, 9 * root]]
    np.testing.assert_allclose(sides[:4], [[2, 2, *side] for side in expected])
    np.testing.assert_allclose(sides[4, :2], [6, 2])  # a place to the right
    np.testing.assert_allclose(sides[4 * 7, :2], [2, 6])  # a row down
    np.testing.assert_allclose(sides[4 * 35], [4, 4, 12, 12])  # the coarser level
    np.testing.assert_allclose(sides[4 * 35 + 4, :2], [12, 4])


def test_answers_stand_where_their_anchors_do():
    """A pixel changes the answers of the anchors around it, and of no others."""
    config = replace(SMALL, image=(64, 96, 1), widths=(4, 6), levels=(2,), sizes=(6.0,), depth=0, normalize=False)
    model = detector(config, seed=0)
    perturb(model)
    centers = convert(anchors(config), target="center")[:, :2]
    images = np.random.default_rng(0).normal(size=(1, 64, 96, 1)).astype("float32")
    before = model(images)
    for x, y in ((2, 2), (90, 6), (46, 30), (94, 62), (10, 50)):
        changed = images.copy()
        changed[0, y, x] += 50
        after = model(changed)
        near = np.abs(centers - [x + 0.5, y + 0.5]).max(axis=1)
        for name in ("boxes", "classes"):
            moved = np.abs(numpy(after[name]) - numpy(before[name]))[0].max(axis=1)
            assert moved[near < 3].min() > 1e-3
            assert moved[near > 17].max() < 1e-6  # 1 + 2 + 4 pixels of the stages, 4 of the level, 4 of the answer


# --- matching --------------------------------------------------------------------------------------------------------


def test_match_by_hand():
    grid = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 4.5], [30, 0, 40, 10], [50, 0, 54, 4]]
    labels, objects = match(grid, [[0, 0, 10, 10], [50, 0, 60, 10]], [4, 2])
    # IoU with the first: 1, 0.9, 0.45, 0, 0. The second fits the last anchor alone, by 0.16, and gets it all the same.
    assert labels.tolist() == [4, 4, IGNORED, BACKGROUND, 2]
    assert objects.tolist() == [0, 0, -1, -1, 1]
    labels, objects = match(grid, [[0, 0, 10, 10], [50, 0, 60, 10]], [4, 2], best=False)
    assert (labels.tolist(), objects.tolist()) == ([4, 4, IGNORED, BACKGROUND, BACKGROUND], [0, 0, -1, -1, -1])
    assert match(grid, [[0, 0, 10, 10]], [4], high=0.95, low=0.0)[0].tolist() == [4, IGNORED, IGNORED, IGNORED, IGNORED]
    labels, objects = match(grid, [], [])
    assert (set(labels), set(objects)) == ({BACKGROUND}, {-1})


def test_two_objects_that_want_the_same_anchor():
    labels, objects = match([[0, 0, 10, 10]], [[0, 0, 10, 3], [0, 0, 10, 2]], [1, 2])
    assert (labels.tolist(), objects.tolist()) == ([1], [0])
    labels, objects = match([[0, 0, 10, 10]], [[0, 0, 10, 2], [0, 0, 10, 3]], [1, 2])
    assert (labels.tolist(), objects.tolist()) == ([2], [1])


@settings(max_examples=40, deadline=None)
@given(some_boxes(), some_boxes(), st.sampled_from((0.3, 0.5, 0.7)))
def test_match_is_its_rule(grid, boxes, high):
    classes = np.arange(len(boxes))
    labels, objects = match(grid, boxes, classes, high, high - 0.1, best=False)
    overlaps = iou(grid, boxes)
    for anchor, (label, number) in enumerate(zip(labels, objects, strict=True)):
        fit = overlaps[anchor].max() if len(boxes) else 0
        if fit >= high:
            assert label == number >= 0
            assert overlaps[anchor, number] == fit
        else:
            assert number == -1
            assert label == (IGNORED if fit >= high - 0.1 else BACKGROUND)
    with_best, _ = match(grid, boxes, classes, high, high - 0.1)
    if len(boxes) and len(grid) and overlaps.max() > 0:
        assert overlaps.max() in overlaps[with_best >= 0].max(axis=1)  # whatever fits best of all is not left out


# --- offsets ---------------------------------------------------------------------------------------------------------


def test_offsets_by_hand():
    np.testing.assert_allclose(encode([[2, 4, 6, 20]], [[0, 0, 8, 8]]), [[0, 1, np.log(0.5), np.log(2)]])
    np.testing.assert_allclose(decode([[0.5, 0, 0, np.log(3)]], [[0, 0, 8, 4]]), [[4, -4, 12, 8]])
    np.testing.assert_allclose(decode([[0, 0, 99, 0]], [[0, 0, 16, 4]]), [[8 - 500, 0, 8 + 500, 4]])  # no explosion
    assert decode(np.zeros((2, 3, 4)), np.tile([0, 0, 1, 1], (3, 1))).shape == (2, 3, 4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_decode_undoes_encode(seed):
    rng = np.random.default_rng(seed)
    first = rng.uniform(0, 50, (2, 6, 2))
    boxes, grid = np.concatenate([first, first + rng.uniform(1, 40, (2, 6, 2))], axis=-1)
    offsets = encode(boxes, grid)
    np.testing.assert_allclose(decode(offsets, grid), boxes, atol=1e-9)
    moved = 3 * boxes + 7, 3 * grid + 7
    np.testing.assert_allclose(encode(*moved), offsets, atol=1e-9)  # neither place nor scale of the image matters


def test_targets():
    boxes = [np.array([[2, 2, 8, 8], [10, 2, 26, 18]], np.float32), np.zeros((0, 4))]
    made = targets(SMALL, boxes, [np.array([2, 0]), np.zeros(0, int)])
    grid = anchors(SMALL)
    assert (made["classes"].shape, made["boxes"].shape) == ((2, len(grid)), (2, len(grid), 5))
    labels, objects = match(grid, boxes[0], [2, 0])
    np.testing.assert_array_equal(made["classes"][0], labels)
    has = made["boxes"][0, :, 4] == 1
    np.testing.assert_array_equal(has, labels >= 0)
    np.testing.assert_allclose(decode(made["boxes"][0, has, :4], grid[has]), boxes[0][objects[has]], atol=1e-4)
    assert (made["boxes"][0, ~has] == 0).all()
    assert (made["classes"][1] == BACKGROUND).all()
    assert (made["boxes"][1] == 0).all()


# --- losses ----------------------------------------------------------------------------------------------------------


def random_answers(rng, positives=True):
    labels = rng.integers(-2, 3, (3, 7))
    if not positives:
        labels[0] = BACKGROUND
    return labels, rng.normal(0, 2, (3, 7, 3))


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.9)])
def test_focal_loss_is_its_formula(gamma, alpha):
    labels, logits = random_answers(np.random.default_rng(0), positives=False)
    expected = np.zeros(3)
    for image, anchor, label in np.ndindex(3, 7, 3):
        p = 1 / (1 + np.exp(-logits[image, anchor, label]))
        there = labels[image, anchor] == label
        if labels[image, anchor] != IGNORED:
            p_true, weight = (p, alpha) if there else (1 - p, 1 - alpha)
            expected[image] -= weight * (1 - p_true) ** gamma * np.log(p_true)
    expected /= np.maximum((labels >= 0).sum(axis=1), 1)
    loss = FocalLoss(gamma, alpha)
    np.testing.assert_allclose(numpy(loss.call(labels, keras.ops.convert_to_tensor(logits))), expected, rtol=1e-6)
    assert float(loss(labels, logits)) == pytest.approx(expected.mean(), rel=1e-5)


def test_focal_loss_without_focus_is_cross_entropy():
    labels, logits = random_answers(np.random.default_rng(1))
    labels = np.maximum(labels, BACKGROUND)
    truth = (labels[..., None] == np.arange(3)).astype("float32")
    entropy = keras.losses.BinaryCrossentropy(from_logits=True, reduction="none")(truth, logits.astype("float32"))
    expected = 0.5 * 3 * numpy(entropy).sum(axis=1) / np.maximum((labels >= 0).sum(axis=1), 1)
    np.testing.assert_allclose(numpy(FocalLoss(0, 0.5).call(labels, logits.astype("float32"))), expected, rtol=1e-5)


def test_focal_loss_of_keras():
    """Keras has the same function for each number; it adds and divides otherwise."""
    labels, logits = random_answers(np.random.default_rng(2))
    labels = np.maximum(labels, BACKGROUND)
    truth = (labels[..., None] == np.arange(3)).astype("float32")
    theirs = keras.losses.BinaryFocalCrossentropy(True, alpha=0.3, gamma=2.5, from_logits=True, reduction="none")
    expected = 3 * numpy(theirs(truth, logits.astype("float32"))).sum(axis=1) / (labels >= 0).sum(axis=1)
    np.testing.assert_allclose(numpy(FocalLoss(2.5, 0.3).call(labels, logits.astype("float32"))), expected, rtol=1e-4)


def test_easy_background_fades():
    """The paper's example: at p_t = 0.99 and gamma 2 the loss is 10,000 times smaller than cross-entropy."""
    logit = np.full((1, 1, 1), -np.log(99))
    label = np.full((1, 1), BACKGROUND)
    assert float(FocalLoss(0)(label, logit) / FocalLoss(2)(label, logit)) == pytest.approx(1e4, rel=1e-3)
    huge = np.array([[[900.0], [-900.0]]])
    for gamma in (0.0, 2.0):
        assert float(FocalLoss(gamma)([[0, BACKGROUND]], huge)) == pytest.approx(0, abs=1e-6)
        assert float(FocalLoss(gamma)([[BACKGROUND, 0]], huge)) == pytest.approx(0.75 * 900 + 0.25 * 900, rel=1e-5)


def test_box_loss_is_its_formula():
    rng = np.random.default_rng(0)
    true, predicted = rng.normal(0, 0.2, (3, 6, 5)), rng.normal(0, 0.2, (3, 6, 4))
    true[..., 4] = rng.random((3, 6)) < 0.5
    true[0, :, 4] = 0
    predicted[1, 0] = true[1, 0, :4]
    for beta in (0.1, 1.0):
        expected = np.zeros(3)
        for image, anchor, side in np.ndindex(3, 6, 4):
            d = abs(true[image, anchor, side] - predicted[image, anchor, side])
            if true[image, anchor, 4]:
                expected[image] += d * d / 2 / beta if d < beta else d - beta / 2
        expected /= np.maximum(true[..., 4].sum(axis=1), 1)
        found = numpy(BoxLoss(beta).call(true, keras.ops.convert_to_tensor(predicted)))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert found[0] == 0


def test_gradients_of_the_losses():
    rng = np.random.default_rng(3)
    labels, logits = random_answers(rng)
    true = rng.normal(0, 0.2, (3, 6, 5))
    true[..., 4] = rng.random((3, 6)) < 0.5
    with np.errstate(all="raise"):
        check_gradients(lambda z: FocalLoss(dtype="float64").call(labels, z), [logits], [])
        check_gradients(lambda z: BoxLoss(dtype="float64").call(true, z), [rng.normal(0, 0.2, (3, 6, 4))], [])


# --- the network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"normalize": False}, {"levels": (3,), "sizes": (9.0,)}, {"depth": 0}, {"depth": 2, "classes": 1},
        {"levels": (1, 2, 3), "sizes": (3.0, 6.0, 12.0), "ratios": (1.0,), "scales": (1.0,)},
    ],
)  # fmt: skip
def test_the_formula_equals_the_built_model(changes):
    config = replace(SMALL, **changes)
    with keras.StatelessScope(initialize_variables=False):
        model = detector(config)
        assert model.count_params() == config.parameters
    count = len(anchors(config))
    assert {name: tuple(x.shape) for name, x in model.output.items()} == {
        "boxes": (None, count, 4), "classes": (None, count, config.classes),
    }  # fmt: skip


def test_an_untrained_model_gives_the_prior():
    answers = detector(replace(SMALL, prior=0.2), seed=0)(np.zeros((1, 20, 28, 2), "float32"))
    np.testing.assert_allclose(1 / (1 + np.exp(-numpy(answers["classes"]))), 0.2, atol=0.02)
    np.testing.assert_allclose(numpy(answers["boxes"]), 0, atol=0.05)


def test_the_heads_are_shared_by_the_levels():
    names = [w.path for w in detector(SMALL).trainable_weights if w.path.startswith(("classes", "boxes"))]
    kinds = ("1/bias", "1/kernel", "answer/bias", "answer/kernel")
    assert sorted(names) == [f"{head}_{kind}" for head in ("boxes", "classes") for kind in kinds]


def test_coarse_levels_inform_fine_ones():
    """Through the pyramid: without it, the fine level's answers could not depend on the last stage."""
    model, images = detector(SMALL, seed=0), np.random.default_rng(0).normal(size=(1, 20, 28, 2)).astype("float32")
    perturb(model)
    before = numpy(model(images)["classes"])[:, : 4 * 35]
    kernel = model.get_layer("side_3").kernel
    kernel.assign(numpy(kernel) + 1)
    assert np.abs(numpy(model(images)["classes"])[:, : 4 * 35] - before).max() > 1e-2


def test_saved_and_loaded_is_bit_equal(tmp_path):
    model, images = detector(SMALL, seed=0), np.random.default_rng(0).normal(size=(3, 20, 28, 2)).astype("float32")
    perturb(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, Detector)
    assert loaded.config == SMALL
    for name in ("boxes", "classes"):
        np.testing.assert_array_equal(numpy(loaded(images)[name]), numpy(model(images)[name]))
    for loss in (FocalLoss(1.5, 0.4), BoxLoss(0.3)):
        again = keras.losses.deserialize(keras.losses.serialize(loss))
        assert again.get_config() == loss.get_config()


def test_a_seed_fixes_the_weights():
    first, again, other = (detector(SMALL, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
        assert "kernel" not in a.path or not np.allclose(numpy(a), numpy(c))


# --- detection -------------------------------------------------------------------------------------------------------


class Answers:
    """Stand in for a trained network: the same answers for every image."""

    def __init__(self, model, logits, offsets):
        self.model, self.answers = model, {"classes": logits, "boxes": offsets}

    def __enter__(self):
        self.model.predict = lambda images, **_: {k: np.tile(v, (len(images), 1, 1)) for k, v in self.answers.items()}
        return self.model

    def __exit__(self, *_):
        del self.model.predict


def test_detections_by_hand():
    model, grid = detector(SMALL), anchors(SMALL)
    boxes = np.array([[2, 2, 8, 8], [2, 2, 8, 7], [20, 12, 40, 30], [2, 2, 8, 8]], float)
    places = [0, 1, 5, 9]
    logits, offsets = np.full((len(grid), 3), -9.0), np.zeros((len(grid), 4))
    offsets[places] = encode(boxes, grid[places])
    logits[places, [0, 0, 2, 1]] = [2.0, 1.0, 0.0, -1.0]
    images = np.zeros((2, 20, 28, 2))
    with Answers(model, logits, offsets):
        first, second = detect(model, images)
        np.testing.assert_array_equal(first["boxes"], second["boxes"])
        # The second lies on the first; the third reaches over the edge; the fourth is of another class.
        np.testing.assert_allclose(first["boxes"], [[2, 2, 8, 8], [20, 12, 28, 20], [2, 2, 8, 8]], atol=1e-5)
        assert first["classes"].tolist() == [0, 2, 1]
        np.testing.assert_allclose(first["scores"], 1 / (1 + np.exp([-2.0, 0.0, 1.0])), rtol=1e-6)
        assert detect(model, images, score=0.3)[0]["classes"].tolist() == [0, 2]
        assert detect(model, images, overlap=0.9)[0]["classes"].tolist() == [0, 0, 2, 1]
        assert detect(model, images, most=1)[0]["classes"].tolist() == [0]
        assert detect(model, images, candidates=2)[0]["classes"].tolist() == [0]
        nothing = detect(model, images, score=0.99)[0]
        assert (nothing["boxes"].shape, nothing["classes"].shape) == ((0, 4), (0,))
    assert detect(model, images[:0]) == []


def test_it_learns_to_detect():
    """On a few scenes of two digits, seen many times: it finds nearly all of them, and little else."""
    config = DetectorConfig((32, 32, 1), 2, (8, 12, 16), (2, 3), 16)
    scenes = digit_scenes(24, 32, seed=0, objects=(1, 2), heights=(14, 20), clutter=1, digits=(0, 1))
    made = targets(config, scenes.boxes, scenes.classes)
    keras.utils.set_random_seed(0)
    model = detector(config, seed=0)
    model.compile(keras.optimizers.Adam(0.01), {"classes": FocalLoss(), "boxes": BoxLoss()})
    before = mean_average_precision(scenes.truths, detect(model, scenes.images, score=0.0))
    model.fit(scenes.images, made, batch_size=8, epochs=40, verbose=0)
    after = mean_average_precision(scenes.truths, detect(model, scenes.images))
    assert before["AP50"] < 0.2
    assert after["AP50"] > 0.8


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"levels": (1, 3)}, r"levels is \(1, 3\); it must be stages that follow each other and end with 3"),
        ({"levels": (1, 2)}, r"levels is \(1, 2\)"),
        ({"sizes": (5.0,)}, r"sizes is \(5\.0,\); it must have one for each of the 2 levels"),
        ({"ratios": ()}, r"ratios is \(\)"),
        ({"scales": (0.0,)}, r"scales is 0\.0"),
        ({"prior": 1.0}, r"prior is 1\.0; it must be above 0 and below 1"),
        ({"classes": 0}, "classes is 0"),
        ({"widths": ()}, r"widths is \(\)"),
        ({"depth": -1}, "depth is -1"),
        ({"image": (8, 8)}, r"image is \(8, 8\)"),
    ],
)
def test_bad_configurations_say_why(options, text):
    with pytest.raises(ValueError, match=text):
        replace(SMALL, **options)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: detector("retinanet"), ValueError, "config is 'retinanet'"),
        (lambda: detector(3), TypeError, "config is of type int"),
        (lambda: match([], [], [], high=0.3, low=0.4), ValueError, r"low is 0\.4 and high 0\.3"),
        (lambda: match([[0, 0, 1, 1]], [[0, 0, 1, 1]], [-1]), ValueError, r"classes is \[-1\]"),
        (lambda: match([[0, 0, 1, 1]], [[0, 0, 1, 1]], []), ValueError, r"classes has shape \(0,\)"),
        (lambda: encode([[0, 0, 1, 1]], []), ValueError, "boxes has 1 rows and anchors 0"),
        (lambda: encode([[0, 0, 1, 0]], [[0, 0, 1, 1]]), ValueError, r"boxes\[0\] has no area"),
        (lambda: decode([[0, 0, 0, 0]], []), ValueError, r"offsets has shape \(1, 4\); there are 0 anchors"),
        (lambda: targets(SMALL, [[]], []), ValueError, "classes is for 0 images; boxes is for 1"),
        (lambda: targets(SMALL, [[[0, 0, 9, 9]]], [[3]]), ValueError, r"classes\[0\] holds 3; the model has 3 classes"),
        (lambda: FocalLoss(gamma=-1), ValueError, "gamma is -1"),
        (lambda: FocalLoss(alpha=1.0), ValueError, r"alpha is 1\.0"),
        (lambda: BoxLoss(0), ValueError, "beta is 0"),
        (lambda: detect(keras.Sequential(), []), TypeError, "model is of type Sequential; it must be a Detector"),
        (lambda: detect(detector(SMALL), np.zeros((1, 20, 28, 1))), ValueError, r"must be \(images, 20, 28, 2\)"),
        (lambda: detect(detector(SMALL), np.zeros((0, 20, 28, 2)), score=2), ValueError, "score is 2"),
    ],
)
def test_bad_arguments_say_why(call, error, text):
    with pytest.raises(error, match=text):
        call()
