r"""Functions to minimise: those with a formula, and means over examples.

An `Objective` is a bundle of plain functions with what is known about them: where the minimum lies, how curved it is.
A `FiniteSumObjective` is the mean of one loss per example, so that its value and its gradient can be taken over some
rows only, a mini-batch.

>>> import numpy as np
>>> bowl = quadratic(condition_number=10)
>>> bowl.gradient(np.array([1.0, 1.0])).round(3)
array([0.1, 1. ])
>>> line = least_squares(np.array([[0.0], [1.0], [2.0]]), np.array([4.0, 5.0, 6.0]), intercept=True)
>>> line.minimizers[0].round(6)
array([1., 4.])
>>> line.gradient(np.zeros(2), rows=[0, 2]).round(6)  # a mini-batch of two examples
array([-6., -5.])

Parameters are one flat vector `w` of shape (dim,), everywhere. For the objectives with a formula (`quadratic`,
`rosenbrock`, `beale`, `himmelblau`, `saddle`) `value` also takes points along leading axes, shape (..., dim), and gives
an array of shape (...); for all objectives with two parameters `Objective.value_on` takes two grids, as contour plots
do.

*L*, the smoothness, is the largest eigenvalue that the Hessian has anywhere, and *mu*, the strong convexity, the
smallest (Y. Nesterov, 2018, Lectures on Convex Optimization, doi:10.1007/978-3-319-91578-4, sections 1.2 and 2.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from course_lib import _check

__all__ = [
    "FiniteSumObjective", "NetworkObjective", "Objective", "beale", "finite_sum", "himmelblau", "least_squares",
    "logistic_regression", "quadratic", "rosenbrock", "saddle", "softmax_regression", "two_layer_network",
]  # fmt: skip

# A pass over all data takes about this much of them at a time.
PIECE_BYTES = 1 << 20

Rows = Any  # an array or list of row numbers, or a slice; None: all rows


@dataclass(frozen=True, eq=False)
class Objective:
    """A function to minimise and what is known about it.

    Attributes
    ----------
    name : str
        The name of the function.
    dim : int
        The number of parameters.
    value : callable
        ``value(w)`` gives the function's value at a point of shape (dim,) as a float.
    gradient : callable
        ``gradient(w)`` gives the gradient, shape (dim,).
    hessian : callable or None
        ``hessian(w)`` gives the matrix of second derivatives, shape (dim, dim).
    start : ndarray, shape (dim,), or None
        A customary starting point; `minimize` begins here unless told otherwise.
    minimizers : tuple of ndarray, or None
        All global minimisers, or one of them where they fill a line or plane; None where no formula gives them.
    minimum : float or None
        The value there; None where it is not known, or there is none.
    smoothness : float or None
        *L*, a bound on the Hessian's eigenvalues; None where there is none or it is not known.
    strong_convexity : float or None
        *mu*, a lower bound on the Hessian's eigenvalues, 0 for a convex function that is flat somewhere; None for a
        function that is not convex.
    broadcasts : bool
        Whether `value` takes points along leading axes.
    value_and_gradient : callable or None
        ``value_and_gradient(w)`` gives both, where that costs less than one after the other.
    """

    name: str
    dim: int
    value: Callable[..., Any]
    gradient: Callable[..., np.ndarray]
    hessian: Callable[..., np.ndarray] | None = None
    start: np.ndarray | None = None
    minimizers: tuple[np.ndarray, ...] | None = None
    minimum: float | None = None
    smoothness: float | None = None
    strong_convexity: float | None = None
    broadcasts: bool = False
    value_and_gradient: Callable[..., tuple[Any, np.ndarray]] | None = None

    @property
    def condition_number(self) -> float | None:
        """*L* / *mu*: infinite where mu is 0, None where one of them is not known."""
        if self.smoothness is None or self.strong_convexity is None:
            return None
        return self.smoothness / self.strong_convexity if self.strong_convexity > 0 else math.inf

    def value_on(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Give the values on a grid of points, as a contour plot needs them.

        Parameters
        ----------
        x, y : array_like
            First and second parameter; they broadcast against each other, so ``np.meshgrid`` is not needed.

        Returns
        -------
        ndarray
            The values, of the broadcast shape.

        Raises
        ------
        ValueError
            If the objective has not two parameters.
        """
        if self.dim != 2:
            raise ValueError(f"{self.name} has dim {self.dim}; value_on needs an objective with 2 parameters")
        points = np.stack(np.broadcast_arrays(x, y), axis=-1)
        return self.value(points) if self.broadcasts else np.apply_along_axis(self.value, -1, points)


