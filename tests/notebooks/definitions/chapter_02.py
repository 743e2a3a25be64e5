"""What chapter 02 defines against what course_lib ships."""

import numpy as np

from course_lib import evaluation


def labels(rng):
    n, classes = int(rng.integers(5, 60)), int(rng.integers(2, 6))
    true = np.r_[np.arange(classes), rng.integers(classes, size=n)]
    return true, rng.integers(classes, size=n + classes), classes


def check_confusion(confusion, rng):
    true, predicted, classes = labels(rng)
    expected = evaluation.confusion_matrix(true, predicted, labels=np.arange(classes))
    np.testing.assert_array_equal(confusion(true, predicted, classes), expected)


def check_percentile_interval(percentile_interval, rng):
    """Both draw the same rows from the same generator, so the ends are equal and not only close."""
    true, predicted, _ = labels(rng)
    seed, level = int(rng.integers(1000)), float(rng.uniform(0.5, 0.99))
    found = percentile_interval(evaluation.accuracy, (true, predicted), 50, np.random.default_rng(seed), level=level)
    expected = evaluation.bootstrap_interval(evaluation.accuracy, true, predicted, level=level, repeats=50, rng=seed)
    np.testing.assert_allclose(found, (expected.low, expected.high), rtol=1e-12)


def check_cross_entropy(cross_entropy, rng):
    """The notebook's takes logits, the package's probabilities."""
    true, _, classes = labels(rng)
    logits = rng.normal(size=(len(true), classes))
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(cross_entropy(logits, true), evaluation.log_loss(true, proba), rtol=1e-10)
