"""Attention: every position asks all others, and takes a weighted mean of what they hold.

The arrays of `attention` have the shape (batch, heads, positions, width). A mask is a boolean array that broadcasts to
(batch, heads, queries, keys); True says that the query may look at the key.

>>> import numpy as np
>>> keys = np.eye(2, dtype="float32")[None, None]  # two keys, at right angles
>>> output, weights = attention(20 * keys[:, :, :1], keys, np.array([[[[1.0], [5.0]]]], "float32"))
>>> float(np.asarray(output).round(3).item())  # the query points along the first key, so it gets the first value
1.0
>>> np.asarray(causal_mask(3)).astype(int)
array([[1, 0, 0],
       [1, 1, 0],
       [1, 1, 1]])

References
----------
A. Vaswani et al., Attention Is All You Need, 2017, https://arxiv.org/abs/1706.03762
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers._precision import precise
from course_lib.layers.positions import rotate

__all__ = ["MultiHeadAttention", "attention", "attention_weights", "causal_mask", "padding_mask"]

# What masked scores are lowered by. Exp of it is 0 beside any other score, and unlike minus infinity it makes no NaN.
FAR_BELOW = -1e30
# On PyTorch one routine that keeps no weights is faster than the products and the softmax one by one; in a graph of
# TensorFlow or JAX the compiler joins them, and Keras' `dot_product_attention` is a third slower there.
FUSED = keras.backend.backend() == "torch"


def attention(query: Any, key: Any, value: Any, mask: Any = None, bias: Any = None) -> tuple[Any, Any]:
    """Take for each query the mean of the values, weighted by how well their keys fit it.

    The weights are ``softmax(query @ key.T / sqrt(width) + bias)``. The square root keeps the scores' variance at 1
    where queries and keys are independent with variance 1; larger scores would make softmax choose one key and pass no
    gradient.

    Parameters
    ----------
    query : array, shape (batch, heads, queries, width)
        What each position looks for.
    key : array, shape (batch, heads, keys, width)
        What each position offers to be found by.
    value : array, shape (batch, heads, keys, value width)
        What it gives.
    mask : boolean array, broadcasts to (batch, heads, queries, keys), optional
        True where the query may look. A query that may look nowhere gets zeros.
    bias : array, broadcasts to (batch, heads, queries, keys), optional
        Finite numbers to add to the scores, such as `course_lib.layers.positions.RelativePositionBias` gives.

    Returns
    -------
    output : tensor, shape (batch, heads, queries, value width)
    weights : tensor, shape (batch, heads, queries, keys)
        Each row sums to 1, or is 0 where the query may look nowhere.

    Raises
    ------
    ValueError
        If queries and keys differ in width, or keys and values in number.

    References
    ----------
    A. Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.2.1
    """
    query, key, value = (ops.convert_to_tensor(array) for array in (query, key, value))
    if len(key.shape) < 2 or key.shape[:-1] != value.shape[:-1]:
        raise ValueError(
            f"key has shape {tuple(key.shape)} and value {tuple(value.shape)}; all but the last must be equal"
        )
    weights = attention_weights(query, key, mask, bias)
    return ops.matmul(weights, value), weights


def attention_weights(query: Any, key: Any, mask: Any = None, bias: Any = None) -> Any:
    """Say how much each query looks at each key; the first half of `attention`, with the same arguments."""
    query, key = ops.convert_to_tensor(query), ops.convert_to_tensor(key)
    width = query.shape[-1]
    if width != key.shape[-1]:
        raise ValueError(f"query has width {width} and key {key.shape[-1]}; they must be equal")
    # The query is scaled, not the scores: fewer numbers, and the product does not overflow in float16.
    scores = precise(ops.matmul(query * width**-0.5, ops.swapaxes(key, -1, -2)))  # (batch, heads, queries, keys)
    if bias is not None:
        scores = scores + ops.cast(bias, scores.dtype)
    if mask is not None:
        mask = ops.cast(mask, "bool")
        scores = scores + ops.where(mask, 0.0, ops.cast(FAR_BELOW, scores.dtype))
    # One key gets weight 1; Keras' softmax would warn about it at the first step of every generation.
    weights = ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores, axis=-1)
    if mask is not None:
        may_look = ops.any(mask, axis=-1, keepdims=True)  # (batch, heads, queries, 1)
        weights = weights * ops.cast(may_look, weights.dtype)
    return ops.cast(weights, query.dtype)


def _fused(query: Any, key: Any, value: Any, mask: Any) -> Any:
    """Give the output of `attention` by Keras' own routine."""

    def turn(array: Any) -> Any:  # Keras has heads behind positions
        return ops.transpose(array, (0, 2, 1, 3))

    if mask is None:
        return turn(ops.dot_product_attention(turn(query), turn(key), turn(value)))
    mask = ops.cast(mask, "bool")
    mask = ops.reshape(mask, (1,) * (4 - len(mask.shape)) + tuple(ops.shape(mask)))
    output = turn(ops.dot_product_attention(turn(query), turn(key), turn(value), mask=mask))
    return output * ops.cast(ops.any(mask, axis=-1, keepdims=True), output.dtype)  # 0 for who may look nowhere


