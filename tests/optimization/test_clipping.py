"""Clipping: what it promises about norms, directions, sizes and types."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from course_lib._tree import leaves
from course_lib.optimization import clipping as c
from course_lib.optimization import optimizers as o

values = st.floats(-1e6, 1e6, allow_subnormal=False)
gradients = st.lists(arrays(np.float64, array_shapes(min_dims=0, max_dims=2, max_side=4), elements=values), max_size=4)
limits = st.floats(1e-3, 1e3)
quick = settings(deadline=None)
ALL = pytest.mark.parametrize("clip", [c.clip_by_value, c.clip_by_norm, c.clip_by_global_norm])


def flat(tree):
    return np.concatenate([np.zeros(0), *(np.ravel(leaf) for _, leaf in leaves(tree))])


@quick
@given(gradients)
def test_the_global_norm_is_that_of_all_numbers_together(grads):
    assert c.global_norm(grads) == pytest.approx(math.sqrt(math.fsum(flat(grads) ** 2)), rel=1e-13)


@quick
@given(gradients, limits)
def test_by_value(grads, limit):
    wanted = [np.array([min(max(x, -limit), limit) for x in np.ravel(g)]).reshape(g.shape) for g in grads]
    assert np.array_equal(flat(c.clip_by_value(grads, limit)), flat(wanted))


@quick
@given(gradients, limits)
def test_by_norm(grads, limit):
    for g, result in zip(grads, c.clip_by_norm(grads, limit), strict=True):
        norm = math.sqrt(math.fsum(np.ravel(g) ** 2))
        wanted = g * (limit / norm) if norm > limit else g
        assert np.allclose(result, wanted, rtol=1e-12, atol=1e-300)


@quick
@given(gradients, limits)
def test_by_global_norm(grads, limit):
    norm = math.sqrt(math.fsum(flat(grads) ** 2))
    wanted = flat(grads) * (limit / norm if norm > limit else 1)
    assert np.allclose(flat(c.clip_by_global_norm(grads, limit)), wanted, rtol=1e-12, atol=1e-300)


@ALL
@quick
@given(grads=gradients, limit=limits)
def test_clipping_is_pure_and_twice_is_once(clip, grads, limit):
    before = copy.deepcopy(grads)
    once = clip(grads, limit)
    assert all(np.array_equal(a, b) for a, b in zip(grads, before, strict=True))
    assert not any(np.shares_memory(a, b) for a, b in zip(grads, once, strict=True))
    assert np.allclose(flat(clip(once, limit)), flat(once), rtol=1e-14)


def test_what_is_below_the_limit_stays_to_the_bit():
    grads = [np.array([0.1, -0.2]), np.array(0.3)]
    for clip in (c.clip_by_value, c.clip_by_norm, c.clip_by_global_norm):
        assert np.array_equal(flat(clip(grads, 1.0)), flat(grads))


def test_a_pair_of_limits():
    assert np.array_equal(c.clip_by_value(np.array([-3.0, 0.0, 3.0]), (-1, 2)), [-1, 0, 2])


@ALL
def test_structure_shapes_and_dtypes_are_kept(clip):
    grads = {"a": [np.full((2, 2), 9.0, np.float32), np.array(9.0, np.float32)], "b": (np.zeros((0, 3)), 9.0)}
    result = clip(grads, 0.5)
    assert isinstance(result["b"], tuple)
    for (path, leaf), (wanted, like) in zip(leaves(result), leaves(grads), strict=True):
        like = np.asarray(like)
        assert isinstance(leaf, np.ndarray)
        assert (path, leaf.dtype, leaf.shape) == (wanted, like.dtype, like.shape)


@ALL
def test_nothing_and_zero(clip):
    assert clip([], 1.0) == []
    for dtype in (np.float32, np.float64):
        assert np.array_equal(clip(np.zeros(3, dtype), 1.0), np.zeros(3))
    assert c.global_norm([]) == c.global_norm(np.zeros(3)) == 0


@pytest.mark.parametrize("size", [1e200, 1e-200, 1.7e308, 1e-320])
def test_no_overflow_and_no_underflow(size):
    grads = [np.array([size, -size]), np.array(size)]
    if size < 1e300:
        assert c.global_norm(grads) == pytest.approx(math.sqrt(3) * size, rel=1e-12)
    for limit in (size / 2, 1e-320 if size < 1 else 1.0):
        clipped = c.clip_by_global_norm(grads, limit)
        assert flat(clipped) == pytest.approx(
            limit / math.sqrt(3) * np.array([1, -1, 1]), rel=1e-3 if limit < 1e-300 else 1e-12
        )
        each = c.clip_by_norm(grads, limit)
        assert each[0] == pytest.approx(limit / math.sqrt(2) * np.array([1, -1]), rel=1e-3 if limit < 1e-300 else 1e-12)
    single = np.array([3e38, 3e38], np.float32)
    assert np.isfinite(c.global_norm(single))
    assert c.clip_by_norm(single, 1.0) == pytest.approx(np.sqrt([0.5, 0.5]), rel=1e-6)
    assert np.array_equal(c.clip_by_value(single, 1e300), single)


def test_precisions_may_differ_within_a_tree():
    small, large = np.array([3.0], np.float32), np.array([1e200])
    result = c.clip_by_global_norm([small, large], 1.0)
    assert result[1] == pytest.approx(1.0)
    assert result[0].dtype == np.float32


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_divergence_stays_visible(bad):
    grads = [np.array([1.0, bad]), np.array([2.0])]
    assert np.isnan(flat(c.clip_by_global_norm(grads, 1.0))).all()
    by_norm = c.clip_by_norm(grads, 1.0)
    assert np.isnan(by_norm[0]).all()
    assert by_norm[1] == 1
    assert np.array_equal(c.clip_by_value(grads[0], 0.5), [0.5, np.clip(bad, -0.5, 0.5)], equal_nan=True)
    assert not math.isfinite(c.global_norm(grads))
    assert not math.isfinite(c.global_norm(grads[::-1]))


LIMITED = {
    "value": ({"value": 0.5}, lambda grads: c.clip_by_value(grads, 0.5)),
    "pair": ({"value": (-0.1, 0.5)}, lambda grads: c.clip_by_value(grads, (-0.1, 0.5))),
    "norm": ({"norm": 0.5}, lambda grads: c.clip_by_norm(grads, 0.5)),
    "global_norm": ({"global_norm": 0.5}, lambda grads: c.clip_by_global_norm(grads, 0.5)),
}


@pytest.mark.parametrize(("options", "clip"), LIMITED.values(), ids=LIMITED)
@pytest.mark.parametrize("optimizer", [o.sgd(0.1, 0.9), o.adamw(0.1, eps=0.1), o.sgd(0.1, weight_decay=0.1)])
def test_a_clipped_optimizer_sees_clipped_gradients(optimizer, options, clip):
    random = np.random.default_rng(0)
    params = [random.normal(size=3), random.normal(size=(2, 2))]
    in_place = copy.deepcopy(params)
    clipped = c.clipped(optimizer, **options)
    assert clipped.name == optimizer.name
    one, other, third = optimizer.init(params), clipped.init(params), clipped.init(params)
    for _ in range(3):
        grads = [3 * random.normal(size=3), 3 * random.normal(size=(2, 2))]
        before = copy.deepcopy(grads)
        wanted, one = optimizer.update(clip(grads), one, params)
        found, other = clipped.update(grads, other, params)
        third = clipped.update_in_place(in_place, grads, third)
        assert np.array_equal(flat(found), flat(wanted))
        assert np.array_equal(flat(grads), flat(before))
        params = o.apply_updates(params, found)
        assert np.array_equal(flat(params), flat(in_place))


def test_clipping_twice_clips_in_the_order_of_the_calls_from_outside():
    inner = c.clipped(o.sgd(1.0), value=1.0)
    outer = c.clipped(inner, norm=5.0)
    g = np.array([30.0, 40.0])  # by norm (3, 4), then by value (1, 1)
    assert outer.update(g, outer.init(g))[0] == pytest.approx([-1, -1])
    other = c.clipped(c.clipped(o.sgd(1.0), norm=5.0), value=36.0)  # (30, 36), then to norm 5
    assert other.update(g, other.init(g))[0] == pytest.approx(-5 * np.array([30, 36]) / math.hypot(30, 36))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        *(
            (lambda f=f, wrong=wrong: f(np.ones(2), wrong), error, ["limit", repr(wrong), "above 0"])
            for f in (c.clip_by_value, c.clip_by_norm, c.clip_by_global_norm)
            for wrong, error in (
                (0, ValueError), (-1.0, ValueError), (math.nan, ValueError), (math.inf, ValueError),
                ("1", TypeError), (None, TypeError), (True, TypeError),
            )
        ),
        (lambda: c.clip_by_value(np.ones(2), (1, 2, 3)), ValueError, ["limit is (1, 2, 3)", "(low, high)"]),
        (lambda: c.clip_by_value(np.ones(2), (2, 1)), ValueError, ["limit is (2, 1)", "below"]),
        (lambda: c.clip_by_value(np.ones(2), (1, 1)), ValueError, ["limit is (1, 1)", "below"]),
        (lambda: c.clip_by_value(np.ones(2), (math.nan, 1)), ValueError, ["limit[0]", "NaN"]),
        (lambda: c.clip_by_value(np.ones(2), ("a", 1)), TypeError, ["limit[0]", "real"]),
        (lambda: c.clip_by_norm({"w": np.array([1, 2])}, 1.0), TypeError, ["grads['w']", "int64"]),
        (lambda: c.clip_by_value([None], 1.0), TypeError, ["grads[0]", "object"]),
        (lambda: c.clip_by_global_norm("g", 1.0), TypeError, ["grads has dtype <U1"]),
        (lambda: c.global_norm([1.0, "g"]), TypeError, ["tree[1] has dtype <U1"]),
        (lambda: c.clipped(o.sgd()), ValueError, ["none", "exactly one of value, norm and global_norm"]),
        (lambda: c.clipped(o.sgd(), norm=1, value=2), ValueError, ["value=2, norm=1", "exactly one"]),
        (lambda: c.clipped(o.sgd(), norm=0), ValueError, ["norm is 0", "above 0"]),
        (lambda: c.clipped(o.sgd(), norm=(1, 2)), TypeError, ["norm is (1, 2)", "above 0"]),
        (lambda: c.clipped(o.sgd(), global_norm="1"), TypeError, ["global_norm is '1'", "above 0"]),
        (lambda: c.clipped(o.sgd(), value=(1, 0)), ValueError, ["value is (1, 0)", "below"]),
        (lambda: c.clipped("sgd", norm=1), TypeError, ["optimizer is 'sgd'", "Optimizer"]),
    ],
)  # fmt: skip
def test_wrong_input_is_named(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
