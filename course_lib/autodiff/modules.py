"""Layers with weights: enough for a multilayer perceptron and a small convolutional network.

A module holds its parameters as leaf tensors. There are two ways to train it. Either call it, call ``backward()`` on
the loss and read ``parameter.grad``; or take the weights out as a dict of arrays with `Module.state`, and differentiate
a function of them that calls the module with `Module.apply`:

>>> from course_lib.autodiff import softmax_cross_entropy, value_and_grad
>>> from course_lib.optimization import adam, apply_updates
>>> rng = np.random.default_rng(0)
>>> x, labels = rng.standard_normal((64, 2)), rng.integers(0, 2, 64)
>>> x[:, 0] += 4 * labels
>>> model = mlp([2, 16, 2], rng=rng)
>>> step = value_and_grad(lambda params: softmax_cross_entropy(model.apply(params, x), labels))
>>> params, optimizer = model.state(), adam(0.05)
>>> state = optimizer.init(params)
>>> for _ in range(30):
...     loss, gradients = step(params)
...     updates, state = optimizer.update(gradients, state)
...     params = apply_updates(params, updates)
>>> loss < 0.1
True
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from course_lib import _check
from course_lib.autodiff import functions, operations
from course_lib.autodiff.convolution import conv2d
from course_lib.autodiff.initializers import Initializer, glorot_uniform, he_normal, zeros
from course_lib.autodiff.tensor import Tensor, mode

__all__ = ["BatchNorm", "Conv2D", "Dropout", "LayerNorm", "Linear", "Module", "Sequential", "mlp"]


class Module:
    """A part of a network: parameters, and a ``forward`` that computes with them.

    Derive from it, set tensors and other modules (or lists of them) as attributes, and write ``forward``.

    Attributes
    ----------
    training : bool
        Whether dropout and batch normalisation behave as in training; see `train`.

    Examples
    --------
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Tensor(3.0, requires_grad=True)
    ...
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> scale = Scale()
    >>> scale(2.0).item(), list(scale.parameters())
    (6.0, ['factor'])
    """

    training = True

    def forward(self, *inputs: Any) -> Tensor:
        """Compute the output; every module writes its own.

        Parameters
        ----------
        *inputs : Tensor or array_like
            What the module is called with.

        Returns
        -------
        Tensor

        Raises
        ------
        NotImplementedError
            If the module has none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *inputs: Any) -> Tensor:
        """Call `forward`."""
        return self.forward(*inputs)

    def parameters(self) -> dict[str, Tensor]:
        """Give the tensors that require a gradient, by name, such as ``"layers.0.weight"``.

        Returns
        -------
        dict of str to Tensor
            The tensors themselves. One that the module uses in two places stands under its first name only.
        """
        found: dict[str, Tensor] = {}
        for name, owner, key in self._places():
            tensor = _at(owner, key)
            if tensor.requires_grad and all(tensor is not other for other in found.values()):
                found[name] = tensor
        return found

    def state(self, buffers: bool = False) -> dict[str, np.ndarray]:
        """Copy the weights.

        Parameters
        ----------
        buffers : bool
            Whether the tensors without a gradient are given too: the running statistics of batch normalisation.

        Returns
        -------
        dict of str to ndarray
            A tree as `course_lib.optimization` takes it.
        """
        tensors = self.parameters()
        if buffers:
            tensors |= {n: _at(o, k) for n, o, k in self._places() if not _at(o, k).requires_grad}
        return {name: tensor.data.copy() for name, tensor in tensors.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Copy values into the tensors.

        Parameters
        ----------
        state : mapping of str to array_like
            All parameters, with or without the buffers, by the names that `state` gives them.

        Raises
        ------
        ValueError
            If a parameter is missing, a name is unknown, or a shape differs. Nothing has changed then.
        """
        places = {name: _at(owner, key) for name, owner, key in self._places()}
        self._compare(state, places)
        for name, values in state.items():
            # A new array: the old one may be on a tape.
            places[name].data = np.array(values, dtype=places[name].dtype)

    def apply(self, parameters: Mapping[str, Any], *inputs: Any) -> Tensor:
        """Call the module with other parameters than its own, which stay as they are.

        Parameters
        ----------
        parameters : mapping of str to Tensor or array_like
            All parameters, by name.
        *inputs : Tensor or array_like
            What the module is called with.

        Returns
        -------
        Tensor

        Raises
        ------
        ValueError
            If a parameter is missing, a name is unknown, or a shape differs.
        """
        places = list(self._places())
        self._compare(parameters, {name: _at(owner, key) for name, owner, key in places})
        names = {id(tensor): name for name, tensor in self.parameters().items()}
        given = {n: p if isinstance(p, Tensor) else Tensor(p) for n, p in parameters.items()}
        swaps = [
            (owner, key, given[names[id(_at(owner, key))]]) for _, owner, key in places if id(_at(owner, key)) in names
        ]
        with swapped(swaps):
            return self(*inputs)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters, which backward passes would otherwise add to."""
        for tensor in self.parameters().values():
            tensor.grad = None

    def train(self, training: bool = True) -> Module:
        """Let dropout and batch normalisation behave as in training, or as in use.

        Parameters
        ----------
        training : bool
            False is the same as `eval`.

        Returns
        -------
        Module
            This module.
        """
        self.training = _check.flag("training", training)
        for _, child in self._children():
            child.train(training)
        return self

    def eval(self) -> Module:
        """Let dropout do nothing, and batch normalisation take its running statistics.

        Returns
        -------
        Module
            This module.
        """
        return self.train(False)

    def _entries(self) -> Iterator[tuple[str, Any, Any]]:
        """Walk over attributes and the entries of lists: (name, what holds it, its key there)."""
        for name, value in vars(self).items():
            if isinstance(value, list):
                yield from ((f"{name}.{i}", value, i) for i in range(len(value)))
            else:
                yield name, self, name

    def _children(self) -> Iterator[tuple[str, Module]]:
        for name, owner, key in self._entries():
            if isinstance(_at(owner, key), Module):
                yield name, _at(owner, key)

    def _places(self) -> Iterator[tuple[str, Any, Any]]:
        """Walk over all tensors, those of the modules inside included."""
        for name, owner, key in self._entries():
            if isinstance(_at(owner, key), Tensor):
                yield name, owner, key
        for name, child in self._children():
            yield from ((f"{name}.{inner}", owner, key) for inner, owner, key in child._places())

    def _compare(self, given: Mapping[str, Any], places: Mapping[str, Tensor]) -> None:
        missing = [name for name in self.parameters() if name not in given]
        unknown = [name for name in given if name not in places]
        if missing or unknown:
            raise ValueError(f"the names do not fit the module: missing {missing}, unknown {unknown}")
        for name, value in given.items():
            if np.shape(value.data if isinstance(value, Tensor) else value) != places[name].shape:
                shape = np.shape(value.data if isinstance(value, Tensor) else value)
                raise ValueError(f"{name} has shape {shape}; the module's has {places[name].shape}")


@contextmanager
def swapped(swaps: Sequence[tuple[Any, Any, Tensor]]) -> Iterator[None]:
    """Put tensors in the places of others inside a ``with``; checkpoints made there remember it."""
    before = [(owner, key, _at(owner, key)) for owner, key, _ in swaps]
    swaps_before, mode.swaps = mode.swaps, (*mode.swaps, *swaps)
    try:
        for owner, key, tensor in swaps:
            _put(owner, key, tensor)
        yield
    finally:
        mode.swaps = swaps_before
        for owner, key, tensor in before:
            _put(owner, key, tensor)


def _at(owner: Any, key: Any) -> Any:
    return owner[key] if isinstance(owner, list) else getattr(owner, key)


def _put(owner: Any, key: Any, value: Any) -> None:
    if isinstance(owner, list):
        owner[key] = value
    else:
        setattr(owner, key, value)


def _weights(shape: Sequence[int], initializer: Initializer, rng: np.random.Generator, dtype: Any) -> Tensor:
    values = np.asarray(initializer(shape, rng), dtype=dtype)
    if values.shape != tuple(shape):
        raise ValueError(f"initializer gave shape {values.shape}; it must give {tuple(shape)}")
    return Tensor(values, requires_grad=True)


class Linear(Module):
    """A matrix product and a shift: ``x @ weight + bias``.

    Parameters
    ----------
    inputs, outputs : int
        The numbers of features.
    bias : bool
        Whether there is a shift; it starts at 0.
    initializer : callable
        ``initializer(shape, rng)`` gives the weights.
    rng : numpy.random.Generator
        Where the draws come from.
    dtype : dtype
        The precision of the parameters.

    Attributes
    ----------
    weight : Tensor, shape (inputs, outputs)
        The matrix.
    bias : Tensor, shape (outputs,), or None
        The shift.

    Examples
    --------
    >>> layer = Linear(3, 2, rng=np.random.default_rng(0))
    >>> layer(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        initializer: Initializer = glorot_uniform,
        *,
        rng: np.random.Generator,
        dtype: Any = np.float32,
    ) -> None:
        shape = (_check.count("inputs", inputs), _check.count("outputs", outputs))
        self.weight = _weights(shape, initializer, rng, dtype)
        self.bias = _weights((outputs,), zeros, rng, dtype) if _check.flag("bias", bias) else None

    def forward(self, x: Any) -> Tensor:
        """Compute ``x @ weight + bias``.

        Parameters
        ----------
        x : Tensor or array_like, shape (..., inputs)
            The features.

        Returns
        -------
        Tensor, shape (..., outputs)
        """
        product = operations.matmul(x, self.weight)
        return product if self.bias is None else operations.add(product, self.bias)


class Conv2D(Module):
    """A convolution and a shift per channel: see `course_lib.autodiff.conv2d`.

    Parameters
    ----------
    inputs, outputs : int
        The numbers of channels.
    size : int or pair of int
        Rows and columns of the kernel.
    stride : int or pair of int
        How far it moves.
    padding : {"valid", "same"}
        What happens at the edge.
    bias : bool
        Whether there is a shift; it starts at 0.
    initializer : callable
        ``initializer(shape, rng)`` gives the weights.
    rng : numpy.random.Generator
        Where the draws come from.
    dtype : dtype
        The precision of the parameters.

    Attributes
    ----------
    weight : Tensor, shape (rows, columns, inputs, outputs)
        The kernel.
    bias : Tensor, shape (outputs,), or None
        The shift.

    Examples
    --------
    >>> layer = Conv2D(1, 4, 3, padding="same", rng=np.random.default_rng(0))
    >>> layer(np.ones((2, 8, 8, 1), np.float32)).shape
    (2, 8, 8, 4)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str = "valid",
        bias: bool = True,
        initializer: Initializer = glorot_uniform,
        *,
        rng: np.random.Generator,
        dtype: Any = np.float32,
    ) -> None:
        rows, columns = (size, size) if isinstance(size, int) else size
        shape = (rows, columns, _check.count("inputs", inputs), _check.count("outputs", outputs))
        self.weight = _weights(shape, initializer, rng, dtype)
        self.bias = _weights((outputs,), zeros, rng, dtype) if _check.flag("bias", bias) else None
        self.stride, self.padding = stride, _check.choice("padding", padding, ("valid", "same"))

    def forward(self, x: Any) -> Tensor:
        """Slide the kernel over images.

        Parameters
        ----------
        x : Tensor or array_like, shape (batch, height, width, inputs)
            The images.

        Returns
        -------
        Tensor, shape (batch, places down, places across, outputs)
        """
        result = conv2d(x, self.weight, self.stride, self.padding)
        return result if self.bias is None else operations.add(result, self.bias)


