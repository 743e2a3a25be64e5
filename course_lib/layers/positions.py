"""Positions: attention treats its input as a set, so something must say which comes first.

Four ways: a fixed table of sines and cosines that is added to the input; a table that is learned; turning queries and
keys by an angle that grows with the position; and a number for each distance, added to the scores.

>>> table = sinusoidal_positions(length=3, width=4)
>>> table[0]  # at place 0 all sines are 0 and all cosines 1
array([0., 1., 0., 1.], dtype=float32)
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds

__all__ = ["PositionEmbedding", "RelativePositionBias", "relative_buckets", "rotate", "sinusoidal_positions"]

SMALL = keras.initializers.RandomNormal(stddev=0.02)  # as BERT and GPT draw their tables; each table gets its own copy


def sinusoidal_positions(length: int, width: int) -> np.ndarray:
    """Make the table of sines and cosines of the first Transformer.

    Column ``2 i`` holds ``sin(p / 10000**(2 i / width))`` for place ``p``, column ``2 i + 1`` the cosine of the same
    angle. The wave lengths grow from 2 pi to 10000 * 2 pi. A step of k places is a rotation of every pair, the same
    everywhere.

    Parameters
    ----------
    length : int
        Places.
    width : int
        Numbers a place; even.

    Returns
    -------
    numpy.ndarray, shape (length, width), float32

    Raises
    ------
    TypeError, ValueError
        If a number is not whole or below 1, or `width` is odd.

    References
    ----------
    A. Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.5
    """
    _check.count("length", length)
    if _check.count("width", width) % 2:
        raise ValueError(f"width is {width}; it must be even, half for the sines and half for the cosines")
    angles = np.arange(length)[:, None] / 10_000.0 ** (np.arange(0, width, 2) / width)  # (length, width / 2)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, width).astype(np.float32)


def rotate(x: Any, positions: Any, base: float = 10_000.0) -> Any:
    """Turn queries or keys by an angle that grows with their position (rotary position embedding, RoPE).

    Numbers ``2 i`` and ``2 i + 1`` are the coordinates of a point in a plane, which is turned by
    ``position * base**(-2 i / width)``. The product of a turned query and a turned key then depends on the two contents
    and on the difference of the two positions, and on nothing else. Lengths do not change.

    Parameters
    ----------
    x : array, shape (batch, heads, positions, width)
        Queries or keys; `width` is even.
    positions : array of int, shape (positions,) or (batch, positions)
        Where each stands.
    base : float
        Sets how slowly the last pair turns.

    Returns
    -------
    tensor, as `x`

    Raises
    ------
    TypeError, ValueError
        If the width is odd or `base` is not above 0.

    Notes
    -----
    Neighbours are paired, as in the paper. Some programs pair number ``i`` with ``i + width / 2`` instead, which is the
    same up to the order of the rows of the projection before it; weights do not carry over without reordering these.

    References
    ----------
    J. Su et al., 2021, https://arxiv.org/abs/2104.09864

    Examples
    --------
    >>> np.asarray(rotate(np.array([[[[1.0, 0.0]]]], "float32"), [1])).round(3).ravel()  # cos 1, sin 1
    array([0.54 , 0.841], dtype=float32)
    """
    x = ops.convert_to_tensor(x)
    width = x.shape[-1]
    if width % 2:
        raise ValueError(f"x has width {width}; it must be even, since numbers are turned in pairs")
    rates = (_check.positive("base", base) ** (-np.arange(0, width, 2) / width)).astype(np.float32)
    angles = ops.expand_dims(ops.cast(positions, "float32"), -1) * rates  # ([batch,] positions, width / 2)
    if len(angles.shape) == 3:
        angles = ops.expand_dims(angles, 1)  # one for all heads
    # Angles need float32, since float16 cannot tell position 2049 from 2048; the products do not.
    cos, sin = ops.cast(ops.cos(angles), x.dtype), ops.cast(ops.sin(angles), x.dtype)
    first, second = x[..., 0::2], x[..., 1::2]
    turned = ops.stack([first * cos - second * sin, first * sin + second * cos], axis=-1)
    return ops.reshape(turned, ops.shape(x))


@keras.saving.register_keras_serializable(package="course_lib")
class PositionEmbedding(keras.layers.Layer):
    """Add to each position a vector that stands for its place.

    Parameters
    ----------
    length : int
        Places that the table has.
    kind : {"learned", "sinusoidal"}
        A table of weights, as in BERT, GPT and ViT, or the fixed one of `sinusoidal_positions`.
    initializer : str or keras.initializers.Initializer
        Of the learned table.
    seed : int, optional
        Where it draws from.
    **kwargs
        As ``keras.layers.Layer`` takes them.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; at the call, if the sequence is longer than the table.

    References
    ----------
    J. Gehring et al., 2017, https://arxiv.org/abs/1705.03122 (learned);
    A. Vaswani et al., 2017, https://arxiv.org/abs/1706.03762 (both; they found hardly a difference)

    Examples
    --------
    >>> layer = PositionEmbedding(length=10, kind="sinusoidal")
    >>> np.asarray(layer(np.zeros((1, 2, 4), "float32")))[0, 0]
    array([0., 1., 0., 1.], dtype=float32)
    """

    def __init__(
        self,
        length: int,
        kind: str = "learned",
        initializer: Any = SMALL,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.length = _check.count("length", length)
        self.kind = _check.choice("kind", kind, ("learned", "sinusoidal"))
        self.initializer, self.seed = keras.initializers.get(initializer), seed

    def build(self, input_shape: Any) -> None:
        """Make the table."""
        shape = (self.length, input_shape[-1])
        if self.kind == "learned":
            start = _seeds.initializer(self.initializer, self.seed)
            self.table = self.add_weight(shape=shape, initializer=start, name="table")
        else:
            self.table = sinusoidal_positions(*shape)

    def call(self, x: Any, start: Any = 0) -> Any:
        """Add the rows from `start` on.

        Parameters
        ----------
        x : tensor, shape (batch, positions, width)
            The sequence.
        start : int or scalar int tensor
            The place of its first position: above 0 in generation, when earlier ones were read before.

        Returns
        -------
        tensor, as `x`
        """
        positions = x.shape[1]
        table = ops.cast(self.table, x.dtype)
        # While a model is put together PyTorch has a stand-in for a length that is not known yet, on the device "meta".
        stand_in = str(getattr(x, "device", "")) == "meta"
        if isinstance(start, int) and isinstance(positions, int) and not stand_in:
            if start + positions > self.length:
                raise ValueError(f"x ends at place {start + positions}; the table has {self.length}")
            return x + table[start : start + positions]
        return x + ops.take(table, start + ops.arange(ops.shape(x)[1]), axis=0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Give the input's shape."""
        return input_shape

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Hand on the mask of `inputs`."""
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {
            "length": self.length,
            "kind": self.kind,
            "initializer": keras.initializers.serialize(self.initializer),
            "seed": self.seed,
        }


def relative_buckets(distance: Any, buckets: int, farthest: int, both: bool) -> Any:
    """Sort distances into buckets: near ones have one each, far ones share, in steps that grow geometrically.

    Parameters
    ----------
    distance : array of int
        Place of the key less that of the query.
    buckets : int
        How many; with `both`, one half is for keys before the query and one for those behind it.
    farthest : int
        From this distance on, all share the last bucket.
    both : bool
        Whether keys behind the query count; otherwise they are treated as the query's own place.

    Returns
    -------
    int32 tensor, as `distance`
        Numbers from 0 to ``buckets - 1``.

    References
    ----------
    C. Raffel et al., 2019, https://arxiv.org/abs/1910.10683, section 2.1
    """
    distance = ops.cast(distance, "int32")
    if both:
        buckets //= 2
        first = ops.where(distance > 0, buckets, 0)
        distance = ops.abs(distance)
    else:
        first, distance = 0, ops.maximum(-distance, 0)
    alone = buckets // 2  # distances with a bucket of their own
    scale = (buckets - alone) / math.log(farthest / alone)
    far = alone + ops.cast(ops.log(ops.cast(ops.maximum(distance, alone), "float32") / alone) * scale, "int32")
    return first + ops.where(distance < alone, distance, ops.minimum(far, buckets - 1))


@keras.saving.register_keras_serializable(package="course_lib")
class RelativePositionBias(keras.layers.Layer):
    """A learned number for each head and each distance between query and key, to add to attention's scores.

    Parameters
    ----------
    heads : int
        Heads of the attention that gets it.
    buckets : int
        Numbers a head, see `relative_buckets`; even where `both`.
    farthest : int
        Distance from which on all share a bucket.
    both : bool
        Whether queries look forward too, as in an encoder.
    initializer : str or keras.initializers.Initializer
        Of the numbers.
    seed : int, optional
        Where they draw from.
    **kwargs
        As ``keras.layers.Layer`` takes them.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    References
    ----------
    C. Raffel et al., 2019, https://arxiv.org/abs/1910.10683, section 2.1

    Examples
    --------
    >>> bias = RelativePositionBias(heads=2)(np.zeros((1, 5, 8), "float32"))  # only the number of positions counts
    >>> tuple(bias.shape)
    (1, 2, 5, 5)
    """

    def __init__(
        self,
        heads: int,
        buckets: int = 32,
        farthest: int = 128,
        both: bool = True,
        initializer: Any = SMALL,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads, self.both = _check.count("heads", heads), _check.flag("both", both)
        self.buckets = _check.count("buckets", buckets, least=4 if both else 2)
        if self.both and self.buckets % 2:
            raise ValueError(f"buckets is {buckets}; it must be even where both is True")
        self.farthest = _check.count("farthest", farthest, least=self.buckets)
        self.initializer, self.seed = keras.initializers.get(initializer), seed

    def build(self, input_shape: Any) -> None:
        """Make the numbers."""
        start = _seeds.initializer(self.initializer, self.seed)
        self.table = self.add_weight(shape=(self.buckets, self.heads), initializer=start, name="table")

    def call(self, x: Any, keys: Any = None, start: Any = None) -> Any:
        """Look the distances up.

        Parameters
        ----------
        x : tensor, shape (batch, queries, width)
            The sequence that looks; only the number of its positions counts.
        keys : int, optional
            Positions that are looked at; as many by default.
        start : int, optional
            The place of the first query among the keys; by default the queries are the last of them.

        Returns
        -------
        tensor, shape (1, heads, queries, keys)
        """
        queries = ops.shape(x)[1]
        keys = queries if keys is None else keys
        places = (keys - queries if start is None else start) + ops.arange(queries)
        distance = ops.arange(keys) - ops.expand_dims(places, -1)  # (queries, keys)
        rows = ops.take(self.table, relative_buckets(distance, self.buckets, self.farthest, self.both), axis=0)
        return ops.transpose(rows, (2, 0, 1))[None]

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Give none: the result has no positions of a batch."""

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {
            "heads": self.heads,
            "buckets": self.buckets,
            "farthest": self.farthest,
            "both": self.both,
            "initializer": keras.initializers.serialize(self.initializer),
            "seed": self.seed,
        }
