"""Convolution and pooling against loops written out; the rest is in test_gradients and test_against_keras."""

import itertools

import numpy as np
import pytest

from course_lib import autodiff as ad
from course_lib.autodiff import Tensor

EVERY = list(itertools.product([1, 2, (2, 3)], ["valid", "same"], [(1, 1), (2, 2), (3, 2)]))


def places(n, k, s, padding):
    """For each place, which rows of the image the kernel's rows lie on; those outside are left out."""
    if padding == "valid":
        return [[(i * s + d, d) for d in range(k)] for i in range((n - k) // s + 1)]
    count = -(-n // s)
    begin = -(max((count - 1) * s + k - n, 0) // 2)
    return [[(begin + i * s + d, d) for d in range(k) if 0 <= begin + i * s + d < n] for i in range(count)]


def windows(x, size, stride, padding):
    down, across = (stride, stride) if isinstance(stride, int) else stride
    rows, columns = places(x.shape[1], size[0], down, padding), places(x.shape[2], size[1], across, padding)
    for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
        yield i, j, list(itertools.product(row, column))


def output_shape(x, size, stride, padding):
    *_, (i, j, _) = windows(x, size, stride, padding)
    return x.shape[0], i + 1, j + 1


@pytest.mark.parametrize(("stride", "padding", "size"), EVERY)
def test_convolution_by_loops(stride, padding, size):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 6, 5, 3)), rng.standard_normal((*size, 3, 4))
    want = np.zeros((*output_shape(x, size, stride, padding), 4))
    for i, j, window in windows(x, size, stride, padding):
        for (row, a), (column, b) in window:
            want[:, i, j] += x[:, row, column] @ w[a, b]
    np.testing.assert_allclose(ad.conv2d(x, w, stride, padding).data, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("stride", "padding", "size"), EVERY)
def test_pooling_by_loops(stride, padding, size):
    x = np.random.default_rng(0).standard_normal((2, 6, 5, 3)) - 5  # all below 0: a padding of 0 would win
    largest, average = (np.zeros((*output_shape(x, size, stride, padding), 3)) for _ in range(2))
    for i, j, window in windows(x, size, stride, padding):
        numbers = np.stack([x[:, row, column] for (row, _), (column, _) in window])
        largest[:, i, j], average[:, i, j] = numbers.max(0), numbers.mean(0)
    np.testing.assert_array_equal(ad.max_pool2d(x, size, stride, padding).data, largest)
    np.testing.assert_allclose(ad.average_pool2d(x, size, stride, padding).data, average, rtol=1e-12)


def test_the_first_of_several_largest_gets_the_gradient():
    x = Tensor(np.array([[1.0, 3.0], [3.0, 3.0]]).reshape(1, 2, 2, 1), requires_grad=True)
    ad.max_pool2d(x).sum().backward()
    np.testing.assert_array_equal(x.grad[0, :, :, 0], [[0, 1], [0, 0]])


def test_windows_that_overlap_add_up():
    x = Tensor(np.arange(9.0).reshape(1, 3, 3, 1), requires_grad=True)
    ad.max_pool2d(x, 2, 1).sum().backward()
    np.testing.assert_array_equal(x.grad[0, :, :, 0], [[0, 0, 0], [0, 1, 1], [0, 1, 1]])
    x.grad = None
    ad.average_pool2d(x, 2, 1).sum().backward()
    np.testing.assert_array_equal(x.grad[0, :, :, 0], [[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]])


def test_the_tape_keeps_the_image_and_not_its_patches():
    x, w = Tensor(np.ones((1, 20, 20, 2)), requires_grad=True), Tensor(np.ones((5, 5, 2, 3)), requires_grad=True)
    assert ad.tape_bytes(ad.conv2d(x * 1.0, w)) == x.data.nbytes + 8  # and the factor
    with ad.count_flops() as flops:
        ad.conv2d(x, w).sum().backward()
    assert flops.by_operation["conv2d"] == [2 * 16 * 16 * 3 * 50, 4 * 16 * 16 * 3 * 50]


def test_whole_numbers_are_pooled():
    x = np.arange(16).reshape(1, 4, 4, 1)
    assert ad.max_pool2d(x, 3, 2, "same").data.dtype == x.dtype
    np.testing.assert_array_equal(ad.max_pool2d(-x).data[0, :, :, 0], [[0, -2], [-8, -10]])
    assert ad.average_pool2d(x).data[0, 0, 0, 0] == 2.5


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda: ad.conv2d(np.ones((5, 5, 1)), np.ones((3, 3, 1, 1))), ValueError, r"images have shape \(5, 5, 1\)"),
        (lambda: ad.conv2d(np.ones((1, 5, 5, 2)), np.ones((3, 3, 1, 1))), ValueError, "with equal inputs"),
        (lambda: ad.conv2d(np.ones((1, 2, 5, 1)), np.ones((3, 3, 1, 1))), ValueError, "a window of 3 x 3 is larger"),
        (lambda: ad.conv2d(np.ones((1, 5, 5, 1)), np.ones((3, 3, 1, 1)), 0), ValueError, "stride is 0"),
        (lambda: ad.conv2d(np.ones((1, 5, 5, 1)), np.ones((3, 3, 1, 1)), 1.5), TypeError, "stride is 1.5"),
        (lambda: ad.conv2d(np.ones((1, 5, 5, 1)), np.ones((3, 3, 1, 1)), (1, 1, 1)), ValueError, "or a pair"),
        (lambda: ad.conv2d(np.ones((1, 5, 5, 1)), np.ones((3, 3, 1, 1)), 1, "full"), ValueError, "padding is 'full'"),
        (lambda: ad.max_pool2d(np.ones((5, 5))), ValueError, r"images have shape \(5, 5\)"),
        (lambda: ad.average_pool2d(np.ones((1, 1, 5, 1))), ValueError, 'use padding="same"'),
    ],
)
def test_wrong_input(wrong, error, text):
    with pytest.raises(error, match=text):
        wrong()
