"""Descent runners against closed forms and hand-written loops; sampling, stopping, divergence, bad input."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.optimization import descent
from course_lib.optimization.clipping import clipped
from course_lib.optimization.descent import (
    LOSS_LIMIT,
    DivergenceError,
    gradient_descent,
    mini_batch_gradient_descent,
    minimize,
    stochastic_gradient_descent,
)
from course_lib.optimization.objectives import (
    Objective,
    finite_sum,
    himmelblau,
    least_squares,
    logistic_regression,
    quadratic,
    saddle,
    two_layer_network,
)
from course_lib.optimization.optimizers import adam, adamw, apply_updates, muon, nadam, sgd
from course_lib.optimization.schedules import exponential, reduce_on_plateau

random = np.random.default_rng(11)
X = random.normal(size=(23, 3))
Y = X @ [1.0, -2.0, 0.5] + random.normal(size=23)
REGRESSION = least_squares(X, Y)


def quiet_run(*arguments, **options):
    """Run with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return minimize(*arguments, **options)


# The steps.


@given(kappa=st.floats(1.5, 1e4), smoothness=st.floats(0.1, 10))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_rate_of_convergence_is_that_of_theory(kappa, smoothness):
    bowl = quadratic(kappa, smoothness=smoothness, rotation=0.3)
    ratio = (kappa - 1) / (kappa + 1)
    run = gradient_descent(bowl, 2 / (bowl.smoothness + bowl.strong_convexity), steps=40)
    distances = np.linalg.norm(run.params, axis=1)
    np.testing.assert_allclose(distances[1:] / distances[:-1], ratio, rtol=1e-9)
    np.testing.assert_allclose(run.losses, run.losses[0] * ratio ** (2 * np.arange(41)), rtol=1e-8)


@given(rate=st.floats(0.0, 1.99), start=st.lists(st.floats(-5, 5), min_size=3, max_size=3))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_each_eigenvector_shrinks_by_its_own_factor(rate, start):
    bowl = quadratic(20.0, dim=3)
    run = gradient_descent(bowl, rate, start, steps=30)
    factors = 1 - rate * np.geomspace(1 / 20, 1, 3)
    np.testing.assert_allclose(run.params, start * factors ** np.arange(31)[:, None], rtol=1e-9, atol=1e-9)


SCHEDULE = exponential(0.05, decay_rate=0.9, decay_steps=3)


@pytest.mark.parametrize("optimizer", [
    sgd(0.05), sgd(SCHEDULE, momentum=0.9, nesterov=True), sgd(0.05, weight_decay=0.1), adam(SCHEDULE), adamw(0.05),
    nadam(0.05), clipped(sgd(0.05, momentum=0.5), norm=0.3), muon(0.05),
], ids=lambda optimizer: optimizer.name)  # fmt: skip
@pytest.mark.parametrize("block", [descent.BLOCK, 2])
def test_steps_are_those_of_the_optimizer(optimizer, block, monkeypatch):
    monkeypatch.setattr(descent, "BLOCK", block)  # more parameters than this, and update_in_place makes the step
    order = np.random.default_rng(5)
    run = minimize(REGRESSION, optimizer, np.ones(3), steps=25, batch_size=5, rng=5)
    w, state = np.ones(3), optimizer.init(np.ones(3))
    for step in range(25):
        if step % 5 == 0:
            shuffled = order.permutation(23)
        batch = shuffled[step % 5 * 5 : step % 5 * 5 + 5]
        residual = X[batch] @ w - Y[batch]
        updates, state = optimizer.update(X[batch].T @ residual / len(batch), state, w)
        size = np.linalg.norm(updates)
        assert run.rates[step + 1] == optimizer.rate(step)
        w = apply_updates(w, updates)
        np.testing.assert_allclose(run.params[step + 1], w, rtol=1e-11)
        assert run.step_sizes[step + 1] == pytest.approx(size, rel=1e-9)
    assert run.rates[0] == optimizer.rate(0)


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("every", [3, 7, "epoch", 1000])
def test_recording_changes_nothing(batch_size, every):
    for sampling in ("epochs", "replacement"):
        options = {"steps": 40, "batch_size": batch_size, "sampling": sampling, "rng": 3}
        each = minimize(REGRESSION, adam(0.1), **options)
        some = minimize(REGRESSION, adam(0.1), record_every=every, **options)
        stride = {None: 1, 4: 6}[batch_size] if every == "epoch" else every
        assert some.steps.tolist() == sorted({*range(0, 41, stride), 40})
        for name in ("params", "losses", "gradient_norms", "rates", "step_sizes", "samples_seen"):
            np.testing.assert_array_equal(getattr(some, name), getattr(each, name)[some.steps], err_msg=name)