@dataclass(frozen=True, eq=False)
class FiniteSumObjective(Objective):
    """A mean of losses, one per example, with a penalty that belongs to every example alike.

    Because the penalty is part of each example's loss, the mean of the gradients over all mini-batches of one size is
    the full gradient.

    Attributes
    ----------
    value, gradient : callable
        ``value(w, rows=None)``, ``gradient(w, rows=None)``: over the rows that an index array, list or slice picks.
    n_examples : int
        The number of examples.
    data : tuple of ndarray
        What the losses are computed from, examples along the first axis of each.
    batch_value, batch_gradient : callable
        ``batch_value(w, *batch)``, ``batch_gradient(w, *batch)``: the same functions over arrays such as those of
        `data`, with no check and nothing copied. Loops that must be fast call these.
    example_gradients : callable
        ``example_gradients(w, rows=None)`` gives one gradient per example, shape (examples, dim): what gradient noise
        is measured from. It needs examples times dim numbers of memory.
    predict : callable or None
        ``predict(w, X)``: the model's predictions for new examples; the factory says of what kind.
    """

    data: tuple[np.ndarray, ...] = field(kw_only=True)
    n_examples: int = field(kw_only=True)
    batch_value: Callable[..., float] = field(kw_only=True)
    batch_gradient: Callable[..., np.ndarray] = field(kw_only=True)
    example_gradients: Callable[..., np.ndarray] = field(kw_only=True)
    predict: Callable[..., np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class NetworkObjective(FiniteSumObjective):
    """A `FiniteSumObjective` over the weights of a network.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        The arrays that the flat vector holds, in order.
    """

    shapes: dict[str, tuple[int, ...]] = field(kw_only=True)

    def initial(self, rng: np.random.Generator) -> np.ndarray:
        """Draw weights to start from: kernels uniform after Glorot, biases 0.

        Parameters
        ----------
        rng : numpy.random.Generator
            Where the numbers come from.

        Returns
        -------
        ndarray, shape (dim,)
            In the precision of the data.

        References
        ----------
        X. Glorot, Y. Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html
        """
        return _glorot(rng, self.shapes, self.data[0].dtype)

    def unflatten(self, w: np.ndarray) -> dict[str, np.ndarray]:
        """Give the arrays that a flat vector holds, by name, as views of it.

        Parameters
        ----------
        w : ndarray, shape (dim,)
            The flat vector.

        Returns
        -------
        dict of str to ndarray
            With the keys and shapes of `shapes`.

        Raises
        ------
        ValueError
            If `w` has another shape.
        """
        return _unflatten(_point(w, self.dim), self.shapes)


def finite_sum(
    name: str,
    data: tuple[np.ndarray, ...],
    batch_value: Callable[..., float],
    batch_gradient: Callable[..., np.ndarray],
    *,
    start: np.ndarray,
    batch_value_and_gradient: Callable[..., tuple[float, np.ndarray]] | None = None,
    batch_example_gradients: Callable[..., np.ndarray] | None = None,
    kind: type[FiniteSumObjective] = FiniteSumObjective,
    **known: Any,
) -> Any:
    """Make a `FiniteSumObjective` from functions of the parameters and a batch.

    Parameters
    ----------
    name : str
        The name of the objective.
    data : tuple of ndarray
        Examples along the first axis of each.
    batch_value, batch_gradient : callable
        ``batch_value(w, *batch)`` gives the mean loss over a batch, ``batch_gradient(w, *batch)`` its gradient; a batch
        is a tuple of arrays like `data`.
    start : ndarray, shape (dim,)
        The customary starting point; its length is the number of parameters.
    batch_value_and_gradient : callable, optional
        ``batch_value_and_gradient(w, *batch)`` gives both, where that costs less than one after the other.
    batch_example_gradients : callable, optional
        ``batch_example_gradients(w, *batch)`` gives one gradient per example, shape (examples, dim). Left out, each
        example's is computed as a batch of one, which is slow.
    kind : type
        `FiniteSumObjective` or a class made from it.
    **known
        Further attributes of the objective.

    Returns
    -------
    FiniteSumObjective

    Raises
    ------
    ValueError
        If the data are empty or their lengths differ.

    Examples
    --------
    The mean of absolute differences, whose minimiser is the median:

    >>> import numpy as np
    >>> x = np.array([1.0, 2.0, 9.0])
    >>> f = finite_sum(
    ...     "absolute", (x,), lambda w, x: float(np.mean(abs(w - x))),
    ...     lambda w, x: np.mean(np.sign(w - x), keepdims=True), start=np.zeros(1))
    >>> f.gradient(np.array([1.5])), f.gradient(np.array([1.5]), rows=[0])
    (array([-0.33333333]), array([1.]))
    """
    lengths = [len(array) for array in data]
    if not lengths or lengths[0] == 0 or len(set(lengths)) > 1:
        raise ValueError(f"data has arrays of lengths {lengths}; they must have one length of at least 1")
    n, dim = lengths[0], start.size
    if batch_example_gradients is None:

        def batch_example_gradients(w: np.ndarray, *batch: np.ndarray) -> np.ndarray:
            singles = (tuple(array[i : i + 1] for array in batch) for i in range(len(batch[0])))
            return np.stack([batch_gradient(w, *single) for single in singles])

    if batch_value_and_gradient is None:

        def batch_value_and_gradient(w: np.ndarray, *batch: np.ndarray) -> tuple[float, np.ndarray]:
            return batch_value(w, *batch), batch_gradient(w, *batch)

    # A pass over all data goes piece by piece: a piece stays in the cache between forward and backward.
    length = max(1, PIECE_BYTES * n // max(1, sum(array.nbytes for array in data)))
    pieces = [tuple(array[i : i + length] for array in data) for i in range(0, n, length)]
    shares = [len(piece[0]) / n for piece in pieces]

    def pick(rows: Rows) -> tuple[np.ndarray, ...]:
        index = rows if isinstance(rows, slice) else _rows(rows, n)
        batch = tuple(array[index] for array in data)
        if len(batch[0]) == 0:
            raise ValueError(f"rows is {rows!r}; it must pick at least one of the {n} examples")
        return batch

    def value(w: np.ndarray, rows: Rows = None) -> float:
        w = _point(w, dim)
        if rows is not None:
            return float(batch_value(w, *pick(rows)))
        return sum(share * float(batch_value(w, *piece)) for share, piece in zip(shares, pieces, strict=True))

    def gradient(w: np.ndarray, rows: Rows = None) -> np.ndarray:
        w = _point(w, dim)
        if rows is not None:
            return batch_gradient(w, *pick(rows))
        result = shares[0] * batch_gradient(w, *pieces[0])
        for share, piece in zip(shares[1:], pieces[1:], strict=True):
            result += share * batch_gradient(w, *piece)
        return result

    def value_and_gradient(w: np.ndarray) -> tuple[float, np.ndarray]:
        w = _point(w, dim)
        total, result = 0.0, np.zeros((), w.dtype)
        for share, piece in zip(shares, pieces, strict=True):
            loss, gradient = batch_value_and_gradient(w, *piece)
            total += share * float(loss)
            result = result + share * gradient
        return total, result

    def example_gradients(w: np.ndarray, rows: Rows = None) -> np.ndarray:
        return batch_example_gradients(_point(w, dim), *(data if rows is None else pick(rows)))

    return kind(
        name=name, dim=dim, value=value, gradient=gradient, value_and_gradient=value_and_gradient, start=start,
        data=data, n_examples=n,
        batch_value=batch_value, batch_gradient=batch_gradient, example_gradients=example_gradients, **known,
    )  # fmt: skip


# Objectives with a formula.


def quadratic(
    condition_number: float,
    dim: int = 2,
    *,
    rotation: float = 0.0,
    seed: int | None = None,
    smoothness: float = 1.0,
) -> Objective:
    r"""Make a quadratic bowl, :math:`\frac12 w^\top A w`, of a given condition number.

    The eigenvalues of *A* lie evenly on a logarithmic scale from mu = smoothness / condition_number to L = smoothness.
    In two dimensions without rotation the first axis is the flat one.

    Parameters
    ----------
    condition_number : float
        L / mu, at least 1.
    dim : int
        The number of parameters; with one, the condition number can only be 1.
    rotation : float
        An angle in radians by which the axes of a bowl in two dimensions are turned.
    seed : int, optional
        Turns the axes at random, in any dimension.
    smoothness : float
        The largest eigenvalue, L.

    Returns
    -------
    Objective
        Its start has the same distance to the minimiser 0 along each eigenvector.

    Raises
    ------
    ValueError
        If a number is out of its range, or rotation and seed do not fit the dimension or each other.

    References
    ----------
    Y. Nesterov, 2018, Lectures on Convex Optimization, doi:10.1007/978-3-319-91578-4
    """
    dim, high = _check.count("dim", dim), _check.positive("smoothness", smoothness)
    kappa = _check.positive("condition_number", condition_number)
    if kappa < 1 or (dim == 1 and kappa != 1):
        allowed = "1 in one dimension" if dim == 1 else "at least 1"
        raise ValueError(f"condition_number is {condition_number!r}; it must be {allowed}")
    if rotation and (dim != 2 or seed is not None):
        raise ValueError(f"rotation is {rotation!r}; it turns two axes (dim is {dim}) and goes without seed")
    axes = np.eye(dim)
    if seed is not None:
        axes, triangle = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))
        axes = axes * np.sign(np.diag(triangle))  # this sign makes the rotation uniform over all rotations
    elif rotation:
        axes = np.array([[math.cos(rotation), -math.sin(rotation)], [math.sin(rotation), math.cos(rotation)]])
    eigenvalues = np.geomspace(high / kappa, high, dim)
    matrix = axes * eigenvalues @ axes.T if seed is not None or rotation else np.diag(eigenvalues)
    matrix = (matrix + matrix.T) / 2

    def value(w: np.ndarray) -> Any:
        w = _points(w, dim)
        return _scalar(0.5 * np.sum(w * (w @ matrix), axis=-1))

    return Objective(
        "quadratic", dim, value, lambda w: matrix @ _point(w, dim), _constant(matrix), axes @ np.ones(dim),
        (np.zeros(dim),), 0.0, high, high / kappa, broadcasts=True,
    )  # fmt: skip


