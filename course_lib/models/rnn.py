"""Recurrent networks: layers of cells that read tokens or numbers one step at a time.

>>> config = RNNConfig(outputs=2, vocabulary=1000, width=32, hidden=(16,), cell="gru", bidirectional=True)
>>> model = rnn(config)
>>> model.output_shape, model.count_params() == config.parameters
((None, 2), True)
>>> PRESETS["zaremba_medium"].parameters
19775200
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers.recurrent import GRUCell, LSTMCell, Recurrent, RNNCell
from course_lib.models import _presets

__all__ = ["CELLS", "PRESETS", "RNNConfig", "cell", "cell_parameters", "rnn"]

CELLS = ("rnn", "lstm", "gru")


@dataclass(frozen=True)
class RNNConfig:
    """What fixes a recurrent network.

    Attributes
    ----------
    outputs : int
        Scores (logits) that go out, for each step or for each sequence.
    vocabulary : int
        Different tokens that come in; 0 for a network that reads numbers.
    width : int
        Numbers that stand for a token; without a vocabulary, the numbers that come in at each step.
    cell : str
        A name in `CELLS`: the plain cell, LSTM or GRU, see `layers.recurrent`.
    hidden : tuple of int
        Units of each recurrent layer, from the input on.
    bidirectional : bool
        A second cell in each layer reads from the end (M. Schuster, K. K. Paliwal, 1997, doi:10.1109/78.650093). Both
        outputs go on side by side.
    per_step : bool
        Scores for every step; otherwise from what the last layer has read at its end.
    padding : bool
        Sequences are filled up to one length. Of tokens, 0 is then the filling and no token; with numbers, the model
        takes a second input, a mask (batch, time), True where there is a step.
    dropout : float
        Share of the numbers between the layers, before the first and after the last that training sets to 0, at least 0
        and below 1; what a cell hands to itself is left alone (W. Zaremba et al., 2014, arXiv:1409.2329).
    reset_after : bool
        For GRU cells, see `layers.recurrent.GRUCell`.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    outputs: int
    vocabulary: int = 0
    width: int = 1
    cell: str = "lstm"
    hidden: tuple[int, ...] = (128,)
    bidirectional: bool = False
    per_step: bool = False
    padding: bool = False
    dropout: float = 0.0
    reset_after: bool = True

    def __post_init__(self) -> None:
        """Check every field."""
        _check.count("outputs", self.outputs)
        _check.count("vocabulary", self.vocabulary, least=0)
        _check.count("width", self.width)
        _check.choice("cell", self.cell, CELLS)
        if not isinstance(self.hidden, (tuple, list)) or not self.hidden:
            raise ValueError(
                f"hidden is {self.hidden!r}; it must be a tuple of whole numbers of at least 1, one a layer"
            )
        object.__setattr__(self, "hidden", tuple(_check.count("hidden", units) for units in self.hidden))
        for name in ("bidirectional", "per_step", "padding", "reset_after"):
            _check.flag(name, getattr(self, name))
        _check.fraction("dropout", self.dropout)

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives."""
        directions = 2 if self.bidirectional else 1
        total, before = self.vocabulary * self.width, self.width
        for units in self.hidden:
            total += directions * cell_parameters(self.cell, before, units, self.reset_after)
            before = directions * units
        return total + (before + 1) * self.outputs


def cell_parameters(kind: str, inputs: int, units: int, reset_after: bool = True) -> int:
    """Count the weights of one cell.

    Parameters
    ----------
    kind : str
        A name in `CELLS`.
    inputs, units : int
        Numbers that come in at a step, and numbers in the state.
    reset_after : bool
        For a GRU: whether it has the second bias.

    Returns
    -------
    int
        Each gate has a matrix for the inputs, one for the state, and a bias.

    Examples
    --------
    >>> [cell_parameters(kind, 3, 5) for kind in CELLS]
    [45, 180, 150]
    """
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[_check.choice("kind", kind, CELLS)]
    biases = 2 if kind == "gru" and reset_after else 1
    return gates * units * (inputs + units + biases)


PRESETS = {
    # Word models of the Penn Treebank: W. Zaremba, I. Sutskever, O. Vinyals, 2014, arXiv:1409.2329, section 4.1.
    "zaremba_small": RNNConfig(10_000, 10_000, 200, hidden=(200, 200), per_step=True),
    "zaremba_medium": RNNConfig(10_000, 10_000, 650, hidden=(650, 650), per_step=True, dropout=0.5),
    "zaremba_large": RNNConfig(10_000, 10_000, 1500, hidden=(1500, 1500), per_step=True, dropout=0.65),
}


def cell(
    kind: str, units: int, reset_after: bool = True, seed: int | None = None, **options: Any
) -> keras.layers.Layer:
    """Make one cell by its name.

    Parameters
    ----------
    kind : str
        A name in `CELLS`.
    units : int
        Numbers in its state.
    reset_after : bool
        For a GRU, see `layers.recurrent.GRUCell`.
    seed : int, optional
        Where its weights are drawn from; None: from Keras' global seed.
    **options
        What every Keras layer takes.

    Returns
    -------
    RNNCell, LSTMCell or GRUCell
    """
    if _check.choice("kind", kind, CELLS) == "gru":
        return GRUCell(units, reset_after=reset_after, seed=seed, **options)
    return {"rnn": RNNCell, "lstm": LSTMCell}[kind](units, seed=seed, **options)


def rnn(config: RNNConfig | str, name: str | None = None, seed: int | None = None) -> keras.Model:
    """Build a recurrent network.

    Parameters
    ----------
    config : RNNConfig or str
        Its sizes and options, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "rnn".
    seed : int, optional
        Where the initial weights and dropout draw from; None: from Keras' global seed.

    Returns
    -------
    keras.Model
        Takes tokens (batch, time) or numbers (batch, time, width), and with numbers and `padding` a list of these and a
        mask (batch, time). Gives scores (batch, outputs), or (batch, time, outputs) with `per_step`. Any number of
        steps. Not compiled. With `padding`, losses leave masked steps out where the tokens make the mask; with a mask
        of your own, give it as ``sample_weight``.

    Raises
    ------
    TypeError, ValueError
        If `config` is no `RNNConfig` and no preset.

    Examples
    --------
    >>> model = rnn(RNNConfig(outputs=3, width=4, hidden=(8, 8), per_step=True, padding=True, dropout=0.1))
    >>> [tuple(shape) for shape in model.input_shape], model.output_shape
    ([(None, None, 4), (None, None)], (None, None, 3))
    >>> [layer.name for layer in model.layers]
    ['numbers', 'dropout_1', 'mask', 'lstm_1', 'dropout_2', 'lstm_2', 'dropout_3', 'scores']
    """
    chosen, preset = _presets.resolve(config, RNNConfig, PRESETS)
    mask = None
    if chosen.vocabulary:
        inputs = keras.Input((None,), dtype="int32", name="tokens")  # (batch, time)
        uniform = keras.initializers.RandomUniform(-0.05, 0.05, seed=_seeds.derive(seed, 1))
        embed = keras.layers.Embedding(
            chosen.vocabulary, chosen.width, uniform, mask_zero=chosen.padding, name="embedding"
        )
        x = embed(inputs)  # (batch, time, width)
    else:
        inputs = x = keras.Input((None, chosen.width), name="numbers")  # (batch, time, width)
        if chosen.padding:
            mask = keras.Input((None,), dtype="bool", name="mask")
            inputs = [inputs, mask]
    for number, units in enumerate(chosen.hidden, 1):
        x = _dropout(chosen, number, seed)(x) if chosen.dropout else x
        every_step = chosen.per_step or number < len(chosen.hidden)
        layer = _layer(chosen, units, number, every_step, seed)
        x = layer(x) if mask is None else layer(x, mask=mask)  # (batch, time, units) or (batch, units)
    x = _dropout(chosen, len(chosen.hidden) + 1, seed)(x) if chosen.dropout else x
    glorot = keras.initializers.GlorotUniform(_seeds.derive(seed, 2))
    scores = keras.layers.Dense(chosen.outputs, kernel_initializer=glorot, name="scores")(x)
    return keras.Model(inputs, scores, name=name or preset or "rnn")


def _layer(config: RNNConfig, units: int, number: int, every_step: bool, seed: int | None) -> keras.layers.Layer:
    """Make one recurrent layer, in one direction or in both."""

    def one_way(backwards: bool, name: str) -> Recurrent:
        own = _seeds.derive(seed, 10 * number + backwards)
        one = cell(config.cell, units, config.reset_after, seed=own, name=f"{config.cell}_cell")
        return Recurrent(one, return_sequences=every_step, go_backwards=backwards, name=name)

    name = f"{config.cell}_{number}"
    if not config.bidirectional:
        return one_way(False, name)
    # Keras turns the second one's outputs round, so that both speak of the same step.
    return keras.layers.Bidirectional(one_way(False, name), backward_layer=one_way(True, f"backward_{name}"), name=name)


def _dropout(config: RNNConfig, number: int, seed: int | None) -> keras.layers.Dropout:
    return keras.layers.Dropout(config.dropout, seed=_seeds.derive(seed, 1000 + number), name=f"dropout_{number}")
