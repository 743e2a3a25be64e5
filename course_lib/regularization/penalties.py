r"""Penalties: functions of the weights that a fit adds to its loss, with their gradients and proximal operators.

A penalty makes some weights more expensive than others. Three questions can be put to each: what a weight vector costs
(`Penalty.value`), which way is cheaper (`Penalty.gradient`), and where a step ends that is pulled by the penalty and
held by the place it came from (`Penalty.proximal`). The last one works where the gradient does not exist, and it is
what makes weights exactly 0.

>>> import numpy as np
>>> w = np.array([3.0, -0.5, 0.0])
>>> L1(2.0).value(w), L2(2.0).value(w)
(7.0, 9.25)
>>> L1(2.0).proximal(w, 0.5)
array([2., 0., 0.])
>>> L2(2.0).proximal(w, 0.5)
array([ 1.5 , -0.25,  0.  ])

Parameters are an array or a tree of arrays (dicts, lists and tuples), as in `course_lib.optimization`. Results are new
arrays of the same structure, shapes and dtypes.

The proximal operator of a function *P* is :math:`\mathrm{prox}_{tP}(x) = \arg\min_u \frac12\|u - x\|^2 + t\,P(u)`
(N. Parikh, S. Boyd, 2014, Proximal Algorithms, doi:10.1561/2400000003).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from course_lib import _check
from course_lib._tree import Tree, as_parameters, leaves, tree_map

__all__ = [
    "L1", "L2", "ElasticNet", "GroupLasso", "Penalty", "group_soft_threshold", "kernels", "project_l1_ball",
    "project_l2_ball", "shrink", "soft_threshold",
]  # fmt: skip

Self = TypeVar("Self", bound="Penalty")
Strength = float | Callable[[int], Any]


# The operators.


def soft_threshold(x: Any, threshold: Any) -> np.ndarray:
    r"""Move every number towards 0 by a threshold, and those that are nearer than that to 0.

    :math:`\mathrm{sign}(x)\max(|x| - t, 0)`: the proximal operator of the L1 penalty.

    Parameters
    ----------
    x : array_like
        Real numbers, any shape.
    threshold : float or array_like
        At least 0; an array broadcasts against `x`.

    Returns
    -------
    ndarray
        Of the shape of `x`, and of its dtype where that is floating-point.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers.
    ValueError
        If a threshold is negative or not finite, or does not broadcast to the shape of `x`.

    References
    ----------
    D. L. Donoho, I. M. Johnstone, 1994, doi:10.1093/biomet/81.3.425

    Examples
    --------
    >>> soft_threshold([-3.0, -0.5, 0.5, 2.0], 1.0)
    array([-2.,  0.,  0.,  1.])
    """
    x = _real("x", x)
    t = _amounts("threshold", threshold, x)
    # x less its projection on [-t, t]: the same numbers as sign(x) * max(|x| - t, 0), without zeros that print as -0.
    return np.asarray(x - np.clip(x, -t, t))


def shrink(x: Any, factor: Any) -> np.ndarray:
    r"""Divide every number by ``1 + factor``: the proximal operator of :math:`\frac12\|x\|^2` times the factor.

    Parameters
    ----------
    x : array_like
        Real numbers, any shape.
    factor : float or array_like
        At least 0; an array broadcasts against `x`.

    Returns
    -------
    ndarray
        Of the shape of `x`, and of its dtype where that is floating-point. No number becomes 0 that was not.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers.
    ValueError
        If a factor is negative or not finite, or does not broadcast to the shape of `x`.

    References
    ----------
    N. Parikh, S. Boyd, 2014, section 6.1, doi:10.1561/2400000003

    Examples
    --------
    >>> shrink([-3.0, 0.0, 2.0], 1.0)
    array([-1.5,  0. ,  1. ])
    """
    x = _real("x", x)
    return np.asarray(x / (1 + _amounts("factor", factor, x)))


def group_soft_threshold(x: Any, threshold: Any, groups: Any = None) -> np.ndarray:
    r"""Shorten every group of numbers by a threshold, and make 0 those that are shorter.

    :math:`x_g \max(1 - t_g / \|x_g\|_2, 0)`: the proximal operator of a sum of Euclidean norms. A group keeps its
    direction or vanishes as a whole.

    Parameters
    ----------
    x : array_like
        Real numbers, any shape.
    threshold : float or array_like of shape (n_groups,)
        At least 0; an array holds one threshold per group, in the order of the sorted labels.
    groups : array_like of int, optional
        Labels of the shape of `x`: numbers with one label are one group. A label below 0 leaves its number alone. Left
        out, all numbers are one group.

    Returns
    -------
    ndarray
        Of the shape of `x`, and of its dtype where that is floating-point.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers or a label is no whole number.
    ValueError
        If a threshold is negative or not finite, or shapes do not fit.

    References
    ----------
    M. Yuan, Y. Lin, 2006, doi:10.1111/j.1467-9868.2005.00532.x

    Examples
    --------
    >>> group_soft_threshold([3.0, 4.0, 0.3, 0.4], 1.0, groups=[0, 0, 1, 1])
    array([2.4, 3.2, 0. , 0. ])
    """
    x = _real("x", x)
    labels = np.zeros(x.shape, np.intp) if groups is None else _labels("groups", groups, x.shape)
    index, norms, _ = _group_norms(x, labels)
    return _shorten_groups(x, index, norms, _amounts("threshold", threshold, norms) + np.zeros_like(norms))


def project_l2_ball(x: Any, radius: float = 1.0) -> np.ndarray:
    """Give the point of a ball that is nearest: the point itself inside, a shortened one outside.

    Parameters
    ----------
    x : array_like
        A point; an array of any shape counts as one.
    radius : float
        The largest Euclidean norm, above 0.

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers.
    ValueError
        If `radius` is not above 0 or a number is not finite.

    References
    ----------
    N. Parikh, S. Boyd, 2014, section 6.5, doi:10.1561/2400000003

    Examples
    --------
    >>> project_l2_ball([3.0, 4.0], radius=1.0)
    array([0.6, 0.8])
    """
    x = _check.finite("x", x)
    radius = _check.positive("radius", radius)
    norm = _norm(x)
    return x.copy() if norm <= radius else np.asarray(x * (radius / norm))


def project_l1_ball(x: Any, radius: float = 1.0) -> np.ndarray:
    """Give the point nearest to `x` whose absolute values sum to at most a radius.

    It is a soft threshold, at the one threshold for which the sum comes out: so this projection makes zeros too, which
    is the lasso in its first form, a bound in place of a penalty.

    Parameters
    ----------
    x : array_like
        A point; an array of any shape counts as one.
    radius : float
        The largest sum of absolute values, above 0.

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers.
    ValueError
        If `radius` is not above 0 or a number is not finite.

    References
    ----------
    J. Duchi, S. Shalev-Shwartz, Y. Singer, T. Chandra, 2008, figure 1, doi:10.1145/1390156.1390191

    Examples
    --------
    >>> project_l1_ball([3.0, -2.0, 0.5], radius=2.0)
    array([ 1.5, -0.5,  0. ])
    """
    x = _check.finite("x", x)
    radius = _check.positive("radius", radius)
    sizes = np.sort(np.abs(x), axis=None)[::-1].astype(np.float64)
    if sizes.sum() <= radius:
        return x.copy()
    # With the k largest numbers kept, the threshold is (their sum - radius) / k; the right k is the largest for which
    # the k-th number stays above it.
    thresholds = (np.cumsum(sizes) - radius) / np.arange(1, sizes.size + 1)
    kept = np.nonzero(sizes > thresholds)[0]
    # Rounding can leave none where the radius is tiny beside the numbers: then the largest alone is kept.
    return soft_threshold(x, thresholds[kept[-1]] if kept.size else thresholds[0])


def kernels(path: str, leaf: np.ndarray) -> bool:
    """Pick the leaves with two dimensions or more, so that biases and scales go free; for a penalty's `where`.

    Parameters
    ----------
    path : str
        Where the leaf stands in its tree; not looked at.
    leaf : ndarray
        The leaf.

    Returns
    -------
    bool

    Examples
    --------
    >>> params = {"kernel": np.ones((2, 2)), "bias": np.ones(2)}
    >>> L2(1.0, where=kernels).gradient(params)
    {'kernel': array([[1., 1.],
           [1., 1.]]), 'bias': array([0., 0.])}
    """
    return leaf.ndim >= 2


# The penalties.


@dataclass(frozen=True)
class Penalty:
    """What `L1`, `L2`, `ElasticNet` and `GroupLasso` have in common.

    Attributes
    ----------
    strength : float or callable
        What the penalty is multiplied by, at least 0; or a schedule from the step (counted from 0) to it, such as those
        of `course_lib.optimization`. `at` gives the penalty of one step.
    where : callable, array or tree, optional
        Which weights pay. ``where(path, leaf)`` gives True, False or an array of them for each leaf, as `kernels` does;
        an array or tree of True and False fits the parameters. Left out: all of them.

    Raises
    ------
    TypeError, ValueError
        When it is made: if the strength is neither a schedule nor a number of at least 0.
    """

    strength: Strength
    where: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not callable(self.strength):
            object.__setattr__(self, "strength", _check.non_negative("strength", self.strength))

    def at(self: Self, step: int) -> Self:
        """Give the penalty of one step: the same, with a number for its strength.

        Parameters
        ----------
        step : int
            Steps counted from 0.

        Returns
        -------
        Penalty

        Raises
        ------
        ValueError
            If `step` is no step, or the schedule gives a strength below 0.
        """
        step = _check.count("step", step, least=0)
        if not callable(self.strength):
            return self
        strength = _check.non_negative(f"the strength at step {step}", self.strength(step))
        return replace(self, strength=strength)

    def value(self, params: Tree) -> float:
        """Give what these weights cost.

        Parameters
        ----------
        params : array or tree of arrays
            The weights, floating-point.

        Returns
        -------
        float

        Raises
        ------
        TypeError
            If a leaf is not floating-point, or the strength is a schedule: ask ``penalty.at(step)`` then.
        ValueError
            If `where` (or, for a `GroupLasso`, its groups) does not fit the parameters.
        """
        params, strength = as_parameters(params), self._number()
        pieces = zip(leaves(params), self._marks(params), strict=True)
        return float(strength * sum(self._cost(leaf, mark) for (_, leaf), mark in pieces))

    def gradient(self, params: Tree) -> Tree:
        """Give the gradient; where there is none, a subgradient: 0 for a weight or a group that is 0.

        Parameters
        ----------
        params : array or tree of arrays
            The weights, floating-point.

        Returns
        -------
        array or tree of arrays
            With 0 for weights that do not pay.

        Raises
        ------
        TypeError, ValueError
            As `value`.
        """
        strength = self._number()
        return self._map(params, lambda leaf, mark: strength * self._slope(leaf, mark))

    def proximal(self, params: Tree, step_size: float) -> Tree:
        r"""Give the proximal step, :math:`\arg\min_u \frac12\|u - w\|^2 + t\,P(u)`.

        Parameters
        ----------
        params : array or tree of arrays
            The weights *w*, floating-point: where a gradient step on the loss has led.
        step_size : float
            The *t* of the formula, at least 0: the rate of that gradient step.

        Returns
        -------
        array or tree of arrays
            Weights that do not pay stay as they are.

        Raises
        ------
        TypeError, ValueError
            As `value`; or if `step_size` is below 0.
        """
        amount = self._number() * _check.non_negative("step_size", step_size)
        return self._map(params, lambda leaf, mark: self._step(leaf, amount, mark))

    # What a subclass says about one leaf: its cost and slope for strength 1, and its proximal step for an amount,
    # strength times step size. `mark` says which of its numbers pay: True, or an array of bool of the leaf's shape.

    def _cost(self, leaf: np.ndarray, mark: Any) -> float:
        raise NotImplementedError

    def _slope(self, leaf: np.ndarray, mark: Any) -> np.ndarray:
        raise NotImplementedError

    def _step(self, leaf: np.ndarray, amount: float, mark: Any) -> np.ndarray:
        raise NotImplementedError

    def _number(self) -> float:
        if callable(self.strength):
            raise TypeError(
                f"strength is the schedule {self.strength!r}; take penalty.at(step), the penalty of one step"
            )
        return self.strength

    def _map(self, params: Tree, function: Callable[[np.ndarray, Any], np.ndarray]) -> Tree:
        params = as_parameters(params)
        marks = self._marks(params)
        return tree_map(lambda leaf: np.asarray(function(leaf, next(marks)), dtype=leaf.dtype), params)

    def _marks(self, params: Tree) -> Iterator[Any]:
        """Give a mark for each leaf, in the order of `leaves`."""
        if self.where is None:
            return iter([True for _ in leaves(params)])
        if callable(self.where):
            return iter([_mask(path, leaf, self.where(path, leaf)) for path, leaf in leaves(params)])
        return iter([_mask(path, leaf, flag) for path, leaf, flag in _beside(params, self.where)])


@dataclass(frozen=True)
class L1(Penalty):
    r"""The sum of absolute values, :math:`\lambda\|w\|_1`: it makes weights exactly 0.

    Parameters
    ----------
    strength : float or callable
        The factor, lambda, or a schedule of it. ``keras.regularizers.L1(c)`` is ``L1(c)``; on top of
        :math:`\frac1{2n}\|y - Xw\|^2` it is scikit-learn's ``Lasso(alpha=c)``.
    where : callable, array or tree, optional
        Which weights pay; see `Penalty`.

    References
    ----------
    R. Tibshirani, 1996, doi:10.1111/j.2517-6161.1996.tb02080.x

    Examples
    --------
    >>> import numpy as np
    >>> L1(0.5).value(np.array([3.0, -4.0])), L1(0.5).gradient(np.array([3.0, -4.0, 0.0]))
    (3.5, array([ 0.5, -0.5,  0. ]))
    """

    def _cost(self, leaf: np.ndarray, mark: Any) -> float:
        return float(np.sum(np.abs(leaf), where=mark, dtype=np.float64))

    def _slope(self, leaf: np.ndarray, mark: Any) -> np.ndarray:
        return np.where(mark, np.sign(leaf), 0)

    def _step(self, leaf: np.ndarray, amount: float, mark: Any) -> np.ndarray:
        return np.where(mark, soft_threshold(leaf, amount), leaf)


@dataclass(frozen=True)
class L2(Penalty):
    r"""Half the sum of squares, :math:`\frac{\lambda}{2}\|w\|_2^2`: it pulls every weight in proportion to its size.

    Parameters
    ----------
    strength : float or callable
        The factor, lambda, or a schedule of it. With the half the gradient is ``strength * w``, as in weight decay.
        ``keras.regularizers.L2(c)`` has no half and is ``L2(2 * c)``; scikit-learn's ``Ridge(alpha=a)``, whose loss is
        a sum over *n* examples and has no half either, is ``L2(a / n)`` on top of :math:`\frac1{2n}\|y - Xw\|^2`.
    where : callable, array or tree, optional
        Which weights pay; see `Penalty`.

    References
    ----------
    A. E. Hoerl, R. W. Kennard, 1970, doi:10.1080/00401706.1970.10488634

    Examples
    --------
    >>> import numpy as np
    >>> L2(0.5).value(np.array([3.0, -4.0])), L2(0.5).gradient(np.array([3.0, -4.0]))
    (6.25, array([ 1.5, -2. ]))
    """

    def _cost(self, leaf: np.ndarray, mark: Any) -> float:
        return float(np.sum(np.square(leaf, dtype=np.float64), where=mark) / 2)

    def _slope(self, leaf: np.ndarray, mark: Any) -> np.ndarray:
        return np.where(mark, leaf, 0)

    def _step(self, leaf: np.ndarray, amount: float, mark: Any) -> np.ndarray:
        return np.where(mark, shrink(leaf, amount), leaf)


@dataclass(frozen=True)
class ElasticNet(Penalty):
    r"""A mixture of both, :math:`\lambda\left(r\|w\|_1 + \frac{1-r}{2}\|w\|_2^2\right)`, with scikit-learn's names.

    Parameters
    ----------
    strength : float or callable
        The factor, lambda, or a schedule of it; scikit-learn's ``alpha``.
    l1_ratio : float
        The share of the L1 penalty, from 0 to 1.
    where : callable, array or tree, optional
        Which weights pay; see `Penalty`.

    Raises
    ------
    ValueError
        If `l1_ratio` is outside [0, 1].

    References
    ----------
    H. Zou, T. Hastie, 2005, doi:10.1111/j.1467-9868.2005.00503.x; this is their naive elastic net, which is what
    scikit-learn and most others compute, without the rescaling of their section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> ElasticNet(1.0, l1_ratio=0.5).proximal(np.array([3.5, -0.4]), 1.0)
    array([2., 0.])
    """

    l1_ratio: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "l1_ratio", _ratio("l1_ratio", self.l1_ratio))

    def _cost(self, leaf: np.ndarray, mark: Any) -> float:
        r, absolute, square = self.l1_ratio, np.abs(leaf), np.square(leaf, dtype=np.float64) / 2
        return float(np.sum(r * absolute + (1 - r) * square, where=mark))

    def _slope(self, leaf: np.ndarray, mark: Any) -> np.ndarray:
        return np.where(mark, self.l1_ratio * np.sign(leaf) + (1 - self.l1_ratio) * leaf, 0)

    def _step(self, leaf: np.ndarray, amount: float, mark: Any) -> np.ndarray:
        moved = soft_threshold(leaf, amount * self.l1_ratio)
        return np.where(mark, shrink(moved, amount * (1 - self.l1_ratio)), leaf)


@dataclass(frozen=True, eq=False)
class GroupLasso(Penalty):
    r"""A sum of Euclidean norms, :math:`\lambda\sum_g \sqrt{p_g}\,\|w_g\|_2`: it makes whole groups exactly 0.

    Parameters
    ----------
    strength : float or callable
        The factor, lambda, or a schedule of it.
    groups : {"rows", "columns"}, array of int, or tree of such
        Which weights belong together. ``"rows"``: those with one index along the first axis, such as all weights that
        leave one input in a kernel of shape (inputs, outputs); ``"columns"``: along the last axis, such as all that
        enter one unit. Or labels of the shape of the parameters, equal within a group; below 0, a weight goes free.
    weighted : bool
        Whether a group of *p* weights counts :math:`\sqrt{p}` times, as in the paper; otherwise each counts once.
    where : callable, array or tree, optional
        Which weights pay; see `Penalty`. The others belong to no group and do not count in *p*.

    Raises
    ------
    TypeError, ValueError
        If `groups` is neither of the two words nor made of whole numbers.

    References
    ----------
    M. Yuan, Y. Lin, 2006, doi:10.1111/j.1467-9868.2005.00532.x

    Examples
    --------
    >>> import numpy as np
    >>> penalty = GroupLasso(1.0, groups=[0, 0, 1, 1], weighted=False)
    >>> w = np.array([3.0, 4.0, 0.3, 0.4])
    >>> penalty.value(w), penalty.proximal(w, 1.0)
    (5.5, array([2.4, 3.2, 0. , 0. ]))
    """

    groups: Any
    weighted: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.flag("weighted", self.weighted)
        if isinstance(self.groups, str):
            _check.choice("groups", self.groups, ("rows", "columns"))

    # Here a mark is an array of labels of the leaf's shape: below 0, the weight is in no group.

    def _cost(self, leaf: np.ndarray, mark: Any) -> float:
        _, norms, sizes = _group_norms(leaf, mark)
        return float(self._weights(sizes) @ norms)

    def _slope(self, leaf: np.ndarray, mark: Any) -> np.ndarray:
        index, norms, sizes = _group_norms(leaf, mark)
        # 0 for a group that is 0: a subgradient there.
        factors = np.divide(self._weights(sizes), norms, out=np.zeros_like(norms), where=norms > 0)
        return leaf * np.append(factors, 0.0)[index]

    def _step(self, leaf: np.ndarray, amount: float, mark: Any) -> np.ndarray:
        index, norms, sizes = _group_norms(leaf, mark)
        return _shorten_groups(leaf, index, norms, amount * self._weights(sizes))

    def _weights(self, sizes: np.ndarray) -> np.ndarray:
        return np.sqrt(sizes) if self.weighted else np.ones(len(sizes))

    def _marks(self, params: Tree) -> Iterator[Any]:
        if isinstance(self.groups, str):
            groups: Any = [_by_axis(leaf, self.groups) for _, leaf in leaves(params)]
        else:
            groups = [
                _labels(f"groups{path}", labels, leaf.shape) for path, leaf, labels in _beside(params, self.groups)
            ]
        return iter([np.where(mask, labels, -1) for mask, labels in zip(super()._marks(params), groups, strict=True)])


def _real(name: str, x: Any) -> np.ndarray:
    """Give a floating-point array; NaN passes, so that a divergence stays visible."""
    array = np.asarray(x)
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {array.dtype}; it must hold real numbers")
    return array


def _amounts(name: str, value: Any, x: np.ndarray) -> np.ndarray:
    """Give one or several numbers of at least 0, in the dtype of `x`."""
    amounts = _check.finite(name, value)
    if amounts.size and amounts.min() < 0:
        raise ValueError(f"{name} has {amounts.min()!r} in it; it must be at least 0" if amounts.ndim else
                         f"{name} is {value!r}; it must be a finite number of at least 0")  # fmt: skip
    try:
        fits = np.broadcast_shapes(amounts.shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name} has shape {amounts.shape}, which does not broadcast to {x.shape}")
    return amounts.astype(x.dtype)


def _ratio(name: str, value: Any) -> float:
    number = _check.non_negative(name, value)
    if number > 1:
        raise ValueError(f"{name} is {value!r}; it must be at least 0 and at most 1")
    return number


def _norm(x: np.ndarray) -> float:
    """Give the Euclidean norm; scaled by the largest number, so that no square overflows or vanishes."""
    top = float(np.max(np.abs(x), initial=0.0))
    return top * math.sqrt(np.sum(np.square(x / top, dtype=np.float64))) if top > 0 else 0.0


def _beside(params: Tree, other: Tree) -> list[tuple[str, np.ndarray, Any]]:
    """Give path, leaf and what stands at its place in another tree; beside a single array, all of it."""
    if isinstance(params, np.ndarray):
        return [("", params, other)]
    places = iter(leaves(params))
    found: list[tuple[str, np.ndarray, Any]] = []
    tree_map(lambda _leaf, there: found.append((*next(places), there)), params, other)
    return found


def _mask(path: str, leaf: np.ndarray, flag: Any) -> np.ndarray:
    mask = np.asarray(flag)
    if mask.dtype != np.bool_:
        raise TypeError(f"where gives {flag!r} for the leaf params{path}; it must be True, False or an array of them")
    if mask.shape not in ((), leaf.shape):
        raise ValueError(f"where has shape {mask.shape} for the leaf params{path} of shape {leaf.shape}")
    return mask


def _by_axis(leaf: np.ndarray, word: str) -> np.ndarray:
    """Label the numbers of a leaf by their index along its first or last axis."""
    if leaf.ndim == 0:
        return np.zeros((), np.intp)
    axis = 0 if word == "rows" else leaf.ndim - 1
    shape = [1] * leaf.ndim
    shape[axis] = leaf.shape[axis]
    return np.broadcast_to(np.arange(leaf.shape[axis]).reshape(shape), leaf.shape)


def _labels(name: str, labels: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} is {labels!r}; it must be 'rows', 'columns' or an array of whole numbers")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; the numbers have shape {shape}")
    return array.astype(np.intp)


def _group_norms(x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give for each number the index of its group (-1: none), and the groups' Euclidean norms and sizes."""
    numbers, index = np.unique(labels[labels >= 0], return_inverse=True)
    places = np.full(x.shape, -1, dtype=np.intp)
    places[labels >= 0] = index.ravel()
    chosen = x[labels >= 0].astype(np.float64)
    top = float(np.max(np.abs(chosen), initial=0.0)) or 1.0  # scaled by it, no square overflows
    squares = np.bincount(index.ravel(), weights=np.square(chosen / top), minlength=len(numbers))
    sizes = np.bincount(index.ravel(), minlength=len(numbers))
    return places, top * np.sqrt(squares), sizes


def _shorten_groups(x: np.ndarray, index: np.ndarray, norms: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    longer = norms > thresholds
    ratios = np.divide(thresholds, norms, out=np.ones_like(norms), where=longer)
    factors = np.append(1 - ratios, 1.0)  # the last one is for numbers in no group, whose index is -1
    return np.asarray(x * factors[index]).astype(x.dtype)
