"""The first Transformer: an encoder that reads one sequence, and a decoder that writes another, token by token.

>>> sizes = {"width": 8, "heads": 2, "hidden": 16, "encoder_layers": 1, "decoder_layers": 1}
>>> config = TransformerConfig(vocabulary=20, length=12, **sizes)
>>> model = transformer(config, seed=0)
>>> model.count_params() == config.parameters
True
>>> source = np.array([[5, 6, 7, 0, 0]])  # 0 fills up short sequences
>>> tuple(model({"source": source, "target": np.array([[1, 5, 6]])}).shape)  # scores: (batch, positions, vocabulary)
(1, 3, 20)
>>> greedy_decode(model, source, start=1, end=2, length=4).shape
(1, 4)
>>> tokens, scores = beam_decode(model, source, start=1, end=2, length=4, beams=3)
>>> tokens.shape, scores.shape  # (batch, beams, length), the best first
((1, 3, 4), (1, 3))

References
----------
A. Vaswani et al., Attention Is All You Need, 2017, https://arxiv.org/abs/1706.03762
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers._precision import precise
from course_lib.layers.feed_forward import ACTIVATIONS
from course_lib.layers.normalization import LayerNorm
from course_lib.layers.positions import PositionEmbedding
from course_lib.layers.transformer_block import TransformerBlock
from course_lib.models import _presets

__all__ = ["PRESETS", "Transformer", "TransformerConfig", "beam_decode", "greedy_decode", "transformer"]


@dataclass(frozen=True)
class TransformerConfig:
    """What fixes an encoder-decoder Transformer.

    Attributes
    ----------
    vocabulary : int
        Tokens. Both sequences share them, and one table serves as the encoder's embedding, the decoder's, and,
        transposed, the output layer (section 3.4 of the paper).
    width, heads, hidden : int
        Numbers a position, heads of attention, and numbers inside the feed-forward layers.
    encoder_layers, decoder_layers : int
        Blocks of each half.
    norm : {"post", "pre"}
        Normalise after each shortcut, as the paper does, or before each part, which trains deep stacks without warm-up.
    final_norm : bool, optional
        One more normalisation at the end of each half. None: with ``norm="pre"``, which needs it.
        ``torch.nn.Transformer`` has it in both cases, the paper has not.
    activation : {"relu", "gelu", "gelu_tanh", "swiglu"}
        Of the feed-forward layers.
    use_bias : bool
        Biases in attention's projections and the feed-forward layers. The paper writes those of attention without; the
        program of its authors and PyTorch differ on that, too.
    positions : {"sinusoidal", "learned"}
        How places are told; learned tables are one for each half.
    length : int
        Positions of the longest sequence.
    dropout : float
        On the sum of embedding and position, and on each part's output before its shortcut.
    attention_dropout : float
        On attention's weights; the paper has none.
    epsilon : float
        Of the normalisations.
    padding : int
        The token that fills up short sources; nothing looks at it.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    vocabulary: int = 37_000
    width: int = 512
    heads: int = 8
    hidden: int = 2048
    encoder_layers: int = 6
    decoder_layers: int = 6
    norm: str = "post"
    final_norm: bool | None = None
    activation: str = "relu"
    use_bias: bool = True
    positions: str = "sinusoidal"
    length: int = 512
    dropout: float = 0.1
    attention_dropout: float = 0.0
    epsilon: float = 1e-5
    padding: int = 0

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("vocabulary", "width", "heads", "hidden", "encoder_layers", "decoder_layers", "length"):
            _check.count(name, getattr(self, name))
        if self.width % self.heads:
            raise ValueError(f"heads is {self.heads}; it must divide width, {self.width}")
        _check.choice("norm", self.norm, ("pre", "post"))
        _check.choice("activation", self.activation, ACTIVATIONS)
        _check.choice("positions", self.positions, ("sinusoidal", "learned"))
        if self.positions == "sinusoidal" and self.width % 2:
            raise ValueError(f"width is {self.width}; it must be even where positions is 'sinusoidal'")
        _check.flag("use_bias", self.use_bias)
        _check.flag("final_norm", self.has_final_norm)
        _check.fraction("dropout", self.dropout)
        _check.fraction("attention_dropout", self.attention_dropout)
        _check.positive("epsilon", self.epsilon)
        if _check.count("padding", self.padding, least=0) >= self.vocabulary:
            raise ValueError(f"padding is {self.padding}; it must be a token, below vocabulary, {self.vocabulary}")

    @property
    def has_final_norm(self) -> bool:
        """Whether each half ends with a normalisation of its own."""
        return self.norm == "pre" if self.final_norm is None else self.final_norm

    @property
    def body(self) -> int:
        """Weights of the blocks and normalisations: all but the tables of tokens and positions."""
        d, bias = self.width, int(self.use_bias)
        attention = 4 * (d + bias) * d
        feed_forward = (2 if self.activation == "swiglu" else 1) * (d + bias) * self.hidden + (self.hidden + bias) * d
        norm = 2 * d
        encoder = self.encoder_layers * (attention + feed_forward + 2 * norm)
        decoder = self.decoder_layers * (2 * attention + feed_forward + 3 * norm)
        return encoder + decoder + (2 * norm if self.has_final_norm else 0)

    @property
    def parameters(self) -> int:
        """All weights, the shared table once: what ``model.count_params()`` gives."""
        tables = 2 * self.length * self.width if self.positions == "learned" else 0
        return self.body + self.vocabulary * self.width + tables


