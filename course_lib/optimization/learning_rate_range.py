"""The learning-rate range test: raise the rate from step to step and see where the loss falls and where it rises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib import _check
from course_lib._tree import Tree, as_parameters, leaves, tree_map
from course_lib.optimization.optimizers import Optimizer, sgd

__all__ = ["RangeTest", "range_test"]


@dataclass(frozen=True, eq=False)
class RangeTest:
    """What a range test measured; every number is finite.

    Attributes
    ----------
    rates : ndarray, shape (tried,)
        The rates that were tried, rising; fewer than asked for where the test stopped early.
    losses : ndarray, shape (tried,)
        The loss on each mini-batch, before the step with that rate.
    smoothed : ndarray, shape (tried,)
        The mean of the losses so far, older ones weighing less.
    steepest : float or None
        The rate around which the smoothed loss falls fastest per factor of the rate, over a tenth of the steps; None if
        it never falls.
    lowest : float or None
        The rate at which the smoothed loss is lowest: from here on it rises. None if it never falls, or if it still
        falls at the last rate: then `high` was too low.
    diverged : float or None
        The rate at which the test stopped early: the loss, or its smoothed mean, went over the limit or stopped being a
        number. None if it reached the last rate.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    steepest: float | None
    lowest: float | None
    diverged: float | None

    @property
    def suggested(self) -> float | None:
        """A rate to begin with: a tenth of `lowest`; None where that is None.

        The loss answers to a rate with a delay, so at `lowest` the rate is already too high for a long run. That a
        tenth is low enough is a rule of thumb, not a theorem.
        """
        return None if self.lowest is None else self.lowest / 10


def range_test(
    objective: Any,
    start: Tree | None = None,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int | None = None,
    optimizer: Optimizer | None = None,
    smoothing: float = 0.9,
    stop_factor: float = 4.0,
    rng: np.random.Generator | int = 0,
) -> RangeTest:
    """Make one step at each of many rates, from tiny to too large, and watch the loss.

    The rates form a geometric row, ``low * (high / low) ** (i / (steps - 1))``. The test stops when a loss is not a
    number or infinite, or when the smoothed loss has risen above its lowest value by more than `stop_factor` times the
    size of the first loss.

    Parameters
    ----------
    objective : Objective or FiniteSumObjective
        Anything with ``value(w)`` and ``gradient(w)``; with `batch_size` also ``value(w, rows)``, ``gradient(w, rows)``
        and ``n_examples``.
    start : array or tree of arrays, optional
        The first parameters; not changed. Default: the objective's own ``start``.
    low, high : float
        The first and the last rate, above 0.
    steps : int
        The number of rates, at least 10.
    batch_size : int, optional
        Examples in a mini-batch. Default: every step sees all examples. The examples are shuffled before each pass.
    optimizer : Optimizer, optional
        The method whose rate is looked for; its own rate is not used. Default: `sgd`.
    smoothing : float
        Share of the old mean that is kept in the smoothed loss, in [0, 1); 0 for no smoothing. The mean is corrected
        for its start at 0 as Adam's are.
    stop_factor : float
        How much of a rise ends the test, above 0.
    rng : Generator or int
        The source of the shuffles, or a seed.

    Returns
    -------
    RangeTest

    Raises
    ------
    ValueError
        If a number is out of its range, or the loss at `start` is not finite.

    References
    ----------
    L. N. Smith, 2017, arXiv:1506.01186, section 3.3
    """
    low, high = _check.positive("low", low), _check.positive("high", high)
    if high <= low:
        raise ValueError(f"high is {high!r}; it must be above low, {low!r}")
    steps, smoothing = _check.count("steps", steps, least=10), _check.fraction("smoothing", smoothing)
    stop_factor = _check.positive("stop_factor", stop_factor)
    start = getattr(objective, "start", None) if start is None else start
    if start is None:
        raise ValueError("start is None and the objective has none of its own; pass the first parameters")
    optimizer = sgd() if optimizer is None else optimizer
    batches = _batches(objective, batch_size, np.random.default_rng(rng))

    params = tree_map(np.array, as_parameters(start))
    state = optimizer.init(params)
    rates, losses, smoothed = np.geomspace(low, high, steps), [], []
    mean, lowest, limit, diverged = 0.0, np.inf, np.inf, None
    for step, rate in enumerate(rates):
        rows = next(batches)
        # Where the rate is too large numbers overflow; the test is there to find that out, so it is no cause to warn.
        with np.errstate(over="ignore", invalid="ignore"):
            finite = all(np.isfinite(leaf).all() for _, leaf in leaves(params))
            loss = float(objective.value(params, *rows)) if finite else np.inf
            mean = smoothing * mean + (1 - smoothing) * loss
            current = mean / (1 - smoothing ** (step + 1))
            lowest = min(lowest, current)
            if step == 0:
                if not np.isfinite(loss):
                    raise ValueError(f"the loss at start is {loss}; a range test needs a finite one")
                limit = stop_factor * (abs(loss) or 1.0)
            # `not <=` rather than `>`, so that NaN ends the test too.
            if not current - lowest <= limit:
                diverged = float(rate)
                break
            losses.append(loss)
            smoothed.append(current)
            gradient = objective.gradient(params, *rows)
            state = optimizer.update_in_place(params, gradient, state, learning_rate=float(rate))
    tried = len(losses)
    return _result(rates[:tried], np.array(losses), np.array(smoothed), diverged, half_window=max(1, steps // 20))


def _result(
    rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray, diverged: float | None, half_window: int
) -> RangeTest:
    bottom = int(np.argmin(smoothed))
    if bottom == 0:
        return RangeTest(rates, losses, smoothed, None, None, diverged)
    # The rates are evenly spaced in the logarithm, so differences over a window of steps are slopes.
    middle = np.arange(bottom + 1)
    falls = smoothed[np.maximum(middle - half_window, 0)] - smoothed[np.minimum(middle + half_window, bottom)]
    turned = bottom < len(smoothed) - 1 or diverged is not None
    lowest = float(rates[bottom]) if turned else None
    return RangeTest(rates, losses, smoothed, float(rates[np.argmax(falls)]), lowest, diverged)


def _batches(objective: Any, batch_size: int | None, rng: np.random.Generator) -> Any:
    """Give the arguments that pick a mini-batch, without end: none at all for the whole of the data."""
    if batch_size is None:
        while True:
            yield ()
    n = getattr(objective, "n_examples", None)
    if n is None:
        raise ValueError(f"batch_size is {batch_size!r}, but the objective has no n_examples; leave it None")
    if _check.count("batch_size", batch_size) > n:
        raise ValueError(f"batch_size is {batch_size!r}; it must be at most the number of examples, {n}")
    while True:
        order = rng.permutation(n)
        for begin in range(0, n - batch_size + 1, batch_size):
            yield (order[begin : begin + batch_size],)
