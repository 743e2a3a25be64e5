r"""Linear fits with a penalty: ridge in closed form, lasso and elastic net by coordinate descent, whole paths.

The conventions are scikit-learn's, so that a strength can be carried over as it is. They differ from each other:

=============== ==========================================================================================
`ridge`         :math:`\|y - Xw - b\|^2 + \lambda\|w\|_2^2`: a sum over the examples, no half
`lasso`         :math:`\frac{1}{2n}\|y - Xw - b\|^2 + \lambda\|w\|_1`: half a mean
`elastic_net`   :math:`\frac{1}{2n}\|y - Xw - b\|^2 + \lambda(r\|w\|_1 + \frac{1-r}{2}\|w\|_2^2)`: the same
=============== ==========================================================================================

Hence ``ridge(x, y, n * s)`` is the elastic net of strength *s* with ``l1_ratio=0``. The intercept *b* is not penalised.

>>> import numpy as np
>>> x = np.array([[1.0, 0.2], [0.4, 1.0], [-1.0, 0.5], [0.3, -1.0]])
>>> y = x @ np.array([2.0, 0.1]) + 5
>>> ridge(x, y, 1.0).coefficients.round(3), lasso(x, y, 0.5).coefficients.round(3)
(array([1.35 , 0.002]), array([1.045, 0.   ]))
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib import _check
from course_lib.regularization.penalties import _ratio

__all__ = [
    "LinearFit", "RegularizationPath", "coordinate_descent_lasso", "elastic_net", "lasso", "regularization_path",
    "ridge",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A fitted linear model.

    Attributes
    ----------
    coefficients : ndarray, shape (features,) or (features, targets)
        The weights.
    intercept : float or ndarray of shape (targets,)
        The constant; 0 where none was fitted.
    sweeps : int
        How many passes over the coordinates the fit took; 0 for a closed form.
    optimality_gap : float
        By how much the worst coordinate misses its condition for a minimum (see `lasso`), in the units of the strength;
        0 for a closed form.
    """

    coefficients: np.ndarray
    intercept: Any
    sweeps: int = 0
    optimality_gap: float = 0.0

    def predict(self, x: Any) -> np.ndarray:
        """Give the predictions.

        Parameters
        ----------
        x : array_like, shape (examples, features)
            New examples.

        Returns
        -------
        ndarray, shape (examples,) or (examples, targets)

        Raises
        ------
        ValueError
            If the number of features is another one.
        """
        x = _check.finite("x", x, ndim=2)
        if x.shape[1] != len(self.coefficients):
            raise ValueError(f"x has {x.shape[1]} features; the fit was made with {len(self.coefficients)}")
        return x @ self.coefficients + self.intercept


@dataclass(frozen=True, eq=False)
class RegularizationPath:
    """Fits over a range of strengths.

    Attributes
    ----------
    strengths : ndarray, shape (strengths,)
        From the largest to the smallest.
    coefficients : ndarray, shape (strengths, features)
        One row of weights for each.
    intercepts : ndarray, shape (strengths,)
        The constants.
    """

    strengths: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray

    @property
    def nonzeros(self) -> np.ndarray:
        """How many weights are not exactly 0 at each strength, shape (strengths,)."""
        return np.count_nonzero(self.coefficients, axis=1)

    def fit(self, index: int) -> LinearFit:
        """Give the fit at one strength.

        Parameters
        ----------
        index : int
            Its place in `strengths`.

        Returns
        -------
        LinearFit
        """
        return LinearFit(self.coefficients[index], float(self.intercepts[index]))


