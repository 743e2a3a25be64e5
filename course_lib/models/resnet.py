"""Residual networks: each block adds a correction to what it was given, so depth no longer hurts.

>>> config = PRESETS["resnet50"]
>>> config.parameters
25636712
>>> small = ResNetConfig(blocks=(1, 1), widths=(8, 16), stem="small", classes=10, image=(8, 8, 1))
>>> model = resnet(small)
>>> model.output_shape, model.count_params() == small.parameters
((None, 10), True)
"""

from __future__ import annotations

from dataclasses import dataclass

import keras

from course_lib import _check
from course_lib.layers.convolution import LAYOUT, PROJECTIONS, ConvStyle, basic_block, bottleneck_block, conv_norm
from course_lib.models import _presets

__all__ = ["PRESETS", "STEMS", "ResNetConfig", "resnet"]

STEMS = ("imagenet", "small")


@dataclass(frozen=True)
class ResNetConfig:
    """What fixes a residual network (K. He et al., 2015, arXiv:1512.03385).

    Attributes
    ----------
    blocks : tuple of int
        Blocks in each stage. Every stage after the first halves rows and columns.
    widths : tuple of int
        Channels of each stage's 3x3 convolutions.
    bottleneck : bool
        Blocks of three convolutions, 1x1, 3x3 and 1x1, whose outputs are four times as wide; otherwise two of 3x3.
    stem : str
        ``"imagenet"``: a 7x7 convolution and a pooling, each of stride 2. ``"small"``: one 3x3 convolution of stride 1,
        for images of 8 to 32 pixels a side.
    shortcuts : bool
        False leaves them out: the plain network that He et al. compare with.
    projection : str
        What a shortcut does where the shape changes: ``"convolution"`` or ``"zeros"``, see
        `layers.convolution.shortcut`.
    classes : int or None
        Scores that go out. None leaves the head out: the model gives the last stage's features.
    image : tuple of int
        Rows, columns and channels of an image.
    conv_bias : bool
        Give convolutions a bias. The paper's have none; Keras' have one, and the presets with ImageNet weights too.
    epsilon, momentum : float
        Of the batch normalisations, see `layers.convolution.ConvStyle`. Keras' own networks have a momentum of 0.99,
        too slow for runs of a few hundred steps.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    blocks: tuple[int, ...] = (2, 2, 2, 2)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    bottleneck: bool = False
    stem: str = "imagenet"
    shortcuts: bool = True
    projection: str = "convolution"
    classes: int | None = 1000
    image: tuple[int, int, int] = (224, 224, 3)
    conv_bias: bool = False
    epsilon: float = 1.001e-5
    momentum: float = 0.9

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("blocks", "widths", "image"):
            object.__setattr__(self, name, _presets.counts(name, getattr(self, name)))
        if len(self.blocks) != len(self.widths):
            raise ValueError(f"blocks is {self.blocks} and widths is {self.widths}; they must be equally long")
        _presets.image("image", self.image)
        for name in ("bottleneck", "shortcuts", "conv_bias"):
            _check.flag(name, getattr(self, name))
        _check.choice("stem", self.stem, STEMS)
        _check.choice("projection", self.projection, PROJECTIONS)
        if self.classes is not None:
            _check.count("classes", self.classes)
        self.style()  # checks epsilon and momentum

    def style(self, seed: int | None = None) -> ConvStyle:
        """Say what the convolutions have in common."""
        return ConvStyle(bias=self.conv_bias, epsilon=self.epsilon, momentum=self.momentum, seed=seed)

    @property
    def layers(self) -> int:
        """Convolutions and dense layers on the longest way through: the number in a published name."""
        return 1 + (3 if self.bottleneck else 2) * sum(self.blocks) + (self.classes is not None)

    @property
    def features(self) -> int:
        """Channels after the last stage."""
        return self.widths[-1] * (4 if self.bottleneck else 1)

    @property
    def parameters(self) -> int:
        """All weights, the statistics of batch normalisation included: what ``model.count_params()`` gives."""
        count = self.style().parameters
        before = self.widths[0]
        total = count(self.image[2], before, 49 if self.stem == "imagenet" else 9)
        for stage, (blocks, width) in enumerate(zip(self.blocks, self.widths, strict=True)):
            after = 4 * width if self.bottleneck else width
            projects = self.shortcuts and self.projection == "convolution" and (before != after or stage > 0)
            total += count(before, after, 1) * projects
            for _ in range(blocks):
                if self.bottleneck:
                    total += count(before, width, 1) + count(width, width, 9) + count(width, after, 1)
                else:
                    total += count(before, width, 9) + count(width, width, 9)
                before = after
        return total + (0 if self.classes is None else (before + 1) * self.classes)


PRESETS = {
    "resnet18": ResNetConfig(),
    "resnet34": ResNetConfig(blocks=(3, 4, 6, 3)),
    "resnet50": ResNetConfig(blocks=(3, 4, 6, 3), bottleneck=True, conv_bias=True),
    "resnet101": ResNetConfig(blocks=(3, 4, 23, 3), bottleneck=True, conv_bias=True),
    "resnet152": ResNetConfig(blocks=(3, 8, 36, 3), bottleneck=True, conv_bias=True),
} | {  # for CIFAR-10, section 4.2
    f"resnet{6 * n + 2}": ResNetConfig(
        blocks=(n, n, n), widths=(16, 32, 64), stem="small", projection="zeros", classes=10, image=(32, 32, 3)
    )
    for n in (3, 5, 9, 18)
}


def resnet(config: ResNetConfig | str, name: str | None = None, seed: int | None = None) -> keras.Model:
    """Build a residual network, or a plain one of the same layers.

    Parameters
    ----------
    config : ResNetConfig or str
        Its sizes and options, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "resnet".
    seed : int, optional
        Where the initial kernels draw from; None: from Keras' global seed.

    Returns
    -------
    keras.Model
        Takes images (batch, rows, columns, channels), gives scores (batch, classes), without softmax; without a head,
        features (batch, rows, columns, channels). Not compiled.

    Raises
    ------
    TypeError
        If `config` is no `ResNetConfig`.
    ValueError
        If there is no preset of this name.

    Examples
    --------
    >>> from dataclasses import replace
    >>> plain = replace(PRESETS["resnet20"], shortcuts=False)
    >>> plain.layers, plain.parameters == PRESETS["resnet20"].parameters
    (20, True)
    """
    c, preset = _presets.resolve(config, ResNetConfig, PRESETS)
    style = c.style(seed)
    x = images = keras.Input(c.image, name="images")  # (batch, rows, columns, channels)
    if c.stem == "imagenet":
        x = conv_norm(x, c.widths[0], 7, 2, 3, style=style, name="stem")
        x = keras.layers.ZeroPadding2D(1, data_format=LAYOUT, name="stem_pool_pad")(x)  # after a ReLU, 0 is the least
        x = keras.layers.MaxPooling2D(3, 2, data_format=LAYOUT, name="stem_pool")(x)
    else:
        x = conv_norm(x, c.widths[0], 3, style=style, name="stem")
    block = bottleneck_block if c.bottleneck else basic_block
    projection = c.projection if c.shortcuts else None
    for stage, (blocks, width) in enumerate(zip(c.blocks, c.widths, strict=True), 1):
        for number in range(1, blocks + 1):
            stride = 2 if stage > 1 and number == 1 else 1
            x = block(x, width, stride, projection, style, f"stage{stage}_block{number}")
    if c.classes is not None:
        x = _presets.head(x, c.classes, style)
    return keras.Model(images, x, name=name or preset or "resnet")
