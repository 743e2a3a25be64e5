"""Three ways to classify a video: by a bag of its frames, by reading them in order, by filters that reach through time.

>>> configs = [VideoConfig(kind) for kind in KINDS]
>>> [video_classifier(config).count_params() == config.parameters for config in configs]
[True, True, True]
>>> video_classifier(VideoConfig("recurrent", frames=6, image=(32, 32, 1), classes=2)).output_shape
(None, 2)

References
----------
A. Karpathy et al., Large-Scale Video Classification with Convolutional Neural Networks, 2014,
https://doi.org/10.1109/CVPR.2014.223
J. Donahue et al., Long-term Recurrent Convolutional Networks, 2014, https://arxiv.org/abs/1411.4389
D. Tran et al., Learning Spatiotemporal Features with 3D Convolutional Networks, 2014, https://arxiv.org/abs/1412.0767
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers.convolution import LAYOUT, ConvStyle, conv_norm
from course_lib.layers.recurrent import GRUCell, Recurrent
from course_lib.models import _presets
from course_lib.models.rnn import cell_parameters

__all__ = ["KINDS", "VideoConfig", "video_classifier"]

KINDS = ("frames", "recurrent", "conv3d")


@dataclass(frozen=True)
class VideoConfig:
    """What fixes a classifier of videos.

    Attributes
    ----------
    kind : {"frames", "recurrent", "conv3d"}
        ``"frames"``: an image network looks at each frame by itself, and the frames' features are averaged: the order
        of the frames cannot matter. ``"recurrent"``: the same network, but a GRU reads the features in order.
        ``"conv3d"``: convolutions over time, rows and columns at once.
    frames : int
        Frames of a video.
    image : tuple of int
        Rows, columns and channels of a frame.
    classes : int
        Scores.
    widths : tuple of int
        Channels after each stage. A stage is a convolution, 3 x 3 or 3 x 3 x 3, that halves rows and columns and leaves
        time as it is.
    hidden : int
        Features of a frame, and units of the GRU; ``"conv3d"`` has none of both.
    normalize : bool
        Batch normalisation in the stages.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    kind: str = "conv3d"
    frames: int = 8
    image: tuple[int, int, int] = (32, 32, 1)
    classes: int = 2
    widths: tuple[int, ...] = (8, 16, 32)
    hidden: int = 32
    normalize: bool = True

    def __post_init__(self) -> None:
        """Check every field."""
        _check.choice("kind", self.kind, KINDS)
        object.__setattr__(self, "image", _presets.image("image", self.image))
        object.__setattr__(self, "widths", _presets.counts("widths", self.widths))
        for name in ("frames", "classes", "hidden"):
            _check.count(name, getattr(self, name))
        _check.flag("normalize", self.normalize)

    @property
    def features(self) -> int:
        """Numbers of the last map of one frame."""
        rows, columns = (-(-side // 2 ** len(self.widths)) for side in self.image[:2])
        return rows * columns * self.widths[-1]

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives."""
        window, extra = 27 if self.kind == "conv3d" else 9, 4 if self.normalize else 1
        inputs = (self.image[2], *self.widths)
        stages = sum((window * a + extra) * b for a, b in zip(inputs, self.widths, strict=False))
        if self.kind == "conv3d":
            return stages + (self.widths[-1] + 1) * self.classes
        reader = cell_parameters("gru", self.hidden, self.hidden) if self.kind == "recurrent" else 0
        return stages + (self.features + 1) * self.hidden + reader + (self.hidden + 1) * self.classes


def video_classifier(config: VideoConfig, name: str | None = None, seed: int | None = None) -> keras.Model:
    """Build a classifier of videos.

    Parameters
    ----------
    config : VideoConfig
        Its kind, sizes and options.
    name : str, optional
        The model's name; by default its kind.
    seed : int, optional
        Where the initial weights draw from; None: from Keras' global seed.

    Returns
    -------
    keras.Model
        Takes videos (batch, frames, rows, columns, channels), gives scores (batch, classes), without softmax. Not
        compiled.

    Raises
    ------
    TypeError
        If `config` is no `VideoConfig`.
    """
    c, _ = _presets.resolve(config, VideoConfig, {})
    style = ConvStyle(normalize=c.normalize, bias=not c.normalize, seed=seed)
    videos = keras.Input((c.frames, *c.image), name="videos")  # (batch, frames, rows, columns, channels)
    if c.kind == "conv3d":
        x = videos
        for number, width in enumerate(c.widths, 1):
            x = _conv3d_norm(x, width, style, f"stage_{number}")
        x = keras.layers.GlobalAveragePooling3D(LAYOUT, name="pooled")(x)  # (batch, channels)
    else:
        x = ops.reshape(videos, (-1, *c.image))  # every frame an image: (batch * frames, rows, columns, channels)
        for number, width in enumerate(c.widths, 1):
            x = conv_norm(x, width, 3, 2, style=style, name=f"stage_{number}")
        # Flattened and not averaged: where the digit is must not be lost.
        x = ops.reshape(x, (-1, c.frames, c.features))
        start = _seeds.initializer("he_normal", style.own_seed("features"))
        x = keras.layers.Dense(c.hidden, "relu", kernel_initializer=start, name="features")(x)
        if c.kind == "frames":
            x = keras.layers.GlobalAveragePooling1D(LAYOUT, name="bag")(x)  # (batch, hidden)
        else:
            x = Recurrent(GRUCell(c.hidden, seed=style.own_seed("reader")), name="reader")(x)
    return keras.Model(videos, _presets.scores(x, c.classes, style), name=name or c.kind)


def _conv3d_norm(x: Any, filters: int, style: ConvStyle, name: str) -> Any:
    """Convolve over time, rows and columns, halve the last two, normalise and activate."""
    x = keras.layers.Conv3D(
        filters, 3, (1, 2, 2), "same", LAYOUT, use_bias=style.bias, kernel_initializer=style.kernel_initializer(name),
        name=f"{name}_conv",
    )(x)  # fmt: skip
    if style.normalize:
        x = keras.layers.BatchNormalization(epsilon=style.epsilon, momentum=style.momentum, name=f"{name}_norm")(x)
    return keras.layers.Activation(style.activation, name=f"{name}_{style.activation}")(x)
