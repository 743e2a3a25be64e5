"""The counts: bytes against a walk over everything that is reachable, arithmetic against numbers made by hand."""

import functools
import gc
import types

import numpy as np
import pytest

from course_lib import autodiff as ad
from course_lib.autodiff import Tensor, count_flops, tape_bytes, tape_nodes
from tests.autodiff.cases import CASES


def leaf(*shape):
    return Tensor(np.ones(shape), requires_grad=True)


def reachable_bytes(output):
    """What the garbage collector says the tape keeps alive: an answer that knows nothing of pullbacks."""
    waiting, seen, arrays = [output.node], set(), {}
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, (types.ModuleType, type)):
            continue
        seen.add(id(thing))
        if isinstance(thing, np.ndarray):
            while isinstance(thing.base, np.ndarray):
                thing = thing.base
            arrays[id(thing)] = thing.nbytes
        elif isinstance(thing, types.FunctionType):
            waiting += list(thing.__closure__ or ()) + list(thing.__defaults__ or ())  # not its globals
        else:
            waiting += gc.get_referents(thing)
    return sum(arrays.values())


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("seed", range(3))
def test_bytes_of_every_operation(name, seed):
    case = CASES[name]
    arrays, options = case.draw(np.random.default_rng(seed))
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    inputs = [x * 1.5 for x in leaves]  # no leaves, so that whatever the operation keeps counts
    output = case.ours(*inputs, **options)
    del inputs
    assert tape_bytes(output, leaves=True) == reachable_bytes(output)


def test_whatever_way_a_pullback_carries_an_array():
    x = leaf(10)
    a, b, c = (np.ones(10) for _ in range(3))

    def scaled(g, by):
        return g * by

    edges = [(x, lambda g: g * a), (x, lambda g, by=b: g * by), (x, functools.partial(scaled, by=c))]
    assert [tape_bytes(ad.record("own", x.data, [edge])) for edge in edges] == [80, 80, 80]
    assert tape_bytes(ad.record("own", x.data, edges)) == 240


def test_an_array_counts_once():
    x = leaf(10) * 1.0
    parts = [ad.exp(x.reshape(2, 5)), ad.exp(x[2:])]
    for part in parts:
        part.sum()
    y = ad.log(x) + ad.log(x) + ad.log(x.reshape(5, 2)).reshape(10)
    assert tape_bytes(y) == 80 + 8  # x however often and however looked at, and the 1.0


def test_leaves_count_when_asked_or_when_only_the_tape_has_them():
    w = leaf(4, 5)
    y = leaf(3, 4) @ w
    assert tape_bytes(y) == 3 * 4 * 8  # that leaf is gone: the tape alone keeps its values
    assert tape_bytes(y, leaves=True) == (3 * 4 + 4 * 5) * 8
    assert tape_nodes(y) == 1


def test_what_needs_no_gradient_keeps_nothing():
    x, w = Tensor(np.ones((3, 4))), leaf(4, 5)
    assert tape_bytes(x @ w, leaves=True) == 3 * 4 * 8  # w would be for the gradient of x
    assert tape_bytes(x @ w.detach()) == tape_nodes(x @ w.detach()) == 0
    assert tape_bytes(w + 1.0) == 0


def test_after_the_pass_nothing_is_left():
    x = leaf(5)
    y = ad.tanh(ad.tanh(x)).sum()
    assert (tape_bytes(y), tape_nodes(y)) == (80, 3)
    y.backward()
    assert (tape_bytes(y), tape_nodes(y)) == (0, 0)


def test_a_tape_grows_with_the_batch_and_the_parameters_do_not():
    model = ad.mlp([8, 16, 16, 4], rng=np.random.default_rng(0))

    def kept(batch):
        return tape_bytes(ad.softmax_cross_entropy(model(np.ones((batch, 8), np.float32)), np.zeros(batch, int)))

    # Inputs, two hidden layers' values, probabilities in float32; labels in int64; and the scale of the mean nowhere.
    assert [kept(n) for n in (1, 10)] == [4 * (8 + 16 + 16 + 4) + 8, 40 * (8 + 16 + 16 + 4) + 80]


def test_arithmetic_by_hand():
    a, b = leaf(3, 4), leaf(4, 5)
    with count_flops() as flops:
        y = a @ b  # 2 * 3 * 4 * 5 forward, twice that back
        z = ad.tanh(y + leaf(5))  # 15 and 15 forward; back 15 for tanh, 15 for the sum over rows
        z.sum().backward()  # 15 forward
    assert flops.by_operation["matmul"] == [120, 240]
    assert (flops.forward, flops.backward, flops.total) == (120 + 45, 240 + 30, 435)


def test_meeting_gradients_are_counted():
    x = leaf(10)
    with count_flops() as flops:
        (x + x + x).backward(np.ones(10))
    assert (flops.forward, flops.backward) == (20, 20)


def test_counts_nest_and_end():
    x = leaf(10)
    with count_flops() as outer:
        x * 2.0
        with count_flops() as inner:
            x * 2.0
        with ad.no_grad():
            x * 2.0
    x * 2.0
    assert (inner.forward, outer.forward) == (10, 30)


def test_constants_are_not_differentiated():
    with count_flops() as flops:
        (Tensor(np.ones((3, 4))) @ leaf(4, 5)).backward(np.ones((3, 5)))
    assert (flops.forward, flops.backward) == (120, 120)


@pytest.mark.parametrize("depth", [2, 5, 10])
def test_backward_costs_twice_the_forward(depth):
    model = ad.mlp([64, *[64] * depth, 10], rng=np.random.default_rng(0))
    x = np.ones((128, 64), np.float32)
    with count_flops() as flops:
        ad.softmax_cross_entropy(model(x), np.zeros(128, int)).backward()
    # The first layer's inputs are data, and nobody asks for their gradient: depth / (depth + 1) of the products.
    least = 2 - 1 / depth - 0.1
    assert least < flops.backward / flops.forward < 2


def test_the_products_of_a_step_are_three_times_those_of_the_forward_pass():
    model = ad.mlp([64, 64, 64, 10], rng=np.random.default_rng(0))
    x = Tensor(np.ones((128, 64), np.float32), requires_grad=True)
    with count_flops() as flops:
        ad.softmax_cross_entropy(model(x), np.zeros(128, int)).backward()
    forward, backward = flops.by_operation["matmul"]
    assert forward == 2 * 128 * 64 * (64 + 64 + 10)
    assert backward == 2 * forward
