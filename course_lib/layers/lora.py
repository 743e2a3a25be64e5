r"""LoRA: fine-tune a large matrix by learning a thin change of it.

Beside a fixed matrix W (inputs, outputs) stand two thin ones that learn, A (inputs, rank) and B (rank, outputs):

    ``y = x @ W + (alpha / rank) * (x @ A) @ B``

A starts at random and B at 0, so the model starts as it was. After training the product can be added to W, and the
model is as fast as before.

>>> import numpy as np
>>> from course_lib.layers.transformer_block import TransformerBlock
>>> inputs = keras.Input((5, 8))
>>> model = keras.Model(inputs, TransformerBlock(width=8, heads=2, hidden=32, seed=0)(inputs))
>>> x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
>>> before, weights = model(x), model.count_params()
>>> add_lora(model, rank=2, seed=0)  # query and value: two matrices of 8 x 8
64
>>> model.count_params() - weights, sum(math.prod(weight.shape) for weight in model.trainable_weights)
(64, 64)
>>> bool(np.allclose(model(x), before))
True

References
----------
E. Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021, https://arxiv.org/abs/2106.09685
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers.attention import MultiHeadAttention
from course_lib.layers.feed_forward import FeedForward

__all__ = ["LoraDense", "add_lora", "load_lora", "lora_layers", "merge_lora", "save_lora"]


class LoraDense(keras.layers.Dense):
    """A dense layer with a thin change beside its fixed matrix; `add_lora` turns layers of a model into this one.

    Attributes
    ----------
    lora_a, lora_b : keras.Variable, shapes (inputs, rank) and (rank, outputs)
        What learns.
    scale : float
        alpha / rank.
    """

    lora_a: Any
    lora_b: Any
    scale: float

    @property
    def kernel(self) -> Any:
        """The matrix with its change, (inputs, outputs): what the layer computes with, though not by this sum."""
        return super().kernel + self.scale * ops.matmul(self.lora_a, self.lora_b)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Turn (..., inputs) into (..., outputs).

        The change is applied as two thin products. Their gradients are thin as well: the sum ``W + A @ B`` would need
        the gradient of the whole matrix first, which is most of what LoRA saves.
        """
        y = ops.matmul(inputs, super().kernel)
        y = y + self.scale * ops.matmul(ops.matmul(inputs, self.lora_a), self.lora_b)
        if self.bias is not None:
            y = y + self.bias
        return y if self.activation is None else self.activation(y)

    def save_own_variables(self, store: Any) -> None:
        """Save as a plain dense layer with the change added, so that the file loads where there are no adapters."""
        store["0"] = ops.convert_to_numpy(self.kernel)
        if self.bias is not None:
            store["1"] = ops.convert_to_numpy(self.bias)

    def load_own_variables(self, store: Any) -> None:
        """Load a plain dense layer; the change goes back to 0."""
        super().kernel.assign(store["0"])
        if self.bias is not None:
            self.bias.assign(store["1"])
        self.lora_b.assign(ops.zeros_like(self.lora_b))


def add_lora(
    model: keras.Model,
    rank: int,
    alpha: float | None = None,
    targets: Sequence[str] = ("query", "value"),
    seed: int | None = None,
    heads: Sequence[str] = (),
) -> int:
    """Put adapters beside matrices of a model, and fix all other weights.

    Parameters
    ----------
    model : keras.Model
        Built, with `course_lib.layers.attention.MultiHeadAttention` or `FeedForward` layers inside. It is changed.
        Compile it again before you train it (`course_lib.training.train` does).
    rank : int
        Columns of A and rows of B; below 10 is common.
    alpha : float, optional
        The change is multiplied by ``alpha / rank``, so that the rate need not be tuned again for another rank; by
        default `rank`, a factor of 1.
    targets : sequence of {"query", "key", "value", "output", "up", "down", "gate"}
        Which matrices: the first four of attention, the others of feed-forward layers.
    seed : int, optional
        Where the matrices A draw from; None: from Keras' global seed.
    heads : sequence of str
        Names of layers that learn in full as well: a new head starts at random, and a thin change would not do.

    Returns
    -------
    int
        The adapters' numbers: ``rank * (inputs + outputs)`` for each matrix.

    Raises
    ------
    TypeError, ValueError
        If `rank` or `alpha` is out of range, a target or head is not in the model, the model is not built, or has
        adapters already.

    References
    ----------
    E. Hu et al., 2021, https://arxiv.org/abs/2106.09685, section 4.1: A from a normal distribution (here with variance
    1 / inputs, so that ``x @ A`` is as large as x), B = 0
    """
    _check.count("rank", rank)
    scale = _check.positive("alpha", rank if alpha is None else alpha) / rank
    if lora_layers(model):
        raise ValueError(f"model is {model.name!r}, which has adapters already; merge_lora takes them off")
    chosen = _targets(model, targets)
    layers = [layer for layer in model._flatten_layers() if layer.name in tuple(heads)]
    missing = set(heads) - {layer.name for layer in layers}
    if missing:
        raise ValueError(f"heads names {sorted(missing)[0]!r}; {model.name!r} has no layer of this name")

    for variable in model.variables:
        variable.trainable = False
    for layer in layers:
        for part in layer._flatten_layers():
            for variable in part._trainable_variables:
                variable.trainable = True
    for number, dense in enumerate(chosen):
        inputs, outputs = dense.kernel.shape
        normal = keras.initializers.RandomNormal(stddev=1 / math.sqrt(inputs), seed=_seeds.derive(seed, number))
        dense._tracker.unlock()  # Keras lets a built layer have no new weights
        dense.lora_a = dense.add_weight(shape=(inputs, rank), initializer=normal, name="lora_a")
        dense.lora_b = dense.add_weight(shape=(rank, outputs), initializer="zeros", name="lora_b")
        dense._tracker.lock()
        dense.scale, dense.__class__ = scale, LoraDense
    _forget_compiled(model)
    return sum(math.prod(v.shape) for dense in chosen for v in (dense.lora_a, dense.lora_b))


