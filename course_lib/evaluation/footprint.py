"""What a transformer costs by its shape: parameters, arithmetic, memory to train it and to serve it.

Nothing here builds a model: one of hundreds of billions of parameters costs no more to count than a small one.

>>> gpt3 = TransformerShape(layers=96, width=12288, heads=96, vocabulary=50257, positions=2048)
>>> round(transformer_parameters(gpt3) / 1e9, 1)
174.6
>>> training_memory(transformer_parameters(gpt3), "adam", "mixed").total / 2**40 > 2.5  # TiB, before any activation
True
"""

from __future__ import annotations

from dataclasses import dataclass

from course_lib import _check

__all__ = [
    "OPTIMIZER_SLOTS", "PRECISION_BYTES", "Memory", "TransformerShape", "kv_cache_bytes", "serving_memory",
    "training_flops", "training_memory", "transformer_activation_bytes", "transformer_flops", "transformer_parameters",
]  # fmt: skip

# Numbers that an optimizer keeps for each parameter.
OPTIMIZER_SLOTS = {"sgd": 0, "momentum": 1, "adagrad": 1, "rmsprop": 1, "adam": 2, "adamw": 2, "adadelta": 2}

# Bytes of one number.
PRECISION_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2, "int8": 1, "int4": 0.5}


@dataclass(frozen=True)
class TransformerShape:
    """The numbers that fix a transformer's parameters.

    Attributes
    ----------
    layers, width, heads, vocabulary : int
        Blocks of the encoder, or of the decoder where there is no other; numbers a token; attention heads; tokens.
    feed_forward : int or None
        Width of the feed-forward layer; None: 4 times the width.
    head_width : int or None
        Numbers a head; None: width / heads.
    key_value_heads : int or None
        Heads of keys and values, fewer where query heads share them (arXiv:1911.02150, arXiv:2305.13245).
    positions, token_types : int
        Rows of learned tables that are added to the token's.
    gated : bool
        Whether the feed-forward layer has a third matrix that gates it (arXiv:2002.05202).
    bias : bool
        Whether the linear layers have one.
    norm_vectors : int
        Vectors of a normalisation: 2 (scale and shift) or 1 (scale only).
    norms : int
        Normalisations a block: 2, or 1 where attention and feed-forward run side by side.
    outer_norms : int
        Normalisations outside the blocks, for each stack.
    tied : bool
        Whether the output uses the table of the input tokens.
    pooler : bool
        Whether a linear layer of width times width stands on top, as in BERT.
    decoder_layers : int
        Blocks of a second stack that also attend to the first.
    relative_buckets : int
        Rows of a table of distances with one column a head, in each stack, as in T5 (arXiv:1910.10683).
    relative_projection : bool
        Whether each block projects encodings of distances by a matrix of its own (arXiv:1901.02860).
    experts, active_experts : int
        Feed-forward layers a block, and how many of them a token uses; more than one come with a router.
    """

    layers: int
    width: int
    heads: int
    vocabulary: int
    feed_forward: int | None = None
    head_width: int | None = None
    key_value_heads: int | None = None
    positions: int = 0
    token_types: int = 0
    gated: bool = False
    bias: bool = True
    norm_vectors: int = 2
    norms: int = 2
    outer_norms: int = 1
    tied: bool = True
    pooler: bool = False
    decoder_layers: int = 0
    relative_buckets: int = 0
    relative_projection: bool = False
    experts: int = 1
    active_experts: int = 1

    def __post_init__(self) -> None:
        """Check the numbers against each other.

        Raises
        ------
        ValueError
            If one is too small, the width is no multiple of the heads, or more experts are active than there are.
        """
        for name in ("layers", "width", "heads", "vocabulary", "experts", "active_experts"):
            _check.count(name, getattr(self, name))
        for name in ("positions", "token_types", "decoder_layers", "relative_buckets", "outer_norms"):
            _check.count(name, getattr(self, name), least=0)
        for name in ("feed_forward", "head_width", "key_value_heads"):
            if getattr(self, name) is not None:
                _check.count(name, getattr(self, name))
        if self.head_width is None and self.width % self.heads:
            raise ValueError(
                f"width is {self.width} and heads is {self.heads}; width must be a multiple, or give head_width"
            )
        if self.heads % self.kv_heads:
            raise ValueError(f"key_value_heads is {self.kv_heads}; it must divide the {self.heads} heads")
        if self.active_experts > self.experts:
            raise ValueError(f"active_experts is {self.active_experts}; it must be at most experts, {self.experts}")

    @property
    def inner(self) -> int:
        """Width of the feed-forward layer."""
        return 4 * self.width if self.feed_forward is None else self.feed_forward

    @property
    def per_head(self) -> int:
        """Numbers a head."""
        return self.width // self.heads if self.head_width is None else self.head_width

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads if self.key_value_heads is None else self.key_value_heads


def _attention_weights(shape: TransformerShape) -> int:
    """Count the weights of queries, keys, values and output of one attention, without biases."""
    return shape.width * shape.per_head * (2 * shape.heads + 2 * shape.kv_heads)


