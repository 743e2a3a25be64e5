"""How sure a measured number is: bootstrap intervals for any metric, Wilson's for a share.

A test set is a sample. Another sample of the same size would give another number, and an interval says how different.
All functions take the examples to be independent draws: patients, not several images of one patient.

>>> import numpy as np
>>> right = np.array([1] * 90 + [0] * 10)
>>> print(bootstrap_interval(np.mean, right, rng=0))
0.900 (0.840 to 0.960, 95% percentile)
>>> print(wilson_interval(90, 100))
0.900 (0.826 to 0.945, 95% wilson)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from course_lib import _check, runtime

__all__ = ["Interval", "bootstrap_distribution", "bootstrap_interval", "paired_bootstrap", "wilson_interval"]

_METHODS = ("percentile", "basic", "bca")
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of an interval around it.

    Attributes
    ----------
    estimate : float
        What was measured on the sample.
    low, high : float
        The ends, in the unit of the estimate.
    level : float
        How often the procedure covers the true value, if its assumptions hold: 0.95.
    method : str
        How the ends were found.

    Examples
    --------
    >>> 0.5 in Interval(0.6, 0.4, 0.8, 0.95, "wilson")
    True
    """

    estimate: float
    low: float
    high: float
    level: float
    method: str

    @property
    def width(self) -> float:
        """The distance of the ends."""
        return self.high - self.low

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.estimate:.3f} ({self.low:.3f} to {self.high:.3f}, {self.level:.0%} {self.method})"


def bootstrap_distribution(
    statistic: Callable[..., Any], *arrays: Any, repeats: int = 2000, strata: Any = None, rng: Any = None
) -> np.ndarray:
    """Compute a statistic on many samples drawn from the sample, with replacement.

    Parameters
    ----------
    statistic : callable
        ``statistic(*arrays)`` gives one number, such as ``accuracy(y_true, y_pred)``.
    *arrays : array_like, shape (examples, ...)
        What it takes; examples along the first axis of each, and drawn together: row i stays with row i.
    repeats : int
        How many samples.
    strata : array_like of labels, shape (examples,), optional
        Draw as many examples of each label as there are, where the statistic needs every class to be present.
    rng : int or numpy.random.Generator, optional
        Where the numbers come from; a whole number is a seed. Default ``course_lib.runtime.rng("bootstrap")``, which
        follows ``COURSE_SEED``.

    Returns
    -------
    ndarray, shape (repeats,)

    Raises
    ------
    TypeError, ValueError
        If there is no array, one is empty, their lengths differ, or the statistic does not give one finite number.

    References
    ----------
    B. Efron, 1979, Bootstrap methods: another look at the jackknife, doi:10.1214/aos/1176344552

    Examples
    --------
    >>> bootstrap_distribution(np.mean, [2.0, 2.0, 2.0], repeats=4, rng=0)
    array([2., 2., 2., 2.])
    """
    data, groups = _sample(arrays, strata)
    generator = runtime.rng("bootstrap") if rng is None else np.random.default_rng(rng)
    values = np.empty(_check.count("repeats", repeats))
    for repeat in range(len(values)):
        drawn = np.concatenate([group[generator.integers(len(group), size=len(group))] for group in groups])
        values[repeat] = _number(statistic(*(array[drawn] for array in data)), "a resample")
    return values


