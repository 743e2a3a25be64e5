"""WaveGlow: an invertible network between sound and noise, which gives the exact likelihood of a sound.

Each step of the network can be undone, and the logarithm of how much it stretches space is known. So the density of a
sound is that of the noise it becomes, times the stretching; and new noise, sent backwards, becomes a sound, all samples
at once.

>>> import numpy as np
>>> config = WaveGlowConfig(flows=4, layers=2, residual=8, skip=8, mels=5, hop=16, window=32, early_every=2)
>>> model = waveglow(config, seed=0)
>>> model.count_params() == config.parameters
True
>>> rng = np.random.default_rng(0)
>>> sound, mel = rng.normal(size=(1, 64)).astype("float32"), rng.normal(size=(1, 4, 5)).astype("float32")
>>> z, log_det = model.forward(sound, mel)
>>> tuple(z.shape)  # 8 groups of 8 samples
(1, 8, 8)
>>> bool(np.abs(model.inverse(z, mel) - sound).max() < 1e-5)
True
>>> [round(preset.parameters / 1e6, 1) for preset in PRESETS.values()]
[255.4, 268.0, 87.7]

References
----------
R. Prenger, R. Valle, B. Catanzaro, WaveGlow: A Flow-based Generative Network for Speech Synthesis, 2018,
https://arxiv.org/abs/1811.00002;
D. P. Kingma, P. Dhariwal, Glow, 2018, https://arxiv.org/abs/1807.03039 (the invertible 1x1 convolution)
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from course_lib import _check
from course_lib.layers import _seeds
from course_lib.layers.dilated import DilatedConvolution
from course_lib.models import _presets

__all__ = ["PRESETS", "AffineCoupling", "InvertibleConvolution", "WaveGlow", "WaveGlowConfig", "waveglow"]


@dataclass(frozen=True)
class WaveGlowConfig:
    """What fixes a WaveGlow.

    Attributes
    ----------
    flows : int
        Steps, each an invertible 1x1 convolution and an affine coupling.
    layers, residual, skip, kernel : int
        Of the network inside a coupling: dilated convolutions, the numbers between them, the numbers in the sum of
        their results, and their taps (odd).
    group : int
        Samples that are made into the channels of one place; even.
    early_every, early_size : int
        After every so many steps, so many channels leave: they are noise already, and the others go on.
    mels, hop, window : int
        Bands of the mel spectrogram; samples that a frame stands for; and samples over which it is spread.
    sigma : float
        Standard deviation of the noise in the likelihood.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    flows: int = 12
    layers: int = 8
    residual: int = 512
    skip: int = 256
    kernel: int = 3
    group: int = 8
    early_every: int = 4
    early_size: int = 2
    mels: int = 80
    hop: int = 256
    window: int = 1024
    sigma: float = 0.5**0.5

    def __post_init__(self) -> None:
        """Check every field."""
        names = "flows", "layers", "residual", "skip", "kernel", "group", "early_every", "early_size", "mels", "hop"
        for name in names:
            _check.count(name, getattr(self, name))
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel is {self.kernel}; it must be odd, to have a middle")
        for name in ("group", "early_size"):
            if getattr(self, name) % 2:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be even, for two halves")
        if self.channels[-1] < 2:
            raise ValueError(
                f"early_size is {self.early_size}; after {self.flows} flows no channels are left of {self.group}"
            )
        if self.hop % self.group:
            raise ValueError(f"hop is {self.hop}; it must be a multiple of group, {self.group}")
        if _check.count("window", self.window) < self.hop:
            raise ValueError(f"window is {self.window}; it must be at least hop, {self.hop}")
        _check.positive("sigma", self.sigma)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels in each step."""
        return tuple(self.group - n // self.early_every * self.early_size for n in range(self.flows))

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives."""
        r, s, condition = self.residual, self.skip, self.mels * self.group
        layer = (self.kernel * r + 1) * 2 * r + (r + 1) * s + (r + 1) * r
        network = self.layers * layer - (r + 1) * r + (condition + 1) * 2 * r * self.layers  # the last has no next
        total = self.mels * self.mels * self.window + self.mels
        for channels in self.channels:
            half = channels // 2
            total += channels**2 + (half + 1) * r + network + (s + 1) * channels
        return total