def _feed_forward_weights(shape: TransformerShape) -> int:
    """Count the weights of one feed-forward layer, without biases."""
    return (3 if shape.gated else 2) * shape.width * shape.inner


def transformer_parameters(shape: TransformerShape, active: bool = False) -> int:
    """Count the parameters of a transformer by formula.

    Parameters
    ----------
    shape : TransformerShape
        Its numbers.
    active : bool
        Count only the experts that one token uses.

    Returns
    -------
    int

    Examples
    --------
    GPT-2, 124 million; BERT-base with its pooler, 110 million; both to the unit.

    >>> transformer_parameters(TransformerShape(12, 768, 12, 50257, positions=1024))
    124439808
    >>> transformer_parameters(TransformerShape(12, 768, 12, 30522, positions=512, token_types=2, pooler=True))
    109482240
    """
    d, experts = shape.width, shape.active_experts if active else shape.experts
    attention = _attention_weights(shape)
    feed_forward = _feed_forward_weights(shape)
    if shape.bias:
        attention += shape.per_head * (shape.heads + 2 * shape.kv_heads) + d
        feed_forward += (2 if shape.gated else 1) * shape.inner + d
    norm = shape.norm_vectors * d
    router = d * shape.experts if shape.experts > 1 else 0
    relative = d * shape.heads * shape.per_head if shape.relative_projection else 0
    block = attention + relative + experts * feed_forward + router + shape.norms * norm
    stacks = 2 if shape.decoder_layers else 1
    total = shape.layers * block + shape.decoder_layers * (block + attention + norm)
    total += stacks * (shape.outer_norms * norm + shape.relative_buckets * shape.heads)
    total += (shape.vocabulary * (1 if shape.tied else 2) + shape.positions + shape.token_types) * d
    return total + (d * d + d if shape.pooler else 0)


def transformer_flops(
    shape: TransformerShape,
    length: int,
    *,
    batch: int = 1,
    multiply_add: int = 2,
    causal: bool = False,
    output: bool = False,
) -> int:
    """Count the forward pass's arithmetic in matrix products, for sequences of one length.

    Normalisations, softmax, activations and biases are left out: about one part in a hundred.

    Parameters
    ----------
    shape : TransformerShape
        Its numbers; with two stacks, both read sequences of this length.
    length : int
        Tokens a sequence.
    batch : int
        Sequences.
    multiply_add : int
        What one multiply-add counts, 1 or 2.
    causal : bool
        Count only the pairs of a token with itself and those before it, as a kernel that skips the others computes.
    output : bool
        Add the product with the vocabulary's table at every token.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> bert = TransformerShape(12, 768, 12, 30522, positions=512, token_types=2)
    >>> round(transformer_flops(bert, 128) / 1e9, 2)  # 10^9, without pooler
    22.35
    """
    _check.count("length", length)
    _check.count("batch", batch)
    if multiply_add not in (1, 2):
        raise ValueError(f"multiply_add is {multiply_add!r}; it must be 1 or 2")
    every = length * length
    pairs = length * (length + 1) // 2 if causal else every
    router = shape.width * shape.experts if shape.experts > 1 else 0
    weights = _attention_weights(shape) + shape.active_experts * _feed_forward_weights(shape) + router
    mixing = 2 * shape.heads * shape.per_head  # for each pair: a score, and a share of the value
    total = (shape.layers + shape.decoder_layers) * (length * weights + pairs * mixing)
    total += shape.decoder_layers * (length * _attention_weights(shape) + every * mixing)
    if output:
        total += length * shape.width * shape.vocabulary
    return multiply_add * batch * total


def training_flops(parameters: float, tokens: float) -> float:
    """Estimate the arithmetic of a training run as 6 N D.

    Each parameter takes part in one multiply-add (2 FLOPs) a token forward and two backward. Attention's products of
    activations with each other are left out, so the estimate is low where sequences are long against the width; and a
    parameter that is only looked up, as in an input embedding, is counted too much (J. Kaplan et al., 2020,
    arXiv:2001.08361, section 2.1).

    Parameters
    ----------
    parameters : float
        N, those that a token uses.
    tokens : float
        D, tokens read in training, repetitions included.

    Returns
    -------
    float

    Examples
    --------
    >>> f"{training_flops(175e9, 300e9):.2e}"  # GPT-3; the paper gives 3.14e23
    '3.15e+23'
    """
    return 6.0 * _check.positive("parameters", parameters) * _check.positive("tokens", tokens)


