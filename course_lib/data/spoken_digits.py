"""Recordings of spoken words: two public sets, a set by rule, and strings of words made of single ones.

The Free Spoken Digit Dataset (CC BY-SA 4.0) is at https://github.com/Jakobovski/free-spoken-digit-dataset; Speech
Commands (CC BY 4.0) at
https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz,
see P. Warden, 2018, https://arxiv.org/abs/1804.03209.

>>> sounds = synthetic_digits(3, seed=0, shortest=2, longest=2)
>>> len(sounds), sounds.rate, [len(text.split()) for text in sounds.texts]
(3, 8000, [2, 2, 2])
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course_lib import _check
from course_lib.audio.files import read
from course_lib.audio.formants import DIGITS, Speaker, add_noise, speak

__all__ = ["Recordings", "fsdd", "speech_commands", "strings", "synthetic_digits"]


@dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings with what is said in them.

    Attributes
    ----------
    samples : tuple of float32 arrays (time,)
        The sounds, from -1 to 1.
    texts : tuple of str
        Words with blanks between them.
    speakers : tuple of str
        Who speaks.
    rate : int
        Samples a second.
    """

    samples: tuple[np.ndarray, ...]
    texts: tuple[str, ...]
    speakers: tuple[str, ...]
    rate: int

    def __len__(self) -> int:
        """Count the recordings."""
        return len(self.texts)

    def take(self, numbers: Sequence[int] | np.ndarray) -> Recordings:
        """Give the recordings with these numbers, in this order."""
        chosen = np.asarray(numbers, np.int64)
        samples = tuple(self.samples[number] for number in chosen)
        texts, speakers = (tuple(column[number] for number in chosen) for column in (self.texts, self.speakers))
        return Recordings(samples, texts, speakers, self.rate)

    def by_speaker(self, speakers: Sequence[str]) -> tuple[Recordings, Recordings]:
        """Split: first the recordings of all other speakers, then those of these.

        Raises
        ------
        ValueError
            If one of them does not speak here.
        """
        for name in speakers:
            if name not in self.speakers:
                raise ValueError(f"speakers holds {name!r}; allowed are {', '.join(sorted(set(self.speakers)))}")
        inside = np.array([name in speakers for name in self.speakers], bool)
        return self.take(np.flatnonzero(~inside)), self.take(np.flatnonzero(inside))


def fsdd(folder: str | Path) -> tuple[Recordings, Recordings]:
    """Read the Free Spoken Digit Dataset.

    Parameters
    ----------
    folder : str or Path
        With files ``recordings/7_jackson_32.wav`` (digit, speaker, take), or those files themselves.

    Returns
    -------
    train, test : Recordings
        The texts are words, "seven". The test set is takes 0 to 4 of each digit and speaker, as the set's authors say;
        both know all speakers.

    Raises
    ------
    FileNotFoundError
        If there are no such files.
    ValueError
        If their rates differ.
    """
    place = Path(folder)
    inner = place / "recordings"
    pattern = re.compile(r"([0-9])_([a-z]+)_([0-9]+)\.wav")
    paths = sorted((inner if inner.is_dir() else place).glob("*.wav"))
    names = ((path, pattern.fullmatch(path.name)) for path in paths)
    found = [(path, DIGITS[int(name[1])], name[2], int(name[3])) for path, name in names if name]
    if not found:
        raise FileNotFoundError(f"folder is {str(folder)!r}; there are no files such as 7_jackson_32.wav in it")
    parts = ([row for row in found if row[3] >= 5], [row for row in found if row[3] < 5])
    train, test = (_collect([row[:3] for row in part]) for part in parts)
    return train, test


def speech_commands(
    folder: str | Path, words: Sequence[str] | None = None
) -> tuple[Recordings, Recordings, Recordings]:
    """Read Speech Commands, version 1 or 2.

    Parameters
    ----------
    folder : str or Path
        The unpacked archive: ``yes/0a7c2a8d_nohash_0.wav``, ``validation_list.txt``, ``testing_list.txt``.
    words : sequence of str, optional
        Which words; by default all. The folder of background noise is left out.

    Returns
    -------
    train, validation, test : Recordings
        As the lists say. All recordings of a speaker are in one part; the speaker is the name's first half.

    Raises
    ------
    FileNotFoundError
        If a list or a word's folder is not there.
    """
    place = Path(folder)
    lists = []
    for name in ("validation_list.txt", "testing_list.txt"):
        if not (place / name).is_file():
            raise FileNotFoundError(f"folder is {str(folder)!r}; there is no {name} in it")
        lists.append(set((place / name).read_text(encoding="utf-8").split()))
    chosen = sorted(p.name for p in place.iterdir() if p.is_dir() and p.name[0] not in "_.") if words is None else words
    parts: tuple[list, list, list] = ([], [], [])
    for word in chosen:
        paths = sorted((place / word).glob("*.wav"))
        if not paths:
            raise FileNotFoundError(f"words holds {word!r}; there are no recordings in {place / word}")
        for path in paths:
            name = f"{word}/{path.name}"
            part = 1 if name in lists[0] else 2 if name in lists[1] else 0
            parts[part].append((path, word, path.name.split("_")[0]))
    train, validation, test = (_collect(part) for part in parts)
    return train, validation, test


