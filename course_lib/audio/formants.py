"""Speech by rule: a source, a filter for the mouth, and a table of sounds, for experiments without recordings.

The vocal cords give pulses, a narrow place in the mouth gives noise, and the mouth lets some frequencies through more
than others: its formants. Vowels differ by the lowest two or three. A longer vocal tract has lower formants, and longer
vocal cords a lower pitch; so speakers differ.

>>> pronounce("seven")
('S', 'EH', 'V', 'AH', 'N')
>>> sound = speak("seven", rate=8000, seed=0)
>>> sound.dtype, bool(abs(sound).max() <= 1)
(dtype('float32'), True)

It is understood, but nobody takes it for a person. What a model learns from it holds for it; recordings decide.

References
----------
The resonators, and the formants of tables II and III: D. H. Klatt, 1980, https://doi.org/10.1121/1.383940
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.signal import lfilter, sosfilt

from course_lib import _check

__all__ = ["COMMANDS", "DIGITS", "LEXICON", "PHONEMES", "Speaker", "add_noise", "pronounce", "resonator", "speak"]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")

LEXICON = {
    word: tuple(sounds.split())
    for word, sounds in {
        "zero": "Z IH R OW", "one": "W AH N", "two": "T UW", "three": "TH R IY", "four": "F AO R", "five": "F AY V",
        "six": "S IH K S", "seven": "S EH V AH N", "eight": "EY T", "nine": "N AY N", "yes": "Y EH S", "no": "N OW",
        "up": "AH P", "down": "D AW N", "left": "L EH F T", "right": "R AY T", "on": "AA N", "off": "AO F",
        "stop": "S T AA P", "go": "G OW",
    }.items()
}  # fmt: skip


@dataclass(frozen=True)
class Phoneme:
    """One sound of the language.

    Attributes
    ----------
    duration : float
        Milliseconds.
    begin, end : tuple of float
        The three lowest formants of an adult man, Hz, at its beginning and end; they differ in a diphthong.
    voice : float
        Strength of the pulses, 1 in a vowel.
    noise : float
        Strength of the noise, made in a narrow place.
    band : tuple of float
        Middle and width of that noise, Hz.
    closed : float
        Milliseconds of silence before, while a stop holds the air back.
    damped : float
        Factor on the formants' widths; above 1 where the nose is open.
    """

    duration: float
    begin: tuple[float, float, float]
    end: tuple[float, float, float]
    voice: float = 1.0
    noise: float = 0.0
    band: tuple[float, float] = (3000.0, 1000.0)
    closed: float = 0.0
    damped: float = 1.0


def _vowel(
    duration: float, begin: tuple[float, float, float], end: tuple[float, float, float] | None = None
) -> Phoneme:
    return Phoneme(duration, begin, end or begin)


def _still(duration: float, place: tuple[float, float, float], voice: float, **options: float | tuple) -> Phoneme:
    return Phoneme(duration, place, place, voice, **options)  # type: ignore[arg-type]


# Names as in the CMU Pronouncing Dictionary. Formants: Klatt, tables II and III. Durations and strengths: by ear.
PHONEMES = {
    "IY": _vowel(140, (310, 2020, 2960), (290, 2070, 2960)),
    "IH": _vowel(95, (400, 1800, 2570), (470, 1600, 2600)),
    "EH": _vowel(110, (530, 1680, 2500), (620, 1530, 2530)),
    "AA": _vowel(150, (700, 1220, 2600)),
    "AH": _vowel(100, (620, 1220, 2550)),
    "AO": _vowel(140, (600, 990, 2570), (630, 1040, 2600)),
    "UW": _vowel(150, (350, 1250, 2200), (320, 900, 2200)),
    "EY": _vowel(150, (480, 1720, 2520), (330, 2020, 2600)),
    "AY": _vowel(190, (660, 1200, 2550), (400, 1880, 2500)),
    "OW": _vowel(180, (540, 1100, 2300), (450, 900, 2300)),
    "AW": _vowel(190, (640, 1230, 2550), (420, 940, 2350)),
    "W": _still(65, (290, 610, 2150), 0.7),
    "Y": _still(60, (260, 2070, 3020), 0.7),
    "R": _still(75, (310, 1060, 1380), 0.7),
    "L": _still(70, (310, 1050, 2880), 0.7),
    "N": _still(80, (480, 1340, 2470), 0.4, damped=3.0),
    "F": _still(95, (340, 1100, 2080), 0.0, noise=0.10, band=(2800, 3500)),
    "TH": _still(90, (320, 1290, 2540), 0.0, noise=0.09, band=(3200, 2500)),
    "S": _still(105, (320, 1390, 2530), 0.0, noise=0.30, band=(4900, 1400)),
    "V": _still(65, (220, 1100, 2080), 0.35, noise=0.05, band=(2800, 3500)),
    "Z": _still(85, (240, 1390, 2530), 0.3, noise=0.22, band=(4900, 1400)),
    "P": _still(35, (400, 1100, 2150), 0.0, noise=0.15, band=(900, 1200), closed=60),
    "T": _still(40, (400, 1600, 2600), 0.0, noise=0.35, band=(3600, 1500), closed=55),
    "K": _still(45, (300, 1990, 2850), 0.0, noise=0.30, band=(2000, 700), closed=60),
    "D": _still(20, (200, 1600, 2600), 0.3, noise=0.25, band=(3500, 1500), closed=35),
    "G": _still(25, (200, 1990, 2850), 0.3, noise=0.25, band=(2000, 700), closed=35),
}

WIDTHS = (80.0, 100.0, 160.0)  # of the three formants, Hz
HIGHER = ((3300.0, 250.0), (3750.0, 200.0))  # the fourth and fifth formants, the same for all sounds: place, width
STEP = 0.005  # seconds: how often the filter changes
HIGHEST = 0.45  # of the rate: where the highest formant may lie
ADULT_MAN = 17.5  # cm: the vocal tract to which the table belongs


@dataclass(frozen=True)
class Speaker:
    """Who speaks.

    Attributes
    ----------
    tract : float
        Length of the vocal tract, cm. All formants go with its inverse.
    pitch : float
        Pulses a second, Hz, in the middle of a sentence.
    speed : float
        How many times as fast as the table.
    breath : float
        Share of noise in the voice, at least 0 and below 1.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    tract: float = 17.0
    pitch: float = 120.0
    speed: float = 1.0
    breath: float = 0.05

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("tract", "pitch", "speed"):
            _check.positive(name, getattr(self, name))
        _check.fraction("breath", self.breath)

    @classmethod
    def draw(cls, seed: int) -> Speaker:
        """Draw one: 13.5 to 18 cm, the pitch higher the shorter the tract, and 0.8 to 1.25 times as fast."""
        rng = np.random.default_rng(_check.count("seed", seed, least=0))
        tract = rng.uniform(13.5, 18.0)
        pitch = 110 * (ADULT_MAN / tract) ** 2.5 * np.exp(rng.normal(0, 0.12))
        return cls(float(tract), float(pitch), float(rng.uniform(0.8, 1.25)), float(rng.uniform(0.02, 0.25)))