def ridge(x: Any, y: Any, strength: float, fit_intercept: bool = True) -> LinearFit:
    r"""Fit a line with a penalty on the squares of its weights, in closed form.

    Minimises :math:`\|y - Xw - b\|^2 + \lambda\|w\|^2`, as ``sklearn.linear_model.Ridge(alpha)`` does. In the singular
    directions of *X* (:math:`X = USV^\top`, centred) the solution is
    :math:`w = V\,\mathrm{diag}\!\left(\frac{s_i}{s_i^2 + \lambda}\right)U^\top y`: ridge shrinks the directions in
    which the data vary least, and leaves those in which they vary much.

    Parameters
    ----------
    x : array_like, shape (examples, features)
        The inputs.
    y : array_like, shape (examples,) or (examples, targets)
        The targets; several are fitted one beside the other.
    strength : float
        The penalty's factor, at least 0. At 0 the fit is least squares, of several such fits the one with the smallest
        norm: the limit of ridge as its strength goes to 0.
    fit_intercept : bool
        Whether to fit a constant, which is not penalised.

    Returns
    -------
    LinearFit

    Raises
    ------
    TypeError, ValueError
        If the data are not finite numbers of matching shapes, or `strength` is below 0.

    References
    ----------
    A. E. Hoerl, R. W. Kennard, 1970, doi:10.1080/00401706.1970.10488634

    Examples
    --------
    >>> ridge([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0], strength=2.0).coefficients
    array([1.])
    """
    strength = _check.non_negative("strength", strength)
    x, y, x_mean, y_mean = _centred(x, y, fit_intercept)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    w = vt.T @ _scale_rows(_filter(s, strength, x.shape), u.T @ y)
    return LinearFit(w, _intercept(y_mean - x_mean @ w))


def lasso(x: Any, y: Any, strength: float, fit_intercept: bool = True, **options: Any) -> LinearFit:
    r"""Fit a line with a penalty on the absolute values of its weights, which makes many of them exactly 0.

    Minimises :math:`\frac{1}{2n}\|y - Xw - b\|^2 + \lambda\|w\|_1`, as ``sklearn.linear_model.Lasso(alpha)`` does. At
    the minimum, with :math:`c_j = x_j^\top(y - Xw - b)/n`, every weight meets its condition:
    :math:`c_j = \lambda\,\mathrm{sign}(w_j)` where it is not 0, and :math:`|c_j| \le \lambda` where it is.

    Parameters
    ----------
    x : array_like, shape (examples, features)
        The inputs.
    y : array_like, shape (examples,)
        The targets.
    strength : float
        The penalty's factor, above 0.
    fit_intercept : bool
        Whether to fit a constant, which is not penalised.
    **options
        `tolerance`, `max_sweeps` and `start` of `coordinate_descent_lasso`.

    Returns
    -------
    LinearFit

    Raises
    ------
    TypeError, ValueError
        If the data are not finite numbers of matching shapes, or `strength` is not above 0.

    References
    ----------
    R. Tibshirani, 1996, doi:10.1111/j.2517-6161.1996.tb02080.x

    Examples
    --------
    >>> fit = lasso([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0], strength=0.5)
    >>> fit.coefficients.round(6), round(fit.intercept, 6)
    (array([1.25]), 1.75)
    """
    return elastic_net(x, y, strength, 1.0, fit_intercept, **options)


def elastic_net(
    x: Any, y: Any, strength: float, l1_ratio: float = 0.5, fit_intercept: bool = True, **options: Any
) -> LinearFit:
    r"""Fit a line with both penalties: sparse as the lasso, and with groups of like inputs kept together as in ridge.

    Minimises :math:`\frac{1}{2n}\|y - Xw - b\|^2 + \lambda(r\|w\|_1 + \frac{1-r}{2}\|w\|_2^2)`, as
    ``sklearn.linear_model.ElasticNet(alpha, l1_ratio)`` does.

    Parameters
    ----------
    x : array_like, shape (examples, features)
        The inputs.
    y : array_like, shape (examples,)
        The targets.
    strength : float
        The penalties' common factor, above 0.
    l1_ratio : float
        The share of the absolute values, *r*, from 0 (ridge) to 1 (lasso).
    fit_intercept : bool
        Whether to fit a constant, which is not penalised.
    **options
        `tolerance`, `max_sweeps` and `start` of `coordinate_descent_lasso`.

    Returns
    -------
    LinearFit

    Raises
    ------
    TypeError, ValueError
        If the data are not finite numbers of matching shapes, or a number is out of its range.

    References
    ----------
    H. Zou, T. Hastie, 2005, doi:10.1111/j.1467-9868.2005.00503.x
    """
    x, y, x_mean, y_mean = _centred(x, _one_target(y), fit_intercept)
    w, sweeps, gap = _descend(_Problem(x, y), strength, l1_ratio, **options)
    return LinearFit(w, _intercept(y_mean - x_mean @ w), sweeps, gap)


