"""The tape: tensors that remember how they were computed, and the walk back over that memory.

Every operation makes a `Tensor` and, if an input needs a gradient, a `Node`. The node has one edge per such input: the
node of that input, and a function that turns the gradient of the output into the gradient of the input, its pullback (a
vector-Jacobian product). The nodes are the tape. `Tensor.backward` walks over them from the newest to the oldest, which
is an order in which every node comes after all those that used it, and adds up what arrives.

A node keeps the arrays that its pullbacks need, and nothing else: an intermediate result that none needs is freed.

>>> a, b = Tensor(2.0, requires_grad=True), Tensor(3.0, requires_grad=True)
>>> y = a * b + a
>>> y.backward()
>>> a.grad, b.grad  # dy/da = b + 1, dy/db = a
(array(4.), array(2.))

References
----------
A. Griewank, A. Walther, Evaluating Derivatives, 2008, chapter 3, https://doi.org/10.1137/1.9780898717761;
A. Baydin and others, 2018, https://arxiv.org/abs/1502.05767
"""

from __future__ import annotations

import heapq
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["Node", "Tensor", "no_grad", "record"]

# From the gradient of an operation's output to the gradient of one input. It may return the array that it gets, a view
# of it, or a new array; it never changes an array, and never returns one that it keeps.
Pullback = Callable[[np.ndarray], np.ndarray]


class _Mode(threading.local):
    """What this thread is doing: whether it records, who counts, who notes draws, what is swapped."""

    recording = True
    recomputing = False
    meters: tuple[Any, ...] = ()
    draws: tuple[dict[np.random.Generator, Any], ...] = ()
    swaps: tuple[tuple[Any, Any, Any], ...] = ()


mode = _Mode()
_orders = itertools.count()


class Node:
    """One entry of the tape.

    Attributes
    ----------
    name : str
        The operation, or ``"leaf"``.
    shape, dtype : tuple of int, dtype
        Those of the tensor, which its gradient has too.
    edges : tuple or None
        One ``(node, pullback, flops)`` per input that needs a gradient. None once a backward pass has used and freed
        it.
    order : int
        Nodes are numbered as they are made, so an operation has a higher number than its inputs.
    holder : weak reference to a Tensor, or None
        The tensor that wants to have the gradient in ``.grad``: every leaf, and others after `Tensor.retain_grad`.
    expand : callable or None
        For a checkpoint: computes the output anew, this time with a tape.
    """

    __slots__ = ("__weakref__", "dtype", "edges", "expand", "holder", "name", "order", "shape")

    def __init__(self, name: str, data: np.ndarray, edges: tuple[tuple[Node, Pullback, int], ...]) -> None:
        self.name = name
        self.shape = data.shape
        self.dtype = data.dtype
        self.edges: tuple[tuple[Node, Pullback, int], ...] | None = edges
        self.order = next(_orders)
        self.holder: weakref.ref[Tensor] | None = None
        self.expand: Callable[[], Tensor] | None = None


