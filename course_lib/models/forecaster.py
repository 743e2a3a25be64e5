"""A Transformer that reads measurements: pre-trained by rebuilding what is hidden, then asked for a forecast.

A window of sensor readings is cut into patches, a few steps each; every patch becomes one position of the sequence, as
in a Vision Transformer. Before any label is needed the model learns by rebuilding hidden patches; then a small head
says what comes, or how long an engine still runs.

>>> config = ForecasterConfig(length=12, channels=2, patch=4, width=8, layers=1, heads=2, hidden=16)
>>> backbone = PatchEncoder(config, seed=0)
>>> windows = np.zeros((3, 12, 2), "float32")
>>> tuple(backbone(windows).shape)  # (batch, patches, width)
(3, 3, 8)
>>> inputs, weights = hide_patches(windows, config.patch, share=0.34, seed=0)
>>> tuple(MaskedReconstruction(backbone, seed=0)(inputs).shape), weights.shape
((3, 12, 2), (3, 12))
>>> model = Forecaster(backbone, outputs=5, seed=0)
>>> tuple(model(windows).shape), model.count_params() == Forecaster.size(config, 5)
((3, 5), True)

References
----------
Y. Nie et al., A Time Series is Worth 64 Words, 2022, https://arxiv.org/abs/2211.14730
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers.feed_forward import ACTIVATIONS
from course_lib.layers.normalization import LayerNorm
from course_lib.layers.positions import PositionEmbedding
from course_lib.layers.transformer_block import TransformerBlock

__all__ = ["Forecaster", "ForecasterConfig", "MaskedReconstruction", "PatchEncoder", "hide_patches"]


@dataclass(frozen=True)
class ForecasterConfig:
    """What fixes the part that reads.

    Attributes
    ----------
    length, channels : int
        Steps of a window, and measurements at each.
    patch : int
        Steps in a patch; divides `length`.
    width, layers, heads, hidden : int
        Numbers a position, blocks, heads of attention, and numbers inside the feed-forward layers.
    activation : {"gelu", "gelu_tanh", "relu", "swiglu"}
        Of the feed-forward layers.
    dropout : float
        On the embedded patches, and on each part's output before its shortcut.
    epsilon : float
        Of the normalisations.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    length: int
    channels: int
    patch: int = 5
    width: int = 32
    layers: int = 2
    heads: int = 4
    hidden: int = 64
    activation: str = "gelu"
    dropout: float = 0.0
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("length", "channels", "patch", "width", "layers", "heads", "hidden"):
            _check.count(name, getattr(self, name))
        if self.length % self.patch:
            raise ValueError(f"patch is {self.patch}; it must divide length, {self.length}")
        if self.width % self.heads:
            raise ValueError(f"heads is {self.heads}; it must divide width, {self.width}")
        _check.choice("activation", self.activation, ACTIVATIONS)
        _check.fraction("dropout", self.dropout)
        _check.positive("epsilon", self.epsilon)

    @property
    def patches(self) -> int:
        """Positions of the sequence."""
        return self.length // self.patch

    @property
    def parameters(self) -> int:
        """All weights of a `PatchEncoder`: what ``model.count_params()`` gives."""
        d, norm = self.width, 2 * self.width
        attention = 4 * (d + 1) * d
        feed_forward = (2 if self.activation == "swiglu" else 1) * (d + 1) * self.hidden + (self.hidden + 1) * d
        embedding = (self.patch * self.channels + 1) * d + d + self.patches * d  # patches, the hidden one, places
        return embedding + self.layers * (attention + feed_forward + 2 * norm) + norm


