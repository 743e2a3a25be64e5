"""Penalised fits: the conditions for a minimum, ridge by its normal equations, paths, proximal descent."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import optimization as o
from course_lib import regularization as r
from course_lib.regularization import linear

quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**32 - 1)
intercepts = pytest.mark.parametrize("intercept", [True, False])


def problem(seed, n=None, d=None, correlated=None):
    """Draw more or fewer examples than features, correlated columns or not, columns of unlike sizes."""
    rng = np.random.default_rng(seed)
    n, d = n or int(rng.integers(3, 25)), d or int(rng.integers(1, 25))
    x = rng.normal(size=(n, d))
    if correlated if correlated is not None else rng.random() < 0.5:
        x = 0.3 * x + rng.normal(size=(n, 1))
    x = x * rng.uniform(0.2, 3, size=d) + rng.normal(size=d)
    w = rng.normal(size=d) * (rng.random(d) < 0.4)
    return x, x @ w + 0.5 * rng.normal(size=n) + 3, rng


def largest(x, y):
    """The strength from which on the lasso is 0."""
    return np.max(np.abs((x - x.mean(axis=0)).T @ (y - y.mean()))) / len(y)


def misses(x, y, fit, l1, l2):
    """By how much the fit misses the conditions for a minimum of 1/(2n)|y - Xw - b|^2 + l1 |w|_1 + l2/2 |w|^2."""
    residual = y - fit.predict(x)
    slope = x.T @ residual / len(y) - l2 * fit.coefficients
    w = fit.coefficients
    return np.max(np.where(w != 0, np.abs(slope - l1 * np.sign(w)), np.maximum(np.abs(slope) - l1, 0)))


# Lasso and elastic net


@intercepts
@quick
@given(seed=seeds, share=st.floats(0.01, 1.5), ratio=st.sampled_from([1.0, 0.7, 0.2]))
def test_lasso_and_elastic_net_meet_the_conditions_of_a_minimum(intercept, seed, share, ratio):
    x, y, _ = problem(seed)
    strength = share * largest(x, y)
    fit = r.elastic_net(x, y, strength, ratio, intercept)
    scale = np.max(np.abs(x.T @ y)) / len(y)
    assert misses(x, y, fit, strength * ratio, strength * (1 - ratio)) <= 1e-8 * scale
    assert fit.optimality_gap <= 1e-9 * scale
    if intercept:
        assert np.mean(y - fit.predict(x)) == pytest.approx(0, abs=1e-9 * scale)
    else:
        assert fit.intercept == 0
    if ratio == 1:
        assert np.array_equal(fit.coefficients, r.lasso(x, y, strength, intercept).coefficients)


@quick
@given(seed=seeds)
def test_the_lasso_is_zero_from_the_largest_strength_on(seed):
    x, y, _ = problem(seed)
    assert not r.lasso(x, y, largest(x, y) * (1 + 1e-9)).coefficients.any()
    assert r.lasso(x, y, largest(x, y) * 0.99).coefficients.any()


@quick
@given(seed=seeds)
def test_orthogonal_inputs_give_the_soft_threshold(seed):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(12, 5)))
    x, y = q * np.sqrt(12), rng.normal(size=12)  # columns with mean square 1
    wanted = x.T @ y / 12
    assert np.allclose(r.coordinate_descent_lasso(x, y, 0.1), r.soft_threshold(wanted, 0.1), atol=1e-12)
    fit = r.elastic_net(x, y, 0.2, 0.5, fit_intercept=False)
    assert np.allclose(fit.coefficients, r.shrink(r.soft_threshold(wanted, 0.1), 0.1), atol=1e-12)


def test_equal_columns_are_shared_by_the_elastic_net_and_survived_by_the_lasso():
    x, y, _ = problem(3, n=20, d=4)
    twice = np.column_stack([x, x[:, 0]])
    net = r.elastic_net(twice, y, 0.05, 0.5).coefficients
    assert net[0] == pytest.approx(net[-1], abs=1e-8)
    one, two = r.lasso(x, y, 0.05), r.lasso(twice, y, 0.05)
    assert np.allclose(one.predict(x), two.predict(twice), atol=1e-8)
    assert one.coefficients[0] == pytest.approx(two.coefficients[0] + two.coefficients[-1], abs=1e-8)


def test_a_column_of_zeros_gets_the_weight_zero():
    x, y, _ = problem(4, n=20, d=3)
    x[:, 1] = 2.5  # after centring, 0
    for strength in (0.01, 0.5):
        assert r.lasso(x, y, strength).coefficients[1] == 0
    assert r.elastic_net(x, y, 0.1, 0.0).coefficients[1] == 0


def test_too_few_sweeps_are_said():
    x, y, _ = problem(5, n=20, d=15, correlated=True)
    with pytest.warns(RuntimeWarning, match="after 1 sweeps a weight misses its condition"):
        r.lasso(x, y, 0.001, max_sweeps=1)


def test_a_start_saves_sweeps_and_changes_nothing():
    x, y, _ = problem(6, n=40, d=20, correlated=True)
    cold = r.lasso(x, y, 0.01)
    warm = r.lasso(x, y, 0.01, start=cold.coefficients)
    assert warm.sweeps <= cold.sweeps
    assert np.allclose(warm.coefficients, cold.coefficients, atol=1e-9)


def test_more_inputs_than_examples_take_few_sweeps():
    # Plain coordinate descent creeps here: with nearly as many weights as examples the problem is hardly curved.
    x, y, _ = problem(15, n=60, d=120)
    fit = r.lasso(x, y, 1e-3 * largest(x, y))
    assert np.count_nonzero(fit.coefficients) > 30
    assert fit.sweeps <= 100


def test_what_a_fit_reports_is_what_it_misses():
    x, y, rng = problem(17, n=20, d=6)
    for _ in range(20):
        w = rng.normal(size=6) * (rng.random(6) < 0.5)
        reported = linear._missed_by(x.T @ x / 20, x.T @ y / 20, w, 0.3, 0.2)
        assert reported == pytest.approx(misses(x, y, r.LinearFit(w, 0.0), 0.3, 0.2))


def test_a_sweep_sets_one_weight_after_another_to_its_minimum():
    x, y, rng = problem(16, n=20, d=6)
    w = rng.normal(size=6)
    swept = linear._sweep(x.T @ x / 20, x.T @ y / 20, w, 0.3, 0.2, range(6))
    for j in range(6):
        own = x[:, j] @ (y - x @ w + x[:, j] * w[j]) / 20  # with the others as they are by now
        w[j] = r.soft_threshold(own, 0.3) / (x[:, j] @ x[:, j] / 20 + 0.2)
    assert np.allclose(swept, w, rtol=1e-10)


# Ridge


@intercepts
@quick
@given(seed=seeds, strength=st.floats(1e-3, 100))
def test_ridge_solves_its_normal_equations(intercept, seed, strength):
    x, y, rng = problem(seed)
    for targets in (y, np.column_stack([y, rng.normal(size=len(y))])):
        fit = r.ridge(x, targets, strength, intercept)
        residual = targets - fit.predict(x)
        assert np.allclose(x.T @ residual, strength * fit.coefficients, atol=1e-8 * np.max(np.abs(x.T @ targets)))
        if intercept:
            assert np.allclose(residual.mean(axis=0), 0, atol=1e-9 * np.max(np.abs(targets)))
        else:
            assert not np.any(fit.intercept)


@quick
@given(seed=seeds, share=st.floats(0.01, 10))
def test_ridge_is_the_elastic_net_without_l1(seed, share):
    x, y, _ = problem(seed)
    net = r.elastic_net(x, y, share, 0.0)
    assert np.allclose(net.coefficients, r.ridge(x, y, share * len(y)).coefficients, rtol=1e-6, atol=1e-8)


@quick
@given(seed=seeds)
def test_ridge_without_strength_is_the_least_squares_fit_of_smallest_norm(seed):
    x, y, _ = problem(seed)
    fit = r.ridge(x, y, 0.0, fit_intercept=False)
    assert np.allclose(fit.coefficients, np.linalg.lstsq(x, y, rcond=None)[0], atol=1e-8)
    twice = np.column_stack([x, x])  # of half the rank: each weight is shared
    assert np.allclose(r.ridge(twice, y, 0.0, False).coefficients, np.tile(fit.coefficients / 2, 2), atol=1e-7)
    tiny = r.ridge(x, y, 1e-10, fit_intercept=False)
    assert np.allclose(fit.predict(x), tiny.predict(x), atol=1e-5)


def test_ridge_is_least_squares_on_data_with_extra_rows():
    # sqrt(strength) on the diagonal, with targets 0: what a prior is, written as data.
    x, y, _ = problem(7, n=12, d=5)
    more = np.vstack([x, np.sqrt(2.0) * np.eye(5)])
    wanted = np.linalg.lstsq(more, np.append(y, np.zeros(5)), rcond=None)[0]
    assert np.allclose(r.ridge(x, y, 2.0, False).coefficients, wanted)


# Paths


@intercepts
@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.0])
def test_a_path_holds_the_fits(intercept, ratio):
    x, y, _ = problem(8, n=30, d=12)
    path = r.regularization_path(x, y, l1_ratio=ratio, fit_intercept=intercept, count=15, smallest=1e-2)
    assert path.coefficients.shape == (15, 12)
    assert (np.diff(path.strengths) < 0).all()
    assert path.strengths[-1] == pytest.approx(path.strengths[0] * 1e-2)
    for index in (1, 7, 14):
        alone = r.elastic_net(x, y, path.strengths[index], ratio, intercept)
        assert np.allclose(path.coefficients[index], alone.coefficients, atol=1e-7)
        assert path.intercepts[index] == pytest.approx(alone.intercept, abs=1e-7)
        assert np.allclose(path.fit(index).predict(x), alone.predict(x), atol=1e-7)
    if ratio == 1:
        assert path.nonzeros[0] <= 1  # at the largest strength a weight is 0 up to rounding
        assert path.nonzeros[1] >= 1


def test_strengths_may_come_in_any_order():
    x, y, _ = problem(9, n=30, d=5)
    path = r.regularization_path(x, y, [0.1, 1.0, 0.5])
    assert path.strengths.tolist() == [1.0, 0.5, 0.1]


# Proximal descent


def lasso_problem(seed, strength=0.1):
    x, y, _ = problem(seed, n=30, d=8)
    loss = o.least_squares(x, y)
    best = r.coordinate_descent_lasso(x, y, strength)
    return loss, r.L1(strength), best, loss.value(best) + r.L1(strength).value(best)


@pytest.mark.parametrize("accelerated", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_the_bounds_of_beck_and_teboulle(seed, accelerated):
    loss, penalty, best, least = lasso_problem(seed)
    start = np.full(8, 5.0)
    run = r.proximal_descent(loss, penalty, start, steps=300, accelerated=accelerated)
    k, distance = run.steps[1:], np.sum((start - best) ** 2)
    bound = loss.smoothness * distance * (2 / (k + 1) ** 2 if accelerated else 1 / (2 * k))
    excess = run.losses[1:] - least
    assert (excess <= bound * (1 + 1e-9)).all()
    assert (excess >= -1e-9 * (1 + least)).all()
    if not accelerated:
        assert (np.diff(run.losses) <= 1e-12 * run.losses[0]).all()


@pytest.mark.parametrize("accelerated", [True, False])
def test_proximal_descent_ends_where_coordinate_descent_does(accelerated):
    loss, penalty, best, least = lasso_problem(11)
    run = r.proximal_descent(loss, penalty, steps=100_000, accelerated=accelerated, tolerance=1e-10, record_every=100)
    assert run.status == "converged"
    assert np.allclose(run.final, best, atol=1e-6)
    assert np.array_equal(run.final != 0, best != 0)
    assert run.losses[-1] == pytest.approx(least, rel=1e-10)
    assert run.nonzeros[-1] == np.count_nonzero(best)
    assert np.array_equal(run.best, run.params[np.argmin(run.losses)])


def test_acceleration_helps_on_a_badly_conditioned_problem():
    loss = o.quadratic(condition_number=1e4, dim=6, seed=1)
    ends = [r.proximal_descent(loss, r.L1(1e-6), steps=300, accelerated=a).losses[-1] for a in (True, False)]
    assert ends[0] < 0.2 * ends[1]


def test_the_first_steps_of_fista_by_hand():
    # f = w**2 / 2 from w = 1 at rate 0.25 without a penalty: w = 0.75 v.
    run = r.proximal_descent(lambda w: w, r.L1(0.0), [1.0], 0.25, steps=3)
    t1 = 1.0
    t2 = (1 + np.sqrt(1 + 4 * t1**2)) / 2
    t3 = (1 + np.sqrt(1 + 4 * t2**2)) / 2
    w1 = 0.75 * 1.0
    w2 = 0.75 * (w1 + (t1 - 1) / t2 * (w1 - 1.0))
    w3 = 0.75 * (w2 + (t2 - 1) / t3 * (w2 - w1))
    assert np.allclose(run.params[:, 0], [1.0, w1, w2, w3], rtol=1e-14)


def test_without_a_penalty_and_acceleration_it_is_gradient_descent():
    loss = o.rosenbrock()
    plain = o.gradient_descent(loss, 1e-3, steps=50)
    run = r.proximal_descent(loss, r.L2(0.0), learning_rate=1e-3, steps=50, accelerated=False)
    assert np.array_equal(run.params, plain.params)
    assert np.allclose(run.losses, plain.losses)
    assert np.allclose(run.gradient_norms[0], plain.gradient_norms[0])
    assert np.allclose(run.step_sizes, plain.step_sizes, rtol=1e-9)


def test_group_lasso_by_proximal_descent_meets_its_conditions():
    x, y, _ = problem(12, n=40, d=9)
    y = y - y.mean()
    groups = np.repeat([0, 1, 2], 3)
    penalty = r.GroupLasso(0.5, groups)
    w = r.proximal_descent(o.least_squares(x, y), penalty, steps=4000, record_every=4000).final
    slope = x.T @ (y - x @ w) / 40
    zero = 0
    for group in range(3):
        w_g, slope_g = w[groups == group], slope[groups == group]
        if w_g.any():
            assert np.allclose(slope_g, 0.5 * np.sqrt(3) * w_g / np.linalg.norm(w_g), atol=1e-6)
        else:
            zero += 1
            assert np.linalg.norm(slope_g) <= 0.5 * np.sqrt(3) + 1e-6
    assert 0 < zero < 3  # the strength is one at which both cases occur


def test_strength_and_rate_may_be_schedules():
    asked = []

    def strength(step):
        asked.append(step)
        return 1.0 if step < 2 else 0.0

    target = np.array([3.0, 0.5])
    rates = o.piecewise_constant([2], [1.0, 0.5])
    run = r.proximal_descent(lambda w: w - target, r.L1(strength), [0.0, 0.0], rates, steps=4, accelerated=False)
    assert run.params[1:3].tolist() == [[2.0, 0.0], [2.0, 0.0]]
    assert np.allclose(run.params[3], [2.5, 0.25])
    assert run.rates.tolist() == [1.0, 1.0, 1.0, 0.5, 0.5]
    assert asked == [0, 1, 2, 3]


def test_records_shapes_and_types():
    start = np.ones((2, 2), np.float32)
    run = r.proximal_descent(lambda w: w, r.L1(0.1), start, 0.5, steps=10, record_every=4)
    assert run.steps.tolist() == [0, 4, 8, 10]
    assert run.params.shape == (4, 2, 2)
    assert run.params.dtype == np.float32
    assert np.isnan(run.losses).all()
    assert (start == 1).all()
    with pytest.raises(ValueError, match="no record is known as the best"):
        _ = run.best
    x, y, _ = problem(1, n=10, d=3)
    assert r.proximal_descent(o.least_squares(x, y), r.L1(0.1), steps=2).samples_seen.tolist() == [0, 10, 20]


def test_divergence_is_said():
    loss = o.quadratic(condition_number=10)
    with pytest.raises(o.DivergenceError, match=r"not finite after step .*; the rate is 10") as caught:
        r.proximal_descent(loss, r.L1(0.1), learning_rate=10.0, steps=10_000)
    assert np.isfinite(caught.value.trajectory.params).all()
    run = r.proximal_descent(loss, r.L1(0.1), learning_rate=10.0, steps=10_000, on_divergence="stop")
    assert run.status == "diverged"


# Penalties added to objectives


@pytest.mark.parametrize("penalty", [r.L2(0.3), r.L1(0.3), r.ElasticNet(0.3), r.GroupLasso(0.3, [0, 0, 1, 1])])
def test_penalised_objectives(penalty):
    x, y, rng = problem(13, n=20, d=4)
    loss = o.least_squares(x, y)
    both, w = r.penalised(loss, penalty), rng.normal(size=4)
    rows = [1, 5, 7]
    assert both.value(w) == pytest.approx(loss.value(w) + penalty.value(w))
    assert both.value(w, rows) == pytest.approx(loss.value(w, rows) + penalty.value(w))
    assert np.allclose(both.gradient(w, rows), loss.gradient(w, rows) + penalty.gradient(w))
    value, gradient = both.value_and_gradient(w)
    assert value == pytest.approx(both.value(w))
    assert np.allclose(gradient, both.gradient(w))
    assert np.allclose(both.batch_gradient(w, x, y), both.gradient(w))
    assert both.batch_value(w, x, y) == pytest.approx(both.value(w))
    # The penalty belongs to every example alike: their mean is the full gradient.
    assert np.allclose(both.example_gradients(w).mean(axis=0), both.gradient(w))
    assert both.name == f"{loss.name} with {type(penalty).__name__}"
    assert (both.minimizers, both.minimum) == (None, None)


def test_minimize_takes_a_penalised_objective():
    x, y, _ = problem(14, n=30, d=4)
    y = y - y.mean()
    both = r.penalised(o.least_squares(x, y), r.L2(0.5))
    run = o.minimize(both, 1 / both.smoothness, steps=20_000, tolerance=1e-10)
    assert run.status == "converged"
    assert np.allclose(run.final, r.ridge(x, y, 0.5 * 30, fit_intercept=False).coefficients, atol=1e-7)
    mini = o.minimize(both, o.inverse_time(0.1, 0.05), steps=3000, batch_size=5, rng=0, record_every=3000)
    assert np.linalg.norm(mini.final - run.final) < 0.1 * np.linalg.norm(run.final)


def test_l2_adds_to_the_curvature_and_the_others_leave_it_unknown():
    bowl = o.quadratic(condition_number=10)
    both = r.penalised(bowl, r.L2(0.5))
    assert both.smoothness == pytest.approx(bowl.smoothness + 0.5)
    assert both.strong_convexity == pytest.approx(bowl.strong_convexity + 0.5)
    assert np.allclose(both.hessian(np.zeros(2)), bowl.hessian(np.zeros(2)) + 0.5 * np.eye(2))
    for other in (r.L1(0.5), r.L2(0.5, where=np.array([True, False]))):
        rough = r.penalised(bowl, other)
        assert (rough.smoothness, rough.strong_convexity, rough.hessian) == (None, None, None)
    with pytest.raises(ValueError, match=r"w has shape \(3, 2\)"):
        both.value(np.zeros((3, 2)))
    assert both.value_on([0.0, 1.0], [1.0, 1.0]).shape == (2,)


def test_penalised_functions_of_trees_and_steps():
    def half_square(params):
        return 0.5 * float(np.sum(params["w"] ** 2)), params

    f = r.penalised(half_square, r.L1(o.linear(1.0, 0.0, 10)))
    params = {"w": np.array([2.0, -4.0])}
    value, gradient = f(params)
    assert value == 16
    assert gradient["w"].tolist() == [3.0, -5.0]
    value, gradient = f(params, step=5)
    assert value == 13
    assert gradient["w"].tolist() == [2.5, -4.5]


# What is refused


X, Y = np.eye(3), np.ones(3)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: r.ridge(X, Y, -1.0), ValueError, "strength is -1.0"),
        (lambda: r.ridge(X, Y[:2], 1.0), ValueError, r"y has shape \(2,\) and x \(3, 3\)"),
        (lambda: r.ridge(Y, Y, 1.0), ValueError, r"x \(3,\); x needs 2 dimensions"),
        (lambda: r.ridge(X[:0], Y[:0], 1.0), ValueError, "at least 1"),
        (lambda: r.ridge(X, Y, 1.0, fit_intercept=1), TypeError, "fit_intercept is 1"),
        (lambda: r.ridge(np.full((3, 3), np.nan), Y, 1.0), ValueError, "x has 9 value"),
        (lambda: r.ridge(X, Y, 1.0).predict(np.ones((2, 4))), ValueError, "x has 4 features; the fit was made with 3"),
        (lambda: r.lasso(X, Y, 0.0), ValueError, "strength is 0.0; it must be a finite number above 0"),
        (lambda: r.lasso(X, np.ones((3, 2)), 1.0), ValueError, r"y has shape \(3, 2\)"),
        (lambda: r.elastic_net(X, Y, 1.0, 2.0), ValueError, "l1_ratio is 2.0"),
        (lambda: r.lasso(X, Y, 1.0, tolerance=0.0), ValueError, "tolerance is 0.0"),
        (lambda: r.lasso(X, Y, 1.0, max_sweeps=0), ValueError, "max_sweeps is 0"),
        (lambda: r.lasso(X, Y, 1.0, start=[1.0]), ValueError, r"start has shape \(1,\); there are 3 features"),
        (lambda: r.regularization_path(X, Y, []), ValueError, "strengths is .*at least one"),
        (lambda: r.regularization_path(X, Y, [1.0, 0.0]), ValueError, "each above 0"),
        (lambda: r.regularization_path(X, Y, smallest=1.0), ValueError, "smallest is 1.0"),
        (lambda: r.regularization_path(X, 0 * Y), ValueError, "no strength matters"),
        (lambda: r.proximal_descent(lambda w: w, 0.1, X), TypeError, "penalty is 0.1; it must be a Penalty"),
        (lambda: r.proximal_descent("f", r.L1(1.0), X), TypeError, "objective is 'f'"),
        (lambda: r.proximal_descent(lambda w: w, r.L1(1.0)), ValueError, "start is None"),
        (lambda: r.proximal_descent(lambda w: w, r.L1(1.0), Y), ValueError, "learning_rate is None"),
        (lambda: r.proximal_descent(lambda w: w, r.L1(1.0), Y, 0.0), ValueError, "learning_rate is 0.0"),
        (lambda: r.proximal_descent(lambda w: w, r.L1(1.0), Y, lambda t: 0.0), ValueError, "the rate at step 0 is 0.0"),
        (lambda: r.proximal_descent(lambda w: w, r.L1(1.0), Y, 1.0, steps=0), ValueError, "steps is 0"),
        (lambda: r.penalised(lambda w: w, "L2"), TypeError, "penalty is 'L2'"),
        (lambda: r.penalised(3, r.L2(1.0)), TypeError, "objective is 3"),
        (lambda: r.penalised(o.himmelblau(), r.L2(lambda t: 1.0)), TypeError, "an Objective knows no steps"),
    ],
)
def test_what_is_refused(make, error, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=words):
            make()
