"""One block of a transformer: attention, perhaps attention to another sequence, and a feed-forward layer.

Each part stands beside a shortcut. BERT, GPT, ViT and both halves of the first Transformer are stacks of this block;
they differ in its options.

>>> import numpy as np
>>> block = TransformerBlock(width=8, heads=2, hidden=16)
>>> tuple(block(np.zeros((1, 5, 8), "float32")).shape)
(1, 5, 8)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers.attention import MultiHeadAttention
from course_lib.layers.feed_forward import FeedForward
from course_lib.layers.normalization import NORMALIZATIONS

__all__ = ["TransformerBlock"]


@keras.saving.register_keras_serializable(package="course_lib")
class TransformerBlock(keras.layers.Layer):
    """Attention and a feed-forward layer, each with a shortcut, a normalisation and dropout.

    Parameters
    ----------
    width, heads, hidden : int
        Numbers a position, heads of attention, and numbers inside the feed-forward layer.
    norm : {"pre", "post"}
        ``"pre"``: ``x + f(norm(x))``, as in GPT-2 and ViT; the stack needs one more normalisation at its end.
        ``"post"``: ``norm(x + f(x))``, as in the first Transformer and BERT. R. Xiong et al., 2020, arXiv:2002.04745,
        compare the two.
    cross : bool
        Also look at another sequence, `context`, as the first Transformer's decoder does.
    causal : bool
        Look at oneself and backwards only: a decoder, or GPT.
    activation : {"relu", "gelu", "gelu_tanh", "swiglu"}
        Of the feed-forward layer, see `course_lib.layers.feed_forward.FeedForward`.
    normalization : {"layer", "rms"}
        See `course_lib.layers.normalization`.
    epsilon : float
        Of the normalisations: 1e-5 in GPT-2, 1e-12 in BERT, 1e-6 in ViT.
    dropout : float
        Share of each part's output that training sets to 0, before the shortcut is added.
    attention_dropout : float
        Share of attention's weights that training sets to 0.
    key_value_heads, rotary, use_bias
        As `course_lib.layers.attention.MultiHeadAttention` takes them; `use_bias` is for the feed-forward layer too.
        Only attention inside the sequence rotates.
    kernel_initializer : str or keras.initializers.Initializer
        Of all matrices.
    seed : int, optional
        Where matrices and dropout draw from; None: from Keras' global seed.
    **kwargs
        As ``keras.layers.Layer`` takes them.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    A. Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.1

    Examples
    --------
    A block of BERT-base, and its 7,087,872 weights:

    >>> block = TransformerBlock(768, 12, 3072, norm="post", activation="gelu", epsilon=1e-12, dropout=0.1)
    >>> block.build((None, None, 768))
    >>> block.count_params() == 4 * (768 + 1) * 768 + (768 + 1) * 3072 + (3072 + 1) * 768 + 2 * 2 * 768
    True
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        norm: str = "pre",
        cross: bool = False,
        causal: bool = False,
        activation: str = "relu",
        normalization: str = "layer",
        epsilon: float = 1e-5,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        key_value_heads: int | None = None,
        rotary: bool = False,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.norm = _check.choice("norm", norm, ("pre", "post"))
        self.cross, self.causal = _check.flag("cross", cross), _check.flag("causal", causal)
        self.normalization = _check.choice("normalization", normalization, tuple(NORMALIZATIONS))
        self.epsilon, self.dropout = _check.positive("epsilon", epsilon), _check.fraction("dropout", dropout)
        self.kernel_initializer, self.seed = keras.initializers.get(kernel_initializer), seed
        draw = {"use_bias": use_bias, "kernel_initializer": kernel_initializer, "dtype": self.dtype_policy}

        def attend(name: str, number: int, rotary: bool) -> MultiHeadAttention:
            return MultiHeadAttention(
                width, heads, key_value_heads, rotary, dropout=attention_dropout, seed=_seeds.derive(seed, number),
                name=name, **draw,
            )  # fmt: skip

        def normalize(name: str) -> keras.layers.Layer:
            return NORMALIZATIONS[normalization](epsilon, dtype=self.dtype_policy, name=name)

        self.attention, self.attention_norm = attend("attention", 0, rotary), normalize("attention_norm")
        if self.cross:
            self.cross_attention, self.cross_norm = attend("cross_attention", 1, False), normalize("cross_norm")
        self.feed_forward = FeedForward(
            width, hidden, activation, seed=_seeds.derive(seed, 2), name="feed_forward", **draw
        )  # fmt: skip
        self.feed_forward_norm = normalize("feed_forward_norm")
        self.drop = keras.layers.Dropout(
            self.dropout, seed=_seeds.derive(seed, 3), dtype=self.dtype_policy, name="dropout"
        )

    def build(self, x_shape: Any, context_shape: Any = None) -> None:
        """Make all weights."""
        self.attention.build(x_shape)
        self.attention_norm.build(x_shape)
        if self.cross:
            self.cross_attention.build(x_shape, context_shape)
            self.cross_norm.build(x_shape)
        self.feed_forward.build(x_shape)
        self.feed_forward_norm.build(x_shape)
        self.drop.build(x_shape)
        self.built = True

    def call(
        self,
        x: Any,
        context: Any = None,
        mask: Any = None,
        context_mask: Any = None,
        bias: Any = None,
        cache: Any = None,
        position: Any = None,
        return_weights: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Apply the block.

        Parameters
        ----------
        x : tensor, shape (batch, positions, width)
            The sequence.
        context : tensor, shape (batch, keys, any width), optional
            What a block with `cross` looks at; not needed if the `cache` was made with it.
        mask : boolean tensor, broadcasts to (batch, heads, positions, positions), optional
            True where a position of `x` may look at another of `x`, beside what `causal` forbids.
        context_mask : boolean tensor, broadcasts to (batch, heads, positions, keys), optional
            True where a position of `x` may look at one of `context`.
        bias : tensor, broadcasts to (batch, heads, positions, positions), optional
            To add to the scores inside `x`.
        cache : dict, optional
            What `empty_cache` made, or the call before gave; needs `position`.
        position : int or scalar int tensor, optional
            The place of the first of `x` in the sequence.
        return_weights : bool
            Give attention's weights as well.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        output : tensor, as `x`
        weights : dict
            ``"self"`` and, with `cross`, ``"cross"``: tensors of shape (batch, heads, positions, keys); only with
            `return_weights`.
        cache : dict
            With what `x` added; only if one was given.

        Raises
        ------
        ValueError
            If a `context` is missing, or given to a block without `cross`, or only one of `cache` and `position` is
            given.
        """
        known = cache is not None and "cross" in cache
        if self.cross != (context is not None or known):
            raise ValueError(f"context is {'missing' if self.cross else 'given'} and the block has cross={self.cross}")
        if (cache is None) != (position is None):
            raise ValueError("cache and position go together; one of them is None")
        attached = getattr(x, "_keras_mask", None)
        if attached is not None and mask is attached:
            mask = attached[:, None, None, :]  # an embedding's, (batch, positions)
        weights: dict[str, Any] = {}
        filled = dict(cache or {})

        def take(kind: str, results: Any, with_cache: bool) -> Any:
            """Put weights and cache where they belong, and give the output."""
            output, *rest = results if return_weights or with_cache else (results,)
            if return_weights:
                weights[kind] = rest.pop(0)
            if with_cache:
                (filled[kind],) = rest
            return output

        def look_inside(y: Any) -> Any:
            options = {"cache": cache["self"], "position": position} if cache is not None else {"causal": self.causal}
            results = self.attention(
                y, mask=mask, bias=bias, return_weights=return_weights, training=training, **options
            )
            return take("self", results, cache is not None)

        def look_across(y: Any) -> Any:
            options = {"cache": cache["cross"]} if known else {"context": context}
            results = self.cross_attention(
                y, mask=context_mask, return_weights=return_weights, training=training, **options
            )
            return take("cross", results, known)

        x = self._beside_shortcut(x, look_inside, self.attention_norm, training)
        if self.cross:
            x = self._beside_shortcut(x, look_across, self.cross_norm, training)
        x = self._beside_shortcut(x, self.feed_forward, self.feed_forward_norm, training)
        results = [x] + [weights] * return_weights + [filled] * (cache is not None)
        return x if len(results) == 1 else tuple(results)

    def _beside_shortcut(self, x: Any, part: Callable[[Any], Any], norm: Callable[[Any], Any], training: Any) -> Any:
        if self.norm == "pre":
            return x + self.drop(part(norm(x)), training=training)
        return norm(x + self.drop(part(x), training=training))

    def empty_cache(self, batch: int, length: int, context: Any = None) -> dict[str, Any]:
        """Make room for keys and values.

        Parameters
        ----------
        batch, length : int
            Sequences, and positions of the longest.
        context : tensor, shape (batch, keys, any width), optional
            For a block with `cross`: its keys and values are made here, once.

        Returns
        -------
        dict
            ``"self"`` and, with `cross`, ``"cross"``: pairs of tensors (batch, key_value_heads, positions, head_width).
        """
        cache: dict[str, Any] = {"self": self.attention.empty_cache(batch, length)}
        if self.cross:
            if context is None:
                raise ValueError("context is missing and the block has cross=True")
            cache["cross"] = self.cross_attention.keys_and_values(context)
        return cache

    def compute_output_shape(self, x_shape: Any, context_shape: Any = None) -> Any:
        """Give the shape of `x`."""
        return x_shape

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Follow `call`, which may give weights and cache as well, and not the shape alone."""
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Hand on the mask that an embedding attached to `x`; one given by hand concerns this call alone."""
        return getattr(inputs, "_keras_mask", None)

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {
            "width": self.attention.width,
            "heads": self.attention.heads,
            "hidden": self.feed_forward.hidden,
            "norm": self.norm,
            "cross": self.cross,
            "causal": self.causal,
            "activation": self.feed_forward.activation,
            "normalization": self.normalization,
            "epsilon": self.epsilon,
            "dropout": self.dropout,
            "attention_dropout": self.attention.dropout,
            "key_value_heads": self.attention.key_value_heads,
            "rotary": self.attention.rotary,
            "use_bias": self.attention.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "seed": self.seed,
        }
