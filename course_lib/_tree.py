"""Trees of arrays: dicts, lists and tuples nested to any depth, with arrays or numbers as leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Tree = Any  # an array, a number, or a dict, list or tuple of trees


def leaves(tree: Tree, path: str = "") -> Iterator[tuple[str, Any]]:
    """Walk over the leaves with their paths, such as ``[0]['bias']``; dicts in their own order."""
    if isinstance(tree, dict):
        for key, branch in tree.items():
            yield from leaves(branch, f"{path}[{key!r}]")
    elif isinstance(tree, (list, tuple)):
        for index, branch in enumerate(tree):
            yield from leaves(branch, f"{path}[{index}]")
    else:
        yield path, tree


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply `function` leaf by leaf over trees of one structure; the result has that structure.

    Raises
    ------
    ValueError
        If the structures differ; the text names the place.
    """
    return _map(function, (tree, *others), "")


def _map(function: Callable[..., Any], trees: tuple[Tree, ...], path: str) -> Tree:
    first = trees[0]
    if isinstance(first, dict):
        for other in trees[1:]:
            if not isinstance(other, dict) or other.keys() != first.keys():
                raise ValueError(f"the trees differ at {path or 'the root'}: {_kind(first)} against {_kind(other)}")
        return {key: _map(function, tuple(tree[key] for tree in trees), f"{path}[{key!r}]") for key in first}
    if isinstance(first, (list, tuple)):
        for other in trees[1:]:
            if type(other) is not type(first) or len(other) != len(first):
                raise ValueError(f"the trees differ at {path or 'the root'}: {_kind(first)} against {_kind(other)}")
        branches = [_map(function, branch, f"{path}[{i}]") for i, branch in enumerate(zip(*trees, strict=True))]
        return type(first)(*branches) if hasattr(first, "_fields") else type(first)(branches)
    for other in trees[1:]:
        if isinstance(other, (dict, list, tuple)):
            raise ValueError(f"the trees differ at {path or 'the root'}: a leaf against {_kind(other)}")
    return function(*trees)


def _kind(tree: Tree) -> str:
    if isinstance(tree, dict):
        return f"a dict with keys {sorted(map(str, tree))}"
    if isinstance(tree, (list, tuple)):
        return f"a {type(tree).__name__} of {len(tree)}"
    return f"a leaf of shape {np.shape(tree)}"


def as_parameters(tree: Tree, name: str = "params") -> Tree:
    """Turn every leaf into a floating-point array without copying what is one already.

    Raises
    ------
    TypeError
        If a leaf is not made of real floating-point numbers (a Python number counts as float64).
    """
    for path, leaf in leaves(tree):
        if isinstance(leaf, (int, float)) and not isinstance(leaf, bool):
            continue
        dtype = np.asarray(leaf).dtype
        if not np.issubdtype(dtype, np.floating):
            raise TypeError(f"{name}{path} has dtype {dtype}; it must be floating-point, such as float32 or float64")
    return tree_map(lambda leaf: np.asarray(leaf, dtype=getattr(leaf, "dtype", np.float64)), tree)
