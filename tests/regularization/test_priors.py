"""Priors as penalties, and random features with their minimum-norm fits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import regularization as r

quick = settings(deadline=None, max_examples=30)
BOTH = pytest.mark.parametrize("prior", [r.GaussianPrior(0.7), r.LaplacePrior(0.7)], ids=["gaussian", "laplace"])


def density(prior, w):
    if isinstance(prior, r.GaussianPrior):
        return math.exp(-(w**2) / (2 * prior.std**2)) / math.sqrt(2 * math.pi * prior.std**2)
    return math.exp(-abs(w) / prior.scale) / (2 * prior.scale)


@BOTH
def test_densities_are_those_of_the_formulas_and_integrate_to_one(prior):
    for w in (-2.0, -0.1, 0.0, 1.5):
        assert prior.negative_log_density(w) == pytest.approx(-math.log(density(prior, w)), rel=1e-12)
    grid = np.linspace(-20, 20, 400_001)
    values = np.exp([-prior.negative_log_density(w) for w in grid[::100]])
    assert values.sum() * (grid[100] - grid[0]) == pytest.approx(1, abs=2e-3)


@BOTH
def test_densities_of_trees_multiply(prior):
    tree = {"a": np.array([0.5, -1.0]), "b": [np.array([[2.0]])]}
    alone = sum(prior.negative_log_density(w) for w in (0.5, -1.0, 2.0))
    assert prior.negative_log_density(tree) == pytest.approx(alone)


@BOTH
def test_gradients_are_those_of_central_differences(prior):
    w, h = np.array([0.4, -1.3, 2.0]), 1e-6
    for i, slope in enumerate(prior.gradient(w)):
        e = h * np.eye(3)[i]
        difference = prior.negative_log_density(w + e) - prior.negative_log_density(w - e)
        assert slope == pytest.approx(difference / (2 * h), rel=1e-6)


@BOTH
def test_samples_follow_the_density(prior):
    sample = prior.sample((200, 500), np.random.default_rng(0))
    assert sample.shape == (200, 500)
    variance = 0.7**2 if isinstance(prior, r.GaussianPrior) else 2 * 0.7**2
    assert abs(sample.mean()) < 0.02
    assert sample.var() == pytest.approx(variance, rel=0.03)
    mean_size = 0.7 * math.sqrt(2 / math.pi) if isinstance(prior, r.GaussianPrior) else 0.7
    assert np.abs(sample).mean() == pytest.approx(mean_size, rel=0.02)


def negative_log_posterior(prior, x, y, noise_variance, w):
    return np.sum((y - x @ w) ** 2) / (2 * noise_variance) + prior.negative_log_density(w)


@quick
@given(seed=st.integers(0, 2**32 - 1), noise=st.floats(0.1, 3), width=st.floats(0.1, 3))
def test_the_most_probable_weights_are_ridge_and_lasso(seed, noise, width):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(4, 15)), int(rng.integers(1, 8))
    x, y = rng.normal(size=(n, d)), rng.normal(size=n)
    gauss, laplace = r.GaussianPrior(width), r.LaplacePrior(width)
    by_ridge = r.ridge(x, y, noise / width**2, fit_intercept=False).coefficients
    by_lasso = r.coordinate_descent_lasso(x, y, noise / (n * width))
    assert gauss.penalty(noise, n).strength * n == pytest.approx(noise / width**2)
    assert laplace.penalty(noise, n).strength == pytest.approx(noise / (n * width))
    for prior, best in ((gauss, by_ridge), (laplace, by_lasso)):
        least = negative_log_posterior(prior, x, y, noise, best)
        for scale in (1e-4, 1e-2, 1.0):
            for _ in range(5):
                other = best + scale * rng.normal(size=d)
                assert negative_log_posterior(prior, x, y, noise, other) >= least - 1e-9 * (1 + abs(least))


@BOTH
def test_the_penalty_is_the_density_in_units_of_the_mean_loss(prior):
    penalty, w, v = prior.penalty(noise_variance=2.0, n=50), np.array([1.0, -0.3]), np.array([0.2, 4.0])
    wanted = (prior.negative_log_density(w) - prior.negative_log_density(v)) * 2.0 / 50
    assert penalty.value(w) - penalty.value(v) == pytest.approx(wanted)
    assert prior.penalty(2.0, 50, where=r.kernels).where is r.kernels


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: r.GaussianPrior(0.0), "std is 0.0"),
        (lambda: r.LaplacePrior(-1.0), "scale is -1.0"),
        (lambda: r.GaussianPrior(1.0).penalty(0.0, 5), "noise_variance is 0.0"),
        (lambda: r.LaplacePrior(1.0).penalty(1.0, 0), "n is 0"),
        (lambda: r.relu_features(0, 5, 1), "dim is 0"),
        (lambda: r.relu_features(3, 5, -1), "seed is -1"),
        (lambda: r.fourier_features(3, 5, 1, bandwidth=0.0), "bandwidth is 0.0"),
        (lambda: r.relu_features(3, 5, 1)(np.ones((2, 4))), "x has 4 columns; these features were made for 3"),
        (lambda: r.relu_features(3, 5, 1).first(6), "count is 6; there are 5 features"),
        (lambda: r.minimum_norm_fit(np.ones((2, 2)), np.ones(2), -1.0), "ridge is -1.0"),
        (lambda: r.minimum_norm_fit(np.ones((2, 2)), np.ones(3)), r"y has shape \(3,\)"),
    ],
)
def test_what_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# Random features


def test_relu_features_are_those_of_the_formula():
    x = np.random.default_rng(0).normal(size=(6, 4))
    layer = r.relu_features(4, 9, seed=3)
    assert np.allclose(np.linalg.norm(layer.weights, axis=1), 1)
    wanted = [[math.sqrt(2 / 9) * max(0.0, float(v @ row)) for v in layer.weights] for row in x]
    assert np.allclose(layer(x), wanted)
    assert np.array_equal(r.random_relu_features(x, 9, 3), layer(x))


def test_fourier_features_are_those_of_the_formula():
    x = np.random.default_rng(0).normal(size=(6, 4))
    layer = r.fourier_features(4, 9, seed=3, bandwidth=2.0)
    pairs = list(zip(layer.weights, layer.biases, strict=True))
    wanted = [[math.sqrt(2 / 9) * math.cos(v @ row + u) for v, u in pairs] for row in x]
    assert np.allclose(layer(x), wanted)
    assert np.array_equal(r.random_fourier_features(x, 9, 3, bandwidth=2.0), layer(x))
    assert layer.biases.min() >= 0
    assert layer.biases.max() <= 2 * math.pi
    many = r.fourier_features(1, 10_000, seed=0).biases
    assert np.allclose(np.histogram(many, bins=4, range=(0, 2 * math.pi))[0] / 10_000, 0.25, atol=0.03)


def test_fourier_features_approach_the_gaussian_kernel():
    x = np.random.default_rng(1).normal(size=(5, 3))
    z = r.fourier_features(3, 100_000, seed=0, bandwidth=1.5)(x)
    distance = np.sum((x[:, None] - x[None]) ** 2, axis=-1)
    assert np.allclose(z @ z.T, np.exp(-distance / (2 * 1.5**2)), atol=0.02)


def test_relu_features_approach_the_arc_cosine_kernel():
    # Y. Cho, L. Saul, 2009: for v standard normal, E[max(vx, 0) max(vz, 0)] = |x||z| (sin a + (pi - a) cos a) / (2 pi).
    x = np.random.default_rng(1).normal(size=(4, 3))
    z = r.relu_features(3, 200_000, seed=0)(x)
    norms = np.linalg.norm(x, axis=1)
    cosine = np.clip(x @ x.T / np.outer(norms, norms), -1, 1)
    angle = np.arccos(cosine)
    kernel = np.outer(norms, norms) * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)
    assert np.allclose(z @ z.T, 2 * kernel / 3, atol=0.03)  # unit vectors: a third of the normal ones' squared length


@pytest.mark.parametrize("make", [r.relu_features, r.fourier_features])
def test_wider_layers_begin_with_the_narrower(make):
    x = np.random.default_rng(0).normal(size=(6, 4))
    narrow, wide = make(4, 5, 7), make(4, 12, 7)
    assert np.allclose(narrow(x) * math.sqrt(5), (wide(x) * math.sqrt(12))[:, :5])
    assert np.allclose(wide.first(5)(x), narrow(x))


def test_a_generator_moves_on_and_a_number_does_not():
    x, rng = np.ones((2, 3)), np.random.default_rng(0)
    assert not np.array_equal(r.random_relu_features(x, 4, rng), r.random_relu_features(x, 4, rng))
    assert np.array_equal(r.random_relu_features(x, 4, 5), r.random_relu_features(x, 4, 5))


@quick
@given(seed=st.integers(0, 2**32 - 1))
def test_the_minimum_norm_fit_is_that_of_lstsq_and_the_limit_of_ridge(seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(int(rng.integers(1, 15)), int(rng.integers(1, 15))))
    if rng.random() < 0.3:
        z = np.vstack([z, z])  # not of full rank
    y = rng.normal(size=(len(z), 2)) if rng.random() < 0.5 else rng.normal(size=len(z))
    w = r.minimum_norm_fit(z, y)
    assert np.allclose(w, np.linalg.lstsq(z, y, rcond=None)[0], atol=1e-7 * max(1, np.abs(w).max()))
    small = 1e-9 * np.linalg.norm(z, 2) ** 2
    assert np.allclose(z @ r.minimum_norm_fit(z, y, small), z @ w, atol=1e-2 * np.abs(y).max())
    shrunk = r.minimum_norm_fit(z, y, 0.5)
    assert np.allclose(z.T @ (y - z @ shrunk), 0.5 * shrunk, atol=1e-9 * (1 + np.abs(z.T @ y).max()))
    assert np.linalg.norm(shrunk) <= np.linalg.norm(w) * (1 + 1e-9)
    if z.shape[1] >= len(z):
        null = np.linalg.svd(z)[2][np.linalg.matrix_rank(z) :]
        assert np.allclose(null @ w, 0, atol=1e-8 * max(1, np.abs(w).max()))


def test_double_descent_shows_and_ridge_removes_it():
    # 40 examples with noise: the error peaks where there are as many features as examples.
    rng = np.random.default_rng(0)
    x, x_test = rng.normal(size=(40, 5)), rng.normal(size=(500, 5))
    errors = {0.0: [], 1.0: []}
    for width in (10, 40, 400):
        for ridge, found in errors.items():
            runs = []
            for draw in range(9):
                y = x[:, 0] + 0.5 * np.random.default_rng(draw).normal(size=40)
                layer = r.relu_features(5, width, draw)
                w = r.minimum_norm_fit(layer(x), y, ridge)
                runs.append(np.mean((layer(x_test) @ w - x_test[:, 0]) ** 2))
            found.append(np.median(runs))
    narrow, peak, wide = errors[0.0]
    assert peak > 3 * narrow
    assert peak > 3 * wide
    assert errors[1.0][1] < peak / 3
