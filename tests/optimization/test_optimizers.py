"""The optimizers against their formulas, their promises about memory and types, and their invariants."""

import copy
import dataclasses
import inspect
import math
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from course_lib._tree import leaves, tree_map
from course_lib.optimization import optimizers as o
from tests.optimization import problems
from tests.optimization.formulas import FORMULAS, WD, through_singular_values

quick = settings(deadline=None, max_examples=30)
Layer = namedtuple("Layer", ["kernel", "bias"])

# One of every kind and option, for what must hold whatever the rule.
EVERY = {
    "sgd": o.sgd(0.1),
    "sgd decay": o.sgd(0.1, weight_decay=0.1),
    "momentum": o.sgd(0.1, 0.9, weight_decay=0.1),
    "momentum torch": o.sgd(0.1, 0.9, convention="torch"),
    "nesterov": o.sgd(0.1, 0.9, True),
    "nesterov torch": o.sgd(0.1, 0.9, True, convention="torch"),
    "adagrad": o.adagrad(0.1),
    "adagrad keras": o.adagrad(0.1, convention="keras"),
    "rmsprop": o.rmsprop(0.1, momentum=0.9, centered=True),
    "rmsprop torch": o.rmsprop(0.1, momentum=0.9, convention="torch"),
    "rmsprop keras": o.rmsprop(0.1, convention="keras"),
    "adadelta": o.adadelta(),
    "adam": o.adam(0.1, weight_decay=0.1),
    "adamw": o.adamw(0.1),
    "adamw keras": o.adamw(0.1, convention="keras"),
    "nadam": o.nadam(0.1),
    "amsgrad": o.amsgrad(0.1),
    "lion": o.lion(0.1, weight_decay=0.1),
    "muon": o.muon(0.1, weight_decay=0.1),
    "muon optax": o.muon(0.1, convention="optax"),
}
every = pytest.mark.parametrize("optimizer", EVERY.values(), ids=EVERY)


def arrays_of(tree):
    return [np.asarray(leaf) for _, leaf in leaves(tree)]


def same(one, other):
    """Compare two trees bit by bit: structure, shapes, dtypes and numbers."""
    pairs = list(zip(leaves(one), leaves(other), strict=True))
    return all(
        a_path == b_path and np.asarray(a).dtype == np.asarray(b).dtype and np.array_equal(a, b)
        for (a_path, a), (b_path, b) in pairs
    )


def random_like(tree, seed):
    random = np.random.default_rng(seed)
    return tree_map(lambda leaf: np.asarray(random.normal(size=leaf.shape)).astype(leaf.dtype), tree)


def a_tree():
    """Give every kind of branch, and matrices, vectors and scalars in both precisions."""
    single = np.float32
    shapes = {
        "layers": [Layer(np.zeros((4, 3)), np.zeros(3)), Layer(np.zeros((3, 6), single), np.zeros(6, single))],
        "rest": (np.zeros(()), {"deep": np.zeros((), single), "cube": np.zeros((2, 3, 2)), "none": np.zeros((2, 0))}),
    }
    return random_like(shapes, 0)


