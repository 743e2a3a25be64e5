"""What a backward pass costs: the memory of the tape, and the arithmetic.

>>> from course_lib.autodiff import Tensor, tanh
>>> x = Tensor(np.zeros(1000), requires_grad=True)
>>> with count_flops() as flops:
...     y = tanh(x * 2.0).sum()
...     y.backward()
>>> tape_nodes(tanh(x * 2.0)), tape_bytes(tanh(x * 2.0))  # tanh keeps its values, 1000 times 8 bytes; and the 2.0
(2, 8008)
>>> flops.forward, flops.backward
(3000, 2000)
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from course_lib.autodiff.tensor import Node, Tensor, mode

__all__ = ["FlopCount", "count_flops", "tape_bytes", "tape_nodes"]


@dataclass
class FlopCount:
    """The arithmetic that `count_flops` has seen.

    Attributes
    ----------
    forward, backward : int
        Operations on numbers on the way forward and on the way back. What a checkpoint computes again counts as
        forward.
    by_operation : dict of str to list
        The pairs ``[forward, backward]`` of each kind of operation.
    """

    forward: int = 0
    backward: int = 0
    by_operation: dict[str, list[int]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Forward and backward together."""
        return self.forward + self.backward

    def add(self, name: str, forward: int, backward: int) -> None:
        """Count an operation.

        Parameters
        ----------
        name : str
            Its kind.
        forward, backward : int
            Its arithmetic.
        """
        self.forward += forward
        self.backward += backward
        pair = self.by_operation.setdefault(name, [0, 0])
        pair[0] += forward
        pair[1] += backward


@contextmanager
def count_flops() -> Iterator[FlopCount]:
    """Count the arithmetic of everything inside a ``with``.

    Yields
    ------
    FlopCount
        It goes on counting until the end of the ``with``.

    Notes
    -----
    A multiplication and the addition that follows it count as 2, so a product of matrices (m, k) and (k, n) as 2mkn. An
    operation on every number counts 1 per number, an exponential or a root not more than an addition; softmax, the
    losses and normalisation count each of their passes over the numbers. Moving and choosing numbers (reshape,
    indexing) is free. On the way back, every pullback counts what it computes, and so do the sums where gradients
    meet.

    Examples
    --------
    >>> with count_flops() as flops:
    ...     y = Tensor(np.ones((2, 3)), requires_grad=True) @ np.ones((3, 4))
    >>> flops.forward
    48
    """
    count = FlopCount()
    before, mode.meters = mode.meters, (*mode.meters, count)
    try:
        yield count
    finally:
        mode.meters = before


def tape_nodes(output: Tensor) -> int:
    """Count the operations on the tape of a tensor, the leaves not among them.

    Parameters
    ----------
    output : Tensor
        The tensor.

    Returns
    -------
    int
        0 for a constant, and after a backward pass has freed the tape.

    Examples
    --------
    >>> x = Tensor(2.0, requires_grad=True)
    >>> tape_nodes(x * x + 1.0)
    2
    """
    return sum(1 for node in _nodes(output) if node.edges or node.expand is not None)


def tape_bytes(output: Tensor, leaves: bool = False) -> int:
    """Add up the bytes of the arrays that the tape of a tensor keeps alive for the backward pass.

    Parameters
    ----------
    output : Tensor
        The tensor.
    leaves : bool
        Whether to count the arrays of leaf tensors too: the parameters, which live on without a tape.

    Returns
    -------
    int
        Each array once, however many operations keep it or a view of it.

    Notes
    -----
    The arrays are found where the pullbacks have them, so an operation cannot forget to declare one.

    Examples
    --------
    >>> w, x = Tensor(np.ones((3, 4)), requires_grad=True), np.ones((2, 3))
    >>> tape_bytes(Tensor(x) @ w), tape_bytes(Tensor(x) @ w, leaves=True)  # x is kept for w's gradient, w for nothing
    (48, 48)
    """
    arrays: dict[int, int] = {}
    held: set[int] = set()
    for node in _nodes(output):
        holder = None if node.holder is None else node.holder()
        if holder is not None and node.edges == () and node.expand is None:
            held.add(id(_owner(holder.data)))
        kept = [pullback for _, pullback, _ in node.edges or ()] + [node.expand]
        for item in _kept(kept, set()):
            owner = _owner(item.data if isinstance(item, Tensor) else item)
            arrays[id(owner)] = owner.nbytes
    return sum(nbytes for key, nbytes in arrays.items() if leaves or key not in held)


def _nodes(output: Tensor) -> Iterator[Node]:
    waiting, seen = [output.node], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [parent for parent, _, _ in node.edges or ()]
        if node.expand is not None:  # a checkpoint's inputs, which its recomputation will lead to
            waiting += [item.node for item in _kept(node.expand, set()) if isinstance(item, Tensor)]


def _carried(function: Any) -> list[Any]:
    """Give what a function has with it: variables of the function around it, defaults, arguments of a partial one."""
    if isinstance(function, functools.partial):
        return [function.func, *function.args, *function.keywords.values()]
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    return cells + list(getattr(function, "__defaults__", None) or ())


def _kept(value: Any, seen: set[int]) -> Iterator[np.ndarray | Tensor]:
    """Find the arrays and tensors in a value: in lists and tuples, and in what functions carry with them."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, (np.ndarray, Tensor)):
        yield value
    else:
        for part in value if isinstance(value, (list, tuple)) else _carried(value):
            yield from _kept(part, seen)


def _owner(array: np.ndarray) -> np.ndarray:
    """Give the array whose memory a view shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