def bootstrap_interval(
    statistic: Callable[..., Any],
    *arrays: Any,
    level: float = 0.95,
    repeats: int = 2000,
    method: str = "percentile",
    strata: Any = None,
    rng: Any = None,
) -> Interval:
    r"""Give an interval for a statistic from samples drawn from the sample.

    ``"percentile"`` takes the quantiles of the bootstrap distribution; ``"basic"`` reflects them at the estimate;
    ``"bca"`` moves the quantiles to correct a bias (how far the estimate is from the median of the distribution) and an
    acceleration (how the spread changes with the estimate, from leaving out one example at a time).

    Parameters
    ----------
    statistic, *arrays, repeats, strata, rng
        As in `bootstrap_distribution`. ``"bca"`` calls the statistic once more for every example.
    level : float
        Above 0 and below 1.
    method : {"percentile", "basic", "bca"}
        How the ends are found.

    Returns
    -------
    Interval

    Raises
    ------
    TypeError, ValueError
        As `bootstrap_distribution`; if `level` or `method` is not as above; and for ``"bca"`` if all samples lie on one
        side of the estimate, where the correction has no value.

    References
    ----------
    B. Efron, 1979, doi:10.1214/aos/1176344552 (percentile); B. Efron, 1987, Better bootstrap confidence intervals,
    doi:10.1080/01621459.1987.10478410 (BCa); A. C. Davison, D. V. Hinkley, 1997, Bootstrap Methods and their
    Application, doi:10.1017/CBO9780511802843, section 5.2 (basic)

    Examples
    --------
    >>> x = np.random.default_rng(1).exponential(size=50)
    >>> for method in ("percentile", "basic", "bca"):
    ...     print(bootstrap_interval(np.mean, x, method=method, rng=0))
    1.236 (0.881 to 1.669, 95% percentile)
    1.236 (0.802 to 1.591, 95% basic)
    1.236 (0.933 to 1.799, 95% bca)
    """
    low, high = _tails(level)
    kind = _check.choice("method", method, _METHODS)
    data, groups = _sample(arrays, strata)
    estimate = _number(statistic(*data), "the sample")
    values = bootstrap_distribution(statistic, *data, repeats=repeats, strata=strata, rng=rng)
    if kind == "bca":
        low, high = _bca_tails(statistic, data, groups, estimate, values, low, high)
    ends = np.quantile(values, [low, high])
    if kind == "basic":
        ends = 2 * estimate - ends[::-1]
    return Interval(estimate, float(ends[0]), float(ends[1]), level, kind)


