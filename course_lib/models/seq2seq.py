"""Sequence to sequence: one recurrent network reads, another writes, and may look back at what was read.

>>> config = Seq2SeqConfig(source_vocabulary=20, target_vocabulary=30, width=8, units=16, attention=12)
>>> model = seq2seq(config)
>>> model.output_shape, model.count_params() == config.parameters
((None, None, 30), True)
>>> PRESETS["sutskever"].parameters  # the paper says 384 million
384112000
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers.recurrent import Recurrent
from course_lib.models import _presets
from course_lib.models.rnn import CELLS, cell, cell_parameters

__all__ = [
    "PADDING",
    "PRESETS",
    "AdditiveAttention",
    "Decoder",
    "Seq2SeqConfig",
    "greedy_decode",
    "seq2seq",
    "shift_right",
]

PADDING = 0  # the token that fills sequences up to one length


@dataclass(frozen=True)
class Seq2SeqConfig:
    """What fixes a recurrent encoder and decoder.

    Attributes
    ----------
    source_vocabulary, target_vocabulary : int
        Different tokens that come in and go out; token 0 is the filling of shorter sequences.
    width : int
        Numbers that stand for a token.
    cell : str
        A name in `models.rnn.CELLS`.
    units : int
        Numbers in each state of a cell.
    layers : int
        Recurrent layers of the encoder, and of the decoder.
    bidirectional : bool
        The encoder reads from both ends. A layer of its own then turns each pair of final states into a first state of
        the decoder.
    attention : int
        Units of the additive attention (D. Bahdanau et al., 2014, arXiv:1409.0473); 0 for none: the decoder then knows
        of the source only the states that the encoder ended with (I. Sutskever et al., 2014, arXiv:1409.3215).
    dropout : float
        Share of the embeddings' and the decoder's outputs that training sets to 0, at least 0 and below 1.
    start, end : int
        The target's tokens for the start, which the decoder is given first, and for the end.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    source_vocabulary: int
    target_vocabulary: int
    width: int = 64
    cell: str = "gru"
    units: int = 128
    layers: int = 1
    bidirectional: bool = False
    attention: int = 0
    dropout: float = 0.0
    start: int = 1
    end: int = 2

    def __post_init__(self) -> None:
        """Check every field."""
        for name, least in (
            ("source_vocabulary", 2),
            ("target_vocabulary", 3),
            ("width", 1),
            ("units", 1),
            ("layers", 1),
        ):
            _check.count(name, getattr(self, name), least)
        _check.choice("cell", self.cell, CELLS)
        _check.flag("bidirectional", self.bidirectional)
        _check.count("attention", self.attention, least=0)
        _check.fraction("dropout", self.dropout)
        for name in ("start", "end"):
            if not PADDING < _check.count(name, getattr(self, name)) < self.target_vocabulary:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; it must be a token, from 1 to {self.target_vocabulary - 1}"
                )
        if self.start == self.end:
            raise ValueError(f"start and end are both {self.end}; they must differ")

    @property
    def memory(self) -> int:
        """Numbers that the encoder gives for each step of the source."""
        return 2 * self.units if self.bidirectional else self.units

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives."""
        seen = self.memory if self.attention else 0  # numbers of the source that the decoder sees at each step
        total = (self.source_vocabulary + self.target_vocabulary) * self.width
        for number in range(self.layers):
            first = number == 0
            encoder = cell_parameters(self.cell, self.width if first else self.memory, self.units)
            total += encoder * (2 if self.bidirectional else 1)
            total += cell_parameters(self.cell, self.width + seen if first else self.units, self.units)
            if self.bidirectional:
                total += (2 if self.cell == "lstm" else 1) * (2 * self.units + 1) * self.units
        total += self.attention * (self.memory + self.units + 2) if self.attention else 0
        return total + (self.units + seen + 1) * self.target_vocabulary


PRESETS = {
    # I. Sutskever, O. Vinyals, Q. V. Le, 2014, arXiv:1409.3215, section 3.4: English to French.
    "sutskever": Seq2SeqConfig(160_000, 80_000, 1000, "lstm", 1000, 4),
}


@keras.saving.register_keras_serializable(package="course_lib")
class AdditiveAttention(keras.layers.Layer):
    r"""Look at all steps of a memory, more at those that suit the query.

    The score of step :math:`j` is :math:`v \cdot \tanh(q W + m_j U + b)`; the softmax of the scores, over the steps
    that count, weighs the memory :math:`m_j`. Where no step counts, all weights are 0.

    Parameters
    ----------
    units : int
        Numbers between: the length of :math:`v`.
    seed : int, optional
        Where the initial weights are drawn from; None: from Keras' global seed.
    **kwargs
        What every Keras layer takes.

    References
    ----------
    D. Bahdanau, K. Cho, Y. Bengio, 2014, https://arxiv.org/abs/1409.0473, appendix A.1.2

    Examples
    --------
    >>> layer = AdditiveAttention(8)
    >>> context, weights = layer([ops.ones((2, 3)), ops.ones((2, 5, 4)), ops.ones((2, 5), "bool")])
    >>> context.shape, weights.shape
    (TensorShape([2, 4]), TensorShape([2, 5]))
    """

    def __init__(self, units: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = _check.count("units", units)
        self.seed = None if seed is None else _check.count("seed", seed, least=0)

    def build(self, input_shape: list[tuple[Any, ...]]) -> None:
        """Make the weights, from the shapes of query (batch, inputs) and memory (batch, time, inputs)."""
        query, memory = input_shape[0][-1], input_shape[1][-1]
        glorot = [keras.initializers.GlorotUniform(_seeds.derive(self.seed, number)) for number in range(3)]
        self.query_kernel = self.add_weight((query, self.units), glorot[0], name="query_kernel")
        self.memory_kernel = self.add_weight((memory, self.units), glorot[1], name="memory_kernel")
        self.bias = self.add_weight((self.units,), "zeros", name="bias")
        self.vector = self.add_weight((self.units, 1), glorot[2], name="vector")

    def keys(self, memory: Any) -> Any:
        """Give the memory's part of the scores, (batch, time, units), which is the same for every query."""
        return ops.matmul(memory, self.memory_kernel) + self.bias

    def look(self, query: Any, memory: Any, keys: Any, mask: Any) -> tuple[Any, Any]:
        """Give the weighted memory (batch, inputs) and the weights (batch, time)."""
        hidden = ops.tanh(ops.expand_dims(ops.matmul(query, self.query_kernel), 1) + keys)  # (batch, time, units)
        scores = ops.squeeze(ops.matmul(hidden, self.vector), -1)  # (batch, time)
        # -1e4 rather than minus infinity, which gives NaN where no step counts, and fits into float16.
        scores = ops.where(mask, scores, ops.cast(-1e4, scores.dtype))
        weights = ops.where(mask, ops.softmax(scores, axis=-1), ops.zeros_like(scores))
        return ops.squeeze(ops.matmul(ops.expand_dims(weights, 1), memory), 1), weights

    def call(self, inputs: list[Any]) -> tuple[Any, Any]:
        """Look with query (batch, inputs) at memory (batch, time, inputs) where the mask (batch, time) is True."""
        query, memory, mask = inputs
        return self.look(query, memory, self.keys(memory), mask)

    def compute_output_shape(self, input_shape: list[tuple[Any, ...]]) -> tuple[Any, Any]:
        """Give the shapes of the weighted memory and of the weights."""
        return (input_shape[1][0], input_shape[1][-1]), tuple(input_shape[1][:2])

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return {**super().get_config(), "units": self.units, "seed": self.seed}