# "paper": section 3.1, 512 residual and 256 skip channels. The authors' program (github.com/NVIDIA/waveglow, glow.py)
# has one number for both, first 512 and later 256. With 256, and with the lengths that its weight normalisation keeps
# apart, it has the 87.88 million that arXiv:1912.01219 counts.
PRESETS = {
    "paper": WaveGlowConfig(),
    "program_512": WaveGlowConfig(skip=512),
    "program_256": WaveGlowConfig(residual=256, skip=256),
}


def waveglow(config: WaveGlowConfig | str, name: str | None = None, seed: int | None = None) -> WaveGlow:
    """Build a WaveGlow.

    Parameters
    ----------
    config : WaveGlowConfig or str
        Its sizes, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "waveglow".
    seed : int, optional
        Where the initial weights draw from; None: from Keras' global seed.

    Returns
    -------
    WaveGlow
        Not compiled. ``compile`` needs an optimizer and no loss, ``fit`` inputs and no targets.

    Raises
    ------
    TypeError
        If `config` is no `WaveGlowConfig`.
    ValueError
        If there is no preset of this name.
    """
    chosen, preset = _presets.resolve(config, WaveGlowConfig, PRESETS)
    model = WaveGlow(chosen, seed, name=name or preset or "waveglow")
    model.build()
    return model


