"""Every operation's gradient against central differences in float64, on random shapes; and in float32 against that."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import autodiff as ad
from course_lib.autodiff import functions, operations
from tests.autodiff.cases import CASES

names = pytest.mark.parametrize("name", list(CASES))
seeds = st.integers(0, 2**32 - 1)


def test_every_operation_has_a_case():
    public = {*operations.__all__, *functions.__all__, "conv2d", "max_pool2d", "average_pool2d"}
    assert public <= set(CASES)


def gradients(case, arrays, options, dtype):
    """Value, and gradients for a fixed gradient of the output."""
    leaves = [ad.Tensor(np.asarray(a, dtype), requires_grad=True) for a in arrays]
    output = case.ours(*leaves, **options)
    seed = np.random.default_rng(1).uniform(0.5, 1.5, output.shape)
    if output.requires_grad:
        output.backward(seed)
    return output, leaves


@names
@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_against_differences(name, seed):
    case = CASES[name]
    arrays, options = case.draw(np.random.default_rng(seed))
    result = ad.gradient_check(lambda *x: case.ours(*x, **options), *arrays, rtol=1e-6, atol=1e-7)
    assert result, (name, [a.shape for a in arrays], options, result)


@names
@settings(max_examples=8, deadline=None)
@given(seed=seeds)
def test_float32_stays_float32_and_agrees(name, seed):
    case = CASES[name]
    arrays, options = case.draw(np.random.default_rng(seed))
    arrays = [a.astype(np.float32) for a in arrays]
    exact, wanted = gradients(case, arrays, options, np.float64)
    output, leaves = gradients(case, arrays, options, np.float32)
    assert output.dtype == np.float32
    np.testing.assert_allclose(output.data, exact.data, rtol=2e-5, atol=2e-5)
    for leaf, want in zip(leaves, wanted, strict=True):
        assert leaf.grad.dtype == np.float32
        assert leaf.grad.shape == leaf.shape
        assert type(leaf.grad) is np.ndarray
        # The standard deviation of a few numbers may be small, and what is divided by it is rounded that much more.
        scale = max(1.0, float(np.abs(want.grad).max(initial=0)))
        np.testing.assert_allclose(leaf.grad, want.grad, rtol=2e-4, atol=2e-4 * scale)


@names
@settings(max_examples=5, deadline=None)
@given(seed=seeds)
def test_inputs_and_seed_stay_as_they_are(name, seed):
    case = CASES[name]
    arrays, options = case.draw(np.random.default_rng(seed))
    before = [a.copy() for a in arrays]
    for array in arrays:
        array.flags.writeable = False
    leaves = [ad.Tensor(a, requires_grad=True) for a in arrays]
    output = case.ours(*leaves, **options)
    given_gradient = np.ones(output.shape)
    given_gradient.flags.writeable = False
    output.backward(given_gradient)
    for leaf, array, old in zip(leaves, arrays, before, strict=True):
        assert leaf.grad.flags.writeable
        assert not np.shares_memory(leaf.grad, array)
        assert not np.shares_memory(leaf.grad, given_gradient)
        assert not np.shares_memory(leaf.grad, output.data)
        np.testing.assert_array_equal(array, old)


@names
def test_only_what_is_asked_for(name):
    """With one input a constant, the others' gradients stay the same, and it gets none."""
    case = CASES[name]
    arrays, options = case.draw(np.random.default_rng(5))
    _, wanted = gradients(case, arrays, options, np.float64)
    for i in range(len(arrays)):
        inputs = [ad.Tensor(a, requires_grad=j != i) for j, a in enumerate(arrays)]
        output = case.ours(*inputs, **options)
        if len(arrays) == 1:
            assert not output.requires_grad
            continue
        output.backward(np.random.default_rng(1).uniform(0.5, 1.5, output.shape))
        assert inputs[i].grad is None
        for j in set(range(len(arrays))) - {i}:
            np.testing.assert_array_equal(inputs[j].grad, wanted[j].grad)
