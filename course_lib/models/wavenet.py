"""WaveNet: a stack of causal dilated convolutions that guesses each sample of a sound from those before it.

>>> import numpy as np
>>> config = WaveNetConfig(channels=8, residual=8, skip=16, dilations=(1, 2, 4, 8), classes=256)
>>> config.receptive_field  # samples before it that a guess depends on
16
>>> model = wavenet(config, seed=0)
>>> model.count_params() == config.parameters
True
>>> codes = np.array([[128, 130, 127, 125]])  # mu-law codes, see course_lib.audio.companding
>>> tuple(model(codes).shape)  # scores of each code, for each sample, given the samples before it
(1, 4, 256)

Sample after sample, with what the layers saw kept, it writes the same as by reading everything again each time:

>>> fast = generate(model, length=5, seed=0)
>>> bool((fast == generate(model, length=5, seed=0, cache=False)).all())
True

References
----------
A. van den Oord et al., WaveNet: A Generative Model for Raw Audio, 2016, https://arxiv.org/abs/1609.03499;
T. Le Paine et al., Fast Wavenet Generation Algorithm, 2016, https://arxiv.org/abs/1611.09482 (the cache)
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
from course_lib.layers.dilated import DilatedConvolution, receptive_field
from course_lib.models import _presets

__all__ = ["PRESETS", "FastWaveNet", "WaveNet", "WaveNetConfig", "draw", "generate", "wavenet"]


@dataclass(frozen=True)
class WaveNetConfig:
    """What fixes a WaveNet.

    Attributes
    ----------
    channels, residual, skip : int
        Numbers at each step: inside a layer, after its gate; between layers; and in the sum of all layers' results,
        from which the scores are computed.
    dilations : tuple of int
        Of the layers, the first to the last.
    kernel : int
        Taps of each convolution.
    classes : int
        Codes of a sample.
    condition : int, optional
        Numbers that say what to say, for each frame; None: no condition.
    hop : int
        Samples that a frame of the condition stands for.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    channels: int
    residual: int
    skip: int
    dilations: tuple[int, ...] = tuple(2**n for n in range(10))
    kernel: int = 2
    classes: int = 256
    condition: int | None = None
    hop: int = 1

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("channels", "residual", "skip", "hop"):
            _check.count(name, getattr(self, name))
        object.__setattr__(self, "dilations", _presets.counts("dilations", self.dilations))
        for name in ("kernel", "classes"):
            _check.count(name, getattr(self, name), least=2)
        if self.condition is not None:
            _check.count("condition", self.condition)

    @property
    def receptive_field(self) -> int:
        """Samples before it that the scores of a sample depend on: ``1 + (kernel - 1) sum(dilations)``."""
        return receptive_field(self.kernel, self.dilations)

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives."""
        layer = (self.kernel * self.residual + 1) * 2 * self.channels + (self.condition or 0) * 2 * self.channels
        to_skip, to_residual = (self.channels + 1) * self.skip, (self.channels + 1) * self.residual
        layers = len(self.dilations) * (layer + to_skip + to_residual) - to_residual  # the last has no next
        head = (self.skip + 1) * self.skip + (self.skip + 1) * self.classes
        return self.classes * self.residual + layers + head

    @property
    def multiply_adds(self) -> int:
        """Multiplications (each with its addition) to write one sample with a cache, without the condition's."""
        layer = self.channels * (2 * self.kernel * self.residual + self.skip + self.residual)
        head = self.skip * (self.skip + self.classes)
        return len(self.dilations) * layer - self.channels * self.residual + head


# The paper gives the dilations; it gives no widths, so these are a choice.
BLOCK = tuple(2**n for n in range(10))
PRESETS = {
    "block": WaveNetConfig(64, 64, 256, BLOCK),  # 1, 2, 4, ..., 512: 1,024 samples
    "three_blocks": WaveNetConfig(64, 64, 256, 3 * BLOCK),
}


def wavenet(config: WaveNetConfig | str, name: str | None = None, seed: int | None = None) -> WaveNet:
    """Build a WaveNet.

    Parameters
    ----------
    config : WaveNetConfig or str
        Its sizes, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "wavenet".
    seed : int, optional
        Where the initial weights draw from; None: from Keras' global seed.

    Returns
    -------
    WaveNet
        Not compiled.

    Raises
    ------
    TypeError
        If `config` is no `WaveNetConfig`.
    ValueError
        If there is no preset of this name.
    """
    chosen, preset = _presets.resolve(config, WaveNetConfig, PRESETS)
    model = WaveNet(chosen, seed, name=name or preset or "wavenet")
    model.build()
    return model