@keras.saving.register_keras_serializable(package="course_lib")
class WaveGlow(keras.Model):
    r"""A WaveGlow; make one with `waveglow`.

    With :math:`z, \log|\det J|` from `forward`, the logarithm of the density of a sound of :math:`n` samples is

    .. math:: \log p(x) = -\frac{\lVert z \rVert^2}{2 \sigma^2} - \frac{n}{2} \log(2 \pi \sigma^2) + \log|\det J|

    Called on ``{"sound": ..., "mel": ...}`` it gives minus this, divided by :math:`n`: each sound's cost in nats a
    sample (batch,), whose mean is what ``fit`` makes small.

    Parameters
    ----------
    config : WaveGlowConfig
        Its sizes.
    seed : int, optional
        Where the initial weights draw from.
    **kwargs
        As ``keras.Model`` takes them.
    """

    def __init__(self, config: WaveGlowConfig, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config, self.seed, policy = config, seed, self.dtype_policy
        # Spreads each frame over `window` samples; neighbours overlap.
        self.upsample = keras.layers.Conv1DTranspose(
            config.mels, config.window, config.hop, data_format="channels_last", dtype=policy, name="upsample",
            kernel_initializer=keras.initializers.GlorotUniform(_seeds.derive(seed, 0)),
        )  # fmt: skip
        self.mixers, self.couplings = [], []
        for n, channels in enumerate(config.channels):
            own = _seeds.derive(seed, 1 + n)
            self.mixers.append(InvertibleConvolution(channels, own, dtype=policy, name=f"mixer_{n}"))
            self.couplings.append(
                AffineCoupling(
                    channels, config.layers, config.residual, config.skip, config.kernel, own, dtype=policy,
                    name=f"coupling_{n}",
                )
            )  # fmt: skip

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        self.upsample.build((None, None, self.config.mels))
        for mixer, coupling, channels in zip(self.mixers, self.couplings, self.config.channels, strict=True):
            mixer.build((None, None, channels))
            coupling.build([(None, None, channels), (None, None, self.config.mels * self.config.group)])
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Give each sound's cost in nats a sample, shape (batch,), from ``"sound"`` and ``"mel"`` as in `forward`."""
        return -self.log_likelihood(inputs["sound"], inputs["mel"]) / inputs["sound"].shape[1]

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Take the mean of the costs that `call` gave; there are no targets."""
        return ops.mean(y_pred if sample_weight is None else y_pred * ops.cast(sample_weight, y_pred.dtype))

    def forward(self, sound: Any, mel: Any = None, **options: Any) -> tuple[Any, Any]:
        """Turn sounds into noise.

        Parameters
        ----------
        sound : tensor, shape (batch, time)
            Samples; `time` must be a multiple of the group.
        mel : tensor, shape (batch, frames, mels)
            The mel spectrogram, as logarithms; ``frames * hop`` must reach `time`.

        Returns
        -------
        z : tensor, shape (batch, time // group, group)
            First the channels that left first.
        log_det : tensor, shape (batch,)
            Logarithm of the absolute determinant of the derivative of `z` by `sound`.

        Raises
        ------
        ValueError
            If a shape does not suit.
        """
        if mel is None:  # on PyTorch, a call of any model goes through a method of this name
            return super().forward(sound, **options)
        x, condition = self._grouped(sound), self._condition(mel, sound.shape[1])
        log_det, left = ops.zeros((ops.shape(x)[0],), x.dtype), []
        for n, (mixer, coupling) in enumerate(zip(self.mixers, self.couplings, strict=True)):
            if n and n % self.config.early_every == 0:
                left.append(x[..., : self.config.early_size])
                x = x[..., self.config.early_size :]
            x, stretched = mixer(x)
            log_det = log_det + stretched
            x, stretched = coupling([x, condition])
            log_det = log_det + stretched
        return ops.concatenate([*left, x], axis=-1), log_det

    def inverse(self, z: Any, mel: Any) -> Any:
        """Turn noise into sounds: undo `forward`, the last step first.

        Parameters
        ----------
        z : tensor, shape (batch, places, group)
            Noise.
        mel : tensor, shape (batch, frames, mels)
            As in `forward`.

        Returns
        -------
        tensor, shape (batch, places * group)
        """
        c = self.config
        z = ops.convert_to_tensor(z, self.compute_dtype)
        if len(z.shape) != 3 or z.shape[-1] != c.group:
            raise ValueError(f"z has shape {tuple(z.shape)}; it must be (batch, places, {c.group})")
        condition = self._condition(mel, z.shape[1] * c.group)
        x, waiting = z[..., c.group - c.channels[-1] :], z[..., : c.group - c.channels[-1]]
        for n in reversed(range(c.flows)):
            x = self.mixers[n].undo(self.couplings[n].undo(x, condition))
            if n and n % c.early_every == 0:
                x = ops.concatenate([waiting[..., -c.early_size :], x], axis=-1)
                waiting = waiting[..., : -c.early_size]
        return ops.reshape(x, (-1, z.shape[1] * c.group))

    def log_likelihood(self, sound: Any, mel: Any, sigma: float | None = None) -> Any:
        """Give the logarithm of each sound's density, in nats: shape (batch,).

        Parameters
        ----------
        sound, mel
            As in `forward`.
        sigma : float, optional
            Standard deviation of the noise; by default the configuration's.
        """
        sigma = self.config.sigma if sigma is None else _check.positive("sigma", sigma)
        z, log_det = self.forward(sound, mel)
        constant = 0.5 * sound.shape[1] * math.log(2 * math.pi * sigma**2)
        return log_det - ops.sum(z**2, axis=(1, 2)) / (2 * sigma**2) - constant

    def sample(self, mel: Any, sigma: float = 0.6, seed: int | None = None) -> np.ndarray:
        """Draw a sound for each mel spectrogram, all samples at once.

        Parameters
        ----------
        mel : array, shape (batch, frames, mels)
            As in `forward`.
        sigma : float
            Standard deviation of the noise. The paper draws with less than it trains with: 0.6.
        seed : int, optional
            Where noise is drawn from; None: from NumPy's global generator.

        Returns
        -------
        numpy.ndarray, shape (batch, frames * hop)
        """
        own = np.random.default_rng(np.random.randint(2**31) if seed is None else _check.count("seed", seed, least=0))
        batch, frames = np.shape(mel)[:2]
        shape = batch, frames * self.config.hop // self.config.group, self.config.group
        z = (_check.non_negative("sigma", sigma) * own.standard_normal(shape)).astype("float32")
        return ops.convert_to_numpy(self.inverse(z, mel))

    def _grouped(self, sound: Any) -> Any:
        """Make `group` samples after each other the channels of a place: (batch, places, group)."""
        group = self.config.group
        sound = ops.convert_to_tensor(sound, self.compute_dtype)
        if len(sound.shape) != 2 or sound.shape[1] is None or sound.shape[1] % group or not sound.shape[1]:
            raise ValueError(
                f"sound has shape {tuple(sound.shape)}; it must be (batch, time), time a multiple of {group}"
            )
        return ops.reshape(sound, (-1, sound.shape[1] // group, group))

    def _condition(self, mel: Any, time: int) -> Any:
        """Spread frames over samples, and gather these as the sound's: (batch, places, mels * group)."""
        c = self.config
        mel = ops.convert_to_tensor(mel, self.compute_dtype)
        if len(mel.shape) != 3 or mel.shape[-1] != c.mels:
            raise ValueError(f"mel has shape {tuple(mel.shape)}; it must be (batch, frames, {c.mels})")
        if mel.shape[1] * c.hop < time:
            raise ValueError(f"mel has {mel.shape[1]} frames of {c.hop} samples; there are {time} samples")
        spread = self.upsample(mel)[:, :time]  # (batch, time, mels)
        return ops.reshape(spread, (-1, time // c.group, c.group * c.mels))

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"config": asdict(self.config), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> WaveGlow:
        """Make the model that `get_config` describes."""
        return cls(**config | {"config": WaveGlowConfig(**config["config"])})


@keras.saving.register_keras_serializable(package="course_lib")
class InvertibleConvolution(keras.layers.Layer):
    r"""Mix the channels of each place by one matrix, :math:`y_t = x_t W`: an invertible 1x1 convolution.

    A coupling changes half of the channels; this mixes them, so that the next one meets others. The matrix starts
    orthogonal, which stretches nothing. It stays invertible in training because the likelihood holds
    :math:`\log|\det W|`, which falls without bound as the matrix nears a singular one.

    Parameters
    ----------
    channels : int
        Channels.
    seed : int, optional
        Where the initial matrix is drawn from.
    **kwargs
        What every Keras layer takes.
    """

    def __init__(self, channels: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels, self.seed = _check.count("channels", channels), seed

    def build(self, input_shape: Any) -> None:
        """Make the matrix."""
        start = keras.initializers.Orthogonal(seed=_seeds.derive(self.seed, 0))
        self.kernel = self.add_weight((self.channels, self.channels), start, name="kernel")

    def call(self, x: Any) -> tuple[Any, Any]:
        """Mix (batch, places, channels), and give the logarithm of the stretching, the same for all: a scalar."""
        # Every place is multiplied by the same matrix, so the stretching is that of one place, so many times.
        return ops.matmul(x, self.kernel), ops.cast(ops.shape(x)[1], x.dtype) * ops.slogdet(self.kernel)[1]

    def undo(self, y: Any) -> Any:
        """Multiply by the inverse matrix."""
        return ops.matmul(y, ops.inv(ops.convert_to_tensor(self.kernel)))

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return super().get_config() | {"channels": self.channels, "seed": self.seed}


@keras.saving.register_keras_serializable(package="course_lib")
class AffineCoupling(keras.layers.Layer):
    r"""Keep half of the channels, and scale and move the other half by what a network says about the first.

    .. math:: y_a = x_a, \qquad y_b = e^{s} \odot x_b + b, \qquad (b, s) = \text{network}(x_a, \text{condition})

    The network need not be invertible: to undo the step, compute it again from :math:`y_a = x_a`. The derivative is a
    triangle, so the logarithm of its determinant is the sum of :math:`s`. The last layer starts at zero: a new coupling
    changes nothing.

    Parameters
    ----------
    channels : int
        Channels, an even number.
    layers, residual, skip, kernel : int
        Of the network: dilated convolutions, whose dilation doubles from layer to layer, with WaveNet's gate; see
        `WaveGlowConfig`.
    seed : int, optional
        Where the initial weights are drawn from.
    **kwargs
        What every Keras layer takes.
    """

    def __init__(
        self,
        channels: int,
        layers: int,
        residual: int,
        skip: int,
        kernel: int = 3,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.own = {"channels": channels, "layers": layers, "residual": residual, "skip": skip, "kernel": kernel}
        for name, value in self.own.items():
            _check.count(name, value)
        if channels % 2:
            raise ValueError(f"channels is {channels}; it must be even, for two halves")
        self.half, self.layers, self.residual, self.seed, policy = (
            channels // 2,
            layers,
            residual,
            seed,
            self.dtype_policy,
        )

        def dense(units: int, number: int, name: str) -> keras.layers.Dense:
            glorot = keras.initializers.GlorotUniform(_seeds.derive(seed, number))
            return keras.layers.Dense(units, kernel_initializer=glorot, dtype=policy, name=name)

        self.start, self.to_condition = dense(residual, 10, "start"), dense(2 * residual * layers, 11, "condition")
        self.end = keras.layers.Dense(channels, kernel_initializer="zeros", dtype=policy, name="end")
        self.gates = [
            DilatedConvolution(
                2 * residual, kernel, 2**n, False, _seeds.derive(seed, 100 + n), dtype=policy, name=f"gate_{n}"
            )
            for n in range(layers)
        ]
        self.to_skip = [dense(skip, 200 + n, f"skip_{n}") for n in range(layers)]
        self.to_residual = [dense(residual, 300 + n, f"residual_{n}") for n in range(layers - 1)]
        self.skip = skip

    def build(self, input_shape: Any) -> None:
        """Make all weights; shapes of the sound and of the condition."""
        self.start.build((None, None, self.half))
        self.to_condition.build((None, None, input_shape[1][-1]))
        for layer in (*self.gates, *self.to_skip, *self.to_residual):
            layer.build((None, None, self.residual))
        self.end.build((None, None, self.skip))

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """Change (batch, places, channels), and give the logarithm of the stretching, (batch,)."""
        x, condition = inputs
        first, second = x[..., : self.half], x[..., self.half :]
        move, scale = self._network(first, condition)
        y = ops.concatenate([first, ops.exp(scale) * second + move], axis=-1)
        return y, ops.sum(scale, axis=(1, 2))

    def undo(self, y: Any, condition: Any) -> Any:
        """Change back."""
        first, second = y[..., : self.half], y[..., self.half :]
        move, scale = self._network(first, condition)
        return ops.concatenate([first, (second - move) * ops.exp(-scale)], axis=-1)

    def _network(self, first: Any, condition: Any) -> tuple[Any, Any]:
        """Say how to move and how to scale, each (batch, places, channels // 2)."""
        x, total = self.start(first), 0
        added = ops.split(self.to_condition(condition), self.layers, axis=-1)
        for n, (gate, to_skip) in enumerate(zip(self.gates, self.to_skip, strict=True)):
            filtered, gated = ops.split(gate(x) + added[n], 2, axis=-1)
            z = ops.tanh(filtered) * ops.sigmoid(gated)
            total = total + to_skip(z)
            if n < len(self.to_residual):
                x = x + self.to_residual[n](z)
        move, scale = ops.split(self.end(total), 2, axis=-1)
        return move, scale

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Keep the sound's shape; one number a sound besides."""
        return input_shape[0], (input_shape[0][0],)

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return super().get_config() | self.own | {"seed": self.seed}
