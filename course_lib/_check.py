"""Checks of arguments, each with a text that names the argument, its value and what is allowed."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np


def positive(name: str, value: Any) -> float:
    """Require a finite number above 0."""
    number = _number(name, value, "a finite number above 0")
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} is {value!r}; it must be a finite number above 0")
    return number


def non_negative(name: str, value: Any) -> float:
    """Require a finite number of at least 0."""
    number = _number(name, value, "a finite number of at least 0")
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} is {value!r}; it must be a finite number of at least 0")
    return number


def fraction(name: str, value: Any) -> float:
    """Require a number in [0, 1), the range of a decay."""
    number = _number(name, value, "at least 0 and below 1")
    if not 0 <= number < 1:
        raise ValueError(f"{name} is {value!r}; it must be at least 0 and below 1")
    return number


def count(name: str, value: Any, least: int = 1) -> int:
    """Require a whole number of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; it must be a whole number of at least {least}") from None
    if isinstance(value, bool) or number < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    return number


def flag(name: str, value: Any) -> bool:
    """Require True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}; it must be True or False")
    return bool(value)


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """Require one of a few names."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} is {value!r}; allowed are {', '.join(map(repr, allowed))}")
    return str(value)


def finite(name: str, array: Any, ndim: int | None = None) -> np.ndarray:
    """Require an array of finite real numbers; whole numbers become float64."""
    result = np.asarray(array)
    if result.dtype.kind in "biu":
        result = result.astype(np.float64)
    if result.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {result.dtype}; it must hold real numbers")
    if ndim is not None and result.ndim != ndim:
        raise ValueError(f"{name} has shape {result.shape}; it must have {ndim} dimension{'s' if ndim != 1 else ''}")
    bad = ~np.isfinite(result)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name} has {int(bad.sum())} value(s) that are NaN or infinite, the first at index {place}")
    return result


def _number(name: str, value: Any, allowed: str) -> float:
    if type(value) is float:  # the common case, at once: optimizers check their rate at every step
        return value
    if isinstance(value, (bool, str)) or value is None or np.ndim(value) != 0:
        raise TypeError(f"{name} is {value!r}; it must be {allowed}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}; it must be {allowed}") from None
