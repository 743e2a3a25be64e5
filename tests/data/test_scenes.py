"""Scenes and moving digits: what they say of themselves is true, parts are apart, labels are in the order alone."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from course_lib.data.moving_digits import Videos, moving_digits
from course_lib.data.scenes import PARTS, Scenes, digit_images, digit_scenes, enlarge
from course_lib.evaluation.boxes import iou


def test_parts_share_no_digit_and_are_scikit_learns():
    (train, a), (test, b) = (digit_images(part) for part in PARTS)
    assert (len(train), len(test)) == (1297, 500)
    original = load_digits()
    np.testing.assert_array_equal(np.concatenate([train, test]) * 16, original.images)
    np.testing.assert_array_equal(np.concatenate([a, b]), original.target)
    assert not {x.tobytes() for x in train} & {x.tobytes() for x in test}
    images, labels = digit_images("test", (3, 8))
    assert set(labels) == {3, 8}
    np.testing.assert_array_equal(images, test[np.isin(b, (3, 8))])


def test_enlarge_is_bilinear():
    picture = np.array([[0.0, 1.0], [2.0, 3.0]])
    np.testing.assert_allclose(enlarge(picture, 2, 2), picture)
    np.testing.assert_allclose(enlarge(picture, 2, 4), [[0, 0.25, 0.75, 1], [2, 2.25, 2.75, 3]])
    np.testing.assert_allclose(enlarge(picture, 4, 2)[:, 0], [0, 0.5, 1.5, 2])
    from PIL import Image

    source = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    pil = np.asarray(Image.fromarray(source).resize((20, 13), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(enlarge(source, 13, 20), pil, atol=1e-5)


def test_boxes_classes_and_masks_agree():
    scenes = digit_scenes(30, 72, seed=4, noise=0.0, clutter=0, overlap=0.0, digits=(0, 4, 7))
    assert (scenes.images.shape, scenes.images.dtype) == ((30, 72, 72, 1), np.float32)
    assert (scenes.masks.shape, scenes.masks.dtype) == ((30, 72, 72), np.int32)
    assert {len(boxes) for boxes in scenes.boxes} == {1, 2, 3, 4}
    assert {int(c) for own in scenes.classes for c in own} == {0, 4, 7}
    for image, boxes, classes, mask in zip(scenes.images, scenes.boxes, scenes.classes, scenes.masks, strict=True):
        assert len(boxes) == len(classes) >= 1
        covered = np.zeros(mask.shape, bool)
        for (x1, y1, x2, y2), label in zip(boxes.astype(int), classes, strict=True):
            ink = mask[y1:y2, x1:x2] == 1 + label
            # The box is the smallest around its ink: each of its four edges touches some.
            assert all(edge.any() for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1]))
            assert (mask[y1:y2, x1:x2][~ink] == 0).all()
            covered[y1:y2, x1:x2] = True
            assert image[y1:y2, x1:x2][ink].min() >= 0.25 * image[y1:y2, x1:x2].max() - 1e-6
        assert (mask[~covered] == 0).all()
        overlaps = iou(boxes, boxes)
        assert (overlaps[~np.eye(len(boxes), dtype=bool)] == 0).all()


def test_overlap_is_bounded_and_used():
    scenes = digit_scenes(60, 32, seed=0, objects=(4, 4), overlap=0.3)
    pairs = [iou(boxes, boxes)[np.triu_indices(len(boxes), 1)] for boxes in scenes.boxes]
    assert 0.05 < np.concatenate(pairs).max() <= 0.3


def test_clutter_and_noise_are_no_objects():
    plain, full = (digit_scenes(20, seed=1, clutter=clutter, noise=0.0) for clutter in (0, 8))
    for scenes in (plain, full):
        background = [image[..., 0][mask == 0].max() for image, mask in zip(scenes.images, scenes.masks, strict=True)]
        assert (np.median(background) > 0.5) == (scenes is full)
    noisy = digit_scenes(20, seed=1, clutter=0, noise=0.1)
    assert 0.0 == noisy.images.min() < noisy.images.max() <= 1
    assert np.abs(noisy.images - plain.images).mean() > 0.02


def test_a_seed_fixes_the_scenes():
    first, again, other = (digit_scenes(3, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)
    part = first.take([2, 0])
    assert isinstance(part, Scenes)
    assert len(part) == 2
    np.testing.assert_array_equal(part.masks[1], first.masks[0])
    np.testing.assert_array_equal(part.truths[0]["boxes"], first.boxes[2])
    np.testing.assert_array_equal(part.truths[0]["classes"], first.classes[2])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"count": 0}, "count is 0"),
        ({"part": "valid"}, "part is 'valid'; allowed are 'train', 'test'"),
        ({"objects": (3, 2)}, r"objects is \(3, 2\); it must be two whole numbers"),
        ({"heights": (14, 80)}, r"heights is \(14, 80\); .* from 8 to 64"),
        ({"heights": 14}, "heights is 14"),
        ({"overlap": 1.0}, r"overlap is 1\.0"),
        ({"noise": -1}, "noise is -1"),
        ({"clutter": -1}, "clutter is -1"),
        ({"digits": ()}, r"digits is \(\)"),
        ({"digits": (10,)}, r"digits is \(10,\)"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_scenes_say_why(options, text):
    with pytest.raises(ValueError, match=text):
        digit_scenes(**{"count": 1} | options)


# --- moving digits --------------------------------------------------------------------------------------------------


def centers(videos):
    """Give the column of the centre of brightness of each frame, (videos, frames)."""
    weight = videos[..., 0].sum(axis=2)  # (videos, frames, columns)
    return (weight * np.arange(weight.shape[-1])).sum(axis=-1) / weight.sum(axis=-1)


def test_the_label_is_the_direction():
    data = moving_digits(40, frames=5, seed=0, noise=0.0)
    assert (data.videos.shape, data.videos.dtype) == ((40, 5, 32, 32, 1), np.float32)
    assert np.bincount(data.labels).tolist() == [20, 20]
    steps = np.diff(centers(data.videos), axis=1)
    assert (steps[data.labels == 0] > 0).all()
    assert (steps[data.labels == 1] < 0).all()


def test_the_label_does_nothing_but_turn_the_video_round():
    """The same videos without their labels: what a bag of frames sees is drawn before the label is."""
    data = moving_digits(60, frames=4, seed=3)
    forward = np.where((data.labels == 1)[:, None, None, None, None], data.videos[:, ::-1], data.videos)
    steps = np.diff(centers(forward), axis=1)
    assert (steps.sum(axis=1) > 0).all()
    # Averaged over the frames, the two classes look alike: the difference of their means is what chance makes of it.
    bags = data.videos.mean(axis=1).reshape(60, -1)
    gap = np.abs(bags[data.labels == 0].mean(axis=0) - bags[data.labels == 1].mean(axis=0)).mean()
    rng = np.random.default_rng(0)
    chance = []
    for _ in range(200):
        labels = rng.permutation(data.labels)
        chance.append(np.abs(bags[labels == 0].mean(axis=0) - bags[labels == 1].mean(axis=0)).mean())
    assert np.quantile(chance, 0.001) < gap < np.quantile(chance, 0.999)


def test_shuffling_keeps_the_frames():
    data = moving_digits(12, frames=5, seed=2)
    mixed = data.shuffled(seed=1)
    assert isinstance(mixed, Videos)
    orders = set()
    for video, other in zip(data.videos, mixed.videos, strict=True):
        places = [next(n for n, frame in enumerate(video) if np.array_equal(frame, wanted)) for wanted in other]
        assert sorted(places) == list(range(5))
        orders.add(tuple(places))
    assert len(orders) > 6
    np.testing.assert_array_equal(mixed.labels, data.labels)
    np.testing.assert_array_equal(data.shuffled(seed=1).videos, mixed.videos)


def test_videos_are_fixed_by_their_seed_and_parts_apart():
    first, again, other = (moving_digits(4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.videos, again.videos)
    assert not np.array_equal(first.videos, other.videos)
    assert len(first.take(slice(1, 3))) == 2
    np.testing.assert_array_equal(first.take([3]).videos[0], first.videos[3])
    assert not np.array_equal(moving_digits(4, seed=1, part="test").videos, first.videos)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"frames": 1}, "frames is 1"),
        ({"heights": (12, 30)}, r"heights is \(12, 30\); it must be \(smallest, largest\), at most 24"),
        ({"heights": (14, 12)}, r"heights is \(14, 12\)"),
        ({"size": 8}, "size is 8"),
        ({"part": "all"}, "part is 'all'"),
        ({"noise": -0.1}, r"noise is -0\.1"),
    ],
)
def test_bad_videos_say_why(options, text):
    with pytest.raises(ValueError, match=text):
        moving_digits(**{"count": 2} | options)