class LayerNorm(Module):
    """Layer normalisation with a learnt scale and shift: see `course_lib.autodiff.layer_norm`.

    Parameters
    ----------
    features : int
        The length of the last axis.
    eps : float
        Added to the variance.
    dtype : dtype
        The precision of the parameters.

    Attributes
    ----------
    scale, shift : Tensor, shape (features,)
        They start at 1 and 0.

    Examples
    --------
    >>> LayerNorm(2)(np.array([[1.0, 3.0]])).data.round(3)
    array([[-1.,  1.]])
    """

    def __init__(self, features: int, eps: float = 1e-5, dtype: Any = np.float32) -> None:
        self.scale = Tensor(np.ones(_check.count("features", features), dtype), requires_grad=True)
        self.shift = Tensor(np.zeros(features, dtype), requires_grad=True)
        self.eps = _check.positive("eps", eps)

    def forward(self, x: Any) -> Tensor:
        """Standardise every example, then scale and shift.

        Parameters
        ----------
        x : Tensor or array_like, shape (..., features)
            The examples.

        Returns
        -------
        Tensor, shape (..., features)
        """
        return functions.layer_norm(x, self.scale, self.shift, self.eps)


class BatchNorm(Module):
    """Batch normalisation with a learnt scale and shift: see `course_lib.autodiff.batch_norm`.

    In training it takes mean and variance of the batch and moves its running ones towards them; in use (after
    `Module.eval`) it takes the running ones. A recomputation in a checkpoint does not move them a second time.

    Parameters
    ----------
    features : int
        The length of the last axis.
    momentum : float
        How much of the running statistics stays at each step, in [0, 1).
    eps : float
        Added to the variance.
    dtype : dtype
        The precision of the parameters.

    Attributes
    ----------
    scale, shift : Tensor, shape (features,)
        They start at 1 and 0.
    running_mean, running_variance : Tensor, shape (features,)
        Without a gradient; they start at 0 and 1. The variance is that of the batch, as in Keras; PyTorch keeps the
        estimate with n - 1.

    Examples
    --------
    >>> norm = BatchNorm(1, momentum=0.5)
    >>> norm(np.array([[1.0], [3.0]])).data.round(3)
    array([[-1.],
           [ 1.]])
    >>> norm.running_mean.data
    array([1.], dtype=float32)
    """

    def __init__(self, features: int, momentum: float = 0.9, eps: float = 1e-5, dtype: Any = np.float32) -> None:
        self.scale = Tensor(np.ones(_check.count("features", features), dtype), requires_grad=True)
        self.shift = Tensor(np.zeros(features, dtype), requires_grad=True)
        self.running_mean = Tensor(np.zeros(features, dtype))
        self.running_variance = Tensor(np.ones(features, dtype))
        self.momentum, self.eps = _check.fraction("momentum", momentum), _check.positive("eps", eps)

    def forward(self, x: Any) -> Tensor:
        """Standardise every feature, then scale and shift.

        Parameters
        ----------
        x : Tensor or array_like, shape (batch, ..., features)
            The examples.

        Returns
        -------
        Tensor, shape (batch, ..., features)
        """
        x = operations.as_tensor(x)
        if self.training:
            standard, mean, variance = functions._standardize(x, functions._batch_axes(x), self.eps)
            if not mode.recomputing:
                for running, new in ((self.running_mean, mean), (self.running_variance, variance)):
                    running.data = self.momentum * running.data + (1 - self.momentum) * new.reshape(-1).astype(
                        running.dtype
                    )
        else:
            spread = np.sqrt(self.running_variance.data + self.eps)
            standard = operations.divide(operations.subtract(x, self.running_mean), spread)
        return functions._scale_and_shift(standard, self.scale, self.shift)