def coordinate_descent_lasso(
    x: Any,
    y: Any,
    strength: float,
    *,
    l1_ratio: float = 1.0,
    start: Any = None,
    tolerance: float = 1e-10,
    max_sweeps: int = 10_000,
) -> np.ndarray:
    r"""Fit lasso or elastic net without intercept, one weight after another, each to its minimum.

    With the others held, the best :math:`w_j` is the soft threshold of what the data ask for:
    :math:`w_j = S\!\left(c_j + g_j w_j,\ \lambda r\right) / (g_j + \lambda(1 - r))` with
    :math:`c_j = x_j^\top(y - Xw)/n` and :math:`g_j = \|x_j\|^2/n`.

    Parameters
    ----------
    x : array_like, shape (examples, features)
        The inputs. A matrix of shape (features, features) is kept beside them.
    y : array_like, shape (examples,)
        The targets.
    strength : float
        The penalty's factor, above 0; see `elastic_net`.
    l1_ratio : float
        The share of the absolute values, from 0 to 1.
    start : array_like, shape (features,), optional
        Weights to begin with, such as those for a strength nearby; 0 by default.
    tolerance : float
        The fit ends when no weight misses its condition for a minimum by more than this share of the largest
        :math:`|x_j^\top y| / n`. Above 0.
    max_sweeps : int
        How many passes over the weights to make at most.

    Returns
    -------
    ndarray, shape (features,)

    Warns
    -----
    RuntimeWarning
        If that many passes did not reach the tolerance.

    Raises
    ------
    TypeError, ValueError
        If the data are not finite numbers of matching shapes, or a number is out of its range.

    References
    ----------
    J. Friedman, T. Hastie, R. Tibshirani, 2010, doi:10.18637/jss.v033.i01

    Examples
    --------
    >>> coordinate_descent_lasso([[1.0, 0.0], [0.0, 1.0]], [4.0, 1.0], strength=1.0)
    array([2., 0.])
    """
    x, y, _, _ = _centred(x, _one_target(y), False)
    return _descend(_Problem(x, y), strength, l1_ratio, start, tolerance, max_sweeps)[0]


