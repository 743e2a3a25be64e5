"""Short texts in rows of one length, with little padding between them.

A model reads rows of equal length. Filling each row up behind one short text wastes most of the work; there are three
ways to waste less: rows as long as the longest text of their batch, batches of texts of similar length
(`BucketedBatches`), and several texts in one row (`pack`), which then must not look at each other.

>>> packed = pack([[11, 12, 13], [21, 22], [31, 32, 33, 34]], length=6)
>>> packed["tokens"]
array([[31, 32, 33, 34, 21, 22],
       [11, 12, 13,  0,  0,  0]], dtype=int32)
>>> packed["sequence"]
array([[1, 1, 1, 1, 2, 2],
       [1, 1, 1, 0, 0, 0]], dtype=int32)
>>> packed["positions"]
array([[0, 1, 2, 3, 0, 1],
       [0, 1, 2, 0, 0, 0]], dtype=int32)
>>> attention_mask(packed["sequence"])[0, 0, 4].astype(int)  # the first token of the second text sees that text only
array([0, 0, 0, 0, 1, 1])

References
----------
M. M. Krell et al., Efficient Sequence Packing without Cross-contamination, 2021, https://arxiv.org/abs/2107.02027
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from course_lib import _check
from course_lib._tree import tree_map
from course_lib.data.batches import Batches

__all__ = ["BucketedBatches", "attention_mask", "blocks", "pack", "padding_shares", "unpack"]


def pack(sequences: Sequence[Sequence[int]], length: int, padding: int = 0) -> dict[str, np.ndarray]:
    """Put several short sequences into one row: the longest first, each into the first row that has room for it.

    Parameters
    ----------
    sequences : sequence of sequences of int
        Tokens; none is longer than `length`, none is empty.
    length : int
        Positions of a row.
    padding : int
        The token behind the last sequence of a row.

    Returns
    -------
    dict of arrays of int32, shape (rows, length)
        ``tokens``; ``sequence``, the number of the sequence in its row from 1, 0 at padding; ``positions``, the place
        of each token in its own sequence from 0, which a model's table of positions needs.

    Raises
    ------
    TypeError, ValueError
        If `length` or `padding` is out of its range, or a sequence is empty or too long.

    References
    ----------
    The rule is first-fit decreasing, at most about 22 % above the fewest rows possible: D. S. Johnson et al., 1974,
    https://doi.org/10.1137/0203025
    """
    length = _check.count("length", length)
    padding = _check.count("padding", padding, least=0)
    lengths = _lengths(sequences, length)
    rows: list[list[int]] = []
    room: list[int] = []
    least_row = [0] * (length + 1)  # for each size of a sequence: rows before this one have no room for it
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        size = lengths[number]
        row = least_row[size]
        while row < len(rows) and room[row] < size:
            row += 1
        if row == len(rows):
            rows.append([])
            room.append(length)
        least_row[size] = row
        rows[row].append(number)
        room[row] -= size

    packed = {name: np.zeros((len(rows), length), np.int32) for name in ("tokens", "sequence", "positions")}
    packed["tokens"][:] = padding
    for row, members in enumerate(rows):
        start = 0
        for count, number in enumerate(members, 1):
            place = slice(start, start + lengths[number])
            packed["tokens"][row, place] = sequences[number]
            packed["sequence"][row, place] = count
            packed["positions"][row, place] = np.arange(lengths[number])
            start = place.stop
    return packed


def unpack(packed: dict[str, np.ndarray]) -> list[list[int]]:
    """Take the sequences out of their rows again, row by row; the order is that in which `pack` placed them."""
    found = []
    for tokens, sequence in zip(packed["tokens"], packed["sequence"], strict=True):
        found += [tokens[sequence == number].tolist() for number in range(1, int(sequence.max(initial=0)) + 1)]
    return found


def attention_mask(sequence: Any, causal: bool = False) -> np.ndarray:
    """Let each token look at the tokens of its own sequence only.

    Parameters
    ----------
    sequence : array of int, shape (batch, positions)
        As `pack` gives it: equal numbers belong together, 0 is padding.
    causal : bool
        Whether a token may not look at later ones, as in models that write text.

    Returns
    -------
    array of bool, shape (batch, 1, positions, positions)
        True where the query (third axis) may look at the key (last axis); the form of
        `course_lib.layers.attention.attention`. Padding looks at nothing, and nothing looks at it.

    Raises
    ------
    ValueError
        If `sequence` is not a matrix.
    """
    numbers = np.asarray(sequence)
    if numbers.ndim != 2:
        raise ValueError(f"sequence has shape {numbers.shape}; it must be (batch, positions)")
    mask = (numbers[:, None, :, None] == numbers[:, None, None, :]) & (numbers > 0)[:, None, None, :]
    if _check.flag("causal", causal):
        mask &= np.tri(numbers.shape[1], dtype=bool)
    return mask


def blocks(sequences: Sequence[Sequence[int]], length: int, end: int | None = None) -> np.ndarray:
    """Write all sequences one behind the other and cut the line into rows, as GPT's and RoBERTa's training does.

    Parameters
    ----------
    sequences : sequence of sequences of int
        Tokens of the documents.
    length : int
        Positions of a row.
    end : int, optional
        A token to put behind each document.

    Returns
    -------
    array of int32, shape (rows, length)
        What is left behind the last whole row is dropped; there is no padding.

    Raises
    ------
    TypeError, ValueError
        If `length` or `end` is out of its range, or all together do not fill one row.

    Examples
    --------
    >>> blocks([[1, 2, 3], [4, 5]], length=3, end=9)
    array([[1, 2, 3],
           [9, 4, 5]], dtype=int32)
    """
    length = _check.count("length", length)
    behind = [] if end is None else [_check.count("end", end, least=0)]
    line = np.fromiter((token for sequence in sequences for part in (sequence, behind) for token in part), np.int32)
    if len(line) < length:
        raise ValueError(f"length is {length} and sequences have {len(line)} tokens; they must fill one row")
    return line[: len(line) // length * length].reshape(-1, length)


class BucketedBatches(Batches):
    """Batches of sequences of similar length, each filled up to its own longest only.

    An epoch shuffles the examples, sorts them by length within windows of some batches, and shuffles the batches: the
    order stays random, but neighbours fit each other. It is a pure function of seed and step as all `Batches` are.

    Parameters
    ----------
    sequences : sequence of sequences of int
        Tokens, none empty.
    others : array, or dict or tuple of arrays, optional
        What belongs to each sequence, such as its label.
    batch_size : int
        Sequences in a batch.
    seed, transform, drop_remainder
        As in `course_lib.data.batches.Batches`.
    shuffle : bool
        Whether each epoch has its own order. Without it, sequences are sorted in their own windows, and batches are
        not shuffled.
    window : int
        Batches whose examples are sorted together. With 1, a batch is as random as it would be without buckets.
    multiple : int
        Lengths are rounded up to a multiple of it, so that a compiled model meets few different shapes.
    padding : int
        The token behind the end of a sequence.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, or a sequence is empty.

    Examples
    --------
    >>> batches = BucketedBatches([[1], [2, 2, 2], [3], [4, 4, 4, 4]], batch_size=2, multiple=1)
    >>> sorted(batch["tokens"].shape for batch in batches)
    [(2, 1), (2, 4)]
    """

    _varies = True

    def __init__(
        self,
        sequences: Sequence[Sequence[int]],
        batch_size: int,
        others: Any = None,
        seed: int = 0,
        shuffle: bool = True,
        transform: Callable[[Any, np.random.Generator], Any] | None = None,
        drop_remainder: bool = True,
        window: int = 50,
        multiple: int = 8,
        padding: int = 0,
    ) -> None:
        self.lengths = np.array(_lengths(sequences), np.int64)
        self.window = _check.count("window", window)
        self.multiple = _check.count("multiple", multiple)
        self.padding = _check.count("padding", padding, least=0)
        self.sequences = [np.asarray(sequence, np.int32) for sequence in sequences]
        arrays = {"length": self.lengths} | ({} if others is None else {"others": others})
        super().__init__(arrays, batch_size, seed, shuffle, transform, drop_remainder)

    def _draw_order(self, rng: np.random.Generator) -> np.ndarray:
        size = self.batch_size
        order = super()._draw_order(rng)
        used = order[
            : len(self) * size
        ]  # an example that this epoch leaves out is one of the last, whatever its length
        windows = np.split(used, range(self.window * size, len(used), self.window * size))
        order = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in windows])
        whole = len(order) // size * size
        batches = order[:whole].reshape(-1, size)
        if self.shuffle:
            batches = batches[rng.permutation(len(batches))]
        return np.concatenate([batches.ravel(), order[whole:]])

    def _collect(self, examples: np.ndarray) -> Any:
        longest = int(self.lengths[examples].max())
        tokens = np.full((len(examples), -(-longest // self.multiple) * self.multiple), self.padding, np.int32)
        for row, number in enumerate(examples):
            tokens[row, : self.lengths[number]] = self.sequences[number]
        if "others" not in self.arrays:
            return {"tokens": tokens}
        return {"tokens": tokens, "others": tree_map(lambda array: array[examples], self.arrays["others"])}


def padding_shares(lengths: Sequence[int], length: int, batch_size: int, seed: int = 0) -> dict[str, float]:
    """Compare how much of the rows is padding, for each way to arrange sequences.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each sequence.
    length : int
        Positions of a row of fixed length.
    batch_size : int
        Sequences in a batch.
    seed : int
        Decides the order.

    Returns
    -------
    dict of str to float
        The share of positions that hold padding, from 0 to 1: ``fixed`` (one sequence in a row of that length),
        ``longest`` (rows as long as the longest of their batch), ``bucketed`` (`BucketedBatches` with its default
        window, without rounding) and ``packed`` (`pack`).

    Raises
    ------
    TypeError, ValueError
        As `pack` and `BucketedBatches`.
    """
    sequences = [[1] * int(size) for size in lengths]
    positions = {"fixed": len(sequences) * length, "packed": pack(sequences, length)["tokens"].size}
    for name, window in (("longest", 1), ("bucketed", 50)):
        batches = BucketedBatches(sequences, batch_size, seed=seed, drop_remainder=False, window=window, multiple=1)
        positions[name] = sum(batch["tokens"].size for batch in batches)
    real = sum(map(len, sequences))
    return {name: 1 - real / positions[name] for name in ("fixed", "longest", "bucketed", "packed")}


def _lengths(sequences: Sequence[Sequence[int]], longest: int | None = None) -> list[int]:
    """Give the sequences' lengths, none 0 and none above the longest allowed."""
    lengths = [len(sequence) for sequence in sequences]
    for number, size in enumerate(lengths):
        if size < 1 or (longest is not None and size > longest):
            limit = "at least 1" if longest is None else f"from 1 to {longest}, the length of a row"
            raise ValueError(f"sequences[{number}] has {size} tokens; it must have {limit}")
    return lengths
