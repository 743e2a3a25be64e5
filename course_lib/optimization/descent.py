r"""Descent runners: make steps, keep the trajectory, and say so when a run diverges.

>>> from course_lib.optimization.objectives import quadratic
>>> run = gradient_descent(quadratic(condition_number=10), 1.0, steps=200, tolerance=1e-6)
>>> run.status, run.message
('converged', 'the gradient norm fell to 9.26e-07, at most the tolerance 1e-06, after 110 steps')
>>> gradient_descent(quadratic(condition_number=10), 2.5, steps=200)
Traceback (most recent call last):
    ...
course_lib.optimization.descent.DivergenceError: quadratic with sgd diverged: the loss after step 35 is 1.06e+12, above
the limit 1e+12; the rate is 2.5 and the last finite loss was 4.71e+11 after step 34
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib import _check, runtime
from course_lib.optimization.objectives import FiniteSumObjective, Objective
from course_lib.optimization.optimizers import BLOCK, Optimizer, sgd

__all__ = [
    "LOSS_LIMIT", "DivergenceError", "Trajectory", "gradient_descent", "mini_batch_gradient_descent", "minimize",
    "stochastic_gradient_descent",
]  # fmt: skip

# A loss above this many times max(1, the loss at the start) counts as divergence: no run that works goes there, and the
# squares of such numbers still have room in float32.
LOSS_LIMIT = 1e12

# Shuffled examples are copied together in pieces of about this size, which the cache keeps until they have been used.
PIECE_BYTES = 1 << 18


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What a run went through; record 0 is the start.

    Attributes
    ----------
    params : ndarray, shape (records, ...)
        The parameters.
    steps : ndarray of int, shape (records,)
        How many steps had been made.
    losses, gradient_norms : ndarray, shape (records,)
        The full objective, and the Euclidean norm of its full gradient, at the recorded parameters.
    rates : ndarray, shape (records,)
        The learning rate of the step that led here; at the start, of the step to come.
    step_sizes : ndarray, shape (records,)
        The length of that step, as the parameters moved; 0 at the start.
    samples_seen : ndarray of int, shape (records,)
        How many examples the steps' gradients were computed from, repeats counted; for an objective without examples,
        the number of gradients. Recording counts for nothing here.
    status : str
        ``"converged"`` (the tolerance was met), ``"finished"`` (all steps were made, or the callback ended the run) or
        ``"diverged"``.
    message : str
        The same in a sentence.
    """

    params: np.ndarray
    steps: np.ndarray
    losses: np.ndarray
    gradient_norms: np.ndarray
    rates: np.ndarray
    step_sizes: np.ndarray
    samples_seen: np.ndarray
    status: str
    message: str

    @property
    def final(self) -> np.ndarray:
        """The last recorded parameters."""
        return self.params[-1]

    @property
    def best(self) -> np.ndarray:
        """The recorded parameters with the lowest loss."""
        return self.params[int(np.argmin(self.losses))]


class DivergenceError(ArithmeticError):
    """A run diverged.

    Attributes
    ----------
    trajectory : Trajectory
        All records before; every number in it is finite. It is empty if the start itself is no good.
    """

    def __init__(self, message: str, trajectory: Trajectory) -> None:
        super().__init__(message)
        self.trajectory = trajectory

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.trajectory)


