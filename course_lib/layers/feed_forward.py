"""The feed-forward layer of a transformer: the same small network at every position, which sees that position alone.

>>> import numpy as np
>>> layer = FeedForward(width=4, hidden=16, activation="gelu")
>>> tuple(layer(np.zeros((2, 3, 4), "float32")).shape)
(2, 3, 4)
>>> layer.count_params() == (4 + 1) * 16 + (16 + 1) * 4
True
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds

__all__ = ["ACTIVATIONS", "FeedForward", "gelu"]

FUSED = keras.backend.backend() == "torch"
ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "swiglu")


def gelu(x: Any) -> Any:
    """Multiply each number by the share of a standard normal distribution that lies below it, exactly.

    Parameters
    ----------
    x : tensor
        Any shape.

    Returns
    -------
    tensor, as `x`

    References
    ----------
    D. Hendrycks, K. Gimpel, 2016, https://arxiv.org/abs/1606.08415

    Examples
    --------
    >>> import numpy as np
    >>> np.asarray(gelu(np.array([-1.0, 0.0, 1.0], "float32"))).round(3)
    array([-0.159,  0.   ,  0.841], dtype=float32)
    """
    x = ops.convert_to_tensor(x)
    if FUSED:  # PyTorch has a routine for it; elsewhere Keras' needs more passes over the array than this formula
        return ops.gelu(x, approximate=False)  # keras.ops approximates unless it is told not to
    return x * (0.5 + 0.5 * ops.erf(x * 0.5**0.5))


@keras.saving.register_keras_serializable(package="course_lib")
class FeedForward(keras.layers.Layer):
    """Widen each position, bend, and narrow again.

    Parameters
    ----------
    width : int
        Numbers a position, in and out.
    hidden : int
        Numbers between; four times the width is common.
    activation : {"relu", "gelu", "gelu_tanh", "swiglu"}
        How it bends: ``relu`` of the first Transformer; ``gelu``, x times the share of a normal distribution below x
        (BERT); ``gelu_tanh``, its approximation by a hyperbolic tangent (GPT-2), up to 5e-4 away from it; or
        ``swiglu``, ``silu(x @ gate) * (x @ up)``, which has a third matrix (Llama).
    use_bias : bool
        Add a vector after each matrix.
    kernel_initializer : str or keras.initializers.Initializer
        Of the matrices.
    seed : int, optional
        Where they draw from; None: from Keras' global seed.
    **kwargs
        As ``keras.layers.Layer`` takes them.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    A. Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.3;
    D. Hendrycks, K. Gimpel, 2016, https://arxiv.org/abs/1606.08415 (GELU);
    N. Shazeer, 2020, https://arxiv.org/abs/2002.05202 (SwiGLU)
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        activation: str = "relu",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.width, self.hidden = _check.count("width", width), _check.count("hidden", hidden)
        self.activation = _check.choice("activation", activation, ACTIVATIONS)
        self.use_bias = _check.flag("use_bias", use_bias)
        self.kernel_initializer, self.seed = keras.initializers.get(kernel_initializer), seed

        def dense(outputs: int, name: str, number: int) -> keras.layers.Dense:
            kernel = _seeds.initializer(kernel_initializer, _seeds.derive(seed, number))
            return keras.layers.Dense(
                outputs, use_bias=use_bias, kernel_initializer=kernel, dtype=self.dtype_policy, name=name
            )

        self.up = dense(self.hidden, "up", 0)
        self.down = dense(self.width, "down", 1)
        if self.activation == "swiglu":
            self.gate = dense(self.hidden, "gate", 2)

    def build(self, input_shape: Any) -> None:
        """Make the matrices."""
        self.up.build(input_shape)
        self.down.build((*input_shape[:-1], self.hidden))
        if self.activation == "swiglu":
            self.gate.build(input_shape)
        self.built = True

    def call(self, x: Any) -> Any:
        """Transform each position; `x` and the result have the shape (batch, positions, width)."""
        h = self.up(x)  # (batch, positions, hidden)
        if self.activation == "relu":
            h = ops.relu(h)
        elif self.activation == "swiglu":
            h = ops.silu(self.gate(x)) * h
        elif self.activation == "gelu_tanh":
            h = ops.gelu(h, approximate=True)
        else:
            h = gelu(h)
        return self.down(h)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Give the input's shape."""
        return input_shape

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Hand on the mask of `inputs`."""
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {
            "width": self.width,
            "hidden": self.hidden,
            "activation": self.activation,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "seed": self.seed,
        }
