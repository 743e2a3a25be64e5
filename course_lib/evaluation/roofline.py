"""The roofline: whether an operation waits for arithmetic or for memory (S. Williams, A. Waterman, D. Patterson, 2009,
Roofline: an insightful visual performance model for multicore architectures, doi:10.1145/1498765.1498785).

An operation that does *F* floating-point operations on *Q* bytes of memory traffic has the arithmetic intensity
*F / Q*. It cannot run faster than the processor computes, nor faster than the memory delivers:

>>> roofline(peak_flops=100e9, bandwidth=10e9, intensity=0.5)  # waits for memory
5000000000.0
>>> roofline(peak_flops=100e9, bandwidth=10e9, intensity=50)  # waits for arithmetic
100000000000.0
"""  # noqa: D205

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib import _check

__all__ = [
    "Machine",
    "Operation",
    "arithmetic_intensity",
    "attention",
    "best_seconds",
    "matrix_product",
    "measure_roofline",
    "roofline",
    "vector_sum",
]


@dataclass(frozen=True)
class Operation:
    """Arithmetic and traffic of one operation.

    Attributes
    ----------
    flops : float
        Floating-point operations, a multiply-add as two.
    bytes : float
        The least traffic: each input read once, each output written once.
    """

    flops: float
    bytes: float

    @property
    def intensity(self) -> float:
        """FLOPs a byte."""
        return arithmetic_intensity(self.flops, self.bytes)


@dataclass(frozen=True)
class Machine:
    """The two measured limits of a machine.

    Attributes
    ----------
    peak_flops : float
        FLOPs a second of a large matrix product.
    bandwidth : float
        Bytes a second that a copy of a large array reads and writes.
    """

    peak_flops: float
    bandwidth: float

    @property
    def ridge(self) -> float:
        """The intensity, in FLOPs a byte, from which on arithmetic is the limit."""
        return self.peak_flops / self.bandwidth

    def limit(self, intensity: float) -> float:
        """Give the FLOPs a second that an operation of this intensity can reach at most."""
        return roofline(self.peak_flops, self.bandwidth, intensity)


def arithmetic_intensity(flops: float, traffic: float) -> float:
    """Divide arithmetic by traffic.

    Parameters
    ----------
    flops : float
        Floating-point operations.
    traffic : float
        Bytes moved between memory and processor.

    Returns
    -------
    float
        FLOPs a byte.

    Raises
    ------
    ValueError
        If `flops` is negative or `traffic` is not above 0.
    """
    return _check.non_negative("flops", flops) / _check.positive("traffic", traffic)


def roofline(peak_flops: float, bandwidth: float, intensity: float) -> float:
    """Give the most FLOPs a second that an operation can reach: min(peak, bandwidth x intensity).

    Parameters
    ----------
    peak_flops : float
        What the processor computes at most, FLOPs a second.
    bandwidth : float
        What the memory delivers at most, bytes a second.
    intensity : float
        FLOPs a byte.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If a number is not positive; an intensity may be 0.
    """
    peak, rate = _check.positive("peak_flops", peak_flops), _check.positive("bandwidth", bandwidth)
    return min(peak, rate * _check.non_negative("intensity", intensity))


def vector_sum(n: int, item_bytes: int = 4) -> Operation:
    """Add two vectors: one addition for two numbers read and one written.

    Parameters
    ----------
    n : int
        Length.
    item_bytes : int
        Bytes of a number.

    Returns
    -------
    Operation

    Examples
    --------
    >>> round(vector_sum(1000).intensity, 4)
    0.0833
    """
    _check.count("n", n)
    return Operation(n, 3 * n * _check.count("item_bytes", item_bytes))


