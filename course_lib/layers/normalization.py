"""Normalisation of each position on its own: by mean and variance, or by size alone.

>>> import numpy as np
>>> x = np.array([[1.0, 3.0]], "float32")
>>> np.asarray(LayerNorm()(x)).round(3)
array([[-1.,  1.]], dtype=float32)
>>> np.asarray(RMSNorm()(x)).round(3)  # divided by sqrt((1 + 9) / 2)
array([[0.447, 1.342]], dtype=float32)
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from course_lib import _check
from course_lib.layers._precision import precise

# PyTorch has a routine for it; a graph of TensorFlow or JAX is as fast with the formula.
FUSED = keras.backend.backend() == "torch" and hasattr(ops, "layer_normalization")

__all__ = ["NORMALIZATIONS", "LayerNorm", "RMSNorm"]


class _Norm(keras.layers.Layer):
    """What both have: epsilon, a scale, and arithmetic in float32 at least, since squares overflow in float16."""

    def __init__(self, epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = _check.positive("epsilon", epsilon)

    def build(self, input_shape: Any) -> None:
        """Make the scale, which starts at 1."""
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Give the input's shape."""
        return input_shape

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Hand on the mask of `inputs`."""
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="course_lib")
class LayerNorm(_Norm):
    """Shift and scale each position's numbers to mean 0 and variance 1, then to a mean and a spread that are learned.

    ``(x - mean) / sqrt(variance + epsilon) * scale + shift``, over the last axis; the variance divides by the width.

    Parameters
    ----------
    epsilon : float
        Keeps the root above 0. 1e-5 in GPT-2 and in PyTorch; BERT has 1e-12, ViT 1e-6, and Keras' own layer 1e-3.
    **kwargs
        As ``keras.layers.Layer`` takes them.

    Raises
    ------
    TypeError, ValueError
        If `epsilon` is not a finite number above 0.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, 2016, https://arxiv.org/abs/1607.06450
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(epsilon, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Make scale and shift, which start at 1 and 0."""
        super().build(input_shape)
        self.shift = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="shift")

    def call(self, x: Any) -> Any:
        """Normalise the last axis."""
        x, scale, shift = precise(x), precise(self.scale), precise(self.shift)
        if FUSED:
            y = ops.layer_normalization(x, scale, shift, axis=-1, epsilon=self.epsilon)
            return ops.cast(y, self.compute_dtype)
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        return ops.cast(centred * ops.rsqrt(variance + self.epsilon) * scale + shift, self.compute_dtype)


@keras.saving.register_keras_serializable(package="course_lib")
class RMSNorm(_Norm):
    """Scale each position's numbers to a mean square of 1, then by what is learned; no mean is taken off, none added.

    ``x / sqrt(mean(x**2) + epsilon) * scale``, over the last axis.

    Parameters
    ----------
    epsilon : float
        Keeps the root above 0.
    **kwargs
        As ``keras.layers.Layer`` takes them.

    Raises
    ------
    TypeError, ValueError
        If `epsilon` is not a finite number above 0.

    References
    ----------
    B. Zhang, R. Sennrich, 2019, https://arxiv.org/abs/1910.07467
    """

    def __init__(self, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(epsilon, **kwargs)

    def call(self, x: Any) -> Any:
        """Normalise the last axis."""
        x, scale = precise(x), precise(self.scale)
        size = ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + self.epsilon)
        return ops.cast(x * size * scale, self.compute_dtype)


NORMALIZATIONS = {"layer": LayerNorm, "rms": RMSNorm}
