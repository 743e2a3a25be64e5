"""From a function of parameters to the function that gives its gradient.

Parameters are a tree: arrays in dicts, lists and tuples, as the optimizers of `course_lib.optimization` take them.

>>> from course_lib.autodiff import mean_squared_error
>>> def loss(params, x, y):
...     return mean_squared_error(x @ params["w"] + params["b"], y)
>>> params = {"w": np.array([1.0]), "b": np.array(0.0)}
>>> value_and_grad(loss)(params, np.array([[1.0], [2.0]]), np.array([3.0, 5.0]))
(6.5, {'w': array([-8.]), 'b': array(-5.)})
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from course_lib._tree import leaves, tree_map
from course_lib.autodiff.tensor import Tensor

__all__ = ["grad", "value_and_grad"]


def value_and_grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Make a function that gives the value of another one and its gradient.

    Parameters
    ----------
    function : callable
        ``function(params, *rest)`` gives a `Tensor` of one number. Its parameters arrive as tensors, in the tree that
        was passed; the other arguments arrive as they are.
    argnums : int or sequence of int
        Which arguments, counted from 0, are the parameters.
    has_aux : bool
        Whether the function gives a pair: the number, and something else to hand out, such as predictions.

    Returns
    -------
    callable
        Called like `function`, it gives ``(value, gradients)``, or ``((value, aux), gradients)``. The value is a Python
        float. The gradients are arrays in the parameters' structure, shapes and precision; a parameter that the value
        does not depend on gets zeros. For a sequence of argnums they are a tuple of such trees.

    Raises
    ------
    TypeError
        When called: if a leaf of the parameters is not floating-point, or the function does not give a `Tensor`.
    ValueError
        When called: if the tensor has more than one number.

    Examples
    --------
    >>> value_and_grad(lambda x, y: x * x * y, argnums=(0, 1))(3.0, 2.0)
    (18.0, (array(12.), array(9.)))
    """
    several = not isinstance(argnums, int)
    chosen = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)

    def evaluate(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if any(not -len(args) <= i < len(args) for i in chosen):
            raise ValueError(f"argnums is {argnums!r}; there are {len(args)} positional arguments")
        inputs, trees = list(args), []
        for i in chosen:
            inputs[i] = _parameters(args[i], f"argument {i}")
            trees.append(inputs[i])
        result = function(*inputs, **kwargs)
        output, aux = result if has_aux else (result, None)
        if not isinstance(output, Tensor):
            raise TypeError(f"the function gave {type(output).__name__}; it must give a Tensor of one number")
        if output.size != 1:
            raise ValueError(f"the function gave a Tensor of shape {output.shape}; it must have one number")
        if output.requires_grad:
            output.backward()
        gradients = tuple(tree_map(_gradient, tree) for tree in trees)
        value = output.item()
        return (value, aux) if has_aux else value, gradients if several else gradients[0]

    return evaluate


def grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """Make a function that gives the gradient of another one: `value_and_grad` without the value.

    Parameters
    ----------
    function : callable
        ``function(params, *rest)`` gives a `Tensor` of one number.
    argnums : int or sequence of int
        Which arguments, counted from 0, are the parameters.

    Returns
    -------
    callable
        Called like `function`, it gives the gradients, in the parameters' structure.

    Examples
    --------
    >>> grad(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    evaluate = value_and_grad(function, argnums)
    return lambda *args, **kwargs: evaluate(*args, **kwargs)[1]


def _parameters(tree: Any, name: str) -> Any:
    paths = (path for path, _ in leaves(tree))
    return tree_map(lambda leaf: _parameter(leaf, name + next(paths)), tree)


def _parameter(leaf: Any, name: str) -> Tensor:
    data = leaf.data if isinstance(leaf, Tensor) else np.asarray(leaf)
    if isinstance(leaf, float):
        data = np.asarray(leaf, np.float64)
    if data.dtype.kind != "f":
        raise TypeError(f"{name} has dtype {data.dtype}; parameters must be floating-point")
    return Tensor(data, requires_grad=True)


def _gradient(leaf: Tensor) -> np.ndarray:
    return np.zeros_like(leaf.data) if leaf.grad is None else leaf.grad