def rosenbrock(dim: int = 2) -> Objective:
    r"""Make Rosenbrock's curved valley, :math:`\sum_i 100 (w_{i+1} - w_i^2)^2 + (1 - w_i)^2`.

    Parameters
    ----------
    dim : int
        The number of parameters, at least 2. From 4 on there are other local minima, one of them near (-1, 1, ..., 1)
        with a value of about 4 (Kok and Sandrock); the minimiser given here is the global one.

    Returns
    -------
    Objective

    Raises
    ------
    ValueError
        If `dim` is below 2.

    References
    ----------
    H. H. Rosenbrock, 1960, doi:10.1093/comjnl/3.3.175. In n dimensions: S. Kok, C. Sandrock, 2009,
    doi:10.1162/evco.2009.17.3.437
    """
    dim = _check.count("dim", dim, least=2)

    def value(w: np.ndarray) -> Any:
        w = _points(w, dim)
        here, following = w[..., :-1], w[..., 1:]
        return _scalar(np.sum(100 * (following - here**2) ** 2 + (1 - here) ** 2, axis=-1))

    def gradient(w: np.ndarray) -> np.ndarray:
        w = _point(w, dim)
        gap = w[1:] - w[:-1] ** 2
        result = np.zeros_like(w)
        result[:-1] = -400 * w[:-1] * gap - 2 * (1 - w[:-1])
        result[1:] += 200 * gap
        return result

    def hessian(w: np.ndarray) -> np.ndarray:
        w = _point(w, dim)
        diagonal = np.zeros_like(w)
        diagonal[:-1] = 1200 * w[:-1] ** 2 - 400 * w[1:] + 2
        diagonal[1:] += 200
        beside = -400 * w[:-1]
        return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)

    start = np.where(np.arange(dim) % 2 == 0, -1.2, 1.0)
    return Objective("rosenbrock", dim, value, gradient, hessian, start, (np.ones(dim),), 0.0, broadcasts=True)


