r"""Penalties as prior beliefs: what a penalty says about the weights before any data are seen.

Bayes' rule gives the weights' density after the data: :math:`p(w \mid y) \propto p(y \mid w)\,p(w)`. Its maximum, the
maximum a posteriori estimate, minimises :math:`-\log p(y \mid w) - \log p(w)`: a loss plus a penalty. So every penalty
:math:`P` is the belief :math:`p(w) \propto e^{-P(w)}`, in units of the log-likelihood of *all* examples.

>>> GaussianPrior(std=2.0).penalty(noise_variance=4.0, n=100)
L2(strength=0.01, where=None)
>>> LaplacePrior(scale=0.5).penalty(noise_variance=4.0, n=100)
L1(strength=0.08, where=None)

The belief and the estimate are not the same thing: a weight drawn from a Laplace density is 0 with probability 0, and
still the maximum lies at 0 for many weights, because the density has a kink there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib import _check
from course_lib._tree import Tree, as_parameters, leaves
from course_lib.regularization.penalties import L1, L2

__all__ = ["GaussianPrior", "LaplacePrior"]


@dataclass(frozen=True)
class GaussianPrior:
    r"""Independent weights, each normal around 0: :math:`p(w_j) = e^{-w_j^2/(2\tau^2)} / \sqrt{2\pi\tau^2}`.

    Parameters
    ----------
    std : float
        The standard deviation :math:`\tau`, above 0, in the units of the weights.

    Raises
    ------
    ValueError
        If `std` is not above 0.

    Notes
    -----
    With targets :math:`y = Xw + \varepsilon` and normal noise of variance :math:`\sigma^2`,

    .. math:: -\log p(w \mid y) = \frac{1}{2\sigma^2}\|y - Xw\|^2 + \frac{1}{2\tau^2}\|w\|^2 + \text{constant}.

    Times :math:`2\sigma^2` this is ridge with the strength :math:`\sigma^2/\tau^2`; times :math:`\sigma^2/n` it is
    :math:`\frac{1}{2n}\|y - Xw\|^2` plus the `L2` penalty that `penalty` gives.

    References
    ----------
    C. M. Bishop, 2006, Pattern Recognition and Machine Learning, section 3.3.1

    Examples
    --------
    >>> round(GaussianPrior(1.0).negative_log_density(0.0), 6)  # half the logarithm of 2 pi
    0.918939
    """

    std: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", _check.positive("std", self.std))

    def negative_log_density(self, w: Tree) -> float:
        """Give minus the logarithm of the density, normalising constant and all, in nats.

        Parameters
        ----------
        w : array or tree of arrays
            The weights.

        Returns
        -------
        float

        Raises
        ------
        TypeError
            If a leaf is not floating-point.
        """
        constant = math.log(self.std) + math.log(2 * math.pi) / 2
        return self._as_penalty().value(w) + _size(w) * constant

    def gradient(self, w: Tree) -> Tree:
        """Give the gradient of `negative_log_density`.

        Parameters
        ----------
        w : array or tree of arrays
            The weights.

        Returns
        -------
        array or tree of arrays

        Raises
        ------
        TypeError
            If a leaf is not floating-point.
        """
        return self._as_penalty().gradient(w)

    def penalty(self, noise_variance: float = 1.0, n: int = 1, where: Any = None) -> L2:
        r"""Give the penalty that means the same, on top of a mean over examples.

        Parameters
        ----------
        noise_variance : float
            The variance of the noise in the targets, for the loss :math:`\frac{1}{2n}\|y - Xw\|^2`. 1 for a loss that
            is itself a mean negative log-likelihood, such as cross-entropy.
        n : int
            How many examples the mean is over. The more there are, the less the prior counts.
        where : callable, array or tree, optional
            Which weights the prior is about; see `Penalty`.

        Returns
        -------
        L2
            Of strength ``noise_variance / (n * std**2)``. `ridge` sums in place of the mean and takes ``n`` times that.

        Raises
        ------
        TypeError, ValueError
            If `noise_variance` is not above 0 or `n` not a whole number of at least 1.
        """
        noise_variance, n = _check.positive("noise_variance", noise_variance), _check.count("n", n)
        return L2(noise_variance / (n * self.std**2), where=where)

    def sample(self, shape: int | tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw weights.

        Parameters
        ----------
        shape : int or tuple of int
            The shape of the result.
        rng : numpy.random.Generator
            Where the numbers come from.

        Returns
        -------
        ndarray of float64
        """
        return rng.normal(0.0, self.std, shape)

    def _as_penalty(self) -> L2:
        return L2(1 / self.std**2)


