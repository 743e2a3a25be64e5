"""Classifiers of videos: counts, what the order of the frames does to each, what they learn, saving."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.data.moving_digits import moving_digits
from course_lib.models.video import KINDS, VideoConfig, video_classifier
from tests.layers.finite_differences import numpy, perturb

SMALL = {kind: VideoConfig(kind, frames=4, image=(8, 10, 2), classes=3, widths=(3, 5), hidden=6) for kind in KINDS}
VIDEOS = np.random.default_rng(0).normal(size=(3, 4, 8, 10, 2)).astype("float32")


def moved(kind, seed=0):
    model = video_classifier(SMALL[kind], seed=seed)
    perturb(model)
    return model


@settings(max_examples=9, deadline=None)
@given(
    st.sampled_from(KINDS), st.integers(1, 3), st.integers(1, 3), st.lists(st.integers(1, 3), min_size=1, max_size=2),
    st.booleans(),
)  # fmt: skip
def test_the_formula_equals_the_built_model(kind, frames, classes, widths, normalize):
    config = VideoConfig(kind, frames, (5, 6, 2), classes, tuple(widths), 3, normalize)
    with keras.StatelessScope(initialize_variables=False):
        model = video_classifier(config)
        assert model.count_params() == config.parameters
        assert (model.input_shape, model.output_shape) == ((None, frames, 5, 6, 2), (None, classes))


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_frames_matters_or_cannot(kind):
    model = moved(kind)
    before, backwards = numpy(model(VIDEOS)), numpy(model(VIDEOS[:, [3, 1, 0, 2]]))
    if kind == "frames":
        np.testing.assert_allclose(backwards, before, atol=1e-5)
    else:
        assert np.abs(backwards - before).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_and_every_part_of_it_counts(kind):
    model = moved(kind)
    before = numpy(model(VIDEOS))
    patch = 8 * np.random.default_rng(1).normal(size=(3, 4, 5, 2)).astype("float32")
    for frame in range(4):
        for part in ((slice(0, 4), slice(0, 5)), (slice(4, 8), slice(5, 10))):
            changed = VIDEOS.copy()
            changed[:, frame, *part] += patch
            assert np.abs(numpy(model(changed)) - before).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_videos_do_not_mix(kind):
    model = moved(kind)
    np.testing.assert_allclose(numpy(model(VIDEOS[[2, 0, 1]])), numpy(model(VIDEOS))[[2, 0, 1]], atol=1e-5)
    np.testing.assert_allclose(numpy(model(VIDEOS[1:2])), numpy(model(VIDEOS))[1:2], atol=1e-5)


def test_frames_and_recurrent_look_at_frames_in_the_same_way():
    """The features of a frame are those of the image network on it alone."""
    model = moved("frames")
    features = keras.Model(model.input, model.get_layer("features").output)
    whole = numpy(features(VIDEOS))
    assert whole.shape == (3, 4, 6)
    for frame in range(4):
        alone = np.repeat(VIDEOS[:, frame : frame + 1], 4, axis=1)
        np.testing.assert_allclose(numpy(features(alone))[:, 0], whole[:, frame], atol=1e-5)
    np.testing.assert_allclose(
        whole.mean(axis=1) @ numpy(model.get_layer("scores").kernel) + numpy(model.get_layer("scores").bias),
        numpy(model(VIDEOS)), atol=1e-5,
    )  # fmt: skip


def test_only_order_lets_them_learn():
    """On a video and the same one backwards: a bag of frames gives both one score, a recurrent network tells them."""
    data = moving_digits(48, frames=4, seed=0, size=16, heights=(8, 9), noise=0.0)
    backwards = data.videos[:, ::-1]
    for kind in ("frames", "recurrent"):
        keras.utils.set_random_seed(0)
        model = video_classifier(VideoConfig(kind, 4, (16, 16, 1), 2, (4, 8), 8), seed=0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.02), loss)
        both = np.concatenate([data.videos, backwards])
        labels = np.concatenate([data.labels, 1 - data.labels])
        model.fit(both, labels, batch_size=32, epochs=8, verbose=0)
        right = numpy(model(both)).argmax(axis=1) == labels
        assert (right.mean() > 0.9) == (kind == "recurrent")
        if kind == "frames":
            assert right.mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_is_bit_equal(tmp_path, kind):
    model = moved(kind)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(VIDEOS)), numpy(model(VIDEOS)))
    first, again, other = (video_classifier(SMALL[kind], seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b))
        assert "kernel" not in a.path or not np.allclose(numpy(a), numpy(c))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "bag"}, "kind is 'bag'; allowed are 'frames', 'recurrent', 'conv3d'"),
        ({"frames": 0}, "frames is 0"),
        ({"image": (8, 8)}, r"image is \(8, 8\)"),
        ({"widths": ()}, r"widths is \(\)"),
        ({"hidden": 0}, "hidden is 0"),
        ({"classes": 0}, "classes is 0"),
    ],
)
def test_bad_configurations_say_why(options, text):
    with pytest.raises(ValueError, match=text):
        replace(SMALL["frames"], **options)


def test_bad_arguments_say_why():
    with pytest.raises(TypeError, match="config is of type dict"):
        video_classifier({})