def matrix_product(rows: int, inner: int, columns: int, item_bytes: int = 4) -> Operation:
    """Multiply a (rows, inner) by an (inner, columns) matrix; one column makes a matrix-vector product.

    Parameters
    ----------
    rows, inner, columns : int
        The three sizes.
    item_bytes : int
        Bytes of a number.

    Returns
    -------
    Operation

    Examples
    --------
    >>> round(matrix_product(1000, 1000, 1).intensity, 3), matrix_product(1200, 1200, 1200).intensity
    (0.499, 200.0)
    """
    for name, value in (("rows", rows), ("inner", inner), ("columns", columns)):
        _check.count(name, value)
    moved = rows * inner + inner * columns + rows * columns
    return Operation(2 * rows * inner * columns, moved * _check.count("item_bytes", item_bytes))


def attention(queries: int, keys: int, head_width: int, item_bytes: int = 4) -> Operation:
    """One head of attention, `queries` rows against `keys` rows, scores kept near the processor.

    Reading a prompt has as many queries as keys; writing one more token has a single query and reads all keys and
    values for it, so its intensity stays below 1 whatever the length. Softmax counts 5 a score.

    Parameters
    ----------
    queries, keys : int
        Rows.
    head_width : int
        Numbers a row.
    item_bytes : int
        Bytes of a number.

    Returns
    -------
    Operation

    Examples
    --------
    >>> write, read = attention(1, 2048, 64), attention(2048, 2048, 64)
    >>> write.intensity < 1 < 100 < read.intensity
    True
    """
    for name, value in (("queries", queries), ("keys", keys), ("head_width", head_width)):
        _check.count(name, value)
    flops = 4 * queries * keys * head_width + 5 * queries * keys
    return Operation(flops, (2 * queries + 2 * keys) * head_width * _check.count("item_bytes", item_bytes))


def best_seconds(run: Callable[[], Any], seconds: float = 0.2, least: int = 3) -> float:
    """Time a function again and again and give the shortest time: what others do on the machine only adds.

    Parameters
    ----------
    run : callable
        Called without arguments.
    seconds : float
        How long to repeat it.
    least : int
        How often to run it at least; the first run, which warms up, is not counted.

    Returns
    -------
    float
        Seconds of the fastest run.

    Raises
    ------
    ValueError
        If `seconds` is negative or `least` below 1.
    """
    _check.non_negative("seconds", seconds)
    _check.count("least", least)
    run()
    best, runs, end = float("inf"), 0, time.perf_counter() + seconds
    while runs < least or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
        runs += 1
    return max(best, 1e-9)  # a clock may not have moved


def measure_roofline(seconds: float = 1.0, size: int = 1024, megabytes: int = 64, dtype: Any = np.float32) -> Machine:
    """Measure the two limits of this machine with NumPy.

    Parameters
    ----------
    seconds : float
        How long the measurement may take, about.
    size : int
        Rows and columns of the matrices that are multiplied; a quarter of it is tried too, and the faster one counts.
    megabytes : int
        Size of the array that is copied; take more than the processor's caches hold.
    dtype : type
        Of the matrices' numbers.

    Returns
    -------
    Machine

    Raises
    ------
    ValueError
        If a number is not positive.

    Examples
    --------
    >>> machine = measure_roofline(seconds=0.02, size=64, megabytes=1)
    >>> machine.ridge > 0
    True
    """
    _check.positive("seconds", seconds)
    _check.count("size", size)
    numbers = _check.count("megabytes", megabytes) * 2**20 // 8
    peak = max(_matmul_rate(n, dtype, seconds / 4) for n in {size, max(size // 4, 1)})
    source, target = np.ones(numbers), np.empty(numbers)
    bandwidth = 2 * source.nbytes / best_seconds(lambda: np.copyto(target, source), seconds / 2)
    return Machine(peak, bandwidth)


def _matmul_rate(n: int, dtype: Any, seconds: float) -> float:
    """Measure the FLOPs a second of an n x n x n product."""
    a = np.ones((n, n), dtype)
    out = np.empty_like(a)
    return matrix_product(n, n, n).flops / best_seconds(lambda: np.matmul(a, a, out=out), seconds)
