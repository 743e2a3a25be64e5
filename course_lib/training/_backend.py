"""What the loop needs of a particular backend, or of TensorFlow as a library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

__all__ = ["EventFile", "computing_in", "random_state", "seed", "set_random_state", "to_numpy"]

POLICIES = {"bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def to_numpy(variable: Any) -> np.ndarray:
    """Copy a variable's value, bit for bit; bfloat16, which NumPy's files do not know, becomes float32."""
    array = np.array(keras.ops.convert_to_numpy(variable))
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


def seed(model: keras.Model, number: int) -> None:
    """Start every random generator of a training run from one seed.

    A layer with dropout has a generator of its own, whose state is one of the model's variables. On PyTorch, though, a
    dropout layer that was made without a seed draws from PyTorch's generator.
    """
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    for place, state in enumerate(states):
        (value,) = np.random.SeedSequence(number, spawn_key=(place,)).generate_state(1)
        state.assign(np.array([value % 2**31, 0], "int64"))
    if keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(number)


def random_state() -> dict[str, np.ndarray]:
    """Give the state of the generators that are not among the model's variables."""
    if keras.backend.backend() != "torch":
        return {}
    import torch

    states = {"cpu": torch.get_rng_state()}
    states |= {f"cuda{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    return {f"random/{name}": state.numpy() for name, state in states.items()}


def set_random_state(arrays: dict[str, np.ndarray]) -> None:
    """Put them back from a checkpoint's arrays, as far as this machine has them."""
    if keras.backend.backend() == "torch" and "random/cpu" in arrays:
        import torch

        torch.set_rng_state(torch.from_numpy(arrays["random/cpu"]))
        for i in range(torch.cuda.device_count()):
            if f"random/cuda{i}" in arrays:
                torch.cuda.set_rng_state(torch.from_numpy(arrays[f"random/cuda{i}"]), i)


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
