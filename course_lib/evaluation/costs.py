"""Count what a Keras model costs: parameters, arithmetic, and the arrays that training keeps.

`count_flops` calls the model once on shapes, without data, and writes one row for every call of a layer or of a
``keras.ops`` function. Nothing is silently free: what it cannot count stands in `Cost.uncounted`, with the reason.

The conventions, which differ between papers by more than a factor of two:

- A **multiply-add** is one multiplication and the addition of its product to a sum, as in a dot product. They are
  counted apart, because many papers report them alone and call them FLOPs; `multiply_add` says what one is worth.
- **Other operations**: 1 for each addition, multiplication, division, comparison or square root of numbers, and 1 for
  each exponential, logarithm, error function or hyperbolic tangent. An activation costs what its formula takes
  (`ACTIVATION_OPERATIONS`), softmax 5 a number, normalisation by layers 7, by a batch at inference 2 (one product
  and one sum with folded constants), pooling as many as its window has places.
- Padding counts as if it held numbers; moving, casting or selecting numbers costs 0, as does a lookup in a table.
- It is the **forward** pass, at inference: dropout does nothing. Backward costs about twice the forward pass.

>>> import keras
>>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(10)])
>>> cost = count_flops(model)
>>> cost.multiply_adds == 64 * 32 + 32 * 10
True
>>> cost.flops == 2 * cost.multiply_adds + (32 + 32) + 10  # two biases and the comparisons of relu
True
>>> count_parameters(model).total == (64 + 1) * 32 + (32 + 1) * 10
True
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib import _check

__all__ = [
    "ACTIVATION_OPERATIONS",
    "Cost",
    "LayerCost",
    "ParameterCount",
    "activation_bytes",
    "count_flops",
    "count_parameters",
]

# Operations a number, from each activation's formula: relu is a comparison, sigmoid 1 / (1 + exp(-x)) has four,
# silu x sigmoid(x) five, gelu x (1 + erf(x / sqrt 2)) / 2 five, softmax as TensorFlow's profiler counts it.
ACTIVATION_OPERATIONS = {
    "linear": 0, "relu": 1, "relu6": 2, "leaky_relu": 2, "elu": 3, "selu": 4, "tanh": 1, "sigmoid": 4,
    "hard_sigmoid": 4, "softplus": 3, "softsign": 3, "silu": 5, "gelu": 5, "exponential": 1, "softmax": 5,
    "log_softmax": 5, "mish": 5,
}  # fmt: skip

# Their derivatives need the input; those of the others can be had from the output, so only that one is kept.
_NEEDS_INPUT = {"gelu", "silu", "mish", "softsign"}


@dataclass(frozen=True)
class LayerCost:
    """One call of a layer or an operation.

    Attributes
    ----------
    name : str
        The path of the layer in the model, such as ``"block/dense"``.
    kind : str
        The class, such as ``"Dense"``.
    output_shape : tuple of int, or None
        With the batch first; None for layers with several outputs.
    parameters : int
        The numbers in its weights; 0 at the second call of a shared layer.
    multiply_adds : int
        Multiply-adds of the forward pass.
    other_operations : int
        All other arithmetic of the forward pass.
    activation_bytes : int
        What the layer writes and the backward pass needs again.
    uncounted : str
        Why this row's arithmetic is not, or not wholly, counted; empty where it is.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...] | None
    parameters: int = 0
    multiply_adds: int = 0
    other_operations: int = 0
    activation_bytes: int = 0
    uncounted: str = ""


