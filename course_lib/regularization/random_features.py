r"""Random features: linear models of any width on one data set, to see what width alone does.

A hidden layer whose weights are drawn once and never trained, and a linear fit on top of it. The number of features is
the size of the model, and the fit is exact at every size, so that a curve over sizes shows the size and no trace of an
optimizer.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> x = rng.normal(size=(20, 3))
>>> y = x[:, 0]
>>> features = relu_features(3, 50, seed=1)  # 50 features, more than the 20 examples
>>> w = minimum_norm_fit(features(x), y)
>>> bool(np.allclose(features(x) @ w, y))  # so the fit goes through all of them
True
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib import _check
from course_lib.regularization.linear import _centred, _filter, _scale_rows

__all__ = [
    "RandomFeatures", "fourier_features", "minimum_norm_fit", "random_fourier_features", "random_relu_features",
    "relu_features",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class RandomFeatures:
    """A layer with weights that were drawn once; make one with `relu_features` or `fourier_features`.

    Attributes
    ----------
    kind : {"relu", "fourier"}
        The function after the linear map.
    weights : ndarray, shape (count, dim)
        One direction per feature.
    biases : ndarray, shape (count,)
        One offset per feature.
    """

    kind: str
    weights: np.ndarray
    biases: np.ndarray

    def __call__(self, x: Any) -> np.ndarray:
        r"""Compute the features of some examples.

        Parameters
        ----------
        x : array_like, shape (examples, dim)
            The inputs.

        Returns
        -------
        ndarray, shape (examples, count)
            :math:`\sqrt{2/\mathrm{count}}` times ``max(z, 0)`` or ``cos(z)``, where ``z = weights @ x + biases``; with
            that factor an inner product of two examples' features does not grow with their number.

        Raises
        ------
        ValueError
            If `x` has another number of columns.
        """
        x = _check.finite("x", x, ndim=2)
        if x.shape[1] != self.weights.shape[1]:
            raise ValueError(f"x has {x.shape[1]} columns; these features were made for {self.weights.shape[1]}")
        z = x @ self.weights.T + self.biases  # (examples, count)
        z = np.maximum(z, 0, out=z) if self.kind == "relu" else np.cos(z, out=z)
        z *= math.sqrt(2 / len(self.weights))
        return z

    def first(self, count: int) -> RandomFeatures:
        """Give the layer with only its first features: a smaller model inside this one.

        Parameters
        ----------
        count : int
            How many to keep.

        Returns
        -------
        RandomFeatures

        Raises
        ------
        ValueError
            If there are not as many.
        """
        if _check.count("count", count) > len(self.weights):
            raise ValueError(f"count is {count}; there are {len(self.weights)} features")
        return RandomFeatures(self.kind, self.weights[:count], self.biases[:count])


def relu_features(dim: int, count: int, seed: Any) -> RandomFeatures:
    r"""Draw a layer of ReLU features, :math:`\max(v^\top x, 0)` with *v* uniform on the unit sphere.

    Parameters
    ----------
    dim : int
        The number of inputs.
    count : int
        The number of features.
    seed : numpy.random.Generator or int
        Where the numbers come from. With the same whole number, the first features of a wider layer are those of a
        narrower one, before the factor that depends on the width.

    Returns
    -------
    RandomFeatures

    Raises
    ------
    TypeError, ValueError
        If a number is not a whole number of at least 1, or `seed` is no source of numbers.

    References
    ----------
    M. Belkin, D. Hsu, S. Ma, S. Mandal, 2019, arXiv:1812.11118
    """
    dim, count = _check.count("dim", dim), _check.count("count", count)
    directions = _generator(seed).normal(size=(count, dim))
    return RandomFeatures("relu", directions / np.linalg.norm(directions, axis=1, keepdims=True), np.zeros(count))


def fourier_features(dim: int, count: int, seed: Any, bandwidth: float = 1.0) -> RandomFeatures:
    r"""Draw a layer of Fourier features, :math:`\cos(v^\top x + u)`, whose inner products approach a Gaussian kernel.

    With the factor of `RandomFeatures`, the mean over draws of an inner product is exactly
    :math:`e^{-\|x - x'\|^2 / (2\,\mathrm{bandwidth}^2)}`.

    Parameters
    ----------
    dim : int
        The number of inputs.
    count : int
        The number of features.
    seed : numpy.random.Generator or int
        Where the numbers come from; see `relu_features`.
    bandwidth : float
        The distance over which the kernel falls, above 0, in the units of the inputs. *v* is normal with standard
        deviation 1 / bandwidth, *u* uniform from 0 to :math:`2\pi`.

    Returns
    -------
    RandomFeatures

    Raises
    ------
    TypeError, ValueError
        If a number is out of its range, or `seed` is no source of numbers.

    References
    ----------
    A. Rahimi, B. Recht, 2007, Random Features for Large-Scale Kernel Machines, Advances in Neural Information
    Processing Systems 20
    """
    dim, count = _check.count("dim", dim), _check.count("count", count)
    bandwidth = _check.positive("bandwidth", bandwidth)
    drawn = _generator(seed).normal(size=(count, dim + 1))
    # The phase comes from a normal number too, by way of its distribution function, so that a wider layer with the
    # same seed begins with the same features.
    share = np.array([0.5 * math.erfc(-number / math.sqrt(2)) for number in drawn[:, dim]])
    return RandomFeatures("fourier", drawn[:, :dim] / bandwidth, 2 * math.pi * share)


def random_relu_features(x: Any, count: int, rng: Any) -> np.ndarray:
    """Draw ReLU features and compute them, for one array of examples.

    Parameters
    ----------
    x : array_like, shape (examples, dim)
        The inputs. For training and test data alike, use `relu_features`, or the same whole number as `rng`.
    count : int
        The number of features.
    rng : numpy.random.Generator or int
        Where the numbers come from.

    Returns
    -------
    ndarray, shape (examples, count)

    Raises
    ------
    TypeError, ValueError
        As `relu_features`.
    """
    x = _check.finite("x", x, ndim=2)
    return relu_features(x.shape[1], count, rng)(x)


def random_fourier_features(x: Any, count: int, rng: Any, bandwidth: float = 1.0) -> np.ndarray:
    """Draw Fourier features and compute them, for one array of examples.

    Parameters
    ----------
    x : array_like, shape (examples, dim)
        The inputs. For training and test data alike, use `fourier_features`, or the same whole number as `rng`.
    count : int
        The number of features.
    rng : numpy.random.Generator or int
        Where the numbers come from.
    bandwidth : float
        As in `fourier_features`.

    Returns
    -------
    ndarray, shape (examples, count)

    Raises
    ------
    TypeError, ValueError
        As `fourier_features`.
    """
    x = _check.finite("x", x, ndim=2)
    return fourier_features(x.shape[1], count, rng, bandwidth)(x)


def minimum_norm_fit(features: Any, y: Any, ridge: float = 0.0) -> np.ndarray:
    r"""Fit weights by least squares; of all that fit equally well, those with the smallest norm.

    Where there are at least as many features as examples, infinitely many weights fit all examples exactly, and this
    choice is the one that gradient descent from 0 arrives at, and the limit of ridge as its strength goes to 0.

    Parameters
    ----------
    features : array_like, shape (examples, count)
        The features; there is no intercept.
    y : array_like, shape (examples,) or (examples, targets)
        The targets.
    ridge : float
        Adds this times :math:`\|w\|^2` to the *sum* of squared residuals, at least 0: the convention of
        `course_lib.regularization.ridge`.

    Returns
    -------
    ndarray, shape (count,) or (count, targets)
        The weights.

    Raises
    ------
    TypeError, ValueError
        If the data are not finite numbers of matching shapes, or `ridge` is below 0.

    References
    ----------
    T. Hastie, A. Montanari, S. Rosset, R. J. Tibshirani, 2022, arXiv:1903.08560

    Examples
    --------
    >>> minimum_norm_fit([[1.0, 1.0]], [4.0])
    array([2., 2.])
    """
    ridge = _check.non_negative("ridge", ridge)
    features, y, _, _ = _centred(features, y, False)
    u, s, vt = np.linalg.svd(features, full_matrices=False)
    return vt.T @ _scale_rows(_filter(s, ridge, features.shape), u.T @ y)


def _generator(seed: Any) -> np.random.Generator:
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(_check.count("seed", seed, least=0))
