"""Chapter 05's schedules, functions of the step and their settings, against those of the package."""

import numpy as np

from course_lib.optimization import schedules


def _agree(of_notebook, of_package, rng, last):
    """Compare at whole steps, which hit every boundary, at fractions, and at a single step, past the end too."""
    t = np.concatenate([np.arange(2 * last), rng.uniform(0, 2 * last, 50)])
    np.testing.assert_allclose(of_notebook(t), of_package(t), rtol=1e-12, atol=1e-14)
    single = int(rng.integers(0, 2 * last))
    np.testing.assert_allclose(float(of_notebook(single)), of_package(single), rtol=1e-12, atol=1e-14)


def _settings(rng):
    """Draw an initial and a final rate and a number of steps."""
    return rng.uniform(0.1, 2), rng.uniform(0, 0.1), int(rng.integers(5, 200))


def check_linear(notebook, rng):
    high, low, n = _settings(rng)
    _agree(lambda t: notebook(t, high, low, n), schedules.linear(high, low, n), rng, n)
    _agree(lambda t: notebook(t, low, high, n), schedules.linear(low, high, n), rng, n)


def check_polynomial(notebook, rng):
    high, low, n = _settings(rng)
    power = rng.uniform(0.5, 3)
    _agree(lambda t: notebook(t, high, low, n, power), schedules.polynomial(high, low, n, power), rng, n)
    _agree(lambda t: notebook(t, high, low, n), schedules.polynomial(high, low, n), rng, n)


def check_exponential(notebook, rng):
    high, _, n = _settings(rng)
    rate = rng.uniform(0.1, 0.9)
    _agree(lambda t: notebook(t, high, rate, n), schedules.exponential(high, rate, n), rng, n)
    _agree(lambda t: notebook(t, high, rate), schedules.exponential(high, rate), rng, 20)


def check_inverse_time(notebook, rng):
    high, _, n = _settings(rng)
    rate = rng.uniform(0.1, 9)
    _agree(lambda t: notebook(t, high, rate, n), schedules.inverse_time(high, rate, n), rng, n)
    _agree(lambda t: notebook(t, high, rate), schedules.inverse_time(high, rate), rng, n)


def check_inverse_square_root(notebook, rng):
    high, _, n = _settings(rng)
    _agree(lambda t: notebook(t, high, n), schedules.inverse_square_root(high, n), rng, n)


def check_step_decay(notebook, rng):
    high, _, n = _settings(rng)
    factor = rng.uniform(0.1, 0.9)
    _agree(lambda t: notebook(t, high, factor, n), schedules.step_decay(high, factor, n), rng, 4 * n)


def check_piecewise_constant(notebook, rng):
    bounds = np.sort(rng.choice(np.arange(1, 100), 3, replace=False)).tolist()
    values = rng.uniform(0, 1, 4).tolist()
    _agree(lambda t: notebook(t, bounds, values), schedules.piecewise_constant(bounds, values), rng, 100)


def check_reduce_on_plateau(notebook, rng):
    losses = 1 + np.exp(-np.arange(60) / 5) + rng.uniform(0, 0.3, 60)
    for settings in ((0.3, 2, 1e-4), (0.5, 0, 0.01), (0.1, 10, 0.0)):
        rule = schedules.reduce_on_plateau(0.7, *settings)
        state, rates = rule.init(), []
        for loss in losses:
            rate, state = rule.update(loss, state)
            rates.append(rate)
        assert rates[-1] < 0.7, "this test must see the rate fall"
        assert np.allclose(notebook(losses, 0.7, *settings), rates, rtol=1e-6, atol=2e-8), settings
    assert notebook(np.ones(12), 0.7)[-1] < notebook(np.ones(11), 0.7)[-1] == 0.7, "the default patience is 10"


def check_cosine(notebook, rng):
    high, low, n = _settings(rng)
    _agree(lambda t: notebook(t, high, n, low), schedules.cosine(high, n, low), rng, n)
    _agree(lambda t: notebook(t, high, n), schedules.cosine(high, n), rng, n)


def check_cosine_restarts(notebook, rng):
    high, _, n = _settings(rng)
    for factor in (1, 2, 3):
        ours = schedules.cosine_restarts(high, n, factor)
        _agree(lambda t, factor=factor: notebook(t, high, n, factor), ours, rng, 8 * n)
    _agree(lambda t: notebook(t, high, n), schedules.cosine_restarts(high, n), rng, 8 * n)


def check_warmup(notebook, rng):
    high, low, n = _settings(rng)
    inner = schedules.cosine(high, n, low)
    rise = int(rng.integers(1, n))
    _agree(lambda t: notebook(t, inner, rise), schedules.warmup(inner, rise), rng, n)


def check_one_cycle(notebook, rng):
    high, _, n = _settings(rng)
    n += 10
    share, first, last = rng.uniform(0.1, 0.9), rng.uniform(2, 50), rng.uniform(2, 1e4)
    ours = schedules.one_cycle(high, n, share, first, last)
    _agree(lambda t: notebook(t, high, n, share, first, last), ours, rng, n)
    _agree(lambda t: notebook(t, high, n), schedules.one_cycle(high, n), rng, n)
