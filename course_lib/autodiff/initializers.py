"""Initial weights: each initializer takes a shape and a generator and gives a float64 array.

A layer that adds up `fan_in` products of unit-variance inputs and weights of variance v has outputs of variance
``fan_in * v``. The initializers differ in which variance they keep: that of the signal on its way forward (fan_in),
that of the gradient on its way back (fan_out), or a compromise.

Shapes are (inputs, outputs) for matrices and (height, width, inputs, outputs) for convolutions.

>>> rng = np.random.default_rng(0)
>>> float(he_normal((1000, 500), rng).std().round(3)), round(math.sqrt(2 / 1000), 3)
(0.045, 0.045)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from course_lib import _check

__all__ = [
    "Initializer", "fans", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "normal",
    "orthogonal", "zeros",
]  # fmt: skip

Initializer = Callable[[Sequence[int], np.random.Generator], np.ndarray]


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Count the connections of one output and of one input.

    Parameters
    ----------
    shape : sequence of int
        (inputs, outputs) or (height, width, inputs, outputs); at least two axes.

    Returns
    -------
    fan_in, fan_out : int

    Raises
    ------
    ValueError
        If there are fewer than two axes.

    Examples
    --------
    >>> fans((784, 256)), fans((3, 3, 16, 32))
    ((784, 256), (144, 288))
    """
    if len(shape) < 2:
        raise ValueError(f"shape is {tuple(shape)}; fans need an axis of inputs and an axis of outputs")
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def zeros(shape: Sequence[int], rng: np.random.Generator | None = None) -> np.ndarray:
    """Give zeros: right for biases; as weights they make all units of a layer equal for ever.

    Parameters
    ----------
    shape : sequence of int
        The shape.
    rng : numpy.random.Generator, optional
        Not used.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> zeros((2,))
    array([0., 0.])
    """
    return np.zeros(shape)


def normal(std: float) -> Initializer:
    """Make an initializer that draws normal numbers of mean 0.

    Parameters
    ----------
    std : float
        The standard deviation, at least 0.

    Returns
    -------
    callable
        ``init(shape, rng)``.

    Raises
    ------
    ValueError
        If `std` is below 0 or not finite.

    Examples
    --------
    >>> normal(0.1)((2, 2), np.random.default_rng(0)).round(3)
    array([[ 0.013, -0.013],
           [ 0.064,  0.01 ]])
    """
    std = _check.non_negative("std", std)
    return lambda shape, rng: std * rng.standard_normal(shape)


def glorot_normal(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw normal weights of variance ``2 / (fan_in + fan_out)``, between what forward and backward need.

    Parameters
    ----------
    shape : sequence of int
        See `fans`.
    rng : numpy.random.Generator
        Where the draws come from.

    Returns
    -------
    ndarray

    References
    ----------
    X. Glorot, Y. Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html

    Examples
    --------
    >>> float(glorot_normal((300, 100), np.random.default_rng(0)).std().round(3))  # sqrt(2 / 400)
    0.071
    """
    fan_in, fan_out = fans(shape)
    return rng.normal(0.0, math.sqrt(2 / (fan_in + fan_out)), shape)


def glorot_uniform(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw uniform weights of variance ``2 / (fan_in + fan_out)``.

    Parameters
    ----------
    shape : sequence of int
        See `fans`.
    rng : numpy.random.Generator
        Where the draws come from.

    Returns
    -------
    ndarray

    References
    ----------
    X. Glorot, Y. Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html

    Examples
    --------
    >>> float(abs(glorot_uniform((300, 100), np.random.default_rng(0))).max().round(3))  # sqrt(6 / 400)
    0.122
    """
    fan_in, fan_out = fans(shape)
    limit = math.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape)


def he_normal(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw normal weights of variance ``2 / fan_in``: for ReLU, which passes half of the mean square on.

    Parameters
    ----------
    shape : sequence of int
        See `fans`.
    rng : numpy.random.Generator
        Where the draws come from.

    Returns
    -------
    ndarray

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, 2015, https://arxiv.org/abs/1502.01852

    Examples
    --------
    >>> float(he_normal((200, 100), np.random.default_rng(0)).std().round(2))  # sqrt(2 / 200)
    0.1
    """
    return rng.normal(0.0, math.sqrt(2 / fans(shape)[0]), shape)


def he_uniform(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw uniform weights of variance ``2 / fan_in``.

    Parameters
    ----------
    shape : sequence of int
        See `fans`.
    rng : numpy.random.Generator
        Where the draws come from.

    Returns
    -------
    ndarray

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, 2015, https://arxiv.org/abs/1502.01852

    Examples
    --------
    >>> float(abs(he_uniform((600, 100), np.random.default_rng(0))).max().round(3))  # sqrt(6 / 600)
    0.1
    """
    limit = math.sqrt(6 / fans(shape)[0])
    return rng.uniform(-limit, limit, shape)


def lecun_normal(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw normal weights of variance ``1 / fan_in``, which keeps the variance through a linear layer.

    Parameters
    ----------
    shape : sequence of int
        See `fans`.
    rng : numpy.random.Generator
        Where the draws come from.

    Returns
    -------
    ndarray

    References
    ----------
    Y. LeCun, L. Bottou, G. Orr, K.-R. Müller, 1998, https://doi.org/10.1007/3-540-49430-8_2

    Examples
    --------
    >>> float(lecun_normal((100, 400), np.random.default_rng(0)).std().round(3))  # sqrt(1 / 100)
    0.1
    """
    return rng.normal(0.0, math.sqrt(1 / fans(shape)[0]), shape)


def orthogonal(gain: float = 1.0) -> Initializer:
    """Make an initializer that draws matrices with orthonormal rows or columns, whichever are fewer, times a gain.

    Parameters
    ----------
    gain : float
        The factor, above 0; the square root of 2 for ReLU.

    Returns
    -------
    callable
        ``init(shape, rng)``; the axes before the last count as one. Uniform among all such matrices.

    Raises
    ------
    ValueError
        If `gain` is not above 0; when called, if the shape has fewer than two axes.

    References
    ----------
    A. Saxe, J. McClelland, S. Ganguli, 2014, https://arxiv.org/abs/1312.6120; the signs, without which the result is
    not uniform: F. Mezzadri, 2007, https://arxiv.org/abs/math-ph/0609050

    Examples
    --------
    >>> q = orthogonal()((4, 3), np.random.default_rng(0))
    >>> np.allclose(q.T @ q, np.eye(3))
    True
    """
    gain = _check.positive("gain", gain)

    def init(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
        fans(shape)
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return gain * (q if rows >= columns else q.T).reshape(shape)

    return init
