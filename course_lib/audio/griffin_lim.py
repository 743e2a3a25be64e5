"""Griffin-Lim: a sound from the magnitudes of its spectrogram, whose phases were thrown away.

>>> from course_lib.audio.features import stft
>>> time = np.arange(2000) / 8000
>>> sound = np.sin(2 * np.pi * 440 * time) + 0.5 * np.sin(2 * np.pi * 660 * time)
>>> again, errors = griffin_lim(np.abs(stft(sound)), length=2000, iterations=30, seed=0, return_errors=True)
>>> again.shape, bool((np.diff(errors) <= 1e-9).all())  # it comes nearer at every step
((2000,), True)

References
----------
D. Griffin, J. Lim, Signal estimation from modified short-time Fourier transform, 1984,
https://doi.org/10.1109/TASSP.1984.1164317
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import nnls

from course_lib import _check
from course_lib.audio.features import istft, stft

__all__ = ["griffin_lim", "magnitude_error", "magnitude_of_mel"]


def griffin_lim(
    magnitude: Any,
    window: Any = 256,
    hop: int = 80,
    fft: int | None = None,
    center: bool = True,
    length: int | None = None,
    iterations: int = 32,
    momentum: float = 0.0,
    phase: Any = None,
    seed: int | None = None,
    return_errors: bool = False,
) -> Any:
    r"""Look for a sound whose short-time Fourier transform has these magnitudes.

    Not every array of complex numbers is the transform of a sound: neighbouring frames overlap, so they must agree.
    The algorithm goes back and forth between what is wanted and what is possible. From a spectrum with the wanted
    magnitudes it takes the nearest sound (`istft`); of that sound's transform :math:`S` it keeps the phases:

    .. math:: x_{i+1} = \text{istft}\left(M \, S_i / |S_i|\right), \qquad S_{i+1} = \text{stft}(x_{i+1})

    Both steps go to the nearest point, so the distance between :math:`|S_i|` and :math:`M` never grows. It need not
    reach 0: there may be no sound with these magnitudes, or the phases may be stuck.

    Parameters
    ----------
    magnitude : array, shape (frames, fft // 2 + 1)
        :math:`M`, what ``abs(stft(...))`` gives; at least 0.
    window, hop, fft, center
        As `course_lib.audio.features.stft` had them.
    length : int, optional
        Samples that are wanted; by default as many as the frames cover.
    iterations : int
        How often phases are taken from a sound.
    momentum : float
        0: the algorithm of 1984. Above 0: each step goes further in the direction of the last one, which mostly comes
        nearer in fewer steps, but not at every step (N. Perraudin et al., 2013); 0.99 is what its authors advise.
    phase : array, shape of `magnitude`, optional
        Phases to begin with, in radians; by default random ones.
    seed : int, optional
        Where random phases are drawn from; None: from NumPy's global generator.
    return_errors : bool
        Give the distance after each step too.

    Returns
    -------
    sound : numpy.ndarray of float64, shape (time,)
    errors : numpy.ndarray, shape (iterations + 1,)
        See `magnitude_error`; only with `return_errors`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the bins do not suit `fft`.

    References
    ----------
    D. Griffin, J. Lim, 1984, https://doi.org/10.1109/TASSP.1984.1164317;
    N. Perraudin, P. Balazs, P. Sondergaard, 2013, https://doi.org/10.1109/WASPAA.2013.6701851 (momentum)
    """
    wanted = _magnitude("magnitude", magnitude)
    _check.count("iterations", iterations, least=0)
    _check.non_negative("momentum", momentum)
    if phase is None:
        own = np.random.default_rng(np.random.randint(2**31) if seed is None else _check.count("seed", seed, least=0))
        phase = own.uniform(-np.pi, np.pi, wanted.shape)
    phase = _check.finite("phase", phase)
    if phase.shape != wanted.shape:
        raise ValueError(f"phase has shape {phase.shape}; it must be that of magnitude, {wanted.shape}")
    options = {"window": window, "hop": hop, "fft": fft, "center": center}
    size = _size(window, fft)
    sound = istft(wanted * np.exp(1j * phase), length=length, **options)
    possible = stft(sound, **options)
    if possible.shape != wanted.shape:
        raise ValueError(
            f"length is {length}; so many samples have {len(possible)} frames, magnitude has {len(wanted)}"
        )
    errors, before = [_distance(possible, wanted, size)], possible
    for number in range(iterations):
        target = possible + (momentum * (possible - before) if number else 0)
        sound = istft(wanted * np.exp(1j * np.angle(target)), length=length, **options)
        before, possible = possible, stft(sound, **options)
        errors.append(_distance(possible, wanted, size))
    return (sound, np.array(errors)) if return_errors else sound


def magnitude_error(sound: Any, magnitude: Any, window: Any = 256, hop: int = 80, fft: int | None = None,
                    center: bool = True) -> float:  # fmt: skip
    r"""Say how far a sound's magnitudes are from wanted ones: :math:`\lVert |S| - M \rVert / \lVert M \rVert`.

    All bins of the two-sided transform count: those between the first and the last twice.

    Parameters
    ----------
    sound : array, shape (time,)
        The sound.
    magnitude : array, shape (frames, fft // 2 + 1)
        :math:`M`.
    window, hop, fft, center
        As `course_lib.audio.features.stft` takes them.

    Returns
    -------
    float
        0 if they agree.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the sound has another number of frames.
    """
    wanted, spectrum = _magnitude("magnitude", magnitude), stft(sound, window, hop, fft, center)
    if spectrum.shape != wanted.shape:
        raise ValueError(f"magnitude has shape {wanted.shape}; that of the sound is {spectrum.shape}")
    return _distance(spectrum, wanted, _size(window, fft))


def magnitude_of_mel(mel: Any, filters: Any, power: float = 2.0) -> np.ndarray:
    """Find the magnitudes whose mel bands are nearest to these, in the sense of least squares.

    There are fewer bands than bins, so much is lost: what comes back is smooth in frequency.

    Parameters
    ----------
    mel : array, shape (frames, bands)
        What `course_lib.audio.features.mel_spectrogram` gives; at least 0.
    filters : array, shape (bands, bins)
        What `course_lib.audio.features.mel_filterbank` gives.
    power : float
        2 if `mel` gathers power, 1 if it gathers magnitudes.

    Returns
    -------
    numpy.ndarray of float64, shape (frames, bins)

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the bands do not agree.
    """
    bands, weights = _magnitude("mel", mel), _check.finite("filters", filters, ndim=2)
    if len(weights) != bands.shape[1]:
        raise ValueError(f"filters has shape {weights.shape}; mel has {bands.shape[1]} bands")
    return np.stack([nnls(weights, frame)[0] for frame in bands]) ** (1 / _check.positive("power", power))


def _size(window: Any, fft: int | None) -> int:
    """Give the length of the transform."""
    return int(fft or (window if np.ndim(window) == 0 else len(window)))


def _magnitude(name: str, values: Any) -> np.ndarray:
    array = _check.finite(name, values, ndim=2)
    if not array.size or (array < 0).any():
        raise ValueError(
            f"{name} has shape {array.shape} and its least value is {array.min(initial=0)}; it must be >= 0"
        )
    return array


def _distance(spectrum: np.ndarray, wanted: np.ndarray, size: int) -> float:
    twice = np.full(wanted.shape[-1], 2.0)  # a bin stands for itself and for its mirror image
    twice[0] = 1
    if size % 2 == 0:
        twice[-1] = 1
    total = np.sum(twice * wanted**2)
    off = np.sqrt(np.sum(twice * (np.abs(spectrum) - wanted) ** 2))
    return float(off / np.sqrt(total)) if total > 0 else float(off)
