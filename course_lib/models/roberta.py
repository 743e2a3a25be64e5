"""RoBERTa: BERT's architecture again; other places, one segment, and another way of training.

What differs in the model: places are counted over real tokens only and start behind the padding token's number, there
is one segment, and epsilon is larger. What differs in training, by the paper's account: masks drawn anew each time, no
next-sentence task, larger batches, more text, byte-level BPE.

>>> import numpy as np
>>> config = RobertaConfig(vocabulary=20, width=8, layers=2, heads=2, hidden=16, length=12)
>>> model = roberta(config, seed=0)
>>> model.count_params() == config.parameters
True
>>> np.asarray(places_of([[0, 7, 9, 2, 1, 1]], padding=1))
array([[2, 3, 4, 5, 1, 1]], dtype=int32)
>>> PRESETS["roberta_base"].parameters
124645632

References
----------
Y. Liu et al., RoBERTa: A Robustly Optimized BERT Pretraining Approach, 2019, https://arxiv.org/abs/1907.11692
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import keras
from keras import ops

from course_lib.models import _presets
from course_lib.models.bert import Bert, BertConfig

__all__ = ["PRESETS", "Roberta", "RobertaConfig", "places_of", "roberta"]


@dataclass(frozen=True)
class RobertaConfig(BertConfig):
    """What fixes a RoBERTa: the fields of `course_lib.models.bert.BertConfig`, with other defaults.

    `length` is the number of positions of the longest sequence, 512. The table of positions has ``padding + 1`` rows
    more, which is 514 (``max_position_embeddings`` of transformers): place 0 stays unused, and padding gets the row of
    its own number.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range, or `padding` is None: places depend on it.
    """

    vocabulary: int = 50_265
    segments: int = 1
    epsilon: float = 1e-5
    padding: int = 1

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        if self.padding is None:
            raise ValueError("padding is None; RoBERTa counts its places from behind that token's number")

    @property
    def places(self) -> int:
        """Rows of the table of positions."""
        return self.length + self.padding + 1


PRESETS = {
    "roberta_base": RobertaConfig(),
    "roberta_large": RobertaConfig(width=1024, layers=24, heads=16, hidden=4096),
}


def roberta(config: RobertaConfig | str, name: str | None = None, seed: int | None = None) -> Roberta:
    """Build a RoBERTa.

    Parameters
    ----------
    config : RobertaConfig or str
        Its sizes and options, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "roberta".
    seed : int, optional
        Where the initial weights and dropout draw from; None: from Keras' global seed.

    Returns
    -------
    Roberta
        With weights, not compiled.

    Raises
    ------
    TypeError
        If `config` is no `RobertaConfig`.
    ValueError
        If there is no preset of this name.
    """
    chosen, preset = _presets.resolve(config, RobertaConfig, PRESETS)
    return Roberta(chosen, seed, name=name or preset or "roberta")


def places_of(tokens: Any, padding: int) -> Any:
    """Count the real tokens of each sequence, from ``padding + 1`` on; padding gets its own number.

    Parameters
    ----------
    tokens : array of int, shape (batch, positions)
        The sequences.
    padding : int
        The token that fills them up.

    Returns
    -------
    int32 tensor, shape (batch, positions)
    """
    real = ops.cast(ops.not_equal(tokens, padding), "int32")
    return ops.cumsum(real, axis=1) * real + padding


@keras.saving.register_keras_serializable(package="course_lib")
class Roberta(Bert):
    """A RoBERTa without a head; make one with `roberta`. Called as `course_lib.models.bert.Bert` is.

    Places are counted over the tokens that are not `config.padding`, whatever mask is given.

    Parameters
    ----------
    config : RobertaConfig
        Its sizes and options.
    seed : int, optional
        Where the initial weights and dropout draw from.
    **kwargs
        As ``keras.Model`` takes them.
    """

    config_type: ClassVar[type[BertConfig]] = RobertaConfig
    config: RobertaConfig

    def _make_positions(self, initializer: Any) -> Any:
        return keras.layers.Embedding(
            self.config.places, self.config.width, initializer, dtype=self.dtype_policy, name="positions"
        )

    def _add_positions(self, x: Any, tokens: Any) -> Any:
        return x + self.positions(places_of(tokens, self.config.padding))

    @property
    def position_table(self) -> Any:
        """The weights, shape (places, width), that say which place a row stands at."""
        return self.positions.embeddings
