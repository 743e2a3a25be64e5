"""Sentences about results that the run itself checks.

A chapter states nothing that it did not measure. `claim` prints a sentence only together with the condition that makes
it true and the values that were measured; where the condition fails, the cell fails. `below`, `above` and `within` are
conditions that also know by how much they hold, so that ``make claims`` can table the margin over several seeds.

The module needs nothing but the standard library.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsFloat

__all__ = ["ClaimError", "Condition", "above", "below", "claim", "within"]


class ClaimError(AssertionError):
    """A claim that the run did not bear out; its text holds the sentence and every measured value."""


@dataclass(frozen=True)
class Condition:
    """A comparison with its limits kept, true or false like a bool.

    Attributes
    ----------
    value : float
        What was measured.
    low, high : float
        The open interval in which `value` must lie; an end may be infinite.
    """

    value: float
    low: float
    high: float

    def __bool__(self) -> bool:
        return self.low < self.value < self.high  # False for NaN, as it should be

    @property
    def margin(self) -> float:
        """The distance to the nearest limit, as a share: of the limit (of 1 where it is 0), or of half the interval.

        1 in the middle of an interval, 0 at a limit, negative where the condition is broken.
        """
        gap = min(self.high - self.value, self.value - self.low)
        if math.isfinite(self.low) and math.isfinite(self.high):
            return gap / ((self.high - self.low) / 2)
        limit = self.high if math.isfinite(self.high) else self.low
        return gap / (abs(limit) or 1.0) if math.isfinite(limit) else math.inf

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"{_text(self.value)} < {_text(self.high)}"
        if math.isinf(self.high):
            return f"{_text(self.value)} > {_text(self.low)}"
        return f"{_text(self.low)} < {_text(self.value)} < {_text(self.high)}"


def below(value: SupportsFloat, limit: SupportsFloat) -> Condition:
    """State that `value` is smaller than `limit`; NaN never is."""
    return Condition(float(value), -math.inf, float(limit))


def above(value: SupportsFloat, limit: SupportsFloat) -> Condition:
    """State that `value` is larger than `limit`; NaN never is."""
    return Condition(float(value), float(limit), math.inf)


def within(value: SupportsFloat, low: SupportsFloat, high: SupportsFloat) -> Condition:
    """State that `value` lies strictly between `low` and `high`.

    Raises
    ------
    ValueError
        If `low` is not smaller than `high`: no value could satisfy it.
    """
    if not float(low) < float(high):
        raise ValueError(f"low is {low} and high is {high}; low must be smaller than high")
    return Condition(float(value), float(low), float(high))


def _is_bool(value: Any) -> bool:
    return type(value).__name__ in {"bool", "bool_"}  # Python's and NumPy's, without importing NumPy


def _text(value: Any) -> str:
    """Write a measured value the way a reader wants it: four significant digits, whole numbers whole."""
    if isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0:
        return ", ".join(_text(item) for item in value)
    if _is_bool(value) or not isinstance(value, SupportsFloat):
        return str(value)
    number = float(value)
    if number.is_integer() and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:.4g}"


def claim(sentence: str, condition: Any, /, **measured: Any) -> None:
    """Print a sentence with a tick and what was measured, or fail.

    Parameters
    ----------
    sentence : str
        The statement as the reader should remember it.
    condition : bool or Condition
        What makes it true: a comparison, or better `below`, `above` or `within`, whose margin is recorded.
    **measured : object
        The values it rests on, printed under their names (underscores become spaces). Numbers, strings or small arrays.

    Raises
    ------
    ClaimError
        If `condition` is false. The text holds the sentence and all values.
    TypeError
        If `sentence` is empty or not a string, or `condition` is an array, whose truth would be ambiguous, or a string,
        which would always be true.

    Examples
    --------
    >>> claim("Ten halvings bring the error below a thousandth", below(0.5**10, 1e-3), error=0.5**10)
    ✓ Ten halvings bring the error below a thousandth
      (error 0.0009766; checked: 0.0009766 < 0.001)
    """
    if not isinstance(sentence, str) or not sentence.strip():
        raise TypeError(f"sentence is {sentence!r}; it must be a text")
    if getattr(condition, "ndim", 0) != 0 or not (_is_bool(condition) or isinstance(condition, Condition)):
        kind = type(condition).__name__
        raise TypeError(f"condition is a {kind}; it must be one truth value: a bool, or below(), above() or within()")
    holds = bool(condition)
    details = [f"{name.replace('_', ' ')} {_text(value)}" for name, value in measured.items()]
    if isinstance(condition, Condition):
        details.append(f"checked: {condition}")
    _record(sentence, condition, holds, measured)
    tail = f"\n  ({'; '.join(details)})" if details else ""
    if not holds:
        raise ClaimError(f"✗ this run does not bear out: {sentence}{tail}")
    print(f"✓ {sentence}{tail}")


def _record(sentence: str, condition: Any, holds: bool, measured: dict[str, Any]) -> None:
    """Append the claim to the file that ``COURSE_CLAIMS_LOG`` names, if it does; ``make claims`` reads it."""
    log = os.environ.get("COURSE_CLAIMS_LOG")
    if not log:
        return
    row = {
        "sentence": sentence,
        "holds": holds,
        "condition": str(condition),
        "margin": condition.margin if isinstance(condition, Condition) else None,
        "measured": {name: _text(value) for name, value in measured.items()},
    }
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
