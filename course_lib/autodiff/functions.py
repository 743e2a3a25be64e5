"""Functions that networks are made of: softmax and its relatives, GELU, dropout, normalisation, losses.

Each is one entry on the tape, with a derivative worked out by hand: it is exact where a chain of smaller operations
would overflow, and it keeps fewer arrays.

>>> logits = Tensor([[2.0, 0.0], [0.0, 0.0]], requires_grad=True)
>>> softmax_cross_entropy(logits, [0, 1]).backward()
>>> logits.grad.round(3)  # (probabilities - targets) / 2 examples
array([[-0.06,  0.06],
       [ 0.25, -0.25]])
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib import _check
from course_lib.autodiff.operations import Axis, _axis, _pair, add, multiply
from course_lib.autodiff.tensor import Tensor, as_tensor, mode, record

__all__ = [
    "batch_norm", "dropout", "gelu", "layer_norm", "log_softmax", "logsumexp", "mean_squared_error", "softmax",
    "softmax_cross_entropy", "standardize",
]  # fmt: skip


# --- Softmax ----------------------------------------------------------------------------------------------------------


def _shifted_exp(x: np.ndarray, axis: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give a finite shift that leaves no number above 0, and the exponentials after it."""
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)  # minus infinity everywhere: infinity less infinity would be NaN
    with np.errstate(under="ignore"):
        return top, np.exp(x - top)


def softmax(a: Any, axis: Axis = -1) -> Tensor:
    """Turn numbers into probabilities: ``exp(a) / sum(exp(a))`` along an axis.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape. Minus infinity gets probability 0; if a whole row is minus infinity, the result is NaN.
    axis : int or sequence of int
        The axis along which they add up to 1.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> softmax(Tensor([1000.0, 1000.0, -1000.0])).data
    array([0.5, 0.5, 0. ])
    """
    a, axis = as_tensor(a), _axis(axis)
    values = _shifted_exp(a.data, axis)[1]
    values /= np.sum(values, axis=axis, keepdims=True)

    def pullback(g: np.ndarray) -> np.ndarray:
        part = g * values
        return part - values * np.sum(part, axis=axis, keepdims=True)

    return record("softmax", values, ((a, pullback, 4 * a.size),), 5 * a.size)


def log_softmax(a: Any, axis: Axis = -1) -> Tensor:
    """Take the logarithm of `softmax`, without taking that of a probability which has been rounded to 0.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    axis : int or sequence of int
        The axis along which the probabilities add up to 1.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> log_softmax(Tensor([0.0, -1000.0])).data
    array([    0., -1000.])
    """
    a, axis = as_tensor(a), _axis(axis)
    top, powers = _shifted_exp(a.data, axis)
    values = a.data - top - np.log(np.sum(powers, axis=axis, keepdims=True))

    def pullback(g: np.ndarray) -> np.ndarray:
        with np.errstate(under="ignore"):
            return g - np.exp(values) * np.sum(g, axis=axis, keepdims=True)

    return record("log_softmax", values, ((a, pullback, 4 * a.size),), 5 * a.size)