def hide_patches(
    windows: Any, patch: int, share: float = 0.4, seed: int | np.random.Generator = 0
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Choose patches to hide, the same number in every window.

    Parameters
    ----------
    windows : array, shape (batch, length, channels)
        The data.
    patch : int
        Steps in a patch; divides the length.
    share : float
        Of the patches, above 0 and below 1; at least one is hidden and one is not.
    seed : int or numpy.random.Generator
        Decides which.

    Returns
    -------
    inputs : dict
        ``"window"``: the data, float32; ``"hidden"``: boolean array (batch, patches), what `MaskedReconstruction` must
        not see.
    weights : array of float32, shape (batch, length)
        What each step counts in the loss, as ``sample_weight``: nothing where it can be seen, and elsewhere so much
        that the mean over all steps is the mean over the hidden ones.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    data = _check.finite("windows", windows, ndim=3).astype(np.float32)
    if data.shape[1] % _check.count("patch", patch) or data.shape[1] < 2 * patch:
        raise ValueError(f"patch is {patch}; it must divide the windows' length, {data.shape[1]}, and be shorter")
    if _check.fraction("share", share) == 0:
        raise ValueError(f"share is {share!r}; it must be above 0 and below 1")
    patches = data.shape[1] // patch
    number = min(max(round(share * patches), 1), patches - 1)
    rng = np.random.default_rng(seed)
    hidden = rng.random((len(data), patches)).argsort(axis=1) < number
    return {"window": data, "hidden": hidden}, np.repeat(hidden, patch, axis=1).astype(np.float32) * patches / number


@keras.saving.register_keras_serializable(package="course_lib")
class PatchEncoder(keras.Model):
    """Read windows of measurements.

    Parameters
    ----------
    config : ForecasterConfig
        Its sizes.
    seed : int, optional
        Where the initial weights and dropout draw from; None: from Keras' global seed.
    **kwargs
        As ``keras.Model`` takes them.

    Raises
    ------
    TypeError
        If `config` is of another type.
    """

    built: bool

    def __init__(self, config: ForecasterConfig, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(config, ForecasterConfig):
            raise TypeError(f"config is of type {type(config).__name__}; it must be a ForecasterConfig")
        self.config, self.seed, policy = config, seed, self.dtype_policy
        self.embedding = _dense(config.width, "embedding", _seeds.derive(seed, 0), policy)
        self.positions = PositionEmbedding(
            config.patches, seed=_seeds.derive(seed, 1), dtype=policy, name="positions"
        )  # fmt: skip
        self.drop = keras.layers.Dropout(config.dropout, seed=_seeds.derive(seed, 2), dtype=policy, name="dropout")
        self.blocks = [
            TransformerBlock(
                config.width, config.heads, config.hidden, "pre", activation=config.activation, epsilon=config.epsilon,
                dropout=config.dropout, seed=_seeds.derive(seed, 100 + n), dtype=policy, name=f"block_{n}",
            )
            for n in range(1, config.layers + 1)
        ]  # fmt: skip
        self.norm = LayerNorm(config.epsilon, dtype=policy, name="norm")
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        if self.built:
            return
        shape = (None, self.config.patches, self.config.width)
        self.embedding.build((None, self.config.patches, self.config.patch * self.config.channels))
        for layer in (self.positions, self.drop, *self.blocks, self.norm):
            layer.build(shape)
        self.hidden_patch = self.add_weight(shape=(self.config.width,), initializer="zeros", name="hidden_patch")
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Read windows.

        Parameters
        ----------
        inputs : tensor of shape (batch, length, channels), or dict
            ``"window"``: that tensor; ``"hidden"``: boolean tensor (batch, patches), True where a patch must not be
            seen.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        tensor, shape (batch, patches, width)

        Raises
        ------
        ValueError
            If windows have another shape.
        """
        given = dict(inputs) if isinstance(inputs, Mapping) else {"window": inputs}
        window, c = ops.convert_to_tensor(given["window"]), self.config
        if tuple(window.shape[1:]) != (c.length, c.channels):
            raise ValueError(f"window has shape {tuple(window.shape)}; it must be (batch, {c.length}, {c.channels})")
        x = self.embedding(ops.reshape(window, (-1, c.patches, c.patch * c.channels)))
        if given.get("hidden") is not None:
            hidden = ops.cast(given["hidden"], "bool")[..., None]
            x = ops.where(hidden, ops.cast(self.hidden_patch, x.dtype), x)
        x = self.drop(self.positions(x), training=training)
        for block in self.blocks:
            x = block(x, training=training)
        return self.norm(x)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Give the shape of what is found at the patches."""
        shape = input_shape["window"] if isinstance(input_shape, Mapping) else input_shape
        return (shape[0], self.config.patches, self.config.width)

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"config": asdict(self.config), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PatchEncoder:
        """Make the model that `get_config` describes."""
        return cls(**config | {"config": ForecasterConfig(**config["config"])})


class _OnPatches(keras.Model):
    """What the heads share: the backbone, which they keep, and how they are saved."""

    built: bool

    def __init__(self, backbone: PatchEncoder, seed: int | None = None, **kwargs: Any) -> None:
        if not isinstance(backbone, PatchEncoder):
            raise TypeError(f"backbone is of type {type(backbone).__name__}; it must be a PatchEncoder")
        super().__init__(**{"dtype": backbone.dtype_policy} | kwargs)
        self.backbone, self.seed = backbone, seed

    def _finish(self, outputs: int, name: str) -> None:
        self.head = _dense(outputs, name, _seeds.derive(self.seed, 3), self.dtype_policy)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        if not self.built:
            self.head.build((None, None, self.backbone.config.width))
            self.built = True

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        backbone = keras.saving.serialize_keras_object(self.backbone)
        return super().get_config() | {"backbone": backbone, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> _OnPatches:
        """Make the model that `get_config` describes."""
        backbone = keras.saving.deserialize_keras_object(config["backbone"], custom_objects=custom_objects)
        return cls(**config | {"backbone": backbone})


@keras.saving.register_keras_serializable(package="course_lib")
class MaskedReconstruction(_OnPatches):
    """Rebuild windows of which patches are hidden: the task to pre-train on, which needs no label.

    Train it on what `hide_patches` gives, with the windows as targets and the mean squared error.

    Parameters
    ----------
    backbone : PatchEncoder
        What reads; another head can use it afterwards.
    seed : int, optional
        Where the initial weights draw from.
    **kwargs
        As ``keras.Model`` takes them.

    Raises
    ------
    TypeError
        If `backbone` is something else.
    """

    def __init__(self, backbone: PatchEncoder, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(backbone, seed, **kwargs)
        self._finish(backbone.config.patch * backbone.config.channels, "rebuilt")

    @staticmethod
    def size(config: ForecasterConfig) -> int:
        """Count the weights on a backbone with this configuration: what ``model.count_params()`` gives."""
        return config.parameters + (config.width + 1) * config.patch * config.channels

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Rebuild all patches, those that can be seen too; takes what the backbone takes.

        Returns
        -------
        tensor, shape (batch, length, channels)
        """
        c = self.backbone.config
        return ops.reshape(self.head(self.backbone(inputs, training=training)), (-1, c.length, c.channels))


@keras.saving.register_keras_serializable(package="course_lib")
class Forecaster(_OnPatches):
    """Say some numbers about a window: the next values, or how many cycles an engine still runs.

    It averages what the backbone found at all patches; a linear map gives the numbers.

    Parameters
    ----------
    backbone : PatchEncoder
        What reads; new, or pre-trained under a `MaskedReconstruction`.
    outputs : int
        Numbers to say.
    seed : int, optional
        Where the initial weights draw from.
    **kwargs
        As ``keras.Model`` takes them.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """

    def __init__(self, backbone: PatchEncoder, outputs: int = 1, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(backbone, seed, **kwargs)
        self.outputs_count = _check.count("outputs", outputs)
        self._finish(outputs, "forecast")

    @staticmethod
    def size(config: ForecasterConfig, outputs: int = 1) -> int:
        """Count the weights on a backbone with this configuration: what ``model.count_params()`` gives."""
        return config.parameters + (config.width + 1) * outputs

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Give the numbers; takes what the backbone takes.

        Returns
        -------
        tensor, shape (batch, outputs)
        """
        return self.head(ops.mean(self.backbone(inputs, training=training), axis=1))

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"outputs": self.outputs_count}


def _dense(outputs: int, name: str, seed: int | None, policy: Any) -> keras.layers.Dense:
    start = _seeds.initializer("glorot_uniform", seed)
    return keras.layers.Dense(outputs, kernel_initializer=start, dtype=policy, name=name)
