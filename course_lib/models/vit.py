"""The Vision Transformer: an image cut into patches, which a transformer's encoder reads like words.

>>> config = ViTConfig(image=(32, 32, 3), patch=8, width=16, layers=2, heads=4, hidden=32, classes=10)
>>> model = vit(config, seed=0)
>>> model.count_params() == config.parameters
True
>>> config.positions  # 4 x 4 patches, and the class token
17
>>> PRESETS["vit_b_16"].parameters
86567656

References
----------
A. Dosovitskiy et al., An Image is Worth 16x16 Words, 2020, https://arxiv.org/abs/2010.11929
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers.feed_forward import ACTIVATIONS
from course_lib.layers.normalization import LayerNorm
from course_lib.layers.positions import PositionEmbedding
from course_lib.layers.transformer_block import TransformerBlock
from course_lib.models import _presets

__all__ = ["PRESETS", "ClassToken", "ViTConfig", "vit"]


@dataclass(frozen=True)
class ViTConfig:
    """What fixes a Vision Transformer.

    Attributes
    ----------
    image : tuple of int
        Rows, columns and channels of the images.
    patch : int
        Rows and columns of a patch; divides those of the image.
    width, layers, heads, hidden : int
        Numbers a patch, blocks, heads of attention, and numbers inside the feed-forward layers.
    classes : int or None
        Scores; None leaves the head away and gives the class token's features.
    activation : {"relu", "gelu", "gelu_tanh", "swiglu"}
        Of the feed-forward layers.
    dropout : float
        After the positions are added, and on each part's output before its shortcut.
    epsilon : float
        Of the normalisations; 1e-6 in the authors' program.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    image: tuple[int, int, int] = (224, 224, 3)
    patch: int = 16
    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    classes: int | None = 1000
    activation: str = "gelu"
    dropout: float = 0.0
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        """Check every field."""
        object.__setattr__(self, "image", _presets.image("image", self.image))
        for name in ("patch", "width", "layers", "heads", "hidden"):
            _check.count(name, getattr(self, name))
        if self.image[0] % self.patch or self.image[1] % self.patch:
            raise ValueError(f"patch is {self.patch}; it must divide the sides of image, {self.image}")
        if self.width % self.heads:
            raise ValueError(f"heads is {self.heads}; it must divide width, {self.width}")
        if self.classes is not None:
            _check.count("classes", self.classes)
        _check.choice("activation", self.activation, ACTIVATIONS)
        _check.fraction("dropout", self.dropout)
        _check.positive("epsilon", self.epsilon)

    @property
    def positions(self) -> int:
        """Patches, and the class token."""
        return (self.image[0] // self.patch) * (self.image[1] // self.patch) + 1

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives."""
        d = self.width
        patches = (self.patch**2 * self.image[2] + 1) * d
        attention, norm = 4 * (d + 1) * d, 2 * d
        feed_forward = (2 if self.activation == "swiglu" else 1) * (d + 1) * self.hidden + (self.hidden + 1) * d
        blocks = self.layers * (attention + feed_forward + 2 * norm)
        head = 0 if self.classes is None else (d + 1) * self.classes
        return patches + d + self.positions * d + blocks + norm + head


PRESETS = {
    "vit_b_16": ViTConfig(),
    "vit_b_32": ViTConfig(patch=32),
    "vit_l_16": ViTConfig(width=1024, layers=24, heads=16, hidden=4096),
}


def vit(config: ViTConfig | str, name: str | None = None, seed: int | None = None) -> keras.Model:
    """Build a Vision Transformer.

    Parameters
    ----------
    config : ViTConfig or str
        Its sizes and options, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "vit".
    seed : int, optional
        Where the initial weights and dropout draw from; None: from Keras' global seed.

    Returns
    -------
    keras.Model
        Takes images (batch, rows, columns, channels), gives scores (batch, classes), without softmax; without a head,
        features (batch, width). Not compiled.

    Raises
    ------
    TypeError
        If `config` is no `ViTConfig`.
    ValueError
        If there is no preset of this name.
    """
    c, preset = _presets.resolve(config, ViTConfig, PRESETS)

    def glorot(number: int) -> keras.initializers.Initializer:
        return _seeds.initializer("glorot_uniform", _seeds.derive(seed, number))

    x = images = keras.Input(c.image, name="images")  # (batch, rows, columns, channels)
    # A convolution whose kernel moves by its own size: one linear map of every patch.
    x = keras.layers.Conv2D(
        c.width, c.patch, c.patch, kernel_initializer=glorot(0), data_format="channels_last", name="patches"
    )(x)
    x = keras.layers.Reshape((c.positions - 1, c.width), name="sequence")(x)  # row by row: (batch, patches, width)
    x = ClassToken(name="class_token")(x)
    x = PositionEmbedding(c.positions, seed=_seeds.derive(seed, 1), name="positions")(x)
    if c.dropout:
        x = keras.layers.Dropout(c.dropout, seed=_seeds.derive(seed, 2), name="dropout")(x)
    for number in range(1, c.layers + 1):
        x = TransformerBlock(
            c.width, c.heads, c.hidden, "pre", activation=c.activation, epsilon=c.epsilon, dropout=c.dropout,
            seed=_seeds.derive(seed, 100 + number), name=f"block_{number}",
        )(x)  # fmt: skip
    x = LayerNorm(c.epsilon, name="norm")(x)
    x = x[:, 0]  # what the class token has gathered: (batch, width)
    if c.classes is not None:
        x = keras.layers.Dense(c.classes, kernel_initializer=glorot(3), name="scores")(x)
    return keras.Model(images, x, name=name or preset or "vit")


@keras.saving.register_keras_serializable(package="course_lib")
class ClassToken(keras.layers.Layer):
    """Put one learned vector before each sequence: the place where the answer is gathered, as BERT's [CLS]."""

    def build(self, input_shape: Any) -> None:
        """Make the vector, which starts at 0."""
        self.token = self.add_weight(shape=(1, 1, input_shape[-1]), initializer="zeros", name="token")

    def call(self, x: Any) -> Any:
        """Turn (batch, positions, width) into (batch, 1 + positions, width)."""
        token = ops.broadcast_to(ops.cast(self.token, x.dtype), (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Count one position more."""
        return (input_shape[0], None if input_shape[1] is None else input_shape[1] + 1, *input_shape[2:])
