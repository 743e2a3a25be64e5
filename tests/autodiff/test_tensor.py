"""The tape itself: accumulation, order, freeing, errors, precision, and what it costs in memory and depth."""

import gc
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

from course_lib import autodiff as ad
from course_lib.autodiff import Tensor, no_grad, record


def leaf(values, dtype=np.float64):
    return Tensor(np.asarray(values, dtype), requires_grad=True)


# --- Gradients add up -------------------------------------------------------------------------------------------------


def test_a_tensor_used_several_times_gets_the_sum():
    x = leaf([1.0, 2.0])
    y = x * x + x
    (y * x + y).sum().backward()  # x^3 + 2 x^2 + x
    np.testing.assert_allclose(x.grad, 3 * x.data**2 + 4 * x.data + 1)


def test_a_diamond_of_paths_counts_each_once():
    x, y = leaf(1.0), None
    y = x
    for _ in range(30):  # 2**30 paths: a walk over paths would not end
        y = y + y
    y.backward()
    assert x.grad == 2.0**30


def test_a_gradient_that_two_tensors_share_is_not_changed_for_one_of_them():
    a, b = leaf([1.0]), leaf([1.0])
    s = a + b  # both pullbacks give the same array on
    (s + a * 3.0).sum().backward()
    assert a.grad == 4
    assert b.grad == 1
    assert not np.shares_memory(a.grad, b.grad)


def test_nor_is_one_that_a_tensor_has_a_view_of():
    x, w = leaf([1.0, 2.0]), leaf([[1.0], [2.0]])
    early = x * 3.0
    y = (x.reshape(2, 1) + w) + early.reshape(2, 1)
    y.backward(np.ones((2, 1)))  # x has a view of the array that w has, when another 3 arrives
    np.testing.assert_array_equal(x.grad, [4, 4])
    np.testing.assert_array_equal(w.grad, [[1], [1]])


def test_what_broadcasting_stretched_gets_the_sum():
    number, column, row = leaf(2.0), leaf([[1.0], [2.0]]), leaf([1.0, 2.0, 3.0])
    (number * column * row).sum().backward()
    assert number.grad == 3 * 6
    np.testing.assert_array_equal(column.grad, [[2 * 6], [2 * 6]])
    np.testing.assert_array_equal(row.grad, [2 * 3] * 3)


def test_further_passes_add():
    x = leaf([1.0, 2.0])
    for times in (1, 2, 3):
        (x * 2.0).sum().backward()
        np.testing.assert_array_equal(x.grad, [2.0 * times] * 2)
    held = x.grad
    x.grad = None
    (x * 5.0).sum().backward()
    np.testing.assert_array_equal(x.grad, [5, 5])
    np.testing.assert_array_equal(held, [6, 6])


def test_a_gradient_already_taken_does_not_change_later():
    x = leaf([1.0])
    (x * 2.0).sum().backward()
    taken = x.grad
    (x * 2.0).sum().backward()
    assert taken == 2


def test_gradient_of_a_leaf_itself():
    x = leaf([1.0, 2.0])
    seed = np.array([3.0, 4.0])
    x.backward(seed)
    np.testing.assert_array_equal(x.grad, seed)
    assert not np.shares_memory(x.grad, seed)


def test_results_of_operations_have_a_gradient_only_on_request():
    x = leaf(2.0)
    y, z = x * 3.0, x * 5.0
    assert y.retain_grad() is y
    (y * z).backward()
    assert y.grad == 10
    assert z.grad is None
    assert x.grad == 60
    with pytest.raises(RuntimeError, match="requires no gradient"):
        Tensor(1.0).retain_grad()


# --- What a second pass meets -----------------------------------------------------------------------------------------


def test_the_tape_is_freed_by_the_pass():
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match=r"'multiply' has been freed.*retain_graph=True"):
        y.backward()
    assert x.grad == 4


def test_a_shared_part_that_was_freed_is_an_error_and_changes_nothing():
    x, w = leaf(2.0), leaf(3.0)
    shared = x * x
    (shared + 1.0).backward()
    with pytest.raises(RuntimeError, match="freed"):
        (shared * w).backward()
    assert x.grad == 4
    assert w.grad is None


def test_a_tape_that_is_kept_gives_the_same_again():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    assert x.grad == 8
    y.backward()
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


# --- Refused ----------------------------------------------------------------------------------------------------------


def test_several_numbers_need_a_gradient():
    with pytest.raises(ValueError, match=r"shape \(2,\) is not a scalar"):
        leaf([1.0, 2.0]).backward()
    x = leaf([[2.0]])
    (x * x).backward()  # one number in a box is a scalar
    assert x.grad == [[4.0]]


def test_the_seed_has_the_tensors_shape():
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\); it must have the tensor's, \(2,\)"):
        leaf([1.0, 2.0]).backward(np.ones(3))


