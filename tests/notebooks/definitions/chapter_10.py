"""What chapter 10 defines against what course_lib ships."""

import numpy as np

import course_lib.autodiff as ad
from course_lib.layers import attention as shipped
from course_lib.layers import positions


def check_softmax(softmax, rng):
    scores = rng.normal(size=(3, 7)) * 20
    np.testing.assert_allclose(softmax(scores), ad.softmax(scores).data, rtol=1e-12)
    assert softmax(np.full((1, 4), -np.inf)).tolist() == [[0.0] * 4]


def check_attention(attention, rng):
    """Three heads, with and without a mask; one query may look nowhere."""
    query, key = (rng.normal(size=(2, 3, n, 8)).astype("float32") for n in (5, 6))
    value = rng.normal(size=(2, 3, 6, 4)).astype("float32")
    mask = rng.random((2, 1, 5, 6)) < 0.5
    mask[0, 0, 2] = False
    for allowed in (None, mask):
        for mine, other in zip(
            attention(query, key, value, allowed), shipped.attention(query, key, value, allowed), strict=True
        ):
            np.testing.assert_allclose(mine, np.asarray(other), rtol=1e-4, atol=1e-5)
    assert not attention(query, key, value, mask)[0][0, :, 2].any()


def check_sinusoidal_positions(sinusoidal_positions, rng):
    length, width = int(rng.integers(2, 60)), 2 * int(rng.integers(1, 20))
    mine = sinusoidal_positions(length, width)
    np.testing.assert_allclose(mine, positions.sinusoidal_positions(length, width), atol=1e-6)


def check_rotate(rotate, rng):
    x, where = rng.normal(size=(2, 3, 9, 6)).astype("float32"), rng.integers(0, 50, size=9)
    np.testing.assert_allclose(rotate(x, where), np.asarray(positions.rotate(x, where)), atol=1e-4)
    np.testing.assert_allclose(rotate(x, where, 50.0), np.asarray(positions.rotate(x, where, base=50.0)), atol=1e-4)
