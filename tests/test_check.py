"""The checks of arguments: what they let through, and what their texts say."""

import math
from fractions import Fraction

import numpy as np
import pytest

from course_lib import _check


@pytest.mark.parametrize("value", [1e-300, 1, 2.5, np.float32(0.5), np.array(3.0), Fraction(1, 2)])
def test_numbers_come_out_as_floats(value):
    for check in (_check.positive, _check.non_negative):
        result = check("x", value)
        assert type(result) is float
        assert result == float(value)


def test_the_ends_of_the_ranges():
    assert _check.non_negative("x", 0) == 0
    assert _check.fraction("x", 0) == 0
    assert _check.fraction("x", 0.999999) == 0.999999
    assert _check.count("x", 1) == 1
    assert _check.count("x", 0, least=0) == 0
    assert _check.count("x", np.int32(7)) == 7


@pytest.mark.parametrize(
    ("check", "values", "allowed"),
    [
        (_check.positive, [0, -1, math.inf, math.nan], "a finite number above 0"),
        (_check.non_negative, [-1e-12, math.inf, math.nan], "a finite number of at least 0"),
        (_check.fraction, [-0.1, 1, 1.0, 2, math.nan], "at least 0 and below 1"),
        (_check.count, [0, -3, True], "a whole number of at least 1"),
    ],
)
def test_values_out_of_range(check, values, allowed):
    for value in values:
        with pytest.raises(ValueError, match="size") as caught:
            check("size", value)
        assert str(caught.value) == f"size is {value!r}; it must be {allowed}"


@pytest.mark.parametrize(
    ("check", "values", "allowed"),
    [
        (_check.positive, ["1", None, True, [1.0], np.ones(2), 1j], "a finite number above 0"),
        (_check.non_negative, ["1", None, False, [1.0], 1j], "a finite number of at least 0"),
        (_check.fraction, ["0", None, False, (0.5,)], "at least 0 and below 1"),
        (_check.count, [1.0, "1", None, [1]], "a whole number of at least 1"),
        (_check.flag, [1, 0, "yes", None], "True or False"),
    ],
)
def test_values_of_a_wrong_type(check, values, allowed):
    for value in values:
        with pytest.raises(TypeError) as caught:
            check("size", value)
        assert str(caught.value) == f"size is {value!r}; it must be {allowed}"


def test_flags_and_choices():
    assert _check.flag("x", True) is True
    assert _check.flag("x", np.False_) is False
    assert _check.choice("x", "b", ("a", "b")) == "b"
    for wrong in ("c", None, 1, ["a"], np.array(["a", "b"])):
        with pytest.raises(ValueError, match="allowed are 'a', 'b'") as caught:
            _check.choice("kind", wrong, ("a", "b"))
        assert f"kind is {wrong!r}" in str(caught.value)


def test_finite_arrays():
    assert _check.finite("x", [[1, 2]]).dtype == np.float64
    assert _check.finite("x", np.ones(3, np.float32)).dtype == np.float32
    assert _check.finite("x", [True]).dtype == np.float64
    assert _check.finite("x", np.ones((2, 3)), ndim=2).shape == (2, 3)
    assert _check.finite("x", np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("array", "ndim", "error", "text"),
    [
        (["a"], None, TypeError, "data has dtype <U1; it must hold real numbers"),
        ([1j], None, TypeError, "data has dtype complex128; it must hold real numbers"),
        (np.ones(3), 2, ValueError, r"data has shape \(3,\); it must have 2 dimensions"),
        (np.ones((3, 1)), 1, ValueError, r"data has shape \(3, 1\); it must have 1 dimension$"),
        ([[1, 2], [math.nan, math.inf]], 2, ValueError, r"data has 2 value\(s\).* the first at index \(1, 0\)"),
        (-math.inf, 0, ValueError, r"data has 1 value\(s\) that are NaN or infinite"),
    ],
)
def test_arrays_that_are_refused(array, ndim, error, text):
    with pytest.raises(error, match=text):
        _check.finite("data", array, ndim)