def pronounce(words: str | Sequence[str]) -> tuple[str, ...]:
    """Give the names of the sounds; ``" "`` stands between two words.

    Parameters
    ----------
    words : str or sequence of str
        Words of `LEXICON` with blanks between them, or the names of sounds already.

    Raises
    ------
    ValueError
        If a word or a sound is not known.

    Examples
    --------
    >>> pronounce("two six")
    ('T', 'UW', ' ', 'S', 'IH', 'K', 'S')
    """
    if isinstance(words, str):
        sounds: list[str] = []
        for word in words.split():
            if word not in LEXICON:
                raise ValueError(f"words holds {word!r}; allowed are {', '.join(LEXICON)}")
            sounds += [*([" "] if sounds else []), *LEXICON[word]]
    else:
        sounds = list(words)
        for sound in sounds:
            if sound != " " and sound not in PHONEMES:
                raise ValueError(f"words holds {sound!r}; allowed are {', '.join(PHONEMES)} and ' '")
    if not sounds:
        raise ValueError(f"words is {words!r}; there must be at least one")
    return tuple(sounds)


def resonator(frequency: Any, width: Any, rate: int) -> tuple[Any, Any, Any]:
    r"""Give the numbers of a digital resonator, :math:`y_n = A x_n + B y_{n-1} + C y_{n-2}`.

    .. math:: C = -e^{-2\pi b / r}, \quad B = 2 e^{-\pi b / r} \cos(2 \pi f / r), \quad A = 1 - B - C

    Parameters
    ----------
    frequency, width : float or array of float
        Its place :math:`f` and its width :math:`b` at half of the power, Hz.
    rate : int
        Samples a second, :math:`r`.

    Returns
    -------
    A, B, C : float or array of float
        A constant goes through unchanged.
    """
    c = -np.exp(-2 * np.pi * width / rate)
    b = 2 * np.exp(-np.pi * width / rate) * np.cos(2 * np.pi * frequency / rate)
    return 1 - b - c, b, c