def test_records_are_of_the_full_objective():
    run = minimize(REGRESSION, 0.4, steps=40, batch_size=2, rng=0)
    for w, loss, norm in zip(run.params, run.losses, run.gradient_norms, strict=True):
        assert loss == pytest.approx(np.mean((X @ w - Y) ** 2) / 2, rel=1e-12)
        assert norm == pytest.approx(np.linalg.norm(X.T @ (X @ w - Y)) / 23, rel=1e-9)
    np.testing.assert_allclose(run.step_sizes[1:], np.linalg.norm(np.diff(run.params, axis=0), axis=1), rtol=1e-9)
    assert run.step_sizes[0] == 0
    assert run.status == "finished"
    assert run.message.startswith("all 40 steps were made; the loss is ")
    np.testing.assert_array_equal(run.final, run.params[40])
    np.testing.assert_array_equal(run.best, run.params[np.argmin(run.losses)])
    assert np.argmin(run.losses) not in (0, 40)  # or the line before shows nothing


def test_norms_of_extreme_numbers():
    for size in (1e-200, 1e-30, 1.0, 1e30, 1e200):
        assert descent._norm(np.array([3 * size, 4 * size])) == pytest.approx(5 * size, rel=1e-12, abs=0)
    assert descent._norm(np.float32([3e25, 4e25])) == pytest.approx(5e25, rel=1e-6)
    assert descent._norm(np.zeros(3)) == 0
    assert descent._norm(np.array([np.inf, 0])) == np.inf


# Sampling.


def counting(n):
    """Make an objective that notes which examples every gradient is computed from."""
    seen = []

    def gradient(w, rows):
        seen.append(rows.astype(int).tolist())
        return np.zeros(1)

    data = (np.arange(n, dtype=float),)
    return finite_sum("counting", data, lambda w, rows: 0.0, gradient, start=np.zeros(1)), seen


