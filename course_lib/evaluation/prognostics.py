"""Judging forecasts of failure: NASA's score for remaining life, and the threshold that costs least.

>>> round(nasa_score([100, 100], [100, 110]), 3)  # ten cycles too many: exp(1) - 1
1.718
>>> round(nasa_score([100, 100], [100, 90]), 3)  # ten too few cost less
1.158
>>> cheapest_threshold([0, 0, 0, 1], [0.1, 0.2, 0.4, 0.3], miss=10, alarm=1)
(0.3, 2.0)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["alarm_cost", "cheapest_threshold", "nasa_score"]


def nasa_score(true: Any, predicted: Any) -> float:
    r"""Give the score by which predictions of remaining life are compared: 0 is perfect, large is bad.

    With the error :math:`d`, predicted minus true, it is the sum of :math:`e^{-d/13} - 1` where :math:`d < 0` and of
    :math:`e^{d/10} - 1` elsewhere. To promise too much is punished more, and one very wrong engine outweighs all
    others.

    Parameters
    ----------
    true, predicted : array_like, shape (engines,)
        Remaining cycles.

    Returns
    -------
    float
        A sum: it grows with the number of engines.

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in shape, are empty or hold what is not finite.

    References
    ----------
    A. Saxena et al., 2008, https://doi.org/10.1109/PHM.2008.4711414
    """
    error = np.subtract(*reversed(_alike("true", true, "predicted", predicted)))
    return float(np.sum(np.expm1(np.where(error < 0, -error / 13, error / 10))))


def alarm_cost(true: Any, alarms: Any, miss: float, alarm: float) -> float:
    """Give what a policy costs: so much for each failure without an alarm, so much for each alarm, needed or not.

    Parameters
    ----------
    true : array_like of 0 and 1, shape (examples,)
        Where it failed.
    alarms : array_like of 0 and 1, shape (examples,)
        Where somebody is sent to look.
    miss, alarm : float
        Cost of a missed failure, and of sending somebody.

    Returns
    -------
    float
        The sum, in the unit of `miss` and `alarm`.

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in shape or hold something else, or a cost is negative.
    """
    _check.non_negative("miss", miss)
    _check.non_negative("alarm", alarm)
    failed, sent = _alike("true", true, "alarms", alarms)
    for name, values in (("true", failed), ("alarms", sent)):
        if not np.isin(values, (0, 1)).all():
            raise ValueError(f"{name} holds {values[~np.isin(values, (0, 1))][0]}; it must hold 0 and 1")
    return float(miss * np.sum((failed == 1) & (sent == 0)) + alarm * np.sum(sent))


def cheapest_threshold(true: Any, scores: Any, miss: float, alarm: float) -> tuple[float, float]:
    """Find the threshold whose alarms, at scores of at least that, cost least on these examples.

    For calibrated probabilities no search is needed: send somebody where ``probability * miss > alarm``.

    Parameters
    ----------
    true : array_like of 0 and 1, shape (examples,)
        Where it failed.
    scores : array_like, shape (examples,)
        The higher, the likelier.
    miss, alarm
        As in `alarm_cost`.

    Returns
    -------
    threshold : float
        One of the scores, or infinity: never send anybody. Of equally cheap ones the highest.
    cost : float
        What its alarms cost here; on other examples it costs more, since it was chosen for these.

    Raises
    ------
    TypeError, ValueError
        As `alarm_cost`.
    """
    failed, score = _alike("true", true, "scores", scores)
    never = alarm_cost(failed, np.zeros(len(failed)), miss, alarm)  # checks the arguments, too
    order = np.argsort(-score, kind="stable")
    costs = never + np.cumsum(alarm - miss * failed[order])  # with alarms at the first 1, 2, ... examples
    ends = np.r_[np.diff(score[order]) != 0, True]  # equal scores are on one side of every threshold
    candidates = np.r_[never, costs[ends]]
    best = int(np.argmin(candidates))
    return float(np.r_[np.inf, score[order][ends]][best]), float(candidates[best])


def _alike(first_name: str, first: Any, second_name: str, second: Any) -> list[np.ndarray]:
    a, b = _check.finite(first_name, first, ndim=1), _check.finite(second_name, second, ndim=1)
    if a.shape != b.shape or not a.size:
        raise ValueError(
            f"{first_name} has shape {a.shape} and {second_name} {b.shape}; they must be as long, not empty"
        )
    return [a.astype(np.float64), b.astype(np.float64)]
