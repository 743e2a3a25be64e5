"""Trees of arrays: walked, mapped, compared, and the places of what is wrong in them."""

import re
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib._tree import as_parameters, leaves, tree_map

Layer = namedtuple("Layer", ["kernel", "bias"])
numbers = st.integers(-9, 9)
trees = st.recursive(
    numbers,
    lambda branch: (
        st.lists(branch, max_size=3)
        | st.dictionaries(st.text(max_size=2), branch, max_size=3)
        | st.tuples(branch, branch)
        | st.builds(Layer, branch, branch)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(trees)
def test_mapping_keeps_the_structure(tree):
    assert tree_map(lambda leaf: leaf, tree) == tree
    doubled = tree_map(lambda a, b: a + b, tree, tree)
    assert [(path, 2 * leaf) for path, leaf in leaves(tree)] == list(leaves(doubled))
    assert tree_map(lambda leaf: leaf // 2, doubled) == tree


@settings(deadline=None)
@given(trees)
def test_a_path_leads_to_its_leaf(tree):
    for path, leaf in leaves(tree):
        assert eval(f"tree{path}", {"tree": tree}) == leaf


def test_paths():
    tree = {"layers": [Layer(1, 2), (3,)], "rate": 4}
    assert list(leaves(tree)) == [
        ("['layers'][0][0]", 1), ("['layers'][0][1]", 2), ("['layers'][1][0]", 3), ("['rate']", 4),
    ]  # fmt: skip
    assert list(leaves(5)) == [("", 5)]
    assert list(leaves({})) == []


def test_types_of_branches_are_kept():
    result = tree_map(lambda a, b: a - b, [Layer(3, (2,)), {"w": 1}], [Layer(1, (1,)), {"w": 1}])
    assert result == [Layer(2, (1,)), {"w": 0}]
    assert type(result[0]) is Layer
    assert type(result[0].bias) is tuple


def test_dicts_are_matched_by_key():
    assert tree_map(lambda a, b: (a, b), {"x": 1, "y": 2}, {"y": 20, "x": 10}) == {"x": (1, 10), "y": (2, 20)}


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        ({"a": 1}, {"b": 1}, "differ at the root: a dict with keys ['a'] against a dict with keys ['b']"),
        ({"a": 1}, [1], "differ at the root: a dict with keys ['a'] against a list of 1"),
        ({"a": [1, 2]}, {"a": [1]}, "differ at ['a']: a list of 2 against a list of 1"),
        ([1, 2], (1, 2), "differ at the root: a list of 2 against a tuple of 2"),
        (Layer(1, 2), (1, 2), "differ at the root: a Layer of 2 against a tuple of 2"),
        (
            {"a": [1, {"b": 1}]},
            {"a": [1, np.ones(3)]},
            "differ at ['a'][1]: a dict with keys ['b'] against a leaf of sh",
        ),
        ({"a": [1, 1]}, {"a": [1, {"b": 1}]}, "differ at ['a'][1]: a leaf against a dict with keys ['b']"),
    ],
)
def test_a_difference_is_named_with_its_place(one, other, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        tree_map(lambda a, b: a, one, other)
    with pytest.raises(ValueError, match=re.escape(text)):
        tree_map(lambda a, b, c: a, one, one, other)


def test_parameters_are_made_of_arrays_without_a_copy():
    kernel, single = np.ones((2, 2)), np.float32(1.5)
    result = as_parameters({"kernel": kernel, "rate": 2, "single": single})
    assert result["kernel"] is kernel
    assert result["rate"].dtype == np.float64
    assert result["rate"].shape == ()
    assert result["single"].dtype == np.float32


@pytest.mark.parametrize(
    ("leaf", "dtype"), [(np.array([1, 2]), "int64"), (True, "bool"), (1j, "complex128"), ("w", "<U1"), (None, "object")]
)
def test_what_is_not_floating_point_is_named(leaf, dtype):
    with pytest.raises(TypeError) as caught:
        as_parameters({"w": [1.0, leaf]})
    assert f"params['w'][1] has dtype {dtype}; it must be floating-point" in str(caught.value)
    with pytest.raises(TypeError, match=r"^grads has dtype"):
        as_parameters(leaf, "grads")