def beale() -> Objective:
    r"""Make Beale's function, :math:`\sum_{i=1}^3 (c_i - x (1 - y^i))^2` with c = (1.5, 2.25, 2.625).

    Flat far from its minimiser (3, 0.5), with walls as steep as the eighth power of *y*.

    Returns
    -------
    Objective

    References
    ----------
    E. M. L. Beale, 1958, On an iterative method for finding a local minimum of a function of more than one variable,
    Technical Report 25, Statistical Techniques Research Group, Princeton University. Start and form: J. J. Moré,
    B. S. Garbow, K. E. Hillstrom, 1981, doi:10.1145/355934.355936
    """
    constants, powers = np.array([1.5, 2.25, 2.625]), np.array([1.0, 2.0, 3.0])

    def parts(w: np.ndarray) -> tuple[np.ndarray, ...]:
        """Give the residuals and their first derivatives by x and by y."""
        x, y = _point(w, 2)
        return constants - x * (1 - y**powers), y**powers - 1, x * powers * y ** (powers - 1)

    def value(w: np.ndarray) -> Any:
        w = _points(w, 2)
        x, y = w[..., :1], w[..., 1:]
        return _scalar(np.sum((constants - x * (1 - y**powers)) ** 2, axis=-1))

    def gradient(w: np.ndarray) -> np.ndarray:
        residual, by_x, by_y = parts(w)
        return 2 * np.array([residual @ by_x, residual @ by_y])

    def hessian(w: np.ndarray) -> np.ndarray:
        residual, by_x, by_y = parts(w)
        x, y = w
        by_xy, by_yy = powers * y ** (powers - 1), x * np.array([0, 2, 6 * y])
        mixed = by_x @ by_y + residual @ by_xy
        return 2 * np.array([[by_x @ by_x, mixed], [mixed, by_y @ by_y + residual @ by_yy]])

    minimizer = np.array([3.0, 0.5])
    return Objective("beale", 2, value, gradient, hessian, np.ones(2), (minimizer,), 0.0, broadcasts=True)


def himmelblau() -> Objective:
    r"""Make Himmelblau's function, :math:`(x^2 + y - 11)^2 + (x + y^2 - 7)^2`, with four equal minima.

    Returns
    -------
    Objective
        Its minimisers besides (3, 2) are the roots of x^3 + 3 x^2 - 13 x - 38 with y = 11 - x^2, to double precision.

    References
    ----------
    D. M. Himmelblau, 1972, Applied Nonlinear Programming, McGraw-Hill, ISBN 0-07-028921-2
    """

    def value(w: np.ndarray) -> Any:
        w = _points(w, 2)
        x, y = w[..., 0], w[..., 1]
        return _scalar((x * x + y - 11) ** 2 + (x + y * y - 7) ** 2)

    def gradient(w: np.ndarray) -> np.ndarray:
        x, y = _point(w, 2)
        first, second = x * x + y - 11, x + y * y - 7
        return np.array([4 * x * first + 2 * second, 2 * first + 4 * y * second])

    def hessian(w: np.ndarray) -> np.ndarray:
        x, y = _point(w, 2)
        mixed = 4 * (x + y)
        return np.array([[12 * x * x + 4 * y - 42, mixed], [mixed, 12 * y * y + 4 * x - 26]])

    minimizers = (
        np.array([3.0, 2.0]),
        np.array([-2.805118086952745, 3.131312518250573]),
        np.array([-3.779310253377747, -3.2831859912861694]),
        np.array([3.5844283403304917, -1.8481265269644036]),
    )
    return Objective("himmelblau", 2, value, gradient, hessian, np.zeros(2), minimizers, 0.0, broadcasts=True)


def saddle(bounded: bool = False) -> Objective:
    r"""Make a saddle, :math:`x^2 - y^2`, or a bounded one, :math:`x^2 - y^2 + \frac12 y^4`.

    The plain saddle falls without end along *y* and has no minimum. The bounded one has the same saddle point at (0, 0)
    and minima of -1/2 at (0, 1) and (0, -1).

    Parameters
    ----------
    bounded : bool
        Which of the two.

    Returns
    -------
    Objective
        Its start, (1, 0.001), lies almost on the line along which the saddle point attracts.
    """
    quartic = 0.5 if bounded else 0.0

    def value(w: np.ndarray) -> Any:
        w = _points(w, 2)
        x, y = w[..., 0], w[..., 1]
        return _scalar(x**2 - y**2 + quartic * y**4)

    def gradient(w: np.ndarray) -> np.ndarray:
        x, y = _point(w, 2)
        return np.array([2 * x, -2 * y + 4 * quartic * y**3])

    def hessian(w: np.ndarray) -> np.ndarray:
        _, y = _point(w, 2)
        return np.diag([2.0, -2 + 12 * quartic * y * y])

    minimizers = (np.array([0.0, 1.0]), np.array([0.0, -1.0])) if bounded else None
    return Objective(
        "bounded saddle" if bounded else "saddle", 2, value, gradient, hessian, np.array([1.0, 0.001]), minimizers,
        -0.5 if bounded else None, None if bounded else 2.0, broadcasts=True,
    )  # fmt: skip


