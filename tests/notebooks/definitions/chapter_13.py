"""What chapter 13 defines against what course_lib ships."""

import numpy as np

import course_lib.autodiff as ad
from course_lib.layers import positions
from course_lib.models import generation


def check_softmax(softmax, rng):
    scores = rng.normal(size=(3, 7)) * 20
    np.testing.assert_allclose(softmax(scores), ad.softmax(scores).data, rtol=1e-12)


def check_rotate(rotate, rng):
    x, where = rng.normal(size=(2, 3, 9, 6)).astype("float32"), rng.integers(0, 50, size=9)
    np.testing.assert_allclose(rotate(x, where), np.asarray(positions.rotate(x, where)), atol=1e-4)
    np.testing.assert_allclose(rotate(x, where, 50.0), np.asarray(positions.rotate(x, where, base=50.0)), atol=1e-4)


def check_filter_logits(filter_logits, rng):
    """Without, with one and with both cuts."""
    scores = rng.normal(size=(20, 9)) * 3
    for cut in ({}, {"top_k": 4}, {"top_k": 1}, {"top_p": 0.8}, {"top_p": 1e-3}, {"top_k": 5, "top_p": 0.5}):
        np.testing.assert_allclose(filter_logits(scores, **cut), generation.filter_logits(scores, **cut))
