"""BERT: a stack of encoder blocks that reads a text in both directions at once.

Three tables say what stands at a position, in which of two segments, and at which place; their sum is normalised and
goes through the blocks. `course_lib.models.heads` puts on top what training needs.

>>> import numpy as np
>>> config = BertConfig(vocabulary=20, width=8, layers=2, heads=2, hidden=16, length=12)
>>> model = bert(config, seed=0)
>>> model.count_params() == config.parameters
True
>>> tokens = np.array([[2, 7, 9, 3, 0, 0]])  # 0 fills up short sequences
>>> {name: tuple(tensor.shape) for name, tensor in model(tokens).items()}
{'sequence': (1, 6, 8), 'pooled': (1, 8)}
>>> PRESETS["bert_base"].parameters
109482240

References
----------
J. Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, 2018, https://arxiv.org/abs/1810.04805
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers.feed_forward import ACTIVATIONS
from course_lib.layers.normalization import LayerNorm
from course_lib.layers.positions import PositionEmbedding
from course_lib.layers.transformer_block import TransformerBlock
from course_lib.models import _presets

__all__ = ["PRESETS", "Bert", "BertConfig", "bert", "take_positions"]

START = keras.initializers.TruncatedNormal(stddev=0.02)  # of all tables and matrices; each gets its own copy


@dataclass(frozen=True)
class BertConfig:
    """What fixes a BERT.

    Attributes
    ----------
    vocabulary : int
        Tokens.
    width, layers, heads, hidden : int
        Numbers a position, blocks, heads of attention, and numbers inside the feed-forward layers.
    length : int
        Positions of the longest sequence.
    segments : int
        Rows of the table that tells the first text of a pair from the second.
    activation : {"gelu", "gelu_tanh", "relu", "swiglu"}
        Of the feed-forward layers.
    epsilon : float
        Of the normalisations.
    dropout : float
        On the embeddings, and on each part's output before its shortcut.
    attention_dropout : float
        On attention's weights.
    padding : int or None
        The token that fills up short sequences; nothing looks at it. None: no token does, and no mask is made unless
        the call gives one, which saves time where every position is real.
    pooler : bool
        Whether one more layer, tanh of a linear map, reads the first position for tasks that concern the whole text.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    vocabulary: int = 30_522
    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    length: int = 512
    segments: int = 2
    activation: str = "gelu"
    epsilon: float = 1e-12
    dropout: float = 0.1
    attention_dropout: float = 0.1
    padding: int | None = 0
    pooler: bool = True

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("vocabulary", "width", "layers", "heads", "hidden", "length", "segments"):
            _check.count(name, getattr(self, name))
        if self.width % self.heads:
            raise ValueError(f"heads is {self.heads}; it must divide width, {self.width}")
        _check.choice("activation", self.activation, ACTIVATIONS)
        _check.positive("epsilon", self.epsilon)
        _check.fraction("dropout", self.dropout)
        _check.fraction("attention_dropout", self.attention_dropout)
        _check.flag("pooler", self.pooler)
        if self.padding is not None and _check.count("padding", self.padding, least=0) >= self.vocabulary:
            raise ValueError(f"padding is {self.padding}; it must be a token, below vocabulary, {self.vocabulary}")

    @property
    def places(self) -> int:
        """Rows of the table of positions."""
        return self.length

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives."""
        d, norm = self.width, 2 * self.width
        tables = (self.vocabulary + self.places + self.segments) * d + norm
        attention = 4 * (d + 1) * d
        feed_forward = (2 if self.activation == "swiglu" else 1) * (d + 1) * self.hidden + (self.hidden + 1) * d
        return tables + self.layers * (attention + feed_forward + 2 * norm) + int(self.pooler) * (d + 1) * d


# The small ones are those of I. Turc et al., Well-Read Students Learn Better, 2019, https://arxiv.org/abs/1908.08962.
PRESETS = {
    "bert_tiny": BertConfig(width=128, layers=2, heads=2, hidden=512),
    "bert_mini": BertConfig(width=256, layers=4, heads=4, hidden=1024),
    "bert_small": BertConfig(width=512, layers=4, heads=8, hidden=2048),
    "bert_medium": BertConfig(width=512, layers=8, heads=8, hidden=2048),
    "bert_base": BertConfig(),
    "bert_base_cased": BertConfig(vocabulary=28_996),
    "bert_base_chinese": BertConfig(vocabulary=21_128),
    "bert_large": BertConfig(width=1024, layers=24, heads=16, hidden=4096),
}


def bert(config: BertConfig | str, name: str | None = None, seed: int | None = None) -> Bert:
    """Build a BERT.

    Parameters
    ----------
    config : BertConfig or str
        Its sizes and options, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "bert".
    seed : int, optional
        Where the initial weights and dropout draw from; None: from Keras' global seed.

    Returns
    -------
    Bert
        With weights, not compiled.

    Raises
    ------
    TypeError
        If `config` is no `BertConfig`.
    ValueError
        If there is no preset of this name.
    """
    chosen, preset = _presets.resolve(config, BertConfig, PRESETS)
    return Bert(chosen, seed, name=name or preset or "bert")


@keras.saving.register_keras_serializable(package="course_lib")
class Bert(keras.Model):
    """A BERT without a head; make one with `bert`.

    Parameters
    ----------
    config : BertConfig
        Its sizes and options.
    seed : int, optional
        Where the initial weights and dropout draw from.
    **kwargs
        As ``keras.Model`` takes them.

    Raises
    ------
    TypeError
        If `config` is of another type.
    """

    config_type: ClassVar[type[BertConfig]] = BertConfig
    built: bool

    def __init__(self, config: BertConfig, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if type(config) is not self.config_type:
            raise TypeError(f"config is of type {type(config).__name__}; it must be a {self.config_type.__name__}")
        self.config, self.seed, policy = config, seed, self.dtype_policy

        def start(number: int) -> keras.initializers.Initializer:
            return _seeds.initializer(START, _seeds.derive(seed, number))

        def table(rows: int, name: str, number: int) -> keras.layers.Embedding:
            return keras.layers.Embedding(
                rows, config.width, embeddings_initializer=start(number), dtype=policy, name=name
            )

        self.token_embedding = table(config.vocabulary, "token_embedding", 0)
        self.segment_embedding = table(config.segments, "segment_embedding", 1)
        self.positions = self._make_positions(start(2))
        self.embedding_norm = LayerNorm(config.epsilon, dtype=policy, name="embedding_norm")
        self.drop = keras.layers.Dropout(config.dropout, seed=_seeds.derive(seed, 3), dtype=policy, name="dropout")
        self.blocks = [
            TransformerBlock(
                config.width, config.heads, config.hidden, "post", activation=config.activation,
                epsilon=config.epsilon, dropout=config.dropout, attention_dropout=config.attention_dropout,
                kernel_initializer=START, seed=_seeds.derive(seed, 100 + number), dtype=policy,
                name=f"block_{number}",
            )
            for number in range(1, config.layers + 1)
        ]  # fmt: skip
        if config.pooler:
            self.pooler = keras.layers.Dense(
                config.width, activation="tanh", kernel_initializer=start(4), dtype=policy, name="pooler"
            )
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        if self.built:
            return
        shape = (None, None, self.config.width)
        self.token_embedding.build(shape[:2])
        self.segment_embedding.build(shape[:2])
        for layer in (self.positions, self.embedding_norm, self.drop, *self.blocks):
            layer.build(shape)
        if self.config.pooler:
            self.pooler.build((None, self.config.width))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Read texts.

        Parameters
        ----------
        inputs : dict, or int tensor of shape (batch, positions)
            ``"tokens"``: int tensor (batch, positions), the only one that must be there. ``"segments"``: int tensor of
            the same shape, 0 by default. ``"mask"``: boolean tensor of the same shape, True where a token is real; by
            default where it is not `config.padding`; None: everywhere. ``"positions"``: int tensor (batch, chosen),
            where the result is wanted, by default everywhere: the last block then computes nothing else. A tensor
            alone is ``"tokens"``.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        dict
            ``"sequence"``: tensor (batch, positions or chosen, width), what the last block found there;
            with `config.pooler` also ``"pooled"``: tensor (batch, width).

        Raises
        ------
        TypeError
            If tokens are not whole numbers.
        ValueError
            If tokens are missing, an input has an unknown name or the wrong shape, or there are more positions than
            `config.length`.
        """
        given = dict(inputs) if isinstance(inputs, Mapping) else {"tokens": inputs}
        chosen = given.pop("positions", None)
        if chosen is None:
            sequence = self.hidden_states(given, training)[-1]
            return {"sequence": sequence} | ({"pooled": self.pooler(sequence[:, 0])} if self.config.pooler else {})
        if len(ops.shape(chosen)) != 2:
            raise ValueError(f"positions has shape {tuple(ops.shape(chosen))}; it must be (batch, chosen)")
        x, mask = self._before_last_block(given, training)
        rows = take_positions(x, chosen)
        if not self.config.pooler:
            return {"sequence": self._last_block(rows, x, mask, training)}
        sequence = self._last_block(ops.concatenate([x[:, :1], rows], axis=1), x, mask, training)
        return {"sequence": sequence[:, 1:], "pooled": self.pooler(sequence[:, 0])}

    def first_position(self, inputs: Any, training: bool | None = None) -> Any:
        """Give what the last block finds at the first position, and compute nothing else of that block.

        Parameters
        ----------
        inputs : dict or int tensor
            As in a call.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        tensor, shape (batch, width)
        """
        x, mask = self._before_last_block(inputs, training)
        return self._last_block(x[:, :1], x, mask, training)[:, 0]

    def _before_last_block(self, inputs: Any, training: bool | None) -> tuple[Any, Any]:
        x, mask = self.embed(inputs, training)
        for block in self.blocks[:-1]:
            x = block(x, mask=mask, training=training)
        return x, mask

    def _last_block(self, rows: Any, x: Any, mask: Any, training: bool | None) -> Any:
        """Apply the last block to some rows of `x`, which look at all of it: what the block does, row by row."""
        block = self.blocks[-1]
        found = block.attention(rows, context=x, mask=mask, training=training)
        rows = block.attention_norm(rows + block.drop(found, training=training))
        found = block.feed_forward(rows)
        return block.feed_forward_norm(rows + block.drop(found, training=training))

    def hidden_states(self, inputs: Any, training: bool | None = None) -> list[Any]:
        """Give what goes into the first block and what comes out of each; takes the arguments of a call.

        Parameters
        ----------
        inputs : dict or int tensor
            As in a call.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        list of tensor, each of shape (batch, positions, width)
            ``config.layers + 1`` of them.
        """
        x, mask = self.embed(inputs, training)
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1], mask=mask, training=training))
        return states

    def embed(self, inputs: Any, training: bool | None = None) -> tuple[Any, Any]:
        """Look up what goes into the first block, and make the mask; takes the arguments of a call.

        Returns
        -------
        x : tensor, shape (batch, positions, width)
        mask : boolean tensor, shape (batch, 1, 1, positions), or None
            Where a block may look.
        """
        tokens, segments, mask = self._read(inputs)
        # Without segments one row serves all positions, and is looked up once.
        x = self.token_embedding(tokens) + self.segment_embedding(
            np.zeros((1, 1), "int32") if segments is None else segments
        )
        x = self.embedding_norm(self._add_positions(x, tokens))
        return self.drop(x, training=training), None if mask is None else mask[:, None, None, :]

    def _make_positions(self, initializer: Any) -> Any:
        return PositionEmbedding(
            self.config.length, initializer=START, seed=initializer.seed, dtype=self.dtype_policy, name="positions"
        )

    def _add_positions(self, x: Any, tokens: Any) -> Any:
        return self.positions(x)

    @property
    def position_table(self) -> Any:
        """The weights, shape (places, width), that say which place a row stands at."""
        return self.positions.table

    def _read(self, inputs: Any) -> tuple[Any, Any, Any]:
        """Check the inputs; give tokens, segments or None, and the mask (batch, positions) or None."""
        given = inputs if isinstance(inputs, Mapping) else {"tokens": inputs}
        unknown = sorted(set(given) - {"tokens", "segments", "mask"})
        if unknown or "tokens" not in given:
            fault = f"has {', '.join(map(repr, unknown))}" if unknown else "has no 'tokens'"
            raise ValueError(f"inputs {fault}; it takes 'tokens', and perhaps 'segments' and 'mask'")
        tokens = ops.convert_to_tensor(given["tokens"])
        if "int" not in keras.backend.standardize_dtype(tokens.dtype):
            raise TypeError(
                f"tokens has dtype {keras.backend.standardize_dtype(tokens.dtype)}; it must hold whole numbers"
            )
        if len(tokens.shape) != 2:
            raise ValueError(f"tokens has shape {tuple(tokens.shape)}; it must be (batch, positions)")
        if tokens.shape[1] is not None and not _stand_in(tokens) and tokens.shape[1] > self.config.length:
            raise ValueError(f"tokens has {tokens.shape[1]} positions; the model has {self.config.length}")
        others = {}
        for name in ("segments", "mask"):
            value = given.get(name)
            others[name] = value = None if value is None else ops.convert_to_tensor(value)
            if value is not None and not _fit(value.shape, tokens.shape):
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)}; it must be that of tokens, {tuple(tokens.shape)}"
                )
        mask = others["mask"]
        if mask is not None:
            mask = ops.cast(mask, "bool")
        elif "mask" not in given and self.config.padding is not None:
            mask = ops.not_equal(tokens, self.config.padding)
        return tokens, others["segments"], mask

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"config": asdict(self.config), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Bert:
        """Make the model that `get_config` describes."""
        return cls(**config | {"config": cls.config_type(**config["config"])})


