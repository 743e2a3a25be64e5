"""DALL-E's second stage: one transformer that reads a caption and writes the codes of a picture.

A picture is a grid of codes (see `course_lib.models.dvae`), row by row. Caption and codes are one sequence of tokens,
and a GPT guesses each from those before it.

>>> import numpy as np
>>> config = DalleConfig(words=10, caption_length=3, codes=8, places=4, width=8, layers=1, heads=2)
>>> model = dalle(config, seed=0)
>>> model.count_params() == config.parameters
True
>>> captions = np.array([[1, 2, 3], [4, 5, 6]])
>>> codes = generate(model, captions, seed=0)
>>> codes.shape, bool((codes == generate(model, captions, seed=0, cache=False)).all())
((2, 4), True)
>>> log_probability(model, captions, codes).shape  # of each picture, given its caption
(2,)

References
----------
A. Ramesh et al., Zero-Shot Text-to-Image Generation, 2021, https://arxiv.org/abs/2102.12092
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from course_lib import _check
from course_lib.models.generation import filter_logits
from course_lib.models.gpt import Gpt, GptConfig
from course_lib.models.wavenet import draw

__all__ = ["Dalle", "DalleConfig", "dalle", "generate", "log_probability"]


@dataclass(frozen=True)
class DalleConfig:
    """What fixes the transformer of a DALL-E.

    Attributes
    ----------
    words, caption_length : int
        Words that captions are made of, and words of a caption.
    codes, places : int
        Codes that pictures are made of, and codes of a picture.
    width, layers, heads, hidden : int
        As in `course_lib.models.gpt.GptConfig`; `hidden` is four times `width` by default.
    dropout : float
        As there.
    text_weight : float
        Weight of the caption in the cost; the picture has the rest. The paper's 1/8: the picture is what is wanted.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    words: int
    caption_length: int
    codes: int
    places: int
    width: int = 64
    layers: int = 2
    heads: int = 4
    hidden: int | None = None
    dropout: float = 0.0
    text_weight: float = 1 / 8

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("words", "caption_length", "codes", "places"):
            _check.count(name, getattr(self, name))
        if self.hidden is None:
            object.__setattr__(self, "hidden", 4 * _check.count("width", self.width))
        _check.fraction("text_weight", self.text_weight)
        _ = self.gpt  # checks the others

    @property
    def gpt(self) -> GptConfig:
        """The transformer: its tokens are the words, then the codes, then one that stands before all."""
        return GptConfig(
            self.words + self.codes + 1, self.width, self.layers, self.heads, self.hidden or 1,
            self.caption_length + self.places, dropout=self.dropout, attention_dropout=self.dropout,
        )  # fmt: skip

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives."""
        return self.gpt.parameters


def dalle(config: DalleConfig, name: str | None = None, seed: int | None = None) -> Dalle:
    """Build the transformer.

    Parameters
    ----------
    config : DalleConfig
        Its sizes.
    name : str, optional
        The model's name; by default "dalle".
    seed : int, optional
        Where the initial weights and dropout draw from; None: from Keras' global seed.

    Returns
    -------
    Dalle
        Not compiled. ``compile`` needs an optimizer and no loss, ``fit`` inputs and no targets.

    Raises
    ------
    TypeError
        If `config` is no `DalleConfig`.
    """
    if not isinstance(config, DalleConfig):
        raise TypeError(f"config is of type {type(config).__name__}; it must be of type DalleConfig")
    model = Dalle(config, seed, name=name or "dalle")
    model.build()
    return model


@keras.saving.register_keras_serializable(package="course_lib")
class Dalle(keras.Model):
    """The transformer of a DALL-E; make one with `dalle`.

    Called on ``{"caption": ..., "codes": ...}`` it gives the cost of each pair (batch,): the mean cost of a word, in
    nats, times `text_weight`, and the mean cost of a code times the rest. ``fit`` makes the mean small. At a place of
    the caption only words can come, at a place of the picture only codes.

    Parameters
    ----------
    config : DalleConfig
        Its sizes.
    seed : int, optional
        Where the initial weights and dropout draw from.
    **kwargs
        As ``keras.Model`` takes them.
    """

    def __init__(self, config: DalleConfig, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config, self.seed = config, seed
        self.gpt = Gpt(config.gpt, seed, name="gpt", dtype=self.dtype_policy)

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        self.gpt.build()
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        """Give the cost of each pair.

        Parameters
        ----------
        inputs : dict of int tensors
            ``"caption"`` (batch, caption_length), ``"codes"`` (batch, places), a picture row by row.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        tensor, shape (batch,)
        """
        caption, codes = (ops.cast(inputs[name], "int32") for name in ("caption", "codes"))
        weight, costs = self.config.text_weight, []
        for wanted, scores in zip((caption, codes), self.logits(caption, codes, training), strict=True):
            cost = keras.losses.sparse_categorical_crossentropy(wanted, scores, from_logits=True)
            costs.append(ops.mean(cost, axis=-1))
        return weight * costs[0] + (1 - weight) * costs[1]

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Take the mean of the costs that `call` gave; there are no targets."""
        return ops.mean(y_pred if sample_weight is None else y_pred * ops.cast(sample_weight, y_pred.dtype))

    def logits(self, caption: Any, codes: Any, training: bool | None = None) -> tuple[Any, Any]:
        """Score every word, and every code, from what stands before it.

        Parameters
        ----------
        caption : int tensor, shape (batch, caption_length)
            Words.
        codes : int tensor, shape (batch, places)
            Codes, row by row.
        training : bool, optional
            Whether dropout acts.

        Returns
        -------
        of_words : tensor, shape (batch, caption_length, words)
        of_codes : tensor, shape (batch, places, codes)
        """
        c = self.config
        start = 0 * caption[:, :1] + c.words + c.codes
        tokens = ops.concatenate([start, caption, codes[:, :-1] + c.words], axis=1)
        scores = self.gpt(tokens, training=training)
        return scores[:, : c.caption_length, : c.words], scores[:, c.caption_length :, c.words : c.words + c.codes]

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"config": asdict(self.config), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Dalle:
        """Make the model that `get_config` describes."""
        return cls(**config | {"config": DalleConfig(**config["config"])})


