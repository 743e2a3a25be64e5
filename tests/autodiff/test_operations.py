"""What the random cases of test_gradients leave out: errors, conventions, indexing twice, empty arrays."""

import numpy as np
import pytest

from course_lib import autodiff as ad
from course_lib.autodiff import Tensor


def leaf(values):
    return Tensor(np.asarray(values, np.float64), requires_grad=True)


X = np.random.default_rng(0).standard_normal((3, 4))


@pytest.mark.parametrize(
    ("ours", "numpys"),
    [
        (ad.exp, np.exp), (ad.tanh, np.tanh), (ad.absolute, np.abs), (ad.negative, np.negative),
        (lambda a: ad.sum(a, 0), lambda a: a.sum(0)), (lambda a: ad.mean(a, (0, 1)), lambda a: a.mean()),
        (lambda a: ad.variance(a, 1, True, 1), lambda a: a.var(1, keepdims=True, ddof=1)),
        (lambda a: ad.max(a, [-1]), lambda a: a.max(-1)), (lambda a: ad.min(a, np.int64(0)), lambda a: a.min(0)),
        (lambda a: ad.clip(a, -0.1, 0.1), lambda a: a.clip(-0.1, 0.1)), (lambda a: ad.reshape(a, 12), np.ravel),
        (lambda a: ad.concatenate([a, a], 1), lambda a: np.concatenate([a, a], 1)),
        (lambda a: ad.stack([a, a], -1), lambda a: np.stack([a, a], -1)),
        (lambda a: ad.take(a, [[0, -1]], 1), lambda a: a[:, [[0, -1]]]),
        (lambda a: a[1:, None, ::2], lambda a: a[1:, None, ::2]),
        (lambda a: ad.broadcast_to(a, (2, 3, 4)), lambda a: np.stack([a, a])),
    ],
)  # fmt: skip
def test_values_are_numpys(ours, numpys):
    np.testing.assert_array_equal(ours(Tensor(X)).data, numpys(X))


def test_variance_with_ddof():
    assert ad.gradient_check(lambda a: ad.variance(a, 0, ddof=1), X)


def test_arrays_and_lists_are_taken_too():
    assert ad.sum([1.0, 2.0]).item() == 3
    assert ad.add(1, 2).item() == 3
    assert ad.matmul([[1.0, 2.0]], [3.0, 4.0]).data == 11


@pytest.mark.parametrize("index", [[0, 0, 2], ([0, 0, 2],), (..., [0, 0, 2]), np.array([0, 0, 2]), Tensor([0, 0, 2])])
def test_a_place_that_is_taken_twice_gets_both_gradients(index):
    x = leaf([1.0, 2.0, 3.0])
    x[index].backward(np.array([1.0, 10.0, 100.0]))
    np.testing.assert_array_equal(x.grad, [11, 0, 100])


@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3), (5,), (2, 2, 5)])
def test_gathering_scatters_back_as_an_unhurried_sum(shape):
    rng = np.random.default_rng(1)
    axis = shape.index(5)
    table, indices = leaf(rng.standard_normal(shape)), rng.integers(-5, 5, (4, 6))
    output = ad.take(table, indices, axis)
    g = rng.standard_normal(output.shape)
    output.backward(g)
    want = np.zeros(shape)
    for i, j in np.ndindex(4, 6):
        place = (slice(None),) * axis
        want[(*place, indices[i, j])] += g[(*place, i, j)]
    np.testing.assert_allclose(table.grad, want, rtol=1e-13, atol=1e-13)


def test_ties():
    a, b = leaf([1.0, 2.0]), leaf([1.0, 3.0])
    ad.maximum(a, b).sum().backward()
    np.testing.assert_array_equal([a.grad, b.grad], [[0.5, 0], [0.5, 1]])
    a, b = leaf([1.0, 2.0]), leaf([1.0, 3.0])
    ad.minimum(a, b).sum().backward()
    np.testing.assert_array_equal([a.grad, b.grad], [[0.5, 1], [0.5, 0]])
    x = leaf([[2.0, 2.0, 1.0], [0.0, 5.0, 4.0]])
    ad.max(x, axis=1).sum().backward()
    np.testing.assert_array_equal(x.grad, [[0.5, 0.5, 0], [0, 1, 0]])
    x = leaf([1.0, 1.0, 2.0, 1.0])
    ad.min(x).backward()
    np.testing.assert_allclose(x.grad, [1 / 3, 1 / 3, 0, 1 / 3])


