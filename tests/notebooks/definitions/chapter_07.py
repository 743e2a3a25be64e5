"""The penalties' steps that chapter 07 writes out, against the package."""

import numpy as np

from course_lib.regularization import linear, penalties, smoothing


def check_soft_threshold(notebook, rng):
    x = rng.normal(size=(6, 5)) * 3
    for threshold in (0.0, 0.7, 2.0, 50.0):
        np.testing.assert_allclose(notebook(x, threshold), penalties.soft_threshold(x, threshold), atol=1e-14)


def check_shorten_rows(notebook, rng):
    w = rng.normal(size=(8, 3)) * np.geomspace(0.01, 10, 8)[:, None]
    w[3] = 0
    groups = np.repeat(np.arange(8), 3).reshape(8, 3)
    for threshold in (0.0, 0.5, 3.0):
        theirs = penalties.group_soft_threshold(w, threshold, groups)
        np.testing.assert_allclose(notebook(w, threshold), theirs, atol=1e-14)


def check_ridge_weights(notebook, rng):
    for shape in ((30, 6), (6, 30)):
        x, y = rng.normal(size=shape), rng.normal(size=shape[0])
        for strength in (0.1, 5.0):
            theirs = linear.ridge(x, y, strength, fit_intercept=False).coefficients
            np.testing.assert_allclose(notebook(x, y, strength), theirs, rtol=1e-9, atol=1e-11)


def check_lasso_weights(notebook, rng):
    x, y = rng.normal(size=(40, 8)), rng.normal(size=40)
    for strength in (0.02, 0.2):
        theirs = linear.lasso(x, y, strength, fit_intercept=False).coefficients
        np.testing.assert_allclose(notebook(x, y, strength), theirs, atol=1e-8)


def check_elastic_net_weights(notebook, rng):
    x, y = rng.normal(size=(40, 8)), rng.normal(size=40)
    for ratio in (0.2, 0.9):
        theirs = linear.elastic_net(x, y, 0.1, ratio, fit_intercept=False).coefficients
        np.testing.assert_allclose(notebook(x, y, 0.1, ratio), theirs, atol=1e-8)


def check_smooth_labels(notebook, rng):
    y = np.eye(7)[rng.integers(7, size=20)]
    np.testing.assert_allclose(notebook(y, 0.3), smoothing.label_smoothing(y, 0.3), atol=1e-14)


def check_log_probabilities(notebook, rng):
    counts = rng.integers(0, 5, size=(3, 9)).astype(float)
    for alpha in (0.1, 1.0, 4.0):
        model = smoothing.MultinomialNaiveBayes(alpha).fit(counts, np.arange(3))
        np.testing.assert_allclose(notebook(counts, alpha), model.feature_log_prob, atol=1e-12)
