"""Inception networks: blocks that look at their input at several scales side by side. Here each network is a list.

>>> PRESETS["inception_v3"].parameters, PRESETS["inception_v1"].parameters
(23851784, 6998552)
>>> small = InceptionConfig(version=3, width=0.125, classes=10, image=(75, 75, 3))
>>> model = inception(small)
>>> model.output_shape, model.count_params() == small.parameters
((None, 10), True)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from course_lib import _check
from course_lib.layers.convolution import (
    Conv,
    ConvStyle,
    LocalResponseNormalization,
    Pool,
    run_step,
)
from course_lib.models import _presets

__all__ = ["PRESETS", "InceptionConfig", "inception", "v1_steps", "v3_steps"]

# Outputs of each block's branches: 1x1; 3x3 after its reduction; 5x5 after its reduction; 1x1 after pooling. Between
# two parts a pooling halves rows and columns.
_V1_BLOCKS = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    ((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
     (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128)),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)  # fmt: skip


def v1_steps() -> list[Any]:
    """List the steps of GoogLeNet (C. Szegedy et al., 2014, arXiv:1409.4842, table 1), without its auxiliary heads.

    Returns
    -------
    list
        `Conv`, `Pool`, ``"lrn"`` for a local response normalisation, and for each block a list of its branches.
    """
    steps: list[Any] = [Conv(64, 7, 2, 3), Pool("max", 3, 2), "lrn", Conv(64), Conv(192, 3), "lrn"]
    for part in _V1_BLOCKS:
        steps.append(Pool("max", 3, 2))
        steps += [
            [[Conv(one)], [Conv(reduce3), Conv(three, 3)], [Conv(reduce5), Conv(five, 5)], [Pool("max"), Conv(pooled)]]
            for one, reduce3, three, reduce5, five, pooled in part
        ]
    return steps


def v3_steps() -> list[Any]:
    """List the steps of Inception v3 (C. Szegedy et al., 2015, arXiv:1512.00567) as its authors released it.

    The paper's table 1 leaves details open; the released network, which Keras has too, is the one whose weights are
    known. Its auxiliary head, which is for training only, is left out.

    Returns
    -------
    list
        `Conv`, `Pool`, and for each block a list of its branches.
    """
    shrink = Pool("max", 3, 2, "valid")
    steps: list[Any] = [
        Conv(32, 3, 2, "valid"), Conv(32, 3, 1, "valid"), Conv(64, 3), shrink,
        Conv(80), Conv(192, 3, 1, "valid"), shrink,
    ]  # fmt: skip
    steps += [  # 35x35; a 5x5 window, and the same window as two of 3x3
        [[Conv(64)], [Conv(48), Conv(64, 5)], [Conv(64), Conv(96, 3), Conv(96, 3)], [Pool("average"), Conv(pooled)]]
        for pooled in (32, 64, 64)
    ]
    steps.append([[Conv(384, 3, 2, "valid")], [Conv(64), Conv(96, 3), Conv(96, 3, 2, "valid")], [shrink]])
    steps += [  # 17x17; a 7x7 window as a row of seven and a column of seven
        [
            [Conv(192)],
            [Conv(inner), Conv(inner, (1, 7)), Conv(192, (7, 1))],
            [Conv(inner), Conv(inner, (7, 1)), Conv(inner, (1, 7)), Conv(inner, (7, 1)), Conv(192, (1, 7))],
            [Pool("average"), Conv(192)],
        ]
        for inner in (128, 160, 160, 192)
    ]
    steps.append([
        [Conv(192), Conv(320, 3, 2, "valid")],
        [Conv(192), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, 3, 2, "valid")],
        [shrink],
    ])  # fmt: skip
    cross = [[Conv(384, (1, 3))], [Conv(384, (3, 1))]]
    last = [[Conv(320)], [Conv(384), cross], [Conv(448), Conv(384, 3), cross], [Pool("average"), Conv(192)]]
    return [*steps, last, last]  # 8x8; a row and a column side by side


@dataclass(frozen=True)
class InceptionConfig:
    """What fixes an inception network.

    Attributes
    ----------
    version : int
        1, GoogLeNet (arXiv:1409.4842): convolutions with a bias, local response normalisation in the stem. 3
        (arXiv:1512.00567): a batch normalisation without scale after each convolution.
    width : float
        All channels are multiplied by it and rounded, to at least 1.
    classes : int or None
        Scores that go out. None leaves the head out: the model gives the last block's features.
    image : tuple of int
        Rows, columns and channels of an image; at least 32 pixels a side for version 1, 75 for version 3.
    dropout : float
        Share of the pooled features that training sets to 0.
    epsilon, momentum : float
        Of the batch normalisations, see `layers.convolution.ConvStyle`.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    version: int = 3
    width: float = 1.0
    classes: int | None = 1000
    image: tuple[int, int, int] = (299, 299, 3)
    dropout: float = 0.2
    epsilon: float = 1e-3
    momentum: float = 0.9

    def __post_init__(self) -> None:
        """Check every field."""
        if isinstance(self.version, bool) or self.version not in (1, 3):
            raise ValueError(f"version is {self.version!r}; allowed are 1, 3")
        _check.positive("width", self.width)
        object.__setattr__(self, "image", _presets.image("image", self.image, 32 if self.version == 1 else 75))
        if self.classes is not None:
            _check.count("classes", self.classes)
        _check.fraction("dropout", self.dropout)
        self.style()  # checks epsilon and momentum

    def style(self, seed: int | None = None) -> ConvStyle:
        """Say what the convolutions have in common."""
        normalize = self.version == 3
        return ConvStyle(normalize, not normalize, scale=False, epsilon=self.epsilon, momentum=self.momentum, seed=seed)

    @property
    def steps(self) -> list[Any]:
        """The network from image to features, with the channels that `width` leaves."""
        return _scaled(v1_steps() if self.version == 1 else v3_steps(), self.width)

    @property
    def parameters(self) -> int:
        """All weights, the statistics of batch normalisation included: what ``model.count_params()`` gives."""
        total, features = _count(self.steps, self.image[2], self.style())
        return total + (0 if self.classes is None else (features + 1) * self.classes)


