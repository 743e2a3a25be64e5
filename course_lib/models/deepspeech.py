"""DeepSpeech: sound in frames goes in, a score for every letter and for the blank comes out at each step.

Convolutions over time look at a frame with its neighbours and skip some; recurrent layers carry what was heard forward
and backward; no dictionary and no phonemes. It is trained with CTC, see `audio.ctc`.

>>> config = DeepSpeechConfig(alphabet="ehnortwz", rate=8000, bands=20, convolutions=((32, 5, 2),), recurrent=(24,))
>>> model = deepspeech(config, seed=0)
>>> model.output_shape, model.count_params() == config.parameters  # blank and 8 letters
((None, None, 9), True)
>>> config.encode("two"), config.decode([6, 7, 4])
([6, 7, 4], 'two')
>>> frames(np.zeros(8000, "float32"), config).shape  # a second; (frames, bands)
(101, 20)

References
----------
A. Hannun et al., Deep Speech, 2014, https://arxiv.org/abs/1412.5567; D. Amodei et al., Deep Speech 2, 2015,
https://arxiv.org/abs/1512.02595
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import keras
import numpy as np
from keras import ops

from course_lib import _check
from course_lib.audio import features
from course_lib.audio.ctc import LanguageModel, beam_search, greedy_decode
from course_lib.audio.files import resample
from course_lib.layers import _seeds
from course_lib.layers.recurrent import Recurrent
from course_lib.models import _presets

__all__ = [
    "LETTERS", "PRESETS", "CTCLoss", "DeepSpeechConfig", "batch", "config_of", "deepspeech", "frames", "transcribe",
]  # fmt: skip

LETTERS = " 'abcdefghijklmnopqrstuvwxyz"
FEATURES = ("log_mel", "spectrogram")
CELLS = ("rnn", "gru")


@dataclass(frozen=True)
class DeepSpeechConfig:
    """What fixes a recogniser of the DeepSpeech family.

    Attributes
    ----------
    alphabet : str
        The letters; letter number i has the label i + 1, and 0 is the blank.
    rate : int
        Samples a second of the sound.
    features : {"log_mel", "spectrogram"}
        What a frame holds: logarithms of mel bands, or of all bins of the spectrum.
    bands : int
        Numbers in a frame. With "spectrogram" it must be half of the window's samples and one.
    window, hop : float
        Milliseconds a frame looks at, and from one to the next.
    convolutions : tuple of (channels, frames, step)
        Convolutions over time: a frame with its neighbours, every `step`-th. An odd number of frames looks equally far
        to both sides; the ends are filled with zeros.
    dense : tuple of int
        Layers between convolutions and recurrence, each step alone.
    recurrent : tuple of int
        Units of the recurrent layers.
    cell : {"rnn", "gru"}
        The plain cell, whose function is the clipped ramp, or the GRU.
    bidirectional : bool
        A second recurrence reads from the end, and the two are added. Both share the weights on what comes in, as in
        both papers.
    after : tuple of int
        Layers behind the recurrence, each step alone.
    normalize : bool
        Batch normalisation of what comes into each layer's function (Deep Speech 2); it takes the place of the bias.
        Not inside the recurrence.
    clip : float
        The ramp is max(0, x), but at most this: both papers have 20.
    dropout : float
        On the outputs of convolutions and dense layers.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    alphabet: str = LETTERS
    rate: int = 16_000
    features: str = "log_mel"
    bands: int = 40
    window: float = 25.0
    hop: float = 10.0
    convolutions: tuple[tuple[int, int, int], ...] = ((256, 11, 2),)
    dense: tuple[int, ...] = ()
    recurrent: tuple[int, ...] = (256,)
    cell: str = "gru"
    bidirectional: bool = True
    after: tuple[int, ...] = ()
    normalize: bool = False
    clip: float = 20.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        if not isinstance(self.alphabet, str) or not self.alphabet or len(set(self.alphabet)) != len(self.alphabet):
            raise ValueError(f"alphabet is {self.alphabet!r}; it must be a string of different letters")
        for name in ("rate", "bands"):
            _check.count(name, getattr(self, name))
        for name in ("window", "hop", "clip"):
            _check.positive(name, getattr(self, name))
        _check.choice("features", self.features, FEATURES)
        bins = self.window_samples // 2 + 1
        if self.features == "spectrogram" and self.bands != bins:
            raise ValueError(f"bands is {self.bands}; a spectrogram of {self.window_samples} samples has {bins}")
        try:
            convolutions = tuple(_presets.counts("convolutions", row) for row in self.convolutions)
            good = all(len(row) == 3 for row in convolutions)
        except (TypeError, ValueError):
            good = False
        if not good:
            raise ValueError(
                f"convolutions is {self.convolutions!r}; it must be a tuple of (channels, frames, step), all at least 1"
            )
        object.__setattr__(self, "convolutions", convolutions)
        for name in ("dense", "recurrent", "after"):
            object.__setattr__(self, name, _presets.counts(name, getattr(self, name), empty=True))
        _check.choice("cell", self.cell, CELLS)
        for name in ("bidirectional", "normalize"):
            _check.flag(name, getattr(self, name))
        _check.fraction("dropout", self.dropout)

    @property
    def symbols(self) -> int:
        """The blank and the letters."""
        return len(self.alphabet) + 1

    @property
    def window_samples(self) -> int:
        """Samples that a frame looks at."""
        return round(self.window * self.rate / 1000)

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next."""
        return round(self.hop * self.rate / 1000)

    def steps(self, count: Any) -> Any:
        """Give how many steps come out for so many frames; for numbers and arrays of them."""
        for _, _, step in self.convolutions:
            count = -(-count // step)
        return count

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives. Batch normalisation has 4 a channel, 2 of them moving."""
        bias = 4 if self.normalize else 1
        total, before = 0, self.bands
        for channels, width, _ in self.convolutions:
            total, before = total + (before * width + bias) * channels, channels
        for units in self.dense:
            total, before = total + (before + bias) * units, units
        gates, directions = (3 if self.cell == "gru" else 1), (2 if self.bidirectional else 1)
        for units in self.recurrent:
            total, before = total + (before + bias + directions * units) * gates * units, units
        for units in self.after:
            total, before = total + (before + bias) * units, units
        return total + (before + 1) * self.symbols

    def encode(self, text: str) -> list[int]:
        """Give the labels of a text.

        Raises
        ------
        ValueError
            If a letter is not in the alphabet.
        """
        for letter in text:
            if letter not in self.alphabet:
                raise ValueError(f"text holds {letter!r}; the alphabet is {self.alphabet!r}")
        return [self.alphabet.index(letter) + 1 for letter in text]

    def decode(self, labels: Iterable[int]) -> str:
        """Give the text of labels; blanks must be gone already, see `audio.ctc.collapse`."""
        return "".join(self.alphabet[_check.count("labels", label) - 1] for label in labels)


