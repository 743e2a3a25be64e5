r"""Minimising a loss plus a penalty: as one smooth function, or by proximal steps where the penalty has a kink.

>>> import numpy as np
>>> from course_lib.optimization import least_squares, minimize
>>> from course_lib.regularization.penalties import L1, L2
>>> x = np.array([[1.0, 0.2], [0.4, 1.0], [-1.0, 0.5], [0.3, -1.0]])
>>> loss = least_squares(x, x @ np.array([2.0, 0.1]))
>>> minimize(penalised(loss, L2(0.5)), 0.5, steps=200).final.round(3)  # smaller weights, none of them 0
array([1.055, 0.009])
>>> proximal_descent(loss, L1(0.5), steps=200).final.round(3)
array([1.102, 0.   ])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from course_lib import _check
from course_lib._tree import Tree, tree_map
from course_lib.optimization.descent import DivergenceError, Trajectory
from course_lib.optimization.objectives import FiniteSumObjective, Objective
from course_lib.regularization.penalties import L2, Penalty

__all__ = ["ProximalTrajectory", "penalised", "proximal_descent"]


def penalised(objective: Any, penalty: Penalty) -> Any:
    """Add a penalty to a loss and its gradient.

    Where the penalty has a kink (`L1`, `ElasticNet`, `GroupLasso`) the gradient is a subgradient, and descent by it
    hovers around 0 without ever stopping there; `proximal_descent` does.

    Parameters
    ----------
    objective : Objective or callable
        An `Objective` of `course_lib.optimization`, or a function that gives the loss and its gradient,
        ``value_and_gradient(params, *args) -> (float, tree)``.
    penalty : Penalty
        What to add. Its strength may be a schedule only if `objective` is a function.

    Returns
    -------
    Objective or callable
        Of the kind of `objective`: something that `minimize` takes, or ``f(params, *args, step=0) -> (float, tree)``,
        in which `step` says where a schedule stands. Like any penalty it belongs to every example alike, so a
        mini-batch gradient holds all of it.

    Raises
    ------
    TypeError
        If an argument is not one of those above.

    Examples
    --------
    >>> import numpy as np
    >>> f = penalised(lambda w: (float(w @ w), 2 * w), L2(1.0))
    >>> f(np.array([1.0, -2.0]))
    (7.5, array([ 3., -6.]))
    """
    if not isinstance(penalty, Penalty):
        raise TypeError(f"penalty is {penalty!r}; it must be a Penalty, such as L2(1e-3)")
    if isinstance(objective, Objective):
        return _penalised_objective(objective, penalty)
    if not callable(objective):
        raise TypeError(f"objective is {objective!r}; it must be an Objective or a function of the parameters")

    def value_and_gradient(params: Tree, *args: Any, step: int = 0) -> tuple[float, Tree]:
        now = penalty.at(step)
        value, gradient = objective(params, *args)
        return float(value) + now.value(params), tree_map(np.add, gradient, now.gradient(params))

    return value_and_gradient


def _penalised_objective(objective: Objective, penalty: Penalty) -> Objective:
    if callable(penalty.strength):
        raise TypeError(
            f"strength is the schedule {penalty.strength!r}, and an Objective knows no steps; give penalty.at(step), "
            "or a function value_and_gradient in place of the Objective"
        )

    def cost(w: np.ndarray) -> float:
        if np.ndim(w) != 1:
            raise ValueError(f"w has shape {np.shape(w)}; a penalised objective takes one point of shape (dim,)")
        return penalty.value(w)

    def add_to_value(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda w, *args, **options: function(w, *args, **options) + cost(w)

    def add_to_gradient(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        return lambda w, *args, **options: function(w, *args, **options) + penalty.gradient(w)

    def add_to_both(function: Callable[..., Any]) -> Callable[..., Any]:
        def both(w: np.ndarray) -> tuple[Any, np.ndarray]:
            value, gradient = function(w)
            return value + cost(w), gradient + penalty.gradient(w)

        return both

    known: dict[str, Any] = dict.fromkeys(("hessian", "minimizers", "minimum", "smoothness", "strong_convexity"))
    if isinstance(penalty, L2) and penalty.where is None:  # every eigenvalue of the Hessian grows by the strength
        strength, hessian = penalty.strength, objective.hessian
        known |= {name: _plus(getattr(objective, name), strength) for name in ("smoothness", "strong_convexity")}
        if hessian is not None:
            known["hessian"] = lambda w: hessian(w) + strength * np.eye(objective.dim)
    both = objective.value_and_gradient
    known |= {
        "name": f"{objective.name} with {type(penalty).__name__}",
        "value": add_to_value(objective.value),
        "gradient": add_to_gradient(objective.gradient),
        "value_and_gradient": None if both is None else add_to_both(both),
        "broadcasts": False,
    }
    if isinstance(objective, FiniteSumObjective):
        known |= {
            "batch_value": add_to_value(objective.batch_value),
            "batch_gradient": add_to_gradient(objective.batch_gradient),
            "example_gradients": add_to_gradient(objective.example_gradients),
        }
    return replace(objective, **known)


def _plus(number: float | None, strength: Any) -> float | None:
    return None if number is None else number + strength


@dataclass(frozen=True, eq=False)
class ProximalTrajectory(Trajectory):
    """What a run of `proximal_descent` went through: a `Trajectory`, in which some words have another meaning.

    Attributes
    ----------
    losses : ndarray, shape (records,)
        Loss and penalty together; all NaN where only a gradient was given.
    gradient_norms : ndarray, shape (records,)
        The norm of ``(point before the step - point after it) / rate``, which stands in for the gradient of the sum:
        it is 0 exactly at a minimiser. At the start that of the step to come.
    """

    @property
    def nonzeros(self) -> np.ndarray:
        """How many weights are not exactly 0 at each record, shape (records,)."""
        return np.count_nonzero(self.params.reshape(len(self.params), -1), axis=1)

    @property
    def best(self) -> np.ndarray:
        """The recorded parameters with the lowest loss, where losses are known."""
        if np.isnan(self.losses).any():
            raise ValueError("the losses are not known, as only a gradient was given; no record is known as the best")
        return super().best


def proximal_descent(
    objective: Any,
    penalty: Penalty,
    start: Any = None,
    learning_rate: float | Callable[[int], Any] | None = None,
    steps: int = 1000,
    accelerated: bool = True,
    *,
    tolerance: float = 0.0,
    record_every: int = 1,
    on_divergence: str = "raise",
) -> ProximalTrajectory:
    r"""Minimise a smooth loss plus a penalty: a gradient step on the loss, then a proximal step on the penalty.

    :math:`w \leftarrow \mathrm{prox}_{\eta P}\left(v - \eta\nabla f(v)\right)`. Plain (ISTA), *v* is the *w* of before,
    and the distance from the minimum falls at least as fast as :math:`L\|w_0 - w^*\|^2 / (2k)` after *k* steps.
    Accelerated (FISTA), *v* runs ahead along the last movement, and :math:`2L\|w_0 - w^*\|^2 / (k + 1)^2` holds. Both
    bounds need a convex loss and a rate of 1 / *L*, the loss's smoothness.

    Parameters
    ----------
    objective : Objective or callable
        The loss without its penalty: an `Objective`, or its gradient as a function of the parameters.
    penalty : Penalty
        What to add. A schedule is asked for its strength at every step, from 0.
    start : array_like, optional
        Where to begin, any shape; the objective's customary start by default. It is copied.
    learning_rate : float or callable, optional
        The rate :math:`\eta`, or a schedule from the step (from 0) to it. Left out: 1 / *L* of the objective.
    steps : int
        How many steps to make at most.
    accelerated : bool
        FISTA or ISTA.
    tolerance : float
        The run ends as converged when the norm in `ProximalTrajectory.gradient_norms` is at most this; 0: never.
    record_every : int
        Records are made at the start, every so many steps, and at the end.
    on_divergence : {"raise", "stop"}
        Whether a number that is not finite raises, or ends the run with status ``"diverged"``.

    Returns
    -------
    ProximalTrajectory

    Raises
    ------
    course_lib.optimization.descent.DivergenceError
        If a weight is not finite any more.
    TypeError, ValueError
        If an argument is not one of those above, or a start or a rate is left out that the objective does not know.

    References
    ----------
    A. Beck, M. Teboulle, 2009, theorems 3.1 and 4.4, doi:10.1137/080716542

    Examples
    --------
    >>> import numpy as np
    >>> from course_lib.regularization.penalties import L1
    >>> run = proximal_descent(lambda w: w - np.array([3.0, 0.5]), L1(1.0), np.zeros(2), 1.0, steps=5)
    >>> run.final, run.nonzeros
    (array([2., 0.]), array([0, 1, 1, 1, 1, 1]))
    """
    if not isinstance(penalty, Penalty):
        raise TypeError(f"penalty is {penalty!r}; it must be a Penalty, such as L1(0.1)")
    gradient, value, w, rate = _problem(objective, start, learning_rate)
    steps, every = _check.count("steps", steps), _check.count("record_every", record_every)
    tolerance, accelerated = _check.non_negative("tolerance", tolerance), _check.flag("accelerated", accelerated)
    _check.choice("on_divergence", on_divergence, ("raise", "stop"))

    records: list[tuple[Any, ...]] = []
    ahead, momentum, norm = w, 1.0, math.inf
    status, message = "finished", f"all {steps} steps were made"
    with np.errstate(all="ignore"):  # overflow is what divergence looks like; it is found below
        for step in range(steps):
            lr, now = rate(step), penalty.at(step)
            after = now.proximal(ahead - lr * gradient(ahead), lr)
            norm = _length(ahead - after) / lr
            if step == 0:
                records.append((w, 0, value(w) + now.value(w), norm, lr, 0.0))
            if not np.isfinite(after).all():
                status, message = "diverged", f"a weight is not finite after step {step + 1}; the rate is {lr:g}"
                break
            done = tolerance > 0 and norm <= tolerance
            if done or (step + 1) % every == 0 or step + 1 == steps:
                records.append((after, step + 1, value(after) + now.value(after), norm, lr, _length(after - w)))
            next_momentum = (1 + math.sqrt(1 + 4 * momentum**2)) / 2 if accelerated else 1.0
            ahead = after + (momentum - 1) / next_momentum * (after - w)
            w, momentum = after, next_momentum
            if done:
                status, message = "converged", f"the norm fell to {norm:.3g} after {step + 1} steps"
                break
    params, made, losses, norms, rates, sizes = (np.array(column) for column in zip(*records, strict=True))
    examples = objective.n_examples if isinstance(objective, FiniteSumObjective) else 1
    run = ProximalTrajectory(params, made, losses, norms, rates, sizes, made * examples, status, message)
    if status == "diverged" and on_divergence == "raise":
        raise DivergenceError(message, run)
    return run


def _problem(objective: Any, start: Any, learning_rate: Any) -> tuple[Any, Any, np.ndarray, Callable[[int], float]]:
    """Give the gradient, the loss, the start and the rate of each step."""
    if isinstance(objective, Objective):
        gradient, value = objective.gradient, objective.value
        start = objective.start if start is None else start
        if learning_rate is None and objective.smoothness is not None:
            learning_rate = 1 / objective.smoothness
    elif callable(objective):
        gradient, value = objective, lambda _w: math.nan
    else:
        raise TypeError(f"objective is {objective!r}; it must be an Objective or the gradient of the loss, a function")
    if start is None:
        raise ValueError("start is None, and the objective has no customary start; give one")
    if learning_rate is None:
        raise ValueError("learning_rate is None, and the smoothness of the objective is not known; give a rate")
    if not callable(learning_rate):
        constant = _check.positive("learning_rate", learning_rate)
        return gradient, value, _check.finite("start", start).copy(), lambda _step: constant
    rate = lambda step: _check.positive(f"the rate at step {step}", learning_rate(step))  # noqa: E731
    return gradient, value, _check.finite("start", start).copy(), rate


def _length(array: np.ndarray) -> float:
    return float(np.linalg.norm(np.ravel(array)))