def regularization_path(
    x: Any,
    y: Any,
    strengths: Any = None,
    *,
    l1_ratio: float = 1.0,
    fit_intercept: bool = True,
    count: int = 100,
    smallest: float = 1e-3,
    **options: Any,
) -> RegularizationPath:
    r"""Fit lasso, elastic net or ridge over a range of strengths, from the strongest down, each from the one before.

    Parameters
    ----------
    x : array_like, shape (examples, features)
        The inputs.
    y : array_like, shape (examples,)
        The targets.
    strengths : array_like, optional
        Strengths of `elastic_net`, above 0, in any order. Left out, `count` of them evenly on a logarithmic scale, from
        the largest that matters, :math:`\max_j |x_j^\top(y - \bar y)| / (n r)`, at which all weights are 0.
    l1_ratio : float
        The share of the absolute values, *r*: 1 for the lasso, 0 for ridge. With 0 no strength makes the weights 0, and
        the strengths left out begin at a thousand times the one of ``l1_ratio=1``, as scikit-learn's do.
    fit_intercept : bool
        Whether to fit a constant, which is not penalised.
    count : int
        How many strengths, where they are left out.
    smallest : float
        The last strength as a share of the first, where they are left out; above 0 and below 1.
    **options
        `tolerance` and `max_sweeps` of `coordinate_descent_lasso`.

    Returns
    -------
    RegularizationPath

    Raises
    ------
    TypeError, ValueError
        If the data are not finite numbers of matching shapes, or a number is out of its range.

    References
    ----------
    J. Friedman, T. Hastie, R. Tibshirani, 2010, section 2.5, doi:10.18637/jss.v033.i01

    Examples
    --------
    >>> path = regularization_path([[1.0, 0.0], [0.0, 1.0]], [4.0, 1.0], [0.25, 1.0, 2.0], fit_intercept=False)
    >>> path.coefficients
    array([[0. , 0. ],
           [2. , 0. ],
           [3.5, 0.5]])
    """
    x, y, x_mean, y_mean = _centred(x, _one_target(y), fit_intercept)
    problem = _Problem(x, y)
    ratio = _ratio("l1_ratio", l1_ratio)
    if strengths is None:
        smallest = _check.positive("smallest", smallest)
        if smallest >= 1:
            raise ValueError(f"smallest is {smallest!r}; it must be above 0 and below 1")
        first = float(np.max(np.abs(problem.xty), initial=0.0)) / max(ratio, 1e-3)
        if first == 0:
            raise ValueError("strengths is None, and no input goes with y, so that no strength matters; give strengths")
        strengths = np.geomspace(first, first * smallest, _check.count("count", count))
    strengths = np.sort(_check.finite("strengths", strengths, ndim=1))[::-1]
    if not (strengths.size and strengths[-1] > 0):
        raise ValueError(f"strengths is {strengths}; it must hold at least one number, each above 0")
    rows: list[np.ndarray] = []
    for strength in strengths:
        rows.append(_descend(problem, strength, ratio, rows[-1] if rows else None, **options)[0])
    coefficients = np.stack(rows)
    return RegularizationPath(strengths, coefficients, y_mean - coefficients @ x_mean)