def strings(
    recordings: Recordings, count: int, seed: int = 0, shortest: int = 1, longest: int = 4, pause: float = 0.15
) -> Recordings:
    """Put single recordings of one speaker behind one another, with pauses of silence.

    Parameters
    ----------
    recordings : Recordings
        Of single words.
    count : int
        Strings to make.
    seed : int
        Decides which.
    shortest, longest : int
        Words in a string.
    pause : float
        Seconds of the longest pause; the others are shorter.

    Returns
    -------
    Recordings
        A recording may come in several strings: split first, then make strings.
    """
    if not len(recordings):
        raise ValueError("recordings is empty; there must be at least one")
    low, high = _range(shortest, longest)
    rng = np.random.default_rng(_check.count("seed", seed, least=0))
    places = {name: [] for name in sorted(set(recordings.speakers))}  # type: dict[str, list[int]]
    for number, name in enumerate(recordings.speakers):
        places[name].append(number)
    names, limit = list(places), _check.non_negative("pause", pause)
    samples, texts, speakers = [], [], []
    for _ in range(_check.count("count", count)):
        who = names[rng.integers(len(names))]
        chosen = rng.choice(places[who], rng.integers(low, high + 1))
        pieces: list[np.ndarray] = []
        for number in chosen:
            pieces += [np.zeros(int(rng.uniform(0, limit) * recordings.rate)), recordings.samples[number]]
        pieces.append(np.zeros(int(rng.uniform(0, limit) * recordings.rate)))
        samples.append(np.concatenate(pieces).astype(np.float32))
        texts.append(" ".join(recordings.texts[number] for number in chosen))
        speakers.append(who)
    return Recordings(tuple(samples), tuple(texts), tuple(speakers), recordings.rate)


def synthetic_digits(
    count: int, seed: int = 0, words: Sequence[str] = DIGITS, shortest: int = 1, longest: int = 4, speakers: int = 40,
    noise: tuple[float, float] | None = (15.0, 40.0), rate: int = 8000,
) -> Recordings:  # fmt: skip
    """Let the synthesiser of `audio.formants` say random strings of words.

    Parameters
    ----------
    count : int
        Recordings.
    seed : int
        Decides everything: sets of different seeds have different speakers, so that one can test the other.
    words : sequence of str
        To choose from.
    shortest, longest : int
        Words in a string.
    speakers : int
        Different speakers.
    noise : tuple of float, optional
        From how few to how many decibels white noise lies below the sound; None for no noise, and else the same sounds.
    rate : int
        Samples a second.

    Returns
    -------
    Recordings
        The speakers' names hold the seed.
    """
    low, high = _range(shortest, longest)
    number_of_speakers = _check.count("speakers", speakers)
    rng = np.random.default_rng([_check.count("seed", seed, least=0), 16])
    who = [Speaker.draw(int(one)) for one in rng.integers(2**31, size=number_of_speakers)]
    samples, texts, names = [], [], []
    for _ in range(_check.count("count", count)):
        text = " ".join(rng.choice(words, rng.integers(low, high + 1)))
        one, own = int(rng.integers(number_of_speakers)), int(rng.integers(2**31))
        sound, share = speak(text, rate, own, who[one]), rng.uniform()  # drawn also without noise: the words stay
        if noise is not None:
            sound = add_noise(sound, noise[0] + share * (noise[1] - noise[0]), own)
            sound /= max(1.0, float(np.abs(sound).max()))
        samples.append(sound)
        texts.append(text)
        names.append(f"{seed}-{one}")
    return Recordings(tuple(samples), tuple(texts), tuple(names), rate)


def _range(shortest: int, longest: int) -> tuple[int, int]:
    low, high = _check.count("shortest", shortest), _check.count("longest", longest)
    if low > high:
        raise ValueError(f"shortest is {low} and longest {high}; it must not be the larger one")
    return low, high


def _collect(rows: list[tuple[Path, str, str]]) -> Recordings:
    sounds = [read(path) for path, _, _ in rows]
    rates = {rate for _, rate in sounds}
    if len(rates) > 1:
        raise ValueError(f"the recordings have the rates {sorted(rates)}; they must have one")
    samples, texts, speakers = (sound for sound, _ in sounds), (row[1] for row in rows), (row[2] for row in rows)
    return Recordings(tuple(samples), tuple(texts), tuple(speakers), rates.pop() if rates else 0)
