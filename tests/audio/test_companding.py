"""Mu-law and the two halves of a 16-bit sample: formulas, inverses, what the codes are good for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from course_lib.audio.companding import dequantize, inverse_mu_law, join_bits, mu_law, quantize, split_bits

SOUNDS = arrays("float64", st.integers(1, 20), elements=st.floats(-1, 1))
MUS = st.sampled_from((1, 2, 15, 255, 65535))


def test_the_formula_at_known_points():
    """(1 + mu) ** y = 1 + mu x: with mu = 255 and y = k / 8 that is x = (2 ** k - 1) / 255."""
    k = np.arange(9)
    np.testing.assert_allclose(mu_law((2.0**k - 1) / 255), k / 8, rtol=1e-13)
    np.testing.assert_allclose(inverse_mu_law(-k / 8), -(2.0**k - 1) / 255, rtol=1e-13)


@given(SOUNDS, MUS)
def test_odd_growing_and_undone_by_its_inverse(x, mu):
    y = mu_law(x, mu)
    np.testing.assert_allclose(inverse_mu_law(y, mu), x, atol=1e-12)
    np.testing.assert_array_equal(mu_law(-x, mu), -y)
    assert (np.diff(mu_law(np.sort(x), mu)) >= 0).all()
    assert (np.abs(y) <= 1).all()
    assert (np.abs(y) >= np.abs(x) - 1e-12).all()


@given(SOUNDS, MUS)
def test_a_code_is_that_of_the_nearest_level(x, mu):
    mu = min(mu, 255)
    levels = np.linspace(-1, 1, mu + 1)
    codes = quantize(x, mu)
    away = np.abs(mu_law(x, mu)[:, None] - levels)
    assert codes.dtype == np.int32
    np.testing.assert_allclose(np.take_along_axis(away, codes[:, None], 1)[:, 0], away.min(1), atol=1e-12)


def test_every_code_stands_for_itself():
    codes = np.arange(256)
    np.testing.assert_array_equal(quantize(dequantize(codes)), codes)
    np.testing.assert_allclose(dequantize([0, 255]), [-1, 1], rtol=1e-13)
    assert quantize(0.0) == 128


def test_a_quiet_tone_keeps_more_than_with_equal_steps():
    """Noise of the codes against a tone, in decibels: much the same for loud and quiet with mu-law, not without."""
    tone = np.sin(2 * np.pi * 0.0123 * np.arange(10_000))

    def ratio(x, again):
        return 10 * np.log10(np.mean(x**2) / np.mean((again - x) ** 2))

    with_law = [ratio(a * tone, dequantize(quantize(a * tone))) for a in (1, 0.01)]
    equal = [ratio(a * tone, np.round(a * tone * 127.5) / 127.5) for a in (1, 0.01)]
    assert with_law[1] > equal[1] + 10  # quiet: far better
    assert equal[0] > with_law[0] + 5  # loud: that is what it costs
    assert abs(with_law[0] - with_law[1]) < 20 < abs(equal[0] - equal[1])


def test_both_halves_hold_every_16_bit_sample():
    samples = np.arange(-(2**15), 2**15) / 2**15
    parts = split_bits(samples)
    assert parts.shape == (2**16, 2)
    assert parts.min() == 0
    assert parts.max() == 255
    np.testing.assert_array_equal(join_bits(parts), samples)
    np.testing.assert_array_equal(parts[2**15 + 300], [129, 44])  # 32,768 + 300 = 129 x 256 + 44
    np.testing.assert_array_equal(
        split_bits([1.0, -1.0, 0.4 / 2**15, 0.6 / 2**15]), [[255, 255], [0, 0], [128, 0], [128, 1]]
    )


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: mu_law([0.0, 1.5]), ValueError, r"samples holds 1\.5; it must be from -1 to 1"),
        (lambda: mu_law([0.0, np.nan]), ValueError, "samples has 1 value"),
        (lambda: mu_law(0.5, 0), ValueError, "mu is 0"),
        (lambda: inverse_mu_law(-2.0), ValueError, r"values holds -2\.0"),
        (lambda: dequantize([0, 256]), ValueError, "codes holds 256; it must be from 0 to 255"),
        (lambda: dequantize([0.5]), TypeError, "codes has dtype float64"),
        (lambda: join_bits([1, 2, 3]), ValueError, r"parts has shape \(3,\)"),
        (lambda: join_bits([1, 300]), ValueError, "parts holds 300"),
        (lambda: split_bits([-1.1]), ValueError, r"samples holds -1\.1"),
    ],
)
def test_bad_input_says_why(call, error, text):
    with pytest.raises(error, match=text):
        call()
