"""Operations on tensors: elementwise, matrix products, reductions, shapes and indexing.

Each computes its values with NumPy and hands `record` one pullback per input. Arrays and numbers may stand in place of
tensors; they are constants. Broadcasting is NumPy's, and the backward pass sums over what it stretched.

Where a function has no derivative, the convention is said at the operation. Numbers follow NumPy: an overflow or a
division by 0 warns as there, forward and backward, and gives an infinity or a NaN, which travels on.

>>> x = Tensor([1.0, 2.0, 4.0], requires_grad=True)
>>> log(x).sum().backward()
>>> x.grad
array([1.  , 0.5 , 0.25])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from course_lib.autodiff.tensor import Tensor, as_tensor, record

__all__ = [
    "absolute", "add", "broadcast_to", "clip", "concatenate", "divide", "exp", "getitem", "log", "matmul", "max",
    "maximum", "mean", "min", "minimum", "multiply", "negative", "power", "relu", "reshape", "sigmoid", "sqrt", "stack",
    "subtract", "sum", "take", "take_along_axis", "tanh", "transpose", "variance", "where",
]  # fmt: skip

Axis = int | Sequence[int] | None


def _pair(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    if isinstance(a, Tensor):
        return a, b if isinstance(b, Tensor) else as_tensor(b, a)
    b = as_tensor(b)
    return as_tensor(a, b), b


# --- Arithmetic -------------------------------------------------------------------------------------------------------


def add(a: Any, b: Any) -> Tensor:
    """Add, elementwise with broadcasting: ``a + b``.

    Parameters
    ----------
    a, b : Tensor or array_like
        Shapes that broadcast.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> add(Tensor([1.0, 2.0]), 1.0).data
    array([2., 3.])
    """
    a, b = _pair(a, b)
    values = a.data + b.data
    return record("add", values, ((a, lambda g: g, 0), (b, lambda g: g, 0)), values.size)


def subtract(a: Any, b: Any) -> Tensor:
    """Subtract, elementwise with broadcasting: ``a - b``.

    Parameters
    ----------
    a, b : Tensor or array_like
        Shapes that broadcast.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> subtract(Tensor([1.0, 2.0]), 1.0).data
    array([0., 1.])
    """
    a, b = _pair(a, b)
    values = a.data - b.data
    return record("subtract", values, ((a, lambda g: g, 0), (b, np.negative)), values.size)


def multiply(a: Any, b: Any) -> Tensor:
    """Multiply, elementwise with broadcasting: ``a * b``.

    Parameters
    ----------
    a, b : Tensor or array_like
        Shapes that broadcast.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> multiply(Tensor([1.0, 2.0]), Tensor([3.0, 4.0])).data
    array([3., 8.])
    """
    a, b = _pair(a, b)
    x, y = a.data, b.data
    values = x * y
    return record("multiply", values, ((a, lambda g: g * y), (b, lambda g: g * x)), values.size)


def divide(a: Any, b: Any) -> Tensor:
    """Divide, elementwise with broadcasting: ``a / b``.

    Parameters
    ----------
    a, b : Tensor or array_like
        Shapes that broadcast.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> divide(Tensor([1.0, 2.0]), 4.0).data
    array([0.25, 0.5 ])
    """
    a, b = _pair(a, b)
    y = b.data
    values = a.data / y
    return record("divide", values, ((a, lambda g: g / y), (b, lambda g: -g * values / y)), values.size)


def power(a: Any, b: Any) -> Tensor:
    """Raise to a power, elementwise with broadcasting: ``a ** b``.

    Parameters
    ----------
    a, b : Tensor or array_like
        Base and exponent.

    Returns
    -------
    Tensor

    Notes
    -----
    At base 0: a power of exponent 0 is 1 there and has slope 0; the derivative with respect to an exponent of at least
    0 is 0. A negative base has no derivative with respect to the exponent: NaN.

    Examples
    --------
    >>> power(Tensor([1.0, 3.0]), 2).data
    array([1., 9.])
    """
    a, b = _pair(a, b)
    x, y = a.data, b.data
    values = np.asarray(x**y)

    def to_base(g: np.ndarray) -> np.ndarray:
        # Without the guard, 0 * 0**-1 would be NaN.
        return np.where(y == 0, 0, g * y * x ** np.where(y == 0, np.ones_like(y), y - 1))

    def to_exponent(g: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where((x == 0) & (y >= 0), 0, g * values * np.log(x))

    return record("power", values, ((a, to_base), (b, to_exponent)), values.size)


def negative(a: Any) -> Tensor:
    """Change the sign: ``-a``.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> negative(Tensor([1.0, -2.0])).data
    array([-1.,  2.])
    """
    a = as_tensor(a)
    return record("negative", -a.data, ((a, np.negative),), a.size)


# --- Functions of one number ------------------------------------------------------------------------------------------


def exp(a: Any) -> Tensor:
    """Take e to the power of every number.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> exp(Tensor([0.0, 1.0])).data.round(4)
    array([1.    , 2.7183])
    """
    a = as_tensor(a)
    values = np.exp(a.data)
    return record("exp", values, ((a, lambda g: g * values),), a.size)


def log(a: Any) -> Tensor:
    """Take the natural logarithm of every number.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape, above 0; at 0 the value is minus infinity, below NaN, with NumPy's warning.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> log(Tensor([1.0, 10.0])).data.round(4)
    array([0.    , 2.3026])
    """
    a = as_tensor(a)
    x = a.data
    return record("log", np.log(x), ((a, lambda g: g / x),), a.size)


def sqrt(a: Any) -> Tensor:
    """Take the square root of every number.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape, at least 0. The slope at 0 is infinite.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> sqrt(Tensor([4.0, 9.0])).data
    array([2., 3.])
    """
    a = as_tensor(a)
    values = np.sqrt(a.data)
    return record("sqrt", values, ((a, lambda g: g / (2 * values)),), a.size)


def absolute(a: Any) -> Tensor:
    """Take the absolute value of every number; the slope at 0 is taken as 0.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> absolute(Tensor([-2.0, 3.0])).data
    array([2., 3.])
    """
    a = as_tensor(a)
    x = a.data
    return record("absolute", np.abs(x), ((a, lambda g: g * np.sign(x)),), a.size)


def tanh(a: Any) -> Tensor:
    """Take the hyperbolic tangent of every number.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> tanh(Tensor([0.0, 1.0])).data.round(4)
    array([0.    , 0.7616])
    """
    a = as_tensor(a)
    values = np.tanh(a.data)
    return record("tanh", values, ((a, lambda g: g * (1 - values * values)),), a.size)


def sigmoid(a: Any) -> Tensor:
    """Take the logistic function ``1 / (1 + exp(-a))`` of every number, without overflow.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> sigmoid(Tensor([-1000.0, 0.0, 1000.0])).data
    array([0. , 0.5, 1. ])
    """
    a = as_tensor(a)
    with np.errstate(under="ignore"):
        small = np.exp(-np.abs(a.data))  # at most 1
    values = np.where(a.data >= 0, 1, small) / (1 + small)
    return record("sigmoid", values, ((a, lambda g: g * (values * (1 - values))),), a.size)


def relu(a: Any) -> Tensor:
    """Replace negative numbers by 0; the slope at 0 is taken as 0, as in PyTorch and JAX.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape. A NaN stays one.

    Returns
    -------
    Tensor

    References
    ----------
    V. Nair, G. Hinton, 2010, https://icml.cc/Conferences/2010/papers/432.pdf

    Examples
    --------
    >>> relu(Tensor([-2.0, 3.0])).data
    array([0., 3.])
    """
    a = as_tensor(a)
    values = np.maximum(a.data, 0)
    # The mask is made anew from the values, which the next matrix product keeps anyway.
    return record("relu", values, ((a, lambda g: np.where(values <= 0, 0, g)),), a.size)


def clip(a: Any, low: float, high: float) -> Tensor:
    """Move numbers below `low` up to it, and those above `high` down to it.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    low, high : float
        The bounds, ``low <= high``. The slope is 1 between them and at them, as in PyTorch, and 0 outside.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If `low` is above `high`.

    Examples
    --------
    >>> clip(Tensor([-2.0, 0.5, 3.0]), 0, 1).data
    array([0. , 0.5, 1. ])
    """
    if not low <= high:
        raise ValueError(f"low is {low!r} and high is {high!r}; low must be at most high")
    a = as_tensor(a)
    x = a.data
    inside = (low <= x) & (x <= high)
    return record("clip", np.clip(x, low, high), ((a, lambda g: np.where(inside, g, 0)),), a.size)


# --- Choices ----------------------------------------------------------------------------------------------------------


def maximum(a: Any, b: Any) -> Tensor:
    """Take the larger of two numbers, elementwise with broadcasting; at a tie each gets half of the gradient.

    Parameters
    ----------
    a, b : Tensor or array_like
        Shapes that broadcast. A NaN wins.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> maximum(Tensor([1.0, 5.0]), Tensor([3.0, 4.0])).data
    array([3., 5.])
    """
    return _larger("maximum", a, b, np.maximum)


def minimum(a: Any, b: Any) -> Tensor:
    """Take the smaller of two numbers, elementwise with broadcasting; at a tie each gets half of the gradient.

    Parameters
    ----------
    a, b : Tensor or array_like
        Shapes that broadcast. A NaN wins.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> minimum(Tensor([1.0, 5.0]), Tensor([3.0, 4.0])).data
    array([1., 4.])
    """
    return _larger("minimum", a, b, np.minimum)


def _larger(name: str, a: Any, b: Any, choose: Callable[..., Any]) -> Tensor:
    a, b = _pair(a, b)
    x, y = a.data, b.data
    values = np.asarray(choose(x, y))

    def share(mine: np.ndarray, other: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda g: np.where(mine == other, g / 2, np.where(mine == values, g, 0))

    return record(name, values, ((a, share(x, y)), (b, share(y, x))), values.size)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """Take numbers of `a` where a condition holds, of `b` elsewhere.

    Parameters
    ----------
    condition : array_like of bool
        It has no gradient.
    a, b : Tensor or array_like
        Shapes that broadcast with the condition's.

    Returns
    -------
    Tensor

    Notes
    -----
    The branch that is not taken gets a gradient of exactly 0, also where the other numbers or gradients are NaN or
    infinite. The 0 then goes on into what computed that branch, and 0 times an infinite slope is NaN: write
    ``where(x > 0, sqrt(where(x > 0, x, 1.0)), 0.0)`` rather than ``where(x > 0, sqrt(x), 0.0)``.

    Examples
    --------
    >>> where([True, False], Tensor([1.0, 2.0]), 0.0).data
    array([1., 0.])
    """
    chosen = condition.data if isinstance(condition, Tensor) else np.asarray(condition)
    if chosen.dtype != bool:
        raise TypeError(f"condition has dtype {chosen.dtype}; it must be of bool")
    a, b = _pair(a, b)
    values = np.where(chosen, a.data, b.data)
    edges = ((a, lambda g: np.where(chosen, g, 0)), (b, lambda g: np.where(chosen, 0, g)))
    return record("where", values, edges, values.size)


# --- Matrix products --------------------------------------------------------------------------------------------------


def matmul(a: Any, b: Any) -> Tensor:
    """Multiply matrices: ``a @ b``, as `numpy.matmul` does it.

    Parameters
    ----------
    a : Tensor or array_like, shape (..., m, k) or (k,)
        The left factor.
    b : Tensor or array_like, shape (..., k, n) or (k,)
        The right factor. The axes before the last two broadcast.

    Returns
    -------
    Tensor, shape (..., m, n)
        Without m or n where that factor is a vector.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> matmul(Tensor([[1.0, 2.0]]), Tensor([3.0, 4.0])).data
    array([11.])
    """
    a, b = _pair(a, b)
    x, y = a.data, b.data
    values = np.matmul(x, y)
    edges = ((a, _left_pullback(x.ndim, y)), (b, _right_pullback(x, y.ndim)))
    return record("matmul", values, edges, 2 * np.size(values) * x.shape[-1])


def _left_pullback(ndim: int, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    if ndim > 1 and y.ndim > 1:
        return lambda g: np.matmul(_dense(g), y.swapaxes(-1, -2))

    def pullback(g: np.ndarray) -> np.ndarray:
        # Make matrices of vectors, and vectors of matrices again.
        rows = g[..., None] if y.ndim == 1 else g
        rows = rows if ndim > 1 else np.expand_dims(rows, -2) if y.ndim > 1 else rows[None]
        product = np.matmul(rows, (y[:, None] if y.ndim == 1 else y).swapaxes(-1, -2))
        return product if ndim > 1 else product[..., 0, :]

    return pullback


def _right_pullback(x: np.ndarray, ndim: int) -> Callable[[np.ndarray], np.ndarray]:
    if x.ndim == 2 and ndim == 2:
        return lambda g: x.T @ _dense(g)
    if x.ndim > 2 and ndim == 2:  # one matrix for the whole batch: the batch is as good as more rows
        rows = math.prod(x.shape[:-1])
        return lambda g: x.reshape(rows, -1).T @ g.reshape(rows, -1)
    if x.ndim > 1 and ndim > 1:
        return lambda g: np.matmul(x.swapaxes(-1, -2), _dense(g))

    def pullback(g: np.ndarray) -> np.ndarray:
        columns = g[..., None] if ndim == 1 else g
        columns = columns if x.ndim > 1 else np.expand_dims(columns, -2) if ndim > 1 else columns[None]
        product = np.matmul((x[None] if x.ndim == 1 else x).swapaxes(-1, -2), columns)
        return product if ndim > 1 else product[..., 0]

    return pullback


def _dense(g: np.ndarray) -> np.ndarray:
    """Copy a gradient that a sum has stretched: the fast routines for matrices do not take its strides of 0."""
    return np.ascontiguousarray(g) if 0 in g.strides else g


# --- Reductions -------------------------------------------------------------------------------------------------------


def _stretched(g: np.ndarray, shape: tuple[int, ...], axis: Any, keepdims: bool) -> np.ndarray:
    """Put back the axes that a reduction has taken away."""
    if axis is not None and not keepdims:
        g = np.expand_dims(g, axis)
    return np.broadcast_to(g, shape)


def _count(values: np.ndarray, size: int) -> int:
    return size // values.size if values.size else 0


def _axis(axis: Axis) -> Any:
    return axis if axis is None or isinstance(axis, (int, np.integer)) else tuple(axis)


def sum(a: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Add up along axes.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    axis : int or sequence of int, optional
        The axes; all by default.
    keepdims : bool
        Whether these axes stay, with length 1.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> sum(Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0).data
    array([4., 6.])
    """
    a, axis = as_tensor(a), _axis(axis)
    shape = a.shape
    values = np.sum(a.data, axis=axis, keepdims=keepdims)
    return record("sum", values, ((a, lambda g: _stretched(g, shape, axis, keepdims), 0),), a.size)