def test_constants_have_no_gradient():
    with pytest.raises(RuntimeError, match="depends on no tensor"):
        (Tensor(1.0) * 2.0).backward()


@pytest.mark.parametrize("data", [1, [1, 2], np.arange(3), True])
def test_whole_numbers_have_no_gradient(data):
    with pytest.raises(TypeError, match="only floating-point numbers have a gradient"):
        Tensor(data, requires_grad=True)
    assert not Tensor(data).requires_grad


@pytest.mark.parametrize("data", ["text", None, 1j, [object()]])
def test_what_is_no_number_is_refused(data):
    with pytest.raises(TypeError, match="must hold real numbers"):
        Tensor(data)


def test_a_tensor_of_a_tensor_is_refused():
    with pytest.raises(TypeError, match=r"use detach\(\)"):
        Tensor(Tensor(1.0))


def test_numpy_does_not_cut_the_tape_in_silence():
    x = leaf([1.0])
    for function in (np.exp, np.asarray, np.stack, lambda a: np.add(np.ones(1), a)):
        with pytest.raises(TypeError):
            function(x)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="broadcast"):
        leaf([1.0, 2.0]) + leaf([1.0, 2.0, 3.0])


# --- Operators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: a**b,
    ],
)  # fmt: skip
def test_operators_with_arrays_and_numbers_on_either_side(function):
    array, x = np.array([2.0, 3.0]), leaf([4.0, 5.0])
    for result, want in [
        (function(x, array), function(x.data, array)),
        (function(array, x), function(array, x.data)),
        (function(x, 2), function(x.data, 2)),
        (function(2.5, x), function(2.5, x.data)),
        (function(array.tolist(), x), function(array, x.data)),
    ]:
        assert isinstance(result, Tensor)
        assert result.requires_grad
        np.testing.assert_array_equal(result.data, want)


def test_matrix_products_with_arrays_on_either_side():
    matrix, x = np.array([[1.0, 2.0], [3.0, 4.0]]), leaf([[5.0, 6.0], [7.0, 8.0]])
    np.testing.assert_array_equal((matrix @ x).data, matrix @ x.data)
    np.testing.assert_array_equal((x @ matrix).data, x.data @ matrix)
    np.testing.assert_array_equal((-x).data, -x.data)


def test_methods_and_shape():
    x = leaf(np.arange(6.0).reshape(2, 3))
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2, 3), 2, 6, np.float64, 2)
    np.testing.assert_array_equal(x.sum(axis=0).data, [3, 5, 7])
    np.testing.assert_array_equal(x.mean(axis=1, keepdims=True).data, [[1], [4]])
    assert x.reshape(3, 2).shape == x.reshape((3, -1)).shape == x.T.shape == x.transpose(1, 0).shape == (3, 2)
    assert x.transpose((1, 0)).shape == x.transpose().shape == (3, 2)
    assert [row.shape for row in x] == [(3,), (3,)]
    assert leaf(2.0).item() == float(leaf(2.0)) == 2.0
    assert bool(leaf(0.0)) is False
    assert repr(leaf([1.0])) == "Tensor([1.], requires_grad=True)"
    assert repr(Tensor([1])) == "Tensor([1])"


# --- Precision --------------------------------------------------------------------------------------------------------


def test_python_numbers_take_the_precision_beside_them():
    x = leaf([1.0, 2.0], np.float32)
    for y in (
        x * 2.0,
        2.0 * x,
        x + 1,
        1 - x,
        x / 3,
        3 / x,
        x**2,
        2.0**x,
        ad.maximum(x, 0.5),
        ad.where([True, False], x, 0),
    ):
        assert y.dtype == np.float32
        y.sum().backward()
        assert x.grad.dtype == np.float32
    assert (Tensor([1, 2]) * 0.5).dtype == np.float64


def test_gradients_have_the_precision_of_their_tensor():
    narrow, wide = leaf([1.0, 2.0], np.float32), leaf([3.0, 4.0])
    y = narrow * wide
    assert y.dtype == np.float64
    y.sum().backward()
    assert narrow.grad.dtype == np.float32
    assert wide.grad.dtype == np.float64
    np.testing.assert_array_equal(narrow.grad, [3, 4])


def test_data_is_not_copied():
    array = np.ones(3)
    assert Tensor(array).data is array
    x = Tensor(array, requires_grad=True)
    y = x * 2.0
    assert y.detach().data is y.data
    assert not y.detach().requires_grad


def test_values_replaced_after_recording_do_not_reach_the_pass():
    x, w = leaf([1.0]), leaf([2.0])
    y = x * w
    w.data = w.data * 100  # as an optimizer that makes new arrays
    y.sum().backward()
    assert x.grad == 2


def test_values_changed_in_place_do_reach_it():
    # The documented limit: the tape keeps arrays, not copies.
    x, w = leaf([1.0]), leaf([2.0])
    y = x * w
    w.data *= 100
    y.sum().backward()
    assert x.grad == 200