def generate(
    model: Dalle,
    captions: Any,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    cache: bool = True,
) -> np.ndarray:
    """Write the codes of a picture for each caption.

    Parameters
    ----------
    model : Dalle
        The model.
    captions : int array, shape (batch, caption_length)
        Words. For several pictures of one caption, repeat it.
    temperature : float
        Codes are drawn with the probabilities ``softmax(scores / temperature)``; 0: the code with the highest score.
    top_k, top_p
        As `course_lib.models.generation.filter_logits` takes them.
    seed : int, optional
        Where draws come from; None: from NumPy's global generator.
    cache : bool
        Keep keys and values of what was read; False: read everything again for each code.

    Returns
    -------
    numpy.ndarray of int32, shape (batch, places)

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or does not suit the model.
    """
    captions = _captions(model, captions)
    _check.non_negative("temperature", temperature)
    rng = np.random.default_rng(np.random.randint(2**31) if seed is None else _check.count("seed", seed, least=0))
    c, batch = model.config, len(captions)
    codes = np.zeros((batch, c.places), "int32")
    start = np.full((batch, 1), c.words + c.codes, "int32")
    tokens, read = np.concatenate([start, captions], axis=1), 0
    caches = model.gpt.empty_caches(batch, c.caption_length + c.places) if _check.flag("cache", cache) else None
    for place in range(c.places):
        if caches is None:  # what is not yet written is still 0, and nothing looks ahead
            scores = model.logits(ops.convert_to_tensor(captions), ops.convert_to_tensor(codes))[1][:, place]
        else:
            position = ops.convert_to_tensor(read, "int32")
            states, caches = model.gpt.next_states(tokens, caches, position)
            scores = model.gpt.logits(states[:, -1:])[:, 0, c.words : c.words + c.codes]
            read += tokens.shape[1]
        scores = ops.convert_to_numpy(scores)
        if temperature and (top_k is not None or top_p is not None):
            scores = filter_logits(scores / temperature, top_k, top_p) * temperature
        codes[:, place] = draw(scores, rng, temperature)
        tokens = codes[:, place : place + 1] + c.words
    return codes


def log_probability(model: Dalle, captions: Any, codes: Any) -> np.ndarray:
    """Give the logarithm of the probability of each picture's codes, given its caption, in nats.

    Parameters
    ----------
    model : Dalle
        The model.
    captions : int array, shape (batch, caption_length)
        Words.
    codes : int array, shape (batch, places)
        Codes, row by row.

    Returns
    -------
    numpy.ndarray, shape (batch,)

    Raises
    ------
    TypeError, ValueError
        If a shape or a token does not suit the model.
    """
    captions, codes, c = _captions(model, captions), np.asarray(codes), model.config
    if codes.shape != (len(captions), c.places) or codes.min() < 0 or codes.max() >= c.codes:
        wanted = f"({len(captions)}, {c.places}) and hold 0 to {c.codes - 1}"
        raise ValueError(f"codes has shape {codes.shape}; it must be {wanted}")
    codes = ops.convert_to_tensor(codes.astype("int32"))
    scores = model.logits(ops.convert_to_tensor(captions), codes)[1]
    costs = keras.losses.sparse_categorical_crossentropy(codes, scores, from_logits=True)
    return -ops.convert_to_numpy(ops.sum(costs, axis=-1))


def _captions(model: Dalle, captions: Any) -> np.ndarray:
    if not isinstance(model, Dalle):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a Dalle")
    array, c = np.asarray(captions), model.config
    if array.dtype.kind not in "iu":
        raise TypeError(f"captions has dtype {array.dtype}; it must hold whole numbers")
    if array.ndim != 2 or array.shape[1] != c.caption_length or not len(array):
        raise ValueError(f"captions has shape {array.shape}; it must be (batch, {c.caption_length})")
    if array.min() < 0 or array.max() >= c.words:
        raise ValueError(f"captions holds {array.min()} to {array.max()}; words are 0 to {c.words - 1}")
    return array.astype("int32")
