"""Sentences with their translations, and a split that no sentence crosses.

A corpus of volunteers holds some sentences several times, each time with another translation. Split at random, a part
of the test set would stand in the training set, on one side or the other; `Pairs.split` keeps such pairs together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course_lib import _check
from course_lib.data.labelled import read_text

__all__ = ["Pairs", "tatoeba"]


@dataclass(frozen=True)
class Pairs:
    """Sentences in one language, and each one's translation in another.

    Attributes
    ----------
    source, target : tuple of str
        As many in both; ``target[n]`` translates ``source[n]``.

    Raises
    ------
    ValueError
        If there are not as many.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that the sides have the same length."""
        if len(self.source) != len(self.target):
            raise ValueError(
                f"source has {len(self.source)} sentences and target {len(self.target)}; they must be as many"
            )

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.source)

    def take(self, numbers: Sequence[int] | np.ndarray) -> Pairs:
        """Give the pairs with these numbers, in this order."""
        chosen = np.asarray(numbers, np.int64)
        return Pairs(tuple(self.source[n] for n in chosen), tuple(self.target[n] for n in chosen))

    def groups(self) -> np.ndarray:
        """Give pairs that share a sentence, directly or over other pairs, the same number.

        Returns
        -------
        numpy.ndarray, shape (pairs,), int64
            Of each pair the group, numbered from 0 in the order in which they first occur.
        """
        parent = np.arange(len(self))  # union-find: the parent of a group's first pair is itself

        def root(pair: int) -> int:
            while parent[pair] != pair:
                parent[pair] = parent[parent[pair]]
                pair = int(parent[pair])
            return pair

        first: dict[tuple[int, str], int] = {}  # the first pair that has a sentence on a side
        for number, pair in enumerate(zip(self.source, self.target, strict=True)):
            for side in enumerate(pair):
                a, b = root(first.setdefault(side, number)), root(number)
                parent[max(a, b)] = min(a, b)  # the root is the smallest: groups are numbered as they occur
        return np.unique([root(number) for number in range(len(self))], return_inverse=True)[1].reshape(-1)

    def split(self, share: float, seed: int = 0) -> tuple[Pairs, Pairs]:
        """Split at random; no sentence of one part stands in the other, on either side.

        Parameters
        ----------
        share : float
            The second part's share of the pairs, above 0 and below 1; reached as nearly as whole groups allow, never
            exceeded.
        seed : int
            Decides who goes where.

        Returns
        -------
        first, second : Pairs
            The pairs of each keep their order.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range.
        """
        if _check.fraction("share", share) == 0:
            raise ValueError(f"share is {share!r}; it must be above 0 and below 1")
        rng = np.random.default_rng(_check.count("seed", seed, least=0))
        groups = self.groups()
        sizes, wanted = np.bincount(groups), round(share * len(self))
        is_second = np.zeros(len(sizes), bool)
        for group in rng.permutation(len(sizes)):
            if sizes[group] <= wanted:
                is_second[group] = True
                wanted -= sizes[group]
        return self.take(np.flatnonzero(~is_second[groups])), self.take(np.flatnonzero(is_second[groups]))


def tatoeba(path: str | Path) -> Pairs:
    """Read pairs of sentences with tabs between them: Tatoeba's, as manythings.org publishes them.

    Parameters
    ----------
    path : str or Path
        A file such as ``cmn.txt`` or ``fra.txt`` from https://www.manythings.org/anki (CC BY 2.0 FR): in each line an
        English sentence, its translation, and in newer files who wrote them, which is left out.

    Returns
    -------
    Pairs
        In the order of the file, English as `source`; lines that occur twice are left in.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it has not the form above; the message names the line and what stands there.

    References
    ----------
    J. Tiedemann, The Tatoeba Translation Challenge, 2020, https://arxiv.org/abs/2010.06354
    """
    source, target = [], []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) not in (2, 3) or not cells[0] or not cells[1]:
            raise ValueError(
                f"{path}, line {number}: there must be a sentence, a tab and its translation: {line[:60]!r}"
            )
        source.append(cells[0])
        target.append(cells[1])
    return Pairs(tuple(source), tuple(target))
