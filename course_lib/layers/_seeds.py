"""Seeds for layers made of layers: every kernel and every dropout draws from a stream of its own."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["derive", "initializer"]


def derive(seed: int | None, number: int) -> int | None:
    """Make the seed of part `number` from that of the whole; None stays None (Keras' global seed)."""
    return None if seed is None else (seed * 1_000_003 + number) % 2**31


def initializer(kind: Any, seed: int | None = None) -> keras.initializers.Initializer:
    """Make an initializer of its own for one kernel.

    An object of Keras with a seed gives the same numbers at every call, so one that two kernels share would make them
    start alike. This makes a new one, with another seed where it takes one.

    Parameters
    ----------
    kind : str, dict or keras.initializers.Initializer
        As ``keras.initializers.get`` takes it.
    seed : int, optional
        None: from Keras' global seed.
    """
    found = keras.initializers.get(kind)
    config = found.get_config()
    if "seed" in config:
        config["seed"] = seed
    return type(found).from_config(config)
