"""What all tokenizers share: numbers of special tokens, pairs of texts in one row, many texts at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["Tokenizer", "truncate_pair"]

# What a special token is for, and how BERT and RoBERTa write it.
ROLES = {
    "pad": ("[PAD]", "<pad>"),
    "unknown": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
    "end": ("<|endoftext|>",),
}


def truncate_pair(first: Sequence[int], second: Sequence[int], room: int) -> tuple[list[int], list[int]]:
    """Cut two sequences at their ends so that together they are no longer than `room`, the longer one first.

    Both keep half of the room where both are longer; an odd place goes to the longer one, or to the second if they are
    equally long. The library ``tokenizers`` does the same under the name ``longest_first``.

    Examples
    --------
    >>> truncate_pair([1, 2, 3, 4, 5, 6], [7, 8], 5)
    ([1, 2, 3], [7, 8])
    >>> truncate_pair([1, 2, 3, 4], [5, 6, 7, 8], 5)
    ([1, 2], [5, 6, 7])
    """
    short, long = sorted((len(first), len(second)))
    if short + long > room:
        short = min(short, room // 2)
        long = room - short
    lengths = (long, short) if len(first) > len(second) else (short, long)
    return list(first[: lengths[0]]), list(second[: lengths[1]])


class Tokenizer:
    """A vocabulary with its special tokens; each kind of tokenizer adds how a text is cut.

    Attributes
    ----------
    tokens : tuple of str
        The vocabulary, by number.
    pad, unknown, cls, sep, mask, end : int or None
        The numbers of the special tokens; None where the vocabulary has none.
    special : tuple of int
        All of them, in rising order.
    """

    pad: int | None
    unknown: int | None
    cls: int | None
    sep: int | None
    mask: int | None
    end: int | None
    _backend: Any  # the tokenizer of the library ``tokenizers``, in the kinds that leave the cutting to it

    # Between two texts of a pair: how many separators, and whether the second is marked as another segment.
    _separators = 1
    _second_segment = 1

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tuple(tokens)
        self._number = {token: number for number, token in enumerate(self.tokens)}
        if len(self._number) != len(self.tokens):
            double = next(token for number, token in enumerate(self.tokens) if self._number[token] != number)
            raise ValueError(f"vocabulary has the token {double!r} twice; each may stand there once")
        if not self.tokens:
            raise ValueError("vocabulary is empty; it must have at least one token")
        for role, names in ROLES.items():
            setattr(self, role, next((self._number[name] for name in names if name in self._number), None))
        self.special = tuple(sorted(self._number[name] for names in ROLES.values() for name in names if name in self))

    def __len__(self) -> int:
        """Count the tokens of the vocabulary."""
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        """Say whether a token stands in the vocabulary."""
        return token in self._number

    def number(self, token: str) -> int:
        """Give a token's number.

        Raises
        ------
        KeyError
            If the vocabulary does not have it.
        """
        if token not in self._number:
            raise KeyError(f"token is {token!r}; the vocabulary of {len(self)} tokens does not have it")
        return self._number[token]

    def encode(self, text: str) -> list[int]:
        """Cut a text into tokens and give their numbers, without any special token at the ends."""
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts at once, which is faster.

        Parameters
        ----------
        texts : sequence of str
            The texts.

        Returns
        -------
        list of lists of int
            The tokens of each text, without any special token at its ends.
        """
        encoded = self._backend.encode_batch(require_texts("texts", texts), add_special_tokens=False)
        return [one.ids for one in encoded]

    def decode(self, ids: Any, special: bool = False) -> str:
        """Put tokens together to a text again.

        Parameters
        ----------
        ids : sequence of int
            Numbers of tokens.
        special : bool
            Whether the special tokens are written too.

        Raises
        ------
        ValueError
            If a number is not one of the vocabulary.
        """
        numbers = [int(number) for number in np.asarray(ids).ravel()]
        for number in numbers:
            if not 0 <= number < len(self):
                raise ValueError(f"ids has the number {number}; all must be from 0 to {len(self) - 1}")
        return self._join([n for n in numbers if special or n not in self.special])

    def _required(self, role: str) -> int:
        number = getattr(self, role)
        if number is None:
            raise ValueError(f"the vocabulary has none of the tokens {ROLES[role]}, which a row of BERT's needs")
        return int(number)

    def _join(self, numbers: list[int]) -> str:
        raise NotImplementedError

    def encode_pair(self, first: str, second: str | None = None, length: int = 128) -> tuple[np.ndarray, np.ndarray]:
        """Write one text, or two, into a row of one fixed length.

        The row is ``[CLS] first [SEP] second [SEP]``, and then padding. Where it is too long, the longer text loses its
        end first.

        Parameters
        ----------
        first, second : str
            The texts; the second may be None.
        length : int
            Positions of the row.

        Returns
        -------
        tokens : array of int32, shape (length,)
        segments : array of int32, shape (length,)
            1 where the second text and the separator behind it stand, 0 elsewhere. RoBERTa puts two separators between
            the texts instead, and has 0 everywhere.

        Raises
        ------
        ValueError
            If there is no room for a text, or the vocabulary lacks one of the tokens that a row needs.
        """
        tokens, segments = self.encode_pairs([first], None if second is None else [second], length)
        return tokens[0], segments[0]

    def encode_pairs(
        self, firsts: Sequence[str], seconds: Sequence[str] | None = None, length: int = 128
    ) -> tuple[np.ndarray, np.ndarray]:
        """Do `encode_pair` with many texts; the arrays have the shape (texts, length)."""
        if seconds is not None and len(seconds) != len(firsts):
            raise ValueError(f"seconds has {len(seconds)} texts and firsts {len(firsts)}; they must be as many")
        return self.rows(self.encode_many(firsts), None if seconds is None else self.encode_many(seconds), length)

    def rows(
        self, firsts: Sequence[Sequence[int]], seconds: Sequence[Sequence[int]] | None = None, length: int = 128
    ) -> tuple[np.ndarray, np.ndarray]:
        """Do `encode_pairs` with texts that are encoded already."""
        pad, cls, sep = (self._required(role) for role in ("pad", "cls", "sep"))
        extra = 2 if seconds is None else 2 + self._separators
        _check.count("length", length, least=extra + (1 if seconds is None else 2))
        tokens = np.full((len(firsts), length), pad, np.int32)
        segments = np.zeros((len(firsts), length), np.int32)
        for number, first in enumerate(firsts):
            if seconds is None:
                row = [cls, *first[: length - extra], sep]
            else:
                left, right = truncate_pair(first, seconds[number], length - extra)
                row = [cls, *left, *[sep] * self._separators, *right, sep]
                segments[number, len(row) - len(right) - 1 : len(row)] = self._second_segment
            tokens[number, : len(row)] = row
        return tokens, segments


