"""Writing with a language model: one token after the other, each chosen by the scores that the model gives it.

>>> from course_lib.models.gpt import GptConfig, gpt
>>> model = gpt(GptConfig(vocabulary=20, width=8, layers=2, heads=2, hidden=32, length=12), seed=0)
>>> generate(model, [5, 6, 7], length=4).shape  # the tokens with the highest scores
(4,)
>>> generate(model, [[5, 6, 7], [8]], length=4, temperature=0.8, top_k=5, seed=0).shape  # drawn, for two prompts
(2, 4)
>>> filter_logits(np.array([1.0, 3.0, 2.0, 0.0]), top_k=2)
array([-inf,   3.,   2., -inf])
>>> perplexity(model, np.arange(10)) < 25  # a model that knows nothing has 20, the size of its vocabulary
True
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from course_lib import _check
from course_lib.models.gpt import Gpt

__all__ = ["beam_search", "filter_logits", "generate", "perplexity"]

# Arrays grow in steps of these sizes, so that a compiled loop serves prompts and texts of many lengths.
PROMPT_STEP, ROOM_STEP = 16, 64


def generate(
    model: Gpt,
    prompt: Any,
    length: int,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    beams: int = 1,
    end: int | None = None,
    seed: int | None = None,
    cache: bool = True,
    mask: Any = None,
) -> np.ndarray:
    """Continue one prompt or several.

    Parameters
    ----------
    model : Gpt
        The model.
    prompt : int array, shape (positions,) or (batch, positions), or list of lists
        What the text starts with. Lists may differ in length.
    length : int
        Tokens to write at most, `end` included.
    temperature : float
        0: take the token with the highest score, each time (greedy). Above 0: draw a token with the probabilities
        ``softmax(logits / temperature)``; below 1 the likely ones become likelier.
    top_k : int, optional
        Draw among the `top_k` tokens with the highest scores.
    top_p : float, optional
        Draw among the fewest tokens whose probabilities sum to `top_p` at least (after `top_k`).
    beams : int
        Above 1: search for the text with the highest probability, see `beam_search`; needs temperature 0.
    end : int, optional
        The token that says that the text is complete. What follows it is filled with it.
    seed : int, optional
        Where draws come from; None: from NumPy's global generator. They do not depend on the backend, so a seed gives
        the same text on each (unless rounding moves a probability across a draw), and a longer text starts like a
        shorter one.
    cache : bool
        Keep keys and values of what was read (the same tokens, at less cost); False: compute all positions each time.
    mask : boolean array, as `prompt`, optional
        True where a token is real. The others must stand at the start, and nothing looks at them.

    Returns
    -------
    numpy.ndarray, shape (batch, length), or (length,) for a prompt of one axis, int32
        What was written, without the prompt.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or prompt and text together have more positions than the model.

    References
    ----------
    A. Fan et al., 2018, https://arxiv.org/abs/1805.04833 (top-k);
    A. Holtzman et al., 2019, https://arxiv.org/abs/1904.09751 (top-p)
    """
    if _check.non_negative("temperature", temperature) == 0:
        for name, value in (("top_k", top_k), ("top_p", top_p)):
            if value is not None:
                raise ValueError(f"{name} is {value} and temperature is 0, which draws nothing; set temperature to 1")
    elif _check.count("beams", beams) > 1:
        raise ValueError(f"beams is {beams} and temperature is {temperature}; a search needs temperature 0")
    if _check.count("beams", beams) > 1:
        written, _ = beam_search(model, prompt, length, beams, end, cache, mask)
        return written[..., 0, :]
    _check_filters(top_k, top_p)
    inputs = _inputs(model, prompt, mask, length, end)
    batch, slots = len(inputs["prompt"]), inputs.pop("slots")
    if temperature:
        own = np.random.default_rng(np.random.randint(2**31) if seed is None else _check.count("seed", seed, least=0))
        # Below 1 by more than float32 rounds: see `_draw`.
        inputs["draws"] = np.minimum(own.random((slots, batch)), 1 - 2.0**-22).astype("float32")
        inputs["temperature"] = np.array(temperature, "float32")
        if top_k is not None or top_p is not None:
            inputs["top_k"] = np.array(min(top_k or model.config.vocabulary, model.config.vocabulary), "int32")
            inputs["top_p"] = np.array(1.0 if top_p is None else top_p, "float32")
    written = _write(model, inputs, cache=_check.flag("cache", cache), slots=slots, beams=None)[:, :length]
    return written[0] if _is_single(prompt) else written


def beam_search(
    model: Gpt, prompt: Any, length: int, beams: int, end: int | None = None, cache: bool = True, mask: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Look for the most probable text, with the `beams` best ones so far followed up at every step.

    Each step scores every text so far followed by every token, and keeps the best. A text that has reached `end` keeps
    its probability. With as many beams as there are texts this finds the best one; with fewer it may miss it.

    Parameters
    ----------
    model, prompt, length, end, cache, mask
        As `generate` takes them.
    beams : int
        Texts to keep.

    Returns
    -------
    tokens : numpy.ndarray, shape (batch, beams, length), int32
        The best first. Without the batch's axis for a prompt of one axis.
    scores : numpy.ndarray, shape (batch, beams), float32
        Logarithm of each text's probability; minus infinity where there are fewer texts than beams.

    Raises
    ------
    TypeError, ValueError
        As in `generate`.
    """
    inputs = _inputs(model, prompt, mask, length, end)
    slots = inputs.pop("slots")
    options = {"cache": _check.flag("cache", cache), "beams": _check.count("beams", beams)}
    written, scores = _write(model, inputs, slots=slots, **options)
    written = written[..., :length]
    return (written[0], scores[0]) if _is_single(prompt) else (written, scores)


