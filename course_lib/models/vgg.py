"""VGG networks: nothing but 3x3 convolutions, in rows of two to four, each row followed by a pooling.

>>> PRESETS["vgg16"].parameters, PRESETS["vgg19"].parameters
(138357544, 143667240)
>>> small = VGGConfig(blocks=(1, 2), widths=(8, 16), hidden=(32,), classes=10, image=(8, 8, 1))
>>> model = vgg(small)
>>> model.output_shape, model.count_params() == small.parameters
((None, 10), True)
"""

from __future__ import annotations

from dataclasses import dataclass

import keras

from course_lib import _check
from course_lib.layers.convolution import LAYOUT, ConvStyle, conv_norm
from course_lib.models import _presets

__all__ = ["PRESETS", "VGGConfig", "vgg"]


@dataclass(frozen=True)
class VGGConfig:
    """What fixes a VGG network (K. Simonyan, A. Zisserman, 2014, arXiv:1409.1556).

    Attributes
    ----------
    blocks : tuple of int
        Convolutions in each row. A pooling after each halves rows and columns.
    widths : tuple of int
        Channels of each row's convolutions.
    hidden : tuple of int
        Widths of the dense layers before the scores. Most of a VGG's parameters are in the first.
    classes : int or None
        Scores that go out. None leaves the dense layers out too: the model gives the last pooling's features.
    image : tuple of int
        Rows, columns and channels of an image.
    normalize : bool
        Put a batch normalisation after each convolution, which then has no bias. The paper is older than that.
    dropout : float
        Share of each hidden layer's outputs that training sets to 0.
    momentum : float
        Of the batch normalisations, see `layers.convolution.ConvStyle`.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range, or the image is too small for all the poolings.
    """

    blocks: tuple[int, ...] = (2, 2, 3, 3, 3)
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    hidden: tuple[int, ...] = (4096, 4096)
    classes: int | None = 1000
    image: tuple[int, int, int] = (224, 224, 3)
    normalize: bool = False
    dropout: float = 0.5
    momentum: float = 0.9

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("blocks", "widths", "image"):
            object.__setattr__(self, name, _presets.counts(name, getattr(self, name)))
        object.__setattr__(self, "hidden", _presets.counts("hidden", self.hidden, empty=True))
        if len(self.blocks) != len(self.widths):
            raise ValueError(f"blocks is {self.blocks} and widths is {self.widths}; they must be equally long")
        _presets.image("image", self.image, 2 ** len(self.blocks))
        if self.classes is not None:
            _check.count("classes", self.classes)
        _check.flag("normalize", self.normalize)
        _check.fraction("dropout", self.dropout)
        self.style()  # checks momentum

    def style(self, seed: int | None = None) -> ConvStyle:
        """Say what the convolutions have in common."""
        return ConvStyle(self.normalize, bias=not self.normalize, momentum=self.momentum, seed=seed)

    @property
    def features(self) -> tuple[int, int, int]:
        """Rows, columns and channels after the last pooling."""
        shrink = 2 ** len(self.blocks)
        return self.image[0] // shrink, self.image[1] // shrink, self.widths[-1]

    @property
    def parameters(self) -> int:
        """All weights, the statistics of batch normalisation included: what ``model.count_params()`` gives."""
        total, before = 0, self.image[2]
        for convolutions, width in zip(self.blocks, self.widths, strict=True):
            for _ in range(convolutions):
                total += self.style().parameters(before, width, 9)
                before = width
        if self.classes is not None:
            rows, columns, channels = self.features
            before = rows * columns * channels
            for width in (*self.hidden, self.classes):
                total += (before + 1) * width
                before = width
        return total


PRESETS = {
    "vgg16": VGGConfig(),
    "vgg19": VGGConfig(blocks=(2, 2, 4, 4, 4)),
}


def vgg(config: VGGConfig | str, name: str | None = None, seed: int | None = None) -> keras.Model:
    """Build a VGG network.

    Parameters
    ----------
    config : VGGConfig or str
        Its sizes and options, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "vgg".
    seed : int, optional
        Where initial kernels and dropout draw from; None: from Keras' global seed.

    Returns
    -------
    keras.Model
        Takes images (batch, rows, columns, channels), gives scores (batch, classes), without softmax; without a head,
        features (batch, rows, columns, channels). Not compiled.

    Raises
    ------
    TypeError
        If `config` is no `VGGConfig`.
    ValueError
        If there is no preset of this name.

    Examples
    --------
    >>> model = vgg(VGGConfig(blocks=(1, 1), widths=(4, 8), hidden=(), classes=3, image=(8, 8, 1)))
    >>> [layer.name for layer in model.layers][1:]
    ['block1_1_conv', 'block1_1_relu', 'block1_pool', 'block2_1_conv', 'block2_1_relu', 'block2_pool', 'flat', 'scores']
    """
    c, preset = _presets.resolve(config, VGGConfig, PRESETS)
    style = c.style(seed)
    x = images = keras.Input(c.image, name="images")  # (batch, rows, columns, channels)
    for row, (convolutions, width) in enumerate(zip(c.blocks, c.widths, strict=True), 1):
        for number in range(1, convolutions + 1):
            x = conv_norm(x, width, 3, style=style, name=f"block{row}_{number}")
        x = keras.layers.MaxPooling2D(2, data_format=LAYOUT, name=f"block{row}_pool")(x)
    if c.classes is not None:
        x = keras.layers.Flatten(LAYOUT, name="flat")(x)  # (batch, rows * columns * channels)
        for number, width in enumerate(c.hidden, 1):
            kernel = style.kernel_initializer(f"dense{number}")
            x = keras.layers.Dense(width, "relu", kernel_initializer=kernel, name=f"dense{number}")(x)
            x = keras.layers.Dropout(c.dropout, seed=style.own_seed(f"dropout{number}"), name=f"dropout{number}")(x)
        x = _presets.scores(x, c.classes, style)
    return keras.Model(images, x, name=name or preset or "vgg")
