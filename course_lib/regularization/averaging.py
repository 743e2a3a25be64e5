r"""Averages of weights along a run, and stopping it early.

>>> import numpy as np
>>> average_weights([{"w": np.array([1.0, 2.0])}, {"w": np.array([3.0, 2.0])}])
{'w': array([2., 2.])}
>>> stopper = EarlyStopping(patience=2)
>>> for loss in (3.0, 2.0, 2.5, 2.2, 1.0):  # the last one is never seen
...     if stopper.update(loss):
...         break
>>> stopper.stopped_epoch, stopper.best_epoch, stopper.best
(3, 1, 2.0)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from course_lib import _check
from course_lib._tree import Tree, as_parameters, tree_map

__all__ = ["EarlyStopping", "ExponentialMovingAverage", "average_weights"]


def average_weights(params: Iterable[Tree]) -> Tree:
    """Give the mean of several sets of weights: stochastic weight averaging takes those of the last epochs.

    Parameters
    ----------
    params : iterable of arrays or trees of arrays
        At least one, all of one structure; they are read one by one, so a generator needs the memory of one.

    Returns
    -------
    array or tree of arrays
        In the structure and dtypes of the first; the sum is kept in float64. A network with batch normalisation needs
        its statistics computed anew for these weights.

    Raises
    ------
    TypeError
        If a leaf is not floating-point.
    ValueError
        If there is none, or structures or shapes differ.

    References
    ----------
    P. Izmailov et al., 2018, arXiv:1803.05407
    """
    first: Tree = None
    total: Tree = None
    count = 0
    for count, tree in enumerate(params, start=1):
        tree = as_parameters(tree)
        if count == 1:
            first, total = tree, tree_map(lambda leaf: leaf.astype(np.float64), tree)
        else:
            total = tree_map(_same_shape(np.add), total, tree)
    if count == 0:
        raise ValueError("params is empty; an average needs at least one set of weights")
    return tree_map(lambda leaf, sums: np.asarray(sums / count).astype(leaf.dtype), first, total)


class ExponentialMovingAverage:
    r"""An average of the weights that forgets: after every step, ``average = decay * average + (1 - decay) * weights``.

    Parameters
    ----------
    decay : float
        The share of the old average, at least 0 and below 1. The average looks back over about ``1 / (1 - decay)``
        steps.
    bias_correction : bool
        How it begins. False: with a copy of the first weights, as in ``torch.optim.swa_utils`` and with Keras'
        ``use_ema``; these count more than any later ones for a long time. True: with 0, and `average` divides by
        :math:`1 - \mathrm{decay}^t`, as Adam does, so that weights of equal age count alike from the first step on.

    Attributes
    ----------
    steps : int
        How many sets of weights it has seen.

    Raises
    ------
    TypeError, ValueError
        If `decay` is out of its range.

    References
    ----------
    B. T. Polyak, A. B. Juditsky, 1992, doi:10.1137/0330046, for averages of iterates. The correction: D. P. Kingma,
    J. Ba, 2014, section 3, arXiv:1412.6980

    Examples
    --------
    >>> ema = ExponentialMovingAverage(0.9, bias_correction=True)
    >>> for w in (1.0, 3.0):
    ...     ema.update(np.array([w]))
    >>> ema.average.round(6)  # (0.9 * 1 + 3) / 1.9
    array([2.052632])
    """

    def __init__(self, decay: float, bias_correction: bool = False) -> None:
        self.decay = _check.fraction("decay", decay)
        self.bias_correction = _check.flag("bias_correction", bias_correction)
        self.steps = 0
        self._average: Tree = None

    def update(self, params: Tree) -> None:
        """Take note of the weights after a step.

        Parameters
        ----------
        params : array or tree of arrays
            The weights; nothing of them is kept but copies.

        Raises
        ------
        TypeError
            If a leaf is not floating-point.
        ValueError
            If structure or shapes are not those of before.
        """
        params = as_parameters(params)
        if self._average is None:
            start = 1 - self.decay if self.bias_correction else 1.0
            self._average = tree_map(lambda leaf: np.asarray(start * leaf), params)
        else:
            blend = _same_shape(lambda old, new: self.decay * old + (1 - self.decay) * new)
            self._average = tree_map(blend, self._average, params)
        self.steps += 1

    @property
    def average(self) -> Tree:
        """The average of the weights seen so far, new arrays in their structure and dtypes."""
        if self._average is None:
            raise ValueError("there is no average yet; call update first")
        share = 1 - self.decay**self.steps if self.bias_correction else 1.0
        return tree_map(lambda leaf: np.asarray(leaf / share), self._average)


class EarlyStopping:
    """Stop when the loss on held-out data has not improved for a while, and keep the weights of the best epoch.

    The rules are those of ``keras.callbacks.EarlyStopping``, where the best weights are kept only on request. One
    differs: there the first loss counts as an improvement whatever it is, so that after a NaN at the start nothing is
    ever better. Here a loss that is NaN or infinite is never an improvement.

    Parameters
    ----------
    patience : int
        How many epochs in a row without improvement end the run, at least 0. 0 and 1 both end it at the first.
    min_delta : float
        An improvement is a fall by more than this, at least 0.
    restore_best : bool
        Whether to keep a copy of the weights of the best epoch.

    Attributes
    ----------
    epoch : int
        The number of the last epoch that `update` heard of, from 0; -1 before the first.
    best : float
        The best loss; infinite before there is one.
    best_epoch : int
        Its epoch; 0 before there is one.
    waited : int
        How many epochs ago that was.
    stopped_epoch : int or None
        The epoch at which `update` said to stop.
    best_params : array, tree of arrays or None
        A copy of the weights of the best epoch, if weights were given; if no loss ever improved on infinity (all were
        NaN), those of the first epoch.

    Raises
    ------
    TypeError, ValueError
        If a number is out of its range.

    References
    ----------
    L. Prechelt, 1998, Early Stopping - But When?, doi:10.1007/3-540-49430-8_3
    """

    def __init__(self, patience: int = 0, min_delta: float = 0.0, restore_best: bool = True) -> None:
        self.patience = _check.count("patience", patience, least=0)
        self.min_delta = _check.non_negative("min_delta", min_delta)
        self.restore_best = _check.flag("restore_best", restore_best)
        self.epoch, self.best, self.best_epoch, self.waited = -1, math.inf, 0, 0
        self.stopped_epoch: int | None = None
        self.best_params: Tree = None

    def update(self, loss: float, params: Tree = None) -> bool:
        """Take note of an epoch.

        Parameters
        ----------
        loss : float
            The loss on held-out data, or anything else that is to fall.
        params : array or tree of arrays, optional
            The weights after the epoch.

        Returns
        -------
        bool
            Whether to stop.

        Raises
        ------
        TypeError
            If `loss` is no number or a leaf is not floating-point.
        """
        loss = _check._number("loss", loss, "a number")
        self.epoch += 1
        better = loss + self.min_delta < self.best
        if self.restore_best and params is not None and (better or self.best_params is None):
            self.best_params = tree_map(np.copy, as_parameters(params))
        if better:
            self.best, self.best_epoch, self.waited = loss, self.epoch, 0
            return False
        self.waited += 1
        if self.waited < self.patience or self.epoch == 0:
            return False
        self.stopped_epoch = self.epoch
        return True


def _same_shape(function: Any) -> Any:
    """Refuse to broadcast: weights of another shape are another model's."""

    def checked(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if a.shape != b.shape:
            raise ValueError(f"params has a leaf of shape {b.shape}; before, its shape was {a.shape}")
        return np.asarray(function(a, b))

    return checked