class _Problem:
    """What coordinate descent needs of the data, computed once for all strengths."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        n = len(x)
        self.gram, self.xty = x.T @ x / n, x.T @ y / n


def _descend(
    problem: _Problem,
    strength: float,
    l1_ratio: float,
    start: Any = None,
    tolerance: float = 1e-10,
    max_sweeps: int = 10_000,
) -> tuple[np.ndarray, int, float]:
    """Give the weights, the number of sweeps, and by how much the worst weight misses its condition."""
    strength, ratio = _check.positive("strength", strength), _ratio("l1_ratio", l1_ratio)
    max_sweeps = _check.count("max_sweeps", max_sweeps)
    gram, xty = problem.gram, problem.xty
    allowed = _check.positive("tolerance", tolerance) * float(np.max(np.abs(xty), initial=0.0))
    l1, l2 = strength * ratio, strength * (1 - ratio)
    w = np.zeros_like(xty) if start is None else _check.finite("start", start).astype(xty.dtype)
    if w.shape != xty.shape:
        raise ValueError(f"start has shape {w.shape}; there are {len(xty)} features")
    for sweep in range(1, max_sweeps + 1):
        # A full sweep now and then; in between only over the weights that are not 0, of which there are few.
        some = np.flatnonzero(w)
        full = sweep % 5 == 1 or not some.size
        w = _sweep(gram, xty, w, l1, l2, range(len(w)) if full else some)
        if full:
            w = _solve_for_signs(gram, xty, w, l1, l2)
            gap = _missed_by(gram, xty, w, l1, l2)
            if gap <= allowed:
                return w, sweep, gap
    gap = _missed_by(gram, xty, w, l1, l2)
    if gap > allowed:
        warnings.warn(
            f"after {max_sweeps} sweeps a weight misses its condition by {gap:.3g}, more than {allowed:.3g}, which "
            "is allowed; give more max_sweeps or a larger tolerance",
            RuntimeWarning,
            stacklevel=3,
        )
    return w, max_sweeps, gap


def _sweep(gram: np.ndarray, xty: np.ndarray, w: np.ndarray, l1: float, l2: float, columns: Any) -> np.ndarray:
    """Set each of some weights to its minimum, one after another."""
    w = w.copy()
    c = xty - gram @ w  # what is left for each weight to explain
    for j in columns:
        own = gram[j, j]
        wanted = c[j] + own * w[j]
        size = abs(wanted) - l1
        new = 0.0 if size <= 0 or own + l2 == 0 else (size if wanted > 0 else -size) / (own + l2)
        if new != w[j]:
            c -= gram[j] * (new - w[j])
            w[j] = new
    return w


def _solve_for_signs(gram: np.ndarray, xty: np.ndarray, w: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """Go to the minimum among the weights with these signs; one that would change its sign stops at 0 and drops out.

    Coordinate descent finds most signs soon and then creeps. With the signs known the rest is a linear system, and each
    step towards its solution goes downhill (H. Lee et al., 2007, Efficient sparse coding algorithms, algorithm 1).
    """
    here = w
    while (active := np.flatnonzero(here)).size:
        old = here[active]
        matrix = gram[np.ix_(active, active)] + l2 * np.eye(len(active))
        # A trace of ridge: where inputs depend on each other, the step is long and ends at the first change of sign.
        matrix += 1e-12 * np.trace(matrix) / len(active) * np.eye(len(active))
        move = np.linalg.solve(matrix, xty[active] - gram[active] @ here - l2 * old - l1 * np.sign(old))
        turning = (old + move) * old < 0
        shares = np.divide(-old, move, out=np.full_like(old, np.inf), where=turning & (l1 > 0))
        share = min(1.0, float(shares.min()))
        after = np.zeros_like(w)
        after[active] = np.where(shares <= share, 0.0, old + share * move)
        if not _cost(gram, xty, after, l1, l2) <= _cost(gram, xty, here, l1, l2):  # rounding is all that is left
            break
        here = after
        if share == 1:
            break
    better = _missed_by(gram, xty, here, l1, l2) < _missed_by(gram, xty, w, l1, l2)
    return here if better or _cost(gram, xty, here, l1, l2) < _cost(gram, xty, w, l1, l2) else w


def _cost(gram: np.ndarray, xty: np.ndarray, w: np.ndarray, l1: float, l2: float) -> float:
    """Give what is minimised, up to a constant."""
    return float(w @ (gram @ w / 2 - xty) + l1 * np.abs(w).sum() + l2 / 2 * w @ w)


def _missed_by(gram: np.ndarray, xty: np.ndarray, w: np.ndarray, l1: float, l2: float) -> float:
    """Give the largest distance of 0 from a weight's subgradients: 0 exactly at a minimum."""
    slope = xty - gram @ w - l2 * w
    missed = np.where(w != 0, np.abs(slope - l1 * np.sign(w)), np.maximum(np.abs(slope) - l1, 0))
    return float(np.max(missed, initial=0.0))


def _filter(s: np.ndarray, strength: float, shape: tuple[int, ...]) -> np.ndarray:
    """Give s / (s**2 + strength), and 0 for a singular value that is rounding noise where nothing is added to it."""
    if strength == 0:
        noise = np.finfo(s.dtype).eps * max(shape) * np.max(s, initial=0.0)
        return np.divide(1, s, out=np.zeros_like(s), where=s > noise)
    return s / (s * s + strength)


def _scale_rows(factors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return factors.reshape(-1, *[1] * (rows.ndim - 1)) * rows


def _centred(x: Any, y: Any, fit_intercept: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
    """Check the data, in float64; take the means away where an intercept is wanted, and give them too."""
    x, y = (_check.finite(name, array).astype(np.float64) for name, array in (("x", x), ("y", y)))
    if x.ndim != 2 or y.ndim not in (1, 2) or len(y) != len(x) or len(x) == 0:
        raise ValueError(
            f"y has shape {y.shape} and x {x.shape}; x needs 2 dimensions, y 1 or 2, and both as many rows, at least 1"
        )
    if not _check.flag("fit_intercept", fit_intercept):
        return x, y, np.zeros(x.shape[1]), np.zeros(y.shape[1:])
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    return x - x_mean, y - y_mean, x_mean, y_mean


def _one_target(y: Any) -> np.ndarray:
    return _check.finite("y", y, ndim=1)


def _intercept(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value