class Dropout(Module):
    """Dropout: see `course_lib.autodiff.dropout`. After `Module.eval` it does nothing.

    Parameters
    ----------
    rate : float
        The probability of a 0, in [0, 1).
    rng : numpy.random.Generator
        Where the draws come from.

    Examples
    --------
    >>> drop = Dropout(0.5, rng=np.random.default_rng(0))
    >>> drop(np.ones(4)).data, drop.eval()(np.ones(4)).data
    (array([2., 0., 0., 0.]), array([1., 1., 1., 1.]))
    """

    def __init__(self, rate: float, *, rng: np.random.Generator) -> None:
        self.rate, self.rng = _check.fraction("rate", rate), rng

    def forward(self, x: Any) -> Tensor:
        """Drop numbers in training.

        Parameters
        ----------
        x : Tensor or array_like
            Of any shape.

        Returns
        -------
        Tensor
        """
        return functions.dropout(x, self.rate, self.rng) if self.training else operations.as_tensor(x)


class Sequential(Module):
    """Modules and functions, one after another.

    Parameters
    ----------
    *layers : Module or callable
        Each takes the output of the one before.

    Attributes
    ----------
    layers : list
        The layers.

    Examples
    --------
    >>> from course_lib.autodiff import tanh
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential(Linear(3, 8, rng=rng), tanh, Linear(8, 1, rng=rng))
    >>> list(model.parameters())
    ['layers.0.weight', 'layers.0.bias', 'layers.2.weight', 'layers.2.bias']
    """

    def __init__(self, *layers: Callable[[Any], Tensor]) -> None:
        for i, layer in enumerate(layers):
            if not callable(layer):
                raise TypeError(f"layers[{i}] is {layer!r}; it must be a Module or another callable")
        self.layers = list(layers)

    def forward(self, x: Any) -> Tensor:
        """Compute the layers in their order.

        Parameters
        ----------
        x : Tensor or array_like
            What the first layer takes.

        Returns
        -------
        Tensor
        """
        for layer in self.layers:
            x = layer(x)
        return operations.as_tensor(x)


def mlp(
    sizes: Sequence[int],
    activation: Callable[[Any], Tensor] = operations.relu,
    initializer: Initializer = he_normal,
    *,
    rng: np.random.Generator,
    dtype: Any = np.float32,
) -> Sequential:
    """Build a multilayer perceptron: linear layers with an activation between two of them.

    Parameters
    ----------
    sizes : sequence of int
        The numbers of inputs, of units in each hidden layer, and of outputs: at least two numbers.
    activation : callable
        A function from tensor to tensor, after every layer but the last.
    initializer : callable
        ``initializer(shape, rng)`` gives the weights; biases start at 0.
    rng : numpy.random.Generator
        Where the draws come from.
    dtype : dtype
        The precision of the parameters.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If there are fewer than two sizes.

    Examples
    --------
    >>> model = mlp([64, 32, 10], rng=np.random.default_rng(0))
    >>> sum(parameter.size for parameter in model.parameters().values())  # 64 * 32 + 32 + 32 * 10 + 10
    2410
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes is {list(sizes)}; it must hold at least the numbers of inputs and outputs")
    layers: list[Callable[[Any], Tensor]] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [Linear(inputs, outputs, True, initializer, rng=rng, dtype=dtype), activation]
    return Sequential(*layers[:-1])