def _scaled(steps: Sequence[Any], width: float) -> list[Any]:
    """Multiply the channels of every convolution."""
    result: list[Any] = []
    for step in steps:
        if isinstance(step, Conv):
            result.append(replace(step, filters=max(1, round(width * step.filters))))
        else:
            result.append([_scaled(branch, width) for branch in step] if isinstance(step, list) else step)
    return result


def _count(steps: Sequence[Any], channels: int, style: ConvStyle) -> tuple[int, int]:
    """Give the parameters of steps in a row, and the channels that come out."""
    total = 0
    for step in steps:
        if isinstance(step, Conv):
            rows, columns = step.size if isinstance(step.size, tuple) else (step.size, step.size)
            total += style.parameters(channels, step.filters, rows * columns)
            channels = step.filters
        elif isinstance(step, list):
            ends = [_count(branch, channels, style) for branch in step]
            total, channels = total + sum(parameters for parameters, _ in ends), sum(width for _, width in ends)
    return total, channels


PRESETS = {
    "inception_v1": InceptionConfig(version=1, image=(224, 224, 3), dropout=0.4),
    "inception_v3": InceptionConfig(),
}


def inception(config: InceptionConfig | str, name: str | None = None, seed: int | None = None) -> keras.Model:
    """Build an inception network.

    Parameters
    ----------
    config : InceptionConfig or str
        Its sizes and options, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "inception".
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
        If `config` is no `InceptionConfig`.
    ValueError
        If there is no preset of this name.
    """
    c, preset = _presets.resolve(config, InceptionConfig, PRESETS)
    style = c.style(seed)
    x = images = keras.Input(c.image, name="images")  # (batch, rows, columns, channels)
    blocks = 0
    for number, step in enumerate(c.steps, 1):
        if isinstance(step, list):
            x = run_step(x, step, style, f"mixed{blocks}")  # the release numbers them from 0
            blocks += 1
        elif step == "lrn":
            x = LocalResponseNormalization(name=f"stem{number}_lrn")(x)
        else:
            x = run_step(x, step, style, f"stem{number}" if blocks == 0 else f"mixed{blocks - 1}_end")
    if c.classes is not None:
        x = _presets.head(x, c.classes, style, c.dropout)
    return keras.Model(images, x, name=name or preset or "inception")
