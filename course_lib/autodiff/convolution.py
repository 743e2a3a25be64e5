"""Convolution and pooling of images, in the layout (batch, height, width, channels).

A convolution is a matrix product: lay the patch of the image under each place of the kernel out as a row, then multiply
the rows by the kernel as a matrix. The tape keeps the image, not the rows, which would take height times width of the
kernel as much memory; the backward pass lays them out again.

>>> image = Tensor(np.arange(9.0).reshape(1, 3, 3, 1))
>>> conv2d(image, np.ones((2, 2, 1, 1))).data[0, :, :, 0]
array([[ 8., 12.],
       [20., 24.]])
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from course_lib import _check
from course_lib.autodiff.operations import _pair
from course_lib.autodiff.tensor import Tensor, as_tensor, record

__all__ = ["average_pool2d", "conv2d", "max_pool2d"]

Pair = tuple[int, int]


def conv2d(images: Any, kernel: Any, stride: int | Sequence[int] = 1, padding: str = "valid") -> Tensor:
    """Slide a kernel over images: the cross-correlation that networks call convolution.

    Parameters
    ----------
    images : Tensor or array_like, shape (batch, height, width, inputs)
        The images.
    kernel : Tensor or array_like, shape (rows, columns, inputs, outputs)
        The weights.
    stride : int or pair of int
        How far the kernel moves, downwards and to the right.
    padding : {"valid", "same"}
        ``"valid"``: the kernel stays inside the image. ``"same"``: zeros are put around it so that there are
        ``ceil(height / stride)`` rows of places, the odd one below and to the right, as TensorFlow does it.

    Returns
    -------
    Tensor, shape (batch, places down, places across, outputs)

    Raises
    ------
    TypeError
        If a stride is not a whole number.
    ValueError
        If the shapes do not fit, the kernel is larger than the image, or an option is not one of those above.

    References
    ----------
    V. Dumoulin, F. Visin, 2016, https://arxiv.org/abs/1603.07285

    Examples
    --------
    >>> conv2d(np.zeros((2, 8, 8, 3)), Tensor(np.zeros((3, 3, 3, 16))), stride=2, padding="same").shape
    (2, 4, 4, 16)
    """
    images, kernel = _pair(images, kernel)
    x, w = images.data, kernel.data
    if x.ndim != 4 or w.ndim != 4 or x.shape[3] != w.shape[2]:
        raise ValueError(
            f"images have shape {x.shape} and the kernel {w.shape}; they must be (batch, height, width, inputs) and "
            "(rows, columns, inputs, outputs) with equal inputs"
        )
    size, stride = w.shape[:2], _two("stride", stride)
    edges = _padding(x.shape, size, stride, padding)
    matrix = w.reshape(-1, w.shape[3])
    rows = _patches(x, size, stride, edges)
    places = rows.shape[:3]
    values = (rows.reshape(-1, matrix.shape[0]) @ matrix).reshape(*places, -1)

    def to_images(g: np.ndarray) -> np.ndarray:
        parts = (g.reshape(-1, matrix.shape[1]) @ matrix.T).reshape(*places, *size, -1)
        padded = np.zeros(_padded_shape(x_shape, edges), g.dtype)
        for i, j, window in _windows(padded, size, stride, places[1:]):
            window += parts[:, :, :, i, j]
        return _unpad(padded, edges)

    def to_kernel(g: np.ndarray) -> np.ndarray:
        again = _patches(x, size, stride, edges).reshape(-1, w_shape[0] * w_shape[1] * w_shape[2])
        return (again.T @ g.reshape(-1, w_shape[3])).reshape(w_shape)

    x_shape, w_shape = x.shape, w.shape
    return record("conv2d", values, ((images, to_images), (kernel, to_kernel)), 2 * values.size * matrix.shape[0])


def max_pool2d(
    images: Any, size: int | Sequence[int] = 2, stride: int | Sequence[int] | None = None, padding: str = "valid"
) -> Tensor:
    """Take the largest number of each window and channel; of several, the first gets the gradient.

    Parameters
    ----------
    images : Tensor or array_like, shape (batch, height, width, channels)
        The images.
    size : int or pair of int
        Rows and columns of a window.
    stride : int or pair of int, optional
        How far it moves; by default by its size.
    padding : {"valid", "same"}
        As in `conv2d`; what is put around the image is smaller than any number.

    Returns
    -------
    Tensor, shape (batch, places down, places across, channels)

    Raises
    ------
    TypeError
        If a size or stride is not a whole number.
    ValueError
        If `images` is not of four axes, the window is larger than the image, or `padding` is another word.

    Examples
    --------
    >>> max_pool2d(np.arange(16.0).reshape(1, 4, 4, 1)).data[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    images, window_size, steps, edges, places = _pooling(images, size, stride, padding)
    x = images.data
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    padded = _pad(x, edges, lowest)
    values = np.full((x.shape[0], *places, x.shape[3]), lowest, x.dtype)
    for _, _, window in _windows(padded, window_size, steps, places):
        np.maximum(values, window, out=values)

    def pullback(g: np.ndarray) -> np.ndarray:
        padded = _pad(x, edges, lowest)
        result = np.zeros(padded.shape, g.dtype)
        waiting = np.ones(values.shape, bool)
        windows = _windows(padded, window_size, steps, places)
        for (_, _, window), (_, _, slopes) in zip(windows, _windows(result, window_size, steps, places), strict=True):
            found = waiting & (window == values)
            slopes += np.where(found, g, 0)
            waiting &= ~found
        return _unpad(result, edges)

    return record("max_pool2d", values, ((images, pullback),), values.size * math.prod(window_size))


def average_pool2d(
    images: Any, size: int | Sequence[int] = 2, stride: int | Sequence[int] | None = None, padding: str = "valid"
) -> Tensor:
    """Take the mean of each window and channel, over those of its places that lie in the image.

    Parameters
    ----------
    images : Tensor or array_like, shape (batch, height, width, channels)
        The images.
    size : int or pair of int
        Rows and columns of a window.
    stride : int or pair of int, optional
        How far it moves; by default by its size.
    padding : {"valid", "same"}
        As in `conv2d`; what is put around the image does not count.

    Returns
    -------
    Tensor, shape (batch, places down, places across, channels)

    Raises
    ------
    TypeError
        If a size or stride is not a whole number.
    ValueError
        If `images` is not of four axes, the window is larger than the image, or `padding` is another word.

    Examples
    --------
    >>> average_pool2d(np.arange(16.0).reshape(1, 4, 4, 1)).data[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    images, window_size, steps, edges, places = _pooling(images, size, stride, padding)
    shape, dtype = images.shape, images.dtype if images.dtype.kind == "f" else np.dtype(np.float64)
    padded = _pad(images.data, edges, 0)
    inside = _pad(np.ones((1, *shape[1:3], 1), dtype), edges, 0)
    values = np.zeros((shape[0], *places, shape[3]), dtype)
    counts = np.zeros((1, *places, 1), dtype)
    for total, source in ((values, padded), (counts, inside)):
        for _, _, window in _windows(source, window_size, steps, places):
            total += window
    values /= counts

    def pullback(g: np.ndarray) -> np.ndarray:
        result = np.zeros(_padded_shape(shape, edges), g.dtype)
        part = g / counts
        for _, _, slopes in _windows(result, window_size, steps, places):
            slopes += part
        return _unpad(result, edges)

    return record("average_pool2d", values, ((images, pullback),), values.size * math.prod(window_size))


# --- Windows and what is around the image ----------------------------------------------------------------------------


def _two(name: str, value: Any) -> Pair:
    values = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(values) != 2:
        raise ValueError(f"{name} is {value!r}; it must be a whole number or a pair of them")
    return _check.count(name, values[0]), _check.count(name, values[1])


def _pooling(images: Any, size: Any, stride: Any, padding: str) -> tuple[Any, ...]:
    images, size = as_tensor(images), _two("size", size)
    stride = size if stride is None else _two("stride", stride)
    if images.ndim != 4:
        raise ValueError(f"images have shape {images.shape}; it must be (batch, height, width, channels)")
    edges = _padding(images.shape, size, stride, padding)
    _, height, width, _ = _padded_shape(images.shape, edges)
    return images, size, stride, edges, ((height - size[0]) // stride[0] + 1, (width - size[1]) // stride[1] + 1)


def _padding(shape: tuple[int, ...], size: Pair, stride: Pair, padding: str) -> tuple[Pair, Pair]:
    """Say how many rows to put above and below, and how many columns to the left and to the right."""
    _check.choice("padding", padding, ("valid", "same"))
    if padding == "same":
        missing = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(shape[1:3], size, stride, strict=True)]
        return (missing[0] // 2, missing[0] - missing[0] // 2), (missing[1] // 2, missing[1] - missing[1] // 2)
    if size[0] > shape[1] or size[1] > shape[2]:
        raise ValueError(f"a window of {size[0]} x {size[1]} is larger than images of {shape[1]} x {shape[2]}; "
                         'use padding="same"')  # fmt: skip
    return (0, 0), (0, 0)


def _padded_shape(shape: tuple[int, ...], edges: tuple[Pair, Pair]) -> tuple[int, ...]:
    return shape[0], shape[1] + sum(edges[0]), shape[2] + sum(edges[1]), shape[3]


def _pad(x: np.ndarray, edges: tuple[Pair, Pair], value: float) -> np.ndarray:
    if not any(map(any, edges)):
        return x
    result = np.full(_padded_shape(x.shape, edges), value, x.dtype)
    _unpad(result, edges)[...] = x
    return result


def _unpad(x: np.ndarray, edges: tuple[Pair, Pair]) -> np.ndarray:
    (above, below), (left, right) = edges
    return x[:, above : x.shape[1] - below, left : x.shape[2] - right]


def _patches(x: np.ndarray, size: Pair, stride: Pair, edges: tuple[Pair, Pair]) -> np.ndarray:
    """Show what the kernel covers at each place: a view, shape (batch, down, across, rows, columns, inputs)."""
    windows = np.lib.stride_tricks.sliding_window_view(_pad(x, edges, 0), size, (1, 2))
    return windows[:, :: stride[0], :: stride[1]].transpose(0, 1, 2, 4, 5, 3)


def _windows(x: np.ndarray, size: Pair, stride: Pair, places: Pair) -> Iterator[tuple[int, int, np.ndarray]]:
    """Walk over the places in a window; for each, view the numbers that lie there in all windows."""
    (down, across), (n, m) = stride, places
    for i in range(size[0]):
        for j in range(size[1]):
            yield i, j, x[:, i : i + (n - 1) * down + 1 : down, j : j + (m - 1) * across + 1 : across]
