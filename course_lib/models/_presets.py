"""What builders of image networks share: the first argument, checks of a configuration, the head."""

from __future__ import annotations

from typing import Any, TypeVar

import keras

from course_lib import _check
from course_lib.layers.convolution import LAYOUT, ConvStyle

Config = TypeVar("Config")


def resolve(config: Config | str, kind: type[Config], presets: dict[str, Config]) -> tuple[Config, str | None]:
    """Give the configuration, and the preset's name if it came by one."""
    if isinstance(config, str):
        return presets[_check.choice("config", config, tuple(presets))], config
    if not isinstance(config, kind):
        wanted = f"of type {kind.__name__} or a preset's name"
        raise TypeError(f"config is of type {type(config).__name__}; it must be {wanted}")
    return config, None


def counts(name: str, values: Any, empty: bool = False) -> tuple[int, ...]:
    """Require whole numbers of at least 1; a list becomes a tuple."""
    try:
        result = tuple(_check.count(name, value) for value in values)
    except (TypeError, ValueError):
        result = None
    if result is None or not (result or empty):
        raise ValueError(f"{name} is {values!r}; it must be a tuple of whole numbers of at least 1")
    return result


def image(name: str, value: Any, smallest: int = 1) -> tuple[int, int, int]:
    """Require rows, columns and channels, of at least so many pixels a side."""
    result = counts(name, value)
    if len(result) != 3 or min(result[:2]) < smallest:
        raise ValueError(
            f"{name} is {value!r}; it must be (rows, columns, channels), at least {smallest} pixels a side"
        )
    return result


def head(x: Any, classes: int, style: ConvStyle, dropout: float = 0.0) -> Any:
    """Average each channel over the image, then give scores (batch, classes)."""
    x = keras.layers.GlobalAveragePooling2D(LAYOUT, name="pooled")(x)  # (batch, channels)
    if dropout:
        x = keras.layers.Dropout(dropout, seed=style.own_seed("dropout"), name="dropout")(x)
    return scores(x, classes, style)


def scores(x: Any, classes: int, style: ConvStyle) -> Any:
    """Give scores (batch, classes) from features (batch, channels)."""
    # He's initializer is for layers before a ReLU; scores that start larger only slow training down.
    kernel = keras.initializers.GlorotUniform(style.own_seed("scores"))
    return keras.layers.Dense(classes, kernel_initializer=kernel, name="scores")(x)
