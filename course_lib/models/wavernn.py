"""WaveRNN: one recurrent layer that writes 16-bit samples, each in two halves of 8 bits.

>>> import numpy as np
>>> config = WaveRNNConfig(units=16)
>>> model = wavernn(config, seed=0)
>>> model.count_params() == config.parameters
True
>>> parts = np.array([[[128, 0], [128, 37], [127, 250]]])  # coarse and fine halves, see audio.companding.split_bits
>>> tuple(model(parts).shape)  # scores of both halves: (batch, time, 2, 256)
(1, 3, 2, 256)
>>> bool((generate(model, 5, seed=0) == generate(model, 5, seed=0, cache=False)).all())
True
>>> WaveRNNConfig(units=896).multiply_adds  # to write one sample: five products of a matrix and a vector
3039232

References
----------
N. Kalchbrenner et al., Efficient Neural Audio Synthesis, 2018, https://arxiv.org/abs/1802.08435, section 2
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
from course_lib.layers.recurrent import GRUCell, Recurrent
from course_lib.models import _presets
from course_lib.models.wavenet import draw

__all__ = ["PRESETS", "DualGRUCell", "WaveRNN", "WaveRNNConfig", "generate", "wavernn"]

CLASSES = 256  # of each half
SILENCE = (128, 0)  # the two halves of a sample of 0


@dataclass(frozen=True)
class WaveRNNConfig:
    """What fixes a WaveRNN.

    Attributes
    ----------
    units : int
        Numbers in the state; even. The first half decides about the coarse part of a sample, the second about the fine.
    condition : int, optional
        Numbers that say what to say, for each frame; None: no condition.
    hop : int
        Samples that a frame of the condition stands for.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    units: int = 896
    condition: int | None = None
    hop: int = 1

    def __post_init__(self) -> None:
        """Check every field."""
        if _check.count("units", self.units) % 2:
            raise ValueError(f"units is {self.units}; it must be even, for two halves")
        if self.condition is not None:
            _check.count("condition", self.condition)
        _check.count("hop", self.hop)

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives."""
        n, half = self.units, self.units // 2
        recurrent = (n + 3 + (self.condition or 0) + 2) * 3 * n
        return recurrent + 2 * ((half + 1) * half + (half + 1) * CLASSES)

    @property
    def multiply_adds(self) -> int:
        """Multiplications (each with its addition) of the five large products that write one sample.

        They are the state's, and two for each half's scores. The inputs are three numbers, and are left out.
        """
        n, half = self.units, self.units // 2
        return 3 * n * n + 2 * (half * half + half * CLASSES)


PRESETS = {"paper": WaveRNNConfig(896)}  # section 2.2: a state of 896


def wavernn(config: WaveRNNConfig | str, name: str | None = None, seed: int | None = None) -> WaveRNN:
    """Build a WaveRNN.

    Parameters
    ----------
    config : WaveRNNConfig or str
        Its sizes, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "wavernn".
    seed : int, optional
        Where the initial weights draw from; None: from Keras' global seed.

    Returns
    -------
    WaveRNN
        Not compiled.

    Raises
    ------
    TypeError
        If `config` is no `WaveRNNConfig`.
    ValueError
        If there is no preset of this name.
    """
    chosen, preset = _presets.resolve(config, WaveRNNConfig, PRESETS)
    model = WaveRNN(chosen, seed, name=name or preset or "wavernn")
    model.build()
    return model


@keras.saving.register_keras_serializable(package="course_lib")
class DualGRUCell(GRUCell):
    r"""A gated recurrent unit whose first half must not see the coarse part :math:`c_t` of the sample in question.

    .. math::

        x_t &= [c_{t-1}, f_{t-1}, c_t] \\
        u_t, r_t &= \sigma(R_u h_{t-1} + I^\star_u x_t), \; \sigma(R_r h_{t-1} + I^\star_r x_t) \\
        e_t &= \tanh(r_t \odot (R_e h_{t-1}) + I^\star_e x_t) \\
        h_t &= u_t \odot h_{t-1} + (1 - u_t) \odot e_t

    The star is a mask: :math:`c_t` enters the second half of each gate only. The first half of :math:`h_t` can then
    guess :math:`c_t`, the second half :math:`f_t` from :math:`c_t`. The recurrent matrix has no mask: what both halves
    knew of the past is known to both.

    Parameters, weights and their order are `GRUCell`'s with ``reset_after=True``; a mask does not change their shapes.
    The third input is the one with a mask.
    """

    def build(self, input_shape: Any) -> None:
        """Make the weights, and the mask."""
        super().build(input_shape)
        mask = np.ones((input_shape[-1], 3 * self.units), "float32")
        mask[2] = np.tile(np.arange(self.units) >= self.units // 2, 3)
        self.mask = mask  # (inputs, 3 units)

    def product(self, inputs: Any, kernel: Any) -> Any:
        """Multiply the inputs by their kernel, through the mask."""
        return inputs if kernel is None else ops.matmul(inputs, kernel * ops.cast(self.mask, inputs.dtype))


@keras.saving.register_keras_serializable(package="course_lib")
class WaveRNN(keras.Model):
    """A WaveRNN; make one with `wavernn`.

    Called on samples in halves (batch, time, 2), coarse and fine, it gives the scores (logits) of each: of the coarse
    half from the samples before, of the fine half from these and the coarse half. So in training the wanted halves are
    the inputs themselves. Before the first sample stands silence.

    Parameters
    ----------
    config : WaveRNNConfig
        Its sizes.
    seed : int, optional
        Where the initial weights draw from.
    **kwargs
        As ``keras.Model`` takes them.
    """

    def __init__(self, config: WaveRNNConfig, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config, self.seed, policy = config, seed, self.dtype_policy
        cell = DualGRUCell(config.units, seed=_seeds.derive(seed, 0), dtype=policy, name="cell")
        self.recurrent = Recurrent(cell, return_sequences=True, dtype=policy, name="recurrent")

        def dense(units: int, number: int, name: str) -> keras.layers.Dense:
            glorot = keras.initializers.GlorotUniform(_seeds.derive(seed, number))
            return keras.layers.Dense(units, kernel_initializer=glorot, dtype=policy, name=name)

        half = config.units // 2
        self.coarse = [dense(half, 1, "coarse_hidden"), dense(CLASSES, 2, "coarse_scores")]
        self.fine = [dense(half, 3, "fine_hidden"), dense(CLASSES, 4, "fine_scores")]

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        self.recurrent.build((None, None, 3 + (self.config.condition or 0)))
        for layer in (*self.coarse, *self.fine):
            layer.build((None, None, self.config.units // 2))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Score both halves of each sample.

        Parameters
        ----------
        inputs : int tensor, shape (batch, time, 2), or dict
            Coarse and fine halves, 0 to 255; or ``"parts"`` and ``"condition"``, a tensor (batch, frames, condition),
            where frame ``t // hop`` belongs to sample ``t``.
        training : bool, optional
            Not used; Keras gives it.

        Returns
        -------
        tensor, shape (batch, time, 2, 256)

        Raises
        ------
        ValueError
            If a condition is missing, or there is one that the model does not take, or it has too few frames.
        """
        parts, condition = _parts(self.config, inputs)
        scaled = ops.cast(parts, self.compute_dtype) / 127.5 - 1  # from -1 to 1
        silence = ops.convert_to_tensor(_scaled(SILENCE), scaled.dtype) + 0 * scaled[:, :1]
        before = ops.concatenate([silence, scaled[:, :-1]], axis=1)
        steps = [before, scaled[..., :1]]  # what was, and the coarse half
        if condition is not None:
            frames = ops.repeat(ops.cast(condition, scaled.dtype), self.config.hop, axis=1)
            steps.append(frames[:, : parts.shape[1]])
        states = self.recurrent(ops.concatenate(steps, axis=-1))  # (batch, time, units)
        scores = []
        for (hidden, last), state in zip((self.coarse, self.fine), ops.split(states, 2, axis=-1), strict=True):
            scores.append(last(ops.relu(hidden(state))))
        return precise(ops.stack(scores, axis=2))

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"config": asdict(self.config), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> WaveRNN:
        """Make the model that `get_config` describes."""
        return cls(**config | {"config": WaveRNNConfig(**config["config"])})