def causal_mask(queries: Any, keys: Any = None, start: Any = None) -> Any:
    """Let each position look at itself and at those before it.

    Parameters
    ----------
    queries : int
        Positions that look.
    keys : int, optional
        Positions that are looked at; as many by default.
    start : int, optional
        The place of the first query among the keys. By default the queries are the last of the keys, as in generation,
        where the first positions were read before.

    Returns
    -------
    boolean tensor, shape (queries, keys)
        True where the key is not behind the query.

    Raises
    ------
    TypeError, ValueError
        If a number is not whole or below 1, or there are fewer keys than queries.

    Examples
    --------
    >>> import numpy as np
    >>> np.asarray(causal_mask(2, keys=4)).astype(int)
    array([[1, 1, 1, 0],
           [1, 1, 1, 1]])
    """
    keys = queries if keys is None else keys
    known = all(isinstance(number, (int, float)) for number in (queries, keys))  # inside a model they may be tensors
    if known and _check.count("keys", keys) < _check.count("queries", queries):
        raise ValueError(f"keys is {keys}; there must be at least as many as the {queries} queries")
    start = keys - queries if start is None else start
    return ops.arange(keys) <= ops.expand_dims(start + ops.arange(queries), -1)


def padding_mask(lengths: Any, positions: int) -> Any:
    """Hide what fills up short sequences behind their end.

    Parameters
    ----------
    lengths : array of int, shape (batch,)
        How many positions of each sequence are real.
    positions : int
        Positions of all sequences, the filled ones included.

    Returns
    -------
    boolean tensor, shape (batch, 1, 1, positions)
        True where a position is real. Combine it with others by ``&``.

    Raises
    ------
    TypeError, ValueError
        If `positions` is no whole number of at least 1, or `lengths` has not one axis.

    Examples
    --------
    >>> import numpy as np
    >>> np.asarray(padding_mask([1, 3], 3))[:, 0, 0].astype(int)
    array([[1, 0, 0],
           [1, 1, 1]])
    """
    _check.count("positions", positions)
    lengths = ops.convert_to_tensor(lengths)
    if len(lengths.shape) != 1:
        raise ValueError(f"lengths has shape {tuple(lengths.shape)}; it must be (batch,)")
    places = ops.cast(ops.arange(positions), lengths.dtype)
    return (places < ops.expand_dims(lengths, -1))[:, None, None, :]