def _second(units: int, recurrent: int, total: int) -> DeepSpeechConfig:
    """Give a row of Deep Speech 2's table 1: one convolution, `recurrent` layers, dense ones up to `total` layers."""
    return DeepSpeechConfig(
        rate=16_000, features="spectrogram", bands=161, window=20.0, convolutions=((units, 11, 2),),
        recurrent=(units,) * recurrent, cell="rnn", after=(units,) * (total - 1 - recurrent), normalize=True,
    )  # fmt: skip


PRESETS = {
    # Five layers of 2048; a context of 9 frames to each side; every second step. The paper's frames hold 80 bands on a
    # linear scale and the energy, here 81 mel bands.
    "deepspeech1": DeepSpeechConfig(
        bands=81,
        window=20.0,
        convolutions=((2048, 19, 2),),
        dense=(2048, 2048),
        recurrent=(2048,),
        cell="rnn",
        after=(2048,),
        dropout=0.05,
    ),
    # The four depths of Deep Speech 2's table 1, 38 million weights each, as the paper says: here 38.4 to 39.2 million,
    # with convolutions of 11 frames, which the table does not give, and 161 bins of windows of 20 ms at 16 kHz.
    "deepspeech2_1_of_5": _second(2400, 1, 5),
    "deepspeech2_3_of_5": _second(1880, 3, 5),
    "deepspeech2_5_of_7": _second(1510, 5, 7),
    "deepspeech2_7_of_9": _second(1280, 7, 9),
}


