"""Sound files: read as numbers from -1 to 1, and written.

A file of digital sound is a list of pressures, so many a second: its rate. Half the rate is the highest frequency that
it can hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["read", "resample", "write"]


def read(path: str | Path, rate: int | None = None) -> tuple[np.ndarray, int]:
    """Read a file of sound: WAV, FLAC, OGG, and what else the library ``soundfile`` knows.

    Parameters
    ----------
    path : str or Path
        The file.
    rate : int, optional
        Samples a second that are wanted; by default those of the file.

    Returns
    -------
    samples : float32, shape (time,), or (time, channels) for a file of several channels
        From -1 to 1.
    rate : int
        Samples a second.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds no sound that can be read.
    """
    import soundfile

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path is {str(path)!r}; there is no such file")
    try:
        samples, found = soundfile.read(path, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path} holds no sound that can be read: {error}") from None
    if rate is None:
        return samples, found
    return resample(samples, found, rate), _check.count("rate", rate)


def write(path: str | Path, samples: Any, rate: int) -> None:
    """Write 16-bit sound; the ending of the path says in which form, such as ``.wav`` or ``.flac``.

    Parameters
    ----------
    path : str or Path
        The file.
    samples : array_like of float, shape (time,) or (time, channels)
        From -1 to 1.
    rate : int
        Samples a second.

    Raises
    ------
    TypeError, ValueError
        If a sample is no number or lies outside of -1 to 1: it would be cut off.
    """
    import soundfile

    values = _check.finite("samples", samples)
    if values.ndim not in (1, 2):
        raise ValueError(f"samples has shape {values.shape}; it must be (time,) or (time, channels)")
    loudest = float(np.abs(values).max(initial=0))
    if loudest > 1:
        raise ValueError(f"samples reaches {loudest:.3g}; it must stay from -1 to 1")
    soundfile.write(Path(path), values, _check.count("rate", rate), subtype="PCM_16")


def resample(samples: Any, rate: int, wanted: int) -> np.ndarray:
    """Change the samples a second, by SciPy's polyphase filter.

    Parameters
    ----------
    samples : array_like of float, shape (time, ...)
        The sound.
    rate, wanted : int
        Samples a second, before and after.

    Returns
    -------
    float32, shape (about time * wanted / rate, ...)
        What was above half of the smaller rate is filtered out: it would come back as another frequency.
    """
    from scipy.signal import resample_poly

    values = _check.finite("samples", samples)
    before, after = _check.count("rate", rate), _check.count("wanted", wanted)
    if before == after:
        return values.astype(np.float32)
    shared = int(np.gcd(before, after))
    return resample_poly(values, after // shared, before // shared, axis=0).astype(np.float32)