@keras.saving.register_keras_serializable(package="course_lib")
class MultiHeadAttention(keras.layers.Layer):
    """Attention in several heads: each projects all positions in its own way, looks, and the results are mixed.

    The heads do not share out the positions: each sees all of them, through matrices of its own. Queries are made from
    `x`; keys and values from `x` too (self-attention) or from `context` (cross-attention).

    Parameters
    ----------
    width : int
        Numbers a position, in and out; a multiple of `heads`.
    heads : int
        Heads. Each has ``width // heads`` numbers a position.
    key_value_heads : int, optional
        Heads of keys and values, each shared by ``heads // key_value_heads`` heads of queries (J. Ainslie et al., 2023,
        arXiv:2305.13245). By default `heads`; 1 is N. Shazeer's multi-query attention (2019, arXiv:1911.02150).
    rotary : bool
        Rotate queries and keys by their position, see `course_lib.layers.positions.rotate`.
    use_bias : bool
        Add a vector after each of the four projections. The paper's formulas have none; most programs have one.
    dropout : float
        Share of the weights that training sets to 0.
    kernel_initializer : str or keras.initializers.Initializer
        Of the four matrices.
    seed : int, optional
        Where they and the dropout draw from; None: from Keras' global seed.
    **kwargs
        As ``keras.layers.Layer`` takes them: `name`, `dtype`, `trainable`.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range, `heads` does not divide `width`, `key_value_heads` does not divide `heads`, or a
        head that rotates has an odd width.

    References
    ----------
    A. Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.2.2

    Examples
    --------
    >>> import numpy as np
    >>> layer = MultiHeadAttention(width=8, heads=2)
    >>> x = np.random.default_rng(0).normal(size=(1, 5, 8)).astype("float32")  # (batch, positions, width)
    >>> output, weights = layer(x, causal=True, return_weights=True)
    >>> tuple(output.shape), tuple(weights.shape)
    ((1, 5, 8), (1, 2, 5, 5))
    >>> layer.count_params() == 4 * (8 * 8 + 8)
    True
    """

    def __init__(
        self,
        width: int,
        heads: int,
        key_value_heads: int | None = None,
        rotary: bool = False,
        use_bias: bool = True,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.width, self.heads = _check.count("width", width), _check.count("heads", heads)
        self.key_value_heads = (
            self.heads if key_value_heads is None else _check.count("key_value_heads", key_value_heads)
        )
        if self.width % self.heads:
            raise ValueError(f"heads is {heads}; it must divide width, {width}")
        if self.heads % self.key_value_heads:
            raise ValueError(f"key_value_heads is {key_value_heads}; it must divide heads, {heads}")
        self.head_width = self.width // self.heads
        self.rotary, self.use_bias = _check.flag("rotary", rotary), _check.flag("use_bias", use_bias)
        if self.rotary and self.head_width % 2:
            raise ValueError(f"rotary is True and a head has width {self.head_width}; it must be even")
        self.dropout = _check.fraction("dropout", dropout)
        self.kernel_initializer, self.seed = keras.initializers.get(kernel_initializer), seed

        def project(outputs: int, name: str, number: int) -> keras.layers.Dense:
            kernel = _seeds.initializer(kernel_initializer, _seeds.derive(seed, number))
            return keras.layers.Dense(
                outputs, use_bias=use_bias, kernel_initializer=kernel, dtype=self.dtype_policy, name=name
            )

        self.to_query = project(self.width, "query", 0)
        self.to_key = project(self.key_value_heads * self.head_width, "key", 1)
        self.to_value = project(self.key_value_heads * self.head_width, "value", 2)
        self.to_output = project(self.width, "output", 3)
        self.drop = keras.layers.Dropout(
            self.dropout, seed=_seeds.derive(seed, 4), dtype=self.dtype_policy, name="dropout"
        )

    def build(self, x_shape: Any, context_shape: Any = None) -> None:
        """Make the four matrices."""
        source = x_shape if context_shape is None else context_shape
        self.to_query.build(x_shape)
        self.to_key.build(source)
        self.to_value.build(source)
        self.to_output.build((*x_shape[:-1], self.width))
        self.built = True

    def call(
        self,
        x: Any,
        context: Any = None,
        mask: Any = None,
        bias: Any = None,
        causal: bool = False,
        cache: Any = None,
        position: Any = None,
        return_weights: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Let every position of `x` look.

        Parameters
        ----------
        x : tensor, shape (batch, queries, width)
            Who looks.
        context : tensor, shape (batch, keys, any width), optional
            What it looks at; `x` itself by default.
        mask : boolean tensor, broadcasts to (batch, heads, queries, keys), optional
            True where a query may look; see `causal_mask` and `padding_mask`. (The mask of shape (batch, keys) that a
            ``keras.layers.Embedding`` attaches to `x` is understood too.)
        bias : tensor, broadcasts to (batch, heads, queries, keys), optional
            To add to the scores.
        causal : bool
            Look at oneself and backwards only.
        cache : pair of tensors, each of shape (batch, key_value_heads, length, head_width), optional
            Keys and values of earlier calls. With `position`, those of `x` are written into it from that place on, and
            `x` looks at all up to itself; make the first with `empty_cache`. Without `position` it is what
            `keys_and_values` made of a context, and is only read.
        position : int or scalar int tensor, optional
            The place of the first of `x` in the sequence; ``position + queries`` must not be above the cache's length.
        return_weights : bool
            Give the weights as well.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        output : tensor, shape (batch, queries, width)
        weights : tensor, shape (batch, heads, queries, keys)
            Before dropout; only with `return_weights`.
        cache : pair of tensors
            With what `x` added; only if one was given.

        Raises
        ------
        ValueError
            If `x` has another width, `position` comes without `cache`, or a rotary layer gets a `context`.
        """
        if x.shape[-1] != self.width:
            raise ValueError(f"x has shape {tuple(x.shape)}; its last axis must be width, {self.width}")
        if position is not None and cache is None:
            raise ValueError(f"position is {position!r} without a cache; make one with empty_cache")
        reading = cache is not None and position is None  # a finished cache, that of a context
        if self.rotary and (context is not None or reading):
            raise ValueError("context is given to a rotary layer; positions of two sequences cannot be compared")
        attached = getattr(x, "_keras_mask", None)
        if attached is not None and mask is attached:
            mask = attached[:, None, None, :]

        queries, start = ops.shape(x)[1], 0 if position is None else position
        query = self._split(self.to_query(x), self.heads)  # (batch, heads, queries, head_width)
        if self.rotary:
            query = rotate(query, start + ops.arange(queries))
        if reading:
            key, value = cache
        else:
            key, value = self.keys_and_values(x if context is None else context, start)
        if position is not None:
            place = ops.cast(position, "int32") * ops.convert_to_tensor([0, 0, 1, 0], "int32")
            keys, values = cache
            key = ops.slice_update(keys, place, ops.cast(key, keys.dtype))
            value = ops.slice_update(values, place, ops.cast(value, values.dtype))
            cache = key, value
        if causal or position is not None:  # a place of the cache that is not yet filled lies in the future, too
            past = causal_mask(queries, ops.shape(key)[2], start=start if position is not None else None)
            mask = past if mask is None else ops.logical_and(mask, past)

        groups = self.heads // self.key_value_heads
        if groups > 1:
            key, value = ops.repeat(key, groups, axis=1), ops.repeat(value, groups, axis=1)
        weights = None
        if FUSED and bias is None and not return_weights and not (self.dropout and training):
            mixed = _fused(query, key, value, mask)
        else:
            weights = attention_weights(query, key, mask, bias)
            mixed = ops.matmul(self.drop(weights, training=training), value)  # (batch, heads, queries, head_width)
        mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, queries, self.width))
        results = [self.to_output(mixed)]
        if return_weights:
            results.append(weights)
        if cache is not None:
            results.append(cache)
        return results[0] if len(results) == 1 else tuple(results)

    def keys_and_values(self, context: Any, start: Any = 0) -> tuple[Any, Any]:
        """Project what will be looked at: a pair of tensors of shape (batch, key_value_heads, keys, head_width)."""
        key = self._split(self.to_key(context), self.key_value_heads)
        value = self._split(self.to_value(context), self.key_value_heads)
        if self.rotary:
            key = rotate(key, start + ops.arange(ops.shape(context)[1]))
        return key, value

    def empty_cache(self, batch: int, length: int) -> tuple[Any, Any]:
        """Make room for the keys and values of `length` positions: two tensors of zeros, to be given as `cache`."""
        shape = (_check.count("batch", batch), self.key_value_heads, _check.count("length", length), self.head_width)
        return ops.zeros(shape, self.compute_dtype), ops.zeros(shape, self.compute_dtype)

    def _split(self, x: Any, heads: int) -> Any:
        """Turn (batch, positions, heads * head_width) into (batch, heads, positions, head_width)."""
        return ops.transpose(ops.reshape(x, (-1, ops.shape(x)[1], heads, self.head_width)), (0, 2, 1, 3))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Hand on the mask that an embedding attached to `x`; one given by hand concerns this call alone."""
        return getattr(inputs, "_keras_mask", None)

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {
            "width": self.width,
            "heads": self.heads,
            "key_value_heads": self.key_value_heads,
            "rotary": self.rotary,
            "use_bias": self.use_bias,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "seed": self.seed,
        }