def filter_logits(logits: Any, top_k: int | None = None, top_p: float | None = None) -> np.ndarray:
    """Set the scores of unlikely tokens to minus infinity, which gives them probability 0.

    Parameters
    ----------
    logits : array, shape (..., vocabulary)
        Scores, already divided by the temperature.
    top_k : int, optional
        Keep the `top_k` highest (and those that are equal to the last of them).
    top_p : float, optional
        Of those, keep the fewest whose probabilities sum to `top_p` at least: the highest one always.

    Returns
    -------
    numpy.ndarray, as `logits`

    Raises
    ------
    TypeError, ValueError
        If `top_k` is no whole number of at least 1, or `top_p` is not above 0 and at most 1.

    Examples
    --------
    >>> logits = np.log([0.5, 0.1, 0.3, 0.1])
    >>> np.isfinite(filter_logits(logits, top_p=0.7))  # 0.5 is not enough, 0.5 + 0.3 is
    array([ True, False,  True, False])
    """
    _check_filters(top_k, top_p)
    logits = np.asarray(logits)
    top_k = logits.shape[-1] if top_k is None else min(top_k, logits.shape[-1])
    return ops.convert_to_numpy(_filter(ops.convert_to_tensor(logits), top_k, 1.0 if top_p is None else top_p))


def perplexity(model: Gpt, tokens: Any, stride: int | None = None, batch_size: int = 8) -> float:
    """Say among how many equally likely tokens the model would be as unsure as it is about these.

    It is exp of the mean of ``-log(probability)`` of each token but the first, given those before it.

    Parameters
    ----------
    model : Gpt
        The model.
    tokens : int array, shape (positions,) or (batch, positions)
        A text, of any length; or several of one length.
    stride : int, optional
        A text longer than the model is read in windows of the model's length that start this far apart; every token is
        scored once, in the first window that has it. A small stride gives each token more context, at more cost. By
        default half the model's length.
    batch_size : int
        Windows to read at a time.

    Returns
    -------
    float
        At least 1. Guessing at random gives the size of the vocabulary.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range or there are fewer than two tokens.
    """
    tokens = _tokens(model, tokens, "tokens")
    tokens = tokens[None] if tokens.ndim == 1 else tokens
    total, length = tokens.shape[1], model.config.length
    if total < 2:
        raise ValueError(f"tokens has shape {tokens.shape}; there must be at least 2 in a text")
    _check.count("batch_size", batch_size)
    step = max(1, length // 2) if stride is None else _check.count("stride", stride)
    if step > length - 1:
        raise ValueError(f"stride is {step}; it must be below the model's length, {length}")
    width = min(total, length)
    starts = [*range(0, total - width, step), total - width]
    windows = np.concatenate([tokens[:, start : start + width] for start in starts])  # window by window, all texts
    first_new = np.ones(len(starts), int)  # in each window, the first token that is not scored yet
    for n in range(1, len(starts)):
        first_new[n] = starts[n - 1] + width - starts[n]
    costs = _compiled(model, _Scorer).predict(windows, batch_size=batch_size, verbose=0)
    new = np.arange(1, width) >= np.repeat(first_new, len(tokens))[:, None]  # (windows, width - 1)
    return float(np.exp(costs[new].mean(dtype="float64")))


# --- What is given ----------------------------------------------------------------------------------------------------


def _is_single(prompt: Any) -> bool:
    return len(prompt) > 0 and np.ndim(prompt[0]) == 0


def _tokens(model: Gpt, values: Any, name: str) -> np.ndarray:
    """Require whole numbers that the model has as tokens."""
    if not isinstance(model, Gpt):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a Gpt")
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {array.dtype}; it must hold whole numbers")
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"{name} has shape {array.shape}; it must be (positions,) or (batch, positions), not empty")
    wrong = (array < 0) | (array >= model.config.vocabulary)
    if wrong.any():
        raise ValueError(f"{name} holds {array[wrong][0]}; the model's tokens are 0 to {model.config.vocabulary - 1}")
    return array.astype("int32")


