r"""Learning-rate schedules: functions from the step, counted from 0, to the rate.

Every function here but `reduce_on_plateau` makes a `Schedule`. Call it with a step for one rate, or with an array of
steps for an array of rates; hand it to an optimizer as its ``learning_rate``.

>>> schedule = warmup(cosine(0.1, steps=80), steps=20)
>>> schedule(10), schedule(20), schedule(100)
(0.05, 0.1, 0.0)
>>> schedule([0, 10, 20])
array([0.  , 0.05, 0.1 ])

No rate is ever negative. Falling rates that are written as ``initial * (1 - decay * t)`` pass 0 at step ``1 / decay``,
and descent turns into ascent there; `linear` holds its final rate instead. Where two rates are blended, the blend is a
weighted mean of two numbers that are at least 0, so no rounding brings it below 0 either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, overload

import numpy as np

from course_lib import _check

__all__ = [
    "PlateauState", "ReduceOnPlateau", "Schedule", "constant", "cosine", "cosine_restarts", "exponential",
    "inverse_square_root", "inverse_time", "join", "linear", "one_cycle", "piecewise_constant", "polynomial",
    "reduce_on_plateau", "step_decay", "warmup",
]  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """A function from the step to the rate; make one with `cosine`, `warmup` and the other functions of this module.

    Attributes
    ----------
    name : str
        The function that made it.
    settings : dict of str to object
        The arguments it was made with.
    formula : callable
        From a float64 array of steps, all at least 0, to the rates.
    """

    name: str
    settings: dict[str, Any]
    formula: Callable[[np.ndarray], np.ndarray] = field(compare=False)

    @overload
    def __call__(self, step: float) -> float: ...
    @overload
    def __call__(self, step: np.ndarray | Sequence[float]) -> np.ndarray: ...
    def __call__(self, step: Any) -> Any:
        """Give the rate at a step.

        Parameters
        ----------
        step : int, float or array of them
            Steps counted from 0; a fraction is a time between two steps.

        Returns
        -------
        float or ndarray of float64
            One rate per step.

        Raises
        ------
        TypeError
            If `step` does not hold real numbers.
        ValueError
            If a step is negative, NaN or infinite, or if a function that was joined in gives a rate that is negative or
            not finite.
        """
        steps = np.asarray(step)
        if steps.dtype.kind not in "iuf":
            raise TypeError(f"step is {step!r}; it must be a number of at least 0, or an array of them")
        steps = steps.astype(np.float64)
        if steps.size and not (np.isfinite(steps).all() and steps.min() >= 0):
            raise ValueError(f"step is {step!r}; steps count from 0 and are finite")
        # One step is computed as an array of one, so that it gets the same bits as within a longer array.
        rates = np.asarray(self.formula(np.atleast_1d(steps)), dtype=np.float64).reshape(steps.shape)
        bad = ~(np.isfinite(rates) & (rates >= 0))
        if bad.any():
            raise ValueError(f"{self} gives the rate {rates[bad][0]} at step {steps[bad][0]:g}; a rate is at least 0")
        return rates if steps.ndim else float(rates)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in self.settings.items())})"


def constant(rate: float) -> Schedule:
    """Give the same rate at every step.

    Parameters
    ----------
    rate : float
        The rate, at least 0.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If `rate` is negative or not finite.
    """
    rate = _check.non_negative("rate", rate)
    return Schedule("constant", {"rate": rate}, lambda t: np.full_like(t, rate))


def linear(initial: float, final: float, steps: int) -> Schedule:
    """Go from one rate to another in a straight line, then stay there.

    ``initial + (final - initial) * min(t, steps) / steps``

    Parameters
    ----------
    initial, final : float
        The rates at step 0 and from step `steps` on, at least 0. The line may rise or fall.
    steps : int
        How many steps the way takes.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a rate is negative or `steps` is below 1.
    """
    initial, final = _check.non_negative("initial", initial), _check.non_negative("final", final)
    steps = _check.count("steps", steps)
    settings = {"initial": initial, "final": final, "steps": steps}
    return Schedule("linear", settings, lambda t: _between(initial, final, _share(t, steps)))


def exponential(initial: float, decay_rate: float, decay_steps: float = 1, staircase: bool = False) -> Schedule:
    """Lose the same share of the rate in every stretch of the same length.

    ``initial * decay_rate ** (t / decay_steps)``

    Parameters
    ----------
    initial : float
        The rate at step 0, at least 0.
    decay_rate : float
        The share that is left after `decay_steps` steps, above 0 and below 1.
    decay_steps : float
        The length of a stretch, above 0.
    staircase : bool
        Whether the rate falls only at the end of each stretch: ``t / decay_steps`` is rounded down.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a number is out of its range.
    """
    initial, decay_rate = _check.non_negative("initial", initial), _proper_fraction("decay_rate", decay_rate)
    decay_steps = _check.positive("decay_steps", decay_steps)
    settings = {"initial": initial, "decay_rate": decay_rate, "decay_steps": decay_steps, "staircase": staircase}
    return Schedule("exponential", settings, lambda t: initial * decay_rate ** _stretches(t, decay_steps, staircase))


def inverse_time(initial: float, decay_rate: float, decay_steps: float = 1, staircase: bool = False) -> Schedule:
    """Divide the rate by a number that grows in proportion to time; also called time-based decay.

    ``initial / (1 + decay_rate * t / decay_steps)``. With ``decay_rate=1`` the rate has halved at step `decay_steps`.
    Such a fall, like ``1/t``, is what the convergence of stochastic descent to a point asks for: the rates add up to
    infinity, their squares do not.

    Parameters
    ----------
    initial : float
        The rate at step 0, at least 0.
    decay_rate : float
        How much the divisor grows in `decay_steps` steps, at least 0.
    decay_steps : float
        The unit of time, above 0.
    staircase : bool
        Whether ``t / decay_steps`` is rounded down.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    H. Robbins, S. Monro, 1951, doi:10.1214/aoms/1177729586
    """
    initial, decay_rate = _check.non_negative("initial", initial), _check.non_negative("decay_rate", decay_rate)
    decay_steps = _check.positive("decay_steps", decay_steps)
    settings = {"initial": initial, "decay_rate": decay_rate, "decay_steps": decay_steps, "staircase": staircase}
    return Schedule(
        "inverse_time", settings, lambda t: initial / (1 + decay_rate * _stretches(t, decay_steps, staircase))
    )


def polynomial(initial: float, final: float, steps: int, power: float = 1.0, cycle: bool = False) -> Schedule:
    """Go from one rate to another along a power of the time that is left, then stay there.

    ``final + (initial - final) * (1 - min(t, steps) / steps) ** power``

    Parameters
    ----------
    initial, final : float
        The rates at step 0 and from step `steps` on, at least 0.
    steps : int
        How many steps the way takes.
    power : float
        Above 0; 1 is `linear`, more than 1 changes fast at first.
    cycle : bool
        Whether the way is started again at the end of each stretch, from a point part of the way: `steps` counts as the
        next multiple of itself at or after step *t*.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a number is out of its range.
    """
    initial, final = _check.non_negative("initial", initial), _check.non_negative("final", final)
    steps, power = _check.count("steps", steps), _check.positive("power", power)
    settings = {"initial": initial, "final": final, "steps": steps, "power": power, "cycle": cycle}

    def formula(t: np.ndarray) -> np.ndarray:
        end = steps * np.maximum(np.ceil(t / steps), 1) if cycle else steps
        return _between(final, initial, (1 - _share(t, end)) ** power)

    return Schedule("polynomial", settings, formula)


def step_decay(initial: float, factor: float, every: int) -> Schedule:
    """Multiply the rate by a factor every so many steps: ``initial * factor ** (t // every)``.

    Parameters
    ----------
    initial : float
        The rate of the first `every` steps, at least 0.
    factor : float
        Above 0 and below 1.
    every : int
        The length of a stair, in steps.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a number is out of its range.
    """
    initial, factor = _check.non_negative("initial", initial), _proper_fraction("factor", factor)
    every = _check.count("every", every)
    settings = {"initial": initial, "factor": factor, "every": every}
    return Schedule("step_decay", settings, lambda t: initial * factor ** (t // every))


def piecewise_constant(boundaries: Sequence[int], values: Sequence[float]) -> Schedule:
    """Hold one rate up to each boundary and the last one for good.

    Parameters
    ----------
    boundaries : sequence of int
        The steps at which the rate changes, rising. The new rate holds *from* the boundary on, as in PyTorch and optax;
        ``keras.optimizers.schedules.PiecewiseConstantDecay`` changes one step later.
    values : sequence of float
        The rates, at least 0, one more than there are boundaries.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If the boundaries do not rise, or the numbers of boundaries and values do not fit.
    """
    bounds = _boundaries(boundaries)
    rates = [_check.non_negative(f"values[{i}]", value) for i, value in enumerate(values)]
    if len(rates) != len(bounds) + 1:
        raise ValueError(f"values has {len(rates)} rates; {len(bounds)} boundaries need {len(bounds) + 1}")
    settings = {"boundaries": bounds, "values": rates}
    table = np.array(rates)
    return Schedule("piecewise_constant", settings, lambda t: table[np.searchsorted(bounds, t, side="right")])


def cosine(initial: float, steps: int, final: float = 0.0) -> Schedule:
    """Fall along half a cosine wave: slowly, fast, slowly; then stay there.

    ``final + (initial - final) * (1 + cos(pi * min(t, steps) / steps)) / 2``

    Parameters
    ----------
    initial, final : float
        The rates at step 0 and from step `steps` on, at least 0.
    steps : int
        How many steps the way takes.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a rate is negative or `steps` is below 1.

    References
    ----------
    I. Loshchilov, F. Hutter, 2017, arXiv:1608.03983
    """
    initial, final = _check.non_negative("initial", initial), _check.non_negative("final", final)
    steps = _check.count("steps", steps)
    settings = {"initial": initial, "steps": steps, "final": final}
    return Schedule("cosine", settings, lambda t: _between(initial, final, _half_wave(_share(t, steps))))


def cosine_restarts(
    initial: float, first_period: int, period_factor: float = 2.0, peak_factor: float = 1.0, final: float = 0.0
) -> Schedule:
    """Fall along half a cosine wave again and again, each time from a restart (SGDR).

    Period *i* is ``first_period * period_factor**i`` steps long and falls from ``final + (initial - final) *
    peak_factor**i`` towards `final`. The first step of a period has its peak.

    Parameters
    ----------
    initial, final : float
        The first peak and the rate that every period falls to, at least 0; `final` is at most `initial`.
    first_period : int
        The length of the first period, in steps.
    period_factor : float
        How much longer each period is than the one before, at least 1.
    peak_factor : float
        The height of each peak over `final` as a share of the one before, above 0 and at most 1.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    I. Loshchilov, F. Hutter, 2017, arXiv:1608.03983
    """
    initial, final = _check.non_negative("initial", initial), _check.non_negative("final", final)
    if final > initial:
        raise ValueError(f"final is {final!r}; it must be at most initial, {initial!r}")
    first_period = _check.count("first_period", first_period)
    growth, peak_factor = _check.positive("period_factor", period_factor), _check.positive("peak_factor", peak_factor)
    if growth < 1:
        raise ValueError(f"period_factor is {period_factor!r}; it must be at least 1, or the periods would shrink to 0")
    if peak_factor > 1:
        raise ValueError(f"peak_factor is {peak_factor!r}; it must be above 0 and at most 1")
    settings = {
        "initial": initial,
        "first_period": first_period,
        "period_factor": growth,
        "peak_factor": peak_factor,
        "final": final,
    }

    def start_of(period: np.ndarray) -> np.ndarray:
        return first_period * (period if growth == 1 else (growth**period - 1) / (growth - 1))

    def formula(t: np.ndarray) -> np.ndarray:
        in_periods = t / first_period
        period = np.floor(in_periods if growth == 1 else np.log1p(in_periods * (growth - 1)) / math.log(growth))
        # Rounding in the logarithm can miss by one period at the very step of a restart.
        period = period + (start_of(period + 1) <= t)
        period = period - (start_of(period) > t)
        share = (t - start_of(period)) / (first_period * growth**period)
        peak = _between(final, initial, peak_factor**period)
        return _between(peak, final, _half_wave(np.clip(share, 0, 1)))

    return Schedule("cosine_restarts", settings, formula)


def inverse_square_root(peak: float, warmup_steps: int) -> Schedule:
    """Rise in a straight line, then fall with the root of time: the schedule of the first Transformer.

    ``peak * min(n / warmup_steps, sqrt(warmup_steps / n))`` at the n-th step, ``n = t + 1``. The paper's
    ``d_model**-0.5 * min(n**-0.5, n * warmup_steps**-1.5)`` is the case ``peak = (d_model * warmup_steps)**-0.5``.

    Parameters
    ----------
    peak : float
        The rate of the last step of the rise, at least 0.
    warmup_steps : int
        How many steps rise.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If `peak` is negative or `warmup_steps` is below 1.

    References
    ----------
    A. Vaswani et al., 2017, arXiv:1706.03762, section 5.3
    """
    peak, warmup_steps = _check.non_negative("peak", peak), _check.count("warmup_steps", warmup_steps)
    settings = {"peak": peak, "warmup_steps": warmup_steps}
    return Schedule(
        "inverse_square_root",
        settings,
        lambda t: peak * np.minimum((t + 1) / warmup_steps, np.sqrt(warmup_steps / (t + 1))),
    )


def one_cycle(
    peak: float,
    steps: int,
    warmup_fraction: float = 0.3,
    initial_divisor: float = 25.0,
    final_divisor: float = 1e4,
    shape: str = "cosine",
) -> Schedule:
    """Rise to a peak, then fall far below the start.

    From ``peak / initial_divisor`` at step 0 to `peak` at step ``warmup_fraction * steps`` and on to
    ``peak / initial_divisor / final_divisor`` at step `steps`.

    Parameters
    ----------
    peak : float
        The largest rate, at least 0.
    steps : int
        The length of the cycle. As with the other schedules the last rate stands at step `steps`, which is also optax's
        count. ``torch.optim.lr_scheduler.OneCycleLR(total_steps=n)`` puts it at step ``n - 1`` and the peak at step
        ``pct_start * n - 1``.
    warmup_fraction : float
        The share of the steps that rise, above 0 and below 1.
    initial_divisor, final_divisor : float
        How far the first rate is below the peak, and the last below the first; at least 1.
    shape : {"cosine", "linear"}
        The form of both ways. The paper's is linear, most libraries' default is half a cosine wave.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    L. N. Smith, N. Topin, 2017, arXiv:1708.07120
    """
    peak, steps = _check.non_negative("peak", peak), _check.count("steps", steps)
    warmup_fraction = _proper_fraction("warmup_fraction", warmup_fraction)
    for name, divisor in (("initial_divisor", initial_divisor), ("final_divisor", final_divisor)):
        if _check.positive(name, divisor) < 1:
            raise ValueError(f"{name} is {divisor!r}; it must be at least 1")
    bend = _half_wave if _check.choice("shape", shape, ("cosine", "linear")) == "cosine" else _straight
    settings = {
        "peak": peak,
        "steps": steps,
        "warmup_fraction": warmup_fraction,
        "initial_divisor": initial_divisor,
        "final_divisor": final_divisor,
        "shape": shape,
    }
    top = warmup_fraction * steps
    initial = peak / initial_divisor

    def formula(t: np.ndarray) -> np.ndarray:
        rise = _between(initial, peak, bend(_share(t, top)))
        fall = _between(peak, initial / final_divisor, bend(np.clip((t - top) / (steps - top), 0, 1)))
        return np.where(t < top, rise, fall)

    return Schedule("one_cycle", settings, formula)


def warmup(schedule: Callable[[Any], Any], steps: int, start: float = 0.0) -> Schedule:
    """Rise in a straight line to where a schedule starts, then follow it from its own step 0.

    Parameters
    ----------
    schedule : Schedule or callable
        What follows; a function of a step will do.
    steps : int
        How many steps rise. At step `steps` the rate is that of ``schedule(0)``.
    start : float
        The rate at step 0, at least 0. With 0 the very first step changes nothing.

    Returns
    -------
    Schedule

    Raises
    ------
    TypeError
        If `schedule` cannot be called.
    ValueError
        If `steps` is below 1, or `start` or the schedule's first rate is negative.

    References
    ----------
    P. Goyal et al., 2017, arXiv:1706.02677, section 2.2
    """
    _callable("schedule", schedule)
    peak = _check.non_negative("schedule(0)", schedule(0))
    joined = join([linear(start, peak, steps), schedule], [_check.count("steps", steps)])
    settings = {"schedule": schedule, "steps": steps, "start": start}
    return replace(joined, name="warmup", settings=settings)


def join(schedules: Sequence[Callable[[Any], Any]], boundaries: Sequence[int]) -> Schedule:
    """Follow one schedule after another, each from its own step 0.

    Parameters
    ----------
    schedules : sequence of Schedule or callable
        At least one; a function of a step will do.
    boundaries : sequence of int
        The steps at which the second, third, ... take over, rising.

    Returns
    -------
    Schedule

    Raises
    ------
    TypeError
        If a schedule cannot be called.
    ValueError
        If the boundaries do not rise, or the numbers of boundaries and schedules do not fit.
    """
    parts, bounds = list(schedules), _boundaries(boundaries)
    for index, part in enumerate(parts):
        _callable(f"schedules[{index}]", part)
    if len(parts) != len(bounds) + 1:
        raise ValueError(f"schedules has {len(parts)} entries; {len(bounds)} boundaries need {len(bounds) + 1}")
    starts = [0, *bounds]

    def formula(t: np.ndarray) -> np.ndarray:
        turn = np.searchsorted(bounds, t, side="right")
        rates = np.empty_like(t)
        for index, part in enumerate(parts):
            here = turn == index
            if here.any():
                rates[here] = _rates(part, t[here] - starts[index])
        return rates

    return Schedule("join", {"schedules": parts, "boundaries": bounds}, formula)


@dataclass(frozen=True)
class PlateauState:
    """What `ReduceOnPlateau` remembers.

    Attributes
    ----------
    rate : float
        The rate in force.
    best : float
        The lowest loss that counted as an improvement.
    waited : int
        Losses since then that did not.
    cooldown_left : int
        Losses that will not be counted.
    """

    rate: float
    best: float = math.inf
    waited: int = 0
    cooldown_left: int = 0


@dataclass(frozen=True)
class ReduceOnPlateau:
    """Lower the rate when the loss stops falling; made by `reduce_on_plateau`, which explains the attributes."""

    initial: float
    factor: float
    patience: int
    threshold: float
    threshold_mode: str
    cooldown: int
    minimum: float
    smallest_change: float

    def init(self) -> PlateauState:
        """Make the state before the first loss."""
        return PlateauState(self.initial)

    def update(self, loss: float, state: PlateauState) -> tuple[float, PlateauState]:
        """Take note of a loss.

        Parameters
        ----------
        loss : float
            The loss of an epoch, usually on validation data.
        state : PlateauState
            From `init` or from the update before.

        Returns
        -------
        rate : float
            The rate from here on; pass it to ``Optimizer.update(..., learning_rate=rate)``.
        state : PlateauState

        Raises
        ------
        ValueError
            If `loss` is NaN or infinite.
        """
        loss = float(_check.finite("loss", loss, ndim=0))
        relative = self.threshold_mode == "rel"
        goal = state.best * (1 - self.threshold) if relative else state.best - self.threshold
        better = loss < goal
        best, waited = (loss, 0) if better else (state.best, state.waited + 1)
        rate, cooldown_left = state.rate, state.cooldown_left
        if cooldown_left > 0:
            cooldown_left, waited = cooldown_left - 1, 0
        if waited > self.patience:
            lower = max(rate * self.factor, self.minimum)
            rate = lower if rate - lower > self.smallest_change else rate
            cooldown_left, waited = self.cooldown, 0
        return rate, PlateauState(rate, best, waited, cooldown_left)


def reduce_on_plateau(
    initial: float,
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    threshold_mode: str = "rel",
    cooldown: int = 0,
    minimum: float = 0.0,
    smallest_change: float = 1e-8,
) -> ReduceOnPlateau:
    """Lower the rate when the loss has stopped falling, which no function of the step alone can know.

    The rules are those of ``torch.optim.lr_scheduler.ReduceLROnPlateau``. ``keras.callbacks.ReduceLROnPlateau`` with
    ``patience=p, cooldown=c, min_delta=d`` lowers one loss earlier and rests one loss less: it is this with
    ``patience=max(p - 1, 0), cooldown=max(c - 1, 0), threshold=d, threshold_mode="abs", smallest_change=0``.

    Parameters
    ----------
    initial : float
        The first rate, at least 0.
    factor : float
        What the rate is multiplied by, above 0 and below 1.
    patience : int
        How many losses in a row may bring no improvement; the next one lowers the rate.
    threshold : float
        The least improvement that counts, in [0, 1) for ``"rel"``.
    threshold_mode : {"rel", "abs"}
        Whether that is a share of the best loss or a difference. A share asks for ``loss < best * (1 - threshold)``,
        which makes no sense for losses that are negative: use ``"abs"`` there.
    cooldown : int
        How many losses after a change of rate are not counted.
    minimum : float
        The rate never falls below it.
    smallest_change : float
        A smaller change of rate than this is not made.

    Returns
    -------
    ReduceOnPlateau
        With ``init() -> state`` and ``update(loss, state) -> (rate, state)``.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> plateau = reduce_on_plateau(0.1, factor=0.5, patience=1)
    >>> state = plateau.init()
    >>> for loss in (3.0, 2.0, 2.0, 2.0, 2.0):
    ...     rate, state = plateau.update(loss, state)
    ...     print(rate, end=" ")
    0.1 0.1 0.1 0.05 0.05
    """
    initial, minimum = _check.non_negative("initial", initial), _check.non_negative("minimum", minimum)
    if minimum > initial:
        raise ValueError(f"minimum is {minimum!r}; it must be at most initial, {initial!r}")
    relative = _check.choice("threshold_mode", threshold_mode, ("rel", "abs")) == "rel"
    threshold = (_check.fraction if relative else _check.non_negative)("threshold", threshold)
    return ReduceOnPlateau(
        initial,
        _proper_fraction("factor", factor),
        _check.count("patience", patience, least=0),
        threshold,
        threshold_mode,
        _check.count("cooldown", cooldown, least=0),
        minimum,
        _check.non_negative("smallest_change", smallest_change),
    )


def _share(t: np.ndarray, end: Any) -> np.ndarray:
    """Give the share of the way to step `end` that is done, at most 1."""
    return np.minimum(t / end, 1)


def _between(start: float | np.ndarray, end: float | np.ndarray, share: np.ndarray) -> np.ndarray:
    """Give the weighted mean of two rates: exact at both ends, and not negative if they are not."""
    return start * (1 - share) + end * share


def _half_wave(share: np.ndarray) -> np.ndarray:
    return (1 - np.cos(math.pi * share)) / 2


def _straight(share: np.ndarray) -> np.ndarray:
    return share


def _stretches(t: np.ndarray, length: float, staircase: bool) -> np.ndarray:
    return t // length if staircase else t / length


def _rates(schedule: Callable[[Any], Any], steps: np.ndarray) -> Any:
    if isinstance(schedule, Schedule):
        return schedule(steps)
    # A function from elsewhere may know single steps only, and whole ones.
    return [schedule(int(step) if step.is_integer() else float(step)) for step in steps]


def _proper_fraction(name: str, value: Any) -> float:
    number = _check.fraction(name, value)
    if number == 0:
        raise ValueError(f"{name} is {value!r}; it must be above 0 and below 1")
    return number


def _boundaries(boundaries: Sequence[int]) -> list[int]:
    bounds = [_check.count(f"boundaries[{i}]", bound) for i, bound in enumerate(boundaries)]
    if any(later <= earlier for earlier, later in pairwise(bounds)):
        raise ValueError(f"boundaries is {bounds}; each must be larger than the one before")
    return bounds


def _callable(name: str, value: Any) -> None:
    if not callable(value):
        raise TypeError(f"{name} is {value!r}; it must be a schedule, or a function of the step")