# With 37,000 tokens, "about" as many as the paper had for English to German: 63,082,496 and 214,245,376 weights, of
# which 44,138,496 and 176,357,376 in the body. Table 3 of the paper prints 65 and 213 millions and does not say what it
# counts; no one size of the vocabulary gives both.
PRESETS = {
    "transformer_base": TransformerConfig(),
    "transformer_big": TransformerConfig(width=1024, heads=16, hidden=4096, dropout=0.3),
}


def transformer(config: TransformerConfig | str, name: str | None = None, seed: int | None = None) -> Transformer:
    """Build an encoder-decoder Transformer.

    Parameters
    ----------
    config : TransformerConfig or str
        Its sizes and options, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "transformer".
    seed : int, optional
        Where the initial weights and dropout draw from; None: from Keras' global seed.

    Returns
    -------
    Transformer
        Not compiled.

    Raises
    ------
    TypeError
        If `config` is no `TransformerConfig`.
    ValueError
        If there is no preset of this name.
    """
    chosen, preset = _presets.resolve(config, TransformerConfig, PRESETS)
    model = Transformer(chosen, seed, name=name or preset or "transformer")
    model.build()
    return model


@keras.saving.register_keras_serializable(package="course_lib")
class Transformer(keras.Model):
    """An encoder-decoder Transformer; make one with `transformer`.

    Called on ``{"source": tokens, "target": tokens}``, it gives for each position of the target the scores (logits) of
    the token that comes next. In training the target is the wanted sequence moved one place to the right, behind a
    start token.

    Parameters
    ----------
    config : TransformerConfig
        Its sizes and options.
    seed : int, optional
        Where the initial weights and dropout draw from.
    **kwargs
        As ``keras.Model`` takes them.
    """

    def __init__(self, config: TransformerConfig, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config, self.seed, policy = config, seed, self.dtype_policy
        start = keras.initializers.RandomNormal(stddev=config.width**-0.5, seed=_seeds.derive(seed, 0))
        self.embedding = keras.layers.Embedding(
            config.vocabulary, config.width, embeddings_initializer=start, dtype=policy, name="embedding"
        )
        self.drop = keras.layers.Dropout(config.dropout, seed=_seeds.derive(seed, 1), dtype=policy, name="dropout")

        def places(name: str, number: int) -> PositionEmbedding:
            own = _seeds.derive(seed, number)
            return PositionEmbedding(config.length, config.positions, seed=own, dtype=policy, name=name)

        def block(name: str, number: int, **options: Any) -> TransformerBlock:
            return TransformerBlock(
                config.width, config.heads, config.hidden, config.norm, activation=config.activation,
                epsilon=config.epsilon, dropout=config.dropout, attention_dropout=config.attention_dropout,
                use_bias=config.use_bias, seed=_seeds.derive(seed, number), dtype=policy, name=name, **options,
            )  # fmt: skip

        self.encoder_positions, self.decoder_positions = places("encoder_positions", 2), places("decoder_positions", 3)
        self.encoder = [block(f"encoder_{n}", 100 + n) for n in range(1, config.encoder_layers + 1)]
        self.decoder = [
            block(f"decoder_{n}", 10_000 + n, cross=True, causal=True) for n in range(1, config.decoder_layers + 1)
        ]
        if config.has_final_norm:
            self.encoder_norm = LayerNorm(config.epsilon, dtype=policy, name="encoder_norm")
            self.decoder_norm = LayerNorm(config.epsilon, dtype=policy, name="decoder_norm")

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        shape = (None, None, self.config.width)
        self.embedding.build(shape[:2])
        single: list[Any] = [self.encoder_positions, self.decoder_positions, self.drop, *self.encoder]
        for layer in single:
            layer.build(shape)
        for layer in self.decoder:
            layer.build(shape, shape)
        if self.config.has_final_norm:
            self.encoder_norm.build(shape)
            self.decoder_norm.build(shape)
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        """Score every token as the next one.

        Parameters
        ----------
        inputs : dict
            ``"source"``: int tensor (batch, source positions), filled up with `config.padding`; ``"target"``: int
            tensor (batch, target positions), the start token first.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        tensor, shape (batch, target positions, vocabulary)
        """
        context, context_mask = self.encode(inputs["source"], training=training)
        return self.decode(inputs["target"], context, context_mask, training=training)

    def encode(self, source: Any, training: bool | None = None) -> tuple[Any, Any]:
        """Read a sequence.

        Parameters
        ----------
        source : int tensor, shape (batch, positions)
            Tokens, filled up with `config.padding`.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        context : tensor, shape (batch, positions, width)
            What it found at each position.
        mask : boolean tensor, shape (batch, 1, 1, positions)
            Where the source is real.
        """
        source = ops.convert_to_tensor(source)
        mask = ops.not_equal(source, self.config.padding)[:, None, None, :]
        x = self._embed(source, self.encoder_positions, 0, training)
        for block in self.encoder:
            x = block(x, mask=mask, training=training)
        return (self.encoder_norm(x) if self.config.has_final_norm else x), mask

    def decode(
        self,
        target: Any,
        context: Any = None,
        context_mask: Any = None,
        caches: list[dict[str, Any]] | None = None,
        position: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Score the tokens after each position of the target.

        Parameters
        ----------
        target : int tensor, shape (batch, positions)
            What is written so far; with `caches`, only what is new.
        context, context_mask : tensors
            What `encode` gave. With `caches`, which hold the context's keys and values, only the mask is needed.
        caches : list of dict, optional
            What `empty_caches` made, or the call before gave.
        position : int or scalar int tensor, optional
            The place of the first of `target`; goes with `caches`.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        logits : tensor, shape (batch, positions, vocabulary)
        caches : list of dict
            Only if some were given.
        """
        start = 0 if position is None else position
        x = self._embed(ops.convert_to_tensor(target), self.decoder_positions, start, training)
        filled = []
        for number, block in enumerate(self.decoder):
            if caches is None:
                x = block(x, context=context, context_mask=context_mask, training=training)
            else:
                x, cache = block(x, context_mask=context_mask, cache=caches[number], position=position)
                filled.append(cache)
        if self.config.has_final_norm:
            x = self.decoder_norm(x)
        logits = precise(ops.matmul(x, ops.transpose(ops.cast(self.embedding.embeddings, x.dtype))))
        return logits if caches is None else (logits, filled)

    def empty_caches(self, context: Any, length: int) -> list[dict[str, Any]]:
        """Make each decoder block's room for `length` positions, with the keys and values of the context in it."""
        return [block.empty_cache(context.shape[0], length, context) for block in self.decoder]

    def _embed(self, tokens: Any, positions: PositionEmbedding, start: Any, training: bool | None) -> Any:
        """Look tokens up, enlarge them to the size of the positions' numbers, and add those."""
        x = self.embedding(tokens) * self.config.width**0.5
        return self.drop(positions(x, start=start), training=training)

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"config": asdict(self.config), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Transformer:
        """Make the model that `get_config` describes."""
        return cls(**config | {"config": TransformerConfig(**config["config"])})


def greedy_decode(
    model: Transformer, source: Any, start: int, end: int, length: int, use_cache: bool = True
) -> np.ndarray:
    """Write the target, at each place the token with the highest score.

    With the cache each step computes one position and reads the keys and values of the earlier ones; without, it
    computes all positions again. Both give the same tokens.

    Parameters
    ----------
    model : Transformer
        The model.
    source : int array, shape (batch, positions)
        What it reads, filled up with ``model.config.padding``.
    start, end : int
        The token before the first, and the one that says that the sequence is complete.
    length : int
        Tokens to write at most, `end` included.
    use_cache : bool
        Keep keys and values between steps.

    Returns
    -------
    numpy.ndarray, shape (batch, length), int
        The tokens, without `start`; behind `end`, ``model.config.padding``.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, or `length` is above ``model.config.length``.
    """
    config = model.config
    _check_decoding(config, start, end, length)
    context, mask = model.encode(source, training=False)
    context = ops.stop_gradient(context)
    tokens = np.full((context.shape[0], length + 1), config.padding, "int32")
    tokens[:, 0], done = start, np.zeros(len(tokens), bool)
    caches = model.empty_caches(context, length) if use_cache else None
    for place in range(length):
        if use_cache:
            position = ops.convert_to_tensor(place, "int32")
            logits, caches = model.decode(tokens[:, place : place + 1], None, mask, caches, position, training=False)
            caches = keras.tree.map_structure(ops.stop_gradient, caches)  # PyTorch would keep all steps for a gradient
        else:
            logits = model.decode(tokens[:, : place + 1], context, mask, training=False)
        best = ops.convert_to_numpy(ops.argmax(logits[:, -1], axis=-1))
        tokens[:, place + 1] = np.where(done, config.padding, best)
        done |= best == end
        if done.all():
            break
    return tokens[:, 1:]


def beam_decode(
    model: Transformer,
    source: Any,
    start: int,
    end: int,
    length: int,
    beams: int = 4,
    length_penalty: float = 0.0,
    use_cache: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Look for the most probable target, with the `beams` best ones so far followed up at every step.

    Each step scores every target so far followed by every token, and keeps the best. A target that has reached `end`
    keeps its place as long as no others push it out. With one beam this is `greedy_decode`; with as many beams as there
    are targets it finds the best one.

    Parameters
    ----------
    model, source, start, end, length, use_cache
        As `greedy_decode` takes them.
    beams : int
        Targets to keep.
    length_penalty : float
        A target's probability falls with every token, so the search favours short ones. Its score is the logarithm of
        its probability divided by :math:`((5 + n) / 6)^\alpha`, for n tokens with `end`: 0 compares probabilities, and
        the larger this :math:`\alpha`, the longer what wins.

    Returns
    -------
    tokens : numpy.ndarray, shape (batch, beams, length), int
        The best first, without `start`; behind `end`, ``model.config.padding``.
    scores : numpy.ndarray, shape (batch, beams), float64
        Minus infinity, and nothing but padding, where there are fewer targets than beams.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, or `length` is above ``model.config.length``.

    References
    ----------
    Y. Wu et al., 2016, section 7, https://arxiv.org/abs/1609.08144
    """
    config = model.config
    _check_decoding(config, start, end, length)
    _check.count("beams", beams)
    _check.non_negative("length_penalty", length_penalty)

    context, mask = (ops.repeat(tensor, beams, axis=0) for tensor in model.encode(source, training=False))
    context = ops.stop_gradient(context)
    batch = context.shape[0] // beams
    rows = np.arange(batch)[:, None]
    tokens = np.full((batch, beams, length + 1), config.padding, "int32")
    tokens[:, :, 0] = start
    logarithms = np.full((batch, beams), -np.inf)  # of the probabilities
    logarithms[:, 0] = 0.0  # at first all beams are the same: one of them stands for all
    done, lengths = np.zeros((batch, beams), bool), np.zeros((batch, beams), int)
    caches = model.empty_caches(context, length) if use_cache else None
    for place in range(length):
        flat = tokens.reshape(batch * beams, length + 1)
        if use_cache:
            position = ops.convert_to_tensor(place, "int32")
            logits, caches = model.decode(flat[:, place : place + 1], None, mask, caches, position, training=False)
        else:
            logits = model.decode(flat[:, : place + 1], context, mask, training=False)
        gains = ops.convert_to_numpy(ops.log_softmax(logits[:, -1], axis=-1)).astype("float64")
        gains = gains.reshape(batch, beams, -1)
        stays = np.full(gains.shape[-1], -np.inf)  # what is complete has one continuation, itself
        stays[config.padding] = 0.0
        candidates = logarithms[..., None] + np.where(done[..., None], stays, gains)  # (batch, beams, vocabulary)
        longer = lengths + ~done
        scores = (candidates / _penalty(longer, length_penalty)[..., None]).reshape(batch, -1)
        best = np.argpartition(-scores, beams - 1, axis=1)[:, :beams]  # in any order; the next line sorts them
        best = np.take_along_axis(best, np.argsort(-scores[rows, best], axis=1, kind="stable"), axis=1)
        parents, chosen = np.divmod(best, gains.shape[-1])
        logarithms = candidates.reshape(batch, -1)[rows, best]
        tokens, lengths, done = tokens[rows, parents], longer[rows, parents], done[rows, parents]
        tokens[:, :, place + 1] = chosen
        done |= chosen == end
        if done.all():
            break
        if caches is not None:
            # Each beam takes over what its parent remembers. All beams of a row have the same keys of the source.
            order = ops.convert_to_tensor((rows * beams + parents).reshape(-1), "int32")
            caches = [
                cache | {"self": tuple(ops.stop_gradient(ops.take(half, order, axis=0)) for half in cache["self"])}
                for cache in caches
            ]
    tokens[np.isinf(logarithms)] = config.padding
    return tokens[:, :, 1:], logarithms / _penalty(np.maximum(lengths, 1), length_penalty)


def _penalty(lengths: np.ndarray, strength: float) -> np.ndarray:
    return ((5.0 + lengths) / 6.0) ** strength


def _check_decoding(config: TransformerConfig, start: int, end: int, length: int) -> None:
    if _check.count("length", length) > config.length:
        raise ValueError(f"length is {length}; the model has {config.length} positions")
    for name, token in (("start", start), ("end", end)):
        if _check.count(name, token, least=0) >= config.vocabulary:
            raise ValueError(f"{name} is {token}; it must be a token, below {config.vocabulary}")
