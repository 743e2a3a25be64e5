"""The multilayer perceptron: layers of weighted sums, each followed by a function that bends.

>>> config = MLPConfig(inputs=64, hidden=(32, 32), outputs=10)
>>> model = mlp(config)
>>> model.count_params() == config.parameters == (64 + 1) * 32 + (32 + 1) * 32 + (32 + 1) * 10
True
"""

from __future__ import annotations

from dataclasses import dataclass

import keras

from course_lib import _check

__all__ = ["ACTIVATIONS", "INITIALIZERS", "NORMALIZATIONS", "MLPConfig", "mlp"]

ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "leaky_relu", "linear")
NORMALIZATIONS = ("none", "batch", "layer")
INITIALIZERS = (
    "he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal", "orthogonal", "zeros",
)  # fmt: skip


@dataclass(frozen=True)
class MLPConfig:
    """What fixes a multilayer perceptron.

    Attributes
    ----------
    inputs, outputs : int
        Numbers an example, and outputs; these are scores (logits), without softmax.
    hidden : tuple of int
        Widths of the hidden layers, from the input on; none makes a linear model.
    activation : str
        A name in `ACTIVATIONS`, applied in every hidden layer.
    normalization : str
        ``"none"``, ``"batch"`` (S. Ioffe, C. Szegedy, 2015, arXiv:1502.03167) or ``"layer"`` (J. L. Ba et al., 2016,
        arXiv:1607.06450), between the weighted sum and the activation. The sums then have no bias, because the
        normalisation has one.
    dropout : float
        Share of the hidden numbers that training sets to 0, at least 0 and below 1.
    residual : bool
        Add its input to each hidden layer that keeps the width (K. He et al., 2015, arXiv:1512.03385).
    initializer : str
        A name in `INITIALIZERS`, for all kernels. Biases start at 0.

    Raises
    ------
    ValueError
        If a number or name is out of range, or `residual` is asked for where no layer keeps the width.
    """

    inputs: int
    hidden: tuple[int, ...] = (128,)
    outputs: int = 10
    activation: str = "relu"
    normalization: str = "none"
    dropout: float = 0.0
    residual: bool = False
    initializer: str = "he_normal"

    def __post_init__(self) -> None:
        """Check every field."""
        _check.count("inputs", self.inputs)
        _check.count("outputs", self.outputs)
        if isinstance(self.hidden, (str, int)) or not all(_is_count(width) for width in self.hidden):
            raise ValueError(f"hidden is {self.hidden!r}; it must be a tuple of whole numbers of at least 1")
        object.__setattr__(self, "hidden", tuple(int(width) for width in self.hidden))  # a list is welcome
        _check.choice("activation", self.activation, ACTIVATIONS)
        _check.choice("normalization", self.normalization, NORMALIZATIONS)
        _check.choice("initializer", self.initializer, INITIALIZERS)
        _check.fraction("dropout", self.dropout)
        _check.flag("residual", self.residual)
        if self.residual and not any(a == b for a, b in zip(self.widths, self.widths[1:-1], strict=False)):
            raise ValueError(f"residual is True, but no hidden layer of {self.hidden} has as many numbers as its input")

    @property
    def widths(self) -> tuple[int, ...]:
        """The numbers before, between and after the layers."""
        return (self.inputs, *self.hidden, self.outputs)

    @property
    def parameters(self) -> int:
        """All weights, the statistics of batch normalisation included: what ``model.count_params()`` gives."""
        after = {"none": 1, "batch": 4, "layer": 2}[self.normalization]  # vectors beside each hidden kernel
        hidden = sum((before + after) * width for before, width in zip(self.widths, self.hidden, strict=False))
        return hidden + (self.widths[-2] + 1) * self.outputs

    @property
    def multiply_adds(self) -> int:
        """Those of one example's forward pass."""
        return sum(before * after for before, after in zip(self.widths, self.widths[1:], strict=False))


def _is_count(value: object) -> bool:
    try:
        return _check.count("hidden", value) > 0
    except (TypeError, ValueError):
        return False


def mlp(config: MLPConfig, name: str = "mlp", seed: int | None = None) -> keras.Model:
    """Build a multilayer perceptron.

    Parameters
    ----------
    config : MLPConfig
        Its sizes and options.
    name : str
        The model's name.
    seed : int, optional
        Where the initial kernels and dropout draw from; None: from Keras' global seed.

    Returns
    -------
    keras.Model
        Takes (batch, inputs), gives scores of shape (batch, outputs). Not compiled.

    Raises
    ------
    TypeError
        If `config` is no `MLPConfig`.

    Examples
    --------
    >>> model = mlp(MLPConfig(4, (8, 8), 3, normalization="batch", residual=True))
    >>> [layer.name for layer in model.layers]
    ['input', 'dense_1', 'norm_1', 'relu_1', 'dense_2', 'norm_2', 'relu_2', 'add_2', 'scores']
    """
    if not isinstance(config, MLPConfig):
        raise TypeError(f"config is a {type(config).__name__}; it must be an MLPConfig")
    x = inputs = keras.Input((config.inputs,), name="input")  # (batch, inputs)
    for number, width in enumerate(config.hidden, 1):
        before = x
        x = _dense(config, width, f"dense_{number}", number, seed, use_bias=config.normalization == "none")(x)
        if config.normalization == "batch":
            x = keras.layers.BatchNormalization(name=f"norm_{number}")(x)
        elif config.normalization == "layer":
            x = keras.layers.LayerNormalization(name=f"norm_{number}")(x)
        x = keras.layers.Activation(config.activation, name=f"{config.activation}_{number}")(x)
        if config.dropout:
            x = keras.layers.Dropout(config.dropout, seed=_own(seed, 1000 + number), name=f"dropout_{number}")(x)
        if config.residual and before.shape[-1] == width:
            x = keras.layers.Add(name=f"add_{number}")([before, x])
    x = _dense(config, config.outputs, "scores", 0, seed)(x)  # (batch, outputs)
    return keras.Model(inputs, x, name=name)


def _dense(
    config: MLPConfig, width: int, name: str, number: int, seed: int | None, use_bias: bool = True
) -> keras.layers.Layer:
    """Make one linear layer with a random stream of its own."""
    kernel = keras.initializers.get(config.initializer)
    if config.initializer != "zeros":
        kernel = type(kernel)(seed=_own(seed, number))
    return keras.layers.Dense(width, use_bias=use_bias, kernel_initializer=kernel, name=name)


def _own(seed: int | None, number: int) -> int | None:
    """Derive a layer's seed; equal seeds would make layers of one shape start alike."""
    return None if seed is None else (seed * 1_000_003 + number) % 2**31