def _inputs(model: Gpt, prompt: Any, mask: Any, length: int, end: int | None) -> dict[str, Any]:
    """Bring prompts into one array: filled up on the left to the longest, and on the right to a common size."""
    rows = [prompt] if _is_single(prompt) else list(prompt)
    if not rows or min(map(len, rows)) < 1:
        raise ValueError("prompt is empty; give at least one token to start from")
    longest = max(map(len, rows))
    tokens = _tokens(model, [[0] * (longest - len(row)) + [*row] for row in rows], "prompt")
    padding = np.array([longest - len(row) for row in rows], "int32")
    if mask is not None:
        mask = np.atleast_2d(mask).astype(bool)
        padding = (~mask).sum(-1).astype("int32")
        if mask.shape != tokens.shape or (mask != (np.arange(longest) >= padding[:, None])).any():
            raise ValueError("mask must have the prompt's shape, and False only at the start of a row")
        if padding.max() >= longest:
            raise ValueError("mask leaves a row without a token")
    room, limit = longest + _check.count("length", length), model.config.length
    if room > limit:
        raise ValueError(f"length is {length} and the prompt has {longest}; the model has {limit} positions")
    if end is not None and _check.count("end", end, least=0) >= model.config.vocabulary:
        raise ValueError(f"end is {end}; it must be a token, below {model.config.vocabulary}")
    size = min(_round_up(longest, PROMPT_STEP), limit)
    inputs = {
        "prompt": np.pad(tokens, ((0, 0), (0, size - longest))),
        "longest": np.array(longest, "int32"),
        "length": np.array(length, "int32"),
        "end": np.array(-1 if end is None else end, "int32"),
        "slots": _round_up(length, ROOM_STEP),
    }
    return inputs | ({"padding": padding} if padding.any() else {})


def _check_filters(top_k: int | None, top_p: float | None) -> None:
    if top_k is not None:
        _check.count("top_k", top_k)
    if top_p is not None and _check.positive("top_p", top_p) > 1:
        raise ValueError(f"top_p is {top_p}; it must be above 0 and at most 1")


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step


# --- Choosing a token -------------------------------------------------------------------------------------------------


def _filter(logits: Any, top_k: Any, top_p: Any) -> Any:
    """Do what `filter_logits` says; `top_k` and `top_p` may be tensors."""
    ranked = ops.flip(ops.sort(logits, axis=-1), axis=-1)  # the highest first
    last = ops.expand_dims(ops.take(ranked, top_k - 1, axis=-1), -1)
    ranked = ops.where(ranked < last, -np.inf, ranked)
    probability = ops.softmax(ranked, axis=-1)
    before = ops.cumsum(probability, axis=-1) - probability  # of all that rank higher
    # Keep what is needed to reach top_p; rounding must not drop the first, nor anything where top_p is 1.
    kept = ops.logical_or(before < top_p, ops.logical_or(top_p >= 1, ranked == ranked[..., :1]))
    lowest = ops.min(ops.where(kept, ranked, np.inf), axis=-1, keepdims=True)
    return ops.where(logits < ops.maximum(lowest, last), -np.inf, logits)


def _draw(logits: Any, draws: Any) -> Any:
    """Take the first token at which the sum of probabilities passes a number between 0 and 1, one for each row.

    A token of probability 0 does not move the sum, so it is never the first. The sum may end a little below 1 by
    rounding: what must be passed is a share of what it ends at.
    """
    sums = ops.cumsum(ops.softmax(logits, axis=-1), axis=-1)  # (batch, vocabulary)
    return ops.cast(ops.argmax(sums > ops.expand_dims(draws, -1) * sums[:, -1:], axis=-1), "int32")


# --- The compiled loops -----------------------------------------------------------------------------------------------


