"""Mu-law companding: 16-bit sound as one of 256 codes, with small steps for quiet samples and large ones for loud ones.

>>> import numpy as np
>>> samples = np.array([-1.0, -0.01, 0.0, 0.01, 1.0])
>>> codes = quantize(samples)
>>> codes
array([  0,  98, 128, 157, 255], dtype=int32)
>>> print(np.round(dequantize(codes), 3))
[-1.   -0.01  0.    0.01  1.  ]

WaveRNN keeps all 16 bits, as two numbers of 8 bits each:

>>> split_bits(np.array([-1.0, 0.0, 0.5]))
array([[  0,   0],
       [128,   0],
       [192,   0]], dtype=int32)

References
----------
ITU-T Recommendation G.711, 1988, https://www.itu.int/rec/T-REC-G.711;
A. van den Oord et al., WaveNet: A Generative Model for Raw Audio, 2016, https://arxiv.org/abs/1609.03499, section 2.2;
N. Kalchbrenner et al., Efficient Neural Audio Synthesis, 2018, https://arxiv.org/abs/1802.08435, section 2.1
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["dequantize", "inverse_mu_law", "join_bits", "mu_law", "quantize", "split_bits"]

HALF = 2**15  # a 16-bit sample is a whole number from -HALF to HALF - 1


def mu_law(samples: Any, mu: int = 255) -> np.ndarray:
    r"""Stretch quiet samples and squeeze loud ones: :math:`\operatorname{sign}(x) \ln(1 + \mu |x|) / \ln(1 + \mu)`.

    Parameters
    ----------
    samples : array, any shape
        From -1 to 1.
    mu : int
        The larger, the more room quiet samples get. 255 in telephony and in WaveNet.

    Returns
    -------
    numpy.ndarray, as `samples`
        From -1 to 1.

    Raises
    ------
    TypeError, ValueError
        If a sample is outside of -1 to 1, or `mu` is no whole number of at least 1.

    Examples
    --------
    >>> mu_law(np.array([0.0, 1 / 255, 1.0]))  # a sample of 1/255 gets an eighth of the range
    array([0.   , 0.125, 1.   ])
    """
    x, mu = _samples("samples", samples), _check.count("mu", mu)
    return np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)


def inverse_mu_law(values: Any, mu: int = 255) -> np.ndarray:
    r"""Undo `mu_law`: :math:`\operatorname{sign}(y) ((1 + \mu)^{|y|} - 1) / \mu`.

    Parameters
    ----------
    values : array, any shape
        From -1 to 1.
    mu : int
        As in `mu_law`.

    Returns
    -------
    numpy.ndarray, as `values`

    Raises
    ------
    TypeError, ValueError
        As in `mu_law`.
    """
    y, mu = _samples("values", values), _check.count("mu", mu)
    return np.sign(y) * np.expm1(np.abs(y) * np.log1p(mu)) / mu


def quantize(samples: Any, mu: int = 255) -> np.ndarray:
    """Give each sample the code of the nearest of ``mu + 1`` levels, which are equally far apart after `mu_law`.

    Parameters
    ----------
    samples : array, any shape
        From -1 to 1.
    mu : int
        As in `mu_law`; one less than the number of codes.

    Returns
    -------
    numpy.ndarray of int32, as `samples`
        From 0 to `mu`.

    Raises
    ------
    TypeError, ValueError
        As in `mu_law`.

    Notes
    -----
    With an odd `mu` no level is 0: silence lies half-way between two levels and gets the upper one.
    """
    return np.floor((mu_law(samples, mu) + 1) / 2 * mu + 0.5).astype("int32")


def dequantize(codes: Any, mu: int = 255) -> np.ndarray:
    """Give each code its level.

    Parameters
    ----------
    codes : int array, any shape
        From 0 to `mu`.
    mu : int
        As in `mu_law`.

    Returns
    -------
    numpy.ndarray of float64, as `codes`
        From -1 to 1.

    Raises
    ------
    TypeError, ValueError
        If a code is no whole number from 0 to `mu`.
    """
    return inverse_mu_law(2 * _codes("codes", codes, _check.count("mu", mu)) / mu - 1, mu)


def split_bits(samples: Any) -> np.ndarray:
    """Write 16-bit samples as two numbers of 8 bits: the coarse part and the fine part.

    Parameters
    ----------
    samples : array, any shape
        From -1 to 1. They are rounded to the nearest of 65,536 levels; the last one, 32,767 / 32,768, stands for 1 too.

    Returns
    -------
    numpy.ndarray of int32, shape (..., 2)
        Coarse and fine part, 0 to 255: the sample's level, counted from the lowest, is 256 coarse + fine.

    Raises
    ------
    TypeError, ValueError
        If a sample is outside of -1 to 1.
    """
    levels = np.minimum(np.floor(_samples("samples", samples) * HALF + 0.5), HALF - 1).astype("int32") + HALF
    return np.stack([levels // 256, levels % 256], axis=-1)


def join_bits(parts: Any) -> np.ndarray:
    """Undo `split_bits`.

    Parameters
    ----------
    parts : int array, shape (..., 2)
        Coarse and fine part, 0 to 255.

    Returns
    -------
    numpy.ndarray of float64, shape (...)
        Samples from -1 to 32,767 / 32,768.

    Raises
    ------
    TypeError, ValueError
        If the last axis has not length 2, or a part is no whole number from 0 to 255.
    """
    parts = _codes("parts", parts, 255)
    if parts.ndim < 1 or parts.shape[-1] != 2:
        raise ValueError(f"parts has shape {parts.shape}; its last axis must hold the coarse and the fine part")
    return (256.0 * parts[..., 0] + parts[..., 1] - HALF) / HALF


def _samples(name: str, values: Any) -> np.ndarray:
    array = _check.finite(name, values)
    wrong = np.abs(array) > 1
    if wrong.any():
        raise ValueError(f"{name} holds {array[wrong][0]}; it must be from -1 to 1")
    return array


def _codes(name: str, values: Any, highest: int) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {array.dtype}; it must hold whole numbers")
    wrong = (array < 0) | (array > highest)
    if wrong.any():
        raise ValueError(f"{name} holds {array[wrong][0]}; it must be from 0 to {highest}")
    return array