@pytest.mark.parametrize(("n", "batch_size"), [(10, 1), (10, 3), (10, 5), (10, 9), (1, 1), (100, 7)])
@pytest.mark.parametrize("piece", [descent.PIECE_BYTES, 16])
def test_an_epoch_takes_every_example_once(n, batch_size, piece, monkeypatch):
    monkeypatch.setattr(descent, "PIECE_BYTES", piece)
    objective, seen = counting(n)
    per_epoch = -(-n // batch_size)
    run = minimize(objective, 0.1, steps=3 * per_epoch, batch_size=batch_size, rng=0, record_every=10**6)
    batches = seen[1:-1] if n > 1 else seen[:-1]  # the other gradients are those of the records
    assert len(batches) == 3 * per_epoch
    epochs = [batches[i : i + per_epoch] for i in range(0, len(batches), per_epoch)]
    for epoch in epochs:
        assert sorted(row for batch in epoch for row in batch) == list(range(n))
        assert [len(batch) for batch in epoch[:-1]] == [batch_size] * (per_epoch - 1)
    if n > 5:
        assert epochs[0] != epochs[1] != epochs[2]
    assert run.samples_seen.tolist() == [0, 3 * n]


def test_piece_size_does_not_change_the_order(monkeypatch):
    orders = []
    for piece in (descent.PIECE_BYTES, 16):
        monkeypatch.setattr(descent, "PIECE_BYTES", piece)
        objective, seen = counting(50)
        minimize(objective, 0.1, steps=30, batch_size=4, rng=0, record_every=10**6)
        orders.append(seen)
    assert orders[0] == orders[1]


def test_all_examples_at_once_are_batch_gradient_descent():
    alike = minimize(REGRESSION, 0.1, steps=5, batch_size=23)
    np.testing.assert_array_equal(alike.params, minimize(REGRESSION, 0.1, steps=5).params)
    assert alike.samples_seen.tolist() == [0, 23, 46, 69, 92, 115]
    objective, seen = counting(6)
    minimize(objective, 0.1, steps=2, batch_size=6, record_every=1)
    assert seen == [list(range(6))] * 3  # one gradient serves the record and the next step


def test_with_replacement():
    objective, seen = counting(10)
    run = minimize(objective, 0.1, steps=3000, batch_size=10, sampling="replacement", rng=0, record_every=10**6)
    batches = seen[1:-1]
    assert {len(batch) for batch in batches} == {10}
    assert run.samples_seen[-1] == 30_000
    # A batch of 10 out of 10 has on average 10 * (1 - 0.9**10) = 6.51 different examples; all different once in 2756.
    assert np.mean([len(set(batch)) for batch in batches]) == pytest.approx(6.51, abs=0.08)
    counts = np.bincount(np.ravel(batches), minlength=10)
    assert ((counts - 3000) ** 2 / 3000).sum() < 27.9  # chi-squared, 9 degrees of freedom, 1 in 1000
    first, second = np.array(batches[:-1]), np.array(batches[1:])
    assert np.mean(first[:, 0] == second[:, 0]) == pytest.approx(0.1, abs=0.03)  # and batches are independent


def test_samples_seen_with_a_short_last_batch():
    run = minimize(REGRESSION, 0.1, steps=7, batch_size=10, rng=0)
    assert run.samples_seen.tolist() == [0, 10, 20, 23, 33, 43, 46, 56]
    run = minimize(REGRESSION, 0.1, steps=4, batch_size=10, sampling="replacement", rng=0)
    assert run.samples_seen.tolist() == [0, 10, 20, 30, 40]
    assert minimize(quadratic(3.0), 0.1, steps=3).samples_seen.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("sampling", ["epochs", "replacement"])
def test_seeds(sampling, monkeypatch):
    options = {"steps": 9, "batch_size": 4, "sampling": sampling}
    run = minimize(REGRESSION, 0.1, rng=1, **options)
    np.testing.assert_array_equal(run.params, minimize(REGRESSION, 0.1, rng=1, **options).params)
    generator = np.random.default_rng(1)
    np.testing.assert_array_equal(run.params, minimize(REGRESSION, 0.1, rng=generator, **options).params)
    assert (run.params != minimize(REGRESSION, 0.1, rng=generator, **options).params).any()
    assert (run.params != minimize(REGRESSION, 0.1, rng=2, **options).params).any()
    defaults = []
    for seed in ("5", "5", "6"):
        monkeypatch.setenv("COURSE_SEED", seed)
        defaults.append(minimize(REGRESSION, 0.1, **options).params)
    np.testing.assert_array_equal(defaults[0], defaults[1])
    assert (defaults[0] != defaults[2]).any()


# Stopping.


def test_tolerance():
    bowl = quadratic(10.0)
    run = gradient_descent(bowl, 1.0, steps=10_000, tolerance=1e-4)
    assert run.status == "converged"
    assert run.gradient_norms[-1] <= 1e-4 < run.gradient_norms[-2]
    assert f"after {run.steps[-1]} steps" in run.message
    sparse = gradient_descent(bowl, 1.0, steps=10_000, tolerance=1e-4, record_every=50)
    assert sparse.steps[-1] == -(-run.steps[-1] // 50) * 50
    batches = minimize(least_squares(X, X @ [1.0, 2.0, 3.0]), 0.1, steps=10_000, batch_size=5, tolerance=1e-6, rng=0)
    assert batches.status == "converged"
    np.testing.assert_allclose(batches.final, [1, 2, 3], atol=1e-4)
    there = gradient_descent(bowl, 1.0, [0.0, 0.0], steps=5, tolerance=1e-4)
    assert there.steps.tolist() == [0]
    assert there.message.endswith("after 0 steps")
    assert len(gradient_descent(bowl, 1.0, [0.0, 0.0], steps=5).steps) == 6  # without a tolerance nothing ends a run


def test_callback():
    seen = []

    def callback(step, w, loss):
        seen.append((step, w.copy(), loss))
        w[:] = 99.0  # its own copy
        with pytest.warns(RuntimeWarning):  # the user's code keeps the user's error state
            np.float64(1e300) * np.float64(1e300)
        return step == 6

    run = gradient_descent(quadratic(5.0), 0.5, steps=100, record_every=2, callback=callback)
    assert [step for step, _, _ in seen] == run.steps.tolist() == [0, 2, 4, 6]
    np.testing.assert_array_equal(run.params, gradient_descent(quadratic(5.0), 0.5, steps=6, record_every=2).params)
    np.testing.assert_array_equal([w for _, w, _ in seen], run.params)
    assert [loss for _, _, loss in seen] == run.losses.tolist()
    assert run.status == "finished"
    assert run.message.startswith("the callback ended the run after 6 steps")


def test_plateau():
    flat = Objective("flat", 1, lambda w: 1.0, lambda w: np.ones(1))
    plateau = reduce_on_plateau(0.8, factor=0.5, patience=2, threshold=0.0)
    run = minimize(flat, sgd(lambda step: 123.0), [0.0], steps=9, plateau=plateau)
    state, expected = plateau.init(), []
    for _ in range(10):
        rate, state = plateau.update(1.0, state)
        expected.append(rate)
    assert run.rates.tolist() == [0.8, *expected[:9]]
    assert run.rates.min() == 0.2
    np.testing.assert_allclose(np.diff(run.params[:, 0]), -run.rates[1:])

    class Wrong:
        def init(self):
            return None

        def update(self, loss, state):
            return -1.0, state

    with pytest.raises(ValueError, match=r"the rate of plateau is -1.0; it must be"):
        minimize(flat, 0.1, [0.0], steps=9, plateau=Wrong())


# Divergence.


def check_finite(run):
    for name in ("params", "losses", "gradient_norms", "rates", "step_sizes"):
        assert np.isfinite(getattr(run, name)).all(), name
    assert run.status == "diverged"


@pytest.mark.parametrize("every", [1, 10, 10**6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [None, 5])
def test_divergence_is_named(every, dtype, batch_size):
    objective = least_squares(X.astype(dtype), Y)
    options = {"steps": 5000, "batch_size": batch_size, "record_every": every, "rng": 0}
    with pytest.raises(DivergenceError) as caught:
        quiet_run(objective, 7.0, **options)
    run, text = caught.value.trajectory, str(caught.value)
    check_finite(run)
    assert isinstance(caught.value, ArithmeticError)
    assert text.startswith("least squares with sgd diverged: ")
    assert "; the rate is 7 and the last finite loss was " in text
    assert f"was {run.losses[-1]:.3g} " in text
    stopped = quiet_run(objective, 7.0, on_divergence="stop", **options)
    assert stopped.message == text
    np.testing.assert_array_equal(stopped.params, run.params)
    if every == 1:
        assert f"the loss after step {run.steps[-1] + 1} is " in text
        assert f"above the limit {LOSS_LIMIT * run.losses[0]:.3g}" in text
        assert run.losses[-1] < LOSS_LIMIT * run.losses[0]
    if every == 10**6:
        assert run.steps.tolist() == [0]
        assert text.endswith(" at the start")


def test_the_step_that_is_named_is_the_first():
    # w -> -3 w, so that the gradient after step k is 4 * (-3)**k.
    steep = Objective("steep", 1, lambda w: 1.0, lambda w: 4 * w)
    exact = next(k for k in range(2000) if 4 * 3**k >= 2**1024)
    sign = "-" if exact % 2 else ""
    for every in (1, 7, 10**6):
        with pytest.raises(DivergenceError) as caught:
            quiet_run(steep, 1.0, [1.0], steps=2000, record_every=every)
        assert f"diverged: {sign}inf stands at index 0 of the gradient after step {exact};" in str(caught.value)


def test_which_quantity_is_named():
    nan = float("nan")

    def after(limit, bad, good):
        return lambda w: bad if w[0] > limit else good

    ones = np.ones(1)
    loss = Objective("a", 1, after(2.5, nan, 1.0), lambda w: -ones)
    with pytest.raises(DivergenceError, match=r"the loss after step 3 is nan; the rate is 1 .* 1 after step 2"):
        quiet_run(loss, 1.0, [0.0], steps=9)
    slope = Objective("b", 1, lambda w: 1.0, after(2.5, np.array([nan]), -ones))
    with pytest.raises(DivergenceError, match="nan stands at index 0 of the gradient after step 3;"):
        quiet_run(slope, 1.0, [0.0], steps=9)
    with pytest.raises(DivergenceError, match="nan stands at index 0 of the gradient after step 3;") as caught:
        quiet_run(slope, 1.0, [0.0], steps=9, record_every=100)
    assert caught.value.trajectory.steps.tolist() == [0]
    jump = Objective("c", 1, lambda w: 1.0, lambda w: -1e308 * ones)
    with pytest.raises(DivergenceError, match="inf stands at index 0 of the parameters after step 1;"):
        quiet_run(jump, 100.0, [0.0], steps=9)
    start = Objective("d", 1, lambda w: nan, lambda w: ones)
    with pytest.raises(DivergenceError, match=r"the loss at the start is nan; .* there was no finite loss before"):
        quiet_run(start, 1.0, [0.0], steps=9)
    nothing = quiet_run(start, 1.0, [0.0], steps=9, on_divergence="stop")
    assert nothing.params.shape == (0, 1)
    assert nothing.losses.size == 0
    falling = quiet_run(saddle(), 0.1, steps=500, on_divergence="stop")
    assert "below the limit -1e+12" in falling.message


def test_a_large_gradient_alone_is_no_divergence():
    # In float32 the square of 1e25 has no number, but the gradient and the step do.
    tall = Objective("tall", 1, lambda w: float(w[0]), lambda w: np.float32([1e25]))
    run = quiet_run(tall, 1e-25, np.float32([0.0]), steps=3)
    np.testing.assert_allclose(run.params[:, 0], [0, -1, -2, -3], rtol=1e-6)
    np.testing.assert_allclose(run.gradient_norms, 1e25, rtol=1e-6)


def test_the_error_travels_between_processes():
    with pytest.raises(DivergenceError) as caught:
        minimize(quadratic(2.0), 3.0, steps=100)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    np.testing.assert_array_equal(copy.trajectory.params, caught.value.trajectory.params)


# Starts.


def test_start_is_copied_and_keeps_its_precision():
    start = np.ones(3)
    run = minimize(REGRESSION, 0.1, start, steps=5)
    np.testing.assert_array_equal(start, 1)
    assert run.params.dtype == np.float64
    small = least_squares(X.astype(np.float32), Y)
    customary = small.start.copy()
    for begin in (None, [0, 0, 0], [0.0, 0.0, 0.0], np.zeros(3, int), np.zeros(3, np.float32)):
        for batch_size in (None, 5):
            run = minimize(small, adam(0.1), begin, steps=5, batch_size=batch_size)
            assert run.params.dtype == np.float32
    np.testing.assert_array_equal(small.start, customary)
    assert minimize(small, 0.1, np.zeros(3), steps=5).params.dtype == np.float64


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 1, 2)])
@pytest.mark.parametrize("make", [lambda: sgd(0.1, momentum=0.5), lambda: adam(0.1)])
def test_starts_of_any_shape(shape, make):
    size = int(np.prod(shape))
    bowl = Objective("bowl", size, lambda w: float(np.sum(w * w)) / 2, lambda w: w)  # its gradient is w itself
    run = minimize(bowl, make(), np.ones(shape), steps=400)
    assert run.params.shape == (401, *shape)
    assert run.losses[0] == size / 2
    assert np.abs(run.final).max() < 1e-3