def paired_bootstrap(
    metric: Callable[..., Any],
    y_true: Any,
    pred_a: Any,
    pred_b: Any,
    *,
    level: float = 0.95,
    repeats: int = 2000,
    method: str = "percentile",
    strata: Any = None,
    rng: Any = None,
) -> Interval:
    """Give an interval for the difference of two models, measured on the same examples.

    Both models meet the same hard examples, so the difference is known better than two separate intervals suggest.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, prediction)`` gives one number.
    y_true, pred_a, pred_b : array_like, shape (examples, ...)
        What is true, and what both models say of it.
    level, repeats, method, strata, rng
        As in `bootstrap_interval`.

    Returns
    -------
    Interval
        Of the metric of `pred_a` less that of `pred_b`. If it holds 0, the data do not tell which model is better.

    Raises
    ------
    TypeError, ValueError
        As `bootstrap_interval`.

    References
    ----------
    B. Efron, R. J. Tibshirani, 1993, An Introduction to the Bootstrap, doi:10.1201/9780429246593

    Examples
    --------
    >>> y = np.arange(100) % 2
    >>> a, b = np.where(np.arange(100) < 10, 1 - y, y), np.where(np.arange(100) < 12, 1 - y, y)
    >>> print(paired_bootstrap(lambda t, p: np.mean(t == p), y, a, b, rng=0))
    0.020 (0.000 to 0.050, 95% percentile)
    """

    def difference(true: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        return _number(metric(true, a), "pred_a") - _number(metric(true, b), "pred_b")

    return bootstrap_interval(
        difference, y_true, pred_a, pred_b, level=level, repeats=repeats, method=method, strata=strata, rng=rng
    )


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    r"""Give Wilson's interval for a probability, such as an accuracy.

    It holds every :math:`p` for which the measured share is within :math:`z \sqrt{p (1 - p) / n}` of :math:`p`, and so
    keeps a width where no example, or every one, succeeds.

    Parameters
    ----------
    successes : int
        How many of the `n` independent examples succeeded, 0 to `n`.
    n : int
        At least 1.
    level : float
        Above 0 and below 1.

    Returns
    -------
    Interval
        Within [0, 1].

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    References
    ----------
    E. B. Wilson, 1927, Probable inference, the law of succession, and statistical inference,
    doi:10.1080/01621459.1927.10502953

    Examples
    --------
    >>> print(wilson_interval(20, 20))
    1.000 (0.839 to 1.000, 95% wilson)
    """
    total = _check.count("n", n)
    if _check.count("successes", successes, least=0) > total:
        raise ValueError(f"successes is {successes!r}; it must be at most n, which is {total}")
    share, z = successes / total, _NORMAL.inv_cdf(_tails(level)[1])
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    # At 0 and n the ends are exact, and only rounding would move them.
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == total else middle + half
    return Interval(share, low, high, level, "wilson")


def _tails(level: float) -> tuple[float, float]:
    if not 0 < _check.positive("level", level) < 1:
        raise ValueError(f"level is {level!r}; it must be above 0 and below 1")
    return (1 - level) / 2, (1 + level) / 2


def _number(value: Any, where: str) -> float:
    if np.size(value) != 1 or not np.isfinite(value).all():
        raise ValueError(f"the statistic gave {value!r} for {where}; it must give one finite number")
    return float(np.asarray(value).reshape(()))


def _sample(arrays: tuple[Any, ...], strata: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Check the arrays; give them, and the row numbers of each stratum."""
    data = [np.asarray(array) for array in arrays]
    if not data:
        raise ValueError("no array is given; the statistic needs at least one to draw examples from")
    lengths = [len(array) if array.ndim else 0 for array in data]
    if min(lengths) != max(lengths) or lengths[0] == 0:
        raise ValueError(f"the arrays have {lengths} examples; they must be as many, and at least 1")
    if strata is None:
        return data, [np.arange(lengths[0])]
    labels = np.asarray(strata)
    if labels.shape != (lengths[0],):
        raise ValueError(f"strata has shape {labels.shape}; it must be {(lengths[0],)}, one label an example")
    return data, [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _bca_tails(
    statistic: Callable[..., Any],
    data: list[np.ndarray],
    groups: list[np.ndarray],
    estimate: float,
    values: np.ndarray,
    low: float,
    high: float,
) -> tuple[float, float]:
    """Move the two tail probabilities by bias and acceleration (Efron, 1987, equation 2.3)."""
    under = float(np.mean(values < estimate) + np.mean(values <= estimate)) / 2
    if not 0 < under < 1:
        raise ValueError("all resamples lie on one side of the estimate; method 'bca' needs some on both")
    bias, acceleration = _NORMAL.inv_cdf(under), _acceleration(statistic, data, groups, estimate)

    def moved(tail: float) -> float:
        z = bias + _NORMAL.inv_cdf(tail)
        return _NORMAL.cdf(bias + z / (1 - acceleration * z))

    return moved(low), moved(high)


def _acceleration(
    statistic: Callable[..., Any], data: list[np.ndarray], groups: list[np.ndarray], estimate: float
) -> float:
    """Give a sixth of the skewness of the influence of single examples, by leaving out one at a time."""
    keep, cubes, squares = np.ones(len(data[0]), dtype=bool), 0.0, 0.0
    for group in groups:
        without = np.empty(len(group))
        for place, row in enumerate(group):
            keep[row] = False
            without[place] = _number(statistic(*(array[keep] for array in data)), "a sample less one example")
            keep[row] = True
        influence = (without.mean() - without) * (len(group) - 1) / len(group)
        cubes, squares = cubes + np.sum(influence**3), squares + np.sum(influence**2)
    # Rounding alone gives a constant statistic a tiny spread, and a tiny spread any skewness.
    negligible = squares <= (1e-12 * max(1.0, abs(estimate))) ** 2
    return 0.0 if negligible else float(cubes / (6 * squares**1.5))