@dataclass(frozen=True)
class Memory:
    """Bytes, by what they hold.

    Attributes
    ----------
    weights, gradients, optimizer, activations, cache : float
        Weights in the type that computes; their gradients; the optimizer's numbers and, with mixed precision, its
        copy of the weights; what the forward pass keeps for the backward pass; keys and values of past tokens.
    """

    weights: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    cache: float = 0.0

    @property
    def total(self) -> float:
        """All of them, in bytes."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.cache


def training_memory(
    parameters: float, optimizer: str = "adam", precision: str = "float32", activations: float = 0.0
) -> Memory:
    """Count the bytes that training holds.

    Parameters
    ----------
    parameters : float
        How many are trained.
    optimizer : str
        A name in `OPTIMIZER_SLOTS`.
    precision : str
        ``"float32"``: everything in 4 bytes. ``"mixed"``: weights and gradients in 2 bytes, the optimizer's slots and
        a master copy of the weights in 4, which makes 16 bytes a parameter with Adam (S. Rajbhandari et al., 2020,
        arXiv:1910.02054, section 3.1). ``"bfloat16"``: everything in 2 bytes, no master copy.
    activations : float
        Bytes of activations, from `transformer_activation_bytes` or `activation_bytes`.

    Returns
    -------
    Memory

    Raises
    ------
    ValueError
        If a name is not known or a number is negative.

    Examples
    --------
    >>> training_memory(1e9, "adam", "mixed").total / 1e9
    16.0
    >>> training_memory(1e9, "sgd").total / 1e9
    8.0
    """
    n = _check.positive("parameters", parameters)
    slots = OPTIMIZER_SLOTS[_check.choice("optimizer", optimizer, tuple(OPTIMIZER_SLOTS))]
    _check.choice("precision", precision, ("float32", "mixed", "bfloat16"))
    kept = _check.non_negative("activations", activations)
    if precision == "mixed":
        return Memory(2 * n, 2 * n, 4 * (slots + 1) * n, kept)
    size = 4 if precision == "float32" else 2
    return Memory(size * n, size * n, size * slots * n, kept)


def serving_memory(parameters: float, precision: str = "float16", cache: float = 0.0) -> Memory:
    """Count the bytes that a model holds while it answers.

    Parameters
    ----------
    parameters : float
        All of them, those of sleeping experts too.
    precision : str
        A name in `PRECISION_BYTES`.
    cache : float
        Bytes of past keys and values, from `kv_cache_bytes`.

    Returns
    -------
    Memory

    Raises
    ------
    ValueError
        If the name is not known or a number is negative.

    Examples
    --------
    >>> serving_memory(7e9, "int4").total / 1e9
    3.5
    """
    n = _check.positive("parameters", parameters)
    size = PRECISION_BYTES[_check.choice("precision", precision, tuple(PRECISION_BYTES))]
    return Memory(weights=size * n, cache=_check.non_negative("cache", cache))


def kv_cache_bytes(shape: TransformerShape, length: int, batch: int = 1, precision: str = "float16") -> float:
    """Count the bytes of the keys and values that generation keeps: two vectors a token, key-value head and layer.

    Parameters
    ----------
    shape : TransformerShape
        A decoder alone.
    length, batch : int
        Tokens so far, and sequences at a time.
    precision : str
        A name in `PRECISION_BYTES`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If a number is out of range or the name is not known.

    Examples
    --------
    >>> gpt3 = TransformerShape(layers=96, width=12288, heads=96, vocabulary=50257, positions=2048)
    >>> kv_cache_bytes(gpt3, length=2048) / 2**30  # GiB for one sequence
    9.0
    """
    _check.count("length", length)
    _check.count("batch", batch)
    size = PRECISION_BYTES[_check.choice("precision", precision, tuple(PRECISION_BYTES))]
    return 2 * shape.layers * shape.kv_heads * shape.per_head * length * batch * size


def transformer_activation_bytes(
    shape: TransformerShape, length: int, batch: int = 1, recompute: str = "none"
) -> float:
    r"""Count the bytes of activations that training keeps in 16-bit numbers, block by block.

    With *s* tokens, *b* sequences, width *h* and *a* heads, a block keeps ``s b h (34 + 5 a s / h)`` bytes: two bytes a
    number, one for each place of a dropout mask. Without the attention's scores, which selective recomputation throws
    away, it is ``34 s b h``; with full recomputation only the block's input stays, ``2 s b h`` (V. Korthikanti et al.,
    2022, arXiv:2205.05198, section 4). Embeddings and the output layer are left out. The formula is for a feed-forward
    layer of four times the width and as many key-value heads as heads.

    Parameters
    ----------
    shape : TransformerShape
        One stack.
    length, batch : int
        *s* and *b*.
    recompute : str
        ``"none"``, ``"selective"`` or ``"full"``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shape is not of that form, or an argument is out of range.

    Examples
    --------
    >>> gpt3 = TransformerShape(layers=96, width=12288, heads=96, vocabulary=50257, positions=2048)
    >>> [round(transformer_activation_bytes(gpt3, 2048, 1, how) / 2**30) for how in ("none", "selective", "full")]
    [256, 76, 4]
    """
    _check.count("length", length)
    _check.count("batch", batch)
    _check.choice("recompute", recompute, ("none", "selective", "full"))
    plain = shape.inner == 4 * shape.width and shape.kv_heads == shape.heads and not shape.gated
    if not plain or shape.decoder_layers or shape.experts > 1:
        raise ValueError(
            "shape is not of the form that the formula holds for: one stack, feed_forward 4 x width, no gate, "
            "as many key_value_heads as heads, one expert"
        )
    s, h = length, shape.width
    factor = {"none": 34 + 5 * shape.heads * s / h, "selective": 34.0, "full": 2.0}[recompute]
    return shape.layers * s * batch * h * factor
