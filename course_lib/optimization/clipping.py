"""Clipping of gradients: by value, by the norm of each array, by the norm of all of them.

Every function takes an array or a tree of arrays and gives new arrays of the same structure, shapes and dtypes.
Clipping by a norm turns a gradient with a NaN or an infinity into NaN, so that a divergence stays visible; clipping by
value keeps a NaN and turns an infinity into the limit.

>>> import numpy as np
>>> grads = {"w": np.array([3.0, 4.0]), "b": np.array(12.0)}
>>> global_norm(grads)
13.0
>>> clip_by_global_norm(grads, 6.5)
{'w': array([1.5, 2. ]), 'b': array(6.)}
>>> clip_by_norm(grads, 1.0)
{'w': array([0.6, 0.8]), 'b': array(1.)}
>>> clip_by_value(grads, 3.5)
{'w': array([3. , 3.5]), 'b': array(3.5)}
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from course_lib import _check
from course_lib._tree import Tree, as_parameters, leaves, tree_map
from course_lib.optimization.optimizers import Optimizer

__all__ = ["clip_by_global_norm", "clip_by_norm", "clip_by_value", "clipped", "global_norm"]


def global_norm(tree: Tree) -> float:
    """Give the Euclidean norm of all numbers of a tree together.

    Parameters
    ----------
    tree : array or tree of arrays
        Floating-point arrays, such as gradients.

    Returns
    -------
    float
        The norm; 0 for an empty tree. It does not overflow on the way: gradients of 1e200 have one.

    Raises
    ------
    TypeError
        If a leaf is not floating-point.
    """
    largest, share = _scaled_norm(as_parameters(tree, "tree"))
    return largest * share


def clip_by_value(grads: Tree, limit: float | tuple[float, float]) -> Tree:
    """Clip every number on its own, which changes the direction of the gradient.

    Parameters
    ----------
    grads : array or tree of arrays
        The gradients, floating-point.
    limit : float or pair of floats
        The numbers come to lie in [-limit, limit], or in [low, high] for a pair.

    Returns
    -------
    array or tree of arrays

    Raises
    ------
    TypeError
        If a leaf is not floating-point, or `limit` neither a number nor a pair of numbers.
    ValueError
        If `limit` is not above 0, or low is not below high.
    """
    low, high = _bounds("limit", limit)
    with np.errstate(over="ignore"):  # a limit beyond float32's range is infinite there, and clips nothing
        # Python numbers keep the dtype; np.asarray, because np.clip makes a scalar of an array of no dimension.
        return tree_map(lambda g: np.asarray(np.clip(g, low, high)), as_parameters(grads, "grads"))


def clip_by_norm(grads: Tree, limit: float) -> Tree:
    """Shorten every array whose Euclidean norm is above a limit to that norm, each on its own.

    Parameters
    ----------
    grads : array or tree of arrays
        The gradients, floating-point.
    limit : float
        The largest norm, above 0.

    Returns
    -------
    array or tree of arrays
        Each array keeps its direction; the direction of the whole may change.

    Raises
    ------
    TypeError
        If a leaf is not floating-point, or `limit` not a number.
    ValueError
        If `limit` is not above 0.
    """
    limit = _check.positive("limit", limit)
    return tree_map(lambda g: _shorten(g, *_scaled_norm(g), limit), as_parameters(grads, "grads"))


def clip_by_global_norm(grads: Tree, limit: float) -> Tree:
    """Shorten all arrays by one factor where their common norm is above a limit, which keeps the direction.

    Parameters
    ----------
    grads : array or tree of arrays
        The gradients, floating-point.
    limit : float
        The largest norm of all of them together, above 0.

    Returns
    -------
    array or tree of arrays

    Raises
    ------
    TypeError
        If a leaf is not floating-point, or `limit` not a number.
    ValueError
        If `limit` is not above 0.

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio, 2013, algorithm 1, arXiv:1211.5063
    """
    limit = _check.positive("limit", limit)
    grads = as_parameters(grads, "grads")
    largest, share = _scaled_norm(grads)
    return tree_map(lambda g: _shorten(g, largest, share, limit), grads)


def clipped(
    optimizer: Optimizer,
    *,
    value: float | tuple[float, float] | None = None,
    norm: float | None = None,
    global_norm: float | None = None,
) -> Optimizer:
    """Give an optimizer that clips the gradients before it uses them.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer to feed. One that clips already clips a second time, after this.
    value, norm, global_norm : float, optional
        The limit of `clip_by_value`, `clip_by_norm` or `clip_by_global_norm`; exactly one of them.

    Returns
    -------
    Optimizer
        With the same state as `optimizer`.

    Raises
    ------
    TypeError
        If `optimizer` is none.
    ValueError
        If not exactly one limit is given, or it is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from course_lib.optimization.optimizers import sgd
    >>> optimizer = clipped(sgd(0.1), norm=1.0)
    >>> optimizer.update(np.array([30.0, 40.0]), optimizer.init(np.zeros(2)))[0]
    array([-0.06, -0.08])
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is {optimizer!r}; it must be an Optimizer, such as sgd(0.1)")
    given = {
        name: limit
        for name, limit in (("value", value), ("norm", norm), ("global_norm", global_norm))
        if limit is not None
    }
    if len(given) != 1:
        said = ", ".join(f"{name}={limit!r}" for name, limit in given.items()) or "none"
        raise ValueError(f"the limits given are {said}; exactly one of value, norm and global_norm is needed")
    ((name, limit),) = given.items()
    if name == "value":
        _bounds(name, limit)
    else:
        _check.positive(name, limit)
    clip: Any = {"value": clip_by_value, "norm": clip_by_norm, "global_norm": clip_by_global_norm}[name]
    inner = optimizer.prepare

    def prepare(grads: Tree) -> Tree:
        grads = clip(grads, limit)
        return grads if inner is None else inner(grads)

    return dataclasses.replace(optimizer, prepare=prepare)


def _bounds(name: str, limit: Any) -> tuple[float, float]:
    if not isinstance(limit, (tuple, list)):
        high = _check.positive(name, limit)
        return -high, high
    if len(limit) != 2:
        raise ValueError(f"{name} is {limit!r}; it must be a number above 0 or a pair (low, high)")
    low, high = (float(_check.finite(f"{name}[{i}]", end, ndim=0)) for i, end in enumerate(limit))
    if not low < high:
        raise ValueError(f"{name} is {limit!r}; its first number must be below its second")
    return low, high


def _scaled_norm(tree: Tree) -> tuple[float, float]:
    """Give the largest magnitude and the norm as a multiple of it, so that no square overflows or vanishes."""
    arrays = [leaf for _, leaf in leaves(tree) if leaf.size]
    # Python's max would pass over a NaN that is not the first; np.max keeps it.
    largest = float(np.max([np.max(np.abs(array)) for array in arrays], initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest, 1.0
    squares = (np.square(np.divide(array, largest, dtype=np.float64)).sum() for array in arrays)
    return largest, math.sqrt(sum(squares))


def _shorten(gradient: np.ndarray, largest: float, share: float, limit: float) -> np.ndarray:
    """Scale a gradient to the norm `limit` where ``largest * share`` is above it."""
    if largest * share <= limit:
        return gradient.copy()
    if math.isinf(largest):
        return np.full_like(gradient, np.nan)
    # In this order no product leaves the range, whatever the sizes of the gradient and of the limit.
    unit = np.divide(gradient, largest, dtype=np.float64)
    return np.asarray(unit * (limit / share)).astype(gradient.dtype)