def logsumexp(a: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Take ``log(sum(exp(a)))`` along axes, without overflow.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape. Minus infinity adds nothing; where all numbers are minus infinity, so is the result.
    axis : int or sequence of int, optional
        The axes; all by default.
    keepdims : bool
        Whether these axes stay, with length 1.

    Returns
    -------
    Tensor
        Its gradient is the softmax.

    Examples
    --------
    >>> logsumexp(Tensor([1000.0, 1000.0])).item() == 1000 + math.log(2)
    True
    """
    a, axis = as_tensor(a), _axis(axis)
    x = a.data
    top, powers = _shifted_exp(x, axis)
    total = np.sum(powers, axis=axis, keepdims=True)
    with np.errstate(divide="ignore"):  # all are minus infinity: the log of 0 is right
        values = top + np.log(total)
    if not keepdims:
        values = np.squeeze(values, axis)

    def pullback(g: np.ndarray) -> np.ndarray:
        return _shifted_exp(x, axis)[1] / np.where(total == 0, 1, total) * np.reshape(g, total.shape)

    return record("logsumexp", values, ((a, pullback, 3 * a.size),), 4 * a.size)


# --- GELU -------------------------------------------------------------------------------------------------------------

_SPACING, _ORDER, _LIMIT = 1 / 32, 9, 6  # beyond 6, 1 - erf is below the rounding of 1


@functools.cache
def _erf_table() -> tuple[np.ndarray, ...]:
    """Expand erf around points 1/32 apart: the coefficients of the powers of the distance, one array each.

    Its derivative f(x) = 2 / sqrt(pi) exp(-x^2) obeys f' = -2 x f, from which each coefficient follows from two before.
    """
    c = np.arange(-_LIMIT / _SPACING, _LIMIT / _SPACING + 1) * _SPACING
    slopes = [2 / math.sqrt(math.pi) * np.exp(-c * c)]
    for n in range(_ORDER - 1):
        before = slopes[n - 1] if n else np.zeros_like(c)
        slopes.append(-2 * (c * slopes[n] + before) / (n + 1))
    return (np.array([math.erf(x) for x in c]), *(slope / (n + 1) for n, slope in enumerate(slopes)))


def _erf(x: np.ndarray) -> np.ndarray:
    """Give the error function, which NumPy lacks, to about 1e-16, in float64."""
    table = _erf_table()
    x = np.clip(x.astype(np.float64), -_LIMIT, _LIMIT)
    place = np.where(np.isnan(x), 0, np.rint(x / _SPACING)).astype(np.intp)
    distance, place = x - place * _SPACING, place + len(table[0]) // 2
    result = np.take(table[-1], place)
    for coefficients in table[-2::-1]:
        result *= distance
        result += np.take(coefficients, place)
    return result


def gelu(a: Any) -> Tensor:
    """Multiply every number by the probability that a standard normal one is below it (the exact form, with erf).

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.

    Returns
    -------
    Tensor

    References
    ----------
    D. Hendrycks, K. Gimpel, 2016, https://arxiv.org/abs/1606.08415

    Examples
    --------
    >>> gelu(Tensor([-1.0, 0.0, 1.0])).data.round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    a = as_tensor(a)
    x = a.data if a.data.dtype.kind == "f" else a.data.astype(np.float64)
    below = (0.5 * (1 + _erf(x * math.sqrt(0.5)))).astype(x.dtype)

    def pullback(g: np.ndarray) -> np.ndarray:
        with np.errstate(under="ignore"):
            density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
        return g * (below + x * density)

    return record("gelu", x * below, ((a, pullback, 6 * a.size),), 4 * a.size)


# --- Dropout ----------------------------------------------------------------------------------------------------------


def dropout(a: Any, rate: float, rng: np.random.Generator) -> Tensor:
    """Set numbers to 0 at random and enlarge the others, so that the mean stays.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    rate : float
        The probability of a 0, at least 0 and below 1. The others are multiplied by ``1 / (1 - rate)``.
    rng : numpy.random.Generator
        Where the draws come from. Inside `checkpoint` the same ones come again when the part is recomputed.

    Returns
    -------
    Tensor

    Raises
    ------
    TypeError
        If `rng` is no generator.
    ValueError
        If `rate` is not in [0, 1).

    References
    ----------
    N. Srivastava and others, 2014, https://jmlr.org/papers/v15/srivastava14a.html

    Examples
    --------
    >>> dropout(Tensor(np.ones(8)), 0.5, np.random.default_rng(0)).data
    array([2., 0., 0., 0., 2., 2., 2., 2.])
    """
    rate = _check.fraction("rate", rate)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {rng!r}; it must be a numpy.random.Generator")
    a = as_tensor(a)
    if rate == 0:
        return a
    for noted in mode.draws:
        if rng not in noted:
            noted[rng] = rng.bit_generator.state
    kept = rng.random(a.shape) >= rate
    scale = 1 / (1 - rate)

    def thin(values: np.ndarray) -> np.ndarray:
        return np.where(kept, values * scale, 0)

    return record("dropout", thin(a.data), ((a, thin),), 2 * a.size)


# --- Normalisation ----------------------------------------------------------------------------------------------------


def standardize(a: Any, axis: Axis = -1, eps: float = 1e-5) -> Tensor:
    """Subtract the mean along axes and divide by ``sqrt(variance + eps)``.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    axis : int or sequence of int, optional
        The axes over which mean and variance are taken; None for all.
    eps : float
        Added to the variance, above 0.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If `eps` is not above 0.

    Examples
    --------
    >>> standardize(Tensor([1.0, 2.0, 3.0])).data.round(3)
    array([-1.225,  0.   ,  1.225])
    """
    return _standardize(as_tensor(a), _axis(axis), _check.positive("eps", eps))[0]


def _standardize(a: Tensor, axis: Any, eps: float) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Give mean and variance too, for those who keep running ones."""
    x = a.data
    center = np.mean(x, axis=axis, keepdims=True)
    values = x - center
    spread = np.mean(values * values, axis=axis, keepdims=True)
    inverse = 1 / np.sqrt(spread + eps)
    values = values * inverse

    def pullback(g: np.ndarray) -> np.ndarray:
        # Mean and variance move with each number: two parts of the gradient drop out, along 1 and along the values.
        along = np.mean(g * values, axis=axis, keepdims=True)
        return (g - np.mean(g, axis=axis, keepdims=True) - values * along) * inverse

    return record("standardize", values, ((a, pullback, 7 * a.size),), 5 * a.size), center, spread


def layer_norm(a: Any, scale: Any = None, shift: Any = None, eps: float = 1e-5) -> Tensor:
    """Standardise every example over its last axis, then scale and shift.

    Parameters
    ----------
    a : Tensor or array_like, shape (..., features)
        The examples.
    scale, shift : Tensor or array_like, shape (features,), optional
        Left out: 1 and 0.
    eps : float
        Added to the variance, above 0.

    Returns
    -------
    Tensor, shape (..., features)

    Raises
    ------
    ValueError
        If `eps` is not above 0.

    References
    ----------
    J. Ba, J. Kiros, G. Hinton, 2016, https://arxiv.org/abs/1607.06450

    Examples
    --------
    >>> layer_norm(Tensor([[1.0, 3.0], [10.0, 30.0]]), shift=[5.0, 5.0]).data.round(3)
    array([[4., 6.],
           [4., 6.]])
    """
    return _scale_and_shift(standardize(a, -1, eps), scale, shift)


def batch_norm(a: Any, scale: Any = None, shift: Any = None, eps: float = 1e-5) -> Tensor:
    """Standardise every feature over the batch (and over places in images), then scale and shift: the training form.

    Parameters
    ----------
    a : Tensor or array_like, shape (batch, ..., features)
        At least two axes.
    scale, shift : Tensor or array_like, shape (features,), optional
        Left out: 1 and 0.
    eps : float
        Added to the variance (that of the batch, not an estimate), above 0.

    Returns
    -------
    Tensor, shape (batch, ..., features)

    Raises
    ------
    ValueError
        If there is no batch axis, or `eps` is not above 0.

    References
    ----------
    S. Ioffe, C. Szegedy, 2015, https://arxiv.org/abs/1502.03167

    Examples
    --------
    >>> batch_norm(Tensor([[1.0, 3.0], [10.0, 30.0]])).data.round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    """
    a = as_tensor(a)
    return _scale_and_shift(standardize(a, _batch_axes(a), eps), scale, shift)


def _batch_axes(a: Tensor) -> tuple[int, ...]:
    if a.ndim < 2:
        raise ValueError(f"a has shape {a.shape}; it must have a batch axis and a feature axis")
    return tuple(range(a.ndim - 1))


def _scale_and_shift(a: Tensor, scale: Any, shift: Any) -> Tensor:
    a = a if scale is None else multiply(a, scale)
    return a if shift is None else add(a, shift)


# --- Losses -----------------------------------------------------------------------------------------------------------


def mean_squared_error(prediction: Any, target: Any) -> Tensor:
    """Take the mean of the squared differences.

    Parameters
    ----------
    prediction, target : Tensor or array_like
        Of one shape, so that a column against a row is not broadcast by accident.

    Returns
    -------
    Tensor, shape ()

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> mean_squared_error(Tensor([1.0, 2.0]), [0.0, 0.0]).item()
    2.5
    """
    prediction, target = _pair(prediction, target)
    if prediction.shape != target.shape:
        raise ValueError(f"prediction has shape {prediction.shape} and target {target.shape}; they must be equal")
    difference = prediction.data - target.data
    n = difference.size

    def slope(sign: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda g: difference * (g * (sign * 2 / n))

    values = np.mean(difference * difference)
    return record("mean_squared_error", values, ((prediction, slope(1), n), (target, slope(-1), n)), 3 * n)


def softmax_cross_entropy(logits: Any, labels: Any, reduction: str = "mean") -> Tensor:
    """Take minus the logarithm of the probability that a softmax gives to the right class.

    Parameters
    ----------
    logits : Tensor or array_like, shape (..., classes)
        Scores before the softmax.
    labels : array_like of int, shape (...), or of float, shape (..., classes)
        The right classes, from 0; or a probability for each class. They are constants.
    reduction : {"mean", "sum", "none"}
        What becomes of the examples' losses. The mean is over all examples.

    Returns
    -------
    Tensor, shape () or (...)

    Raises
    ------
    ValueError
        If the shapes do not fit, a class is out of range, or `labels` requires a gradient.

    Examples
    --------
    >>> softmax_cross_entropy(Tensor([[0.0, 0.0], [1000.0, 0.0]]), [0, 0]).item() == math.log(2) / 2
    True
    >>> softmax_cross_entropy([[0.0, 0.0]], [[0.5, 0.5]], "none").data.round(4)
    array([0.6931])
    """
    _check.choice("reduction", reduction, ("mean", "sum", "none"))
    if isinstance(labels, Tensor):
        if labels.requires_grad:
            raise ValueError("labels require a gradient, but they are constants here: give labels.detach()")
        labels = labels.data
    logits, labels = as_tensor(logits), np.asarray(labels)
    x = logits.data
    top, powers = _shifted_exp(x, -1)
    total = np.sum(powers, axis=-1, keepdims=True)
    log_total = np.log(total) + top
    targets, hard = _targets(x, labels)
    if hard:
        losses = (log_total - np.take_along_axis(x, targets, -1))[..., 0]
    else:
        # A class of weight 0 counts for nothing, though its logit may be minus infinity.
        losses = np.sum(targets * np.where(targets == 0, 0, log_total - x), axis=-1)
    weight = 1 / losses.size if reduction == "mean" and losses.size else 1
    probabilities = powers
    probabilities /= total

    def pullback(g: np.ndarray) -> np.ndarray:
        g = g * weight if reduction != "none" else g[..., None]
        if not hard:
            return (probabilities * np.sum(targets, axis=-1, keepdims=True) - targets) * g
        slopes = probabilities * g
        np.put_along_axis(slopes, targets, np.take_along_axis(slopes, targets, -1) - g, -1)
        return slopes

    values = losses if reduction == "none" else np.mean(losses) if reduction == "mean" else np.sum(losses)
    return record("softmax_cross_entropy", values, ((logits, pullback, 2 * x.size),), 5 * x.size)


def _targets(x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, bool]:
    """Give the right classes as indices along the last axis and True, or probabilities and False."""
    if labels.dtype.kind == "f" and labels.shape == x.shape:
        return labels.astype(x.dtype, copy=False), False
    if labels.dtype.kind not in "iu" or labels.shape != x.shape[:-1]:
        raise ValueError(
            f"labels have shape {labels.shape} and dtype {labels.dtype}; for logits of shape {x.shape} they must be "
            f"whole numbers of shape {x.shape[:-1]} or floating-point numbers of shape {x.shape}"
        )
    classes = x.shape[-1]
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        wrong = labels[(labels < 0) | (labels >= classes)].flat[0]
        raise ValueError(f"labels hold {wrong}; with {classes} classes they must be from 0 to {classes - 1}")
    return labels[..., None].astype(np.intp, copy=False), True