@dataclass(frozen=True)
class Cost:
    """What one forward pass of a model costs.

    Attributes
    ----------
    rows : tuple of LayerCost
        In the order of the calls.
    batch : int
        The number of examples that the rows are for.
    multiply_add : int
        What one multiply-add counts in `flops`: 1 or 2.
    """

    rows: tuple[LayerCost, ...]
    batch: int
    multiply_add: int

    @property
    def parameters(self) -> int:
        """The numbers in all weights, trainable or not; each once."""
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """All multiply-adds."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def other_operations(self) -> int:
        """All other operations."""
        return sum(row.other_operations for row in self.rows)

    @property
    def flops(self) -> int:
        """`multiply_add` times the multiply-adds, and the other operations."""
        return self.multiply_add * self.multiply_adds + self.other_operations

    @property
    def activation_bytes(self) -> int:
        """What all layers write and the backward pass needs again, without the model's input."""
        return sum(row.activation_bytes for row in self.rows)

    @property
    def uncounted(self) -> tuple[LayerCost, ...]:
        """The rows whose arithmetic is not wholly counted."""
        return tuple(row for row in self.rows if row.uncounted)

    def __str__(self) -> str:
        """Table the rows, aligned, with a total."""
        lines = [["layer", "kind", "output", "parameters", "multiply-adds", "other", "bytes kept"]]
        for row in self.rows:
            shape = "several" if row.output_shape is None else "x".join(map(str, row.output_shape))
            numbers = (row.parameters, row.multiply_adds, row.other_operations, row.activation_bytes)
            lines.append([row.name, row.kind, shape, *(f"{number:,}" for number in numbers)])
        totals = (self.parameters, self.multiply_adds, self.other_operations, self.activation_bytes)
        lines.append(["total", "", f"batch {self.batch}", *(f"{number:,}" for number in totals)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = []
        for line in lines:
            left = [cell.ljust(width) for cell, width in zip(line[:3], widths[:3], strict=True)]
            right = [cell.rjust(width) for cell, width in zip(line[3:], widths[3:], strict=True)]
            text.append("  ".join(left + right))
        text += [f"not counted: {row.name} ({row.kind}): {row.uncounted}" for row in self.uncounted]
        return "\n".join(text)


@dataclass(frozen=True)
class ParameterCount:
    """The numbers in a model's weights.

    Attributes
    ----------
    total, trainable : int
        All of them, and those that training changes. The rest are statistics (batch normalisation) or frozen.
    by_layer : dict
        From a layer's path to the numbers in its own weights.
    """

    total: int
    trainable: int
    by_layer: dict[str, int]


def count_parameters(model: Any) -> ParameterCount:
    """Count the numbers in a model's weights, each array once however often it is used.

    Parameters
    ----------
    model : keras.Model or keras.layers.Layer
        A built model.

    Returns
    -------
    ParameterCount

    Raises
    ------
    ValueError
        If the model is not built, so that its weights do not exist yet.
    TypeError
        If it is no Keras layer.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    >>> count = count_parameters(model)
    >>> count.total, count.trainable  # 4*3 + 3, and 4 vectors of 3 of which 2 are statistics
    (27, 21)
    """
    _require_built(model)
    by_layer: dict[str, int] = {}
    for weight in model.weights:  # Keras lists a shared one once
        layer = weight.path.rpartition("/")[0]
        by_layer[layer] = by_layer.get(layer, 0) + math.prod(weight.shape)
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return ParameterCount(sum(by_layer.values()), trainable, by_layer)


def count_flops(
    model: Any, input_shape: Any = None, batch: int = 1, multiply_add: int = 2, dtype: Any = "float32"
) -> Cost:
    """Count the arithmetic of one forward pass, row by row.

    The model is called on symbolic tensors: no data, no arithmetic, and nothing in the model changes, except that Keras
    builds a layer inside that was not built yet. A layer that Keras ships is counted by its formula. The `call` of any
    other layer is followed, and each ``keras.ops`` function that it uses is counted. Where that is impossible, because
    `call` needs real tensors of a backend, the layers inside are counted, and the layer itself stands in
    `Cost.uncounted`. A model that is built in ``keras.StatelessScope(initialize_variables=False)`` needs no memory.

    Parameters
    ----------
    model : keras.Model or keras.layers.Layer
        Any built Keras model: functional, sequential or subclassed; or one layer.
    input_shape : tuple of int, or a list, tuple or dict of such, optional
        The shape of one example, **without** the batch; needed where the model does not know it, or leaves a
        dimension open.
    batch : int
        The number of examples.
    multiply_add : int
        What one multiply-add counts: 2 floating-point operations, or 1 as in many papers on vision.
    dtype : str or structure of str
        Type of the inputs, where the model does not know it: ``"int32"`` for token numbers.

    Returns
    -------
    Cost

    Raises
    ------
    ValueError
        If the model is not built, a dimension is open, or `multiply_add` is neither 1 nor 2.
    TypeError
        If the model is no Keras layer.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(5, 3, use_bias=False, name="conv")])
    >>> print(count_flops(model))
    layer  kind    output   parameters  multiply-adds  other  bytes kept
    conv   Conv2D  1x6x6x5         135          4,860      0         720
    total          batch 1         135          4,860      0         720
    """
    _require_built(model)
    _check.count("batch", batch)
    if multiply_add not in (1, 2):
        raise ValueError(f"multiply_add is {multiply_add!r}; it must be 1 or 2")
    recorder = _Recorder(model)
    inputs = _inputs(model, input_shape, batch, dtype)
    with recorder.listening():
        recorder.follow_root(inputs)
    return Cost((*recorder.rows, *recorder.never_called()), batch, int(multiply_add))


def activation_bytes(model: Any, input_shape: Any = None, batch: int = 1, dtype: Any = "float32") -> int:
    """Count the bytes that a forward pass writes and the backward pass reads again.

    Every layer's output is kept once. Views (`Flatten`, `Reshape`) and what does nothing at inference are free; an
    activation inside a layer adds a second array only where its derivative needs the input (gelu, silu). Attention
    keeps queries, keys, values, scores after softmax, and the mixed values. The model's input is not counted. A
    framework may keep more (TensorFlow often does) or, with recomputation, less.

    Parameters
    ----------
    model, input_shape, batch, dtype
        As in `count_flops`.

    Returns
    -------
    int
        Bytes, at the layers' own compute types.

    Raises
    ------
    ValueError, TypeError
        As `count_flops` does.

    Examples
    --------
    >>> import keras
    >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(10)])
    >>> activation_bytes(model, batch=100) == 100 * (32 + 10) * 4
    True
    """
    return count_flops(model, input_shape, batch, dtype=dtype).activation_bytes


def _require_built(model: Any) -> None:
    import keras

    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"model is a {type(model).__name__}; it must be a Keras model or layer")
    if not model.built:
        raise ValueError(
            f"model {model.name!r} has no weights yet; call it once on data, or build it with its input shape"
        )


def _inputs(model: Any, input_shape: Any, batch: int, dtype: Any) -> Any:
    """Make symbolic inputs in the structure that the model's `call` takes."""
    import keras

    def tensor(shape: Any, kind: Any) -> Any:
        if any(size is None for size in shape):
            raise ValueError(f"input_shape is needed: the model leaves a dimension open, it takes {tuple(shape)}")
        return keras.KerasTensor((batch, *(_check.count("input_shape", size) for size in shape)), dtype=str(kind))

    known = getattr(model, "inputs", None) if isinstance(model, keras.Model) else None
    if input_shape is None:
        if not known:
            raise ValueError(
                f"input_shape is None, and {model.name!r} does not know its own; give it without the batch"
            )
        made = [tensor(x.shape[1:], x.dtype) for x in known]
        structure = getattr(model, "_inputs_struct", None)  # a functional model may take a dict
        return keras.tree.pack_sequence_as(structure, made) if structure is not None else made[0]
    kinds = [x.dtype for x in known] if known else None

    def build(shapes: Any, kind: Any) -> Any:
        if isinstance(shapes, dict):
            return {key: build(value, kind[key] if isinstance(kind, dict) else kind) for key, value in shapes.items()}
        if isinstance(shapes, (list, tuple)) and shapes and isinstance(shapes[0], (list, tuple)):
            each = kinds if kinds and len(kinds) == len(shapes) else [kind] * len(shapes)
            return [build(shape, item) for shape, item in zip(shapes, each, strict=True)]
        return tensor(shapes, kinds[0] if kinds and len(kinds) == 1 else kind)

    return build(input_shape, dtype)


# ---------------------------------------------------------------------------------------------------------------------
# Following a call


@dataclass
class _Work:
    """What a formula gives: multiply-adds, other operations, numbers kept, and what it could not count."""

    multiply_adds: int = 0
    other: int = 0
    kept: int = 0
    uncounted: str = ""


class _Recorder:
    """Follow one symbolic call of a model and write a row for every layer or operation in it."""

    def __init__(self, model: Any):
        self.model = model
        self.rows: list[LayerCost] = []
        self.counted: set[int] = set()  # weights that a row holds already
        self.path: list[str] = []
        self.named: dict[str, int] = {}
        self.pause = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Redirect calls of layers and symbolic calls of operations to this recorder."""
        import keras

        layer_call, operation_call = keras.layers.Layer.__call__, keras.Operation.symbolic_call
        recorder = self

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if recorder.pause:
                return layer_call(layer, *args, **kwargs)
            if not layer.built:
                with recorder.paused():
                    layer_call(layer, *args, **kwargs)  # Keras builds it from the shapes
            return recorder.layer(layer, args, kwargs, layer_call)

        def symbolic(operation: Any, *args: Any, **kwargs: Any) -> Any:
            if recorder.pause:
                return operation_call(operation, *args, **kwargs)
            return recorder.operation(operation, args, kwargs)

        keras.layers.Layer.__call__, keras.Operation.symbolic_call = call, symbolic
        try:
            yield
        finally:
            keras.layers.Layer.__call__, keras.Operation.symbolic_call = layer_call, operation_call

    def follow_root(self, inputs: Any) -> None:
        """Call the model itself: its name is left out of the rows' paths unless it is one layer."""
        formula = _formula(self.model)
        if formula is None:
            self.inside(self.model, (inputs,), {}, None)
        else:
            args = inputs if isinstance(inputs, list) and _takes_several(self.model) else (inputs,)
            self.layer(self.model, tuple(args), {}, None)

    def layer(self, layer: Any, args: tuple, kwargs: dict, original: Callable[..., Any] | None) -> Any:
        """Count one call of a layer, by formula or by following it."""
        import keras

        if _kind(layer) == "TimeDistributed":
            return self.time_distributed(layer, args, kwargs)
        formula = _formula(layer)
        if formula is None:
            self.path.append(layer.name)
            try:
                return self.inside(layer, args, kwargs, original)
            finally:
                self.path.pop()
        real = original is not None and not _symbolic(args, kwargs)
        with self.paused():
            if real and original is not None:
                outputs = original(layer, *args, **kwargs)
            else:
                outputs = layer.compute_output_spec(*args, **_given(kwargs))
                if any(None in x.shape for x in _tensors(outputs)):  # EinsumDense leaves open what its user left open
                    outputs = keras.Operation.compute_output_spec(layer, *args, **_given(kwargs))
        try:
            work = formula(layer, args, kwargs, outputs)
        except NotImplementedError as reason:
            work = _Work(kept=_numbers(outputs), uncounted=str(reason))
        self.write("/".join([*self.path, layer.name]), _kind(layer), outputs, work, layer.weights)
        return outputs

    def inside(self, layer: Any, args: tuple, kwargs: dict, original: Callable[..., Any] | None) -> Any:
        """Follow the `call` of a layer that has no formula."""
        place = len(self.rows)
        known = set(self.counted)
        if original is not None and not _symbolic(args, kwargs):  # in a backend's own trace: see its layers only
            outputs = original(layer, *args, **kwargs)
            self.own(layer, outputs, "its call uses a backend's own tensors; only layers inside are counted")
            return outputs
        try:
            outputs = layer.call(*args, **_with_training(layer, kwargs))
            reason = ""
        except Exception as error:  # anything may happen when a foreign `call` meets a symbolic tensor
            del self.rows[place:]
            self.counted = known
            reason = (
                f"its call does not run on symbolic tensors ({type(error).__name__}); only layers inside are counted"
            )
            outputs = layer.compute_output_spec(*args, **_given(kwargs))
        self.own(layer, outputs, reason)
        return outputs

    def own(self, layer: Any, outputs: Any, reason: str) -> None:
        """Write a row for a followed layer's own weights, and for what could not be followed."""
        inner = {id(w) for part in layer._flatten_layers(include_self=False) for w in part.weights}
        mine = [w for w in layer.weights if id(w) not in inner and id(w) not in self.counted]
        if mine or reason:
            name = "/".join(self.path) or layer.name
            work = _Work(kept=0, uncounted=reason)
            self.write(name, _kind(layer), outputs, work, mine)

    def time_distributed(self, layer: Any, args: tuple, kwargs: dict) -> Any:
        """Count the inner layer once, on a batch of all time steps."""
        import keras

        x = args[0]
        merged = keras.KerasTensor((x.shape[0] * x.shape[1], *x.shape[2:]), dtype=x.dtype)
        self.path.append(layer.name)
        inner = keras.layers.Layer.__call__(layer.layer, merged)
        self.path.pop()
        return keras.KerasTensor((x.shape[0], x.shape[1], *inner.shape[1:]), dtype=inner.dtype)

    def operation(self, operation: Any, args: tuple, kwargs: dict) -> Any:
        """Count one ``keras.ops`` function on symbolic tensors."""
        with self.paused():
            outputs = operation.compute_output_spec(*args, **kwargs)
        kind = type(operation).__name__
        work = _operation_work(kind, operation, args, kwargs, outputs)
        if (
            work is not None
        ):  # Keras numbers the names of operations through the whole session; here from 1 in each count
            name = "/".join([*self.path, _snake(kind)])
            self.named[name] = self.named.get(name, 0) + 1
            self.write(f"{name}_{self.named[name]}", kind, outputs, work, [])
        return outputs

    def write(self, name: str, kind: str, outputs: Any, work: _Work, weights: list) -> None:
        """Add a row; weights that an earlier row holds are left out."""
        new = [w for w in weights if id(w) not in self.counted]
        self.counted |= {id(w) for w in new}
        tensors = _tensors(outputs)
        shape = tuple(tensors[0].shape) if len(tensors) == 1 else None
        size = _item_bytes(tensors[0].dtype) if tensors else 4
        parameters = sum(math.prod(w.shape) for w in new)
        self.rows.append(
            LayerCost(name, kind, shape, parameters, work.multiply_adds, work.other, work.kept * size, work.uncounted)
        )

    def never_called(self) -> list[LayerCost]:
        """Give a row for each layer with weights that no call reached."""
        left: dict[str, int] = {}
        for weight in self.model.weights:
            if id(weight) not in self.counted:
                layer = weight.path.rpartition("/")[0]
                left[layer] = left.get(layer, 0) + math.prod(weight.shape)
        reason = "has weights, but the forward pass did not call it"
        return [LayerCost(name, "?", None, number, uncounted=reason) for name, number in left.items()]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let Keras work as always inside the block."""
        before, self.pause = self.pause, True
        try:
            yield
        finally:
            self.pause = before


def _kind(layer: Any) -> str:
    return type(layer).__name__


def _is_keras(thing: Any) -> bool:
    return type(thing).__module__.split(".")[0] == "keras"


def _formula(layer: Any) -> Callable[..., _Work] | None:
    """Find the formula of a layer that Keras ships; a subclass by somebody else has none: it is followed."""
    return _FORMULAS.get(_kind(layer)) if _is_keras(layer) else None


def _takes_several(layer: Any) -> bool:
    return _kind(layer) in ("MultiHeadAttention", "GroupedQueryAttention")


def _tensors(structure: Any) -> list:
    import keras

    return [x for x in keras.tree.flatten(structure) if hasattr(x, "shape") and hasattr(x, "dtype")]


def _symbolic(args: Any, kwargs: Any) -> bool:
    import keras

    return any(isinstance(x, keras.KerasTensor) for x in keras.tree.flatten((args, kwargs)))


def _numbers(structure: Any) -> int:
    """Count the numbers in all tensors of a structure."""
    return sum(math.prod(x.shape) for x in _tensors(structure))


def _item_bytes(dtype: Any) -> int:
    import keras

    name = keras.backend.standardize_dtype(dtype)
    special = {"bfloat16": 2, "bool": 1, "string": 0}
    return special.get(name) or (1 if name.startswith("float8") else np.dtype(name).itemsize)


def _given(kwargs: dict) -> dict:
    """Drop what does not bear on shapes: whether it is training, and masks that are None."""
    return {name: value for name, value in kwargs.items() if name != "training" and value is not None}


def _with_training(layer: Any, kwargs: dict) -> dict:
    """Pass ``training=False`` where `call` takes it, and nothing about training where it does not."""
    takes = "training" in inspect.signature(layer.call).parameters
    return {**_given(kwargs), "training": False} if takes else _given(kwargs)


# ---------------------------------------------------------------------------------------------------------------------
# The formulas of Keras' layers: (layer, args, kwargs, outputs) -> _Work


def _activation(function: Any, numbers: int) -> _Work:
    """Cost of an activation on so many numbers; what is kept counts the output, and the input where it is needed."""
    if function is None:
        return _Work(kept=numbers)
    name = "relu" if _kind(function) == "ReLU" else getattr(function, "__name__", _kind(function))
    if not (getattr(function, "__module__", "") or "").startswith("keras") or name not in ACTIVATION_OPERATIONS:
        return _Work(kept=2 * numbers, uncounted=f"its activation {name!r} has no known cost")
    kept = 2 * numbers if name in _NEEDS_INPUT else numbers
    return _Work(other=ACTIVATION_OPERATIONS[name] * numbers, kept=kept)


def _linear(layer: Any, outputs: Any, multiply_adds: int) -> _Work:
    """Cost of a product with weights, then bias, then activation."""
    numbers = _numbers(outputs)
    work = _activation(getattr(layer, "activation", None), numbers)
    work.multiply_adds = multiply_adds
    work.other += numbers if getattr(layer, "use_bias", getattr(layer, "bias", None) is not None) else 0
    return work


def _dense(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    return _linear(layer, outputs, _numbers(outputs) * args[0].shape[-1])


def _einsum_dense(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    return _linear(layer, outputs, _einsum(layer.equation, [args[0].shape, layer.kernel.shape]))


def _conv(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    # A place of the output takes one product with each number of its filter's window over the channels of its group.
    window = math.prod(layer.kernel_size) * _channels(layer, args[0]) // layer.groups
    return _linear(layer, outputs, _numbers(outputs) * window)


def _conv_transpose(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    # The other way round: each number of the input is spread over a window of every filter.
    return _linear(layer, outputs, _numbers(args[0]) * math.prod(layer.kernel_size) * layer.filters)


def _depthwise(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    return _linear(layer, outputs, _numbers(outputs) * math.prod(layer.kernel_size))


def _separable(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    spread = _channels(layer, args[0]) * layer.depth_multiplier
    places = _numbers(outputs) // layer.filters
    work = _linear(layer, outputs, places * spread * (math.prod(layer.kernel_size) + layer.filters))
    work.kept += places * spread
    return work


def _channels(layer: Any, x: Any) -> int:
    return x.shape[-1] if layer.data_format == "channels_last" else x.shape[1]


def _pool(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    return _Work(other=_numbers(outputs) * math.prod(layer.pool_size), kept=_numbers(outputs))


def _global_pool(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    return _Work(other=_numbers(args[0]), kept=_numbers(outputs))


def _batch_norm(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    return _per_number(outputs, 2)


def _layer_norm(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    # mean (1), centre (1), square and sum (2), divide (1); then scale and shift
    return _per_number(outputs, 5 + bool(getattr(layer, "center", True)) + bool(getattr(layer, "scale", True)))


def _rms_norm(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    return _per_number(outputs, 4)  # square, sum, divide, scale


def _per_number(outputs: Any, operations: int) -> _Work:
    return _Work(other=operations * _numbers(outputs), kept=_numbers(outputs))


def _merge(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    count = len(args[0]) if isinstance(args[0], (list, tuple)) else len(_tensors(args))
    extra = 1 if _kind(layer) == "Average" else 0
    return _per_number(outputs, count - 1 + extra)


def _dot(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    if layer.normalize:
        raise NotImplementedError("normalize=True")
    axes = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    return _Work(multiply_adds=_numbers(outputs) * args[0][0].shape[axes], kept=_numbers(outputs))


def _activation_layer(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    names = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "Softmax": "softmax"}
    if _kind(layer) in names:
        return _per_number(outputs, ACTIVATION_OPERATIONS[names[_kind(layer)]])
    if _kind(layer) == "PReLU":
        return _per_number(outputs, 2)
    work = _activation(layer.activation, _numbers(outputs))
    work.kept = _numbers(outputs)  # its input is the output of another layer, which keeps it
    return work


def _lookup(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    return _Work(kept=_numbers(outputs))


def _view(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    return _Work()


def _copy(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    return _Work(kept=_numbers(outputs))


def _upsampling(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise NotImplementedError(f"interpolation {layer.interpolation!r} has no formula here")
    return _copy(layer, args, kwargs, outputs)


def _rescaling(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    return _per_number(outputs, 2)


def _cell(cell: Any, inputs: int) -> tuple[int, int, int]:
    """Give multiply-adds, other operations and numbers kept, for one example and one step, and check the cell."""
    units = cell.units
    activations = [_activation(getattr(cell, name, None), units) for name in ("activation", "recurrent_activation")]
    bad = " ".join(part.uncounted for part in activations if part.uncounted)
    if bad:
        raise NotImplementedError(bad)
    act, gate = (part.other for part in activations)
    gates = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}[_kind(cell).removesuffix("Cell")]
    multiply_adds = gates * units * (inputs + units)
    other = gates * units * (1 + bool(cell.use_bias))  # the two products are added, and the bias
    if gates == 1:
        return multiply_adds, other + act, units
    if gates == 3:
        # reset: r h; mix: z h + (1 - z) c
        second_bias = 3 * units if cell.use_bias and cell.reset_after else 0
        return multiply_adds, other + second_bias + 2 * gate + act + units + 4 * units, 4 * units
    return multiply_adds, other + 3 * gate + 2 * act + 4 * units, 6 * units  # f c + i g; o tanh(c)


def _recurrent(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    x = args[0]
    cells = [layer.cell] if hasattr(layer, "cell") else [layer]
    if _kind(cells[0]) == "StackedRNNCells":
        cells = list(cells[0].cells)
    if any(_kind(cell) not in ("LSTMCell", "GRUCell", "SimpleRNNCell") or not _is_keras(cell) for cell in cells):
        raise NotImplementedError("its cell has no formula here")
    steps, width = x.shape[0] * x.shape[1], x.shape[2]
    total = _Work()
    for cell in cells:
        multiply_adds, other, kept = _cell(cell, width)
        total.multiply_adds += steps * multiply_adds
        total.other += steps * other
        total.kept += steps * kept
        width = cell.units
    return total


def _attention_parts(args: tuple, kwargs: dict) -> tuple[Any, Any, Any]:
    query = args[0] if args else kwargs["query"]
    value = args[1] if len(args) > 1 else kwargs["value"]
    key = (args[2] if len(args) > 2 else kwargs.get("key")) or value
    return query, value, key


def _multi_head(layer: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work:
    config = layer.get_config()
    if "num_query_heads" in config:
        heads, groups, head = config["num_query_heads"], config["num_key_value_heads"], config["head_dim"]
        value_head = head
    else:
        heads = groups = config["num_heads"]
        head, value_head = config["key_dim"], config["value_dim"]
    query, value, key = _attention_parts(args, kwargs)
    if len(query.shape) != 3:
        raise NotImplementedError(f"attention over {len(query.shape) - 2} axes has no formula here")
    examples, asked, width = query.shape
    there = value.shape[1]
    out = tuple(_tensors(outputs)[0].shape)[-1]
    q, k, v = asked * heads * head, there * groups * head, there * groups * value_head
    scores, mixed = heads * asked * there, asked * heads * value_head
    products = q * width + k * key.shape[-1] + v * value.shape[-1] + scores * (head + value_head) + mixed * out
    biases = (q + k + v + asked * out) if config["use_bias"] else 0
    masked = scores if kwargs.get("use_causal_mask") or kwargs.get("attention_mask") is not None else 0
    other = biases + q + 5 * scores + masked  # q is scaled; softmax
    kept = q + k + v + scores + mixed + asked * out
    return _Work(examples * products, examples * other, examples * kept)


_FORMULAS: dict[str, Callable[..., _Work]] = {
    "Dense": _dense, "EinsumDense": _einsum_dense,
    **{f"Conv{n}D": _conv for n in (1, 2, 3)}, **{f"Conv{n}DTranspose": _conv_transpose for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": _depthwise for n in (1, 2)}, **{f"SeparableConv{n}D": _separable for n in (1, 2)},
    **{f"{mode}Pooling{n}D": _pool for mode in ("Max", "Average") for n in (1, 2, 3)},
    **{f"Global{mode}Pooling{n}D": _global_pool for mode in ("Max", "Average") for n in (1, 2, 3)},
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm, "GroupNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"), _merge), "Dot": _dot,
    **dict.fromkeys(("Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax"), _activation_layer),
    "Embedding": _lookup,
    **dict.fromkeys(("InputLayer", "Flatten", "Reshape", "Identity", "Dropout", "SpatialDropout1D", "SpatialDropout2D",
                     "SpatialDropout3D", "GaussianDropout", "GaussianNoise", "AlphaDropout", "ActivityRegularization"),
                    _view),
    **dict.fromkeys(("Permute", "Concatenate", "RepeatVector", "Cropping1D", "Cropping2D", "Cropping3D",
                     "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"), _copy),
    **{f"UpSampling{n}D": _upsampling for n in (1, 2, 3)}, "Rescaling": _rescaling,
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN"), _recurrent),
    "MultiHeadAttention": _multi_head, "GroupedQueryAttention": _multi_head,
}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# The formulas of keras.ops functions, for layers that are followed


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FREE = _words("""
    Reshape Ravel Transpose Swapaxes Moveaxis ExpandDims Squeeze GetItem Concatenate Stack Vstack Hstack Split Unstack
    BroadcastTo Cast SaturateCast ConvertToTensor StopGradient Take TakeAlongAxis Pad Flip Roll Repeat Tile Identity
    Slice SliceUpdate Full FullLike ZerosLike OnesLike Arange OneHot Tril Triu Diagonal Copy Where Shape Select
    DepthToSpace SpaceToDepth Eye
""")
_VIEWS = _words("""
    ConvertToTensor Reshape Ravel Transpose Swapaxes Moveaxis ExpandDims Squeeze GetItem Cast StopGradient BroadcastTo
""")
_ONE = _words("""
    Add Subtract Multiply Divide TrueDivide DivideNoNan FloorDivide Mod Power Maximum Minimum Square Sqrt Rsqrt
    Reciprocal Exp Exp2 Expm1 Log Log1p Log2 Log10 Sin Cos Tanh Erf Erfc Negative Absolute Abs Sign Floor Ceil Round
    Equal NotEqual Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr LogicalNot Cumsum Cumprod
""")
_REDUCTIONS = _words("Sum Mean Max Min Prod Amax Amin Any All Argmax Argmin CountNonzero")
_OPERATION_ACTIVATIONS = {
    "Relu": "relu", "ReLU": "relu", "Relu6": "relu6", "LeakyRelu": "leaky_relu", "Elu": "elu", "Selu": "selu",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "hard_sigmoid", "Softplus": "softplus", "Softsign": "softsign", "Silu": "silu", "Gelu": "gelu",
    "Softmax": "softmax", "LogSoftmax": "log_softmax",
}  # fmt: skip


def _einsum(equation: str, shapes: list) -> int:
    """Count the multiply-adds of a product of two arrays: one for every combination of all letters' values."""
    left = equation.replace(" ", "").partition("->")[0]
    terms = left.split(",")
    if len(terms) != 2:
        raise NotImplementedError(f"einsum of {len(terms)} arrays")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        before, dots, after = term.partition("...")
        middle = len(shape) - len(before) - len(after)
        names = [*before, *(f"...{i}" for i in range(middle - 1, -1, -1)), *after] if dots else list(term)
        for name, size in zip(names, shape, strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    return math.prod(sizes.values())


def _operation_work(kind: str, operation: Any, args: tuple, kwargs: dict, outputs: Any) -> _Work | None:
    """Cost of one ``keras.ops`` function; None where there is nothing to say about it."""
    numbers = _numbers(outputs)
    tensors = _tensors((args, kwargs))
    if kind in _FREE:
        return None if kind in _VIEWS else _Work(kept=numbers)
    if kind in _ONE:
        return _Work(other=numbers, kept=numbers)
    if kind in _REDUCTIONS:
        return _Work(other=_numbers(tensors[:1]), kept=numbers)
    if kind == "Gelu" and getattr(operation, "approximate", False):
        return _Work(other=8 * numbers, kept=numbers)  # x / 2 (1 + tanh(c (x + d x x x)))
    if kind in _OPERATION_ACTIVATIONS:
        return _Work(other=ACTIVATION_OPERATIONS[_OPERATION_ACTIVATIONS[kind]] * numbers, kept=numbers)
    if kind in ("Matmul", "Dot"):
        return _Work(multiply_adds=numbers * tensors[0].shape[-1], kept=numbers)
    if kind == "DotProductAttention":
        query, key = tensors[0].shape, tensors[1].shape  # (examples, tokens, heads, numbers)
        scores = math.prod(query[:3]) * key[1]
        return _Work(scores * (query[3] + tensors[2].shape[3]), 5 * scores + math.prod(query), scores + numbers)
    if kind == "Einsum":
        try:
            return _Work(multiply_adds=_einsum(operation.subscripts, [x.shape for x in tensors]), kept=numbers)
        except NotImplementedError as reason:
            return _Work(kept=numbers, uncounted=str(reason))
    if kind in ("Conv", "DepthwiseConv"):
        # A kernel is (window..., channels of a group, filters); a depthwise one has no channels to sum over.
        window = math.prod(tensors[1].shape[:-1] if kind == "Conv" else tensors[1].shape[:-2])
        return _Work(multiply_adds=numbers * window, kept=numbers)
    if kind == "Moments":
        return _Work(other=4 * _numbers(tensors[:1]), kept=numbers)
    if kind == "LayerNorm":
        return _per_number(outputs, 7)
    if kind == "RMSNorm":
        return _per_number(outputs, 4)
    if kind == "BatchNorm":
        return _per_number(outputs, 2)
    return _Work(kept=numbers, uncounted=f"the operation {_snake(kind)} has no formula here")


def _snake(kind: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