def deepspeech(config: DeepSpeechConfig | str, name: str | None = None, seed: int | None = None) -> keras.Model:
    """Build a recogniser.

    Parameters
    ----------
    config : DeepSpeechConfig or str
        Its sizes and options, or a name in `PRESETS`.
    name : str, optional
        The model's name; by default the preset's, or "deepspeech".
    seed : int, optional
        Where the initial weights and dropout draw from; None: from Keras' global seed.

    Returns
    -------
    keras.Model
        Takes frames (batch, frames, bands), gives scores (batch, steps, symbols) without softmax, symbol 0 the blank;
        ``config.steps(frames)`` steps. Not compiled: see `CTCLoss`.

    Raises
    ------
    TypeError, ValueError
        If `config` is no `DeepSpeechConfig` and no preset.
    """
    c, preset = _presets.resolve(config, DeepSpeechConfig, PRESETS)
    counter = iter(range(1000))

    def own() -> int | None:
        return _seeds.derive(seed, next(counter))

    def bounded(x: Any, label: str) -> Any:
        """Normalise, apply the clipped ramp, drop."""
        if c.normalize:
            x = keras.layers.BatchNormalization(name=f"{label}_norm")(x)
        x = keras.layers.ReLU(c.clip, name=f"{label}_ramp")(x)
        return keras.layers.Dropout(c.dropout, seed=own(), name=f"{label}_dropout")(x) if c.dropout else x

    def dense(x: Any, units: int, label: str) -> Any:
        he = keras.initializers.HeUniform(own())
        return bounded(keras.layers.Dense(units, use_bias=not c.normalize, kernel_initializer=he, name=label)(x), label)

    x = sound = keras.Input((None, c.bands), name="frames")  # (batch, frames, bands)
    x = Frames(asdict(c), name="settings")(x)
    for number, (channels, width, step) in enumerate(c.convolutions, 1):
        label = f"convolution_{number}"
        x = keras.layers.Conv1D(
            channels, width, step, "same", use_bias=not c.normalize, data_format="channels_last",
            kernel_initializer=keras.initializers.HeUniform(own()), name=label,
        )(x)  # fmt: skip
        x = bounded(x, label)  # (batch, steps, channels)
    for number, units in enumerate(c.dense, 1):
        x = dense(x, units, f"dense_{number}")
    for number, units in enumerate(c.recurrent, 1):
        label, gates = f"{c.cell}_{number}", 3 if c.cell == "gru" else 1
        x = keras.layers.Dense(
            gates * units, use_bias=not c.normalize, kernel_initializer=keras.initializers.GlorotUniform(own()),
            name=f"{label}_inputs",
        )(x)  # fmt: skip
        if c.normalize:
            x = keras.layers.BatchNormalization(name=f"{label}_norm")(x)
        forward = Recurrent(StateCell(units, c.cell, c.clip, own()), return_sequences=True, name=label)
        if c.bidirectional:
            backward = Recurrent(
                StateCell(units, c.cell, c.clip, own()), return_sequences=True, go_backwards=True,
                name=f"{label}_backward",
            )  # fmt: skip
            x = keras.layers.Bidirectional(forward, "sum", backward_layer=backward, name=f"{label}_both")(x)
        else:
            x = forward(x)  # (batch, steps, units)
    for number, units in enumerate(c.after, 1):
        x = dense(x, units, f"after_{number}")
    glorot = keras.initializers.GlorotUniform(own())
    x = keras.layers.Dense(c.symbols, kernel_initializer=glorot, name="scores")(x)
    return keras.Model(sound, x, name=name or preset or "deepspeech")


