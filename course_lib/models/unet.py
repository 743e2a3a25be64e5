"""U-Net: a class for every pixel, from a path down that sees more and more and a path up that gets the detail back.

On the way down each step halves rows and columns, so a pixel of the lowest map has seen much of the image, but not
exactly where things are. On the way up each step doubles them again, and lays the map of the same size from the way
down beside it: the shortcut through which the edges come back.

>>> config = UNetConfig(image=(32, 32, 1), classes=11, widths=(8, 16, 32))
>>> model = unet(config, seed=0)
>>> model.output_shape, model.count_params() == config.parameters
((None, 32, 32, 11), True)
>>> PRESETS["unet"].parameters, PRESETS["unet"].output
(31030658, (388, 388))

References
----------
O. Ronneberger, P. Fischer, T. Brox, 2015, https://arxiv.org/abs/1505.04597
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from course_lib import _check
from course_lib.layers.convolution import LAYOUT, ConvStyle, conv_norm
from course_lib.models import _presets

__all__ = ["PRESETS", "UNetConfig", "crop", "segment", "unet"]


@dataclass(frozen=True)
class UNetConfig:
    """What fixes a U-Net.

    Attributes
    ----------
    image : tuple of int
        Rows, columns and channels of the images. Every map on the way down must have an even number of rows and columns
        before it is halved.
    classes : int
        Classes of a pixel, the background among them.
    widths : tuple of int
        Channels of each map on the way down; the last one is the lowest.
    padding : {"same", "valid"}
        ``"same"`` fills up with zeros at the edges, so that the answer is as large as the image. ``"valid"``, as in the
        paper, uses real pixels only: each convolution takes a pixel off each side, and the answer is for the middle.
    normalize : bool
        A batch normalisation after each convolution of 3 x 3; not in the paper.
    dropout : float
        On the lowest map.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    image: tuple[int, int, int] = (64, 64, 1)
    classes: int = 11
    widths: tuple[int, ...] = (16, 32, 64)
    padding: str = "same"
    normalize: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        object.__setattr__(self, "image", _presets.image("image", self.image))
        object.__setattr__(self, "widths", _presets.counts("widths", self.widths))
        _check.count("classes", self.classes)
        _check.choice("padding", self.padding, ("same", "valid"))
        _check.flag("normalize", self.normalize)
        _check.fraction("dropout", self.dropout)
        for side in self.image[:2]:
            self._side(side)

    @property
    def output(self) -> tuple[int, int]:
        """Rows and columns of the answer."""
        return self._side(self.image[0]), self._side(self.image[1])

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives."""
        w, extra = self.widths, 4 if self.normalize else 1  # without a normalisation each convolution has a bias
        total = 0
        for before, width in zip((self.image[2], *w), w, strict=False):  # down
            total += (9 * before + extra) * width + (9 * width + extra) * width
        for width, below in itertools.pairwise(w):  # up: 2 x 2, then from twice as many channels
            total += (4 * below + 1) * width + (9 * 2 * width + extra) * width + (9 * width + extra) * width
        return total + (w[0] + 1) * self.classes

    def _side(self, side: int) -> int:
        """Follow one side through the network."""
        loss, start = 4 if self.padding == "valid" else 0, side
        for _ in self.widths[1:]:
            side -= loss
            if side < 2 or side % 2:
                raise ValueError(
                    f"image is {self.image}: a side of {start} becomes {side} where it is halved; it must be even"
                )
            side //= 2
        side -= loss
        if side < 1:
            raise ValueError(f"image is {self.image}: of a side of {start} nothing is left at the lowest map")
        for _ in self.widths[1:]:
            side = 2 * side - loss
            if side < 1:
                raise ValueError(f"image is {self.image}: of a side of {start} nothing is left at the end")
        return side


PRESETS = {
    # The paper's figure 1: 23 convolutions, from 572 x 572 pixels to 388 x 388.
    "unet": UNetConfig((572, 572, 1), 2, (64, 128, 256, 512, 1024), "valid", normalize=False, dropout=0.5)
}


def unet(config: UNetConfig | str, name: str | None = None, seed: int | None = None) -> keras.Model:
    """Build a U-Net.

    Parameters
    ----------
    config : UNetConfig or str
        Its sizes and options, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "unet".
    seed : int, optional
        Where the initial weights and dropout draw from; None: from Keras' global seed.

    Returns
    -------
    keras.Model
        Takes images (batch, rows, columns, channels), gives scores (batch, rows, columns, classes), without softmax.
        Not compiled; its loss is ``SparseCategoricalCrossentropy(from_logits=True)`` on masks of whole numbers.

    Raises
    ------
    TypeError
        If `config` is no `UNetConfig`.
    ValueError
        If there is no preset of this name.
    """
    c, preset = _presets.resolve(config, UNetConfig, PRESETS)
    style = ConvStyle(normalize=c.normalize, bias=not c.normalize, seed=seed)

    def twice(x: Any, width: int, place: str) -> Any:
        for number in (1, 2):
            x = conv_norm(x, width, 3, padding=c.padding, style=style, name=f"{place}_{number}")
        return x

    x = images = keras.Input(c.image, name="images")  # (batch, rows, columns, channels)
    passed = []
    for number, width in enumerate(c.widths, 1):
        if number > 1:
            x = keras.layers.MaxPooling2D(2, data_format=LAYOUT, name=f"halve_{number}")(x)
        x = twice(x, width, f"down_{number}")
        passed.append(x)
    if c.dropout:
        x = keras.layers.Dropout(c.dropout, seed=style.own_seed("dropout"), name="dropout")(x)
    for number in range(len(c.widths) - 1, 0, -1):
        width, place = c.widths[number - 1], f"up_{number}"
        # Every pixel becomes 2 x 2, each by a linear map of its own.
        x = keras.layers.Conv2DTranspose(
            width, 2, 2, data_format=LAYOUT, kernel_initializer=style.kernel_initializer(f"{place}_double"),
            name=f"{place}_double",
        )(x)  # fmt: skip
        detail = crop(passed[number - 1], *x.shape[1:3])  # the same size, as the edges were lost below
        x = twice(keras.layers.Concatenate(name=f"{place}_join")([detail, x]), width, place)
    start = keras.initializers.GlorotUniform(style.own_seed("scores"))
    x = keras.layers.Conv2D(c.classes, 1, kernel_initializer=start, data_format=LAYOUT, name="scores")(x)
    return keras.Model(images, x, name=name or preset or "unet")


def crop(maps: Any, rows: int, columns: int) -> Any:
    """Cut out the middle: of the masks, what a model with ``"valid"`` answers for.

    Parameters
    ----------
    maps : array or tensor, shape (batch, rows, columns, ...)
        Images, masks or feature maps.
    rows, columns : int
        Of the result.

    Returns
    -------
    array or tensor, shape (batch, rows, columns, ...)
        If a margin is odd, the smaller half is cut off above and to the left.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    margins = []
    for name, side, wanted in (("rows", maps.shape[1], rows), ("columns", maps.shape[2], columns)):
        if not 1 <= _check.count(name, wanted) <= side:
            raise ValueError(f"{name} is {wanted}; maps has {side}")
        margins.append((side - wanted) // 2)
    top, left = margins
    return maps[:, top : top + rows, left : left + columns]


def segment(model: keras.Model, images: Any, batch: int = 32) -> np.ndarray:
    """Give the class with the highest score for each pixel.

    Parameters
    ----------
    model : keras.Model
        Made by `unet`, and trained.
    images : array_like, shape (images, rows, columns, channels)
        As the model was trained on.
    batch : int
        Images that go through the network together.

    Returns
    -------
    array of int32, shape (images, rows, columns)
        Of the answer, which with ``"valid"`` is smaller than the image.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    images = np.asarray(images)
    wanted = tuple(model.input_shape[1:])
    if images.ndim != 4 or images.shape[1:] != wanted:
        raise ValueError(f"images has shape {images.shape}; it must be (images, {', '.join(map(str, wanted))})")
    scores = model.predict(images, batch_size=_check.count("batch", batch), verbose=0)
    return scores.argmax(axis=-1).astype(np.int32)
