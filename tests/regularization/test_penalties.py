"""Penalties and operators: values by hand, gradients by differences, and every proximal step as the minimiser it is."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from course_lib import optimization
from course_lib._tree import leaves
from course_lib.regularization import penalties as p

quick = settings(deadline=None, max_examples=30)
numbers = st.floats(-100, 100, allow_subnormal=False).map(lambda x: 0.0 if abs(x) < 1e-6 else x)
vectors = arrays(np.float64, st.integers(1, 6), elements=numbers)
steps = st.floats(0, 10, allow_subnormal=False)
LABELS = np.array([0, 0, 1, 1, 1, 2])
PENALTIES = {
    "l1": p.L1(0.7),
    "l2": p.L2(0.7),
    "elastic net": p.ElasticNet(0.7, l1_ratio=0.3),
    "elastic net, all l1": p.ElasticNet(0.7, l1_ratio=1.0),
    "elastic net, all l2": p.ElasticNet(0.7, l1_ratio=0.0),
    "rows": p.GroupLasso(0.7, "rows"),
    "columns, unweighted": p.GroupLasso(0.7, "columns", weighted=False),
    "labels": p.GroupLasso(0.7, LABELS.reshape(2, 3)),
    "some": p.L1(0.7, where=np.array([[True, False, True], [False, True, True]])),
    "some squares": p.L2(0.7, where=np.array([[True, False, True], [False, True, True]])),
    "some of a net": p.ElasticNet(0.7, where=np.array([[True, False, True], [False, True, True]])),
    "labels of some": p.GroupLasso(0.7, LABELS.reshape(2, 3), where=LABELS.reshape(2, 3) != 2),
}
ALL = pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES.keys())


def random_matrix(seed):
    """Draw numbers of one size or another, some of them 0, now and then a whole row."""
    rng = np.random.default_rng(seed)
    w = 10.0 ** rng.integers(-2, 3) * rng.normal(size=(2, 3))
    w[rng.random((2, 3)) < 0.2] = 0
    w[rng.random(2) < 0.15] = 0
    return w


seeds = st.integers(0, 2**32 - 1)
matrices = st.builds(random_matrix, seeds)


def naive_value(penalty, w):
    """The value with loops, from the formulas."""
    free = np.broadcast_to(penalty.where, w.shape) == False if penalty.where is not None else np.zeros(w.shape, bool)  # noqa: E712
    if isinstance(penalty, p.GroupLasso):
        groups = penalty.groups
        if isinstance(groups, str):
            groups = np.indices(w.shape)[0 if groups == "rows" else 1]
        total = 0.0
        for label in set(groups[~free].tolist()):
            members = [w[i] for i in np.ndindex(w.shape) if groups[i] == label and not free[i]]
            weight = math.sqrt(len(members)) if penalty.weighted else 1.0
            total += weight * math.hypot(*members)
        return penalty.strength * total
    paying = [w[i] for i in np.ndindex(w.shape) if not free[i]]
    r = {p.L1: 1.0, p.L2: 0.0}.get(type(penalty), getattr(penalty, "l1_ratio", None))
    return penalty.strength * sum(r * abs(x) + (1 - r) / 2 * x * x for x in paying)


# Values and gradients


@ALL
@quick
@given(w=matrices)
def test_values_are_those_of_the_formulas(penalty, w):
    assert penalty.value(w) == pytest.approx(naive_value(penalty, w), rel=1e-12, abs=1e-12)


@ALL
@quick
@given(seed=seeds)
def test_gradients_are_those_of_central_differences(penalty, seed):
    rng = np.random.default_rng(seed)
    w = rng.uniform(0.01, 10, size=(2, 3)) * rng.choice([-1, 1], size=(2, 3))  # away from the kinks
    slope, h = penalty.gradient(w), 1e-6
    for i in np.ndindex(w.shape):
        ahead, behind = w.copy(), w.copy()
        ahead[i] += h
        behind[i] -= h
        assert slope[i] == pytest.approx((penalty.value(ahead) - penalty.value(behind)) / (2 * h), rel=1e-4, abs=1e-4)


@ALL
@quick
@given(w=matrices, u=matrices)
def test_the_gradient_supports_the_penalty_from_below_at_kinks_too(penalty, w, u):
    # P(u) >= P(w) + <g, u - w>: what makes g a subgradient.
    gap = penalty.value(u) - penalty.value(w) - np.sum(penalty.gradient(w) * (u - w))
    assert gap >= -1e-9 * (1 + penalty.value(u) + penalty.value(w))


def test_the_subgradient_at_zero_is_zero():
    for penalty in PENALTIES.values():
        assert np.array_equal(penalty.gradient(np.zeros((2, 3))), np.zeros((2, 3)))


def test_two_values_by_hand():
    w = np.array([3.0, -4.0, 0.0])
    assert p.L1(2.0).value(w) == 14
    assert p.L2(2.0).value(w) == 25
    assert p.ElasticNet(2.0, 0.25).value(w) == 0.25 * 14 + 0.75 * 25
    assert p.GroupLasso(2.0, [0, 0, 1]).value(w) == pytest.approx(2 * math.sqrt(2) * 5)
    assert p.GroupLasso(2.0, [0, 0, 1], weighted=False).value(w) == 10


# Proximal steps


def prox_objective(penalty, x, t):
    return lambda u: 0.5 * np.sum((u.reshape(x.shape) - x) ** 2) + t * penalty.value(u.reshape(x.shape))


@ALL
@quick
@given(x=matrices, t=steps, seed=st.integers(0, 2**32 - 1))
def test_no_point_near_or_far_beats_the_proximal_one(penalty, x, t, seed):
    objective = prox_objective(penalty, x, t)
    u = penalty.proximal(x, t)
    rng = np.random.default_rng(seed)
    least = objective(u)
    for scale in (1e-4, 1e-2, 1.0, 30.0):
        other = u + scale * rng.normal(size=u.shape) * rng.integers(0, 2, size=u.shape)
        # Strongly convex with modulus 1: the excess is at least half the squared distance.
        excess = objective(other) - least - 0.5 * np.sum((other - u) ** 2)
        assert excess >= -1e-9 * (1 + abs(least))


@ALL
@quick
@given(x=matrices, y=matrices, t=steps)
def test_proximal_steps_are_firmly_non_expansive(penalty, x, y, t):
    a, b = penalty.proximal(x, t), penalty.proximal(y, t)
    assert np.sum((a - b) ** 2) <= np.sum((a - b) * (x - y)) + 1e-9 * (1 + np.sum((x - y) ** 2))


@quick
@given(x=vectors, t=steps)
def test_moreau_l1_and_the_box(x, t):
    # x = prox of the penalty + projection on the dual norm's ball: for L1, a box.
    assert np.allclose(p.L1(1.0).proximal(x, t) + np.clip(x, -t, t), x, rtol=1e-14, atol=1e-14)


@quick
@given(x=vectors, t=st.floats(0.01, 10))
def test_moreau_norms_and_balls(x, t):
    # The dual of the Euclidean norm is itself.
    assert np.allclose(p.group_soft_threshold(x, t) + p.project_l2_ball(x, t), x, atol=1e-10)
    # The largest number's dual norm is the sum: x less its projection on the l1 ball is the prox of t * max|.|.
    u = x - p.project_l1_ball(x, t)
    other = np.sign(x) * np.minimum(np.abs(x), np.max(np.abs(u)))  # capping at the level is what it does
    assert np.allclose(u, other, atol=1e-9)


@quick
@given(x=vectors, t=steps)
def test_the_textbook_form_of_the_soft_threshold(x, t):
    wanted = np.sign(x) * np.maximum(np.abs(x) - t, 0)
    result = p.soft_threshold(x, t)
    assert np.allclose(result, wanted, rtol=1e-14, atol=1e-14)
    assert not np.signbit(result[result == 0]).any()


def test_thresholds_broadcast_and_zero_means_unchanged():
    x = np.array([[1.0, -2.0], [3.0, 4.0]])
    assert p.soft_threshold(x, [1.0, 3.0]).tolist() == [[0.0, 0.0], [2.0, 1.0]]
    assert p.shrink(x, [[1.0], [3.0]]).tolist() == [[0.5, -1.0], [0.75, 1.0]]
    for penalty in PENALTIES.values():
        w = np.arange(6.0).reshape(2, 3)
        assert np.array_equal(penalty.proximal(w, 0.0), w)


@quick
@given(w=matrices, t=st.floats(0, 100))
def test_group_lasso_makes_whole_groups_zero_and_turns_none(w, t):
    u = p.GroupLasso(1.0, "rows").proximal(w, t)
    for before, after in zip(w, u, strict=True):
        norm = np.linalg.norm(before)
        if norm <= t * math.sqrt(3):
            assert not after.any()
        else:
            assert np.allclose(after * norm, before * (norm - t * math.sqrt(3)), rtol=1e-9, atol=1e-9)
            assert np.linalg.norm(after) > 0


def test_groups_of_one_are_the_lasso_and_one_group_is_its_norm():
    w = np.array([2.0, -0.5, 0.1])
    assert np.allclose(p.GroupLasso(1.0, [5, 9, 7]).proximal(w, 0.3), p.L1(1.0).proximal(w, 0.3))
    assert p.GroupLasso(1.0, [4, 4, 4], weighted=False).value(w) == pytest.approx(np.linalg.norm(w))


def test_thresholds_per_group_follow_the_sorted_labels():
    result = p.group_soft_threshold([3.0, 10.0, 4.0], [1.0, 5.0], groups=[7, 2, 7])
    assert np.allclose(result, [0.0, 9.0, 0.0])
    assert np.allclose(p.group_soft_threshold([3.0, 10.0, 4.0], 5.0, groups=[7, -1, 7]), [0.0, 10.0, 0.0])


def test_norms_of_groups_neither_overflow_nor_vanish():
    for size in (1e200, 1e-200):
        w = np.array([3 * size, 4 * size])
        assert p.GroupLasso(1.0, "columns", weighted=False).value(w) == pytest.approx(7 * size)
        assert p.group_soft_threshold(w, size) == pytest.approx(0.8 * w)


# Projections


@quick
@given(x=vectors, radius=st.floats(0.01, 50), seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("name", ["l1", "l2"])
def test_projections_are_inside_and_nearest(name, x, radius, seed):
    project, order = (p.project_l1_ball, 1) if name == "l1" else (p.project_l2_ball, 2)
    u = project(x, radius)
    assert np.linalg.norm(u, order) <= radius * (1 + 1e-9)
    if np.linalg.norm(x, order) <= radius:
        assert np.array_equal(u, x)
    else:
        assert np.linalg.norm(u, order) == pytest.approx(radius, rel=1e-9)
    other = np.random.default_rng(seed).normal(size=x.shape)
    other *= radius / np.linalg.norm(other, order)
    # The angle between the way back to x and the way to any point inside is not acute.
    assert np.sum((x - u) * (other - u)) <= 1e-8 * (1 + np.sum(np.abs(x)) ** 2)


def test_a_projection_on_the_l1_ball_by_hand():
    assert np.allclose(p.project_l1_ball([3.0, -2.0, 0.5], 2.0), [1.5, -0.5, 0.0])


def test_the_ball_and_the_penalty_are_two_forms_of_one_thing():
    x = np.array([3.0, -2.0, 0.5, 1.1])
    u = p.project_l1_ball(x, 2.5)
    threshold = np.max(np.abs(x)) - np.max(np.abs(u))
    assert np.allclose(u, p.soft_threshold(x, threshold))


# Trees, types, and which weights pay


def test_trees_and_kernels():
    params = {"layers": [{"kernel": np.full((2, 2), 2.0), "bias": np.array([5.0, 5.0])}], "scale": 3.0}
    penalty = p.L2(0.5, where=p.kernels)
    assert penalty.value(params) == 0.5 * 4 * 4 / 2
    slope = penalty.gradient(params)
    assert slope["layers"][0]["kernel"].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert not slope["layers"][0]["bias"].any()
    assert slope["scale"] == 0
    moved = p.L1(1.0, where=p.kernels).proximal(params, 0.5)
    assert moved["layers"][0]["kernel"].tolist() == [[1.5, 1.5], [1.5, 1.5]]
    assert moved["layers"][0]["bias"].tolist() == [5.0, 5.0]
    assert moved["scale"] == 3.0


def test_where_by_path_by_tree_and_by_array():
    params = {"a": np.array([1.0, 2.0]), "b": np.array([4.0])}
    assert p.L1(1.0, where=lambda path, leaf: path == "['b']").value(params) == 4
    assert p.L1(1.0, where={"a": np.array([True, False]), "b": True}).value(params) == 5
    assert p.L1(1.0, where=[False, True]).value(params["a"]) == 2
    assert p.L1(1.0, where=lambda path, leaf: leaf > 1.5).value(params) == 6


def test_groups_of_a_tree():
    params = {"a": np.array([3.0, 4.0]), "b": np.array([[6.0, 1.0], [8.0, 0.0]])}
    rows = p.GroupLasso(1.0, "columns", weighted=False, where=p.kernels)
    assert rows.value(params) == 11
    labelled = p.GroupLasso(1.0, {"a": np.zeros(2, int), "b": np.array([[0, -1], [0, -1]])}, weighted=False)
    assert labelled.value(params) == 15
    assert labelled.proximal(params, 100.0)["b"].tolist() == [[0.0, 1.0], [0.0, 0.0]]


@ALL
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_are_new_arrays_of_the_same_type(penalty, dtype):
    w = np.arange(6, dtype=dtype).reshape(2, 3)
    before = copy.deepcopy(w)
    for result in (penalty.gradient(w), penalty.proximal(w, 0.1)):
        assert result.dtype == dtype
        assert result.shape == w.shape
        assert not np.shares_memory(result, w)
    assert np.array_equal(w, before)


@quick
@given(arrays(np.float64, array_shapes(min_dims=0, max_dims=3, max_side=3), elements=numbers))
def test_any_shape_will_do(w):
    for penalty in (p.L1(1.0), p.L2(1.0), p.GroupLasso(1.0, "rows"), p.GroupLasso(1.0, "columns")):
        assert penalty.gradient(w).shape == penalty.proximal(w, 1.0).shape == w.shape
        assert penalty.value(w) >= 0


def test_empty_trees_cost_nothing():
    for penalty in (p.L1(1.0), p.L2(1.0), p.ElasticNet(1.0), p.GroupLasso(1.0, "rows")):
        assert penalty.value({}) == 0
        assert penalty.value([np.zeros((0, 3))]) == 0
        assert penalty.proximal(np.zeros((0, 3)), 1.0).shape == (0, 3)


def test_a_nan_stays_visible():
    w = np.array([[np.nan, 2.0, 3.0], [1.0, 2.0, 3.0]])
    for name, penalty in PENALTIES.items():
        assert np.isnan(penalty.proximal(w, 0.1)[0, 0]), name
    assert np.isnan(p.L1(1.0).value(w))


# Schedules


def test_strengths_may_be_schedules():
    schedule = optimization.linear(1.0, 0.0, 10)
    penalty = p.L1(schedule)
    assert [penalty.at(step).strength for step in (0, 5, 20)] == [1.0, 0.5, 0.0]
    assert penalty.at(5).value(np.array([2.0])) == 1.0
    assert p.L1(lambda step: 2 * step).at(3).strength == 6
    kept = p.GroupLasso(schedule, "rows", weighted=False, where=p.kernels).at(5)
    assert (kept.strength, kept.groups, kept.weighted, kept.where) == (0.5, "rows", False, p.kernels)
    constant = p.L2(1.0)
    assert constant.at(7) is constant


def test_a_schedule_without_a_step_is_refused():
    for use in (lambda q: q.value(np.ones(2)), lambda q: q.gradient(np.ones(2)), lambda q: q.proximal(np.ones(2), 1.0)):
        with pytest.raises(TypeError, match=r"strength is the schedule .*penalty.at\(step\)"):
            use(p.L1(optimization.constant(1.0)))
    with pytest.raises(ValueError, match="the strength at step 3 is -1"):
        p.L1(lambda step: -1).at(3)
    with pytest.raises(ValueError, match="step is -1"):
        p.L1(1.0).at(-1)


# What is refused


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: p.L1(-1.0), ValueError, "strength is -1.0; it must be a finite number of at least 0"),
        (lambda: p.L2(math.inf), ValueError, "strength is inf"),
        (lambda: p.L2("much"), TypeError, "strength is 'much'"),
        (lambda: p.ElasticNet(1.0, 1.5), ValueError, "l1_ratio is 1.5; it must be at least 0 and at most 1"),
        (lambda: p.GroupLasso(1.0, "layers"), ValueError, "groups is 'layers'; allowed are 'rows', 'columns'"),
        (lambda: p.GroupLasso(1.0, "rows", weighted=1), TypeError, "weighted is 1"),
        (lambda: p.GroupLasso(1.0, [0.5, 1.0]).value(np.ones(2)), TypeError, "groups is .*whole numbers"),
        (lambda: p.GroupLasso(1.0, [0, 1, 1]).value(np.ones(2)), ValueError, r"groups has shape \(3,\)"),
        (lambda: p.L1(1.0).value(np.array([1, 2])), TypeError, "params has dtype int64"),
        (lambda: p.L1(1.0, where=[True]).value(np.ones(2)), ValueError, r"where has shape \(1,\)"),
        (lambda: p.L1(1.0, where=lambda *_: 1).value(np.ones(2)), TypeError, "where gives 1"),
        (lambda: p.L1(1.0, where={"a": True}).value({"b": np.ones(2)}), ValueError, "the trees differ at the root"),
        (lambda: p.L1(1.0).proximal(np.ones(2), -0.1), ValueError, "step_size is -0.1"),
        (lambda: p.soft_threshold([1.0], -1.0), ValueError, "threshold is -1.0"),
        (lambda: p.soft_threshold([1.0], [0.1, 0.2]), ValueError, r"threshold has shape \(2,\)"),
        (lambda: p.soft_threshold([1.0, 2.0], [0.1, -0.2]), ValueError, "threshold has -0.2|threshold has np.float64"),
        (lambda: p.soft_threshold(["a"], 1.0), TypeError, "x has dtype"),
        (lambda: p.shrink([1.0], np.nan), ValueError, "factor has 1 value"),
        (lambda: p.group_soft_threshold([1.0, 2.0], [1.0, 1.0]), ValueError, r"threshold has shape \(2,\)"),
        (lambda: p.project_l1_ball([1.0], 0.0), ValueError, "radius is 0.0"),
        (lambda: p.project_l2_ball([np.inf], 1.0), ValueError, "x has 1 value"),
    ],
)
def test_what_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_penalties_can_be_compared_and_read():
    assert p.L1(0.5) == p.L1(0.5)
    assert p.L1(0.5) != p.L2(0.5)
    assert repr(p.ElasticNet(0.5, 0.25)) == "ElasticNet(strength=0.5, where=None, l1_ratio=0.25)"


def test_leaves_are_visited_in_one_order():
    tree = {"b": np.ones(1), "a": [np.ones(2), np.ones(3)]}
    assert [path for path, _ in leaves(tree)] == ["['b']", "['a'][0]", "['a'][1]"]
    picked = p.L1(1.0, where=lambda path, leaf: path == "['a'][1]").gradient(tree)
    assert [leaf.sum() for _, leaf in leaves(picked)] == [0, 0, 3]