def speak(
    words: str | Sequence[str], rate: int = 8000, seed: int = 0, speaker: Speaker | None = None, silence: float = 0.05
) -> np.ndarray:
    """Say words.

    Parameters
    ----------
    words : str or sequence of str
        As `pronounce` takes them.
    rate : int
        Samples a second, at least 6000; what lies above half of it is lost, as on a telephone.
    seed : int
        Decides how this utterance differs from others of the same words by the same speaker: durations and formants by
        a few percent, the pauses, the noise.
    speaker : Speaker, optional
        Who says it; by default ``Speaker()``.
    silence : float
        Seconds before and after.

    Returns
    -------
    float32, shape (time,)
        From -0.7 to 0.7.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    sounds = pronounce(words)
    samples = _check.count("rate", rate, least=6000)
    rng = np.random.default_rng(_check.count("seed", seed, least=0))
    who = Speaker() if speaker is None else speaker
    formants, damped, voice, noise, band = _tracks(sounds, who, rng, _check.non_negative("silence", silence))
    step = round(STEP * samples)
    formants, band = formants * ADULT_MAN / who.tract, band * ADULT_MAN / who.tract
    pitch = who.pitch * np.linspace(1.12, 0.88, len(voice))  # it falls towards the end
    sound = _voiced(formants, damped, _stretched(voice, step), pitch, who, samples, step, rng)
    sound += _noisy(band, _stretched(noise, step), samples, step, rng)
    return (0.7 * sound / np.abs(sound).max()).astype(np.float32)


def add_noise(samples: np.ndarray, decibels: float, seed: int = 0) -> np.ndarray:
    """Add white noise.

    Parameters
    ----------
    samples : array_like of float, shape (time,)
        The sound.
    decibels : float
        How far the noise lies below the sound: ten times the decimal logarithm of the ratio of their powers.
    seed : int
        Decides the noise.

    Returns
    -------
    float32, shape (time,)
        It may pass 1.
    """
    sound = _check.finite("samples", samples, ndim=1)
    rng = np.random.default_rng(_check.count("seed", seed, least=0))
    level = float(_check.finite("decibels", decibels, ndim=0))
    scale = np.sqrt(np.mean(sound**2)) * 10 ** (-level / 20)
    return (sound + scale * rng.normal(size=sound.shape)).astype(np.float32)


def _tracks(sounds: tuple[str, ...], who: Speaker, rng: np.random.Generator, silence: float) -> tuple:
    """Give formants (frames, 3), their damping, the strengths of voice and noise, and the noise's band (frames, 2)."""
    time, targets = silence, []  # (time, formants): straight lines between them
    pieces = []  # (begin, end, phoneme): who sounds when
    for sound in sounds:
        if sound == " ":
            time += rng.uniform(0.02, 0.12) / who.speed
            continue
        phoneme = PHONEMES[sound]
        slow = np.exp(rng.normal(0, 0.12)) / who.speed / 1000  # seconds a millisecond of the table
        shift = np.exp(rng.normal(0, 0.03, 3))
        time += phoneme.closed * slow
        length = phoneme.duration * slow
        # The target holds from a quarter to three quarters of the sound; between sounds the mouth moves.
        targets += [(time + 0.25 * length, phoneme.begin * shift), (time + 0.75 * length, phoneme.end * shift)]
        pieces.append((time, time + length, phoneme))
        time += length
    frames = np.arange(int((time + silence) / STEP) + 1) * STEP
    at, places = np.array([t for t, _ in targets]), np.array([f for _, f in targets])
    formants = np.stack([np.interp(frames, at, places[:, number]) for number in range(3)], axis=1)
    voice, noise, damped = np.zeros(len(frames)), np.zeros(len(frames)), np.ones(len(frames))
    band = np.tile([3000.0, 1000.0], (len(frames), 1))
    for begin, end, phoneme in pieces:
        inside = (frames >= begin - 1e-9) & (frames < end)
        voice[inside], noise[inside], damped[inside] = phoneme.voice, phoneme.noise, phoneme.damped
        band[inside] = phoneme.band
    voice = np.convolve(voice, [0.25, 0.5, 0.25], "same")  # the cords start and stop within about 10 ms
    return formants, damped, voice, noise, band