class _Writer(keras.Model):
    """The loop of `generate` as a model, since Keras compiles on every backend what `predict` calls.

    Everything that may change from call to call is an input; what remains fixed is here.
    """

    def __init__(self, model: Gpt, cache: bool, slots: int, beams: int | None) -> None:
        super().__init__(name="writer", autocast=False)  # draws between 0 and 1 keep their digits in half precision
        self.model, self.cache, self.slots, self.beams = model, cache, slots, beams
        self.built = True

    def call(self, inputs: dict[str, Any]) -> Any:
        """Write ``inputs["length"]`` tokens behind ``inputs["prompt"]``."""
        logits, read = self._start(inputs)
        return self._choose(inputs, logits, read) if self.beams is None else self._search(inputs, logits, read)

    def _choose(self, inputs: dict[str, Any], logits: Any, memory: Any) -> Any:
        batch = inputs["prompt"].shape[0]

        def choose(logits: Any, place: Any) -> Any:
            if "draws" not in inputs:
                return ops.cast(ops.argmax(logits, axis=-1), "int32")
            logits = logits / inputs["temperature"]
            if "top_k" in inputs:
                logits = _filter(logits, inputs["top_k"], inputs["top_p"])
            return _draw(logits, ops.take(inputs["draws"], place, axis=0))

        def more(place: Any, token: Any, done: Any, written: Any, memory: Any) -> Any:
            return ops.logical_and(place < inputs["length"], ops.logical_not(ops.all(done)))

        def write(place: Any, token: Any, done: Any, written: Any, memory: Any) -> Any:
            logits, memory = self._read(inputs, token, memory, inputs["longest"] + place - 1)
            token = ops.where(done, inputs["end"], choose(logits, place))
            written = ops.slice_update(written, _corner(place, 1), token[:, None])
            return place + 1, token, ops.logical_or(done, token == inputs["end"]), written, memory

        token = choose(logits, 0)
        end = ops.zeros((batch, self.slots), "int32") + ops.maximum(inputs["end"], 0)  # fills what is not reached
        written = ops.slice_update(end, _corner(0, 1), token[:, None])
        state = (ops.convert_to_tensor(1, "int32"), token, token == inputs["end"], written, memory)
        return ops.while_loop(more, write, state)[3]

    def _search(self, inputs: dict[str, Any], logits: Any, memory: Any) -> Any:
        batch, beams, words = inputs["prompt"].shape[0], self.beams, logits.shape[-1]
        is_end = ops.arange(words, dtype="int32") == inputs["end"]
        rows = ops.arange(batch, dtype="int32")[:, None] * beams  # of each text's first beam

        def best(logits: Any, scores: Any, done: Any) -> tuple[Any, Any, Any]:
            """Extend each beam by each token; give the best tokens, the beams that they extend, their scores."""
            gains = ops.reshape(ops.log_softmax(logits, axis=-1), (batch, beams, words))
            gains = ops.where(done[..., None], ops.where(is_end, 0.0, -np.inf), gains)  # what is complete stays
            scores, index = ops.top_k(ops.reshape(scores[..., None] + gains, (batch, beams * words)), beams)
            index = ops.cast(index, "int32")
            return index % words, ops.reshape(rows + index // words, (-1,)), scores

        def more(place: Any, token: Any, done: Any, scores: Any, written: Any, memory: Any) -> Any:
            return ops.logical_and(place < inputs["length"], ops.logical_not(ops.all(done)))

        def write(place: Any, token: Any, done: Any, scores: Any, written: Any, memory: Any) -> Any:
            logits, memory = self._read(inputs, token, memory, inputs["longest"] + place - 1)
            token, parents, scores = best(logits, scores, done)
            follow = _picker(parents)
            done = ops.logical_or(ops.reshape(follow(ops.reshape(done, (-1,))), (batch, beams)), token == inputs["end"])
            token = ops.reshape(token, (-1,))
            written = ops.slice_update(follow(written), _corner(place, 1), token[:, None])
            return place + 1, token, done, scores, written, keras.tree.map_structure(follow, memory)

        # At first all beams are the prompt: one of them stands for all.
        scores = ops.zeros((batch, beams)) + ops.where(ops.arange(beams) == 0, 0.0, -np.inf)
        logits, memory = keras.tree.map_structure(lambda x: ops.repeat(x, beams, axis=0), (logits, memory))
        token, _, scores = best(logits, scores, ops.zeros((batch, beams), "bool"))
        end = ops.zeros((batch * beams, self.slots), "int32") + ops.maximum(inputs["end"], 0)
        written = ops.slice_update(end, _corner(0, 1), ops.reshape(token, (-1, 1)))
        one = ops.convert_to_tensor(1, "int32")
        state = (one, ops.reshape(token, (-1,)), token == inputs["end"], scores, written, memory)
        _, _, _, scores, written, _ = ops.while_loop(more, write, state)
        return ops.reshape(written, (batch, beams, self.slots)), scores

    def _start(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        """Read the prompt: scores (batch, vocabulary) of what follows it, and what to remember.

        The prompt is filled up on the right with tokens that nothing looks at: they lie in the future of what counts,
        and the cache's places behind `longest` are written anew before they are looked at.
        """
        prompt = inputs["prompt"]
        room = min(_round_up(prompt.shape[1], PROMPT_STEP) + self.slots, self.model.config.length)
        if self.cache:
            caches = self.model.empty_caches(prompt.shape[0], room)
            states, memory = self.model.next_states(prompt, caches, 0, inputs.get("padding"))
        else:
            memory = ops.pad(prompt, ((0, 0), (0, room - prompt.shape[1])))
            states = self._states(inputs, memory)
        return self._last(states, inputs["longest"] - 1), memory

    def _read(self, inputs: dict[str, Any], token: Any, memory: Any, place: Any) -> tuple[Any, Any]:
        """Read one token more; `place` is where it stands."""
        if not self.cache:
            memory = ops.slice_update(memory, _corner(place, 1), token[:, None])
            return self._last(self._states(inputs, memory), place), memory
        padding = inputs.get("padding")
        if padding is not None and self.beams is not None:
            padding = ops.repeat(padding, self.beams)
        logits, memory = self.model.step(token[:, None], memory, place, padding)
        return logits[:, 0], memory

    def _states(self, inputs: dict[str, Any], tokens: Any) -> Any:
        if "padding" not in inputs:
            return self.model.states(tokens, training=False)
        padding = ops.repeat(inputs["padding"], tokens.shape[0] // inputs["padding"].shape[0])
        mask = ops.arange(tokens.shape[1], dtype="int32") >= padding[:, None]
        return self.model.states({"tokens": tokens, "mask": mask}, training=False)

    def _last(self, states: Any, place: Any) -> Any:
        state = ops.slice(states, _corner(place, 2), (states.shape[0], 1, states.shape[2]))
        return self.model.logits(state)[:, 0]


class _Scorer(keras.Model):
    """Minus the logarithm of each token's probability, but the first's, given those before it."""

    def __init__(self, model: Gpt) -> None:
        super().__init__(name="scorer", autocast=False)
        self.model, self.built = model, True

    def call(self, tokens: Any) -> Any:
        """Give costs (batch, positions - 1)."""
        logits = self.model.logits(self.model.states(tokens, training=False)[:, :-1])
        return keras.losses.sparse_categorical_crossentropy(tokens[:, 1:], logits, from_logits=True)


def _corner(place: Any, axes: int) -> Any:
    """Where a slice of an array starts that lies at `place` of axis 1."""
    unit = ops.convert_to_tensor([0, 1, 0][: axes + 1], "int32")
    return ops.cast(place, "int32") * unit


def _picker(rows: Any) -> Callable[[Any], Any]:
    return lambda array: ops.take(array, rows, axis=0)


class _Loops:
    """What was compiled for a model; no list or dict, in which Keras would find models and save them too."""

    def __init__(self) -> None:
        self.found: dict[Any, keras.Model] = {}


def _write(model: Gpt, inputs: dict[str, np.ndarray], **options: Any) -> Any:
    """Run a `_Writer` for inputs of these shapes; TensorFlow would soon compile one for all shapes, without sizes."""
    shapes = tuple((name, array.shape) for name, array in inputs.items())
    return _compiled(model, _Writer, shapes, **options).predict_on_batch(inputs)


def _compiled(model: Gpt, kind: type[keras.Model], shapes: Any = None, **options: Any) -> keras.Model:
    """Make a loop, or find the one that was compiled at an earlier call."""
    if "_loops" not in vars(model):
        object.__setattr__(model, "_loops", _Loops())  # past Keras, which would make it a part of the model
    # Compiled code holds on to the model's variables: adapters added later ask for another loop.
    key = kind, shapes, *options.values(), model.compiled and model.jit_compile, *map(id, model.variables)
    if key not in model._loops.found:
        model._loops.found[key] = loop = kind(model, **options)
        if model.compiled:
            loop.jit_compile = model.jit_compile
    return model._loops.found[key]
