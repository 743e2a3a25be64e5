"""Blocks of convolutional networks: convolution, normalisation, activation; residual blocks; inception blocks.

A block is a plain function on Keras' symbolic tensors of shape (batch, rows, columns, channels). It adds ordinary
Keras layers whose names begin with its own, so a network's ``summary()`` shows every step and saving needs no code of
ours. What all convolutions of a network have in common is one `ConvStyle`.

>>> images = keras.Input((8, 8, 16), name="images")
>>> block = keras.Model(images, basic_block(images, 32, stride=2, name="block"))
>>> block.output_shape
(None, 4, 4, 32)
>>> [layer.name for layer in block.layers if layer.name.startswith("block_s")]
['block_shortcut_conv', 'block_shortcut_norm']
"""

from __future__ import annotations

import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from course_lib import _check
from course_lib.layers import _seeds

__all__ = [
    "PROJECTIONS", "Conv", "ConvStyle", "LocalResponseNormalization", "Pool", "basic_block", "bottleneck_block",
    "conv_norm", "inception_block", "run_step", "run_steps", "shortcut",
]  # fmt: skip

PROJECTIONS = ("convolution", "zeros")
LAYOUT = "channels_last"  # whatever a reader's Keras configuration says


@dataclass(frozen=True)
class ConvStyle:
    """What the convolutions of one network have in common.

    Attributes
    ----------
    normalize : bool
        Put a batch normalisation between convolution and activation (S. Ioffe, C. Szegedy, 2015, arXiv:1502.03167).
    bias : bool
        Give convolutions a bias. Before a batch normalisation it changes nothing, because the mean takes it away again.
    scale : bool
        Give batch normalisations a scale. A convolution after a ReLU can take over its role.
    epsilon : float
        What a batch normalisation adds to the variance.
    momentum : float
        Share of the old value that its moving mean and variance keep at each step.
    activation : str
        Name of a Keras activation.
    initializer : str
        Name of a Keras initializer for the kernels. He's normal one keeps the size of signals through ReLUs
        (K. He et al., 2015, arXiv:1502.01852).
    seed : int, optional
        Where initial kernels draw from, each layer its own stream; None: from Keras' global seed.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    normalize: bool = True
    bias: bool = False
    scale: bool = True
    epsilon: float = 1e-5
    momentum: float = 0.9
    activation: str = "relu"
    initializer: str = "he_normal"
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("normalize", "bias", "scale"):
            _check.flag(name, getattr(self, name))
        _check.positive("epsilon", self.epsilon)
        _check.fraction("momentum", self.momentum)
        if self.seed is not None:
            _check.count("seed", self.seed, least=0)
        for name, find in (("activation", keras.activations.get), ("initializer", keras.initializers.get)):
            try:
                find(getattr(self, name))
            except ValueError:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be the name of a Keras {name}") from None

    def parameters(self, inputs: int, outputs: int, window: int) -> int:
        """Count what `conv_norm` has, moving statistics included.

        Parameters
        ----------
        inputs, outputs : int
            Channels before and after.
        window : int
            Places that the kernel covers: 9 for 3x3.

        Returns
        -------
        int
        """
        vectors = self.bias + (3 + self.scale if self.normalize else 0)  # shift, mean, variance; scale
        return (window * inputs + vectors) * outputs

    def own_seed(self, name: str) -> int | None:
        """Derive the seed of the layer of this name: equal seeds would make layers of one shape start alike."""
        return None if self.seed is None else zlib.crc32(f"{self.seed} {name}".encode()) % 2**31

    def kernel_initializer(self, name: str) -> keras.initializers.Initializer:
        """Make the initializer of the layer of this name, with a random stream of its own."""
        return _seeds.initializer(self.initializer, self.own_seed(name))


STYLE = ConvStyle()


def conv_norm(
    x: Any, filters: int, size: int | tuple[int, int] = 3, stride: int = 1, padding: str | int = "same",
    activate: bool = True, style: ConvStyle = STYLE, name: str = "conv",
) -> Any:  # fmt: skip
    """Convolve, normalise and activate.

    Parameters
    ----------
    x : tensor, shape (batch, rows, columns, channels)
        What comes in.
    filters : int
        Channels that go out.
    size : int or pair of int
        Rows and columns of the kernel.
    stride : int
        How far the kernel moves, in both directions.
    padding : {"same", "valid"} or int
        ``"same"`` and ``"valid"`` as Keras has them; a number puts so many zeros on every side. At stride 2 the two
        ways differ: Keras' "same" puts the odd zero below and to the right, the networks of He et al. put one on each
        side.
    activate : bool
        Apply the style's activation; a residual block leaves it out before its sum.
    style : ConvStyle
        Normalisation, bias, activation and initial values.
    name : str
        How the layers' names begin.

    Returns
    -------
    tensor, shape (batch, places down, places across, filters)

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> images = keras.Input((32, 32, 3))
    >>> conv_norm(images, 64, size=7, stride=2, padding=3).shape
    (None, 16, 16, 64)
    """
    rows, columns = (size, size) if not isinstance(size, tuple) else size
    for label, value in (("filters", filters), ("size", rows), ("size", columns), ("stride", stride)):
        _check.count(label, value)
    if isinstance(padding, str):
        _check.choice("padding", padding, ("same", "valid"))
    elif _check.count("padding", padding, least=0) == 0:
        padding = "valid"
    elif stride == 1 and rows == columns == 2 * padding + 1:
        padding = "same"  # equal at stride 1, and the convolution pads faster than a layer of its own
    else:
        x = keras.layers.ZeroPadding2D(padding, data_format=LAYOUT, name=f"{name}_pad")(x)
        padding = "valid"
    convolve = keras.layers.Conv2D(
        filters, (rows, columns), stride, padding, LAYOUT, use_bias=style.bias, name=f"{name}_conv",
        kernel_initializer=style.kernel_initializer(name),
    )  # fmt: skip
    x = convolve(x)
    if keras.backend.backend() == "torch":
        _lay_out_for_torch(convolve.kernel)
    if style.normalize:
        x = keras.layers.BatchNormalization(
            scale=style.scale, epsilon=style.epsilon, momentum=style.momentum, name=f"{name}_norm"
        )(x)
    return _activate(x, style, name) if activate else x


def _lay_out_for_torch(kernel: Any) -> None:
    """Order a kernel in memory as PyTorch's convolution reads it; otherwise it is copied into that order at each call.

    Shape and values stay (rows, columns, inputs, outputs). A ResNet-18 predicts small images in half the time.
    """
    tensor = kernel.value
    outputs_first = tensor.data.permute(3, 0, 1, 2).contiguous()
    tensor.data = outputs_first.permute(1, 2, 3, 0)


def _activate(x: Any, style: ConvStyle, name: str) -> Any:
    return keras.layers.Activation(style.activation, name=f"{name}_{style.activation}")(x)


# --- Residual blocks -------------------------------------------------------------------------------------------------


def basic_block(
    x: Any, width: int, stride: int = 1, projection: str | None = "convolution", style: ConvStyle = STYLE,
    name: str = "block",
) -> Any:  # fmt: skip
    """Add to the input what two 3x3 convolutions make of it (K. He et al., 2015, arXiv:1512.03385, figure 2).

    Parameters
    ----------
    x : tensor, shape (batch, rows, columns, channels)
        What comes in.
    width : int
        Channels of both convolutions.
    stride : int
        Of the first convolution.
    projection : {"convolution", "zeros"} or None
        How the input takes the shape of the sum where the two differ, see `shortcut`. None leaves the input out: a
        block of a plain network.
    style : ConvStyle
        Normalisation, bias, activation and initial values.
    name : str
        How the layers' names begin.

    Returns
    -------
    tensor, shape (batch, ceil(rows / stride), ceil(columns / stride), width)

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    """
    return _residual(x, [(width, 3, stride), (width, 3, 1)], projection, style, name)


def bottleneck_block(
    x: Any, width: int, stride: int = 1, projection: str | None = "convolution", style: ConvStyle = STYLE,
    name: str = "block",
) -> Any:  # fmt: skip
    """Add to the input what a narrow, a 3x3 and a wide convolution make of it (arXiv:1512.03385, figure 5).

    Parameters
    ----------
    x : tensor, shape (batch, rows, columns, channels)
        What comes in.
    width : int
        Channels inside; four times as many go out.
    stride : int
        Of the first convolution, as in the paper and in Keras. torchvision gives it to the second.
    projection : {"convolution", "zeros"} or None
        How the input takes the shape of the sum where the two differ, see `shortcut`. None leaves the input out: a
        block of a plain network.
    style : ConvStyle
        Normalisation, bias, activation and initial values.
    name : str
        How the layers' names begin.

    Returns
    -------
    tensor, shape (batch, ceil(rows / stride), ceil(columns / stride), 4 * width)

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    """
    return _residual(x, [(width, 1, stride), (width, 3, 1), (4 * width, 1, 1)], projection, style, name)


def _residual(
    x: Any, convolutions: list[tuple[int, int, int]], projection: str | None, style: ConvStyle, name: str
) -> Any:
    filters, stride = convolutions[-1][0], convolutions[0][2]
    way_round = x if projection is None else shortcut(x, filters, stride, projection, style, f"{name}_shortcut")
    last = len(convolutions)
    for number, (width, size, step) in enumerate(convolutions, 1):
        x = conv_norm(x, width, size, step, size // 2, number < last, style, f"{name}_{number}")
    if projection is not None:
        x = keras.layers.Add(name=f"{name}_add")([way_round, x])
    return _activate(x, style, f"{name}_out")


def shortcut(
    x: Any, filters: int, stride: int = 1, projection: str = "convolution", style: ConvStyle = STYLE,
    name: str = "shortcut",
) -> Any:  # fmt: skip
    """Give the input the shape that a block's sum needs; if it has that shape, leave it as it is.

    Parameters
    ----------
    x : tensor, shape (batch, rows, columns, channels)
        What comes in.
    filters : int
        Channels of the sum.
    stride : int
        The block's stride.
    projection : {"convolution", "zeros"}
        ``"convolution"``: a 1x1 convolution and its normalisation (option B of He et al.). ``"zeros"``: take every
        `stride`-th place and fill new channels with zeros (option A), which needs no parameters.
    style : ConvStyle
        Normalisation, bias and initial values.
    name : str
        How the layers' names begin.

    Returns
    -------
    tensor, shape (batch, ceil(rows / stride), ceil(columns / stride), filters)

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or zeros cannot help because the sum has fewer channels than the input.
    """
    _check.choice("projection", projection, PROJECTIONS)
    _check.count("filters", filters)
    channels = x.shape[-1]
    if _check.count("stride", stride) == 1 and channels == filters:
        return x
    if projection == "convolution":
        return conv_norm(x, filters, 1, stride, "valid", False, style, name)
    if filters < channels:
        raise ValueError(f"filters is {filters}; with projection='zeros' it must be at least the {channels} of x")
    if stride > 1:
        x = keras.layers.MaxPooling2D(1, stride, data_format=LAYOUT, name=f"{name}_pick")(x)
    return keras.ops.pad(x, [[0, 0], [0, 0], [0, 0], [0, filters - channels]])


# --- Inception blocks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Conv:
    """One convolution of a branch.

    Attributes
    ----------
    filters, size, stride, padding
        As `conv_norm` takes them.
    """

    filters: int
    size: int | tuple[int, int] = 1
    stride: int = 1
    padding: str | int = "same"


@dataclass(frozen=True)
class Pool:
    """One pooling of a branch; an average leaves out what lies outside the image.

    Attributes
    ----------
    kind : {"average", "max"}
        What is taken of each window.
    size, stride : int
        Side of the window, and how far it moves.
    padding : {"same", "valid"}
        Whether windows may reach over the edge.
    """

    kind: str
    size: int = 3
    stride: int = 1
    padding: str = "same"


# A step is a Conv, a Pool, or a list of branches, each a list of steps: they get the same input, side by side.
Step = Any


def inception_block(x: Any, branches: Sequence[Sequence[Step]], style: ConvStyle = STYLE, name: str = "mixed") -> Any:
    """Look at the same input at several scales and put the results behind each other.

    Parameters
    ----------
    x : tensor, shape (batch, rows, columns, channels)
        What comes in.
    branches : sequence of sequences of steps
        Each branch is a row of `Conv`, `Pool` or, again, lists of branches.
    style : ConvStyle
        Normalisation, bias, activation and initial values.
    name : str
        How the layers' names begin.

    Returns
    -------
    tensor, shape (batch, places down, places across, sum of the branches' channels)

    Raises
    ------
    TypeError, ValueError
        If a step is none of these, or there are fewer than two branches.

    References
    ----------
    C. Szegedy et al., 2014, https://arxiv.org/abs/1409.4842

    Examples
    --------
    >>> images = keras.Input((28, 28, 192))
    >>> naive = [[Conv(64)], [Conv(128, 3)], [Conv(32, 5)], [Pool("max")]]
    >>> reduced = [[Conv(64)], [Conv(96), Conv(128, 3)], [Conv(16), Conv(32, 5)], [Pool("max"), Conv(32)]]
    >>> [keras.Model(images, inception_block(images, b)).count_params() for b in (naive, reduced)]
    [387968, 164800]
    """
    letters = string.ascii_lowercase
    if not 2 <= len(branches) <= len(letters):
        raise ValueError(f"branches has {len(branches)}; an inception block has at least 2, at most {len(letters)}")
    ends = [run_steps(x, steps, style, f"{name}_{a}") for a, steps in zip(letters, branches, strict=False)]
    return keras.layers.Concatenate(name=name)(ends)


def run_steps(x: Any, steps: Sequence[Step], style: ConvStyle = STYLE, name: str = "stem") -> Any:
    """Apply one step after the other: a branch of an inception block, or what leads to the first of them.

    Parameters
    ----------
    x : tensor, shape (batch, rows, columns, channels)
        What comes in.
    steps : sequence of steps
        As in `inception_block`.
    style : ConvStyle
        Normalisation, bias, activation and initial values.
    name : str
        How the layers' names begin; each adds its number.

    Returns
    -------
    tensor, shape (batch, places down, places across, channels)

    Raises
    ------
    TypeError, ValueError
        If a step is not of these kinds, or an argument of one is out of range.
    """
    for number, step in enumerate(steps, 1):
        x = run_step(x, step, style, f"{name}{number}")
    return x


def run_step(x: Any, step: Step, style: ConvStyle = STYLE, name: str = "step") -> Any:
    """Apply one step; arguments and errors as in `run_steps`."""
    if isinstance(step, Conv):
        return conv_norm(x, step.filters, step.size, step.stride, step.padding, True, style, name)
    if isinstance(step, Pool):
        _check.choice("kind", step.kind, ("average", "max"))
        layer = keras.layers.AveragePooling2D if step.kind == "average" else keras.layers.MaxPooling2D
        return layer(step.size, step.stride, step.padding, LAYOUT, name=f"{name}_{step.kind}")(x)
    if isinstance(step, list):
        return inception_block(x, step, style, name)
    raise TypeError(f"steps holds {step!r}; each must be a Conv, a Pool or a list of branches")


@keras.saving.register_keras_serializable(package="course_lib")
class LocalResponseNormalization(keras.layers.Layer):
    r"""Divide each number by the size of its neighbours in other channels, as GoogLeNet's first layers do.

    .. math:: y_c = x_c \Big/ \Big(k + \frac{\alpha}{n} \sum_{|c' - c| \le n / 2} x_{c'}^2\Big)^\beta

    Parameters
    ----------
    size : int
        The channels :math:`n` that count as neighbours, the number's own among them; odd.
    alpha, beta, k : float
        As in the formula. Krizhevsky et al. have no division of alpha by n; Caffe, GoogLeNet's framework, and torch do.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton, 2012, https://doi.org/10.1145/3065386, section 3.3
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        if _check.count("size", size) % 2 == 0:
            raise ValueError(f"size is {size}; it must be odd")
        self.size = size
        self.alpha, self.beta, self.k = (
            _check.positive(n, v) for n, v in zip(("alpha", "beta", "k"), (alpha, beta, k), strict=True)
        )

    def call(self, x: Any) -> Any:
        """Normalise a tensor of shape (batch, rows, columns, channels)."""
        places = keras.ops.arange(x.shape[-1])
        near = keras.ops.abs(places[:, None] - places[None, :]) <= self.size // 2  # (channels, channels)
        total = keras.ops.matmul(keras.ops.square(x), keras.ops.cast(near, x.dtype))
        return x * keras.ops.power(self.k + self.alpha / self.size * total, -self.beta)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments of the constructor."""
        return super().get_config() | {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}
