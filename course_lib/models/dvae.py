"""The discrete variational autoencoder: a picture as a grid of codes from a small book, and back.

An encoder scores every code for every place of the grid, a decoder draws a picture from codes. Choosing a code has no
derivative. In training the choice is therefore softened: random numbers are added to the scores such that the largest
sum falls on each code with its probability, and a softmax with a temperature stands for "the largest".

>>> import numpy as np
>>> config = DvaeConfig(image=(8, 8, 3), factor=4, codes=16, width=8, hidden=8)
>>> model = dvae(config, seed=0)
>>> model.count_params() - 1 == config.parameters  # the temperature is kept with the weights
True
>>> images = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype("float32")
>>> codes = model.encode(images)
>>> codes.shape, model.decode(codes).shape
((2, 2, 2), (2, 8, 8, 3))
>>> codebook_use(np.array([0, 0, 3, 3]), 16)  # two codes, equally often
(2, 2.0)

References
----------
A. Ramesh et al., Zero-Shot Text-to-Image Generation, 2021, https://arxiv.org/abs/2102.12092 (DALL-E's first stage);
E. Jang, S. Gu, B. Poole, Categorical Reparameterization with Gumbel-Softmax, 2016, https://arxiv.org/abs/1611.01144;
C. J. Maddison, A. Mnih, Y. W. Teh, The Concrete Distribution, 2016, https://arxiv.org/abs/1611.00712
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
from course_lib.layers._precision import precise
from course_lib.models import _presets

__all__ = ["Annealing", "Dvae", "DvaeConfig", "codebook_use", "dvae", "gumbel_softmax"]

LAYOUT = "channels_last"
SMALLEST = 1e-20  # keeps a logarithm finite


@dataclass(frozen=True)
class DvaeConfig:
    """What fixes a discrete variational autoencoder.

    Attributes
    ----------
    image : tuple of int
        Rows, columns and channels of the pictures.
    factor : int
        Rows and columns of pixels that a code stands for; a power of 2 that divides those of the picture.
    codes, width : int
        Codes in the book, and numbers that the decoder gets for a code.
    hidden : int
        Channels of the convolutions.
    beta : float
        Weight of the divergence from uniform codes in the cost.
    sigma : float
        Standard deviation of a pixel around what the decoder says, in the cost: the smaller, the more pixels count.
    straight_through : bool
        Give the decoder the largest sum's code alone, and use the softened choice for the derivative only.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    image: tuple[int, int, int] = (32, 32, 3)
    factor: int = 4
    codes: int = 64
    width: int = 32
    hidden: int = 32
    beta: float = 1.0
    sigma: float = 0.1
    straight_through: bool = False

    def __post_init__(self) -> None:
        """Check every field."""
        object.__setattr__(self, "image", _presets.image("image", self.image))
        for name in ("factor", "codes"):
            _check.count(name, getattr(self, name), least=2)
        for name in ("width", "hidden"):
            _check.count(name, getattr(self, name))
        if self.factor & (self.factor - 1) or self.image[0] % self.factor or self.image[1] % self.factor:
            raise ValueError(f"factor is {self.factor}; it must be a power of 2 that divides the sides of {self.image}")
        _check.non_negative("beta", self.beta)
        _check.positive("sigma", self.sigma)
        _check.flag("straight_through", self.straight_through)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of codes."""
        return self.image[0] // self.factor, self.image[1] // self.factor

    @property
    def halvings(self) -> int:
        """Convolutions that halve the sides."""
        return self.factor.bit_length() - 1

    @property
    def parameters(self) -> int:
        """All weights that are trained."""
        h, channels = self.hidden, self.image[2]
        inner = (self.halvings - 1) * (16 * h + 1) * h  # kernels of 4 x 4
        encoder = (16 * channels + 1) * h + inner + (9 * h + 1) * h + (h + 1) * self.codes
        decoder = (9 * self.width + 1) * h + (16 * h + 1) * h + inner + (h + 1) * channels
        return encoder + self.codes * self.width + decoder


def dvae(config: DvaeConfig, name: str | None = None, seed: int | None = None) -> Dvae:
    """Build a discrete variational autoencoder.

    Parameters
    ----------
    config : DvaeConfig
        Its sizes.
    name : str, optional
        The model's name; by default "dvae".
    seed : int, optional
        Where the initial weights and the noise of training draw from; None: from Keras' global seed.

    Returns
    -------
    Dvae
        Not compiled. ``compile`` needs an optimizer and no loss, ``fit`` pictures and no targets.

    Raises
    ------
    TypeError
        If `config` is no `DvaeConfig`.
    """
    if not isinstance(config, DvaeConfig):
        raise TypeError(f"config is of type {type(config).__name__}; it must be of type DvaeConfig")
    model = Dvae(config, seed, name=name or "dvae")
    model.build()
    return model


@keras.saving.register_keras_serializable(package="course_lib")
class Dvae(keras.Model):
    r"""A discrete variational autoencoder; make one with `dvae`.

    With :math:`q_p` the probabilities of the codes at place :math:`p` and :math:`\hat x` the picture drawn from a
    choice of codes, the cost of a picture :math:`x` is

    .. math::

        \frac{\lVert x - \hat x \rVert^2}{2 \sigma^2} + \beta \sum_p \sum_k q_p(k) \log \frac{q_p(k)}{1 / K}

    in nats. With :math:`\beta = 1` and codes drawn exactly, its mean is, up to a constant, an upper bound of minus the
    log-likelihood. Called on pictures it gives the cost of each (batch,), divided by the number of its values; ``fit``
    makes the mean small. In training the choice is `gumbel_softmax`'s, else the most probable code.

    Parameters
    ----------
    config : DvaeConfig
        Its sizes.
    seed : int, optional
        Where the initial weights and the noise of training draw from.
    **kwargs
        As ``keras.Model`` takes them.

    Attributes
    ----------
    temperature : keras.Variable
        Of the softened choice; 1 at the start. `Annealing` lowers it in training.
    """

    def __init__(self, config: DvaeConfig, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config, self.seed, policy = config, seed, self.dtype_policy

        def options(number: int, name: str) -> dict[str, Any]:
            kernel = keras.initializers.HeNormal(_seeds.derive(seed, number))
            return {"kernel_initializer": kernel, "data_format": LAYOUT, "dtype": policy, "name": name}

        h, layers = config.hidden, keras.layers
        self.encoder = [
            layers.Conv2D(h, 4, 2, "same", activation="relu", **options(n, f"down_{n}")) for n in range(config.halvings)
        ]
        self.encoder.append(layers.Conv2D(h, 3, 1, "same", activation="relu", **options(20, "read")))
        self.encoder.append(layers.Conv2D(config.codes, 1, **options(21, "scores")))
        normal = keras.initializers.RandomNormal(stddev=1.0, seed=_seeds.derive(seed, 22))
        self.book = layers.Embedding(
            config.codes, config.width, embeddings_initializer=normal, dtype=policy, name="book"
        )
        self.decoder = [layers.Conv2D(h, 3, 1, "same", activation="relu", **options(23, "write"))]
        self.decoder += [
            layers.Conv2DTranspose(h, 4, 2, "same", activation="relu", **options(40 + n, f"up_{n}"))
            for n in range(config.halvings)
        ]
        self.decoder.append(layers.Conv2D(config.image[2], 1, **options(24, "pixels")))
        self.noise = keras.random.SeedGenerator(_seeds.derive(seed, 25))

    def build(self, input_shape: Any = None) -> None:
        """Make all weights."""
        c = self.config
        widths = [c.image[2], *[c.hidden] * (c.halvings + 1)]
        for layer, width in zip(self.encoder, widths, strict=True):
            layer.build((None, None, None, width))
        self.book.build((None, None))
        for layer, width in zip(self.decoder, [c.width, *[c.hidden] * (c.halvings + 1)], strict=True):
            layer.build((None, None, None, width))
        self.temperature = self.add_weight((), "ones", trainable=False, name="temperature")
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Give the cost of each picture, in nats a value: images (batch, rows, columns, channels) to (batch,)."""
        images = self._checked(images)
        logits = self.logits(images)
        if training:
            chosen = gumbel_softmax(logits, self.temperature, self.config.straight_through, self.noise)
        else:
            chosen = ops.one_hot(ops.argmax(logits, axis=-1), self.config.codes, dtype=logits.dtype)
        off = precise(self._draw(chosen) - images)
        pixels = ops.sum(off**2, axis=(1, 2, 3)) / (2 * self.config.sigma**2)
        divergence = ops.sum(ops.softmax(logits) * ops.log_softmax(logits), axis=(1, 2, 3))
        divergence = divergence + math.prod(self.config.grid) * math.log(self.config.codes)
        return (pixels + self.config.beta * divergence) / math.prod(self.config.image)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Take the mean of the costs that `call` gave; there are no targets."""
        return ops.mean(y_pred if sample_weight is None else y_pred * ops.cast(sample_weight, y_pred.dtype))

    def logits(self, images: Any) -> Any:
        """Score every code for every place: (batch, rows, columns, channels) to (batch, rows, columns, codes)."""
        x = 2 * ops.convert_to_tensor(images, self.compute_dtype) - 1  # so that black says something too
        for layer in self.encoder:
            x = layer(x)
        return precise(x)

    def encode(self, images: Any, batch_size: int = 256) -> np.ndarray:
        """Give each place of pictures its most probable code.

        Parameters
        ----------
        images : array, shape (batch, rows, columns, channels)
            Pictures.
        batch_size : int
            Pictures to read at a time.

        Returns
        -------
        numpy.ndarray of int32, shape (batch, *grid)

        Raises
        ------
        ValueError
            If the pictures have another shape than the configuration says.
        """
        parts = self._parts(images, batch_size)
        found = [ops.convert_to_numpy(ops.argmax(self.logits(self._checked(part)), axis=-1)) for part in parts]
        return np.concatenate(found).astype("int32")

    def decode(self, codes: Any, batch_size: int = 256) -> np.ndarray:
        """Draw pictures from codes.

        Parameters
        ----------
        codes : int array, shape (batch, rows, columns)
            Codes, one for each place of the grid.
        batch_size : int
            Pictures to draw at a time.

        Returns
        -------
        numpy.ndarray of float32, shape (batch, rows, columns, channels)

        Raises
        ------
        ValueError
            If the grid is another than the configuration's, or a code is not in the book.
        """
        codes = np.asarray(codes)
        if codes.shape[1:] != self.config.grid or not len(codes):
            raise ValueError(f"codes has shape {codes.shape}; it must be (batch, {self.config.grid})")
        if codes.min() < 0 or codes.max() >= self.config.codes:
            raise ValueError(
                f"codes holds {codes.min()} to {codes.max()}; it must be from 0 to {self.config.codes - 1}"
            )
        size, dtype = self.config.codes, self.compute_dtype
        drawn = [self._draw(ops.one_hot(part, size, dtype=dtype)) for part in self._parts(codes, batch_size)]
        return np.concatenate([ops.convert_to_numpy(part) for part in drawn])

    def reconstruct(self, images: Any) -> np.ndarray:
        """Encode and decode."""
        return self.decode(self.encode(images))

    def _draw(self, chosen: Any) -> Any:
        """Draw from a share of each code (batch, *grid, codes): the decoder gets the mean of their vectors."""
        x = ops.matmul(ops.cast(chosen, self.compute_dtype), ops.cast(self.book.embeddings, self.compute_dtype))
        for layer in self.decoder:
            x = layer(x)
        return x

    def _checked(self, images: Any) -> Any:
        images = ops.convert_to_tensor(images, self.compute_dtype)
        if tuple(images.shape[1:]) != self.config.image:
            raise ValueError(f"images have shape {tuple(images.shape)}; they must be (batch, {self.config.image})")
        return images

    def _parts(self, array: Any, batch_size: int) -> list[Any]:
        array = np.asarray(array)
        step = _check.count("batch_size", batch_size)
        return [array[start : start + step] for start in range(0, max(len(array), 1), step)]

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"config": asdict(self.config), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Dvae:
        """Make the model that `get_config` describes."""
        return cls(**config | {"config": DvaeConfig(**config["config"])})


def gumbel_softmax(logits: Any, temperature: Any, straight_through: bool = False, seed: Any = None) -> Any:
    r"""Choose a code at random, softly: :math:`\operatorname{softmax}((\ell + g) / \tau)`, :math:`g = -\log(-\log u)`.

    With :math:`u` uniform between 0 and 1, the largest of :math:`\ell + g` is code :math:`k` with the probability
    :math:`\operatorname{softmax}(\ell)_k`, exactly. The softmax with temperature :math:`\tau` points at the largest,
    the more sharply the smaller :math:`\tau`, and has a derivative by :math:`\ell`.

    Parameters
    ----------
    logits : tensor, shape (..., codes)
        Scores :math:`\ell`.
    temperature : float or scalar tensor
        :math:`\tau`, above 0.
    straight_through : bool
        Give 1 for the largest and 0 for the others, with the derivative of the soft choice.
    seed : int or keras.random.SeedGenerator, optional
        Where :math:`u` is drawn from.

    Returns
    -------
    tensor, as `logits`
        Shares that sum to 1.
    """
    uniform = keras.random.uniform(ops.shape(logits), dtype=logits.dtype, seed=seed)
    gumbel = -ops.log(-ops.log(uniform + SMALLEST) + SMALLEST)
    soft = ops.softmax((logits + gumbel) / ops.cast(temperature, logits.dtype), axis=-1)
    if not straight_through:
        return soft
    hard = ops.one_hot(ops.argmax(soft, axis=-1), logits.shape[-1], dtype=soft.dtype)
    return ops.stop_gradient(hard - soft) + soft


def codebook_use(codes: Any, size: int) -> tuple[int, float]:
    """Measure how much of a book is used.

    Parameters
    ----------
    codes : int array, any shape
        Codes of pictures.
    size : int
        Codes in the book.

    Returns
    -------
    used : int
        Codes that occur.
    perplexity : float
        exp of the entropy of how often each occurs, in nats: `size` if all are equally frequent, 1 if there is one.

    Raises
    ------
    TypeError, ValueError
        If there are no codes, or one is not in the book.
    """
    array, _ = np.asarray(codes), _check.count("size", size)
    if not array.size or array.min() < 0 or array.max() >= size:
        raise ValueError(f"codes has shape {array.shape}; it must hold at least one code, all from 0 to {size - 1}")
    counts = np.bincount(array.ravel(), minlength=size)
    shares = counts[counts > 0] / array.size
    return int((counts > 0).sum()), float(np.exp(-np.sum(shares * np.log(shares))))


class Annealing(keras.callbacks.Callback):
    r"""Lower a `Dvae`'s temperature while it is trained, along half a cosine.

    .. math:: \tau_n = \tau_1 + (\tau_0 - \tau_1) \tfrac12 (1 + \cos(\pi \min(n / N, 1)))

    A high temperature mixes many codes and has smooth derivatives; a low one is what the decoder meets later.

    Parameters
    ----------
    steps : int
        Batches :math:`N` until the end is reached.
    start, end : float
        Temperatures. By default DALL-E's: from 1 to 1/16.
    """

    def __init__(self, steps: int, start: float = 1.0, end: float = 1 / 16) -> None:
        super().__init__()
        self.steps, self.start = _check.count("steps", steps), _check.positive("start", start)
        self.end, self.done = _check.positive("end", end), 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the temperature of the batch that begins."""
        share = min(self.done / self.steps, 1)
        self.model.temperature.assign(self.end + (self.start - self.end) * 0.5 * (1 + math.cos(math.pi * share)))
        self.done += 1
