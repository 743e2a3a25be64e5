"""Turbofan engines that run until they fail (C-MAPSS), windows of their sensors, and a simulator of such a fleet.

The question is how many cycles (flights) an engine has left, from what its sensors showed so far.

>>> engines = simulate_cmapss(3, seed=0)
>>> engine = engines[0]
>>> engine.sensors.shape == (len(engine), 21), int(engine.remaining[-1])  # the last flight is the last
(True, 0)
>>> windows = cut_windows(engines, length=30)
>>> windows.inputs.shape[1:], float(windows.targets.max())
((30, 21), 125.0)

References
----------
A. Saxena, K. Goebel, D. Simon, N. Eklund, Damage Propagation Modeling for Aircraft Engine Run-to-Failure Simulation,
2008, https://doi.org/10.1109/PHM.2008.4711414
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course_lib import _check
from course_lib.data.labelled import read_text

__all__ = ["SENSORS", "Engine", "Windows", "cmapss", "cut_windows", "piecewise", "simulate_cmapss", "truncate"]

# Symbol, unit, and four numbers of the first data set, FD001: the healthy value, the change that full damage brings,
# the noise of one reading, and how far engines differ. They were fitted to its 100 training engines, with the damage
# exp(-remaining / 50); sensors that never move there have zeros. The simulator uses them.
_TABLE = (
    ("T2", "°R", 518.67, 0.0, 0.0, 0.0),
    ("T24", "°R", 642.35, 1.38, 0.309, 0.175),
    ("T30", "°R", 1586.5, 16.5, 4.08, 1.88),
    ("T50", "°R", 1402.2, 27.8, 4.25, 3.63),
    ("P2", "psia", 14.62, 0.0, 0.0, 0.0),
    ("P15", "psia", 21.61, 0.0, 0.0014, 0.0),
    ("P30", "psia", 554.0, -2.63, 0.436, 0.376),
    ("Nf", "rpm", 2388.05, 0.178, 0.0368, 0.0394),
    ("Nc", "rpm", 9053.5, 44.9, 14.2, 13.3),
    ("epr", "1", 1.3, 0.0, 0.0, 0.0),
    ("Ps30", "psia", 47.337, 0.843, 0.111, 0.114),
    ("phi", "pps/psi", 521.96, -2.24, 0.332, 0.326),
    ("NRf", "rpm", 2388.05, 0.181, 0.0372, 0.0401),
    ("NRc", "rpm", 8135.3, 31.7, 12.7, 12.3),
    ("BPR", "1", 8.4153, 0.11, 0.0207, 0.0138),
    ("farB", "1", 0.03, 0.0, 0.0, 0.0),
    ("htBleed", "1", 392.15, 4.31, 0.974, 0.508),
    ("Nf_dmd", "rpm", 2388.0, 0.0, 0.0, 0.0),
    ("PCNfR_dmd", "rpm", 100.0, 0.0, 0.0, 0.0),
    ("W31", "lbm/s", 38.943, -0.519, 0.104, 0.0668),
    ("W32", "lbm/s", 23.366, -0.313, 0.0618, 0.0399),
)
SENSORS = tuple(symbol for symbol, *_ in _TABLE)
SUBSETS = ("FD001", "FD002", "FD003", "FD004")


@dataclass(frozen=True, eq=False)
class Engine:
    """What one engine showed, cycle by cycle.

    Attributes
    ----------
    settings : array of float64, shape (cycles, 3)
        Altitude, Mach number and throttle, in the file's units.
    sensors : array of float64, shape (cycles, 21)
        In the order of `SENSORS`.
    remaining : array of int64, shape (cycles,)
        Cycles that the engine still had after this one.
    """

    settings: np.ndarray
    sensors: np.ndarray
    remaining: np.ndarray

    def __len__(self) -> int:
        """Count the cycles."""
        return len(self.remaining)


@dataclass(frozen=True, eq=False)
class Windows:
    """Pieces of engines' lives, and what is to be said at the end of each.

    Attributes
    ----------
    inputs : array of float32, shape (windows, length, sensors)
    targets : array of float32, shape (windows,)
        Remaining cycles at the window's last cycle, cut by `piecewise`.
    remaining : array of int64, shape (windows,)
        The same, not cut.
    engine : array of int64, shape (windows,)
        The number of the engine. Windows of one engine overlap: split by engines, never by windows.
    """

    inputs: np.ndarray
    targets: np.ndarray
    remaining: np.ndarray
    engine: np.ndarray

    def __len__(self) -> int:
        """Count the windows."""
        return len(self.targets)


def cmapss(folder: str | Path, subset: str = "FD001") -> tuple[tuple[Engine, ...], tuple[Engine, ...]]:
    """Read one of the four data sets.

    Parameters
    ----------
    folder : str or Path
        It holds ``train_FD001.txt``, ``test_FD001.txt`` and ``RUL_FD001.txt``, from the Prognostics Data Repository of
        NASA, https://www.nasa.gov/intelligent-systems-division (work of the US government; no licence stated).
    subset : {"FD001", "FD002", "FD003", "FD004"}
        FD002 and FD004 fly under six conditions, FD003 and FD004 fail in two ways.

    Returns
    -------
    train, test : tuple of Engine
        Engines to train on run until they fail; those to test on stop before, and ``remaining`` counts from the
        published number of cycles that they had left. Of FD001: 100 and 100.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If `subset` is not allowed or a file has not the published form.
    """
    _check.choice("subset", subset, SUBSETS)
    train, test, left = (Path(folder) / f"{name}_{subset}.txt" for name in ("train", "test", "RUL"))
    endings = _table(left, 1)[:, 0]
    if (endings < 0).any() or (endings != endings.round()).any():
        raise ValueError(f"{left} must hold whole numbers of at least 0")
    return _engines(train, None), _engines(test, endings.astype(np.int64))


def piecewise(remaining: np.ndarray | Sequence[int], limit: float = 125) -> np.ndarray:
    """Cut remaining cycles at a limit: a healthy engine shows nothing that would tell 200 from 300.

    Parameters
    ----------
    remaining : array_like
        Cycles.
    limit : float
        Above 0; 120 to 130 are usual.

    Returns
    -------
    numpy.ndarray of float32, as `remaining`

    Raises
    ------
    TypeError, ValueError
        If `limit` is out of its range.

    References
    ----------
    F. O. Heimes, Recurrent Neural Networks for Remaining Useful Life Estimation, 2008,
    https://doi.org/10.1109/PHM.2008.4711422
    """
    return np.minimum(remaining, _check.positive("limit", limit)).astype(np.float32)


def cut_windows(
    engines: Sequence[Engine],
    length: int = 30,
    limit: float = 125,
    step: int = 1,
    last: bool = False,
    sensors: Sequence[int] | None = None,
) -> Windows:
    """Cut lives into windows of one length.

    Parameters
    ----------
    engines : sequence of Engine
    length : int
        Cycles in a window. A life shorter than that is filled up at its start with its first reading.
    limit : float
        Of the targets, see `piecewise`.
    step : int
        Cycles from the start of one window to the next; the last window always ends with the engine's last cycle.
    last : bool
        Only that last window of each engine: what the test asks.
    sensors : sequence of int, optional
        Columns to keep; by default all 21.

    Returns
    -------
    Windows
        Engine by engine, in the order of time. Not scaled.

    Raises
    ------
    TypeError, ValueError
        If there is no engine or an argument is out of its range.
    """
    _check.count("length", length)
    _check.count("step", step)
    _check.flag("last", last)
    if not len(engines):
        raise ValueError("engines is empty; there is nothing to cut")
    chosen = list(range(len(SENSORS))) if sensors is None else list(sensors)
    if not chosen or min(chosen) < 0 or max(chosen) >= len(SENSORS):
        raise ValueError(f"sensors is {sensors!r}; it must hold numbers from 0 to {len(SENSORS) - 1}")
    inputs, remaining, numbers = [], [], []
    for number, engine in enumerate(engines):
        missing = max(0, length - len(engine))
        readings = np.pad(engine.sensors[:, chosen], ((missing, 0), (0, 0)), mode="edge")
        ends = np.arange(len(readings) - 1, length - 2, -step)[::-1]  # counted back from the last cycle
        if last:
            ends = ends[-1:]
        inputs.append(readings[ends[:, None] + np.arange(1 - length, 1)])
        remaining.append(engine.remaining[ends - missing])
        numbers.append(np.full(len(ends), number))
    left = np.concatenate(remaining)
    return Windows(
        np.concatenate(inputs).astype(np.float32),
        piecewise(left, limit),
        left,
        np.concatenate(numbers).astype(np.int64),
    )


def simulate_cmapss(count: int = 100, seed: int = 0) -> tuple[Engine, ...]:
    r"""Simulate a fleet like FD001: one flight condition, one way to fail, engines that run until they do.

    Damage grows exponentially, as Saxena et al. let it: after t cycles it is :math:`d_0 e^{t/\tau}`, and the engine
    fails when that reaches 1. Each engine has its own wear at the start, :math:`\ln(1/d_0)` normal with 4.1 and 0.5,
    and its own pace, :math:`\tau` normal with 50 and 9 cycles. Each sensor shows its healthy value, plus a difference
    of the engine, plus its sensitivity times the damage, plus noise; these numbers were fitted to FD001.

    Parameters
    ----------
    count : int
        Engines.
    seed : int
        Decides all.

    Returns
    -------
    tuple of Engine
        Lives of about 206 cycles, with a standard deviation of about 45, as in FD001. Use `truncate` for engines to
        test on.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    It is no model of a turbine: sensors answer to one number, the damage, where the real ones are bound by
    thermodynamics, and the noise is independent from cycle to cycle.
    """
    _check.count("count", count)
    rng = np.random.default_rng(_check.count("seed", seed, least=0))
    healthy, gain, noise, spread = np.array([row[2:] for row in _TABLE]).T
    engines = []
    for _ in range(count):
        start, pace = np.clip(rng.normal(4.1, 0.5), 2.5, 6.0), np.clip(rng.normal(50, 9), 25, 80)
        cycles = int(np.ceil(start * pace))
        remaining = np.arange(cycles - 1, -1, -1)
        damage = np.exp(-remaining / pace)  # what d0 exp(t / tau) is, counted back from the failure
        mine = healthy + spread * rng.normal(size=len(SENSORS))
        sensors = mine + damage[:, None] * gain + noise * rng.normal(size=(cycles, len(SENSORS)))
        settings = np.array([0.0, 0.0, 100.0]) + [0.0022, 0.0003, 0.0] * rng.normal(size=(cycles, 3))
        engines.append(Engine(settings, sensors, remaining))
    return tuple(engines)


def truncate(engines: Sequence[Engine], seed: int = 0, least: int = 30, most: int = 145) -> tuple[Engine, ...]:
    """Stop every engine at a random cycle, as in the test sets, where nobody saw the end.

    Parameters
    ----------
    engines : sequence of Engine
        That ran until they failed.
    seed : int
        Decides where they stop.
    least : int
        Cycles that each must show. One with fewer shows all.
    most : int
        Cycles that each may have left, if that leaves it `least` to show; in FD001 the most is 145.

    Returns
    -------
    tuple of Engine

    Raises
    ------
    TypeError, ValueError
        If a number is out of its range.
    """
    _check.count("least", least)
    _check.count("most", most, least=0)
    rng = np.random.default_rng(_check.count("seed", seed, least=0))
    shown = [int(rng.integers(max(min(least, len(e)), len(e) - most), len(e) + 1)) for e in engines]
    return tuple(Engine(e.settings[:n], e.sensors[:n], e.remaining[:n]) for e, n in zip(engines, shown, strict=True))


def _table(path: Path, columns: int) -> np.ndarray:
    text = read_text(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = np.loadtxt(text.splitlines(), ndmin=2)
    except (ValueError, UserWarning) as error:
        raise ValueError(f"{path} is no table of numbers: {error}") from None
    if table.shape[1] != columns:
        raise ValueError(f"{path} has {table.shape[1]} columns; there must be {columns}")
    return table


def _engines(path: Path, endings: np.ndarray | None) -> tuple[Engine, ...]:
    """Cut a file into engines; `endings` says how many cycles each has left behind its last row, by default 0."""
    table = _table(path, 26)
    units = table[:, 0].astype(int)
    count = units.max()
    if not np.array_equal(np.unique(units), np.arange(1, count + 1)):
        raise ValueError(f"{path} must number its engines from 1, without a gap")
    if endings is not None and len(endings) != count:
        raise ValueError(f"{path} has {count} engines, and there are {len(endings)} numbers of remaining cycles")
    engines = []
    for unit in range(1, count + 1):
        rows = table[units == unit]
        if not np.array_equal(rows[:, 1], np.arange(1, len(rows) + 1)):
            raise ValueError(f"{path}: the cycles of engine {unit} must be 1, 2, ... in order")
        left = np.arange(len(rows) - 1, -1, -1) + (0 if endings is None else endings[unit - 1])
        engines.append(Engine(rows[:, 2:5], rows[:, 5:], left))
    return tuple(engines)