def test_corners():
    x = leaf([-1.0, 0.0, 1.0])
    (ad.relu(x) + 10 * ad.absolute(x)).sum().backward()
    np.testing.assert_array_equal(x.grad, [-10, 0, 11])
    x = leaf([-1.0, 0.0, 0.5, 1.0, 2.0])
    ad.clip(x, 0, 1).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 1, 1, 1, 0])


@pytest.mark.parametrize(("exponent", "slope"), [(0, 0), (1, 1), (2, 0), (3, 0), (0.0, 0)])
def test_powers_of_zero(exponent, slope):
    x = leaf([0.0])
    (x**exponent).sum().backward()
    assert x.grad == slope


def test_exponents():
    x, y = leaf([0.0, 0.0, -2.0, 2.0]), leaf([0.0, 2.0, 2.0, 3.0])
    (x**y).sum().backward()
    np.testing.assert_array_equal(y.grad[:2], [0, 0])
    assert np.isnan(y.grad[2])
    assert y.grad[3] == pytest.approx(8 * np.log(2))
    assert ad.gradient_check(lambda x: x**-2, np.array([0.5, -1.5]))
    assert ad.gradient_check(lambda x: x**3, np.array([0.0, -1.5]))


@pytest.mark.parametrize("axes", [(1, 2, 0), (2, 0, 1), (1, -1, 0), (-1, 0, -2), [0, 2, 1]])
def test_axes_are_put_back(axes):
    x = leaf(np.zeros((2, 3, 4)))
    g = np.random.default_rng(0).standard_normal(np.transpose(x.data, axes).shape)
    ad.transpose(x, axes).backward(g)
    np.testing.assert_array_equal(np.transpose(x.grad, axes), g)


def test_a_product_counts_two_for_each_multiplication():
    with ad.count_flops() as flops:
        (leaf(np.ones((2, 3, 4))) @ leaf(np.ones((4, 5)))).backward(np.ones((2, 3, 5)))
    assert (flops.forward, flops.backward) == (2 * 2 * 3 * 4 * 5, 2 * 2 * 2 * 3 * 4 * 5)


def test_products_of_a_gradient_that_a_sum_has_stretched():
    a, b = leaf(np.ones((30, 20))), leaf(np.ones((20, 10)))
    (a @ b).sum().backward()
    np.testing.assert_array_equal(a.grad, np.full((30, 20), 10.0))
    np.testing.assert_array_equal(b.grad, np.full((20, 10), 30.0))


@pytest.mark.parametrize("function", [ad.sum, ad.exp, lambda a: a * 2.0, lambda a: a @ np.ones((3, 2)), lambda a: a[1:],
                                      lambda a: ad.take(a, np.zeros((0,), int), 1), ad.relu, ad.softmax])  # fmt: skip
def test_empty_arrays(function):
    x = leaf(np.zeros((0, 3)))
    output = function(x)
    output.backward(np.ones(output.shape))
    assert x.grad.shape == (0, 3)


def test_nothing_taken_from_a_table():
    x = leaf(np.ones((4, 3)))
    ad.take(x, np.zeros((2, 0), int)).sum().backward()
    np.testing.assert_array_equal(x.grad, np.zeros((4, 3)))


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda: ad.clip(X, 1, 0), ValueError, "low is 1 and high is 0"),
        (lambda: ad.where([1, 0], 1.0, 2.0), TypeError, "condition has dtype int64"),
        (lambda: ad.take(X, [0.5]), TypeError, "indices have dtype float64"),
        (lambda: ad.take(X, [3]), IndexError, "out of bounds"),
        (lambda: ad.take_along_axis(X, [[0.0]]), TypeError, "indices have dtype float64"),
        (lambda: ad.matmul(Tensor(X), X), ValueError, "matmul"),
        (lambda: ad.reshape(X, (5, 5)), ValueError, "reshape"),
        (lambda: ad.sum(X, 2), ValueError, "axis 2 is out of bounds"),
        (lambda: ad.concatenate([X, X[:, :1]]), ValueError, "match"),
        (lambda: ad.sum("text"), TypeError, "must hold real numbers"),
    ],
)
def test_wrong_input(wrong, error, text):
    with pytest.raises(error, match=text):
        wrong()
