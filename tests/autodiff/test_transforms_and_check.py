"""value_and_grad over trees, and the gradient check: that it finds what is wrong."""

from collections import namedtuple

import numpy as np
import pytest

from course_lib import autodiff as ad
from course_lib.autodiff import Tensor, grad, gradient_check, record, value_and_grad

Layer = namedtuple("Layer", ["kernel", "bias"])


# --- value_and_grad ---------------------------------------------------------------------------------------------------


def test_a_tree_comes_back_as_a_tree():
    params = {"layers": [Layer(np.ones((2, 3)), np.zeros(3, np.float32)), (np.ones(2),)], "rate": 2.0}

    def loss(p, x):
        return (x @ p["layers"][0].kernel + p["layers"][0].bias).sum() * p["rate"]

    value, gradient = value_and_grad(loss)(params, np.array([[1.0, 2.0]]))
    assert value == 18
    assert type(value) is float
    layer, (unused,) = gradient["layers"]
    assert isinstance(layer, Layer)
    np.testing.assert_array_equal(layer.kernel, [[2, 2, 2], [4, 4, 4]])
    np.testing.assert_array_equal(layer.bias, [2, 2, 2])
    assert layer.bias.dtype == np.float32
    np.testing.assert_array_equal(unused, [0, 0])  # the value does not depend on it
    assert gradient["rate"] == 9
    assert all(type(a) is np.ndarray for a in (layer.kernel, unused, gradient["rate"]))


def test_each_call_starts_anew():
    function = grad(lambda x: x * x)
    assert [float(function(3.0)) for _ in range(3)] == [6, 6, 6]
    x = np.array(3.0)
    function(x)
    assert x == 3


def test_several_arguments():
    def f(a, x, b, power=1):
        return (a * x * b) ** power

    assert value_and_grad(f, argnums=2)(2.0, 3.0, 5.0) == (30, 6)
    value, (a, b) = value_and_grad(f, argnums=(0, -1))(2.0, 3.0, 5.0, power=2)
    assert (value, a, b) == (900, 900, 360)
    (a,) = grad(f, [0])(2.0, 3.0, 5.0)
    assert a == 15


def test_something_else_handed_out():
    (value, aux), gradient = value_and_grad(lambda x: (x * 2.0, "more"), has_aux=True)(3.0)
    assert (value, aux, gradient) == (6, "more", 2)


def test_the_function_gets_tensors_and_data_as_they_are():
    seen = []
    value_and_grad(lambda p, x: seen.append((type(p[0]), type(x))) or p[0] * 1.0)([1.0], [2, 3])
    assert seen == [(Tensor, list)]


def test_a_constant_has_no_slope():
    assert value_and_grad(lambda x: Tensor(5.0))(3.0) == (5, 0)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda: grad(lambda p: p)({"w": [np.arange(3)]}), TypeError, r"argument 0\['w'\]\[0\] has dtype int64"),
        (lambda: grad(lambda p: p)(3), TypeError, "argument 0 has dtype int64"),
        (lambda: grad(lambda p: p.data)(3.0), TypeError, "the function gave ndarray; it must give a Tensor"),
        (lambda: grad(lambda p: p * 1.0)(np.ones(2)), ValueError, r"a Tensor of shape \(2,\)"),
        (lambda: grad(lambda p: p, argnums=1)(1.0), ValueError, "argnums is 1; there are 1 positional"),
    ],
)
def test_wrong_input(wrong, error, text):
    with pytest.raises(error, match=text):
        wrong()


# --- gradient_check ---------------------------------------------------------------------------------------------------


def test_a_right_gradient_passes_and_says_how_close():
    result = gradient_check(lambda x, w: ad.tanh(x @ w), np.ones((2, 3)), np.full((3, 2), 0.1))
    assert result
    assert result.ok
    assert 0 < result.max_error < 1e-9
    assert 0 < result.max_relative_error < 1e-8
    assert result.evaluations == 2 * 12
    assert [a.shape for a in result.backward] == [a.shape for a in result.numerical] == [(2, 3), (3, 2)]


def wrong_in_one_place(x, by=1e-4):
    factor = np.ones(x.shape)
    factor[1, 2] += by
    return record("wrong", x.data.copy(), [(x, lambda g: g * factor)])


def test_one_wrong_number_is_found_and_named():
    result = gradient_check(lambda y, x: wrong_in_one_place(x).sum() + y, np.array(1.0), np.ones((2, 3)))
    assert not result
    assert result.worst == (1, 1, 2)
    assert result.max_error == pytest.approx(1e-4, rel=1e-3)
    first = gradient_check(lambda x, y: wrong_in_one_place(x).sum() + y, np.ones((2, 3)), np.array(1.0))
    assert not first
    assert first.worst == (0, 1, 2)
    assert gradient_check(lambda x: wrong_in_one_place(x).sum(), np.ones((2, 3)), rtol=1e-3)


def test_a_gradient_that_is_not_a_number_is_found():
    x = np.ones((2, 3))
    result = gradient_check(lambda x: wrong_in_one_place(x, np.nan).sum(), x)
    assert not result
    assert result.worst == (0, 1, 2)
    assert np.isnan(result.max_error)


def test_rows_that_are_exchanged_are_found_though_their_sum_is_right():
    # The weights on the outputs differ; with weights of 1 the mistake would cancel.
    result = gradient_check(lambda x: record("flip", x.data.copy(), [(x, lambda g: g[::-1])]), np.ones(4))
    assert not result


def test_the_step_has_a_best_size():
    """Too large a step leaves the formula's error, too small a one the rounding's."""
    errors = [gradient_check(ad.exp, np.linspace(-1, 1, 5), eps=eps).max_error for eps in (1e-2, 6e-6, 1e-11)]
    assert errors[1] < 1e-3 * errors[0]
    assert errors[1] < 1e-3 * errors[2]


def test_float32_points_are_checked_in_float64():
    seen = set()
    assert gradient_check(lambda x: seen.add(x.dtype) or ad.exp(x), np.ones(3, np.float32))
    assert seen == {np.dtype(np.float64)}


def test_without_a_gradient_there_is_zero_to_compare():
    assert gradient_check(lambda x: Tensor(1.0), np.ones(3))
    assert not gradient_check(lambda x: Tensor(x.data.sum()), np.ones(3))


def test_what_the_check_refuses():
    with pytest.raises(ValueError, match="there is no array"):
        gradient_check(lambda: Tensor(1.0))
    with pytest.raises(ValueError, match="eps is 0"):
        gradient_check(lambda x: x, 1.0, eps=0)
    with pytest.raises(TypeError, match="gave float"):
        gradient_check(lambda x: 1.0, 1.0)