def merge_lora(model: keras.Model) -> None:
    """Add every change to its matrix and take the adapters off; the model gives the same outputs, and can learn again.

    Parameters
    ----------
    model : keras.Model
        One that `add_lora` has changed. Layers that `course_lib.training.freeze` has fixed stay so.

    Raises
    ------
    ValueError
        If it has no adapters.
    """
    found = _adapted(model)
    for dense in found:
        merged, adapters = ops.convert_to_numpy(dense.kernel), (dense.lora_a, dense.lora_b)
        dense.__class__ = keras.layers.Dense
        dense.kernel.assign(merged)
        for variable in adapters:
            dense._untrack_variable(variable)
        del dense.lora_a, dense.lora_b, dense.scale
    for layer in model._flatten_layers():
        for variable in layer._trainable_variables:
            variable.trainable = layer.trainable
    _forget_compiled(model)


def lora_layers(model: keras.Model) -> list[LoraDense]:
    """List the layers of a model that have an adapter."""
    return [layer for layer in _walk(model) if isinstance(layer, LoraDense)]


def save_lora(model: keras.Model, path: str | Path) -> None:
    """Write the adapters alone: the file of one task, small beside the model that all tasks share.

    Parameters
    ----------
    model : keras.Model
        One that `add_lora` has changed.
    path : str or Path
        The file, ``.npz``.

    Raises
    ------
    ValueError
        If the model has no adapters.
    """
    arrays: dict[str, np.ndarray] = {}
    for number, dense in enumerate(_adapted(model)):
        key = f"{number:04d}/{dense.name}"
        arrays[f"{key}/a"], arrays[f"{key}/b"] = (ops.convert_to_numpy(v) for v in (dense.lora_a, dense.lora_b))
        arrays[f"{key}/scale"] = np.array(dense.scale)
    with Path(path).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_lora(model: keras.Model, path: str | Path) -> None:
    """Read adapters into a model that has some of the same rank and targets.

    Parameters
    ----------
    model : keras.Model
        One that `add_lora` has changed.
    path : str or Path
        A file of `save_lora`.

    Raises
    ------
    ValueError
        If the file's adapters are of other layers or of another rank; nothing is changed then.
    """
    found = _adapted(model)
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    keys = [f"{number:04d}/{dense.name}" for number, dense in enumerate(found)]
    names = {f"{key}/{part}" for key in keys for part in ("a", "b", "scale")}
    if names != set(arrays):
        name = sorted(names ^ set(arrays))[0]
        raise ValueError(
            f"{path} and the model differ in {name!r}, which only {'the model' if name in names else 'the file'} has"
        )
    for key, dense in zip(keys, found, strict=True):
        for part, variable in (("a", dense.lora_a), ("b", dense.lora_b)):
            if arrays[f"{key}/{part}"].shape != tuple(variable.shape):
                raise ValueError(
                    f"{path} holds {key}/{part} of shape {arrays[f'{key}/{part}'].shape}; the model's has "
                    f"{tuple(variable.shape)}"
                )
    for key, dense in zip(keys, found, strict=True):
        dense.lora_a.assign(arrays[f"{key}/a"])
        dense.lora_b.assign(arrays[f"{key}/b"])
        dense.scale = float(arrays[f"{key}/scale"])
    _forget_compiled(model)


def _targets(model: keras.Model, targets: Sequence[str]) -> list[keras.layers.Dense]:
    """Find the dense layers of these names inside attention and feed-forward layers."""
    names = (targets,) if isinstance(targets, str) else tuple(targets)
    parents = [layer for layer in _walk(model) if isinstance(layer, (MultiHeadAttention, FeedForward))]
    dense = [part for parent in parents for part in parent._layers if isinstance(part, keras.layers.Dense)]
    known = sorted({layer.name for layer in dense})
    for name in names:
        if name not in known:
            raise ValueError(f"targets names {name!r}; {model.name!r} has {', '.join(known) or 'no such layers'}")
    chosen = [layer for layer in dense if layer.name in names]
    if not chosen or not all(layer.built for layer in chosen):
        raise ValueError(f"model is {model.name!r}, of which no weights are there yet; call it once, or name targets")
    return chosen


def _walk(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """List a layer and all inside it, in the order in which they were made, each once."""
    found = [layer, *(inner for part in layer._layers for inner in _walk(part))]
    return list({id(part): part for part in found}.values())


def _adapted(model: keras.Model) -> list[LoraDense]:
    found = lora_layers(model)
    if not found:
        raise ValueError(f"model is {model.name!r}, which has no adapters; add_lora makes them")
    return found


def _forget_compiled(model: keras.Model) -> None:
    """Make Keras trace the model anew."""
    model.train_function = model.test_function = model.predict_function = None