def minimize(
    objective: Objective,
    optimizer: Optimizer | float | Callable[[int], Any],
    start: Any = None,
    *,
    steps: int,
    batch_size: int | None = None,
    sampling: str = "epochs",
    tolerance: float = 0.0,
    rng: np.random.Generator | int | None = None,
    record_every: int | str = 1,
    on_divergence: str = "raise",
    callback: Callable[[int, np.ndarray, float], Any] | None = None,
    plateau: Any = None,
) -> Trajectory:
    """Minimise an objective step by step.

    Parameters
    ----------
    objective : Objective
        What to minimise.
    optimizer : Optimizer, float or callable
        The method; a number or a schedule is the rate of plain gradient descent.
    start : array_like, optional
        Where to begin; the objective's customary start by default. It is copied; the run keeps its shape, and its
        precision if it is a floating-point array (otherwise the precision of the customary start). Start in the
        precision of the data: with another one, every batch has to be converted.
    steps : int
        How many steps to make at most.
    batch_size : int, optional
        How many examples a step's gradient is computed from. None, all of them: batch gradient descent; 1: stochastic
        gradient descent; in between: mini-batch gradient descent. The last two need a `FiniteSumObjective`.
    sampling : {"epochs", "replacement"}
        ``"epochs"`` shuffles the examples anew for each pass and takes batch after batch, the last of which may be
        short. ``"replacement"`` draws every batch from all examples, so that one may appear twice.
    tolerance : float
        The run ends as converged when a recorded norm of the full gradient is at most this; 0: never.
    rng : numpy.random.Generator or int, optional
        Where the shuffling comes from; a whole number is a seed. Default ``course_lib.runtime.rng("descent")``, which
        follows ``COURSE_SEED``.
    record_every : int or "epoch"
        Records are made at the start, every so many steps (or after each pass over the data), and at the end. A record
        needs the full loss and gradient: in a mini-batch run that is a pass over all data, twice.
    on_divergence : {"raise", "stop"}
        Whether divergence raises, or ends the run with status ``"diverged"``.
    callback : callable, optional
        ``callback(step, params, loss)`` runs at each record; the run ends if it returns True. `params` is a copy.
    plateau : object, optional
        A rule that sets the rate from the loss: ``init()`` gives a state and ``update(loss, state)`` gives the rate and
        the next state. It hears of the loss at each record, from the start on, and its rate replaces the optimizer's.

    Returns
    -------
    Trajectory

    Raises
    ------
    DivergenceError
        If the parameters, the loss or a gradient are not finite, or the loss is above ``LOSS_LIMIT`` times
        ``max(1, loss at the start)``. Gradients are looked at in every step, losses at the records.
    TypeError, ValueError
        If an argument is not one of those above, the batch is larger than the data, or `start` does not fit.

    Examples
    --------
    >>> from course_lib.optimization.objectives import himmelblau
    >>> from course_lib.optimization.optimizers import adam
    >>> minimize(himmelblau(), adam(0.1), steps=500).final.round(3)
    array([3., 2.])
    """
    if not isinstance(objective, Objective):
        raise TypeError(f"objective is {objective!r}; it must be an Objective")
    optimizer = _as_optimizer(optimizer)
    steps = _check.count("steps", steps)
    tolerance = _check.non_negative("tolerance", tolerance)
    _check.choice("sampling", sampling, ("epochs", "replacement"))
    _check.choice("on_divergence", on_divergence, ("raise", "stop"))
    w = _as_start(objective, start)

    draw: Callable[..., Any] = objective.gradient
    samples_per_step = per_epoch = 1
    batches: Iterator[tuple[np.ndarray, ...]] = itertools.repeat(())
    full_batch = True
    n = objective.n_examples if isinstance(objective, FiniteSumObjective) else None
    if batch_size is not None:
        batch_size = _check.count("batch_size", batch_size)
        if not isinstance(objective, FiniteSumObjective):
            raise TypeError(f"batch_size is {batch_size}, but {objective.name} has no examples; leave it out")
        if batch_size > objective.n_examples:
            raise ValueError(f"batch_size is {batch_size}; it must be at most {n}, the number of examples")
    if isinstance(objective, FiniteSumObjective):
        samples_per_step = objective.n_examples
        full_batch = batch_size is None or (batch_size == n and sampling == "epochs")
        if not full_batch and batch_size is not None:
            samples_per_step, per_epoch = batch_size, -(-objective.n_examples // batch_size)
            batches = _batches(objective.data, batch_size, sampling, _as_generator(rng))
            draw = objective.batch_gradient
    if record_every == "epoch":
        every = per_epoch
    elif isinstance(record_every, str):
        raise ValueError(f"record_every is {record_every!r}; it must be a whole number of at least 1 or 'epoch'")
    else:
        every = _check.count("record_every", record_every)

    def samples(step: int) -> int:
        if full_batch or sampling == "replacement" or n is None:
            return step * samples_per_step
        return step // per_epoch * n + step % per_epoch * samples_per_step

    run = _Recorder(objective, optimizer.name, tolerance, on_divergence, callback, samples, w.shape)
    plateau_state = None if plateau is None else plateau.init()
    state = optimizer.init(w)
    # What update_in_place does for one small array, without its checks, which would cost more than the arithmetic.
    lean = w.size <= BLOCK or not optimizer.elementwise
    slots, scalars, prepare, rule_at = list(state.slots.values()), state.scalars, optimizer.prepare, optimizer.rule_at
    scheduled = callable(optimizer.learning_rate)
    vdot, isfinite, asarray, dtype = np.vdot, math.isfinite, np.asarray, w.dtype

    # Overflow is what divergence looks like: it is found and reported here, so NumPy's warnings would say it twice.
    with np.errstate(all="ignore"):
        loss, known = _evaluate(objective, w)
        if known.shape != w.shape:
            raise ValueError(f"the gradient at start has shape {known.shape}, but start has shape {w.shape}")
        lr = optimizer.rate(0)
        done = run.record(0, w, loss, known, lr, 0.0)
        if plateau is not None and not done:
            lr, plateau_state = plateau.update(run.losses[-1], plateau_state)
            run.rates[-1] = lr = _check.non_negative("the rate of plateau", lr)
        if done:
            return run.trajectory()
        for step in range(1, steps + 1):
            gradient = known if full_batch else asarray(draw(w, *next(batches)), dtype=dtype)
            # A sum of squares is finite only if every number is; it may overflow when they are, so look again then.
            if not isfinite(vdot(gradient, gradient)) and not np.isfinite(gradient).all():
                run.diverge(step - 1, w, lr, "the gradient", gradient)
                break
            if scheduled and plateau is None:
                lr = optimizer.rate(step - 1)
            recording = step % every == 0 or step == steps
            before = w.copy() if recording else w
            if lean:
                if prepare is not None:
                    gradient = prepare(gradient)
                w += rule_at(step, lr, scalars)(gradient, w, *slots)
            else:
                state = optimizer.update_in_place(w, gradient, state, learning_rate=lr)
            if recording:
                loss, known = _evaluate(objective, w)
                if run.record(step, w, loss, known, lr, _norm(w - before)):
                    break
                if plateau is not None:
                    lr, plateau_state = plateau.update(run.losses[-1], plateau_state)
                    lr = _check.non_negative("the rate of plateau", lr)
            elif full_batch:
                known = asarray(draw(w), dtype=dtype)
    return run.trajectory()


def gradient_descent(
    objective: Objective, learning_rate: float | Callable[[int], Any], start: Any = None, *, steps: int, **options: Any
) -> Trajectory:
    """Run batch gradient descent, ``w -= lr * gradient(w)``: every step uses all examples.

    Parameters
    ----------
    objective : Objective
        What to minimise.
    learning_rate : float or callable
        The rate, or a schedule from the step (from 0) to the rate.
    start, steps, **options
        As in `minimize`.

    Returns
    -------
    Trajectory

    Raises
    ------
    DivergenceError, TypeError, ValueError
        As `minimize`.

    References
    ----------
    A.-L. Cauchy, 1847, Comptes Rendus 25. Its rates of convergence: Y. Nesterov, 2018, doi:10.1007/978-3-319-91578-4
    """
    return minimize(objective, _plain(learning_rate), start, steps=steps, **options)


def stochastic_gradient_descent(
    objective: FiniteSumObjective,
    learning_rate: float | Callable[[int], Any],
    start: Any = None,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    **options: Any,
) -> Trajectory:
    """Run stochastic gradient descent in the strict sense: every step uses one example.

    Parameters
    ----------
    objective : FiniteSumObjective
        What to minimise.
    learning_rate : float or callable
        The rate, or a schedule from the step (from 0) to the rate.
    start, **options
        As in `minimize`.
    steps, epochs : int
        How many steps, or how many passes over the data; give one of the two.

    Returns
    -------
    Trajectory

    Raises
    ------
    DivergenceError, TypeError, ValueError
        As `minimize`.

    References
    ----------
    H. Robbins, S. Monro, 1951, doi:10.1214/aoms/1177729586
    """
    return mini_batch_gradient_descent(
        objective, learning_rate, start, batch_size=1, steps=steps, epochs=epochs, **options
    )


def mini_batch_gradient_descent(
    objective: FiniteSumObjective,
    learning_rate: float | Callable[[int], Any],
    start: Any = None,
    *,
    batch_size: int,
    steps: int | None = None,
    epochs: int | None = None,
    **options: Any,
) -> Trajectory:
    """Run mini-batch gradient descent: every step uses `batch_size` examples.

    Parameters
    ----------
    objective : FiniteSumObjective
        What to minimise.
    learning_rate : float or callable
        The rate, or a schedule from the step (from 0) to the rate.
    start, **options
        As in `minimize`.
    batch_size : int
        How many examples a step uses, from 1 to all of them.
    steps, epochs : int
        How many steps, or how many passes over the data; give one of the two.

    Returns
    -------
    Trajectory

    Raises
    ------
    DivergenceError, TypeError, ValueError
        As `minimize`.

    References
    ----------
    L. Bottou, F. E. Curtis, J. Nocedal, 2018, doi:10.1137/16M1080173
    """
    if (steps is None) == (epochs is None):
        raise ValueError(f"steps is {steps!r} and epochs is {epochs!r}; give one of the two")
    batch_size = _check.count("batch_size", batch_size)
    if steps is None:
        n = getattr(objective, "n_examples", 1)
        steps = _check.count("epochs", epochs) * -(-n // batch_size)
    return minimize(objective, _plain(learning_rate), start, steps=steps, batch_size=batch_size, **options)


def _evaluate(objective: Objective, w: np.ndarray) -> tuple[float, np.ndarray]:
    """Give the full loss and gradient."""
    if objective.value_and_gradient is not None:
        loss, gradient = objective.value_and_gradient(w)
    else:
        loss, gradient = objective.value(w), objective.gradient(w)
    return float(loss), np.asarray(gradient, dtype=w.dtype)


class _Recorder:
    """Collects the records of one run and ends it when it converges or diverges."""

    def __init__(
        self,
        objective: Objective,
        method: str,
        tolerance: float,
        on_divergence: str,
        callback: Callable[[int, np.ndarray, float], Any] | None,
        samples: Callable[[int], int],
        shape: tuple[int, ...],
    ) -> None:
        self.objective, self.method, self.tolerance, self.on_divergence = objective, method, tolerance, on_divergence
        self.callback, self.samples, self.shape = callback, samples, shape
        self.params: list[np.ndarray] = []
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.rates: list[float] = []
        self.sizes: list[float] = []
        self.status, self.message = "finished", ""
        self.users_errors = np.geterr()

    def record(self, step: int, w: np.ndarray, loss: float, gradient: np.ndarray, lr: float, size: float) -> bool:
        """Add a record; tell whether the run is over."""
        norm = _norm(gradient)
        limit = LOSS_LIMIT * max(1.0, abs(self.losses[0])) if self.losses else math.inf
        # The parameters need no look of their own: they were finite before, so a step of finite length kept them so.
        finite = math.isfinite(loss) and math.isfinite(norm) and math.isfinite(size)
        if not finite or abs(loss) > limit:
            self.diverge(step, w, lr, "the gradient", gradient, loss, limit)
            return True
        self.params.append(w.copy())
        self.steps.append(step)
        self.losses.append(loss)
        self.norms.append(norm)
        self.rates.append(lr)
        self.sizes.append(size)
        if self.callback is not None:
            with np.errstate(**self.users_errors):
                ended = self.callback(step, w.copy(), loss)
            if ended is True or (isinstance(ended, np.bool_) and ended):
                self.message = f"the callback ended the run after {_count(step)}, at a loss of {loss:.3g}"
                return True
        if self.tolerance > 0 and norm <= self.tolerance:
            self.status = "converged"
            self.message = (
                f"the gradient norm fell to {norm:.3g}, at most the tolerance {self.tolerance:g}, after {_count(step)}"
            )
            return True
        return False

    def diverge(
        self,
        step: int,
        w: np.ndarray,
        lr: float,
        what: str,
        gradient: np.ndarray,
        loss: float | None = None,
        limit: float = math.inf,
    ) -> None:
        """End the run after `step` steps, naming the first of parameters, loss and gradient that is not finite."""
        loss = float(self.objective.value(w)) if loss is None else loss
        after = f"after step {step}" if step else "at the start"
        if not np.isfinite(w).all():
            found = f"{_first_bad(w)} of the parameters {after}"
        elif not math.isfinite(loss):
            found = f"the loss {after} is {loss}"
        elif abs(loss) > limit:
            side = f"above the limit {limit:.3g}" if loss > 0 else f"below the limit {-limit:.3g}"
            found = f"the loss {after} is {loss:.3g}, {side}"
        elif not np.isfinite(gradient).all():
            found = f"{_first_bad(gradient)} of the gradient {after}"
        else:
            found = f"the norm of the gradient or of the step {after} is too large for {w.dtype}"
        last = "there was no finite loss before"
        if self.losses:
            when = f"after step {self.steps[-1]}" if self.steps[-1] else "at the start"
            last = f"the last finite loss was {self.losses[-1]:.3g} {when}"
        self.status = "diverged"
        self.message = f"{self.objective.name} with {self.method} diverged: {found}; the rate is {lr:g} and {last}"

    def trajectory(self) -> Trajectory:
        """Give what was recorded, or raise if the run diverged and the user wants to hear of it so."""
        if not self.message:
            self.message = f"all {_count(self.steps[-1])} were made; the loss is {self.losses[-1]:.3g}"
        result = Trajectory(
            np.stack(self.params) if self.params else np.empty((0, *self.shape)),
            np.array(self.steps, dtype=np.int64),
            np.array(self.losses),
            np.array(self.norms),
            np.array(self.rates),
            np.array(self.sizes),
            np.array([self.samples(step) for step in self.steps], dtype=np.int64),
            self.status,
            self.message,
        )
        if self.status == "diverged" and self.on_divergence == "raise":
            raise DivergenceError(self.message, result)
        return result


def _batches(
    data: tuple[np.ndarray, ...], batch_size: int, sampling: str, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, ...]]:
    """Give batch after batch without end.

    Rows in random order are gathered piece by piece into arrays that stay in the cache, and the batches are views of
    those: picking the rows of each batch on its own costs several times as much.
    """
    n = len(data[0])
    row_bytes = sum(array.nbytes for array in data) // n
    piece = batch_size * max(1, PIECE_BYTES // max(1, row_bytes * batch_size))
    while True:
        order = rng.permutation(n) if sampling == "epochs" else rng.integers(n, size=piece)
        for first in range(0, len(order), piece):
            rows = order[first : first + piece]
            gathered = [array.take(rows, axis=0) for array in data]
            whole = len(rows) // batch_size
            # Running over the first axis of (batches, batch_size, ...) makes the views in C.
            yield from zip(
                *(a[: whole * batch_size].reshape(whole, batch_size, *a.shape[1:]) for a in gathered), strict=True
            )
            if whole * batch_size < len(rows):
                yield tuple(a[whole * batch_size :] for a in gathered)


def _as_optimizer(optimizer: Any) -> Optimizer:
    if isinstance(optimizer, Optimizer):
        return optimizer
    if callable(optimizer):
        return sgd(optimizer)
    return sgd(_check.non_negative("optimizer", optimizer))


def _plain(learning_rate: Any) -> Optimizer:
    if isinstance(learning_rate, Optimizer):
        raise TypeError(f"learning_rate is the optimizer {learning_rate.name}; give that to minimize")
    return sgd(learning_rate)


def _as_start(objective: Objective, start: Any) -> np.ndarray:
    if start is None:
        if objective.start is None:
            raise ValueError(f"start is None, and {objective.name} has no customary start; give one")
        start = objective.start
    array = np.asarray(start)
    if array.dtype.kind != "f" or not isinstance(start, (np.ndarray, np.generic)):
        customary = objective.start
        array = _check.finite("start", array).astype(np.float64 if customary is None else customary.dtype)
    if objective.start is not None and array.shape != objective.start.shape:
        raise ValueError(f"start has shape {array.shape}; {objective.name} needs {objective.start.shape}")
    return np.array(_check.finite("start", array), order="C")


def _as_generator(rng: Any) -> np.random.Generator:
    if rng is None:
        return runtime.rng("descent")
    if isinstance(rng, np.random.Generator):
        return rng
    return np.random.default_rng(_check.count("rng", rng, least=0))


def _norm(array: np.ndarray) -> float:
    """Give the Euclidean norm; scaled by the largest entry where the squares alone would overflow or vanish."""
    norm = math.sqrt(np.vdot(array, array))
    if 1e-15 < norm < math.inf:
        return norm
    top = float(np.max(np.abs(array), initial=0))
    return top * math.sqrt(np.vdot(array / top, array / top)) if 0 < top < math.inf else top


def _first_bad(array: np.ndarray) -> str:
    place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    return f"{array[place]} stands at index {place if len(place) != 1 else place[0]}"


def _count(step: int) -> str:
    return f"{step} step" if step == 1 else f"{step} steps"
