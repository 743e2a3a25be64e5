"""A chemical plant with faults (the Tennessee Eastman process), and a simulator of faults of the same kinds.

Nobody marks faults while a plant runs, so a monitor is trained on normal operation alone and must raise an alarm when
something is unlike it.

>>> normal, faulty = simulate_process(fault=None, seed=0), simulate_process(fault="step", seed=1)
>>> normal.values.shape, int(faulty.is_faulty.sum())
((960, 20), 800)

References
----------
J. J. Downs, E. F. Vogel, A Plant-Wide Industrial Process Control Problem, 1993,
https://doi.org/10.1016/0098-1354(93)80018-I;
L. H. Chiang, E. L. Russell, R. D. Braatz, Fault Detection and Diagnosis in Industrial Systems, 2001,
https://doi.org/10.1007/978-1-4471-0347-9
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course_lib import _check
from course_lib.data.labelled import read_text

__all__ = ["FAULTS", "VARIABLES", "Run", "simulate_process", "tennessee_eastman"]

START = 160  # samples of 3 minutes: in the runs to test on, the fault begins after 8 hours

# Measurements (the last 19 by analysers, every 6 or 15 minutes), then what the controllers set; the twelfth of those,
# the agitator's speed, is constant and not in the files.
VARIABLES = (
    "A feed", "D feed", "E feed", "A and C feed", "recycle flow", "reactor feed", "reactor pressure", "reactor level",
    "reactor temperature", "purge", "separator temperature", "separator level", "separator pressure",
    "separator underflow", "stripper level", "stripper pressure", "stripper underflow", "stripper temperature",
    "stripper steam", "compressor work", "reactor cooling water temperature", "separator cooling water temperature",
    *(f"reactor feed: {part}" for part in "ABCDEF"), *(f"purge: {part}" for part in "ABCDEFGH"),
    *(f"product: {part}" for part in "DEFGH"),
    "D feed valve", "E feed valve", "A feed valve", "A and C feed valve", "compressor recycle valve", "purge valve",
    "separator liquid valve", "stripper liquid valve", "stripper steam valve", "reactor cooling water valve",
    "condenser cooling water valve",
)  # fmt: skip

# Faults 16 to 20 were never explained.
FAULTS = {
    0: "none",
    1: "step: ratio of A to C in stream 4",
    2: "step: B in stream 4",
    3: "step: temperature of the D feed",
    4: "step: temperature of the reactor's cooling water",
    5: "step: temperature of the condenser's cooling water",
    6: "step: loss of the A feed",
    7: "step: loss of pressure in the C header",
    8: "random: composition of stream 4",
    9: "random: temperature of the D feed",
    10: "random: temperature of the C feed",
    11: "random: temperature of the reactor's cooling water",
    12: "random: temperature of the condenser's cooling water",
    13: "drift: kinetics of the reaction",
    14: "sticking: valve of the reactor's cooling water",
    15: "sticking: valve of the condenser's cooling water",
    **dict.fromkeys(range(16, 21), "unknown"),
    21: "stuck: valve of stream 4",
}

KINDS = ("step", "drift", "noise", "relation")


@dataclass(frozen=True, eq=False)
class Run:
    """A stretch of operation.

    Attributes
    ----------
    values : array of float64, shape (samples, variables)
        One row every 3 minutes; of the real plant 52 columns, in the order of `VARIABLES`.
    is_faulty : array of bool, shape (samples,)
        Where the fault was there, whether it showed or not.
    """

    values: np.ndarray
    is_faulty: np.ndarray

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.values)


def tennessee_eastman(folder: str | Path) -> dict[int, tuple[Run, Run]]:
    """Read the runs that the group of R. D. Braatz published.

    Parameters
    ----------
    folder : str or Path
        It holds ``d00.dat`` and ``d00_te.dat``, normal operation, and such pairs for as many of the faults 1 to 21 as
        there are, from https://github.com/camaramm/tennessee-eastman-profBraatz (a licence like NCSA's).

    Returns
    -------
    dict of int to (train, test)
        By the number of the fault, in `FAULTS`. Runs to train on have 500 samples without a fault, or 480 with it from
        the first on; those to test on have 960, and the fault begins after 160.

    Raises
    ------
    FileNotFoundError
        If the folder or one of the files is missing.
    ValueError
        If a file has not the published form.

    Notes
    -----
    ``d00.dat`` is stored with a row for each variable, all others with a row for each sample. Read as it is it has 52
    rows of 500 numbers, and nothing complains where only a few columns are used.
    """
    folder = Path(folder)
    found = {int(match[1]) for path in folder.glob("d*.dat") if (match := re.fullmatch(r"d(\d\d)\.dat", path.name))}
    unknown = found - FAULTS.keys()
    if unknown:
        raise ValueError(f"{folder} holds d{min(unknown):02d}.dat; the faults are numbered from 0 to {max(FAULTS)}")
    runs = {}
    for number in sorted(found | {0}):
        train = _read(folder / f"d{number:02d}.dat", 480 if number else 500, is_transposed=not number)
        test = _read(folder / f"d{number:02d}_te.dat", 960)
        began = np.arange(960) >= START
        runs[number] = (
            Run(train, np.full(len(train), number > 0)),
            Run(test, began if number else np.zeros(960, bool)),
        )
    return runs


def simulate_process(
    fault: str | None = None,
    count: int = 960,
    start: int = START,
    variables: int = 20,
    size: float = 4.0,
    seed: int = 0,
    plant: int = 0,
) -> Run:
    """Simulate a process whose many measurements follow a few hidden causes.

    Four causes wander, each an autoregression with the coefficient 0.9 and a standard deviation of 1. Every variable is
    a mixture of them plus noise of its own, a fifth of its variance.

    Parameters
    ----------
    fault : {"step", "drift", "noise", "relation"}, optional
        "step": one cause jumps by `size`. "drift": it moves there evenly until the end. "noise": the noise of three
        variables grows by the factor `size`. "relation": three variables stop following the causes and follow causes
        of their own, so each is as usual by itself and only their relation to the others is broken.
    count : int
        Samples.
    start : int
        The first sample with the fault.
    variables : int
        Measurements, at least 4.
    size : float
        Of the fault, above 0; "relation" has none.
    seed : int
        Decides how the causes wander.
    plant : int
        Decides the mixture and which variables a fault concerns: runs of one plant have the same.

    Returns
    -------
    Run

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    if fault is not None:
        _check.choice("fault", fault, KINDS)
    _check.count("count", count)
    _check.count("variables", variables, least=4)
    _check.positive("size", size)
    if _check.count("start", start, least=0) > count and fault is not None:
        raise ValueError(f"start is {start}; it must be at most count, {count}")
    fixed = np.random.default_rng(_check.count("plant", plant, least=0))
    mixture = fixed.normal(size=(4, variables))
    mixture *= np.sqrt(0.8) / np.linalg.norm(mixture, axis=0)  # every variable has variance 1, a fifth of it noise
    concerned = fixed.permutation(variables)[:3]
    rng = np.random.default_rng(_check.count("seed", seed, least=0))
    causes, noise = _wandering(rng, count, 4), np.sqrt(0.2) * rng.normal(size=(count, variables))
    own = _wandering(rng, count, 4)
    began = np.arange(count) >= start
    if fault == "step":
        causes[began, 0] += size
    elif fault == "drift":
        causes[:, 0] += size * np.clip((np.arange(count) - start + 1) / max(1, count - start), 0, 1)
    elif fault == "noise":
        noise[np.ix_(began, concerned)] *= size
    values = causes @ mixture + noise
    if fault == "relation":
        values[np.ix_(began, concerned)] = (own @ mixture + noise)[np.ix_(began, concerned)]
    return Run(values, began if fault else np.zeros(count, bool))


def _wandering(rng: np.random.Generator, count: int, series: int) -> np.ndarray:
    """Draw autoregressions of variance 1 that have been running for ever."""
    drawn = rng.normal(size=(count, series))
    result = np.empty_like(drawn)
    state = rng.normal(size=series)
    for row in range(count):
        state = 0.9 * state + np.sqrt(1 - 0.9**2) * drawn[row]
        result[row] = state
    return result


def _read(path: Path, samples: int, is_transposed: bool = False) -> np.ndarray:
    try:
        table = np.loadtxt(read_text(path).splitlines(), ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path} is no table of numbers: {error}") from None
    shape = (52, samples) if is_transposed else (samples, 52)
    if table.shape != shape:
        raise ValueError(f"{path} has the shape {table.shape}; it must be {shape}")
    return table.T if is_transposed else table