def generate(
    model: WaveRNN,
    length: int,
    condition: Any = None,
    batch: int | None = None,
    temperature: float = 1.0,
    seed: int | None = None,
    cache: bool = True,
) -> np.ndarray:
    """Write sounds, sample by sample, each in two halves.

    Parameters
    ----------
    model : WaveRNN
        The model.
    length : int
        Samples to write.
    condition : array, shape (batch, frames, condition), optional
        What to say, as the model takes it.
    batch : int, optional
        Sounds to write side by side; by default as many as `condition` has, or 1.
    temperature : float
        Halves are drawn with the probabilities ``softmax(scores / temperature)``; 0: the one with the highest score.
    seed : int, optional
        Where draws come from; None: from NumPy's global generator.
    cache : bool
        Keep the state from sample to sample; False: read everything again for each half.

    Returns
    -------
    numpy.ndarray of int32, shape (batch, length, 2)
        Coarse and fine halves; `course_lib.audio.companding.join_bits` makes samples of them.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or does not suit the model.

    Notes
    -----
    With the state kept, a sample costs five products of a matrix and a vector, however long the sound is. They run in
    NumPy, as in `course_lib.models.wavenet.FastWaveNet`. The product with the state serves both halves; the gates of
    the second half wait until the coarse part is drawn.
    """
    if not isinstance(model, WaveRNN):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a WaveRNN")
    _check.count("length", length)
    _check.non_negative("temperature", temperature)
    if condition is not None:
        condition = _check.finite("condition", condition).astype("float32")
        if batch not in (None, len(condition)):
            raise ValueError(f"batch is {batch} and condition has {len(condition)} rows; leave batch away")
        batch = len(condition)
    batch = _check.count("batch", 1 if batch is None else batch)
    written = np.zeros((batch, length, 2), "int32")
    _parts(model.config, {"parts": written, "condition": condition})  # checks the condition
    rng = np.random.default_rng(np.random.randint(2**31) if seed is None else _check.count("seed", seed, least=0))
    if not _check.flag("cache", cache):
        inputs: Any = {"parts": written} | ({} if condition is None else {"condition": condition})
        for t in range(length):
            for half in (0, 1):  # what is not yet written is still 0, and nothing looks ahead
                logits = ops.convert_to_numpy(model(inputs))[:, t, half]
                written[:, t, half] = draw(logits, rng, temperature)
        return written
    step = _Step(model, batch)
    last = np.tile(np.array(SILENCE), (batch, 1))
    for t in range(length):
        if condition is not None and t % model.config.hop == 0:
            step.set_condition(condition[:, t // model.config.hop])
        last[:, 0] = draw(step.coarse(last), rng, temperature)
        last[:, 1] = draw(step.fine(last[:, 0]), rng, temperature)
        written[:, t] = last
    return written


class _Step:
    """The model's equations for one sample, in NumPy, with the state kept."""

    def __init__(self, model: WaveRNN, batch: int) -> None:
        cell = model.recurrent.cell
        self.kernel, self.recurrent, biases = (ops.convert_to_numpy(weight) for weight in cell.weights)
        self.kernel = self.kernel * cell.mask
        self.bias, self.state_bias = biases
        self.heads = [
            [[ops.convert_to_numpy(weight) for weight in layer.weights] for layer in head]
            for head in (model.coarse, model.fine)
        ]
        self.units, self.state = model.config.units, np.zeros((batch, model.config.units), self.kernel.dtype)
        self.added: Any = self.bias

    def set_condition(self, frame: np.ndarray) -> None:
        """Compute what a frame (batch, condition) adds to the gates, once for all its samples."""
        self.added = self.bias + frame @ self.kernel[3:]

    def coarse(self, last: np.ndarray) -> np.ndarray:
        """Score the coarse half from the sample before, both halves of it (batch, 2)."""
        self.inputs = _scaled(last) @ self.kernel[:2] + self.added
        self.product = self.state @ self.recurrent + self.state_bias
        self.new = np.empty_like(self.state)
        return self._half(0)

    def fine(self, coarse: np.ndarray) -> np.ndarray:
        """Score the fine half from the coarse one (batch,)."""
        self.inputs = self.inputs + _scaled(coarse[:, None]) @ self.kernel[2:3]
        scores = self._half(1)
        self.state = self.new
        return scores

    def _half(self, number: int) -> np.ndarray:
        half = self.units // 2
        own = slice(number * half, (number + 1) * half)
        x, h = (array.reshape(-1, 3, self.units)[..., own] for array in (self.inputs, self.product))
        u, r = (1 / (1 + np.exp(-x[:, gate] - h[:, gate])) for gate in (0, 1))
        candidate = np.tanh(x[:, 2] + r * h[:, 2])
        self.new[:, own] = u * self.state[:, own] + (1 - u) * candidate
        (kernel, bias), (last, last_bias) = self.heads[number]
        return np.maximum(self.new[:, own] @ kernel + bias, 0) @ last + last_bias


def _scaled(parts: Any) -> np.ndarray:
    return (np.asarray(parts) / 127.5 - 1).astype("float32")


def _parts(config: WaveRNNConfig, inputs: Any) -> tuple[Any, Any]:
    """Take samples and condition apart, and check that they suit the model."""
    inputs = inputs if isinstance(inputs, dict) else {"parts": inputs}
    parts, condition = ops.convert_to_tensor(inputs["parts"]), inputs.get("condition")
    if len(parts.shape) != 3 or parts.shape[-1] != 2:
        raise ValueError(f"parts has shape {tuple(parts.shape)}; it must be (batch, time, 2)")
    if (condition is None) != (config.condition is None):
        given = "missing" if condition is None else f"given, of shape {tuple(condition.shape)}"
        raise ValueError(f"condition is {given}; the configuration says condition={config.condition}")
    if condition is not None:
        shape, time = tuple(condition.shape), parts.shape[1]
        if len(shape) != 3 or shape[-1] != config.condition:
            raise ValueError(f"condition has shape {shape}; it must be (batch, frames, {config.condition})")
        if None not in (shape[1], time) and shape[1] * config.hop < time:
            raise ValueError(f"condition has {shape[1]} frames of {config.hop} samples; there are {time} samples")
    return parts, condition
