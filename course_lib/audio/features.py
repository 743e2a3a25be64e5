"""From sound to what recognisers read: spectrograms, mel bands, cepstral coefficients.

>>> time = np.arange(8000) / 8000
>>> tone = np.sin(2 * np.pi * 1000 * time)  # one second of 1000 Hz, 8000 samples a second
>>> power = np.abs(stft(tone, window=256, hop=80)) ** 2
>>> power.shape  # (frames, bins): a frame each 10 ms, a bin each 8000 / 256 Hz
(101, 129)
>>> int(power[50].argmax()) * 8000 / 256
1000.0
>>> log_mel(tone, 8000, bands=20).shape
(101, 20)

Frames stand along the axis before the last, as in the models of this course; librosa and SciPy have them last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.fft import dct
from scipy.signal import get_window

from course_lib import _check

__all__ = [
    "decibels",
    "hz_to_mel",
    "istft",
    "log_mel",
    "mel_filterbank",
    "mel_spectrogram",
    "mel_to_hz",
    "mfcc",
    "stft",
]

SCALES = ("htk", "slaney")


def stft(x: Any, window: Any = 256, hop: int = 80, fft: int | None = None, center: bool = True) -> np.ndarray:
    r"""Give the short-time Fourier transform: the spectrum of one piece of sound after the other.

    .. math:: X_{t,k} = \sum_{n=0}^{N-1} w_n \, x_{t h + n} \, e^{-2 \pi i k n / F}

    Parameters
    ----------
    x : array_like of float, shape (..., time)
        The sound.
    window : int or array_like of float, shape (N,)
        The weights :math:`w` of a piece. A number is the length of a Hann window, periodic, as for spectra.
    hop : int
        Samples :math:`h` from one piece to the next.
    fft : int, optional
        Length :math:`F` of the transform; by default that of the window. A longer one is filled with zeros, and gives
        more bins, not more detail.
    center : bool
        Fill the sound with half a window of zeros on both sides, so that frame t has its middle at sample ``t * hop``.

    Returns
    -------
    complex, shape (..., frames, fft // 2 + 1)
        With `center` there are ``1 + time // hop`` frames. Bin k stands for the frequency ``k * rate / fft``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, or the sound is shorter than a window.

    Notes
    -----
    ``scipy.signal.ShortTimeFFT`` counts the phase from the middle of the window or from its beginning, by its option
    ``phase_shift``; here it counts from its beginning.
    """
    signal = _signal(x)
    weights, step, size = _sizes(window, hop, fft)
    width = len(weights)
    if _check.flag("center", center):
        padding = [(0, 0)] * (signal.ndim - 1) + [(width // 2, width // 2)]
        signal = np.pad(signal, padding)
    if signal.shape[-1] < width:
        raise ValueError(f"x has {signal.shape[-1]} samples; one window needs {width}")
    pieces = np.lib.stride_tricks.sliding_window_view(signal, width, axis=-1)[..., ::step, :]  # (..., frames, window)
    return np.fft.rfft(pieces * weights, size, axis=-1)


def istft(
    spectrum: Any, window: Any = 256, hop: int = 80, fft: int | None = None, center: bool = True,
    length: int | None = None,
) -> np.ndarray:  # fmt: skip
    r"""Give the sound whose transform is nearest to a spectrum: overlapping pieces, added and divided by their weights.

    .. math:: x_n = \frac{\sum_t w_{n-th} \, y_{t, n-th}}{\sum_t w_{n-th}^2}

    with :math:`y_t` the inverse transform of frame t.

    Parameters
    ----------
    spectrum : array_like of complex, shape (..., frames, fft // 2 + 1)
        What `stft` gives, or changed.
    window, hop, fft, center
        As `stft` had them.
    length : int, optional
        Samples that are wanted; by default as many as the frames cover.

    Returns
    -------
    float, shape (..., time)
        The sound itself if `spectrum` is a sound's `stft` and every sample lies under some window; where no window
        reaches, 0. For a spectrum that is no sound's, the sound with the least squared distance.

    Raises
    ------
    ValueError
        If the number of bins is not that of `fft`, or `length` is larger than what the frames cover.

    References
    ----------
    D. Griffin, J. Lim, 1984, https://doi.org/10.1109/TASSP.1984.1164317, equation 6
    """
    frames = np.asarray(spectrum)
    weights, step, size = _sizes(window, hop, fft)
    if frames.ndim < 2 or frames.shape[-1] != size // 2 + 1:
        raise ValueError(f"spectrum has shape {frames.shape}; it must be (..., frames, {size // 2 + 1})")
    width, count = len(weights), frames.shape[-2]
    pieces = np.fft.irfft(frames, size, axis=-1)[..., :width] * weights
    total = (count - 1) * step + width
    added, covered = np.zeros((*frames.shape[:-2], total), pieces.dtype), np.zeros(total)
    for number in range(count):
        place = slice(number * step, number * step + width)
        added[..., place] += pieces[..., number, :]
        covered[place] += weights**2
    reached = covered > 1e-10 * weights.max() ** 2
    result = np.where(reached, added, 0) / np.where(reached, covered, 1)
    cut = width // 2 if _check.flag("center", center) else 0
    stop = total - cut if length is None else cut + _check.count("length", length, least=0)
    if stop > total:
        raise ValueError(f"length is {length}; the {count} frames cover {total - cut} samples")
    return result[..., cut:stop]


def hz_to_mel(frequency: Any, scale: str = "htk") -> np.ndarray:
    r"""Turn frequencies in Hz into mel, a scale on which equal steps sound about equally far apart.

    Parameters
    ----------
    frequency : array_like of float
        At least 0.
    scale : {"htk", "slaney"}
        ``"htk"``: :math:`2595 \log_{10}(1 + f / 700)`. ``"slaney"``: linear up to 1000 Hz (15 mel), logarithmic above,
        27 mel for a factor of 6.4. The two have different units; only ratios of steps matter.

    References
    ----------
    S. Stevens, J. Volkmann, E. Newman, 1937, https://doi.org/10.1121/1.1915893; the two formulas are those of the
    programs HTK (S. Young et al., The HTK Book) and Auditory Toolbox (M. Slaney, 1998).

    Examples
    --------
    >>> hz_to_mel([0.0, 1000.0, 4000.0]).round(1)
    array([   0. , 1000. , 2146.1])
    """
    f = _check.finite("frequency", frequency)
    if _check.choice("scale", scale, SCALES) == "htk":
        return 2595 * np.log10(1 + f / 700)
    return np.where(f < 1000, f * 3 / 200, 15 + 27 * np.log(np.maximum(f, 1000) / 1000) / np.log(6.4))


def mel_to_hz(mel: Any, scale: str = "htk") -> np.ndarray:
    """Turn mel into Hz: the inverse of `hz_to_mel`."""
    m = _check.finite("mel", mel)
    if _check.choice("scale", scale, SCALES) == "htk":
        return 700 * (10 ** (m / 2595) - 1)
    return np.where(m < 15, m * 200 / 3, 1000 * 6.4 ** (np.maximum(m - 15, 0) / 27))


def mel_filterbank(
    bands: int, fft: int, rate: int, low: float = 0.0, high: float | None = None, scale: str = "htk",
    equal_area: bool = False,
) -> np.ndarray:  # fmt: skip
    """Give the weights that gather the bins of a spectrum in triangles of equal width in mel.

    Parameters
    ----------
    bands : int
        Triangles. Each begins at the top of the one before and ends at the top of the next.
    fft : int
        Length of the Fourier transform.
    rate : int
        Samples a second.
    low, high : float
        Where the first triangle begins and the last ends, in Hz; `high` is half the rate by default, and at most that.
    scale : {"htk", "slaney"}
        See `hz_to_mel`.
    equal_area : bool
        Make the triangles of area 1 (over Hz) and not of height 1, as librosa does by default (``norm="slaney"``).

    Returns
    -------
    float64, shape (bands, fft // 2 + 1)

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, or a triangle lies between two bins and would always be 0: ask for fewer
        bands or a longer transform.
    """
    count, size, samples = _check.count("bands", bands), _check.count("fft", fft), _check.count("rate", rate)
    top = samples / 2 if high is None else _check.positive("high", high)
    if not 0 <= _check.non_negative("low", low) < top <= samples / 2:
        raise ValueError(f"low is {low} and high {top}; allowed is 0 <= low < high <= rate / 2 = {samples / 2}")
    corners = mel_to_hz(np.linspace(hz_to_mel(low, scale), hz_to_mel(top, scale), count + 2), scale)  # in Hz
    bins = np.arange(size // 2 + 1) * samples / size
    rising = (bins - corners[:-2, None]) / np.diff(corners)[:-1, None]
    falling = (corners[2:, None] - bins) / np.diff(corners)[1:, None]
    weights = np.maximum(np.minimum(rising, falling), 0)
    if equal_area:
        weights *= 2 / (corners[2:] - corners[:-2])[:, None]
    empty = np.flatnonzero(~weights.any(axis=1))
    if len(empty):
        raise ValueError(
            f"bands is {count} and fft {size}; band {empty[0]} would lie between two bins: fewer bands, or a longer fft"
        )
    return weights


def mel_spectrogram(
    x: Any, rate: int, bands: int = 40, window: Any = 256, hop: int = 80, fft: int | None = None, low: float = 0.0,
    high: float | None = None, scale: str = "htk", equal_area: bool = False,
) -> np.ndarray:  # fmt: skip
    """Give the power in each mel band, frame by frame.

    Parameters
    ----------
    x : array_like of float, shape (..., time)
        The sound.
    rate : int
        Samples a second.
    bands, low, high, scale, equal_area
        See `mel_filterbank`.
    window, hop, fft
        See `stft`; in samples.

    Returns
    -------
    float, shape (..., frames, bands)
        ``1 + time // hop`` frames.
    """
    spectrum = stft(x, window, hop, fft)
    weights = mel_filterbank(bands, _sizes(window, hop, fft)[2], rate, low, high, scale, equal_area)
    return np.abs(spectrum) ** 2 @ weights.T


def log_mel(x: Any, rate: int, *, floor: float = 1e-6, **options: Any) -> np.ndarray:
    """Give the natural logarithm of `mel_spectrogram`, what most recognisers read.

    Parameters
    ----------
    x, rate
        As there.
    floor : float
        Added to the power before the logarithm: silence has none.
    **options
        As `mel_spectrogram` takes them.
    """
    return np.log(mel_spectrogram(x, rate, **options) + _check.positive("floor", floor))


def decibels(power: Any, reference: float = 1.0, smallest: float = 1e-10, depth: float | None = 80.0) -> np.ndarray:
    """Give power in decibels: ten times the decimal logarithm of its ratio to a reference.

    Parameters
    ----------
    power : array_like of float
        At least 0.
    reference : float
        The power of 0 dB.
    smallest : float
        What is less counts as this.
    depth : float, optional
        What lies so many decibels below the largest value is raised to there; None: nothing is.
    """
    values = _check.finite("power", power)
    if (values < 0).any():
        raise ValueError(f"power holds {float(values.min())!r}; it must be at least 0")
    least = _check.positive("smallest", smallest)
    level = 10 * np.log10(np.maximum(values, least) / max(_check.positive("reference", reference), least))
    return level if depth is None else np.maximum(level, level.max(initial=-np.inf) - _check.positive("depth", depth))


def mfcc(x: Any, rate: int, coefficients: int = 13, **options: Any) -> np.ndarray:
    r"""Give mel-frequency cepstral coefficients: the shape of each frame's spectrum in a few numbers.

    The cosine transform (type II, orthonormal) of the mel bands in decibels: :math:`c_i = s_i \sum_b \cos(\pi i (b +
    \tfrac12) / B) \, L_b` with :math:`s_0 = \sqrt{1/B}` and else :math:`\sqrt{2/B}`. The first is the loudness, the
    next few are the slope and the broad hills that tell vowels apart.

    Parameters
    ----------
    x, rate
        As in `mel_spectrogram`.
    coefficients : int
        How many are kept; at most as many as bands.
    **options
        As `mel_spectrogram` takes them.

    Returns
    -------
    float, shape (..., frames, coefficients)

    References
    ----------
    S. Davis, P. Mermelstein, 1980, https://doi.org/10.1109/TASSP.1980.1163420
    """
    level = decibels(mel_spectrogram(x, rate, **options))
    if _check.count("coefficients", coefficients) > level.shape[-1]:
        raise ValueError(f"coefficients is {coefficients}; there are {level.shape[-1]} bands")
    return dct(level, type=2, norm="ortho", axis=-1)[..., :coefficients]


def _signal(x: Any) -> np.ndarray:
    signal = _check.finite("x", x)
    if signal.ndim == 0 or signal.shape[-1] == 0:
        raise ValueError(f"x has shape {signal.shape}; it must be (..., time), with at least one sample")
    return signal


def _sizes(window: Any, hop: int, fft: int | None) -> tuple[np.ndarray, int, int]:
    """Give the weights of a window, the hop and the length of the transform."""
    if np.ndim(window) == 0:
        weights = get_window("hann", _check.count("window", window, least=2))
    else:
        weights = _check.finite("window", window, ndim=1)
    step, size = _check.count("hop", hop), len(weights) if fft is None else _check.count("fft", fft)
    if step > len(weights):
        raise ValueError(f"hop is {step}; it must be at most the window, {len(weights)}, or samples are left out")
    if size < len(weights):
        raise ValueError(f"fft is {size}; it must be at least the window, {len(weights)}")
    return weights, step, size