trees = st.recursive(
    st.tuples(array_shapes(min_dims=0, max_dims=3, max_side=4), st.sampled_from([np.float32, np.float64])).map(
        lambda pair: np.zeros(*pair)
    ),
    lambda branch: (
        st.lists(branch, max_size=3)
        | st.dictionaries(st.text(max_size=2), branch, max_size=3)
        | st.tuples(branch, branch)
        | st.builds(Layer, branch, branch)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("seed", problems.SEEDS)
@pytest.mark.parametrize("case", FORMULAS)
def test_fifty_steps_follow_the_formula(case, seed):
    make, formula = FORMULAS[case]
    params, noise = problems.problem(seed)
    memories, histories = [{} for _ in params], [[] for _ in params]
    rows = []
    for step in range(problems.STEPS):
        for history, g in zip(histories, problems.gradients(noise[step], params), strict=True):
            history.append(g)
        params = [
            formula(w, history, problems.rate(step), memory)
            for w, history, memory in zip(params, histories, memories, strict=True)
        ]
        rows.append(problems.flat(params))
    assert problems.difference(problems.trajectory(make(problems.rate), seed), np.array(rows)) < 1e-12


DEFAULTS = {
    "sgd": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
    "adagrad": {"learning_rate": 0.01, "eps": None, "initial_accumulator": None},
    "rmsprop": {"learning_rate": 0.001, "rho": 0.9, "eps": 1e-8, "momentum": 0.0, "centered": False},
    "adadelta": {"learning_rate": 1.0, "rho": 0.95, "eps": 1e-6},
    "adam": {
        "learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "bias_correction": True, "weight_decay": 0.0,
    },
    "adamw": {
        "learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01,
        "bias_correction": True,
    },
    "nadam": {"learning_rate": 0.002, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "momentum_decay": None},
    "amsgrad": {"learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "lion": {"learning_rate": 1e-4, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0},
    "muon": {
        "learning_rate": 0.02, "momentum": 0.95, "nesterov": True, "weight_decay": 0.0, "ns_steps": 5,
        "adam_learning_rate_ratio": 0.015, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_the_published_ones(name):
    parameters = inspect.signature(getattr(o, name)).parameters
    found = {key: parameter.default for key, parameter in parameters.items()}
    assert found.pop("convention", "paper") == "paper"
    assert found == DEFAULTS[name]


def test_adagrad_starts_as_each_library_does():
    g = np.array([0.3])
    for convention, expected in (
        ("paper", 0.3 / (0.3 + 1e-10)),
        ("torch", 0.3 / (0.3 + 1e-10)),
        ("keras", 0.3 / math.sqrt(0.1 + 0.09 + 1e-7)),
        ("optax", 0.3 / math.sqrt(0.1 + 0.09 + 1e-7)),
    ):
        optimizer = o.adagrad(1.0, convention=convention)
        update, _ = optimizer.update(g, optimizer.init(g))
        assert update[0] == pytest.approx(-expected, rel=1e-14)


# Memory and types


@every
@quick
@given(tree=trees, seed=st.integers(0, 1000))
def test_update_changes_nothing_and_in_place_gives_the_same_numbers(optimizer, tree, seed):
    params = random_like(tree, seed)
    in_place = copy.deepcopy(params)
    state, state_in_place = optimizer.init(params), optimizer.init(in_place)
    for step in range(3):
        grads = random_like(params, seed + step + 1)
        before = copy.deepcopy((params, grads, state))
        updates, new = optimizer.update(grads, state, params)
        assert same((params, grads), before[:2])
        assert same(state.slots, before[2].slots)
        assert (state.step, state.scalars) == (before[2].step, before[2].scalars)
        params, state = o.apply_updates(params, updates), new
        state_in_place = optimizer.update_in_place(in_place, grads, state_in_place)
        assert same(grads, before[1])
        assert same(params, in_place)
        assert same(state.slots, state_in_place.slots)
        assert state.step == state_in_place.step == step + 1
        assert state.scalars == state_in_place.scalars


@every
def test_the_result_has_the_structure_and_dtypes_of_the_parameters(optimizer):
    params = a_tree()
    updates, state = optimizer.update(
        random_like(params, 1), optimizer.init(params), params, learning_rate=np.float64(0.1)
    )
    for tree in (updates, o.apply_updates(params, updates), *state.slots.values()):
        assert [type(branch) for branch in tree["layers"]] == [Layer, Layer]
        assert isinstance(tree["rest"], tuple)
        for (path, leaf), (wanted, like) in zip(leaves(tree), leaves(params), strict=True):
            assert isinstance(leaf, np.ndarray)
            assert (path, leaf.dtype, leaf.shape) == (wanted, like.dtype, like.shape)


@every
def test_a_schedule_of_float64_does_not_widen_float32(optimizer):
    scheduled = copy.copy(optimizer)
    object.__setattr__(scheduled, "learning_rate", lambda step: np.float64(0.1) / (1 + step))
    params = np.ones((3, 2), np.float32)
    updates, state = scheduled.update(params, scheduled.init(params), params)
    assert updates.dtype == np.float32
    assert all(slot.dtype == np.float32 for slot in state.slots.values())


@every
def test_large_and_scattered_arrays_step_as_small_ones(optimizer, monkeypatch):
    """Blocks, a view with gaps, Fortran order and a reversed view give what one contiguous array gives."""
    random = np.random.default_rng(0)
    rows, columns = 300, 120  # 36,000 numbers: more than one block
    start, gradient = random.normal(size=(2, rows, columns))
    assert start.size > o.BLOCK

    def two_steps(arrange):
        params = arrange(start)
        state = optimizer.init(params)
        for _ in range(2):
            state = optimizer.update_in_place(params, arrange(gradient), state)
        updates, _ = optimizer.update(arrange(gradient), state, params)
        return np.array(params), np.array(updates)

    def gaps(a):
        wide = np.zeros((rows, 2 * columns))
        wide[:, ::2] = a
        return wide[:, ::2]

    blocked = two_steps(np.copy)
    monkeypatch.setattr(o, "BLOCK", 10**9)
    whole = two_steps(np.copy)
    assert np.array_equal(blocked, whole)
    monkeypatch.setattr(o, "BLOCK", 16_384)
    for arrange in (gaps, np.asfortranarray, lambda a: a[::-1].copy()[::-1]):
        assert np.allclose(two_steps(arrange), whole, rtol=1e-13, atol=1e-13)


@every
def test_leaves_do_not_feel_each_other(optimizer):
    params, grads = a_tree(), random_like(a_tree(), 5)
    together, _ = optimizer.update(grads, optimizer.init(params), params)
    for w, g, u in zip(arrays_of(params), arrays_of(grads), arrays_of(together), strict=True):
        alone, _ = optimizer.update(g, optimizer.init(w), w)
        assert np.array_equal(alone, u)


@every
def test_dicts_are_matched_by_key_not_by_order(optimizer):
    params = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])}
    grads = {"a": np.array([0.1, -0.2]), "b": np.array([30.0, 40.0])}
    turned = {"b": grads["b"], "a": grads["a"]}
    wanted, wanted_state = optimizer.update(grads, optimizer.init(params), params)
    found, _ = optimizer.update(turned, optimizer.init(params), {"b": params["b"], "a": params["a"]})
    for key in params:
        assert np.array_equal(found[key], wanted[key])
    in_place = {"b": params["b"].copy(), "a": params["a"].copy()}
    new = optimizer.update_in_place(in_place, grads, optimizer.init(params))
    for key in params:
        assert np.array_equal(in_place[key], params[key] + wanted[key])
        for name, slot in new.slots.items():
            assert np.array_equal(slot[key], wanted_state.slots[name][key])


def test_plain_numbers_are_parameters_too():
    optimizer = o.adam(0.1)
    updates, _ = optimizer.update({"w": 2}, optimizer.init({"w": 1.0}))
    assert updates["w"] == pytest.approx(-0.1)
    assert o.apply_updates({"w": 1.0}, updates)["w"] == pytest.approx(0.9)


def test_the_rate_of_a_step():
    optimizer = o.sgd(lambda step: 1 / (1 + step))
    assert [optimizer.rate(step) for step in range(3)] == [1, 1 / 2, 1 / 3]
    state = optimizer.init(np.zeros(1))
    first, state = optimizer.update(np.ones(1), state)
    second, state = optimizer.update(np.ones(1), state)
    assert (first[0], second[0]) == (-1, -0.5)
    given_rate, _ = optimizer.update(np.ones(1), state, learning_rate=7)
    assert given_rate[0] == -7


@every
def test_gradients_are_prepared_before_they_are_used(optimizer):
    prepared = dataclasses.replace(optimizer, prepare=lambda grads: [2 * grads[0] + 1])
    params, g = [np.ones((2, 3))], np.arange(6.0).reshape(2, 3) - 2
    wanted, _ = optimizer.update([2 * g + 1], optimizer.init(params), params)
    found, _ = prepared.update([g], prepared.init(params), params)
    assert np.array_equal(found[0], wanted[0])


# Invariants


@every
def test_the_first_step_goes_downhill(optimizer):
    params = np.zeros((4, 3))
    grads = np.random.default_rng(0).normal(size=(4, 3))
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert np.sum(updates * grads) < 0


SCALE_FREE = {
    "adagrad": o.adagrad(0.1, 0.0),
    "rmsprop": o.rmsprop(0.1, eps=0.0, momentum=0.9),
    "adam": o.adam(0.1, eps=0.0),
    "adam uncorrected": o.adam(0.1, eps=0.0, bias_correction=False),
    "adamw": o.adamw(0.1, eps=0.0),
    "amsgrad": o.amsgrad(0.1, eps=0.0),
    "nadam": o.nadam(0.1, eps=0.0),
    "lion": o.lion(0.1),
}


@pytest.mark.parametrize("optimizer", SCALE_FREE.values(), ids=SCALE_FREE)
@quick
@given(exponent=st.integers(-40, 40), seed=st.integers(0, 1000))
def test_the_scale_of_all_gradients_does_not_matter(optimizer, exponent, seed):
    """A power of 2 is exact, so the updates must be equal to the bit."""
    params = np.ones(7)
    grads = np.random.default_rng(seed).normal(size=(5, 7))
    one, other = optimizer.init(params), optimizer.init(params)
    for g in grads:
        wanted, one = optimizer.update(g, one, params)
        found, other = optimizer.update(g * 2.0**exponent, other, params)
        assert np.array_equal(found, wanted)


def test_the_scale_matters_with_epsilon_or_without_a_divisor():
    g = np.array([1e-9])
    for optimizer in (o.adam(0.1), o.sgd(0.1)):
        step = abs(optimizer.update(g, optimizer.init(g), g)[0][0])
        assert step < 0.01


@quick
@given(
    st.lists(st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3), min_size=1, max_size=6),
    st.floats(0, 0.99),
    st.floats(0, 0.999),
)
def test_the_first_step_of_adam(gradient, beta1, beta2):
    g = np.array(gradient)
    for bias_correction, size in ((True, 1.0), (False, (1 - beta1) / math.sqrt(1 - beta2))):
        optimizer = o.adam(0.1, beta1, beta2, eps=0.0, bias_correction=bias_correction)
        updates, _ = optimizer.update(g, optimizer.init(g))
        assert updates == pytest.approx(-0.1 * size * np.sign(g), rel=1e-12)


def test_a_constant_gradient_keeps_adams_step_constant():
    """The corrections take out the start at 0 exactly, at every step."""
    optimizer, g = o.adam(0.1, eps=0.0), np.array([3.0, -0.2])
    state = optimizer.init(g)
    for _ in range(30):
        updates, state = optimizer.update(g, state)
        assert updates == pytest.approx(-0.1 * np.sign(g), rel=1e-12)


def test_the_means_of_the_nadam_paper_are_unbiased():
    """With a constant gradient m is (1 - P) g; with the libraries' average it is not."""
    g, ratios = np.array([2.0]), {}
    for convention in ("paper", "torch"):
        optimizer = o.nadam(0.1, convention=convention)
        state = optimizer.init(g)
        for _ in range(5):
            _, state = optimizer.update(g, state)
        ratios[convention] = state.slots["m"][0] / g[0] / (1 - state.scalars["mu_product"])
    assert ratios["paper"] == pytest.approx(1, rel=1e-12)
    assert ratios["torch"] < 0.5


@quick
@given(st.integers(0, 1000), st.sampled_from(["paper", "torch", "keras", "optax"]))
def test_the_divisor_of_amsgrad_never_shrinks(seed, convention):
    optimizer, params = o.amsgrad(0.1, convention=convention), np.zeros(5)
    state = optimizer.init(params)
    for g in np.random.default_rng(seed).normal(size=(20, 5)) ** 3:
        _, new = optimizer.update(g, state)
        assert (new.slots["top"] >= state.slots["top"]).all()
        assert (new.slots["top"] >= new.slots["v"]).all()
        state = new


def test_the_accumulator_of_adagrad_never_shrinks_and_that_of_rmsprop_forgets():
    grads = [np.array([10.0])] + [np.array([0.0])] * 50
    accumulators = {}
    for optimizer in (o.adagrad(), o.rmsprop()):
        state = optimizer.init(grads[0])
        for g in grads:
            _, state = optimizer.update(g, state)
        accumulators[optimizer.name] = state.slots["s"][0]
    assert accumulators["adagrad"] == 100
    assert accumulators["rmsprop"] == pytest.approx(10 * 0.9**50)


def test_centred_rmsprop_stands_a_constant_gradient():
    """Its variance goes to 0, and rounding must not take it below."""
    for convention in ("paper", "keras"):
        optimizer = o.rmsprop(0.1, centered=True, convention=convention)
        for g in (np.array([0.1, 3.0, 1e7]), np.array([0.1, 3.0, 1e5], np.float32)):
            state = optimizer.init(g)
            for _ in range(600):
                updates, state = optimizer.update(g, state)
                assert np.isfinite(updates).all()


@quick
@given(st.integers(0, 1000))
def test_weight_decay_stands_beside_the_step_of_adamw_and_goes_through_that_of_adam(seed):
    random = np.random.default_rng(seed)
    params, g = random.normal(size=(2, 6))

    def update(optimizer):
        return optimizer.update(g, optimizer.init(params), params)[0]

    plain = update(o.adam(0.1))
    assert np.allclose(update(o.adamw(0.1, weight_decay=WD)) - plain, -0.1 * WD * params, rtol=1e-12, atol=1e-16)
    assert np.allclose(update(o.lion(0.1, weight_decay=WD)) - update(o.lion(0.1)), -0.1 * WD * params, atol=1e-16)
    optimizer = o.adam(0.1)
    through, _ = optimizer.update(g + WD * params, optimizer.init(params))
    assert np.array_equal(update(o.adam(0.1, weight_decay=WD)), through)


def test_without_a_gradient_l2_through_adam_moves_by_the_whole_rate():
    """The failure that AdamW repairs: the penalty is scaled like a gradient, so its size does not matter."""
    w, zero = np.array([5.0, -0.001]), np.zeros(2)
    for decay in (1e-1, 1e-4):
        l2, beside = o.adam(0.1, eps=0.0, weight_decay=decay), o.adamw(0.1, weight_decay=decay)
        assert l2.update(zero, l2.init(w), w)[0] == pytest.approx(-0.1 * np.sign(w))
        assert beside.update(zero, beside.init(w), w)[0] == pytest.approx(-0.1 * decay * w)


def test_the_two_forms_of_momentum_part_where_the_rate_changes():
    g = np.array([1.0])
    positions = {}
    for convention in ("paper", "keras", "torch", "optax"):
        optimizer = o.sgd(lambda step: 1.0 if step < 2 else 0.1, 0.5, convention=convention)
        w, state = np.zeros(1), None
        state = optimizer.init(w)
        path = []
        for _ in range(3):
            state = optimizer.update_in_place(w, g, state)
            path.append(w[0])
        positions[convention] = path
    # velocities with the rate: 1, 1.5, 0.75 + 0.1; without: 1, 1.5, 1.75 times 0.1
    assert positions["paper"] == positions["keras"] == pytest.approx([-1, -2.5, -3.35])
    assert positions["torch"] == positions["optax"] == pytest.approx([-1, -2.5, -2.675])


def test_adadelta_has_units_of_the_parameter():
    """Scaling the gradients by c leaves its step as it was, once epsilon is small beside the mean squares."""
    grads = np.random.default_rng(0).normal(size=(10, 4))
    steps = []
    for scale in (1.0, 1e6):
        optimizer = o.adadelta(eps=1e-6)
        state = optimizer.init(np.zeros(4))
        for g in grads:
            update, state = optimizer.update(scale * g, state)
        steps.append(update)
    assert np.allclose(*steps, rtol=1e-3)


# Muon


@quick
@given(
    st.integers(1, 8),
    st.integers(1, 8),
    st.lists(st.floats(0.05, 1.0), min_size=8, max_size=8),
    st.integers(0, 1000),
    st.floats(-8, 8),
)
def test_singular_values_after_orthogonalize(rows, columns, values, seed, exponent):
    random = np.random.default_rng(seed)
    k = min(rows, columns)
    u, _ = np.linalg.qr(random.normal(size=(rows, k)))
    v, _ = np.linalg.qr(random.normal(size=(columns, k)))
    values = np.array(values[:k])
    # 10**-3 is the smallest norm at which the 1e-7 in the divisor is of no weight.
    matrix = 10 ** max(exponent, -3.0) * (u * values) @ v.T
    result = o.orthogonalize(matrix)
    assert result.shape == matrix.shape
    found = np.linalg.svd(result, compute_uv=False)
    assert found.min() > 0.68
    assert found.max() < 1.21
    assert np.allclose(result, through_singular_values(matrix), atol=1e-10)
    assert np.allclose(o.orthogonalize(matrix.T), result.T, atol=1e-10)


def test_orthogonalize_at_its_edges():
    assert np.array_equal(o.orthogonalize(np.zeros((3, 2))), np.zeros((3, 2)))
    assert o.orthogonalize(np.ones((3, 2), np.float32)).dtype == np.float32
    # The classic cubic coefficients do converge to singular values of 1.
    matrix = np.random.default_rng(0).normal(size=(5, 3))
    exact = o.orthogonalize(matrix, steps=30, coefficients=(1.5, -0.5, 0.0))
    assert np.allclose(exact.T @ exact, np.eye(3), atol=1e-12)
    assert np.allclose(o.orthogonalize(np.eye(2), 1, eps=1.0), through_singular_values(np.eye(2), 1.0, 1))


def test_muon_turns_with_the_coordinates():
    """Rotating the rows and columns of the gradients rotates the updates; Adam's do not."""
    random = np.random.default_rng(0)
    left, _ = np.linalg.qr(random.normal(size=(4, 4)))
    right, _ = np.linalg.qr(random.normal(size=(3, 3)))
    grads = random.normal(size=(3, 4, 3))
    for optimizer, turns in ((o.muon(0.1), True), (o.adam(0.1), False)):
        one, other = optimizer.init(grads[0]), optimizer.init(grads[0])
        for g in grads:
            update, one = optimizer.update(g, one)
            turned, other = optimizer.update(left @ g @ right, other)
        assert np.allclose(turned, left @ update @ right, atol=1e-12) is turns


@pytest.mark.parametrize(
    ("optimizer", "start"),
    [
        (o.sgd(0.05), 3.0), (o.sgd(0.02, 0.9), 3.0), (o.sgd(0.02, 0.9, True), 3.0), (o.adagrad(1.0), 3.0),
        (o.rmsprop(0.01), 1.0), (o.adadelta(eps=1e-4), 1.0), (o.adam(0.05), 3.0), (o.adamw(0.05), 3.0),
        (o.nadam(0.05), 3.0), (o.amsgrad(0.05), 1.0), (o.lion(0.01), 1.0), (o.muon(0.02), 1.0),
    ],
    ids=lambda value: getattr(value, "name", None),
)  # fmt: skip
def test_a_quadratic_is_minimized(optimizer, start):
    scale = np.array([[1.0, 3.0], [10.0, 2.0]])
    w = np.full((2, 2), start)
    state = optimizer.init(w)
    first = np.sum(scale * w**2)
    for _ in range(400):
        state = optimizer.update_in_place(w, 2 * scale * w, state)
    assert np.sum(scale * w**2) < 1e-2 * first


# Wrong input

ONE = np.ones(2)


def step(optimizer, grads, params=ONE, like=ONE, **more):
    return optimizer.update(grads, optimizer.init(like), params, **more)


BAD_NUMBERS = {
    "learning_rate": ("non-negative", o.__all__),
    "eps": ("non-negative", ["adagrad", "rmsprop", "adam", "adamw", "nadam", "amsgrad", "muon", "adadelta"]),
    "weight_decay": ("non-negative", ["sgd", "adam", "adamw", "lion", "muon"]),
    "momentum": ("fraction", ["sgd", "rmsprop", "muon"]),
    "rho": ("fraction", ["rmsprop", "adadelta"]),
    "beta1": ("fraction", ["adam", "adamw", "nadam", "amsgrad", "lion", "muon"]),
    "beta2": ("fraction", ["adam", "adamw", "nadam", "amsgrad", "lion", "muon"]),
    "momentum_decay": ("non-negative", ["nadam"]),
    "initial_accumulator": ("non-negative", ["adagrad"]),
    "adam_learning_rate_ratio": ("non-negative", ["muon"]),
    "ns_steps": ("count", ["muon"]),
    "nesterov": ("flag", ["sgd", "muon"]),
    "centered": ("flag", ["rmsprop"]),
    "bias_correction": ("flag", ["adam", "adamw"]),
    "convention": ("choice", ["sgd", "adagrad", "rmsprop", "adam", "adamw", "nadam", "amsgrad", "muon"]),
}
WRONG = {
    "non-negative": ([-0.1, math.nan, math.inf], ["x", [0.1], True], "finite"),
    "fraction": ([-0.1, 1.0, 1.5, math.nan], ["x", [0.1], None], "below 1"),
    "count": ([0, -1], [1.5, "x", None], "whole number of at least 1"),
    "flag": ([], ["yes", 1, None], "True or False"),
    "choice": (["tensorflow", 3, None, ["paper"]], [], "'torch'"),
}
OPTIMIZERS = [name for name in o.__all__ if name in DEFAULTS]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_argument_is_checked(name):
    function = getattr(o, name)
    for argument in inspect.signature(function).parameters:
        kind, names = BAD_NUMBERS[argument]
        assert name in names, (name, argument)
        values, types, allowed = WRONG[kind]
        for wrong, error in [(v, ValueError) for v in values] + [(v, TypeError) for v in types]:
            with pytest.raises(error) as caught:
                function(**{argument: wrong})
            text = str(caught.value)
            assert argument in text
            assert repr(wrong) in text
            assert allowed in text or "above 0" in text


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: o.sgd(nesterov=True), ValueError, ["nesterov is True", "momentum is 0"]),
        (lambda: o.muon(momentum=0.0), ValueError, ["nesterov is True", "momentum is 0"]),
        (lambda: o.nadam(momentum_decay=0.1, convention="optax"), ValueError, ["momentum_decay is 0.1", "None"]),
        (lambda: o.adadelta(eps=0), ValueError, ["eps is 0", "above 0"]),
        (lambda: o.sgd().init({"w": np.array([1, 2])}), TypeError, ["params['w']", "int64", "floating-point"]),
        (lambda: o.sgd().init([ONE, None]), TypeError, ["params[1]", "object"]),
        (lambda: o.sgd().init("w"), TypeError, ["params has dtype <U1"]),
        (lambda: step(o.sgd(), np.ones(3)), ValueError, ["grads has shape (3,)", "shape (2,)"]),
        (lambda: step(o.adam(), np.ones((2, 1))), ValueError, ["grads has shape (2, 1)", "shape (2,)"]),
        (lambda: step(o.adam(), {"w": ONE}), ValueError, ["trees differ at the root", "dict with keys ['w']"]),
        (lambda: step(o.adam(), ONE, np.ones(3)), ValueError, ["parameter has shape (3,)"]),
        (
            lambda: step(o.adam(), {"a": [ONE, np.ones(3)]}, None, {"a": [ONE, ONE]}),
            ValueError,
            ["grads['a'][1] has shape (3,)"],
        ),
        (lambda: step(o.adam(), {"a": ONE, "b": ONE}, None, {"a": ONE}), ValueError, ["keys ['a', 'b']", "keys ['a']"]),
        (lambda: step(o.adam(), [ONE], None, [ONE, ONE]), ValueError, ["a list of 2 against a list of 1"]),
        (lambda: step(o.adam(), [[ONE], ONE], None, [ONE, ONE]), ValueError, ["differ at [0]", "a leaf against"]),
        (lambda: step(o.adam(), [None, ONE], None, [ONE, ONE]), TypeError, ["grads[0]", "object", "real numbers"]),
        (lambda: step(o.adam(), ONE + 1j), TypeError, ["grads has dtype complex128"]),
        (lambda: o.sgd().update("g", o.sgd().init(ONE)), TypeError, ["grads has dtype <U1"]),
        (lambda: step(o.adam(), ONE, learning_rate=-1), ValueError, ["learning_rate is -1", "at least 0"]),
        (lambda: step(o.adam(), ONE, learning_rate="fast"), TypeError, ["learning_rate is 'fast'"]),
        (lambda: step(o.adam(lambda step: -0.5), ONE), ValueError, ["learning_rate is -0.5", "at least 0"]),
        (lambda: step(o.adam(lambda step: math.nan), ONE), ValueError, ["learning_rate is nan"]),
        (lambda: step(o.adam(lambda step: None), ONE), TypeError, ["learning_rate is None"]),
        (lambda: step(o.adamw(), ONE, None), ValueError, ["params is None", "adamw", "update(grads, state, params)"]),
        (lambda: step(o.lion(weight_decay=0.1), ONE, None), ValueError, ["params is None", "lion"]),
        (lambda: o.adam().update(ONE, o.sgd(0.1, 0.9).init(ONE)), ValueError, ["'velocity'", "adam needs ['m', 'v']"]),
        (lambda: o.adam().update(ONE, None), TypeError, ["state is a NoneType", "init"]),
        (
            lambda: o.sgd().update_in_place({"w": 1.0}, {"w": 1.0}, o.sgd().init(ONE)),
            TypeError,
            ["params['w']", "float"],
        ),
        (
            lambda: o.sgd().update_in_place(np.broadcast_to(1.0, 2), ONE, o.sgd().init(ONE)),
            TypeError,
            ["read-only array", "writable"],
        ),
        (lambda: o.apply_updates(ONE, np.ones(3)), ValueError, ["update has shape (3,)", "(2,)"]),
        (lambda: o.apply_updates([ONE], ONE), ValueError, ["trees differ at the root"]),
        (lambda: o.orthogonalize(ONE), ValueError, ["matrix has shape (2,)", "2 dimensions"]),
        (lambda: o.orthogonalize(np.eye(2, dtype=int)), TypeError, ["matrix", "int64"]),
        (lambda: o.orthogonalize(np.eye(2), steps=0), ValueError, ["steps is 0", "at least 1"]),
        (lambda: o.orthogonalize(np.eye(2), coefficients=(1.5, -0.5)), ValueError, ["coefficients", "three"]),
        (lambda: o.orthogonalize(np.eye(2), eps=0), ValueError, ["eps is 0", "above 0"]),
    ],
)
def test_wrong_input_is_named(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_a_refused_step_in_place_changes_nothing():
    params = {"a": np.ones(2), "b": np.ones(2)}
    optimizer = o.adam()
    state = optimizer.init(params)
    with pytest.raises(ValueError, match="grads"):
        optimizer.update_in_place(params, {"a": np.ones(2), "b": np.ones(3)}, state)
    assert np.array_equal(params["a"], np.ones(2))
    assert np.array_equal(state.slots["m"]["a"], np.zeros(2))
