"""Recurrent layers: cells that make one step in time, and a layer that runs a cell over a sequence.

At each step a cell takes the numbers of that step and its state, and gives a new state. The state is all it knows of
the past, so a layer of cells reads a sequence of any length with the same weights.

>>> layer = Recurrent(LSTMCell(8), return_sequences=True)
>>> layer(keras.ops.ones((2, 5, 3))).shape  # 2 sequences of 5 steps of 3 numbers
TensorShape([2, 5, 8])
>>> [weight.name for weight in layer.weights]
['kernel', 'recurrent_kernel', 'bias']
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "Recurrent"]


class _Cell(keras.layers.Layer):
    """What the cells share: weights for so many gates side by side, and the names of their sizes."""

    gates = 1  # blocks of `units` columns in each kernel
    _held: tuple[Any, ...] | None = None  # the weights as arrays, while `Recurrent` runs its loop

    def __init__(self, units: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = _check.count("units", units)
        self.seed = None if seed is None else _check.count("seed", seed, least=0)
        self.state_size: int | list[int] = self.units
        self.output_size = self.units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights; `input_shape` is (batch, inputs)."""
        inputs, columns = input_shape[-1], self.gates * self.units
        glorot = keras.initializers.GlorotUniform(_seeds.derive(self.seed, 0))
        orthogonal = keras.initializers.Orthogonal(seed=_seeds.derive(self.seed, 1))
        self.kernel = self.add_weight((inputs, columns), glorot, name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, columns), orthogonal, name="recurrent_kernel")
        self.bias = self.add_weight(self._bias_shape(columns), self._start_of_bias, name="bias")

    def _bias_shape(self, columns: int) -> tuple[int, ...]:
        return (columns,)

    def _start_of_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        return ops.zeros(shape, dtype)

    def hold(self) -> None:
        """Read the weights once, for many steps, until `release`."""
        self._held = tuple(ops.convert_to_tensor(w) for w in (self.kernel, self.recurrent_kernel, self.bias))

    def release(self) -> None:
        """Read the weights at each call again."""
        self._held = None

    def __call__(self, inputs: Any, states: list[Any], **kwargs: Any) -> tuple[Any, list[Any]]:
        """Make one step. Within `Recurrent` this is the equations alone."""
        # At each call of a layer Keras looks at all arguments, which in eager code takes longer than a small step.
        if self._held is not None:
            return self.step(inputs, states, *self._held)
        return super().__call__(inputs, states, **kwargs)

    def call(self, inputs: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """Make one step: inputs (batch, inputs), states (batch, units) each; give the output and the new states."""
        return self.step(inputs, states, self.kernel, self.recurrent_kernel, self.bias)

    def step(self, inputs: Any, states: list[Any], kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
        """Make one step with these weights: the cell's equations."""
        raise NotImplementedError

    def product(self, inputs: Any, kernel: Any) -> Any:
        """Multiply the inputs by their kernel; without one they were multiplied before, all steps at once."""
        return inputs if kernel is None else ops.matmul(inputs, kernel)

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Give the states before the first step: zeros, one array (batch, units) a state."""
        sizes = [self.state_size] if isinstance(self.state_size, int) else self.state_size
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in sizes]

    def compute_output_shape(self, input_shape: tuple[Any, ...], *_: Any) -> tuple[Any, Any]:
        """Give the shapes of the output and of the states after one step."""
        shape = (input_shape[0], self.units)
        return shape, [shape] * len(self.get_initial_state(1))

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this cell again."""
        return {**super().get_config(), "units": self.units, "seed": self.seed}


@keras.saving.register_keras_serializable(package="course_lib")
class RNNCell(_Cell):
    r"""The plain recurrent cell: :math:`h_t = \tanh(x_t W + h_{t-1} R + b)`.

    Parameters
    ----------
    units : int
        Numbers in the state.
    seed : int, optional
        Where the initial weights are drawn from; None: from Keras' global seed.
    **kwargs
        What every Keras layer takes: ``name``, ``dtype``, ``trainable``.

    Attributes
    ----------
    kernel : (inputs, units)
        :math:`W`, drawn as Glorot and Bengio do.
    recurrent_kernel : (units, units)
        :math:`R`, orthogonal at the start.
    bias : (units,)
        :math:`b`, zero at the start.

    Notes
    -----
    ``keras.layers.SimpleRNN`` has the same weights in the same order. ``torch.nn.RNN`` keeps them transposed, and has
    two biases whose sum is :math:`b`.

    References
    ----------
    J. L. Elman, 1990, https://doi.org/10.1207/s15516709cog1402_1

    Examples
    --------
    >>> cell = RNNCell(4)
    >>> output, states = cell(ops.ones((2, 3)), [ops.zeros((2, 4))])
    >>> output.shape, len(states)
    (TensorShape([2, 4]), 1)
    """

    def step(self, inputs: Any, states: list[Any], kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
        """Make one step with these weights: inputs (batch, inputs), one state (batch, units)."""
        (h,) = states
        h = ops.tanh(self.product(inputs, kernel) + ops.matmul(h, recurrent_kernel) + bias)
        return h, [h]


@keras.saving.register_keras_serializable(package="course_lib")
class LSTMCell(_Cell):
    r"""The long short-term memory cell, with a memory :math:`c` that is added to and not overwritten.

    .. math::

        i, f, g, o &= \sigma, \sigma, \tanh, \sigma \text{ of the four blocks of } x_t W + h_{t-1} R + b \\
        c_t &= f \odot c_{t-1} + i \odot g \\
        h_t &= o \odot \tanh(c_t)

    Parameters
    ----------
    units : int
        Numbers in each of the two states.
    forget_bias : float
        Where the bias of the forget gate :math:`f` starts. With 1 a new cell keeps 73 % of its memory at a step, with 0
        half of it, and then nothing is left to learn from after some steps (R. Jozefowicz et al., 2015).
    seed : int, optional
        Where the initial weights are drawn from; None: from Keras' global seed.
    **kwargs
        What every Keras layer takes: ``name``, ``dtype``, ``trainable``.

    Attributes
    ----------
    kernel : (inputs, 4 units)
        :math:`W`. The blocks stand in the order input gate, forget gate, candidate, output gate.
    recurrent_kernel : (units, 4 units)
        :math:`R`, in the same order.
    bias : (4 units,)
        :math:`b`, in the same order; zero at the start, but for the forget gate's.

    Notes
    -----
    The states are :math:`[h, c]`, in this order; the output is :math:`h`. ``keras.layers.LSTM`` has the same weights in
    the same order. ``torch.nn.LSTM`` has the same order too, but keeps its kernels transposed, and two biases whose sum
    is :math:`b`.

    References
    ----------
    S. Hochreiter, J. Schmidhuber, 1997, https://doi.org/10.1162/neco.1997.9.8.1735; the forget gate: F. A. Gers et al.,
    2000, https://doi.org/10.1162/089976600300015015; its bias: R. Jozefowicz et al., 2015,
    https://proceedings.mlr.press/v37/jozefowicz15.html

    Examples
    --------
    >>> cell = LSTMCell(2)
    >>> cell.build((None, 3))
    >>> cell.bias.numpy()
    array([0., 0., 1., 1., 0., 0., 0., 0.], dtype=float32)
    """

    gates = 4

    def __init__(self, units: int, forget_bias: float = 1.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(units, seed, **kwargs)
        self.forget_bias = float(_check.finite("forget_bias", forget_bias, ndim=0))
        self.state_size = [self.units, self.units]

    def _start_of_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        zeros = ops.zeros((self.units,), dtype)
        return ops.concatenate([zeros, zeros + self.forget_bias, zeros, zeros])

    def step(self, inputs: Any, states: list[Any], kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
        """Make one step with these weights: inputs (batch, inputs), states h and c, each (batch, units)."""
        h, c = states
        z = self.product(inputs, kernel) + ops.matmul(h, recurrent_kernel) + bias
        i, f, g, o = ops.split(z, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this cell again."""
        return {**super().get_config(), "forget_bias": self.forget_bias}


@keras.saving.register_keras_serializable(package="course_lib")
class GRUCell(_Cell):
    r"""The gated recurrent unit: a new state between the old one and a candidate.

    .. math::

        z, r &= \sigma \text{ of the first two blocks of } x_t W + h_{t-1} R + b \\
        n &= \tanh(x_t W_n + b_n + r \odot (h_{t-1} R_n + b'_n)) & \text{ reset after the product} \\
        n &= \tanh(x_t W_n + b_n + (r \odot h_{t-1}) R_n) & \text{ reset before the product} \\
        h_t &= z \odot h_{t-1} + (1 - z) \odot n

    Parameters
    ----------
    units : int
        Numbers in the state.
    reset_after : bool
        Where the reset gate :math:`r` acts. True: on the product, as Keras, cuDNN and PyTorch do; all three blocks are
        then one matrix product. False: on the state before the product, as the paper's equation has it.
    seed : int, optional
        Where the initial weights are drawn from; None: from Keras' global seed.
    **kwargs
        What every Keras layer takes: ``name``, ``dtype``, ``trainable``.

    Attributes
    ----------
    kernel : (inputs, 3 units)
        :math:`W`. The blocks stand in the order update gate :math:`z`, reset gate :math:`r`, candidate :math:`n`.
    recurrent_kernel : (units, 3 units)
        :math:`R`, in the same order.
    bias : (2, 3 units), or (3 units,) with `reset_after` False
        :math:`b`, added to the inputs' product; with `reset_after` a second row :math:`b'` is added to the state's.

    Notes
    -----
    ``keras.layers.GRU`` has the same weights in the same order. ``torch.nn.GRU`` has the order :math:`r, z, n`, keeps
    its kernels transposed, and knows only ``reset_after=True``. In the paper :math:`z` and :math:`1 - z` change places.

    References
    ----------
    K. Cho et al., 2014, https://arxiv.org/abs/1406.1078

    Examples
    --------
    >>> shapes = []
    >>> for reset_after in (True, False):
    ...     cell = GRUCell(2, reset_after=reset_after)
    ...     cell.build((None, 5))
    ...     shapes.append([tuple(weight.shape) for weight in cell.weights])
    >>> shapes
    [[(5, 6), (2, 6), (2, 6)], [(5, 6), (2, 6), (6,)]]
    """

    gates = 3

    def __init__(self, units: int, reset_after: bool = True, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(units, seed, **kwargs)
        self.reset_after = _check.flag("reset_after", reset_after)

    def _bias_shape(self, columns: int) -> tuple[int, ...]:
        return (2, columns) if self.reset_after else (columns,)

    def step(self, inputs: Any, states: list[Any], kernel: Any, recurrent_kernel: Any, bias: Any) -> Any:
        """Make one step with these weights: inputs (batch, inputs), one state (batch, units)."""
        (h,) = states
        bias, state_bias = (bias[0], bias[1]) if self.reset_after else (bias, None)
        xz, xr, xn = ops.split(self.product(inputs, kernel) + bias, 3, axis=-1)
        if self.reset_after:
            hz, hr, hn = ops.split(ops.matmul(h, recurrent_kernel) + state_bias, 3, axis=-1)
            z, r = ops.sigmoid(xz + hz), ops.sigmoid(xr + hr)
            n = ops.tanh(xn + r * hn)
        else:
            gates, candidate = recurrent_kernel[:, : 2 * self.units], recurrent_kernel[:, 2 * self.units :]
            hz, hr = ops.split(ops.matmul(h, gates), 2, axis=-1)
            z, r = ops.sigmoid(xz + hz), ops.sigmoid(xr + hr)
            n = ops.tanh(xn + ops.matmul(r * h, candidate))
        h = z * h + (1 - z) * n
        return h, [h]

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this cell again."""
        return {**super().get_config(), "reset_after": self.reset_after}


@keras.saving.register_keras_serializable(package="course_lib")
class Recurrent(keras.layers.RNN):
    """A cell run over time.

    Parameters
    ----------
    cell : RNNCell, LSTMCell or GRUCell
        What makes one step. Any cell of ``keras.layers`` works too.
    return_sequences : bool
        Give the output of every step, and not of the last alone.
    return_state : bool
        Give the states after the last step too.
    go_backwards : bool
        Read from the end. The outputs then come in the order in which they were computed, the last step's first.
    unroll : bool
        Write the loop out, one copy of the step for each. Faster to run for short sequences in a TensorFlow graph,
        slower to compile; the number of steps must be known.
    zero_output_for_mask : bool
        Give zeros at masked steps, and not the output of the step before.
    **kwargs
        What every Keras layer takes: ``name``, ``dtype``, ``trainable``.

    Raises
    ------
    TypeError
        If `cell` is no cell, or an option is not True or False.
    ValueError
        If the input has not three axes.

    Notes
    -----
    Called with ``layer(sequences, initial_state=None, mask=None)``: sequences (batch, time, inputs); states as a list
    of arrays (batch, units), zeros by default; mask (batch, time), True where there is a step. Keras hands the mask of
    an ``Embedding`` or ``Masking`` layer on. A masked step changes no state and repeats the output before it; what
    stands before the first step that counts has no meaning. To go on where a call ended, give its states as the next
    call's initial states.

    The loop is that of ``keras.layers.RNN``. The product with the inputs stays inside: taken out of the loop, as one
    product over all steps, it was mostly slower on a CPU (TensorFlow, JAX), since its result is four times as wide as
    the state, and leaves the cache before the loop reads it.

    Returns outputs (batch, time, units) or (batch, units); with `return_state` a list: the outputs and each state.

    Examples
    --------
    >>> layer = Recurrent(GRUCell(4), return_state=True)
    >>> output, state = layer(ops.ones((2, 5, 3)))
    >>> bool(ops.all(output == state))
    True
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        if not isinstance(cell, keras.layers.Layer) or not hasattr(cell, "state_size"):
            raise TypeError(f"cell is {cell!r}; it must be a cell, such as LSTMCell(64)")
        if kwargs.pop("stateful", False):
            raise ValueError(
                "stateful is True; it must be False: pass the states on with return_state and initial_state"
            )
        super().__init__(
            cell,
            return_sequences=_check.flag("return_sequences", return_sequences),
            return_state=_check.flag("return_state", return_state),
            go_backwards=_check.flag("go_backwards", go_backwards),
            unroll=_check.flag("unroll", unroll),
            zero_output_for_mask=_check.flag("zero_output_for_mask", zero_output_for_mask),
            **kwargs,
        )

    def build(self, sequences_shape: tuple[int | None, ...], initial_state_shape: Any = None) -> None:
        """Build the cell; the sequences are (batch, time, inputs)."""
        if len(sequences_shape) != 3:
            raise ValueError(f"sequences have shape {tuple(sequences_shape)}; it must be (batch, time, inputs)")
        super().build(sequences_shape, initial_state_shape)

    def inner_loop(self, sequences: Any, initial_state: list[Any], mask: Any, training: bool = False) -> Any:
        """Run the loop over time, as Keras does, with the cell's weights read once."""
        if not isinstance(self.cell, _Cell):
            return super().inner_loop(sequences, initial_state, mask, training=training)
        self.cell.hold()
        try:
            # PyTorch has no graph: each step costs what Python does around it, and Keras' loop does much.
            if keras.backend.backend() == "torch" and mask is None:
                return self._plain_loop(sequences, initial_state)
            last, outputs, states = super().inner_loop(sequences, initial_state, mask, training=training)
        finally:
            self.cell.release()
        # The first state of our cells is their output. With every step masked, Keras' last output differs by backend.
        return last if self.zero_output_for_mask else states[0], outputs, states

    def _plain_loop(self, sequences: Any, states: list[Any]) -> Any:
        """Make one step after the other: the last output, all outputs, the states."""
        kernel, *rest = self.cell._held
        steps, outputs = ops.unstack(self.cell.product(sequences, kernel), axis=1), []
        for inputs in reversed(steps) if self.go_backwards else steps:
            output, states = self.cell.step(inputs, states, None, *rest)
            outputs.append(output)
        every = ops.stack(outputs if self.return_sequences else outputs[-1:], axis=1)
        return outputs[-1], every, states

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """Give the mask of the outputs, which `go_backwards` turns round with them."""
        masks = super().compute_mask(inputs, mask)
        if not (self.return_sequences and self.go_backwards):
            return masks
        if isinstance(masks, list):
            return [None if masks[0] is None else ops.flip(masks[0], axis=1), *masks[1:]]
        return None if masks is None else ops.flip(masks, axis=1)