# Short names.


def test_short_names():
    batch = gradient_descent(REGRESSION, 0.1, steps=4)
    np.testing.assert_array_equal(batch.params, minimize(REGRESSION, sgd(0.1), steps=4).params)
    mini = mini_batch_gradient_descent(REGRESSION, 0.1, batch_size=5, epochs=2, rng=0)
    np.testing.assert_array_equal(mini.params, minimize(REGRESSION, 0.1, steps=10, batch_size=5, rng=0).params)
    single = stochastic_gradient_descent(REGRESSION, 0.1, epochs=2, rng=0, record_every="epoch")
    assert single.samples_seen.tolist() == [0, 23, 46]
    same = stochastic_gradient_descent(REGRESSION, lambda step: 0.1, np.zeros(3), steps=46, rng=0)
    np.testing.assert_array_equal(same.final, single.final)


def test_they_learn():
    labels = (Y > 0).astype(int) + (X[:, 0] > 1)
    run = minimize(two_layer_network(X, labels, 8), adam(0.05), steps=400, batch_size=8, record_every="epoch", rng=0)
    assert run.losses[-1] < 0.1 * run.losses[0]
    run = gradient_descent(logistic_regression(X, Y > 0, l2=0.1), 1.0, steps=300, tolerance=1e-8)
    assert run.status == "converged"
    run = minimize(himmelblau(), 0.01, steps=500, tolerance=1e-9)
    assert min(np.linalg.norm(run.final - m) for m in himmelblau().minimizers) < 1e-9