def take_positions(x: Any, positions: Any) -> Any:
    """Take some positions of each sequence.

    Parameters
    ----------
    x : tensor, shape (batch, positions, width)
        Sequences.
    positions : int tensor, shape (batch, chosen)
        Which to take of each; from 0 to ``positions - 1``.

    Returns
    -------
    tensor, shape (batch, chosen, width)

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(6).reshape(2, 3, 1)
    >>> np.asarray(take_positions(x, [[2, 0], [1, 1]]))[..., 0]
    array([[2, 0],
           [4, 4]])
    """
    x = ops.convert_to_tensor(x)
    batch, length, width = ops.shape(x)
    first = ops.cast(ops.arange(batch), "int32") * length  # the place of each sequence's first row among all rows
    rows = ops.cast(positions, "int32") + ops.expand_dims(first, -1)
    return ops.take(ops.reshape(x, (-1, width)), rows, axis=0)


def _stand_in(tensor: Any) -> bool:
    """Say whether PyTorch is only putting a model together: sizes that are not known yet look like numbers then."""
    return str(getattr(tensor, "device", "")) == "meta"


def _fit(shape: Any, wanted: Any) -> bool:
    """Compare shapes as far as both are known."""
    return len(shape) == len(wanted) and all(
        None in (a, b) or a == b for a, b in zip(tuple(shape), tuple(wanted), strict=True)
    )
