"""Objectives: derivatives by differences, minimisers and L and mu by independent means, batches, bad input."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error

from course_lib.optimization import objectives
from course_lib.optimization.descent import minimize
from course_lib.optimization.objectives import (
    Objective,
    beale,
    finite_sum,
    himmelblau,
    least_squares,
    logistic_regression,
    quadratic,
    rosenbrock,
    saddle,
    softmax_regression,
    two_layer_network,
)  # fmt: skip

random = np.random.default_rng(7)
X = random.normal(size=(23, 3)) * [1.0, 2.0, 0.5]
Y = X @ [1.0, -2.0, 0.5] + 4 + random.normal(size=23)
BINARY = (Y > 4).astype(int)
LABELS = np.digitize(Y, [3.0, 5.0])

FORMULAS = {
    "quadratic": quadratic(50.0),
    "quadratic, turned": quadratic(50.0, rotation=0.4, smoothness=3.0),
    "quadratic, 5": quadratic(50.0, dim=5, seed=1),
    "rosenbrock": rosenbrock(),
    "rosenbrock, 5": rosenbrock(5),
    "beale": beale(),
    "himmelblau": himmelblau(),
    "saddle": saddle(),
    "bounded saddle": saddle(bounded=True),
}
SUMS = {
    "least squares": least_squares(X, Y),
    "least squares, intercept, l2": least_squares(X, Y, intercept=True, l2=0.3),
    "least squares, mse": least_squares(X, Y, l2=0.3, half=False),
    "logistic": logistic_regression(X, BINARY),
    "logistic, intercept, l2": logistic_regression(X, BINARY, intercept=True, l2=0.2),
    "softmax": softmax_regression(X, LABELS),
    "softmax, intercept, l2": softmax_regression(X, LABELS, n_classes=4, intercept=True, l2=0.2),
    "network, tanh": two_layer_network(X, LABELS, 4),
    "network, tanh, l2": two_layer_network(X, LABELS, 4, l2=0.3),
    "network, relu, l2": two_layer_network(X, LABELS, 4, l2=0.3, activation="relu"),
}
ALL = FORMULAS | SUMS


def differences(function, w, h=1e-5):
    """Central differences, one row for each parameter."""
    return np.stack([(np.asarray(function(w + e)) - function(w - e)) / (2 * h) for e in h * np.eye(len(w))])


def close(actual, expected, tolerance):
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


def point(dim, seed, reach=1.5):
    return np.random.default_rng(seed).uniform(-reach, reach, size=dim)


@pytest.mark.parametrize("name", ALL)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_gradients_are_slopes(name, seed):
    objective = ALL[name]
    w = point(objective.dim, seed)
    # A difference that straddles a kink of relu is no derivative.
    if "relu" in name:
        parts = objective.unflatten(w)
        if np.abs(X @ parts["kernel1"] + parts["bias1"]).min() < 1e-3:
            return
    gradient = objective.gradient(w)
    assert gradient.shape == (objective.dim,)
    assert gradient.dtype == np.float64
    assert isinstance(objective.value(w), float)
    close(gradient, differences(objective.value, w), 1e-8)


@pytest.mark.parametrize("name", [name for name, objective in ALL.items() if objective.hessian])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=5, deadline=None, derandomize=True)
def test_hessians_are_slopes_of_the_gradient(name, seed):
    objective = ALL[name]
    w = point(objective.dim, seed)
    close(objective.hessian(w), differences(objective.gradient, w), 1e-8)


def test_which_have_a_hessian():
    assert {name for name, objective in ALL.items() if objective.hessian is None} == {
        name for name in ALL if "network" in name
    }


@pytest.mark.parametrize("name", [name for name, objective in ALL.items() if objective.minimizers])
def test_minimisers(name):
    objective = ALL[name]
    for minimizer in objective.minimizers:
        assert minimizer.shape == (objective.dim,)
        assert objective.value(minimizer) == pytest.approx(objective.minimum, abs=1e-13)
        assert np.linalg.norm(objective.gradient(minimizer)) < 2e-13
        assert np.linalg.eigvalsh(objective.hessian(minimizer))[0] > 0
        for seed in range(50):
            assert objective.value(point(objective.dim, seed, reach=6)) >= objective.minimum
    assert len({tuple(m.round(6)) for m in objective.minimizers}) == len(objective.minimizers)


def test_number_of_minimisers():
    assert len(himmelblau().minimizers) == 4
    assert len(saddle(bounded=True).minimizers) == 2
    assert saddle().minimizers is None
    assert saddle().minimum is None
    assert SUMS["logistic"].minimizers is None


def test_the_other_local_minimum_of_rosenbrock():
    run = minimize(rosenbrock(4), 1e-3, [-1.0, 1.0, 1.0, 1.0], steps=60_000, record_every=60_000)
    assert run.gradient_norms[-1] < 1e-6
    assert run.losses[-1] == pytest.approx(3.70, abs=0.02)


# L and mu.


@pytest.mark.parametrize("objective", [
    quadratic(1.0, dim=1), quadratic(100.0), quadratic(100.0, rotation=1.0, smoothness=5.0),
    quadratic(1e4, dim=7, seed=3, smoothness=0.1), *(SUMS[name] for name in SUMS if name.startswith("least")),
])  # fmt: skip
def test_constants_of_quadratics_are_extreme_eigenvalues(objective):
    eigenvalues = np.linalg.eigvalsh(objective.hessian(np.zeros(objective.dim)))
    assert objective.smoothness == pytest.approx(eigenvalues[-1], rel=1e-12)
    assert objective.strong_convexity == pytest.approx(eigenvalues[0], rel=1e-10)
    assert objective.condition_number == pytest.approx(eigenvalues[-1] / eigenvalues[0], rel=1e-10)


def test_condition_number_is_the_one_asked_for():
    assert quadratic(1e6, dim=4, seed=0).condition_number == pytest.approx(1e6, rel=1e-12)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(quadratic(1000.0, dim=4, seed=0).hessian(np.zeros(4))), [1e-3, 1e-2, 1e-1, 1], rtol=1e-9
    )
    assert SUMS["logistic"].condition_number == np.inf
    assert rosenbrock().condition_number is None


def test_rotation_turns_the_axes():
    plain, turned = quadratic(9.0), quadratic(9.0, rotation=np.pi / 6)
    w = np.array([np.cos(np.pi / 6), np.sin(np.pi / 6)])  # where the first axis goes
    assert turned.value(w) == pytest.approx(plain.value(np.array([1.0, 0.0])), rel=1e-12)
    for objective in (plain, turned, quadratic(9.0, dim=3, seed=5)):
        _, vectors = np.linalg.eigh(objective.hessian(objective.start))
        np.testing.assert_allclose(np.abs(vectors.T @ objective.start), 1, rtol=1e-9)


@pytest.mark.parametrize("name", [n for n, o in SUMS.items() if "logistic" in n or "softmax" in n])
def test_constants_bound_the_curvature_everywhere(name):
    objective = SUMS[name]
    for seed in range(30):
        eigenvalues = np.linalg.eigvalsh(objective.hessian(point(objective.dim, seed, reach=10)))
        assert eigenvalues[-1] <= objective.smoothness * (1 + 1e-12)
        assert eigenvalues[0] >= objective.strong_convexity - 1e-12


def test_smoothness_is_attained():
    for name in ("logistic", "logistic, intercept, l2"):
        top = np.linalg.eigvalsh(SUMS[name].hessian(SUMS[name].start))[-1]
        assert SUMS[name].smoothness == pytest.approx(top, rel=1e-12)
    two = softmax_regression(X, BINARY, l2=0.1)  # the bound is sharp for two classes
    assert two.smoothness == pytest.approx(np.linalg.eigvalsh(two.hessian(two.start))[-1], rel=1e-12)


def test_flat_directions_make_mu_zero():
    doubled = least_squares(np.column_stack([X, X[:, 0]]), Y)
    assert doubled.strong_convexity == 0
    assert doubled.condition_number == np.inf
    wide = least_squares(X[:2], Y[:2])
    assert wide.strong_convexity == 0
    expected = np.linalg.pinv(X[:2]) @ Y[:2]
    np.testing.assert_allclose(wide.minimizers[0], expected, rtol=1e-10)  # the shortest of all minimisers


# Against scikit-learn.


@pytest.mark.parametrize("intercept", [False, True])
def test_least_squares_against_scikit_learn(intercept):
    theirs = LinearRegression(fit_intercept=intercept).fit(X, Y)
    expected = [*theirs.coef_, theirs.intercept_] if intercept else theirs.coef_
    for half in (True, False):
        ours = least_squares(X, Y, intercept=intercept, half=half)
        np.testing.assert_allclose(ours.minimizers[0], expected, rtol=1e-10)
        error = mean_squared_error(Y, theirs.predict(X))
        assert ours.minimum == pytest.approx(error / 2 if half else error, rel=1e-12)
        np.testing.assert_allclose(ours.predict(ours.minimizers[0], X), theirs.predict(X), rtol=1e-10)
    n = len(X)
    ridge = Ridge(alpha=0.3 * n, fit_intercept=intercept, solver="svd").fit(X, Y)
    expected = [*ridge.coef_, ridge.intercept_] if intercept else ridge.coef_
    np.testing.assert_allclose(least_squares(X, Y, intercept=intercept, l2=0.3).minimizers[0], expected, rtol=1e-9)
    np.testing.assert_allclose(
        least_squares(X, Y, intercept=intercept, l2=0.6, half=False).minimizers[0], expected, rtol=1e-9
    )


def minimizer_of(objective):
    rate = 1 / objective.smoothness
    run = minimize(objective, rate, steps=200_000, record_every=500, tolerance=1e-9)
    assert run.status == "converged"
    return run.final


@pytest.mark.parametrize("intercept", [False, True])
def test_logistic_regression_against_scikit_learn(intercept):
    n, l2 = len(X), 0.02
    theirs = LogisticRegression(C=1 / (n * l2), fit_intercept=intercept, tol=1e-12, max_iter=10_000).fit(X, BINARY)
    ours = logistic_regression(X, BINARY, intercept=intercept, l2=l2)
    w = minimizer_of(ours)
    expected = np.append(theirs.coef_, theirs.intercept_) if intercept else theirs.coef_[0]
    np.testing.assert_allclose(w, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.predict(w, X), theirs.predict_proba(X)[:, 1], atol=1e-6)
    plain = logistic_regression(X, BINARY, intercept=intercept)
    assert plain.value(w) == pytest.approx(log_loss(BINARY, ours.predict(w, X)), rel=1e-12)


@pytest.mark.parametrize("intercept", [False, True])
def test_softmax_regression_against_scikit_learn(intercept):
    n, l2 = len(X), 0.02
    theirs = LogisticRegression(C=1 / (n * l2), fit_intercept=intercept, tol=1e-12, max_iter=10_000).fit(X, LABELS)
    ours = softmax_regression(X, LABELS, intercept=intercept, l2=l2)
    w = minimizer_of(ours)
    W = w.reshape(-1, 3)
    np.testing.assert_allclose(W[:3].T, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.predict(w, X), theirs.predict_proba(X), atol=1e-6)
    plain = softmax_regression(X, LABELS, intercept=intercept)
    assert plain.value(w) == pytest.approx(log_loss(LABELS, ours.predict(w, X)), rel=1e-12)


def test_two_classes_of_softmax_are_logistic_regression():
    w = point(3, 0)
    both = np.column_stack([np.zeros(3), w]).ravel()
    assert softmax_regression(X, BINARY).value(both) == pytest.approx(logistic_regression(X, BINARY).value(w))


# Batches.


@pytest.mark.parametrize("name", SUMS)
def test_batches_average_to_the_whole(name):
    objective = SUMS[name]
    n, w = objective.n_examples, point(objective.dim, 3)
    assert n == 23
    each = objective.example_gradients(w)
    assert each.shape == (n, objective.dim)
    close(each.mean(axis=0), objective.gradient(w), 1e-13)
    close(each, np.stack([objective.gradient(w, rows=[i]) for i in range(n)]), 1e-13)
    order = np.random.default_rng(0).permutation(22)  # 11 batches of 2; with equal batches the mean is unbiased
    batches = order.reshape(11, 2)
    mean = np.mean([objective.gradient(w, rows=batch) for batch in batches], axis=0)
    close(mean, objective.gradient(w, rows=slice(0, 22)), 1e-13)
    close(np.mean([objective.value(w, rows=b) for b in batches]), objective.value(w, slice(0, 22)), 1e-13)
    close(objective.gradient(w, slice(None)), objective.gradient(w), 1e-13)
    close(objective.gradient(w, [4, 4, 1]), (2 * each[4] + each[1]) / 3, 1e-13)
    close(objective.gradient(w, np.arange(n) == 5), each[5], 1e-13)
    close(objective.example_gradients(w, rows=[2, 9]), each[[2, 9]], 1e-13)


@pytest.mark.parametrize("name", SUMS)
def test_a_pass_in_pieces_is_the_whole(name, monkeypatch):
    whole = SUMS[name]
    monkeypatch.setattr(objectives, "PIECE_BYTES", 200)
    pieces = finite_sum(whole.name, whole.data, whole.batch_value, whole.batch_gradient, start=whole.start)
    w = point(whole.dim, 4)
    close(pieces.value(w), whole.value(w), 1e-13)
    close(pieces.gradient(w), whole.gradient(w), 1e-13)
    assert pieces.gradient(w).tobytes() != whole.gradient(w).tobytes()  # or the pieces were never made
    value, gradient = pieces.value_and_gradient(w)
    close(value, pieces.value(w), 1e-13)  # not equal: from Python 3.12 on, sum() rounds once
    close(gradient, pieces.gradient(w), 1e-13)
    close(pieces.example_gradients(w), whole.example_gradients(w), 1e-13)  # made one by one here


@pytest.mark.parametrize("rows", [[], slice(0, 0), [23], [-24], [0.5], [[1, 2]], 3])
def test_wrong_rows(rows):
    with pytest.raises(ValueError, match=r"^rows "):
        SUMS["logistic"].gradient(np.zeros(3), rows=rows)


def test_blocks_of_the_decomposition_fit_together():
    inputs = np.random.default_rng(0).normal(size=(5003, 3))
    targets = inputs.sum(axis=1) + 1
    objective = least_squares(inputs, targets, intercept=True)
    np.testing.assert_allclose(objective.minimizers[0], 1, rtol=1e-12)
    table = np.column_stack([inputs, np.ones(5003)])
    eigenvalues = np.linalg.eigvalsh(table.T @ table)
    assert objective.smoothness == pytest.approx(eigenvalues[-1] / 5003, rel=1e-12)
    assert objective.strong_convexity == pytest.approx(eigenvalues[0] / 5003, rel=1e-12)


# Precision, range, grids.


@pytest.mark.parametrize("make", [
    lambda X: least_squares(X, Y, intercept=True, l2=0.1),
    lambda X: logistic_regression(X, BINARY, intercept=True, l2=0.1),
    lambda X: softmax_regression(X, LABELS, intercept=True, l2=0.1), lambda X: two_layer_network(X, LABELS, 4, l2=0.1),
    lambda X: two_layer_network(X, LABELS, 4, activation="relu"),
])  # fmt: skip
def test_float32_is_kept(make):
    small, large = make(X.astype(np.float32)), make(X)
    assert small.start.dtype == np.float32
    w = point(small.dim, 0).astype(np.float32)
    for gradient in (small.gradient(w), small.gradient(w, [1, 2]), small.value_and_gradient(w)[1]):
        assert gradient.dtype == np.float32
    assert small.example_gradients(w).dtype == np.float32
    close(small.gradient(w), large.gradient(w.astype(float)), 1e-5)
    assert small.value(w) == pytest.approx(large.value(w.astype(float)), rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_margins_neither_warn_nor_overflow(dtype, size):
    inputs = np.array([[1.0], [-1.0], [1.0]], dtype)
    w = np.array([size], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objective = logistic_regression(inputs, [1, 0, 0])
        assert objective.value(w) == pytest.approx(size / 3, rel=1e-6)
        np.testing.assert_allclose(objective.gradient(w), [1 / 3], rtol=1e-6)
        np.testing.assert_array_equal(objective.predict(w, inputs), [1, 0, 1])
        softmax = softmax_regression(inputs, [1, 0, 0])
        both = np.array([0, size], dtype)
        assert softmax.value(both) == pytest.approx(size / 3, rel=1e-6)
        np.testing.assert_allclose(softmax.gradient(both), [-1 / 3, 1 / 3], rtol=1e-6)
        network = two_layer_network(inputs, [1, 0, 0], 2)
        assert np.isfinite(network.gradient(np.full(network.dim, size, dtype))).all()


def test_tiny_probabilities_keep_their_precision():
    gradient = logistic_regression([[1.0]], [1]).gradient(np.array([50.0]))
    assert gradient[0] == pytest.approx(-np.exp(-50) / (1 + np.exp(-50)), rel=1e-13, abs=0)
    assert logistic_regression([[1.0]], [1]).value(np.array([50.0])) == pytest.approx(np.exp(-50), rel=1e-13, abs=0)


@pytest.mark.parametrize("name", [n for n, o in FORMULAS.items() if o.dim == 2])
def test_values_on_a_grid(name):
    objective = FORMULAS[name]
    x, y = np.linspace(-2, 2, 5), np.linspace(-1, 3, 4)
    grid = objective.value_on(x[None, :], y[:, None])
    assert grid.shape == (4, 5)
    expected = [[objective.value(np.array([a, b])) for a in x] for b in y]
    np.testing.assert_allclose(grid, expected, rtol=1e-13)
    many = objective.value(np.random.default_rng(0).normal(size=(2, 3, 2)))
    assert many.shape == (2, 3)


def test_values_on_a_grid_for_data():
    objective = least_squares(X[:, :1], Y, intercept=True)
    grid = objective.value_on(np.array([[0.0, 1.0]]), np.array([[2.0], [3.0]]))
    assert grid[1, 0] == pytest.approx(objective.value(np.array([0.0, 3.0])))
    with pytest.raises(ValueError, match="has dim 3; value_on needs"):
        SUMS["logistic"].value_on(0.0, 0.0)


def test_values_of_many_points_in_more_dimensions():
    points = np.random.default_rng(0).normal(size=(6, 5))
    for name in ("quadratic, 5", "rosenbrock, 5"):
        np.testing.assert_allclose(FORMULAS[name].value(points), [FORMULAS[name].value(p) for p in points], rtol=1e-13)


# The network.


def test_network_parts():
    network = two_layer_network(X, LABELS, 4, n_classes=5)
    assert network.dim == 3 * 4 + 4 + 4 * 5 + 5
    w = network.initial(np.random.default_rng(3))
    parts = network.unflatten(w)
    assert {name: part.shape for name, part in parts.items()} == network.shapes
    np.testing.assert_array_equal(np.concatenate([part.ravel() for part in parts.values()]), w)
    assert not parts["bias1"].any()
    assert not parts["bias2"].any()
    assert 0 < np.abs(parts["kernel1"]).max() <= np.sqrt(6 / 7)
    wide = two_layer_network(X, LABELS, 200)
    assert 0.9 * np.sqrt(6 / 203) < np.abs(wide.unflatten(wide.start)["kernel2"]).max() <= np.sqrt(6 / 203)
    parts["kernel1"][0, 0] = 9.0
    assert w[0] == 9.0  # a view
    np.testing.assert_array_equal(network.start, network.initial(np.random.default_rng(0)))
    assert (network.initial(np.random.default_rng(1)) != network.start).any()
    with pytest.raises(ValueError, match=r"w has shape \(3,\); it must be \(41,\)"):
        network.unflatten(np.zeros(3))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_network_value_by_other_means(activation):
    network = two_layer_network(X, LABELS, 4, l2=0.3, activation=activation)
    w = point(network.dim, 8)
    k1, b1, k2, b2 = network.unflatten(w).values()
    hidden = {"tanh": np.tanh, "relu": lambda a: a * (a > 0)}[activation](X @ k1 + b1)
    logs = log_softmax(hidden @ k2 + b2, axis=1)
    loss = -logs[np.arange(23), LABELS].mean() + 0.15 * ((k1**2).sum() + (k2**2).sum())
    assert network.value(w) == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(network.predict(w, X), np.exp(logs), rtol=1e-12)


# Bad input.

NAN_X = X.copy()
NAN_X[4, 1] = np.nan


@pytest.mark.parametrize(("make", "error", "text"), [
    (lambda: least_squares(NAN_X, Y), ValueError, r"X has 1 value\(s\) that are NaN or infinite, .* index \(4, 1\)"),
    (lambda: least_squares(X, np.where(Y > 4, np.inf, Y)), ValueError, "y has .* NaN or infinite"),
    (lambda: least_squares(X, Y[:-1]), ValueError, "y has 22 values, but X has 23 examples"),
    (lambda: least_squares(X, Y[:, None]), ValueError, r"y has shape \(23, 1\); it must have 1 dimension"),
    (lambda: least_squares(X[:, 0], Y), ValueError, r"X has shape \(23,\); it must have 2 dimensions"),
    (lambda: least_squares(X[:0], Y[:0]), ValueError, r"X has shape \(0, 3\); it must have at least one example"),
    (lambda: least_squares(X[:, :0], Y), ValueError, r"X has shape \(23, 0\); it must have at least one example and"),
    (lambda: least_squares(X.astype(str), Y), TypeError, "X has dtype"),
    (lambda: least_squares(X, Y, l2=-1), ValueError, "l2 is -1; it must be"),
    (lambda: logistic_regression(X, BINARY + 1), ValueError, "y has the value 2; the classes must be 0 or 1"),
    (lambda: logistic_regression(X, BINARY * 0.5), ValueError, "y has the value 0.5; the classes must be 0 or 1"),
    (lambda: logistic_regression(NAN_X, BINARY), ValueError, "X has"),
    (lambda: logistic_regression(X, BINARY, l2=float("nan")), ValueError, "l2 is nan"),
    (lambda: softmax_regression(X, LABELS - 1), ValueError, "labels has the value -1; allowed are .* from 0 on"),
    (lambda: softmax_regression(X, LABELS, n_classes=2), ValueError, "labels has the value 2; .* from 0 to 1"),
    (lambda: softmax_regression(X, LABELS + 0.25), ValueError, r"labels has the value \d.25"),
    (lambda: softmax_regression(X, LABELS[:3]), ValueError, "labels has 3 values, but X has 23 examples"),
    (lambda: softmax_regression(X, LABELS, l2="a"), TypeError, "l2 is 'a'"),
    (lambda: softmax_regression(X, LABELS, n_classes=0), ValueError, "n_classes is 0"),
    (lambda: two_layer_network(X, LABELS, 0), ValueError, "hidden is 0; it must be a whole number of at least 1"),
    (lambda: two_layer_network(X, LABELS, 4, activation="gelu"), ValueError, "activation is 'gelu'; allowed are"),
    (lambda: two_layer_network(X, LABELS, 4, l2=-0.1), ValueError, "l2 is -0.1"),
    (lambda: two_layer_network(NAN_X, LABELS, 4), ValueError, "X has"),
    (lambda: quadratic(0.5), ValueError, "condition_number is 0.5; it must be at least 1"),
    (lambda: quadratic(2.0, dim=1), ValueError, "condition_number is 2.0; it must be 1 in one dimension"),
    (lambda: quadratic(np.inf), ValueError, "condition_number is inf"),
    (lambda: quadratic(2.0, dim=0), ValueError, "dim is 0"),
    (lambda: quadratic(2.0, smoothness=0), ValueError, "smoothness is 0"),
    (lambda: quadratic(2.0, dim=3, rotation=0.1), ValueError, "rotation is 0.1; .*dim is 3"),
    (lambda: quadratic(2.0, rotation=0.1, seed=0), ValueError, "rotation is 0.1; .*without seed"),
    (lambda: rosenbrock(1), ValueError, "dim is 1; it must be a whole number of at least 2"),
    (lambda: finite_sum("f", (X, Y[:2]), None, None, start=np.zeros(1)), ValueError, r"data has .* lengths \[23, 2\]"),
    (lambda: finite_sum("f", (), None, None, start=np.zeros(1)), ValueError, r"data has arrays of lengths \[\]"),
])  # fmt: skip
def test_bad_input(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize("name", ALL)
def test_points_of_a_wrong_shape(name):
    objective = ALL[name]
    for function in (objective.value, objective.gradient, objective.hessian, objective.value_and_gradient):
        if function is not None:
            for w in (np.zeros(objective.dim + 1), 1.0):
                with pytest.raises(ValueError, match=r"^w has shape"):
                    function(w)


def test_objectives_by_hand():
    mine = Objective("parabola", 1, lambda w: float(w[0] ** 2), lambda w: 2 * w)
    assert mine.condition_number is None
    assert mine.start is None
    with pytest.raises(AttributeError):
        mine.name = "other"


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_one_pass_gives_value_and_gradient(half, l2):
    rng = np.random.default_rng(4)
    objective = least_squares(rng.normal(size=(30, 4)), rng.normal(size=30), intercept=True, l2=l2, half=half)
    w = rng.normal(size=5)
    value, gradient = objective.value_and_gradient(w)
    assert value == pytest.approx(objective.value(w), rel=1e-12)
    np.testing.assert_allclose(gradient, objective.gradient(w), rtol=1e-12, atol=1e-14)