class Tensor:
    """An array that remembers how it was computed.

    Parameters
    ----------
    data : array_like
        Real numbers. An array is taken as it is, without a copy, and its precision is kept; Python's floats become
        float64. Do not change the array between an operation and the backward pass: the tape keeps arrays, not copies.
    requires_grad : bool
        Whether ``backward()`` shall compute a gradient for this tensor. It needs floating-point numbers.

    Attributes
    ----------
    data : ndarray
        The values.
    grad : ndarray or None
        After a backward pass, the derivative of its output with respect to this tensor, in the shape and precision of
        `data`. A further pass adds to it. Results of operations get one only after `retain_grad`.

    Raises
    ------
    TypeError
        If `data` does not hold real numbers, or whole numbers with ``requires_grad=True``.

    Notes
    -----
    In ``+ - * / ** @`` and ``[]``, arrays and numbers may stand beside tensors. Python's numbers take the precision of
    the tensor beside them. There are no comparisons: compare ``.data``.

    Examples
    --------
    >>> w = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> loss = (w @ np.array([1.0, -1.0])).sum() ** 2
    >>> loss.item()
    4.0
    >>> loss.backward()
    >>> w.grad
    array([[-4.,  4.],
           [-4.,  4.]])
    """

    __slots__ = ("__weakref__", "data", "grad", "node")
    __array_ufunc__ = None  # so that array * tensor asks the tensor

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        if isinstance(data, Tensor):
            raise TypeError("data is a Tensor already; use detach() for one that shares its values without its history")
        self.data = np.asarray(data)
        self.grad: np.ndarray | None = None
        self.node: Node | None = None
        if self.data.dtype.kind not in "biuf":
            raise TypeError(f"data has dtype {self.data.dtype}; it must hold real numbers")
        if requires_grad:
            if self.data.dtype.kind != "f":
                raise TypeError(f"data has dtype {self.data.dtype}; only floating-point numbers have a gradient")
            self.node = Node("leaf", self.data, ())
            self.node.holder = weakref.ref(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """The precision of the values."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.data.size

    @property
    def requires_grad(self) -> bool:
        """Whether a backward pass reaches this tensor."""
        return self.node is not None

    def backward(self, gradient: Any = None, *, retain_graph: bool = False) -> None:
        """Compute the gradient of this tensor with respect to every leaf that it depends on, and add it to ``.grad``.

        Parameters
        ----------
        gradient : array_like, optional
            The gradient of what is differentiated with respect to this tensor, of its shape. It may be left out for a
            tensor of one number, whose own derivative is 1.
        retain_graph : bool
            By default the pass frees the tape as it goes, and a second pass over the same operations is an error. True
            keeps the tape, and the second pass adds the same gradients once more.

        Raises
        ------
        RuntimeError
            If this tensor does not depend on any that requires a gradient, or the tape has been freed. No ``.grad`` has
            changed then.
        ValueError
            If `gradient` is missing for a tensor of several numbers, or has another shape.
        """
        if self.node is None:
            raise RuntimeError("this tensor depends on no tensor with requires_grad=True (or was made under no_grad)")
        if gradient is None:
            if self.size != 1:
                raise ValueError(
                    f"gradient is missing: a tensor of shape {self.shape} is not a scalar. Sum it up first, or give "
                    "the gradient with respect to it"
                )
            seed = np.ones(self.shape, self.dtype)
        else:
            seed = np.asarray(gradient, dtype=self.dtype)
            if seed.shape != self.shape:
                raise ValueError(f"gradient has shape {seed.shape}; it must have the tensor's, {self.shape}")
        run_backward(self.node, seed, retain_graph)

    def detach(self) -> Tensor:
        """Give a tensor with the same values, not a copy, and without the history: a constant."""
        return _wrap(self.data)

    def retain_grad(self) -> Tensor:
        """Ask for ``.grad`` on the result of an operation too; give the tensor itself.

        Raises
        ------
        RuntimeError
            If the tensor does not require a gradient.
        """
        if self.node is None:
            raise RuntimeError("this tensor requires no gradient, so that none can be retained")
        self.node.holder = weakref.ref(self)
        return self

    def item(self) -> float:
        """Give the value of a tensor of one number as Python's."""
        return self.data.item()

    def __repr__(self) -> str:
        grad = ", requires_grad=True" if self.node is not None else ""
        return f"Tensor({np.array2string(self.data, separator=', ', prefix='Tensor(')}{grad})"

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        # Refused, since NumPy's functions would cut the tape without a word.
        raise TypeError("a Tensor does not turn into an array on its own, for its history would be lost: take .data")

    def __add__(self, other: Any) -> Tensor:
        return _operations.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _operations.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _operations.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _operations.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _operations.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _operations.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _operations.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _operations.divide(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return _operations.power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return _operations.power(other, self)

    def __neg__(self) -> Tensor:
        return _operations.negative(self)

    def __matmul__(self, other: Any) -> Tensor:
        return _operations.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return _operations.matmul(other, self)

    def __getitem__(self, index: Any) -> Tensor:
        return _operations.getitem(self, index)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Add up: see `course_lib.autodiff.sum`."""
        return _operations.sum(self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Take the mean: see `course_lib.autodiff.mean`."""
        return _operations.mean(self, axis, keepdims)

    def reshape(self, *shape: Any) -> Tensor:
        """Give the numbers another shape: see `course_lib.autodiff.reshape`."""
        return _operations.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        """Permute the axes: see `course_lib.autodiff.transpose`."""
        if not axes:
            return _operations.transpose(self)
        return _operations.transpose(self, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes)

    @property
    def T(self) -> Tensor:
        """The tensor with its axes in the opposite order."""
        return _operations.transpose(self)


def _wrap(data: np.ndarray) -> Tensor:
    """Make a constant of an array that is known to be good."""
    tensor = Tensor.__new__(Tensor)
    tensor.data = data
    tensor.grad = None
    tensor.node = None
    return tensor


def as_tensor(value: Any, like: Tensor | None = None) -> Tensor:
    """Make a constant of whatever is no tensor; Python's numbers take the precision of the tensor beside them."""
    if isinstance(value, Tensor):
        return value
    if like is not None and type(value) in (int, float) and like.data.dtype.kind == "f":
        return _wrap(np.asarray(value, like.data.dtype))
    return Tensor(value)


def record(name: str, data: Any, edges: Iterable[tuple[Any, ...]], flops: int = 0) -> Tensor:
    """Make the result of an operation, and its node where an input needs a gradient.

    This is all that an operation of your own needs.

    Parameters
    ----------
    name : str
        The name of the operation, for counts and messages.
    data : ndarray
        The values that it computed.
    edges : iterable of tuples
        ``(input, pullback)`` or ``(input, pullback, flops)`` for every input. `pullback` is a function from the
        gradient of the output to the gradient of that input. The sum over axes that broadcasting has stretched is made
        for it. It must not change any array. `flops`, the arithmetic of the pullback, is by default that of the
        operation.
    flops : int
        The arithmetic of the operation: see `count_flops`.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> def cube(x):
    ...     values = x.data
    ...     return record("cube", values**3, [(x, lambda g: g * 3 * values**2)])
    >>> x = Tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    array(12.)
    """
    result = _wrap(data if type(data) is np.ndarray else np.asarray(data))
    for meter in mode.meters:
        meter.add(name, flops, 0)
    if mode.recording:
        needed = tuple(
            (edge[0].node, edge[1], edge[2] if len(edge) > 2 else flops) for edge in edges if edge[0].node is not None
        )
        if needed:
            result.node = Node(name, result.data, needed)
    return result


def run_backward(root: Node, seed: np.ndarray, retain_graph: bool) -> None:
    """Walk from the root to the leaves, from the newest node to the oldest, and hand out the gradients at the end."""
    pending = {root: seed}  # the sum of what has arrived so far at each node that is waiting
    ours: set[Node] = set()  # those whose sum is an array of this function, to which more may be added in place
    heap = [(-root.order, root)]
    results: list[tuple[Tensor, np.ndarray]] = []
    while heap:
        node = heapq.heappop(heap)[1]
        gradient = pending.pop(node)
        edges = node.edges
        if edges is None:
            raise RuntimeError(f"the tape of {node.name!r} has been freed by an earlier backward pass; "
                               "give that one retain_graph=True, or compute the output again")  # fmt: skip
        if node.holder is not None and (tensor := node.holder()) is not None:
            # A leaf may have the array itself if nobody else has it.
            mine = node in ours and not edges
            results.append((tensor, np.asarray(gradient) if mine else np.array(gradient, order="C")))
        if node.expand is not None:
            again = node.expand().node  # what was computed anew takes the place of the checkpoint
            edges = () if again is None else ((again, _unchanged, 0),)
        for parent, pullback, flops in edges:
            part = pullback(gradient)
            fresh = part is not gradient and part.base is None
            if part.shape != parent.shape:
                part, fresh = unbroadcast(part, parent.shape), True
            if part.dtype != parent.dtype:
                part, fresh = part.astype(parent.dtype), True
            for meter in mode.meters:
                meter.add(node.name, 0, flops + (part.size if parent in pending else 0))
            if parent not in pending:
                pending[parent] = part
                heapq.heappush(heap, (-parent.order, parent))
                if fresh:
                    ours.add(parent)
            elif parent in ours:
                pending[parent] += part
            else:
                pending[parent] = pending[parent] + part
                ours.add(parent)
        if not retain_graph and node.name != "leaf":
            node.edges = node.expand = None
    for tensor, gradient in results:
        tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient


def _unchanged(gradient: np.ndarray) -> np.ndarray:
    return gradient


def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum a gradient over the axes that broadcasting has added or stretched, to get back to a shape.

    One number that was used in many places gets the sum of what these places send back.
    """
    added = gradient.ndim - len(shape)
    stretched = tuple(added + i for i, n in enumerate(shape) if n == 1 and gradient.shape[added + i] != 1)
    summed = np.add.reduce(gradient, axis=(*range(added), *stretched), keepdims=True)
    for meter in mode.meters:
        meter.add("unbroadcast", 0, gradient.size)
    return summed.reshape(shape)


@contextmanager
def no_grad() -> Iterator[None]:
    """Compute without a tape inside a ``with``: faster, and nothing is kept for a backward pass.

    Examples
    --------
    >>> w = Tensor(2.0, requires_grad=True)
    >>> with no_grad():
    ...     y = w * w
    >>> y.requires_grad
    False
    """
    before, mode.recording = mode.recording, False
    try:
        yield
    finally:
        mode.recording = before


# At the end, for the operations need what stands above.
from course_lib.autodiff import operations as _operations  # noqa: E402