def _voiced(
    formants: np.ndarray, damped: np.ndarray, voice: np.ndarray, pitch: np.ndarray, who: Speaker, rate: int, step: int,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Send pulses and breath through the formants, one after the other."""
    phase = np.cumsum(np.repeat(pitch, step) / rate * np.exp(rng.normal(0, 0.01, len(voice))))
    pulses = np.diff(np.floor(phase), prepend=0.0)
    # What the cords let through falls by 12 dB an octave; the lips give back 6 by taking differences.
    a, b, c = resonator(0, 100, rate)
    source = lfilter([a, -a], [1, -b, -c], pulses)
    source /= source.std() + 1e-12
    source = voice * ((1 - who.breath) * source + who.breath * rng.normal(size=len(voice)))
    # As many formants as fit below half of the rate: more would lift what is near it, where a resonator meets its
    # image.
    higher = [(place * ADULT_MAN / who.tract, width) for place, width in HIGHER]
    higher = [(place, width) for place, width in higher if place < HIGHEST * rate]
    places = [formants, *(np.full((len(formants), 1), place) for place, _ in higher)]
    widths = [np.outer(damped, WIDTHS), *(np.full((len(formants), 1), width) for _, width in higher)]
    a, b, c = resonator(np.minimum(np.hstack(places), HIGHEST * rate), np.hstack(widths), rate)  # (frames, formants)
    result = _filtered(source, a, b, c, step)
    loud = result[voice > 0.5]
    return result / (loud.std() if len(loud) else 1.0)


def _noisy(band: np.ndarray, noise: np.ndarray, rate: int, step: int, rng: np.random.Generator) -> np.ndarray:
    """Send noise through one resonator that lets its middle through unchanged."""
    place = np.minimum(band[:, :1], HIGHEST * rate)
    _, b, c = resonator(place, band[:, 1:], rate)  # (frames, 1)
    turn = np.exp(-2j * np.pi * place / rate)
    return noise * _filtered(rng.normal(size=len(noise)), abs(1 - b * turn - c * turn**2), b, c, step)


def _filtered(source: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, step: int) -> np.ndarray:
    """Send sound through resonators (frames, resonators), one after the other; they change with each frame."""
    zero, one = np.zeros_like(a), np.ones_like(a)
    sections = np.stack([a, zero, zero, one, -b, -c], axis=-1)
    state, result = np.zeros((a.shape[1], 2)), np.empty(len(source))
    # A change leaves the latest outputs of each resonator alone, as in Klatt's program. SciPy keeps, in place of these,
    # b y[n-1] + c y[n-2] and c y[n-1], which have to follow the new b and c.
    ratio = c[1:] / c[:-1]
    turned = (b[1:] - ratio * b[:-1]) / c[:-1]
    starts = np.flatnonzero(np.any(sections[1:] != sections[:-1], axis=(1, 2))) + 1
    for begin, end in pairwise([0, *starts.tolist(), len(sections)]):
        if begin:
            state[:, 0] = ratio[begin - 1] * state[:, 0] + turned[begin - 1] * state[:, 1]
            state[:, 1] *= ratio[begin - 1]
        piece = slice(begin * step, end * step)
        result[piece], state = sosfilt(sections[begin], source[piece], zi=state)
    return result


def _stretched(values: np.ndarray, step: int) -> np.ndarray:
    """Give one number a sample from one a frame, on straight lines: a jump would click."""
    places = np.arange(len(values) * step) / step
    return np.interp(places, np.arange(len(values)), values)