def mean(a: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Take the mean along axes.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    axis : int or sequence of int, optional
        The axes; all by default.
    keepdims : bool
        Whether these axes stay, with length 1.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> mean(Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1).data
    array([1.5, 3.5])
    """
    a, axis = as_tensor(a), _axis(axis)
    shape = a.shape
    values = np.mean(a.data, axis=axis, keepdims=keepdims)
    n = _count(values, a.size)
    return record("mean", values, ((a, lambda g: _stretched(g / n, shape, axis, keepdims), values.size),), a.size)


def variance(a: Any, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    """Take the variance along axes.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    axis : int or sequence of int, optional
        The axes; all by default.
    keepdims : bool
        Whether these axes stay, with length 1.
    ddof : int
        The sum of squares is divided by the count less this: 0 for the variance of the numbers, 1 for the estimate of
        that of the distribution which they were drawn from.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> variance(Tensor([1.0, 2.0, 3.0, 6.0])).data
    array(3.5)
    """
    a, axis = as_tensor(a), _axis(axis)
    x = a.data
    values = np.var(x, axis=axis, keepdims=keepdims, ddof=ddof)
    n = _count(values, a.size) - ddof

    def pullback(g: np.ndarray) -> np.ndarray:
        return _stretched(g * (2 / n), x.shape, axis, keepdims) * (x - np.mean(x, axis=axis, keepdims=True))

    return record("variance", values, ((a, pullback),), 4 * a.size)


def max(a: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Take the largest number along axes; several that are equally large share the gradient evenly.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    axis : int or sequence of int, optional
        The axes; all by default.
    keepdims : bool
        Whether these axes stay, with length 1.

    Returns
    -------
    Tensor
        The gradient is that of PyTorch's ``amax`` and JAX's ``max``.

    Examples
    --------
    >>> x = Tensor([3.0, 1.0, 3.0], requires_grad=True)
    >>> max(x).backward()
    >>> x.grad
    array([0.5, 0. , 0.5])
    """
    return _extreme("max", a, axis, keepdims, np.max)


def min(a: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Take the smallest number along axes; several that are equally small share the gradient evenly.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    axis : int or sequence of int, optional
        The axes; all by default.
    keepdims : bool
        Whether these axes stay, with length 1.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> min(Tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1).data
    array([1., 3.])
    """
    return _extreme("min", a, axis, keepdims, np.min)


def _extreme(name: str, a: Any, axis: Axis, keepdims: bool, choose: Callable[..., Any]) -> Tensor:
    a, axis = as_tensor(a), _axis(axis)
    x = a.data
    values = choose(x, axis=axis, keepdims=keepdims)

    def pullback(g: np.ndarray) -> np.ndarray:
        best = x == choose(x, axis=axis, keepdims=True)
        with np.errstate(invalid="ignore"):  # a NaN among the numbers: 0 / 0, and the gradient is NaN too
            return best / np.sum(best, axis=axis, keepdims=True) * _stretched(g, x.shape, axis, keepdims)

    return record(name, values, ((a, pullback, 2 * a.size),), a.size)


# --- Shapes -----------------------------------------------------------------------------------------------------------


def reshape(a: Any, shape: int | Sequence[int]) -> Tensor:
    """Give the numbers another shape, in the same order.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    shape : int or sequence of int
        The new shape; one length may be -1 and follows from the others.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> reshape(Tensor([1.0, 2.0, 3.0, 4.0]), (2, -1)).shape
    (2, 2)
    """
    a = as_tensor(a)
    before = a.shape
    return record("reshape", a.data.reshape(shape), ((a, lambda g: g.reshape(before)),))


def transpose(a: Any, axes: Sequence[int] | None = None) -> Tensor:
    """Permute the axes.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    axes : sequence of int, optional
        Which axis of `a` becomes the first, the second and so on; by default the order is turned round.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> transpose(Tensor(np.zeros((2, 3, 4))), (1, 2, 0)).shape
    (3, 4, 2)
    """
    a = as_tensor(a)
    back = None if axes is None else tuple(np.argsort([axis % a.ndim for axis in axes]).tolist())
    return record("transpose", np.transpose(a.data, axes), ((a, lambda g: np.transpose(g, back)),))


def broadcast_to(a: Any, shape: int | Sequence[int]) -> Tensor:
    """Repeat along new axes and axes of length 1, without a copy.

    Parameters
    ----------
    a : Tensor or array_like
        Of a shape that broadcasts to the new one.
    shape : int or sequence of int
        The new shape.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> broadcast_to(Tensor([1.0, 2.0]), (3, 2)).shape
    (3, 2)
    """
    a = as_tensor(a)
    return record("broadcast_to", np.broadcast_to(a.data, shape), ((a, lambda g: g),))


def concatenate(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors along an axis that they have.

    Parameters
    ----------
    tensors : sequence of Tensor or array_like
        At least one; equal shapes but for the axis.
    axis : int
        The axis.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> concatenate([Tensor([1.0]), Tensor([2.0, 3.0])]).data
    array([1., 2., 3.])
    """
    parts = [as_tensor(tensor) for tensor in tensors]
    values = np.concatenate([part.data for part in parts], axis)
    ends = np.cumsum([part.shape[axis] for part in parts]).tolist()

    def piece(begin: int, end: int) -> Callable[[np.ndarray], np.ndarray]:
        before = (slice(None),) * (axis % values.ndim)
        index = (*before, slice(begin, end))
        return lambda g: g[index]

    begins = [0, *ends[:-1]]
    return record("concatenate", values, [(p, piece(i, j)) for p, i, j in zip(parts, begins, ends, strict=True)])


def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis.

    Parameters
    ----------
    tensors : sequence of Tensor or array_like
        At least one.
    axis : int
        Where the new axis stands in the result.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> stack([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])], axis=1).data
    array([[1., 3.],
           [2., 4.]])
    """
    parts = [as_tensor(tensor) for tensor in tensors]
    values = np.stack([part.data for part in parts], axis)
    where_ = axis % values.ndim

    def piece(i: int) -> Callable[[np.ndarray], np.ndarray]:
        index: tuple[Any, ...] = (*(slice(None),) * where_, i)
        return lambda g: g[index]

    return record("stack", values, [(part, piece(i)) for i, part in enumerate(parts)])


# --- Indexing ---------------------------------------------------------------------------------------------------------


def getitem(a: Any, index: Any) -> Tensor:
    """Index as NumPy does: ``a[index]``, with numbers, slices, None, ..., masks and arrays of indices.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    index : index
        Tensors in it are taken as their values. A number that is taken several times gets the sum of the gradients.

    Returns
    -------
    Tensor
        A view where NumPy gives one.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> x[[0, 2, 2]].sum().backward()
    >>> x.grad
    array([1., 0., 2.])
    """
    a = as_tensor(a)
    index = tuple(_plain(part) for part in index) if isinstance(index, tuple) else _plain(index)
    parts = index if isinstance(index, tuple) else (index,)
    # Only lists and arrays of whole numbers can name a place twice.
    repeats = any(np.asarray(p).dtype.kind in "iu" and np.ndim(p) > 0 for p in parts if not isinstance(p, slice))
    shape = a.shape

    def pullback(g: np.ndarray) -> np.ndarray:
        result = np.zeros(shape, g.dtype)
        if repeats:
            np.add.at(result, index, g)
        else:
            result[index] = g
        return result

    return record("getitem", a.data[index], ((a, pullback),))


def _plain(index: Any) -> Any:
    return index.data if isinstance(index, Tensor) else index


def take(a: Any, indices: Any, axis: int = 0) -> Tensor:
    """Gather along an axis: rows of a table, such as the embeddings of tokens.

    Parameters
    ----------
    a : Tensor or array_like
        The table.
    indices : array_like of int
        Of any shape; negative ones count from the end.
    axis : int
        The axis of the table that the indices walk along.

    Returns
    -------
    Tensor
        The shape of `a` with that of `indices` in place of the axis. An entry that is taken several times gets the sum
        of the gradients.

    Raises
    ------
    IndexError
        If an index is out of bounds.
    TypeError
        If the indices are not whole numbers.

    Examples
    --------
    >>> table = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> take(table, [1, 1, 0]).data
    array([[3., 4.],
           [3., 4.],
           [1., 2.]])
    """
    a, where_ = as_tensor(a), _indices(indices)
    shape, before = a.shape, (slice(None),) * (axis % a.ndim)
    values = np.take(a.data, where_, axis)

    def pullback(g: np.ndarray) -> np.ndarray:
        result = np.zeros(shape, g.dtype)
        np.add.at(result, (*before, where_), g)  # result[..., where_, ...] += g would count a repeated index once
        return result

    return record("take", values, ((a, pullback, values.size),))


def take_along_axis(a: Any, indices: Any, axis: int = -1) -> Tensor:
    """Take numbers along an axis by indices that differ from place to place, as `numpy.take_along_axis` does.

    Parameters
    ----------
    a : Tensor or array_like
        Of any shape.
    indices : array_like of int
        Of as many axes as `a`, the others of its lengths.
    axis : int
        The axis.

    Returns
    -------
    Tensor
        Of the shape of `indices`.

    Raises
    ------
    IndexError
        If an index is out of bounds.
    TypeError
        If the indices are not whole numbers.

    Examples
    --------
    >>> take_along_axis(Tensor([[1.0, 2.0], [3.0, 4.0]]), [[1], [0]]).data
    array([[2.],
           [3.]])
    """
    a, where_ = as_tensor(a), _indices(indices)
    shape = a.shape
    values = np.take_along_axis(a.data, where_, axis)

    def pullback(g: np.ndarray) -> np.ndarray:
        result = np.zeros(shape, g.dtype)
        places: list[Any] = list(np.ogrid[tuple(slice(n) for n in g.shape)])
        places[axis] = where_
        np.add.at(result, tuple(places), g)
        return result

    return record("take_along_axis", values, ((a, pullback, values.size),))


def _indices(indices: Any) -> np.ndarray:
    array = _plain(indices) if isinstance(indices, Tensor) else np.asarray(indices)
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"indices have dtype {array.dtype}; they must be whole numbers")
    return array.astype(np.intp, copy=False)
