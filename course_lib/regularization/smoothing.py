r"""Additive smoothing of counts, and regularization by noise: dropout, label smoothing, mixup, shifted images.

>>> import numpy as np
>>> words = np.array([[3, 0, 1], [2, 0, 0], [0, 2, 1]])  # (documents, words): how often each word stands in each
>>> model = MultinomialNaiveBayes(alpha=1.0).fit(words, ["spam", "spam", "ham"])
>>> np.exp(model.feature_log_prob).round(3)  # (classes, words): no word is impossible in spam
array([[0.167, 0.5  , 0.333],
       [0.667, 0.111, 0.222]])
>>> model.predict([[0, 1, 0]])
array(['ham'], dtype='<U4')
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["MultinomialNaiveBayes", "augment_shift", "dropout_mask", "label_smoothing", "mixup"]


class MultinomialNaiveBayes:
    r"""Classify counts, each class with its own probabilities of the features: naive Bayes with additive smoothing.

    Parameters
    ----------
    alpha : float
        How many imagined counts every feature gets in every class, at least 0. 1 is Laplace's rule. 0 is maximum
        likelihood: a feature that a class never showed is then impossible in it, and one such feature in a new example
        rules the class out whatever the others say.
    fit_prior : bool
        Whether the classes' probabilities are their shares of the training examples; otherwise all are alike.

    Attributes
    ----------
    classes : ndarray, shape (classes,)
        The labels, sorted; known after `fit`, like what follows.
    class_log_prior : ndarray, shape (classes,)
        The logarithms of the classes' probabilities.
    feature_log_prob : ndarray, shape (classes, features)
        The logarithms of the features' probabilities in each class; minus infinity for an impossible one.

    Raises
    ------
    ValueError
        If `alpha` is below 0.

    Notes
    -----
    Let a class have shown feature *j* :math:`N_j` times, *N* in all, over *d* features. The likelihood is
    :math:`\prod_j\theta_j^{N_j}`. Take as prior the Dirichlet density, proportional to
    :math:`\prod_j\theta_j^{\alpha - 1}`. Their product is proportional to :math:`\prod_j\theta_j^{N_j + \alpha - 1}`,
    again a Dirichlet density, with the parameters :math:`N_j + \alpha`. The mean of a Dirichlet density is its
    parameters over their sum:

    .. math:: \mathrm{E}[\theta_j \mid \text{data}] = \frac{N_j + \alpha}{N + \alpha d},

    which is what this class uses. So smoothing is a prior on probabilities, and does to counts what a penalty does to
    weights: it pulls the estimate towards 1 / *d*, the less the more data there are. It is no penalty on the weights of
    a linear model, and "Laplace" smoothing has nothing to do with the Laplace *density* behind the lasso. (The
    *maximum* of the posterior is :math:`(N_j + \alpha - 1) / (N + \alpha d - d)`: Laplace's rule is the mean for
    :math:`\alpha = 1` and the maximum for :math:`\alpha = 2`.)

    References
    ----------
    C. D. Manning, P. Raghavan, H. Schütze, 2008, Introduction to Information Retrieval, section 13.2,
    https://nlp.stanford.edu/IR-book/html/htmledition/naive-bayes-text-classification-1.html

    Examples
    --------
    >>> unsmoothed = MultinomialNaiveBayes(alpha=0.0).fit([[2, 0], [0, 3]], [0, 1])
    >>> unsmoothed.predict([[1, 1]])
    Traceback (most recent call last):
        ...
    ValueError: x has a row, number 0, impossible in every class; with alpha above 0 none is
    """

    classes: np.ndarray
    class_log_prior: np.ndarray
    feature_log_prob: np.ndarray

    def __init__(self, alpha: float = 1.0, fit_prior: bool = True) -> None:
        self.alpha = _check.non_negative("alpha", alpha)
        self.fit_prior = _check.flag("fit_prior", fit_prior)

    def fit(self, x: Any, y: Any) -> MultinomialNaiveBayes:
        """Count.

        Parameters
        ----------
        x : array_like, shape (examples, features)
            Counts, at least 0; fractions are taken as they are.
        y : array_like, shape (examples,)
            The labels: numbers or strings.

        Returns
        -------
        MultinomialNaiveBayes
            The object itself.

        Raises
        ------
        TypeError, ValueError
            If `x` does not hold counts, the lengths differ, or (with ``alpha=0``) a class has no counts at all.
        """
        x, y = _counts(x), np.asarray(y)
        if y.ndim != 1 or len(y) != len(x) or len(x) == 0:
            raise ValueError(f"y has shape {y.shape}; x has {len(x)} rows, and at least 1 is needed")
        self.classes, index, examples = np.unique(y, return_inverse=True, return_counts=True)
        counts = np.zeros((len(self.classes), x.shape[1]))  # (classes, features)
        np.add.at(counts, index, x)
        smoothed = counts + self.alpha
        totals = smoothed.sum(axis=1, keepdims=True)
        if not (totals > 0).all():
            empty = self.classes[int(np.argmin(totals))]
            raise ValueError(f"alpha is 0 and the class {empty!r} has no counts: its probabilities are 0 / 0")
        share = examples / len(y) if self.fit_prior else np.full(len(examples), 1 / len(examples))
        self.class_log_prior, self.feature_log_prob = np.log(share), _log(smoothed / totals)
        return self

    def joint_log_probability(self, x: Any) -> np.ndarray:
        r"""Give :math:`\log p(c) + \sum_j x_j\log\theta_{cj}`, the terms of Bayes' rule before they are normalised.

        Parameters
        ----------
        x : array_like, shape (examples, features)
            Counts.

        Returns
        -------
        ndarray, shape (examples, classes)
            Minus infinity where the class cannot have made the example. The multinomial coefficient, which is the same
            for all classes, is left out.

        Raises
        ------
        TypeError, ValueError
            If `x` does not hold counts of as many features, or nothing was fitted yet.
        """
        if not hasattr(self, "classes"):
            raise ValueError("nothing was fitted yet; call fit first")
        x = _counts(x)
        if x.shape[1] != self.feature_log_prob.shape[1]:
            raise ValueError(f"x has {x.shape[1]} features; the fit was made with {self.feature_log_prob.shape[1]}")
        impossible = np.isneginf(self.feature_log_prob)
        # 0 counts of an impossible feature cost nothing: 0 * -inf is 0 here, where floating point says NaN.
        logs = x @ np.where(impossible, 0.0, self.feature_log_prob).T + self.class_log_prior
        return np.where(x @ impossible.T > 0, -np.inf, logs)

    def predict_log_proba(self, x: Any) -> np.ndarray:
        """Give the logarithms of the classes' probabilities.

        Parameters
        ----------
        x : array_like, shape (examples, features)
            Counts.

        Returns
        -------
        ndarray, shape (examples, classes)

        Raises
        ------
        TypeError, ValueError
            As `joint_log_probability`; or, with ``alpha=0``, if an example is impossible in every class, so that its
            probabilities would be 0 / 0.
        """
        joint = self.joint_log_probability(x)
        top = joint.max(axis=1, keepdims=True)
        if np.isneginf(top).any():
            row = int(np.argmin(top))
            raise ValueError(f"x has a row, number {row}, impossible in every class; with alpha above 0 none is")
        return joint - (top + np.log(np.exp(joint - top).sum(axis=1, keepdims=True)))

    def predict(self, x: Any) -> np.ndarray:
        """Give the most probable class of each example.

        Parameters
        ----------
        x : array_like, shape (examples, features)
            Counts.

        Returns
        -------
        ndarray, shape (examples,)
            Labels; of equally probable classes the first.

        Raises
        ------
        TypeError, ValueError
            As `predict_log_proba`.
        """
        best = np.argmax(self.predict_log_proba(x), axis=1)
        return self.classes[best]


def label_smoothing(one_hot: Any, amount: float) -> np.ndarray:
    r"""Mix target probabilities with the uniform ones, ``(1 - amount) * one_hot + amount / classes``.

    Parameters
    ----------
    one_hot : array_like, shape (..., classes)
        Target probabilities: one-hot, or any that sum to 1.
    amount : float
        The share of the uniform distribution, at least 0 and below 1.

    Returns
    -------
    ndarray, shape (..., classes)
        Of the dtype of `one_hot` where that is floating-point.

    Raises
    ------
    TypeError, ValueError
        If `one_hot` has no last axis or does not hold probabilities, or `amount` is out of its range.

    References
    ----------
    C. Szegedy et al., 2016, section 7, arXiv:1512.00567

    Examples
    --------
    >>> label_smoothing([[0, 1]], 0.1)
    array([[0.05, 0.95]])
    """
    targets, amount = _check.finite("one_hot", one_hot), _check.fraction("amount", amount)
    if targets.ndim == 0 or targets.shape[-1] == 0:
        raise ValueError(f"one_hot has shape {targets.shape}; it needs a last axis of classes")
    if targets.size and (targets.min() < 0 or np.abs(targets.sum(axis=-1) - 1).max() > 1e-3):
        raise ValueError("one_hot has a row that is below 0 somewhere or does not sum to 1; it must hold probabilities")
    return (1 - amount) * targets + amount / targets.shape[-1]


def mixup(
    x: Any, y: Any, alpha: float, rng: np.random.Generator, per_example: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    r"""Replace examples by weighted means of two, inputs and targets alike.

    :math:`\tilde x = \lambda x_i + (1 - \lambda)x_j` and :math:`\tilde y = \lambda y_i + (1 - \lambda)y_j`, with *j*
    from a random permutation of the batch and :math:`\lambda` from a Beta(alpha, alpha) distribution.

    Parameters
    ----------
    x : array_like, shape (batch, ...)
        The inputs.
    y : array_like, shape (batch, ...)
        The targets, as probabilities (one-hot) or numbers; class numbers cannot be mixed.
    alpha : float
        Above 0. Small: nearly all pairs are nearly one of the two; 1: every mixture is as likely as any other.
    rng : numpy.random.Generator
        Where the numbers come from.
    per_example : bool
        Whether every example has its own weight; otherwise the batch has one, as in the paper's code.

    Returns
    -------
    x, y : ndarray
        Of the shapes given.

    Raises
    ------
    TypeError, ValueError
        If the lengths differ, or `alpha` is not above 0.

    References
    ----------
    H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, 2018, arXiv:1710.09412

    Examples
    --------
    >>> x, y = np.array([[0.0], [10.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> mixed, targets = mixup(x, y, 1.0, np.random.default_rng(0))
    >>> bool(np.allclose(mixed[:, 0], 10 * targets[:, 1]))  # inputs and targets are mixed with one weight
    True
    """
    x, y, alpha = _check.finite("x", x), _check.finite("y", y), _check.positive("alpha", alpha)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(f"x has shape {x.shape} and y {y.shape}; they need one length along the first axis")
    n = len(x)
    share = rng.beta(alpha, alpha, size=n if _check.flag("per_example", per_example) else 1)
    other = rng.permutation(n)

    def mix(array: np.ndarray) -> np.ndarray:
        weight = share.reshape(-1, *[1] * (array.ndim - 1)).astype(array.dtype)
        return weight * array + (1 - weight) * array[other]

    return mix(x), mix(y)


def dropout_mask(shape: int | tuple[int, ...], rate: float, rng: np.random.Generator, dtype: Any = float) -> np.ndarray:
    """Draw the factors of inverted dropout: 0 with probability `rate`, ``1 / (1 - rate)`` otherwise.

    Multiply activations by it while training. The mean of every factor is 1, so at prediction there is nothing to do.

    Parameters
    ----------
    shape : int or tuple of int
        The shape of the activations.
    rate : float
        The share of the units that are dropped, at least 0 and below 1.
    rng : numpy.random.Generator
        Where the numbers come from.
    dtype : dtype
        Of the result.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        If `rate` is out of its range.

    References
    ----------
    N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever, R. Salakhutdinov, 2014, Journal of Machine Learning Research
    15, https://jmlr.org/papers/v15/srivastava14a.html. Theirs multiplies by ``1 - rate`` at prediction instead.

    Examples
    --------
    >>> sorted(set(dropout_mask(1000, 0.5, np.random.default_rng(0)).tolist()))
    [0.0, 2.0]
    """
    rate = _check.fraction("rate", rate)
    kept = rng.random(shape) >= rate
    return kept * np.asarray(1 / (1 - rate), dtype=dtype)


def augment_shift(images: Any, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Shift every image by a random whole number of pixels, each way with its own; what comes in is 0.

    Parameters
    ----------
    images : array_like, shape (batch, height, width, ...)
        Images; any axes after these, such as channels, move along.
    pixels : int
        The largest shift, at least 0. Every shift from ``-pixels`` to ``pixels`` is as likely as any other.
    rng : numpy.random.Generator
        Where the numbers come from.

    Returns
    -------
    ndarray
        Of the shape and dtype of `images`.

    Raises
    ------
    TypeError, ValueError
        If there are fewer than three axes, or `pixels` is no whole number of at least 0.

    Examples
    --------
    >>> image = np.zeros((1, 3, 3))
    >>> image[0, 1, 1] = 5.0
    >>> float(augment_shift(image, 1, np.random.default_rng(0)).sum())  # no bright pixel can leave from the middle
    5.0
    """
    images, pixels = np.asarray(images), _check.count("pixels", pixels, least=0)
    if images.ndim < 3:
        raise ValueError(f"images has shape {images.shape}; it needs at least (batch, height, width)")
    batch, height, width = images.shape[:3]
    edges = [(0, 0), (pixels, pixels), (pixels, pixels), *[(0, 0)] * (images.ndim - 3)]
    padded = np.pad(images, edges)
    down, right = rng.integers(0, 2 * pixels + 1, size=(2, batch, 1))
    rows = down + np.arange(height)  # (batch, height)
    columns = right + np.arange(width)  # (batch, width)
    return padded[np.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _counts(x: Any) -> np.ndarray:
    counts = _check.finite("x", x, ndim=2).astype(np.float64)
    if counts.size and counts.min() < 0:
        raise ValueError(f"x has the number {counts.min():g} in it; counts are at least 0")
    return counts


def _log(probabilities: np.ndarray) -> np.ndarray:
    possible = probabilities > 0
    return np.log(probabilities, out=np.full_like(probabilities, -np.inf), where=possible)