def require_texts(name: str, texts: Any) -> list[str]:
    """Require a sequence of strings that UTF-8 can write."""
    if isinstance(texts, str):
        raise TypeError(f"{name} is one string; it must be a list of them")
    texts = list(texts)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"{name}[{number}] is {text!r}; it must be a string")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                wrong = text[error.start]
                raise ValueError(f"{name}[{number}] holds {wrong!a}, half of a character; UTF-8 has none") from None
    return texts


def in_order(vocabulary: Sequence[str] | Mapping[str, int]) -> list[str]:
    """Give the tokens by number, from either form of a vocabulary."""
    if isinstance(vocabulary, str):
        raise TypeError(f"vocabulary is the string {vocabulary[:20]!r}; it must be a list of tokens or a dict")
    if not isinstance(vocabulary, Mapping):
        return list(vocabulary)
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    numbers = [vocabulary[token] for token in tokens]
    if numbers != list(range(len(numbers))):
        wrong = next(n for n, number in enumerate(numbers) if n != number)
        raise ValueError(f"vocabulary has no number {wrong}, or one twice; {len(numbers)} tokens have each from 0 once")
    return tokens


def file_in(name: str, path: str | Path) -> Path:
    """Give the path of a file of that name in a folder, or the path itself; it must exist."""
    path = Path(path)
    path = path / name if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"path is {str(path)!r}; there must be a file, or a folder that holds {name}")
    return path