@keras.saving.register_keras_serializable(package="course_lib")
class WaveNet(keras.Model):
    """A WaveNet; make one with `wavenet`.

    Called on codes (batch, time), it gives for each sample the scores (logits) of every code, computed from the samples
    before it and from nothing else. So in training the wanted codes are the codes themselves. Before the first sample
    stands silence, the code in the middle.

    Parameters
    ----------
    config : WaveNetConfig
        Its sizes.
    seed : int, optional
        Where the initial weights draw from.
    **kwargs
        As ``keras.Model`` takes them.
    """

    def __init__(self, config: WaveNetConfig, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config, self.seed, policy = config, seed, self.dtype_policy

        def dense(units: int, number: int, name: str, use_bias: bool = True) -> keras.layers.Dense:
            glorot = keras.initializers.GlorotUniform(_seeds.derive(seed, number))
            return keras.layers.Dense(units, use_bias=use_bias, kernel_initializer=glorot, dtype=policy, name=name)

        # The paper's first convolution, on codes as one-hot vectors. With one tap it is a row of a table.
        uniform = keras.initializers.RandomUniform(-0.5, 0.5, seed=_seeds.derive(seed, 0))
        self.embedding = keras.layers.Embedding(
            config.classes, config.residual, embeddings_initializer=uniform, dtype=policy, name="embedding"
        )
        self.gates, self.conditions, self.to_skip, self.to_residual = [], [], [], []
        last = len(config.dilations) - 1
        for n, dilation in enumerate(config.dilations):
            own = _seeds.derive(seed, 100 * (n + 1))
            width = 2 * config.channels
            gate = DilatedConvolution(width, config.kernel, dilation, seed=own, dtype=policy, name=f"gate_{n}")
            self.gates.append(gate)
            if config.condition is not None:
                self.conditions.append(dense(width, 100 * (n + 1) + 1, f"condition_{n}", use_bias=False))
            self.to_skip.append(dense(config.skip, 100 * (n + 1) + 2, f"skip_{n}"))
            if n < last:  # nothing reads the last layer's residual
                self.to_residual.append(dense(config.residual, 100 * (n + 1) + 3, f"residual_{n}"))
        self.hidden = dense(config.skip, 1, "hidden")
        self.scores = dense(config.classes, 2, "scores")

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        c = self.config
        self.embedding.build((None, None))
        for layers, width in (
            (self.gates, c.residual), (self.conditions, c.condition), (self.to_skip, c.channels),
            (self.to_residual, c.channels), ((self.hidden, self.scores), c.skip),
        ):  # fmt: skip
            for layer in layers:
                layer.build((None, None, width))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Score every code, for each sample, from the samples before it.

        Parameters
        ----------
        inputs : int tensor, shape (batch, time), or dict
            Codes; or ``"codes"`` and ``"condition"``, a tensor (batch, frames, condition), where frame ``t // hop``
            belongs to sample ``t``; or (batch, condition) for one that holds for the whole sound (a speaker).
        training : bool, optional
            Not used; Keras gives it.

        Returns
        -------
        tensor, shape (batch, time, classes)

        Raises
        ------
        ValueError
            If a condition is missing, or there is one that the model does not take, or it has too few frames.
        """
        codes, condition = _parts(self.config, inputs)
        codes = ops.cast(codes, "int32")
        before = ops.pad(codes[:, :-1], ((0, 0), (1, 0)), constant_values=self.config.classes // 2)
        return self._stack(self.embedding(before), condition)

    def _stack(self, x: Any, condition: Any) -> Any:
        """Do all that comes after the table: from (batch, time, residual) to scores (batch, time, classes)."""
        total: Any = 0
        for n, (gate, to_skip) in enumerate(zip(self.gates, self.to_skip, strict=True)):
            both = gate(x)  # (batch, time, 2 channels)
            if condition is not None:
                both = both + self._spread(self.conditions[n](condition), x.shape[1])
            filtered, gated = ops.split(both, 2, axis=-1)
            z = ops.tanh(filtered) * ops.sigmoid(gated)  # (batch, time, channels)
            total = total + to_skip(z)
            if n < len(self.to_residual):
                x = x + self.to_residual[n](z)
        return precise(self.scores(ops.relu(self.hidden(ops.relu(total)))))

    def _spread(self, frames: Any, time: int) -> Any:
        """Repeat each frame for all its samples: (batch, time, channels)."""
        if len(frames.shape) == 2:
            return frames[:, None]
        if self.config.hop > 1:
            frames = ops.repeat(frames, self.config.hop, axis=1)
        return frames[:, :time]

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"config": asdict(self.config), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> WaveNet:
        """Make the model that `get_config` describes."""
        return cls(**config | {"config": WaveNetConfig(**config["config"])})


class FastWaveNet:
    """A WaveNet that reads sample by sample, each at the same cost: it keeps what its convolutions will look back at.

    A layer with dilation ``d`` and ``k`` taps needs its inputs of the last ``(k - 1) d`` steps. They stand in a ring:
    the new one is written over the oldest. Each step is a few small matrix products, so it runs in NumPy: any framework
    would need longer to start them than to compute them.

    Parameters
    ----------
    model : WaveNet
        The model. Its weights are copied: after more training, make a new one.
    batch : int
        Sounds to read side by side.

    Examples
    --------
    >>> model = wavenet(WaveNetConfig(4, 4, 8, (1, 2, 4), classes=16), seed=0)
    >>> codes = np.array([[3, 9, 4, 15, 0, 7]])
    >>> fast, found = FastWaveNet(model), []
    >>> for before in [8, *codes[0, :-1]]:  # silence, then each sample but the last
    ...     found.append(fast.step(np.array([before])))
    >>> bool(np.allclose(np.stack(found, axis=1), model(codes), atol=1e-5))
    True
    """

    def __init__(self, model: WaveNet, batch: int = 1) -> None:
        if not isinstance(model, WaveNet):
            raise TypeError(f"model is of type {type(model).__name__}; it must be a WaveNet")

        def pair(layer: Any) -> tuple[np.ndarray, np.ndarray]:
            kernel, bias = (ops.convert_to_numpy(weight) for weight in layer.weights)
            return np.ascontiguousarray(kernel.reshape(-1, kernel.shape[-1])), bias

        config = self.config = model.config
        self.table = ops.convert_to_numpy(model.embedding.embeddings)
        self.gates, self.to_skip = [pair(layer) for layer in model.gates], [pair(layer) for layer in model.to_skip]
        self.to_residual = [pair(layer) for layer in model.to_residual]
        self.conditions = [ops.convert_to_numpy(layer.kernel) for layer in model.conditions]
        self.hidden, self.scores = pair(model.hidden), pair(model.scores)
        room = [(config.kernel - 1) * dilation for dilation in config.dilations]
        self.rings = [np.zeros((steps, batch, config.residual), self.table.dtype) for steps in room]
        self.time = 0

    def step(self, codes: np.ndarray, condition: list[np.ndarray] | None = None) -> np.ndarray:
        """Read one sample more, and score the next.

        Parameters
        ----------
        codes : int array, shape (batch,)
            The sample that was read or written last.
        condition : list of arrays, optional
            What `conditions_of` gives for the frame of the sample that comes next.

        Returns
        -------
        numpy.ndarray, shape (batch, classes)
        """
        channels, taps = self.config.channels, range(self.config.kernel - 1)
        x = self.table[codes]  # (batch, residual)
        total: Any = 0
        for n, (dilation, ring) in enumerate(zip(self.config.dilations, self.rings, strict=True)):
            size = len(ring)  # what stands at `time` in the ring was written `size` steps ago
            kernel, bias = self.gates[n]
            both = np.concatenate([*(ring[(self.time + i * dilation) % size] for i in taps), x], axis=1) @ kernel + bias
            ring[self.time % size] = x
            if condition is not None:
                both += condition[n]
            z = np.tanh(both[:, :channels]) / (1 + np.exp(-both[:, channels:]))
            kernel, bias = self.to_skip[n]
            total = total + (z @ kernel + bias)
            if n < len(self.to_residual):
                kernel, bias = self.to_residual[n]
                x = x + (z @ kernel + bias)
        self.time += 1
        for kernel, bias in (self.hidden, self.scores):
            total = np.maximum(total, 0) @ kernel + bias
        return total

    def conditions_of(self, frames: np.ndarray) -> list[np.ndarray]:
        """Compute what frames (batch, condition) add to each layer's gates, once for all their samples."""
        return [frames @ kernel for kernel in self.conditions]


def generate(
    model: WaveNet,
    length: int,
    condition: Any = None,
    batch: int | None = None,
    temperature: float = 1.0,
    seed: int | None = None,
    cache: bool = True,
) -> np.ndarray:
    """Write sounds, sample by sample.

    Parameters
    ----------
    model : WaveNet
        The model.
    length : int
        Samples to write.
    condition : array, shape (batch, frames, condition) or (batch, condition), optional
        What to say, as the model takes it.
    batch : int, optional
        Sounds to write side by side; by default as many as `condition` has, or 1.
    temperature : float
        Codes are drawn with the probabilities ``softmax(scores / temperature)``; 0: the code with the highest score.
    seed : int, optional
        Where draws come from; None: from NumPy's global generator.
    cache : bool
        Keep what the layers saw, so that each sample costs the same; False: read everything again for each sample.

    Returns
    -------
    numpy.ndarray of int32, shape (batch, length)
        Codes.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or does not suit the model.
    """
    if not isinstance(model, WaveNet):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a WaveNet")
    config = model.config
    _check.count("length", length)
    _check.non_negative("temperature", temperature)
    if condition is not None:
        condition = _check.finite("condition", condition).astype("float32")
        if batch not in (None, len(condition)):
            raise ValueError(f"batch is {batch} and condition has {len(condition)} rows; leave batch away")
        batch = len(condition)
    batch = _check.count("batch", 1 if batch is None else batch)
    codes = np.zeros((batch, length), "int32")
    _parts(config, {"codes": codes, "condition": condition})  # checks the condition
    rng = np.random.default_rng(np.random.randint(2**31) if seed is None else _check.count("seed", seed, least=0))
    fast = FastWaveNet(model, batch) if _check.flag("cache", cache) else None
    last, added = np.full(batch, config.classes // 2), None
    for t in range(length):
        if fast is not None:
            if condition is not None and (t == 0 or (condition.ndim == 3 and t % config.hop == 0)):
                added = fast.conditions_of(condition if condition.ndim == 2 else condition[:, t // config.hop])
            logits = fast.step(last, added)
        else:  # what is not yet written is still 0, and nothing looks ahead
            inputs = codes if condition is None else {"codes": codes, "condition": condition}
            logits = ops.convert_to_numpy(model(inputs))[:, t]
        last = codes[:, t] = draw(logits, rng, temperature)
    return codes


def draw(logits: np.ndarray, rng: np.random.Generator, temperature: float = 1.0) -> np.ndarray:
    """Draw a code for each row of scores (batch, classes); at temperature 0, take the highest."""
    if temperature == 0:
        return logits.argmax(axis=-1).astype("int32")
    scaled = logits.astype("float64") / temperature
    weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    reached = np.cumsum(weights, axis=-1)
    threshold = rng.random((len(logits), 1)) * reached[:, -1:]
    return (reached > threshold).argmax(axis=-1).astype("int32")


def _parts(config: WaveNetConfig, inputs: Any) -> tuple[Any, Any]:
    """Take codes and condition apart, and check that they suit the model."""
    inputs = inputs if isinstance(inputs, dict) else {"codes": inputs}
    codes, condition = inputs["codes"], inputs.get("condition")
    if (condition is None) != (config.condition is None):
        given = "missing" if condition is None else f"given, of shape {tuple(condition.shape)}"
        raise ValueError(f"condition is {given}; the configuration says condition={config.condition}")
    if condition is not None:
        shape, time = tuple(condition.shape), codes.shape[1]
        if len(shape) not in (2, 3) or shape[-1] != config.condition:
            wanted = f"(batch, frames, {config.condition}) or (batch, {config.condition})"
            raise ValueError(f"condition has shape {shape}; it must be {wanted}")
        if len(shape) == 3 and None not in (shape[1], time) and shape[1] * config.hop < time:
            raise ValueError(f"condition has {shape[1]} frames of {config.hop} samples; there are {time} samples")
    return codes, condition
