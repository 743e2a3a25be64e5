"""An autoencoder that finds what is unlike normal operation: it cannot rebuild what it has never seen.

A network squeezes its input through a narrow layer and rebuilds it. Trained on normal data alone, it learns what
usually goes together; where a reading breaks that, the rebuilt one is far off. Without activations it is principal
component analysis by another way.

>>> config = AutoencoderConfig(features=6, hidden=(5,), code=2)
>>> model = autoencoder(config, seed=0)
>>> model.count_params() == config.parameters
True
>>> x = np.zeros((3, 6), "float32")
>>> tuple(model(x).shape), reconstruction_errors(model, x).shape
((3, 6), (3,))
>>> alarm_threshold([1.0, 2.0, 3.0, 4.0], false_alarms=0.25)
3.0

References
----------
M. Sakurada, T. Yairi, Anomaly Detection Using Autoencoders with Nonlinear Dimensionality Reduction, 2014,
https://doi.org/10.1145/2689746.2689747
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from course_lib import _check
from course_lib.layers import _seeds

__all__ = ["AutoencoderConfig", "alarm_threshold", "autoencoder", "reconstruction_errors"]

ACTIVATIONS = ("relu", "tanh", "linear")


@dataclass(frozen=True)
class AutoencoderConfig:
    """What fixes an autoencoder of dense layers.

    Attributes
    ----------
    features : int
        Numbers in a reading.
    hidden : tuple of int
        Units of the encoder's layers before the code; the decoder has them in the opposite order.
    code : int
        Units of the narrow layer; fewer than `features`, or the network may learn to copy.
    activation : {"relu", "tanh", "linear"}
        Of the hidden layers. Code and output are linear.
    noise : float
        Standard deviation of the noise that is added to the input in training (a denoising autoencoder); 0: none.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    features: int
    hidden: tuple[int, ...] = (32,)
    code: int = 8
    activation: str = "relu"
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        _check.count("features", self.features, least=2)
        for number, units in enumerate(self.hidden):
            _check.count(f"hidden[{number}]", units)
        if _check.count("code", self.code) >= self.features:
            raise ValueError(f"code is {self.code}; it must be below features, {self.features}")
        _check.choice("activation", self.activation, ACTIVATIONS)
        _check.non_negative("noise", self.noise)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units from the input over the code to the output."""
        return (self.features, *self.hidden, self.code, *reversed(self.hidden), self.features)

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives."""
        return sum((inputs + 1) * units for inputs, units in zip(self.sizes, self.sizes[1:], strict=False))


def autoencoder(config: AutoencoderConfig, name: str = "autoencoder", seed: int | None = None) -> keras.Model:
    """Build an autoencoder.

    Parameters
    ----------
    config : AutoencoderConfig
        Its sizes.
    name : str
        The model's name.
    seed : int, optional
        Where the initial weights and the noise draw from; None: from Keras' global seed.

    Returns
    -------
    keras.Model
        From (batch, features) to the same, not compiled. Its layer ``"code"`` gives the code. Scale the features first:
        the error adds them up.

    Raises
    ------
    TypeError
        If `config` is no `AutoencoderConfig`.
    """
    if not isinstance(config, AutoencoderConfig):
        raise TypeError(f"config is of type {type(config).__name__}; it must be an AutoencoderConfig")
    x = inputs = keras.Input((config.features,), name="reading")
    if config.noise:
        x = keras.layers.GaussianNoise(config.noise, seed=_seeds.derive(seed, 0), name="noise")(x)
    middle, end = len(config.hidden), len(config.sizes) - 2
    for number, units in enumerate(config.sizes[1:]):
        is_plain = number in (middle, end)
        names = {middle: "code", end: "rebuilt"}
        x = keras.layers.Dense(
            units,
            activation=None if is_plain else config.activation,
            kernel_initializer=_seeds.initializer("glorot_uniform", _seeds.derive(seed, 1 + number)),
            name=names.get(number, f"dense_{number + 1}"),
        )(x)
    return keras.Model(inputs, x, name=name)


def reconstruction_errors(model: keras.Model, readings: Any, batch_size: int = 256) -> np.ndarray:
    """Give the mean squared difference of each reading from what the model rebuilds.

    Parameters
    ----------
    model : keras.Model
        From `autoencoder`, or any that rebuilds its input.
    readings : array, shape (readings, ...)
        Scaled as in training.
    batch_size : int
        Readings at a time.

    Returns
    -------
    numpy.ndarray, shape (readings,), float64
        Over all axes but the first.
    """
    array = np.asarray(readings)
    rebuilt = model.predict(array, batch_size=_check.count("batch_size", batch_size), verbose=0)
    return np.square(array.astype("float64") - rebuilt).reshape(len(array), -1).mean(axis=1)


def alarm_threshold(errors: Any, false_alarms: float = 0.01) -> float:
    """Give the error above which at most this share of normal readings lies.

    Parameters
    ----------
    errors : array_like, shape (readings,)
        Of normal readings that the model was not trained on: on its training data errors are smaller.
    false_alarms : float
        The share of normal readings above the threshold; at least 0 and below 1.

    Returns
    -------
    float
        One of the errors.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    values = np.sort(_check.finite("errors", errors, ndim=1))
    if not values.size:
        raise ValueError("errors is empty; a threshold needs normal readings")
    allowed = math.floor(_check.fraction("false_alarms", false_alarms) * len(values) + 1e-9)
    return float(values[len(values) - 1 - allowed])
