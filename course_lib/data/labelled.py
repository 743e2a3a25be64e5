"""Texts with a label each, and how to split them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course_lib import _check

__all__ = ["Labelled", "Task"]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Texts and their labels.

    Attributes
    ----------
    texts : tuple of str
    labels : array of int32, shape (texts,), or None
        The class of each text, from 0; None where nobody published them.
    """

    texts: tuple[str, ...]
    labels: np.ndarray | None

    def __len__(self) -> int:
        """Count the texts."""
        return len(self.texts)

    def take(self, numbers: Sequence[int] | np.ndarray) -> Labelled:
        """Give the texts with these numbers, in this order."""
        chosen = np.asarray(numbers, np.int64)
        labels = None if self.labels is None else self.labels[chosen]
        return Labelled(tuple(self.texts[number] for number in chosen), labels)

    def split(self, share: float, seed: int = 0) -> tuple[Labelled, Labelled]:
        """Split at random, class by class, so that both parts have the same mixture.

        Parameters
        ----------
        share : float
            The second part's share of each class, above 0 and below 1; rounded to whole texts.
        seed : int
            Decides who goes where.

        Returns
        -------
        first, second : Labelled
            The texts of each keep their order.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range, or there are no labels.
        """
        if _check.fraction("share", share) == 0:
            raise ValueError(f"share is {share!r}; it must be above 0 and below 1")
        if self.labels is None:
            raise ValueError("the texts have no labels; only labelled texts can be split class by class")
        rng = np.random.default_rng(_check.count("seed", seed, least=0))
        is_second = np.zeros(len(self), bool)
        for label in np.unique(self.labels):
            members = rng.permutation(np.flatnonzero(self.labels == label))
            is_second[members[: round(share * len(members))]] = True
        return self.take(np.flatnonzero(~is_second)), self.take(np.flatnonzero(is_second))


@dataclass(frozen=True, eq=False)
class Task:
    """A task of classification with its published parts.

    Attributes
    ----------
    classes : tuple of str
        The meaning of each label.
    train, validation : Labelled
    test : Labelled or None
        None where there is no such file.
    """

    classes: tuple[str, ...]
    train: Labelled
    validation: Labelled
    test: Labelled | None = None


def read_text(path: str | Path) -> str:
    """Read a file of UTF-8, or say what is wrong with it."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path is {str(path)!r}; there is no such file")
    try:
        text = path.read_bytes().decode("utf-8-sig")  # some programs write a mark at the beginning
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}") from None
    if not text.strip():
        raise ValueError(f"{path} is empty")
    return text


def read_label(text: str, classes: int, where: str) -> int:
    """Read a label, or say what is wrong with it."""
    if text not in map(str, range(classes)):
        raise ValueError(f"{where}: the label is {text!r}; it must be a whole number from 0 to {classes - 1}")
    return int(text)
