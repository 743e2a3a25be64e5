"""GPT: a stack of transformer blocks that look backwards only, and guess each token from those before it.

>>> import numpy as np
>>> config = GptConfig(vocabulary=20, width=8, layers=2, heads=2, hidden=32, length=12)
>>> model = gpt(config, seed=0)
>>> model.count_params() == config.parameters
True
>>> tokens = np.array([[5, 6, 7]])
>>> logits = model(tokens)  # scores of every token as the next one: (batch, positions, vocabulary)
>>> tuple(logits.shape)
(1, 3, 20)

Read token by token, with the keys and values of earlier ones kept, it gives the same scores:

>>> caches = model.empty_caches(batch=1, length=3)
>>> for place in range(3):
...     last, caches = model.step(tokens[:, place : place + 1], caches, place)
>>> bool(np.allclose(last[:, 0], logits[:, 2], atol=1e-5))
True

References
----------
A. Radford et al., Improving Language Understanding by Generative Pre-Training, 2018,
https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf (GPT-1);
A. Radford et al., Language Models are Unsupervised Multitask Learners, 2019,
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf (GPT-2)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import keras
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers._precision import precise
from course_lib.layers.feed_forward import ACTIVATIONS
from course_lib.layers.normalization import NORMALIZATIONS
from course_lib.layers.positions import PositionEmbedding
from course_lib.layers.transformer_block import TransformerBlock
from course_lib.models import _presets

__all__ = ["PRESETS", "Gpt", "GptConfig", "gpt"]

SPREAD = 0.02  # standard deviation of the initial weights, of both papers


@dataclass(frozen=True)
class GptConfig:
    """What fixes a GPT.

    Attributes
    ----------
    vocabulary : int
        Tokens. Their table serves as the embedding and, transposed, as the output layer.
    width, layers, heads, hidden : int
        Numbers a position, blocks, heads of attention, and numbers inside the feed-forward layers.
    length : int
        Positions of the longest sequence.
    activation : {"relu", "gelu", "gelu_tanh", "swiglu"}
        Of the feed-forward layers. Both papers' programs compute GELU by its approximation, ``gelu_tanh``.
    epsilon : float
        Of the normalisations.
    dropout : float
        On the sum of embedding and position, and on each part's output before its shortcut.
    attention_dropout : float
        On attention's weights.
    norm : {"pre", "post"}
        GPT-2 normalises before each part and once more at the end; GPT-1 normalises after each shortcut.
    normalization : {"layer", "rms"}
        See `course_lib.layers.normalization`.
    positions : {"learned", "rotary", "none"}
        A table that is added, as in GPT-1 and GPT-2; or queries and keys that turn, see
        `course_lib.layers.positions.rotate`; or nothing, so that a token knows only which ones stand before it.
    key_value_heads : int, optional
        Heads of keys and values, each shared by ``heads // key_value_heads`` heads of queries; by default `heads`.
    use_bias : bool
        Biases in attention's projections and the feed-forward layers.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.

    Notes
    -----
    With ``normalization="rms", activation="swiglu", positions="rotary", use_bias=False`` the blocks are those of Llama
    (H. Touvron et al., 2023, https://arxiv.org/abs/2302.13971), whose output layer has a table of its own.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    hidden: int
    length: int
    activation: str = "gelu_tanh"
    epsilon: float = 1e-5
    dropout: float = 0.1
    attention_dropout: float = 0.1
    norm: str = "pre"
    normalization: str = "layer"
    positions: str = "learned"
    key_value_heads: int | None = None
    use_bias: bool = True

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("vocabulary", "width", "layers", "heads", "hidden", "length"):
            _check.count(name, getattr(self, name))
        if self.width % self.heads:
            raise ValueError(f"heads is {self.heads}; it must divide width, {self.width}")
        if self.key_value_heads is not None and self.heads % _check.count("key_value_heads", self.key_value_heads):
            raise ValueError(f"key_value_heads is {self.key_value_heads}; it must divide heads, {self.heads}")
        _check.choice("activation", self.activation, ACTIVATIONS)
        _check.positive("epsilon", self.epsilon)
        _check.fraction("dropout", self.dropout)
        _check.fraction("attention_dropout", self.attention_dropout)
        _check.choice("norm", self.norm, ("pre", "post"))
        _check.choice("normalization", self.normalization, tuple(NORMALIZATIONS))
        _check.choice("positions", self.positions, ("learned", "rotary", "none"))
        if self.positions == "rotary" and self.width // self.heads % 2:
            raise ValueError(f"positions is 'rotary' and a head has width {self.width // self.heads}; it must be even")
        _check.flag("use_bias", self.use_bias)

    @property
    def body(self) -> int:
        """Weights of the blocks and normalisations: all but the tables of tokens and positions."""
        d, bias = self.width, int(self.use_bias)
        shared = d // self.heads * (self.key_value_heads or self.heads)  # numbers of all keys of a position
        attention = 2 * (d + bias) * d + 2 * (d + bias) * shared
        feed_forward = (2 if self.activation == "swiglu" else 1) * (d + bias) * self.hidden + (self.hidden + bias) * d
        norm = (2 if self.normalization == "layer" else 1) * d
        return self.layers * (attention + feed_forward + 2 * norm) + (norm if self.norm == "pre" else 0)

    @property
    def parameters(self) -> int:
        """All weights, the shared table once: what ``model.count_params()`` gives."""
        places = self.length * self.width if self.positions == "learned" else 0
        return self.body + self.vocabulary * self.width + places


# 124,439,808, 354,823,168, 774,030,080 and 1,557,611,200 weights; table 2 of the paper prints 117, 345, 762 and
# 1542 millions. GPT-1 has 116,534,784.
PRESETS = {
    "gpt1": GptConfig(40_478, 768, 12, 12, 3072, 512, norm="post"),
    "gpt2_small": GptConfig(50_257, 768, 12, 12, 3072, 1024),
    "gpt2_medium": GptConfig(50_257, 1024, 24, 16, 4096, 1024),
    "gpt2_large": GptConfig(50_257, 1280, 36, 20, 5120, 1024),
    "gpt2_xl": GptConfig(50_257, 1600, 48, 25, 6400, 1024),
}


def gpt(config: GptConfig | str, name: str | None = None, seed: int | None = None) -> Gpt:
    """Build a GPT.

    Parameters
    ----------
    config : GptConfig or str
        Its sizes and options, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "gpt".
    seed : int, optional
        Where the initial weights and dropout draw from; None: from Keras' global seed.

    Returns
    -------
    Gpt
        Not compiled.

    Raises
    ------
    TypeError
        If `config` is no `GptConfig`.
    ValueError
        If there is no preset of this name.
    """
    chosen, preset = _presets.resolve(config, GptConfig, PRESETS)
    model = Gpt(chosen, seed, name=name or preset or "gpt")
    model.build()
    return model


@keras.saving.register_keras_serializable(package="course_lib")
class Gpt(keras.Model):
    """A GPT; make one with `gpt`.

    Called on tokens (batch, positions), it gives for each position the scores (logits) of the token that comes next. In
    training the wanted tokens are the same sequence, moved one place to the left.

    All matrices and tables start from a normal distribution of standard deviation 0.02. GPT-2 divides that of the
    matrices that feed a shortcut by the square root of their number, two a block, so that the sum of all of them does
    not grow with the depth.

    Parameters
    ----------
    config : GptConfig
        Its sizes and options.
    seed : int, optional
        Where the initial weights and dropout draw from.
    **kwargs
        As ``keras.Model`` takes them.
    """

    def __init__(self, config: GptConfig, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config, self.seed, policy = config, seed, self.dtype_policy

        def normal(spread: float, number: int) -> keras.initializers.Initializer:
            return keras.initializers.RandomNormal(stddev=spread, seed=_seeds.derive(seed, number))

        self.embedding = keras.layers.Embedding(
            config.vocabulary, config.width, embeddings_initializer=normal(SPREAD, 0), dtype=policy, name="embedding"
        )
        if config.positions == "learned":
            own = _seeds.derive(seed, 1)
            self.positions = PositionEmbedding(
                config.length, initializer=normal(SPREAD, 1), seed=own, dtype=policy, name="positions"
            )
        self.drop = keras.layers.Dropout(config.dropout, seed=_seeds.derive(seed, 2), dtype=policy, name="dropout")
        self.blocks = [
            TransformerBlock(
                config.width, config.heads, config.hidden, config.norm, causal=True, activation=config.activation,
                normalization=config.normalization, epsilon=config.epsilon, dropout=config.dropout,
                attention_dropout=config.attention_dropout, key_value_heads=config.key_value_heads,
                rotary=config.positions == "rotary", use_bias=config.use_bias, kernel_initializer=normal(SPREAD, 3),
                seed=_seeds.derive(seed, 100 + n), dtype=policy, name=f"block_{n}",
            )
            for n in range(1, config.layers + 1)
        ]  # fmt: skip
        if config.norm == "pre":
            for n, block in enumerate(self.blocks):
                for part, layer in enumerate((block.attention.to_output, block.feed_forward.down)):
                    number = 10_000 + 2 * n + part
                    layer.kernel_initializer = normal(SPREAD / (2 * config.layers) ** 0.5, number)
            self.norm = NORMALIZATIONS[config.normalization](config.epsilon, dtype=policy, name="norm")

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        shape = (None, None, self.config.width)
        self.embedding.build(shape[:2])
        layers: list[Any] = [self.drop, *self.blocks]
        if self.config.positions == "learned":
            layers.append(self.positions)
        if self.config.norm == "pre":
            layers.append(self.norm)
        for layer in layers:
            layer.build(shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Score every token as the next one.

        Parameters
        ----------
        inputs : int tensor, shape (batch, positions), or dict
            Tokens; or ``"tokens"`` and ``"mask"``, a boolean tensor (batch, positions), True where a token is real.
            Nothing looks at the others, and a token's place is the number of real ones before it: sequences may be
            filled up on the right or on the left.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        tensor, shape (batch, positions, vocabulary)
        """
        return self.logits(self.states(inputs, training=training))

    def states(self, inputs: Any, training: bool | None = None, return_weights: bool = False) -> Any:
        """Read a sequence: all but the last step of `call`, with the same arguments.

        Parameters
        ----------
        inputs, training
            As in `call`.
        return_weights : bool
            Give attention's weights as well.

        Returns
        -------
        states : tensor, shape (batch, positions, width)
        weights : list of tensors, each of shape (batch, heads, positions, positions)
            One for each block; only with `return_weights`.
        """
        inputs = inputs if isinstance(inputs, dict) else {"tokens": inputs}
        tokens, mask = ops.convert_to_tensor(inputs["tokens"]), inputs.get("mask")
        places = None
        if mask is not None:
            mask = ops.cast(mask, "bool")
            places = ops.maximum(ops.cumsum(ops.cast(mask, "int32"), axis=1) - 1, 0)
            mask = mask[:, None, None, :]
        x = self._embed(tokens, places, 0, training)
        weights = []
        for block in self.blocks:
            x = block(x, mask=mask, return_weights=return_weights, training=training)
            if return_weights:
                x, looked = x
                weights.append(looked["self"])
        x = self._finish(x)
        return (x, weights) if return_weights else x

    def logits(self, states: Any) -> Any:
        """Score every token by the product of its row of the table and a state: (batch, positions, vocabulary)."""
        return precise(ops.matmul(states, ops.transpose(ops.cast(self.embedding.embeddings, states.dtype))))

    def step(self, tokens: Any, caches: list[dict[str, Any]], position: Any, padding: Any = None) -> tuple[Any, Any]:
        """Read on, and score every token as the next one.

        Parameters
        ----------
        tokens : int tensor, shape (batch, positions)
            What is new: the whole prompt, or the token that was chosen last.
        caches : list of dict
            What `empty_caches` made, or the call before gave.
        position : int or scalar int tensor
            The place of the first of `tokens`.
        padding : int tensor, shape (batch,), optional
            How many places at the start of each sequence are filled up.

        Returns
        -------
        logits : tensor, shape (batch, positions, vocabulary)
        caches : list of dict
            With what `tokens` added.
        """
        states, caches = self.next_states(tokens, caches, position, padding)
        return self.logits(states), caches

    def next_states(
        self, tokens: Any, caches: list[dict[str, Any]], position: Any, padding: Any = None
    ) -> tuple[Any, Any]:
        """Read on, without the scores: all but the last step of `step`, with the same arguments."""
        tokens, places, mask = ops.convert_to_tensor(tokens), None, None
        if padding is not None:
            padding = ops.expand_dims(ops.cast(padding, "int32"), -1)  # (batch, 1)
            places = ops.maximum(position + ops.arange(tokens.shape[1], dtype="int32") - padding, 0)
            mask = ops.arange(caches[0]["self"][0].shape[2], dtype="int32") >= padding  # (batch, places of the cache)
            mask = mask[:, None, None, :]
        x = self._embed(tokens, places, position, False)
        filled = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, cache = block(x, mask=mask, cache=cache, position=position, training=False)
            filled.append(cache)
        return self._finish(x), filled

    def empty_caches(self, batch: int, length: int) -> list[dict[str, Any]]:
        """Make each block's room for the keys and values of `length` positions."""
        return [block.empty_cache(batch, length) for block in self.blocks]

    def _embed(self, tokens: Any, places: Any, start: Any, training: bool | None) -> Any:
        """Look tokens up and say where they stand: from `start` on, or at `places` (batch, positions)."""
        x = self.embedding(tokens)  # (batch, positions, width)
        if self.config.positions == "learned" and places is None:
            x = self.positions(x, start=start)
        elif self.config.positions == "learned":  # turned queries and keys need no places: only distances count
            x = x + ops.cast(ops.take(self.positions.table, places, axis=0), x.dtype)
        return self.drop(x, training=training)

    def _finish(self, x: Any) -> Any:
        return self.norm(x) if self.config.norm == "pre" else x

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"config": asdict(self.config), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Gpt:
        """Make the model that `get_config` describes."""
        return cls(**config | {"config": GptConfig(**config["config"])})