class _DecoderCell(keras.layers.Layer):
    """One step of the decoder: look at the memory, then pass through the stack of cells."""

    def __init__(self, cells: list[Any], attention: AdditiveAttention | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cells, self.attention = cells, attention
        self.each = 1 if isinstance(cells[0].state_size, int) else len(cells[0].state_size)  # states of one cell
        self.state_size = [cells[0].units] * self.each * len(cells)
        self.output_size = cells[-1].units
        self._seen: tuple[Any, ...] | None = None

    def build(self, input_shape: tuple[Any, ...], memory_shape: tuple[Any, ...]) -> None:
        """Make the weights for inputs (batch, width) and memory (batch, time, inputs)."""
        batch, before = input_shape[0], input_shape[-1]
        if self.attention is not None:
            self.attention.build([(batch, self.output_size), memory_shape])
            before += memory_shape[-1]
            self.output_size += memory_shape[-1]
        for one in self.cells:
            one.build((batch, before))
            before = one.units
        self.built = True

    def hold(self, memory: Any, mask: Any) -> None:
        """Prepare for steps that look at this memory, until `release`."""
        self._seen = () if self.attention is None else (memory, self.attention.keys(memory), mask)
        for one in self.cells:
            one.hold()

    def release(self) -> None:
        """Forget the memory."""
        self._seen = None
        for one in self.cells:
            one.release()

    def __call__(self, inputs: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """Give the output and the new states after one step."""
        output, states, _ = self.step(
            inputs, states
        )  # past Keras' look at the arguments of each call, as in `Recurrent`
        return output, states

    call = __call__

    def step(self, inputs: Any, states: list[Any]) -> tuple[Any, list[Any], Any]:
        """Give the output, the new states and the weights of the attention, None without one."""
        context = weights = None
        if self.attention is not None:  # the query is what the top cell gave at the step before
            context, weights = self.attention.look(states[-self.each], *self._seen)  # type: ignore[misc]
            inputs = ops.concatenate([inputs, context], axis=-1)
        after: list[Any] = []
        for number, one in enumerate(self.cells):
            inputs, own = one(inputs, list(states[number * self.each : (number + 1) * self.each]))
            after += own
        return inputs if context is None else ops.concatenate([inputs, context], axis=-1), after, weights


@keras.saving.register_keras_serializable(package="course_lib")
class Decoder(keras.layers.Layer):
    """The network that writes: it gets the target so far, and scores what comes next.

    Parameters
    ----------
    vocabulary, width, units, layers, attention, dropout, start, end
        As in `Seq2SeqConfig`.
    kind : str
        The cell, a name in `models.rnn.CELLS`.
    seed : int, optional
        Where the initial weights and dropout draw from; None: from Keras' global seed.
    **kwargs
        What every Keras layer takes.

    Notes
    -----
    Called with a list: target tokens (batch, steps), memory (batch, time, numbers), its mask (batch, time), and the
    first states of each cell, (batch, units) each. Gives scores (batch, steps, vocabulary). Step :math:`t` sees the
    target's tokens up to :math:`t` and no later one.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        kind: str,
        units: int,
        layers: int = 1,
        attention: int = 0,
        dropout: float = 0.0,
        start: int = 1,
        end: int = 2,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.options = {
            "vocabulary": vocabulary, "width": width, "kind": kind, "units": units, "layers": layers,
            "attention": attention, "dropout": dropout, "start": start, "end": end, "seed": seed,
        }  # fmt: skip
        self.supports_masking = True  # the memory's mask comes as an input too, and ends here
        self.start, self.end = start, end
        own = {number: _seeds.derive(seed, number) for number in range(5 + layers)}
        same = {"dtype": self.dtype_policy}
        uniform = keras.initializers.RandomUniform(-0.05, 0.05, seed=own[0])
        self.embedding = keras.layers.Embedding(vocabulary, width, uniform, name="embedding", **same)
        self.dropout = keras.layers.Dropout(dropout, seed=own[1], name="dropout", **same)
        cells = [cell(kind, units, seed=own[5 + n], name=f"{kind}_{n + 1}", **same) for n in range(layers)]
        look = AdditiveAttention(attention, seed=own[2], name="attention", **same) if attention else None
        self.cell = _DecoderCell(cells, look, name="cell", **same)
        self.loop = keras.layers.RNN(self.cell, return_sequences=True, name="loop", **same)
        self.output_dropout = keras.layers.Dropout(dropout, seed=own[3], name="output_dropout", **same)
        glorot = keras.initializers.GlorotUniform(own[4])
        self.scores = keras.layers.Dense(vocabulary, kernel_initializer=glorot, name="scores", **same)

    def build(self, input_shape: list[tuple[Any, ...]]) -> None:
        """Make the weights, from the shapes of the tokens, the memory, its mask and the states."""
        (batch, _), memory, width = input_shape[0], input_shape[1], self.options["width"]
        self.embedding.build(input_shape[0])
        self.cell.build((batch, width), memory)
        self.loop.build((batch, None, width))
        self.scores.build((batch, None, self.cell.output_size))

    def call(self, inputs: list[Any], training: bool = False) -> Any:
        """Score each next token, given all before it: teacher forcing."""
        tokens, memory, mask, *states = inputs
        x = self.dropout(self.embedding(tokens), training=training)  # (batch, steps, width)
        self.cell.hold(memory, mask)
        try:
            x = self.loop(x, initial_state=states)  # (batch, steps, units and context)
        finally:
            self.cell.release()
        return self.scores(self.output_dropout(x, training=training))

    def step(self, tokens: Any, states: list[Any]) -> tuple[Any, list[Any], Any]:
        """Score what follows these tokens (batch,); between ``cell.hold(memory, mask)`` and ``cell.release()``.

        Parameters
        ----------
        tokens : array of int, shape (batch,)
            The last token of each sequence.
        states : list of array
            What the step before gave.

        Returns
        -------
        scores : array, shape (batch, vocabulary)
        states : list of array
        weights : array, shape (batch, time), or None
            What the attention looked at.
        """
        output, states, weights = self.cell.step(self.embedding(tokens), states)
        return self.scores(output), states, weights

    def compute_mask(self, inputs: list[Any], previous_mask: Any) -> None:
        """Give no mask: the loss gets the target's by ``sample_weight``."""

    def compute_output_shape(self, input_shape: list[tuple[Any, ...]]) -> tuple[Any, ...]:
        """Give the shape of the scores."""
        return (*input_shape[0], self.options["vocabulary"])

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return {**super().get_config(), **self.options}


def seq2seq(config: Seq2SeqConfig | str, name: str | None = None, seed: int | None = None) -> keras.Model:
    """Build an encoder and a decoder, to be trained with teacher forcing.

    Parameters
    ----------
    config : Seq2SeqConfig or str
        Sizes and options, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "seq2seq".
    seed : int, optional
        Where the initial weights and dropout draw from; None: from Keras' global seed.

    Returns
    -------
    keras.Model
        Takes a list of source tokens (batch, time) and target tokens (batch, steps) that begin with the start, as
        `shift_right` makes them; gives scores (batch, steps, target_vocabulary) of each next token. Not compiled. Give
        the loss ``sample_weight`` of shape (batch, steps), 0 where the target is filled up. Its layers ``encoder`` and
        ``decoder`` are what `greedy_decode` uses.

    Raises
    ------
    TypeError, ValueError
        If `config` is no `Seq2SeqConfig` and no preset.
    """
    chosen, preset = _presets.resolve(config, Seq2SeqConfig, PRESETS)
    encoder = _encoder(chosen, seed)
    decoder = Decoder(
        chosen.target_vocabulary, chosen.width, chosen.cell, chosen.units, chosen.layers, chosen.attention,
        chosen.dropout, chosen.start, chosen.end, seed=_seeds.derive(seed, 1), name="decoder",
    )  # fmt: skip
    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    scores = decoder([target, *encoder(source)])
    return keras.Model([source, target], scores, name=name or preset or "seq2seq")


def _encoder(config: Seq2SeqConfig, seed: int | None) -> keras.Model:
    """Build the network that reads: tokens to the memory, its mask, and the decoder's first states."""
    source = keras.Input((None,), dtype="int32", name="source")
    mask = ops.not_equal(source, PADDING)  # (batch, time)
    uniform = keras.initializers.RandomUniform(-0.05, 0.05, seed=_seeds.derive(seed, 2))
    x = keras.layers.Embedding(config.source_vocabulary, config.width, uniform, name="embedding")(source)
    if config.dropout:
        x = keras.layers.Dropout(config.dropout, seed=_seeds.derive(seed, 3), name="dropout")(x)
    first: list[Any] = []
    for number in range(1, config.layers + 1):

        def one_way(backwards: bool, name: str, number: int = number) -> Recurrent:
            own = cell(config.cell, config.units, seed=_seeds.derive(seed, 10 * number + backwards))
            return Recurrent(own, return_sequences=True, return_state=True, go_backwards=backwards, name=name)

        layer = one_way(False, name := f"{config.cell}_{number}")
        if config.bidirectional:
            layer = keras.layers.Bidirectional(layer, backward_layer=one_way(True, f"backward_{name}"), name=name)
        x, *states = layer(x, mask=mask)  # (batch, time, memory)
        if config.bidirectional:
            half = len(states) // 2
            for n, pair in enumerate(zip(states[:half], states[half:], strict=True)):
                glorot = keras.initializers.GlorotUniform(_seeds.derive(seed, 1000 + 10 * number + n))
                bridge = keras.layers.Dense(
                    config.units, "tanh", kernel_initializer=glorot, name=f"bridge_{number}_{'hc'[n]}"
                )
                first.append(bridge(ops.concatenate(pair, axis=-1)))
        else:
            first += states
    return keras.Model(source, [x, mask, *first], name="encoder")


def shift_right(target: Any, start: int = 1) -> np.ndarray:
    """Give the decoder's input for a target: the start, then all but its last token.

    Parameters
    ----------
    target : array_like of int, shape (batch, steps)
        What the model shall write, each with its end token, filled up with 0.
    start : int
        The token for the start.

    Returns
    -------
    numpy.ndarray of int32, shape (batch, steps)

    Examples
    --------
    >>> shift_right([[5, 6, 2], [7, 2, 0]])
    array([[1, 5, 6],
           [1, 7, 2]], dtype=int32)
    """
    target = np.asarray(target, np.int32)
    if target.ndim != 2:
        raise ValueError(f"target has shape {target.shape}; it must be (batch, steps)")
    return np.concatenate([np.full((len(target), 1), start, np.int32), target[:, :-1]], axis=1)


def greedy_decode(model: keras.Model, source: Any, length: int, return_weights: bool = False) -> Any:
    """Write the most probable token again and again.

    Parameters
    ----------
    model : keras.Model
        What `seq2seq` built, trained.
    source : array_like of int, shape (batch, time)
        Source tokens, filled up with 0.
    length : int
        Tokens to write at most, the end included.
    return_weights : bool
        Give what the attention looked at too.

    Returns
    -------
    tokens : numpy.ndarray of int32, shape (batch, length)
        What was written, the end token included, 0 after it.
    weights : numpy.ndarray, shape (batch, length, time)
        With `return_weights`: the attention's weights at each step that was made, 0 elsewhere.

    Raises
    ------
    ValueError
        If `length` is below 1, or weights are asked for and the model has no attention.
    """
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    length = _check.count("length", length)
    if _check.flag("return_weights", return_weights) and decoder.cell.attention is None:
        raise ValueError("return_weights is True; it must be False for a model without attention")
    source = np.asarray(source, np.int32)
    written = np.full((len(source), length), PADDING, np.int32)
    looked = np.zeros((*written.shape, source.shape[1]), np.float32)
    last, open_ = np.full(len(source), decoder.start, np.int32), np.ones(len(source), bool)
    memory, mask, *states = encoder(source, training=False)
    decoder.cell.hold(memory, mask)
    try:
        for t in range(length):
            scores, states, weights = decoder.step(ops.convert_to_tensor(last), states)
            last = np.where(open_, ops.convert_to_numpy(ops.argmax(scores, axis=-1)), PADDING).astype(np.int32)
            written[:, t] = last
            if return_weights:
                looked[:, t] = ops.convert_to_numpy(weights)
            open_ = open_ & (last != decoder.end)
            if not open_.any():
                break
    finally:
        decoder.cell.release()
    return (written, looked) if return_weights else written
