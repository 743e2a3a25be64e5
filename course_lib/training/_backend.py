"""What the loop needs of a particular backend, or of TensorFlow as a library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

__all__ = ["EventFile", "computing_in", "to_numpy"]

POLICIES = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def to_numpy(variable: Any) -> np.ndarray:
    """Copy a variable's value, bit for bit; bfloat16, which NumPy's files do not know, becomes float32."""
    array = np.array(keras.ops.convert_to_numpy(variable))
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


@contextmanager
def computing_in(model: keras.Model, precision: str) -> Iterator[None]:
    """Let the layers of a model compute in another precision for a while.

    The weights stay what they are. Only layers that compute in float32 change, so one that was built to compute in
    something else keeps to it.
    """
    if precision == "float32":
        yield
        return
    changed = [layer for layer in model._flatten_layers() if layer.dtype_policy.name == "float32"]
    for layer in changed:
        layer.dtype_policy = POLICIES[precision]
    try:
        yield
    finally:
        for layer in changed:
            layer.dtype_policy = "float32"
        # Compiled with the other precision inside.
        model.train_function = model.test_function = model.predict_function = None


class EventFile:
    """A file of scalars for TensorBoard; written with TensorFlow, whatever backend trains."""

    def __init__(self, path: str) -> None:
        import tensorflow as tf

        self.event = tf.compat.v1.Event
        self.writer = tf.io.TFRecordWriter(path)
        self.writer.write(self.event(file_version="brain.Event:2", wall_time=0.0).SerializeToString())

    def write(self, step: int, values: dict[str, float], time: float) -> None:
        """Add the values of one step, measured at a time in seconds since 1970."""
        event = self.event(step=step, wall_time=time)
        for name, value in values.items():
            event.summary.value.add(tag=name, simple_value=value)
        self.writer.write(event.SerializeToString())
        self.writer.flush()

    def close(self) -> None:
        """Finish the file."""
        self.writer.close()