# Bad input.


@pytest.mark.parametrize(("arguments", "options", "error", "text"), [
    ((REGRESSION, -0.1), {}, ValueError, "optimizer is -0.1; it must be"),
    ((REGRESSION, "adam"), {}, TypeError, "optimizer is 'adam'"),
    ((REGRESSION, None), {}, TypeError, "optimizer is None"),
    ((lambda w: w, 0.1), {}, TypeError, "objective is <function .*; it must be an Objective"),
    ((REGRESSION, 0.1), {"steps": 0}, ValueError, "steps is 0; it must be a whole number of at least 1"),
    ((REGRESSION, 0.1), {"steps": 2.5}, TypeError, "steps is 2.5"),
    ((REGRESSION, 0.1), {"batch_size": 24}, ValueError, "batch_size is 24; it must be at most 23, the number of exam"),
    ((REGRESSION, 0.1), {"batch_size": 0}, ValueError, "batch_size is 0"),
    ((quadratic(2.0), 0.1), {"batch_size": 1}, TypeError, "batch_size is 1, but quadratic has no examples"),
    ((REGRESSION, 0.1), {"sampling": "random"}, ValueError, "sampling is 'random'; allowed are 'epochs', 're"),
    ((REGRESSION, 0.1), {"on_divergence": "warn"}, ValueError, "on_divergence is 'warn'; allowed are 'raise', 'stop'"),
    ((REGRESSION, 0.1), {"tolerance": -1}, ValueError, "tolerance is -1"),
    ((REGRESSION, 0.1), {"tolerance": float("nan")}, ValueError, "tolerance is nan"),
    ((REGRESSION, 0.1), {"record_every": 0}, ValueError, "record_every is 0"),
    ((REGRESSION, 0.1), {"record_every": "step"}, ValueError, "record_every is 'step'; .* or 'epoch'"),
    ((REGRESSION, 0.1), {"batch_size": 2, "rng": -1}, ValueError, "rng is -1"),
    ((REGRESSION, 0.1), {"batch_size": 2, "rng": "a"}, TypeError, "rng is 'a'"),
    ((REGRESSION, 0.1, np.zeros(4)), {}, ValueError, r"start has shape \(4,\); least squares needs \(3,\)"),
    ((REGRESSION, 0.1, [np.nan, 0, 0]), {}, ValueError, r"start has 1 value\(s\) that are NaN"),
    ((REGRESSION, 0.1, ["a", 0, 0]), {}, TypeError, "start has dtype"),
    ((REGRESSION, lambda step: -1.0), {}, ValueError, "learning_rate is -1.0"),
    ((Objective("f", 2, lambda w: 0.0, lambda w: w), 0.1), {}, ValueError, "start is None, and f has no customary"),
    ((Objective("f", 2, lambda w: 0.0, lambda w: w[:1]), 0.1, np.zeros(2)), {}, ValueError,
     r"gradient at start has shape \(1,\), but start has shape \(2,\)"),
])  # fmt: skip
def test_bad_input(arguments, options, error, text):
    with pytest.raises(error, match=text):
        minimize(*arguments, **({"steps": 3} | options))


def test_bad_input_of_short_names():
    with pytest.raises(ValueError, match="steps is None and epochs is None; give one of the two"):
        stochastic_gradient_descent(REGRESSION, 0.1)
    with pytest.raises(ValueError, match="steps is 3 and epochs is 3; give one"):
        mini_batch_gradient_descent(REGRESSION, 0.1, batch_size=2, steps=3, epochs=3)
    with pytest.raises(ValueError, match="epochs is 0"):
        stochastic_gradient_descent(REGRESSION, 0.1, epochs=0)
    with pytest.raises(TypeError, match="batch_size is None"):
        mini_batch_gradient_descent(REGRESSION, 0.1, batch_size=None, steps=3)
    with pytest.raises(TypeError, match="learning_rate is the optimizer adam; give that to minimize"):
        gradient_descent(REGRESSION, adam(0.1), steps=3)
    with pytest.raises(ValueError, match="learning_rate is -1"):
        gradient_descent(REGRESSION, -1, steps=3)