@dataclass(frozen=True)
class LaplacePrior:
    r"""Independent weights, each with the density :math:`p(w_j) = e^{-|w_j|/b} / (2b)`: a peak at 0 and long tails.

    Parameters
    ----------
    scale : float
        The scale *b*, above 0, in the units of the weights: the mean of :math:`|w_j|`. The standard deviation is
        :math:`\sqrt{2}\,b`.

    Raises
    ------
    ValueError
        If `scale` is not above 0.

    Notes
    -----
    With normal noise of variance :math:`\sigma^2`,

    .. math:: -\log p(w \mid y) = \frac{1}{2\sigma^2}\|y - Xw\|^2 + \frac1b\|w\|_1 + \text{constant},

    which times :math:`\sigma^2/n` is the lasso of strength :math:`\sigma^2/(nb)`.

    References
    ----------
    R. Tibshirani, 1996, section 5, doi:10.1111/j.2517-6161.1996.tb02080.x

    Examples
    --------
    >>> round(LaplacePrior(1.0).negative_log_density(0.0), 6)  # the logarithm of 2
    0.693147
    """

    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", _check.positive("scale", self.scale))

    def negative_log_density(self, w: Tree) -> float:
        """Give minus the logarithm of the density, normalising constant and all, in nats.

        Parameters
        ----------
        w : array or tree of arrays
            The weights.

        Returns
        -------
        float

        Raises
        ------
        TypeError
            If a leaf is not floating-point.
        """
        return self._as_penalty().value(w) + _size(w) * math.log(2 * self.scale)

    def gradient(self, w: Tree) -> Tree:
        """Give a subgradient of `negative_log_density`: 0 for weights that are 0, where there is no gradient.

        Parameters
        ----------
        w : array or tree of arrays
            The weights.

        Returns
        -------
        array or tree of arrays

        Raises
        ------
        TypeError
            If a leaf is not floating-point.
        """
        return self._as_penalty().gradient(w)

    def penalty(self, noise_variance: float = 1.0, n: int = 1, where: Any = None) -> L1:
        r"""Give the penalty that means the same, on top of a mean over examples.

        Parameters
        ----------
        noise_variance : float
            The variance of the noise in the targets, for the loss :math:`\frac{1}{2n}\|y - Xw\|^2`. 1 for a loss that
            is itself a mean negative log-likelihood, such as cross-entropy.
        n : int
            How many examples the mean is over. The more there are, the less the prior counts.
        where : callable, array or tree, optional
            Which weights the prior is about; see `Penalty`.

        Returns
        -------
        L1
            Of strength ``noise_variance / (n * scale)``, which is also `lasso`'s.

        Raises
        ------
        TypeError, ValueError
            If `noise_variance` is not above 0 or `n` not a whole number of at least 1.
        """
        noise_variance, n = _check.positive("noise_variance", noise_variance), _check.count("n", n)
        return L1(noise_variance / (n * self.scale), where=where)

    def sample(self, shape: int | tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw weights.

        Parameters
        ----------
        shape : int or tuple of int
            The shape of the result.
        rng : numpy.random.Generator
            Where the numbers come from.

        Returns
        -------
        ndarray of float64
        """
        return rng.laplace(0.0, self.scale, shape)

    def _as_penalty(self) -> L1:
        return L1(1 / self.scale)


def _size(w: Tree) -> int:
    return sum(leaf.size for _, leaf in leaves(as_parameters(w, "w")))