@keras.saving.register_keras_serializable(package="course_lib")
class Frames(keras.layers.Layer):
    """Hand frames on unchanged, and keep how they are made: a saved model then knows its sound and its alphabet."""

    def __init__(self, settings: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = dict(settings)

    def call(self, x: Any) -> Any:
        """Give x."""
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Give the shape of x."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this layer again."""
        return {**super().get_config(), "settings": dict(self.settings)}


@keras.saving.register_keras_serializable(package="course_lib")
class StateCell(keras.layers.Layer):
    r"""A recurrent cell whose inputs come multiplied by their weights, for all steps and both directions at once.

    .. math::

        h_t &= \min(\max(x_t + h_{t-1} R, 0), \text{clip}) & \text{ plain} \\
        z, r &= \sigma \text{ of the first two blocks of } x_t + h_{t-1} R,
        \quad n = \tanh(x_t + r \odot h_{t-1} R_n), \quad h_t = z \odot h_{t-1} + (1 - z) \odot n & \text{ GRU}

    Parameters
    ----------
    units : int
        Numbers in the state.
    kind : {"rnn", "gru"}
        Which of the two.
    clip : float
        Of the plain cell.
    seed : int, optional
        Where the weights are drawn from.
    """

    def __init__(
        self, units: int, kind: str = "gru", clip: float = 20.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units, self.kind, self.clip = _check.count("units", units), _check.choice("kind", kind, CELLS), clip
        self.seed = seed
        self.state_size = self.output_size = self.units

    def build(self, input_shape: Any) -> None:
        """Make R (units, gates * units), orthogonal at the start; input_shape is (batch, gates * units)."""
        gates = 3 if self.kind == "gru" else 1
        orthogonal = keras.initializers.Orthogonal(seed=self.seed)
        self.recurrent_kernel = self.add_weight((self.units, gates * self.units), orthogonal, name="recurrent_kernel")

    def call(self, inputs: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """Make one step: inputs (batch, gates * units), one state (batch, units)."""
        h = states[0]
        product = ops.matmul(h, self.recurrent_kernel)
        if self.kind == "rnn":
            h = ops.clip(inputs + product, 0.0, self.clip)
        else:
            (xz, xr, xn), (hz, hr, hn) = ops.split(inputs, 3, axis=-1), ops.split(product, 3, axis=-1)
            z, r = ops.sigmoid(xz + hz), ops.sigmoid(xr + hr)
            h = z * h + (1 - z) * ops.tanh(xn + r * hn)
        return h, [h]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Give zeros (batch, units)."""
        return [ops.zeros((batch_size, self.units), dtype=self.compute_dtype)]

    def get_config(self) -> dict[str, Any]:
        """Give the arguments that make this cell again."""
        return {
            **super().get_config(), "units": self.units, "kind": self.kind, "clip": self.clip, "seed": self.seed,
        }  # fmt: skip


@keras.saving.register_keras_serializable(package="course_lib")
class CTCLoss(keras.losses.Loss):
    """The negative log-probability of each text, by ``keras.ops.ctc_loss``, for batches that were filled up.

    ``keras.losses.CTC`` reads every recording to the end of the batch; this reads each to its own end.

    Called with targets (batch, 1 + labels) of whole numbers, as `batch` makes them: first the number of steps that
    count, then the labels, filled up with 0; and scores (batch, steps, symbols). Gives (batch,) before the reduction.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute it for each example."""
        y_true = ops.cast(y_true, "int32")
        steps, labels = y_true[:, 0], y_true[:, 1:]
        length = ops.sum(ops.cast(labels != 0, "int32"), axis=1)
        return ops.ctc_loss(labels, y_pred, length, steps, mask_index=0)


def config_of(model: keras.Model) -> DeepSpeechConfig:
    """Give the configuration of a model that `deepspeech` built, also after it was saved and loaded."""
    for layer in model.layers:
        if isinstance(layer, Frames):
            return DeepSpeechConfig(**layer.settings)
    raise ValueError(f"model is {model.name!r}; it must be one that deepspeech built")


def frames(samples: Any, config: DeepSpeechConfig) -> np.ndarray:
    """Make a recording's frames, each band with mean 0 and standard deviation 1 over the recording.

    Parameters
    ----------
    samples : array_like of float, shape (time,)
        The sound, with ``config.rate`` samples a second.
    config : DeepSpeechConfig
        What a frame is.

    Returns
    -------
    float32, shape (1 + time // hop, bands)
        So loudness and the colour of the microphone do not count.
    """
    sound = _check.finite("samples", samples, ndim=1)
    width, hop = config.window_samples, config.hop_samples
    if config.features == "log_mel":
        fft = 2 ** int(np.ceil(np.log2(width)))
        x = features.log_mel(sound, config.rate, bands=config.bands, window=width, hop=hop, fft=fft)
    else:
        x = np.log(np.abs(features.stft(sound, width, hop)) ** 2 + 1e-6)
    return ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-3)).astype(np.float32)


def batch(
    recordings: Sequence[Any], texts: Sequence[str], config: DeepSpeechConfig, length: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Make what `CTCLoss` and ``model.fit`` take of recordings and their texts.

    Parameters
    ----------
    recordings : sequence of arrays (time,)
        Sounds of ``config.rate`` samples a second.
    texts : sequence of str
        What is said.
    config : DeepSpeechConfig
        Of the model.
    length : int, optional
        Frames to fill up to; by default those of the longest recording.

    Returns
    -------
    x : float32, shape (recordings, length, bands)
        Frames, filled up with 0 behind.
    y : int32, shape (recordings, 1 + labels)
        Steps that count, then labels, filled up with 0.

    Raises
    ------
    ValueError
        If the numbers differ, a recording is longer than `length`, or too short for its text.

    Notes
    -----
    The recurrence from the end reads the filling first. It learns to leave it out, but its scores for a recording alone
    and in a batch differ a little.
    """
    if len(recordings) != len(texts) or not len(texts):
        raise ValueError(
            f"there are {len(recordings)} recordings and {len(texts)} texts; they must be as many, at least 1"
        )
    found, labels = [frames(sound, config) for sound in recordings], [config.encode(text) for text in texts]
    longest = max(map(len, found))
    size = longest if length is None else _check.count("length", length)
    if longest > size:
        raise ValueError(f"length is {size}; the longest recording has {longest} frames")
    x = np.zeros((len(found), size, config.bands), np.float32)
    y = np.zeros((len(found), 1 + max(map(len, labels))), np.int32)
    for number, (rows, row) in enumerate(zip(found, labels, strict=True)):
        needed = len(row) + sum(a == b for a, b in pairwise(row))
        if config.steps(len(rows)) < needed:
            raise ValueError(
                f"recordings[{number}] gives {config.steps(len(rows))} steps; {texts[number]!r} needs {needed}"
            )
        x[number, : len(rows)] = rows
        y[number, 0], y[number, 1 : 1 + len(row)] = config.steps(len(rows)), row
    return x, y


def transcribe(
    model: keras.Model, samples: Any, rate: int, beams: int = 1, language_model: LanguageModel | None = None,
    alpha: float = 1.0, beta: float = 0.0,
) -> str:  # fmt: skip
    """Write down what is said.

    Parameters
    ----------
    model : keras.Model
        What `deepspeech` built, trained; it may have been saved and loaded.
    samples : array_like of float, shape (time,) or (time, channels)
        A recording; channels are averaged.
    rate : int
        Its samples a second; it is brought to the model's.
    beams, alpha, beta
        See `audio.ctc.beam_search`. With one beam and no language model: the most probable path.
    language_model : object with ``log_probability(before, letter)``, optional
        Of letters, such as `audio.language_model.CharacterNGram` of texts.

    Returns
    -------
    str
    """
    config = config_of(model)
    sound = np.asarray(samples)
    sound = resample(sound.mean(axis=1) if sound.ndim == 2 else sound, rate, config.rate)
    scores = model(frames(sound, config)[None], training=False)
    y = ops.convert_to_numpy(ops.log_softmax(ops.cast(scores, "float32"), axis=-1))[0]  # (steps, symbols)
    if beams == 1 and language_model is None:
        return config.decode(greedy_decode(y))
    asked = None if language_model is None else _Letters(language_model, config)
    return config.decode(beam_search(y, beams, 0, asked, alpha, beta)[0][0])


class _Letters:
    """Ask a model of letters about labels."""

    def __init__(self, model: LanguageModel, config: DeepSpeechConfig) -> None:
        self.model, self.config = model, config

    def log_probability(self, before: Sequence[int], label: int | None) -> float:
        letter = None if label is None else self.config.decode([label])
        return self.model.log_probability(self.config.decode(before), letter)
