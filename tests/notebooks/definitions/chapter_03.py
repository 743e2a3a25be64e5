"""What chapter 03 defines against what course_lib ships."""

import numpy as np

from course_lib.optimization.descent import gradient_descent, mini_batch_gradient_descent
from course_lib.optimization.objectives import least_squares


def problem(rng):
    n, dim = int(rng.integers(20, 60)), int(rng.integers(1, 6))
    features, target = rng.normal(size=(n, dim)), rng.normal(size=n)
    return features, target, rng.normal(size=dim), least_squares(features, target)


def check_descend(descend, rng):
    _, _, start, objective = problem(rng)
    rate = rng.uniform(0.1, 1.9) / objective.smoothness
    expected = gradient_descent(objective, rate, start, steps=40).params
    np.testing.assert_allclose(descend(objective.gradient, start, rate, 40), expected, rtol=1e-12, atol=1e-12)


def check_mini_batch_descend(mini_batch_descend, rng):
    features, target, start, objective = problem(rng)
    rate, batch_size, seed = rng.uniform(0.001, 0.02), int(rng.integers(1, 12)), int(rng.integers(1000))
    expected = mini_batch_gradient_descent(
        objective, rate, start, batch_size=batch_size, steps=60, sampling="replacement", rng=seed
    ).params
    found = mini_batch_descend(features, target, start, rate, batch_size, 60, np.random.default_rng(seed))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