# Means over examples.


def least_squares(
    X: np.ndarray, y: np.ndarray, *, intercept: bool = False, l2: float = 0.0, half: bool = True
) -> FiniteSumObjective:
    r"""Make the loss of linear regression: **half** the mean of the squared residuals.

    :math:`\frac{1}{2n} \sum_i (x_i^\top w - y_i)^2 + \frac{l2}{2} \lVert w \rVert^2`, so that the gradient without a
    penalty is the mean of residual times input, without a factor of 2. With ``half=False`` the first term is the plain
    mean squared error (MSE), twice as large; the penalty stays as it is.

    Parameters
    ----------
    X : ndarray, shape (n, features)
        The inputs. float32 inputs are kept, and with them the loss, the gradient and the start are float32.
    y : ndarray, shape (n,)
        The targets; computed with in the precision of `X`.
    intercept : bool
        Whether the line need not pass through 0: a column of ones is appended to `X`, and its weight, which no penalty
        touches, is the last parameter.
    l2 : float
        The weight of the penalty.
    half : bool
        Whether the mean of squares is halved.

    Returns
    -------
    FiniteSumObjective
        With the exact minimiser (the shortest one, where there are many), L and mu; ``predict(w, X)`` gives values.

    Raises
    ------
    TypeError, ValueError
        If an array has the wrong kind or shape, is empty, or has NaN or infinite values, or `l2` is negative.
    """
    X = _inputs(X, intercept)
    n, dim = X.shape
    y = _targets("y", y, n).astype(X.dtype, copy=False)
    penalty = _penalty(l2, dim, intercept, X.dtype)
    scale = 1.0 if half else 2.0

    def value_of(w: np.ndarray, residual: np.ndarray) -> float:
        loss = 0.5 * scale * float(residual.dot(residual)) / len(residual)
        return loss if penalty is None else loss + 0.5 * float(np.sum(penalty * w * w))

    def batch_value(w: np.ndarray, X: np.ndarray, y: np.ndarray) -> float:
        residual = X.dot(w)
        residual -= y
        return value_of(w, residual)

    def batch_gradient(w: np.ndarray, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        residual = X.dot(w)
        residual -= y
        residual *= scale / len(y)
        return residual.dot(X) if penalty is None else residual.dot(X) + penalty * w

    def batch_value_and_gradient(w: np.ndarray, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        residual = X.dot(w)
        residual -= y
        loss = value_of(w, residual)
        residual *= scale / len(y)
        return loss, residual.dot(X) if penalty is None else residual.dot(X) + penalty * w

    def batch_example_gradients(w: np.ndarray, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        each = (scale * (X.dot(w) - y))[:, None] * X
        return each if penalty is None else each + penalty * w

    minimizer, unit_hessian, largest, smallest = _solve_least_squares(
        X, y, None if penalty is None else penalty / scale
    )
    return finite_sum(
        "least squares", (X, y), batch_value, batch_gradient,
        batch_value_and_gradient=batch_value_and_gradient, batch_example_gradients=batch_example_gradients,
        start=np.zeros(dim, X.dtype), hessian=_constant(scale * unit_hessian), minimizers=(minimizer,),
        minimum=batch_value(minimizer, X.astype(np.float64, copy=False), y.astype(np.float64)),
        smoothness=scale * largest, strong_convexity=scale * smallest,
        predict=lambda w, X: _inputs(X, intercept).dot(w),
    )  # fmt: skip


def logistic_regression(
    X: np.ndarray, y: np.ndarray, *, intercept: bool = False, l2: float = 0.0
) -> FiniteSumObjective:
    r"""Make the loss of logistic regression, the mean cross-entropy in nats.

    :math:`\frac1n \sum_i \log(1 + e^{-s_i x_i^\top w}) + \frac{l2}{2} \lVert w \rVert^2` with :math:`s_i = 2 y_i - 1`.

    Parameters
    ----------
    X : ndarray, shape (n, features)
        The inputs; float32 is kept.
    y : ndarray, shape (n,)
        The classes, 0 or 1.
    intercept : bool
        Whether a column of ones is appended to `X`; its weight, the last parameter, is not penalised.
    l2 : float
        The weight of the penalty. scikit-learn's ``C`` is 1 / (n * l2).

    Returns
    -------
    FiniteSumObjective
        L is exact: the Hessian's largest eigenvalue at w = 0, where every example is most uncertain. mu is `l2` without
        an intercept and 0 with one, since the curvature dies out far from 0. ``predict(w, X)`` gives the probability of
        class 1.

    Raises
    ------
    TypeError, ValueError
        If an array has the wrong kind or shape, is empty, or has NaN or infinite values, a class is neither 0 nor 1, or
        `l2` is negative.
    """
    X = _inputs(X, intercept)
    n, dim = X.shape
    signs = (2 * _targets("y", y, n) - 1).astype(X.dtype)
    if not np.all(np.abs(signs) == 1):
        wrong = np.asarray(y)[np.abs(signs) != 1][0]
        raise ValueError(f"y has the value {wrong}; the classes must be 0 or 1")
    penalty = _penalty(l2, dim, intercept, X.dtype)

    def batch_value(w: np.ndarray, X: np.ndarray, signs: np.ndarray) -> float:
        loss = float(np.mean(np.logaddexp(0, -signs * X.dot(w))))
        return loss if penalty is None else loss + 0.5 * float(np.sum(penalty * w * w))

    def slopes(w: np.ndarray, X: np.ndarray, signs: np.ndarray) -> np.ndarray:
        # exp(-log(1 + exp(margin))) keeps its relative precision where the direct quotient overflows or rounds to 0.
        return -signs * np.exp(-np.logaddexp(0, signs * X.dot(w)))

    def batch_gradient(w: np.ndarray, X: np.ndarray, signs: np.ndarray) -> np.ndarray:
        slope = slopes(w, X, signs)
        slope /= len(signs)
        return slope.dot(X) if penalty is None else slope.dot(X) + penalty * w

    def batch_example_gradients(w: np.ndarray, X: np.ndarray, signs: np.ndarray) -> np.ndarray:
        each = slopes(w, X, signs)[:, None] * X
        return each if penalty is None else each + penalty * w

    def hessian(w: np.ndarray) -> np.ndarray:
        slope = np.abs(slopes(_point(w, dim), X, signs))
        result = X.T @ ((slope * (1 - slope))[:, None] * X) / n
        return result if penalty is None else result + np.diag(penalty)

    diagonal = 0.0 if penalty is None else np.diag(penalty)
    return finite_sum(
        "logistic regression", (X, signs), batch_value, batch_gradient,
        batch_example_gradients=batch_example_gradients, start=np.zeros(dim, X.dtype), hessian=hessian,
        smoothness=float(np.linalg.eigvalsh(_gram(X) / 4 + diagonal)[-1]),
        strong_convexity=0.0 if intercept else float(l2),
        predict=lambda w, X: np.exp(-np.logaddexp(0, -_inputs(X, intercept).dot(w))),
    )  # fmt: skip


def softmax_regression(
    X: np.ndarray, labels: np.ndarray, *, n_classes: int | None = None, intercept: bool = False, l2: float = 0.0
) -> FiniteSumObjective:
    r"""Make the loss of softmax (multinomial logistic) regression, the mean cross-entropy in nats.

    :math:`\frac1n \sum_i \big(\log \sum_k e^{x_i^\top W_k} - x_i^\top W_{c_i}\big) + \frac{l2}{2} \lVert W \rVert^2`

    Parameters
    ----------
    X : ndarray, shape (n, features)
        The inputs; float32 is kept.
    labels : ndarray of int, shape (n,)
        The classes, from 0.
    n_classes : int, optional
        How many classes there are; by default the largest label and one more.
    intercept : bool
        Whether a column of ones is appended to `X`; its weights, the last row of *W*, are not penalised.
    l2 : float
        The weight of the penalty.

    Returns
    -------
    FiniteSumObjective
        The parameters are *W* of shape (features, classes), flattened: ``w.reshape(-1, n_classes)``. L is an upper
        bound: half the largest eigenvalue of X'X/n, plus `l2`. ``predict(w, X)`` gives probabilities, shape
        (examples, classes).

    Raises
    ------
    TypeError, ValueError
        If an array has the wrong kind or shape, is empty, or has NaN or infinite values, a label is out of range, or
        `l2` is negative.

    References
    ----------
    The bound: D. Böhning, 1992, doi:10.1007/BF00048682
    """
    X = _inputs(X, intercept)
    n, features = X.shape
    labels, n_classes = _labels(labels, n, n_classes)
    penalty = _penalty(l2, features, intercept, X.dtype)
    column = None if penalty is None else penalty[:, None]

    def batch_value(w: np.ndarray, X: np.ndarray, labels: np.ndarray) -> float:
        W = w.reshape(features, n_classes)
        loss = _cross_entropy(X @ W, labels)
        return loss if column is None else loss + 0.5 * float(np.sum(column * W * W))

    def batch_gradient(w: np.ndarray, X: np.ndarray, labels: np.ndarray) -> np.ndarray:
        W = w.reshape(features, n_classes)
        error = _softmax_error(X @ W, labels)
        error /= len(labels)
        gradient = X.T @ error
        return (gradient if column is None else gradient + column * W).ravel()

    def batch_example_gradients(w: np.ndarray, X: np.ndarray, labels: np.ndarray) -> np.ndarray:
        W = w.reshape(features, n_classes)
        each = X[:, :, None] * _softmax_error(X @ W, labels)[:, None, :]
        return (each if column is None else each + column * W).reshape(len(labels), -1)

    def hessian(w: np.ndarray) -> np.ndarray:
        p = _softmax(X @ _point(w, features * n_classes).reshape(features, n_classes))
        spread = p[:, :, None] * (np.eye(n_classes, dtype=X.dtype) - p[:, None, :])  # (n, classes, classes)
        result = np.einsum("ni,nkl,nj->ikjl", X, spread, X, optimize=True) / n
        result = result.reshape(features * n_classes, -1)
        return result if penalty is None else result + np.diag(np.repeat(penalty, n_classes))

    diagonal = 0.0 if penalty is None else np.diag(penalty)
    return finite_sum(
        "softmax regression", (X, labels), batch_value, batch_gradient,
        batch_example_gradients=batch_example_gradients, start=np.zeros(features * n_classes, X.dtype),
        hessian=hessian, smoothness=float(np.linalg.eigvalsh(_gram(X) / 2 + diagonal)[-1]),
        strong_convexity=0.0 if intercept else float(l2),
        predict=lambda w, X: _softmax(_inputs(X, intercept) @ w.reshape(features, n_classes)),
    )  # fmt: skip


def two_layer_network(
    X: np.ndarray,
    labels: np.ndarray,
    hidden: int,
    *,
    n_classes: int | None = None,
    l2: float = 0.0,
    activation: str = "tanh",
) -> NetworkObjective:
    r"""Make the loss of a network with one hidden layer, the mean cross-entropy in nats; its gradient is by hand.

    ``logits = activation(X @ kernel1 + bias1) @ kernel2 + bias2``. Not convex: neither minimisers nor L are known.

    Parameters
    ----------
    X : ndarray, shape (n, features)
        The inputs; float32 is kept.
    labels : ndarray of int, shape (n,)
        The classes, from 0.
    hidden : int
        The number of hidden units.
    n_classes : int, optional
        How many classes there are; by default the largest label and one more.
    l2 : float
        The weight of the penalty l2/2 * (sum of squares of the two kernels); biases are not penalised.
    activation : {"tanh", "relu"}
        The non-linearity. The derivative of relu at 0 is taken as 0.

    Returns
    -------
    NetworkObjective
        Draw a start with ``initial(rng)`` (its `start` is the draw of ``default_rng(0)``); ``unflatten(w)`` gives the
        four arrays; ``predict(w, X)`` gives probabilities, shape (examples, classes).

    Raises
    ------
    TypeError, ValueError
        If an array has the wrong kind or shape, is empty, or has NaN or infinite values, a label is out of range, or an
        option is not one of those above.
    """
    X = _inputs(X, intercept=False)
    n, features = X.shape
    labels, n_classes = _labels(labels, n, n_classes)
    hidden, l2 = _check.count("hidden", hidden), _check.non_negative("l2", l2)
    tanh = _check.choice("activation", activation, ("tanh", "relu")) == "tanh"
    shapes: dict[str, tuple[int, ...]] = {
        "kernel1": (features, hidden), "bias1": (hidden,), "kernel2": (hidden, n_classes), "bias2": (n_classes,),
    }  # fmt: skip

    def forward(w: np.ndarray, X: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        parts = _unflatten(w, shapes)
        before = X @ parts["kernel1"] + parts["bias1"]
        after = np.tanh(before) if tanh else np.maximum(before, 0)
        return parts, after, after @ parts["kernel2"] + parts["bias2"]

    def batch_value(w: np.ndarray, X: np.ndarray, labels: np.ndarray) -> float:
        parts, _, logits = forward(w, X)
        squares = float(np.sum(parts["kernel1"] ** 2) + np.sum(parts["kernel2"] ** 2)) if l2 else 0.0
        return _cross_entropy(logits, labels) + 0.5 * l2 * squares

    def batch_gradient(w: np.ndarray, X: np.ndarray, labels: np.ndarray) -> np.ndarray:
        parts, after, logits = forward(w, X)
        error = _softmax_error(logits, labels)  # (batch, classes)
        error /= len(labels)
        back = error @ parts["kernel2"].T  # (batch, hidden)
        back *= 1 - after * after if tanh else after > 0
        result = np.empty(w.shape, error.dtype)
        into = _unflatten(result, shapes)
        np.matmul(X.T, back, out=into["kernel1"])
        np.sum(back, axis=0, out=into["bias1"])
        np.matmul(after.T, error, out=into["kernel2"])
        np.sum(error, axis=0, out=into["bias2"])
        if l2:
            into["kernel1"] += l2 * parts["kernel1"]
            into["kernel2"] += l2 * parts["kernel2"]
        return result

    def batch_example_gradients(w: np.ndarray, X: np.ndarray, labels: np.ndarray) -> np.ndarray:
        parts, after, logits = forward(w, X)
        error = _softmax_error(logits, labels)
        back = (error @ parts["kernel2"].T) * (1 - after * after if tanh else after > 0)
        kernel1 = X[:, :, None] * back[:, None, :] + l2 * parts["kernel1"]
        kernel2 = after[:, :, None] * error[:, None, :] + l2 * parts["kernel2"]
        return np.concatenate([kernel1.reshape(len(X), -1), back, kernel2.reshape(len(X), -1), error], axis=1)

    return finite_sum(
        "two-layer network", (X, labels), batch_value, batch_gradient,
        batch_example_gradients=batch_example_gradients,
        start=_glorot(np.random.default_rng(0), shapes, X.dtype), kind=NetworkObjective, shapes=shapes,
        predict=lambda w, X: _softmax(forward(w, _inputs(X, intercept=False))[2]),
    )  # fmt: skip


# Parts.


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits, shape (batch, classes), into probabilities; the largest logit goes first, so none overflows."""
    result = logits - logits.max(axis=1, keepdims=True)
    np.exp(result, out=result)
    result /= result.sum(axis=1, keepdims=True)
    return result


def _softmax_error(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Give each example's gradient by its logits: its probabilities, less 1 at its label."""
    result = _softmax(logits)
    result[np.arange(len(labels)), labels] -= 1
    return result


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return float(np.mean(log_sums - shifted[np.arange(len(labels)), labels]))


def _glorot(rng: np.random.Generator, shapes: dict[str, tuple[int, ...]], dtype: np.dtype) -> np.ndarray:
    parts = []
    for shape in shapes.values():
        limit = math.sqrt(6 / sum(shape)) if len(shape) == 2 else 0.0
        parts.append(rng.uniform(-limit, limit, size=shape).ravel())
    return np.concatenate(parts).astype(dtype)


def _unflatten(w: np.ndarray, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    result, position = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        result[name] = w[position : position + size].reshape(shape)
        position += size
    return result


def _gram(X: np.ndarray) -> np.ndarray:
    X = X.astype(np.float64, copy=False)
    return X.T @ X / len(X)


def _solve_least_squares(
    X: np.ndarray, y: np.ndarray, penalty: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Give the shortest minimiser, the Hessian X'X/n + diag(penalty), and its largest and smallest eigenvalue.

    The penalty is written as more examples with target 0; then the triangle of a QR decomposition holds the whole
    problem without squaring its condition number, as X'X would. It is made block by block, which the cache likes.
    """
    n, dim = X.shape
    triangles: list[Any] = []
    for i in range(0, n, 2000):
        block = np.column_stack([X[i : i + 2000], y[i : i + 2000]]).astype(np.float64, copy=False)
        triangles.append(np.linalg.qr(block / math.sqrt(n), mode="r"))
    if penalty is not None:
        triangles.append(np.column_stack([np.diag(np.sqrt(penalty.astype(np.float64))), np.zeros(dim)]))
    triangle: Any = np.linalg.qr(np.vstack(triangles), mode="r")
    left, right = triangle[:dim, :dim], triangle[:dim, dim]
    minimizer = np.linalg.lstsq(left, right, rcond=None)[0]
    singular = np.linalg.svd(left, compute_uv=False)
    smallest = singular[-1] if len(singular) == dim and singular[-1] > 1e-14 * singular[0] else 0.0
    return minimizer, left.T @ left, float(singular[0] ** 2), float(smallest**2)


def _penalty(l2: float, dim: int, intercept: bool, dtype: np.dtype) -> np.ndarray | None:
    """Give the penalty's weight for each parameter, None where there is no penalty."""
    if _check.non_negative("l2", l2) == 0:
        return None
    result = np.full(dim, l2, dtype)
    if intercept:
        result[-1] = 0
    return result


def _constant(matrix: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    def hessian(w: np.ndarray) -> np.ndarray:
        _point(w, len(matrix))
        return matrix.copy()

    return hessian


def _scalar(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value


def _points(w: Any, dim: int) -> np.ndarray:
    result = np.asarray(w)
    if result.ndim == 0 or result.shape[-1] != dim:
        raise ValueError(f"w has shape {result.shape}; it must be ({dim},), or (..., {dim}) for many points")
    return result if result.dtype.kind == "f" else result.astype(np.float64)


def _point(w: Any, dim: int) -> np.ndarray:
    result = np.asarray(w)
    if result.shape != (dim,):
        raise ValueError(f"w has shape {result.shape}; it must be ({dim},)")
    return result if result.dtype.kind == "f" else result.astype(np.float64)


def _rows(rows: Any, n: int) -> np.ndarray:
    index = np.asarray(rows)
    if index.ndim != 1 or index.dtype.kind not in "iub" or index.size == 0:
        raise ValueError(f"rows is {rows!r}; it must be a slice or a non-empty list of row numbers")
    if index.dtype.kind != "b" and (index.min() < -n or index.max() >= n):
        raise ValueError(f"rows has the number {index[(index < -n) | (index >= n)][0]}; there are {n} examples")
    return index


def _inputs(X: Any, intercept: bool) -> np.ndarray:
    X = _check.finite("X", X, ndim=2)
    if 0 in X.shape:
        raise ValueError(f"X has shape {X.shape}; it must have at least one example and one feature")
    return np.column_stack([X, np.ones(len(X), X.dtype)]) if intercept else np.ascontiguousarray(X)


def _targets(name: str, y: Any, n: int) -> np.ndarray:
    y = _check.finite(name, y, ndim=1)
    if len(y) != n:
        raise ValueError(f"{name} has {len(y)} values, but X has {n} examples")
    return y


def _labels(labels: Any, n: int, n_classes: int | None) -> tuple[np.ndarray, int]:
    values = _targets("labels", labels, n)
    whole = values.astype(np.int64)
    top = int(whole.max()) + 1 if n_classes is None else _check.count("n_classes", n_classes)
    wrong = (whole != values) | (whole < 0) | (whole >= top)
    if wrong.any():
        allowed = "from 0 on" if n_classes is None else f"from 0 to {top - 1}"
        raise ValueError(f"labels has the value {values[wrong][0]:g}; allowed are whole numbers {allowed}")
    return whole, top
