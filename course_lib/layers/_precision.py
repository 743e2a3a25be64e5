"""Where half precision is not enough: sums of squares, exponentials, the scores of a vocabulary."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["precise"]


def precise(array: Any) -> Any:
    """Turn float16 and bfloat16 into float32; leave float32 and float64 as they are."""
    half = keras.backend.standardize_dtype(array.dtype) in ("float16", "bfloat16")
    return keras.ops.cast(array, "float32") if half else keras.ops.convert_to_tensor(array)
