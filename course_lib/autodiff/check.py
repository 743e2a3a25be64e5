"""The gradient check: pullbacks against central differences, in float64.

>>> from course_lib.autodiff import Tensor, tanh
>>> bool(gradient_check(lambda x: tanh(x).sum(), np.array([0.1, 2.0])))
True
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from course_lib import _check
from course_lib.autodiff.tensor import Tensor, no_grad

__all__ = ["GradientCheck", "gradient_check"]


@dataclass(frozen=True, eq=False)
class GradientCheck:
    """What a gradient check found; true in an ``if`` when the gradients agree.

    Attributes
    ----------
    ok : bool
        Whether every derivative agrees: ``|backward - numerical| <= atol + rtol * |numerical|``.
    max_error : float
        The largest absolute difference.
    max_relative_error : float
        The largest difference divided by the larger of the two derivatives' absolute values; 0 where both are 0.
    worst : tuple of int
        Where the largest absolute difference is: the number of the array, then the index in it.
    backward, numerical : list of ndarray
        The two gradients, one array per argument.
    evaluations : int
        How often the function was computed for the differences: twice per number.
    """

    ok: bool
    max_error: float
    max_relative_error: float
    worst: tuple[int, ...]
    backward: list[np.ndarray] = field(repr=False)
    numerical: list[np.ndarray] = field(repr=False)
    evaluations: int = 0

    def __bool__(self) -> bool:
        return self.ok


def gradient_check(
    function: Callable[..., Tensor], *arrays: Any, eps: float = 6e-6, rtol: float = 1e-6, atol: float = 1e-8
) -> GradientCheck:
    """Compare the gradient of the backward pass with central differences.

    Parameters
    ----------
    function : callable
        Takes one `Tensor` per array and gives one. If it gives several numbers, they are first multiplied by fixed
        random weights and summed up. It must give the same values each time: draw no random numbers in it.
    *arrays : array_like
        Where to check; converted to float64.
    eps : float
        The step, times ``max(1, |x|)``. The error of the formula is proportional to its square, that of rounding to its
        inverse; the default is the cube root of the rounding, which balances them.
    rtol, atol : float
        The tolerance.

    Returns
    -------
    GradientCheck

    Raises
    ------
    TypeError
        If the function does not give a `Tensor`.
    ValueError
        If there is no array, or a step or tolerance is out of range.

    Notes
    -----
    Stay away from points where the function has a corner, such as 0 for ReLU: the two slopes differ there, and rightly
    so.

    References
    ----------
    W. Press and others, Numerical Recipes, 3rd edition, 2007, section 5.7

    Examples
    --------
    >>> result = gradient_check(lambda x, y: x * y, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> result.ok, result.max_error < 1e-9, result.evaluations
    (True, True, 8)
    """
    _check.positive("eps", eps)
    _check.non_negative("rtol", rtol)
    _check.non_negative("atol", atol)
    if not arrays:
        raise ValueError("there is no array to check the gradient at")
    points = [np.array(array, dtype=np.float64) for array in arrays]
    leaves = [Tensor(point.copy(), requires_grad=True) for point in points]
    output = function(*leaves)
    if not isinstance(output, Tensor):
        raise TypeError(f"the function gave {type(output).__name__}; it must give a Tensor")
    weights = np.random.default_rng(0).uniform(0.5, 1.5, output.shape) if output.size != 1 else np.ones(output.shape)
    if output.requires_grad:
        output.backward(weights)
    backward = [np.zeros_like(leaf.data) if leaf.grad is None else leaf.grad for leaf in leaves]

    def value() -> float:
        with no_grad():
            return float(np.sum(function(*(Tensor(point.copy()) for point in points)).data * weights))

    numerical = [np.zeros_like(point) for point in points]
    for point, slope in zip(points, numerical, strict=True):
        for index in np.ndindex(point.shape):
            middle = point[index]
            step = eps * max(1.0, abs(float(middle)))
            point[index] = high = middle + step
            above = value()
            point[index] = low = middle - step
            below = value()
            point[index] = middle
            slope[index] = (above - below) / (high - low)  # by the step that was made after rounding
    return _compare(backward, numerical, rtol, atol)


def _compare(backward: list[np.ndarray], numerical: list[np.ndarray], rtol: float, atol: float) -> GradientCheck:
    largest, relative, ok = 0.0, 0.0, True
    worst: tuple[int, ...] = (0,)
    for number, (ours, theirs) in enumerate(zip(backward, numerical, strict=True)):
        if not ours.size:
            continue
        error = np.abs(ours - theirs)
        ok = ok and bool(np.all(error <= atol + rtol * np.abs(theirs)))  # a NaN is not at most anything
        place = np.unravel_index(int(np.argmax(error)), error.shape)  # the first NaN, if there is one
        if not error[place] <= largest:
            largest, worst = float(error[place]), (number, *map(int, place))
        scale = np.maximum(np.abs(ours), np.abs(theirs))
        relative = float(np.max(np.divide(error, scale, out=np.zeros_like(error), where=scale != 0), initial=relative))
    return GradientCheck(ok, largest, relative, worst, backward, numerical, 2 * sum(a.size for a in backward))