# --- Not a number -----------------------------------------------------------------------------------------------------


def test_nan_travels_on():
    x = leaf([np.nan, 1.0])
    y = ad.relu(x) * 2.0
    y.sum().backward()
    assert np.isnan(y.data[0])
    np.testing.assert_array_equal(x.grad, [2, 2])
    for function in (ad.maximum, ad.minimum):
        assert np.isnan(function(leaf([np.nan]), 1.0).data[0])
    x = leaf([np.nan, 1.0])
    ad.max(x).backward()
    assert np.isnan(x.grad).all()


def test_the_branch_not_taken_gets_an_exact_zero():
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    ad.where([True, False], a, b).backward(np.array([np.nan, np.inf]))
    np.testing.assert_array_equal(a.grad, [np.nan, 0])
    np.testing.assert_array_equal(b.grad, [0, np.inf])


def test_the_trap_of_where_and_the_way_round():
    x = leaf([0.0, 4.0])
    with pytest.warns(RuntimeWarning, match="invalid value"):
        ad.where(x.data > 0, ad.sqrt(x), 0.0).sum().backward()
    assert np.isnan(x.grad[0])
    x = leaf([0.0, 4.0])
    ad.where(x.data > 0, ad.sqrt(ad.where(x.data > 0, x, 1.0)), 0.0).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 0.25])


def test_dropped_numbers_do_not_matter():
    x = leaf(np.full(100, np.inf))
    y = ad.dropout(x, 0.5, np.random.default_rng(0))
    assert set(y.data) == {0.0, np.inf}
    y.backward(np.full(100, np.nan))
    np.testing.assert_array_equal(np.isnan(x.grad), y.data != 0)


# --- No tape ----------------------------------------------------------------------------------------------------------


def test_no_grad():
    x = leaf(2.0)
    with no_grad():
        with no_grad():
            pass
        y = x * x
        assert leaf(1.0).requires_grad
    assert not y.requires_grad
    assert (x * x).requires_grad
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert (x * x).requires_grad


def test_no_grad_of_one_thread_is_not_that_of_another():
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((leaf(1.0) * 2.0).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


# --- Depth and memory -------------------------------------------------------------------------------------------------


def test_a_long_chain_of_operations():
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y + 1.0
    y.backward(retain_graph=True)
    assert x.grad == 1
    del y  # taking it apart must not recurse either
    y = x
    for _ in range(10_000):
        y = y * 1.0
    y.backward()
    assert x.grad == 2


def test_an_intermediate_result_that_nobody_needs_is_freed():
    x = leaf(np.ones(10))
    y = x + 1.0
    values = weakref.ref(y.data)
    z = y + 2.0
    del y
    assert values() is None
    z.sum().backward()
    np.testing.assert_array_equal(x.grad, np.ones(10))


def test_no_garbage_is_left_to_the_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf(np.ones(10))
        y = ad.tanh(x @ np.ones((10, 10)))
        node = weakref.ref(y.node)
        y.sum().backward()
        del y
        assert node() is None
    finally:
        gc.enable()


def test_a_leaf_that_is_gone_is_no_trouble():
    w = leaf(2.0)
    y = leaf(3.0) * w
    gc.collect()
    y.backward()
    assert w.grad == 3


def test_an_operation_of_ones_own():
    def cube(x):
        values = x.data
        return record("cube", values**3, [(x, lambda g: 3 * g * values**2)])

    assert ad.gradient_check(cube, np.array([[1.0, -2.0, 0.5]]))
    wrong = ad.gradient_check(lambda x: record("cube", x.data**3, [(x, lambda g: 2 * g * x.data**2)]), np.array([1.0]))
    assert not wrong


def test_a_pullback_of_the_wrong_shape_is_an_error():
    x = leaf(np.ones((2, 3)))
    with pytest.raises(ValueError, match="reshape"):
        record("bad", x.data, [(x, lambda g: np.ones((2, 4)))]).backward(np.ones((2, 3)))


# --- Floors -----------------------------------------------------------------------------------------------------------


def test_it_loads_neither_keras_nor_tensorflow():
    heavy = "{'keras', 'tensorflow', 'torch', 'jax', 'scipy'}"
    code = f"import sys, course_lib.autodiff; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_public_names_can_be_taken_from_the_package():
    from course_lib.autodiff import (
        check,
        checkpointing,
        convolution,
        functions,
        initializers,
        measure,
        modules,
        operations,
        tensor,
        transforms,
    )

    parts = (
        check,
        checkpointing,
        convolution,
        functions,
        initializers,
        measure,
        modules,
        operations,
        tensor,
        transforms,
    )
    names = {name for part in parts for name in part.__all__}
    assert names == set(ad.__all__)
    assert all(getattr(ad, name) for name in names)
