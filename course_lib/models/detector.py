"""A one-stage detector: RetinaNet's form, small enough to train on one core in seconds.

A detector must say how many objects an image has, where, and which. It lays a fixed set of boxes, the anchors, over the
image, and for every anchor answers two questions: which class is here, if any, and how must this box move and stretch
to fit. Almost all anchors are background; the focal loss keeps them from drowning the few that are not.

>>> config = DetectorConfig(image=(32, 32, 1), classes=10)
>>> model = detector(config, seed=0)
>>> {name: tuple(output.shape) for name, output in model.output.items()}
{'boxes': (None, 160, 4), 'classes': (None, 160, 10)}
>>> len(anchors(config)), model.count_params() == config.parameters
(160, True)

References
----------
T.-Y. Lin et al., Focal Loss for Dense Object Detection, 2017, https://arxiv.org/abs/1708.02002
T.-Y. Lin et al., Feature Pyramid Networks for Object Detection, 2016, https://arxiv.org/abs/1612.03144
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from course_lib import _check
from course_lib.evaluation import boxes as geometry
from course_lib.layers import _seeds
from course_lib.layers.convolution import LAYOUT, ConvStyle, conv_norm
from course_lib.models import _presets

__all__ = [
    "BACKGROUND", "IGNORED", "BoxLoss", "Detector", "DetectorConfig", "FocalLoss", "anchors", "decode", "detect",
    "detector", "encode", "match", "targets",
]  # fmt: skip

BACKGROUND, IGNORED = -1, -2  # labels of anchors without an object
FARTHEST = math.log(1000 / 16)  # an untrained model must not ask for a box of exp(100) pixels


@dataclass(frozen=True)
class DetectorConfig:
    """What fixes a detector.

    Attributes
    ----------
    image : tuple of int
        Rows, columns and channels of the images.
    classes : int
        Kinds of objects, background not counted.
    widths : tuple of int
        Channels after each stage; each halves rows and columns, so stage s has one place for 2^s x 2^s pixels.
    levels : tuple of int
        The stages, counted from 1, whose places carry anchors; following each other, and ending with the last stage.
    pyramid : int
        Channels of every level after the features of coarser levels were added to it.
    depth : int
        Convolutions of each head before the one that gives its answer.
    sizes : tuple of float
        For each level, the side in pixels of its square anchor at scale 1.
    scales : tuple of float
        Each place has anchors of these multiples of the level's size.
    ratios : tuple of float
        And of these heights divided by widths, with the same area.
    prior : float
        The probability that an untrained model gives every class at every anchor: small, because most are background.
    normalize : bool
        Batch normalisation in the stages.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.
    """

    image: tuple[int, int, int] = (64, 64, 1)
    classes: int = 10
    widths: tuple[int, ...] = (16, 32, 64)
    levels: tuple[int, ...] = (2, 3)
    pyramid: int = 32
    depth: int = 1
    sizes: tuple[float, ...] = (11.0, 18.0)
    scales: tuple[float, ...] = (1.0, 1.3)
    ratios: tuple[float, ...] = (1.4,)
    prior: float = 0.01
    normalize: bool = True

    def __post_init__(self) -> None:
        """Check every field."""
        object.__setattr__(self, "image", _presets.image("image", self.image))
        for name in ("widths", "levels"):
            object.__setattr__(self, name, _presets.counts(name, getattr(self, name)))
        for name in ("classes", "pyramid"):
            _check.count(name, getattr(self, name))
        _check.count("depth", self.depth, least=0)
        last = len(self.widths)
        if self.levels != tuple(range(self.levels[0], last + 1)):
            raise ValueError(f"levels is {self.levels}; it must be stages that follow each other and end with {last}")
        for name in ("sizes", "scales", "ratios"):
            values = tuple(_check.positive(name, value) for value in getattr(self, name))
            object.__setattr__(self, name, values)
            if not values:
                raise ValueError(f"{name} is (); it must hold at least one number")
        if len(self.sizes) != len(self.levels):
            raise ValueError(f"sizes is {self.sizes}; it must have one for each of the {len(self.levels)} levels")
        if not 0 < _check.positive("prior", self.prior) < 1:
            raise ValueError(f"prior is {self.prior}; it must be above 0 and below 1")
        _check.flag("normalize", self.normalize)

    @property
    def anchors_a_place(self) -> int:
        """Anchors at each place of a level."""
        return len(self.scales) * len(self.ratios)

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of places of each level."""
        rows, columns, _ = self.image
        return tuple((-(-rows // 2**level), -(-columns // 2**level)) for level in self.levels)

    @property
    def parameters(self) -> int:
        """All weights: what ``model.count_params()`` gives."""
        inputs = (self.image[2], *self.widths)
        norm = 4 if self.normalize else 1
        stages = sum(
            (9 * a + norm) * b + ((9 * b + norm) * b if number else 0)
            for number, (a, b) in enumerate(zip(inputs, self.widths, strict=False))
        )
        p, levels = self.pyramid, len(self.levels)
        sides = sum((self.widths[level - 1] + 1) * p for level in self.levels) + levels * (9 * p + 1) * p
        answers = (9 * p + 1) * self.anchors_a_place * (self.classes + 4)
        return stages + sides + 2 * self.depth * (9 * p + 1) * p + answers


# --- The network -----------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable(package="course_lib")
class Detector(keras.Model):
    """The network: stages, pyramid, and two heads that all levels share.

    Parameters
    ----------
    config : DetectorConfig
        Sizes and options.
    seed : int, optional
        Where the initial weights draw from; None: from Keras' global seed.
    **kwargs
        As ``keras.Model`` takes them.

    Raises
    ------
    TypeError
        If `config` is something else.
    """

    def __init__(self, config: DetectorConfig, seed: int | None = None, **kwargs: Any) -> None:
        c, _ = _presets.resolve(config, DetectorConfig, {})
        style = ConvStyle(normalize=c.normalize, bias=not c.normalize, seed=seed)
        x = images = keras.Input(c.image, name="images")  # (batch, rows, columns, channels)
        stages = []
        for number, width in enumerate(c.widths, 1):
            x = conv_norm(x, width, 3, 2, "same", style=style, name=f"stage_{number}_1")
            if number > 1:
                x = conv_norm(x, width, 3, 1, "same", style=style, name=f"stage_{number}_2")
            stages.append(x)

        def conv(filters: int, size: int, name: str, **options: Any) -> keras.layers.Conv2D:
            start = _seeds.initializer("he_normal", style.own_seed(name))
            return keras.layers.Conv2D(
                filters, size, padding="same", data_format=LAYOUT, name=name,
                **{"kernel_initializer": start} | options,
            )  # fmt: skip

        # From coarse to fine: a coarse level knows what is there, a fine one where exactly.
        maps: list[Any] = []
        for level in reversed(c.levels):
            x = conv(c.pyramid, 1, f"side_{level}")(stages[level - 1])
            if maps:
                up = keras.layers.UpSampling2D(2, data_format=LAYOUT, name=f"up_{level}")(maps[0])
                x = keras.layers.Add(name=f"sum_{level}")([x, up[:, : x.shape[1], : x.shape[2]]])
            maps.insert(0, x)
        maps = [conv(c.pyramid, 3, f"level_{n}")(x) for n, x in zip(c.levels, maps, strict=True)]

        small = keras.initializers.RandomNormal(stddev=0.01, seed=style.own_seed("answers"))
        prior = keras.initializers.Constant(-math.log((1 - c.prior) / c.prior))  # its sigmoid is the prior
        outputs = {}
        for name, each, bias in (("boxes", 4, "zeros"), ("classes", c.classes, prior)):
            hidden = [conv(c.pyramid, 3, f"{name}_{n}", activation="relu") for n in range(1, c.depth + 1)]
            answer = conv(
                each * c.anchors_a_place, 3, f"{name}_answer", bias_initializer=bias,
                kernel_initializer=_seeds.initializer(small, style.own_seed(f"{name}_answer")),
            )  # fmt: skip
            parts = []
            for (rows, columns), x in zip(c.places, maps, strict=True):
                for layer in (*hidden, answer):  # the same layers at every level
                    x = layer(x)
                parts.append(ops.reshape(x, (-1, rows * columns * c.anchors_a_place, each)))
            joined = keras.layers.Concatenate(axis=1)(parts) if len(parts) > 1 else parts[0]
            outputs[name] = keras.layers.Activation("linear", dtype="float32", name=name)(joined)
        super().__init__(images, outputs, **kwargs)
        self.config, self.seed = c, seed

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return {"config": asdict(self.config), "seed": self.seed, "name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Detector:
        """Make the model that `get_config` describes."""
        return cls(**config | {"config": DetectorConfig(**config["config"])})


def detector(config: DetectorConfig, seed: int | None = None, name: str | None = None) -> Detector:
    """Build a detector.

    Parameters
    ----------
    config : DetectorConfig
        Its sizes and options.
    seed : int, optional
        Where the initial weights draw from; None: from Keras' global seed.
    name : str, optional
        The model's name; by default "detector".

    Returns
    -------
    Detector
        Takes images (batch, rows, columns, channels), gives a dict: ``"classes"``, logits (batch, anchors, classes),
        each with a sigmoid of its own, and ``"boxes"``, offsets (batch, anchors, 4) that `decode` reads. Not compiled;
        its losses are `FocalLoss` and `BoxLoss`, its targets those of `targets`.

    Raises
    ------
    TypeError
        If `config` is no `DetectorConfig`.
    """
    return Detector(config, seed, name=name or "detector")


# --- Anchors and targets ---------------------------------------------------------------------------------------------


def anchors(config: DetectorConfig) -> np.ndarray:
    """Lay out the anchors: level by level, row by row, place by place, scale by scale, ratio by ratio.

    Parameters
    ----------
    config : DetectorConfig
        Where they lie and how large they are.

    Returns
    -------
    array of float64, shape (anchors, 4)
        ``x1, y1, x2, y2`` in pixels, around the centre of each place; some reach over the image's edge.
    """
    scales, ratios = np.meshgrid(config.scales, config.ratios, indexing="ij")
    widths, heights = (scales / np.sqrt(ratios)).ravel(), (scales * np.sqrt(ratios)).ravel()
    parts = []
    for level, size, (rows, columns) in zip(config.levels, config.sizes, config.places, strict=True):
        y, x = np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, indexing="ij")
        centers = np.stack([x, y], axis=-1).reshape(-1, 1, 2) * 2**level  # (places, 1, 2)
        half = np.stack([widths, heights], axis=-1) * size / 2  # (anchors at a place, 2)
        parts.append(np.concatenate([centers - half, centers + half], axis=-1).reshape(-1, 4))
    return np.concatenate(parts)


def match(
    anchors: Any, boxes: Any, classes: Any, high: float = 0.5, low: float = 0.4, best: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Say which object each anchor stands for.

    Parameters
    ----------
    anchors : array_like, shape (anchors, 4)
        ``x1, y1, x2, y2``.
    boxes : array_like, shape (objects, 4)
        The objects of one image.
    classes : array_like of int, shape (objects,)
        Their classes, from 0.
    high : float
        An anchor whose IoU with the object it fits best is at least this stands for that object.
    low : float
        Below this it is background; between the two it is left out of the loss.
    best : bool
        Each object also gets the anchor that fits it best, however badly, so that none goes unseen. Where two want the
        same anchor, the one that fits it better has it.

    Returns
    -------
    labels : array of int32, shape (anchors,)
        The class, `BACKGROUND` or `IGNORED`.
    objects : array of int64, shape (anchors,)
        The number of the object that it stands for; -1 for those without.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    if not 0 <= _check.non_negative("low", low) <= _check.positive("high", high) <= 1:
        raise ValueError(f"low is {low!r} and high {high!r}; they must be 0 <= low <= high <= 1")
    overlaps = geometry.iou(anchors, boxes)  # (anchors, objects)
    kinds = geometry.check_length("classes", classes, overlaps.shape[1])
    if len(kinds) and (kinds.dtype.kind not in "iu" or kinds.min() < 0):
        raise ValueError(f"classes is {kinds.tolist()}; it must hold whole numbers from 0")
    labels = np.full(len(overlaps), BACKGROUND, np.int32)
    objects = np.full(len(overlaps), -1)
    if not len(kinds):
        return labels, objects
    fit = overlaps.max(axis=1)
    labels[fit >= low] = IGNORED
    objects[fit >= high] = overlaps.argmax(axis=1)[fit >= high]
    if _check.flag("best", best) and len(overlaps):
        for number in np.argsort(overlaps.max(axis=0), kind="stable"):  # the best fit last: it stays
            objects[overlaps[:, number].argmax()] = number
    labels[objects >= 0] = kinds[objects[objects >= 0]]
    return labels, objects


def encode(boxes: Any, anchors: Any) -> np.ndarray:
    r"""Write boxes as offsets from anchors: how far the centre moves, and the logarithm of how much each side grows.

    .. math:: \frac{x - x_a}{w_a}, \quad \frac{y - y_a}{h_a}, \quad \log \frac{w}{w_a}, \quad \log \frac{h}{h_a}

    Parameters
    ----------
    boxes, anchors : array_like, shape (n, 4)
        ``x1, y1, x2, y2``, row by row one box and its anchor; with an area above 0.

    Returns
    -------
    array of float64, shape (n, 4)

    Raises
    ------
    TypeError, ValueError
        If these are no boxes, one has no area, or the numbers of rows differ.

    References
    ----------
    R. Girshick et al., 2013, https://arxiv.org/abs/1311.2524, appendix C
    """
    boxes, anchors = geometry.check_boxes("boxes", boxes), geometry.check_boxes("anchors", anchors)
    if boxes.shape != anchors.shape:
        raise ValueError(f"boxes has {len(boxes)} rows and anchors {len(anchors)}; there must be as many of both")
    for name, values in (("boxes", boxes), ("anchors", anchors)):
        if (geometry.area(values) == 0).any():
            raise ValueError(f"{name}[{int(geometry.area(values).argmin())}] has no area; all must have one")
    box, anchor = (geometry.convert(values, target="center") for values in (boxes, anchors))
    moved = (box[:, :2] - anchor[:, :2]) / anchor[:, 2:]
    return np.hstack([moved, np.log(box[:, 2:] / anchor[:, 2:])])


def decode(offsets: Any, anchors: Any) -> np.ndarray:
    """Turn offsets back into boxes: what `encode` undoes.

    Parameters
    ----------
    offsets : array_like, shape (..., n, 4)
        As `encode` gives them. A side may grow at most 1000 / 16 times, as in the authors' program.
    anchors : array_like, shape (n, 4)
        ``x1, y1, x2, y2``.

    Returns
    -------
    array of float64, shape (..., n, 4)
        ``x1, y1, x2, y2``.

    Raises
    ------
    TypeError, ValueError
        If these are no boxes, or the numbers of rows differ.
    """
    offsets = _check.finite("offsets", offsets).astype(np.float64)
    anchor = geometry.convert(anchors, target="center")
    if offsets.shape[-2:] != anchor.shape:
        raise ValueError(f"offsets has shape {offsets.shape}; there are {len(anchor)} anchors, so it must end so, by 4")
    center = anchor[:, :2] + offsets[..., :2] * anchor[:, 2:]
    half = anchor[:, 2:] * np.exp(np.minimum(offsets[..., 2:], FARTHEST)) / 2
    return np.concatenate([center - half, center + half], axis=-1)


def targets(
    config: DetectorConfig, boxes: Sequence[Any], classes: Sequence[Any], high: float = 0.5, low: float = 0.4,
    best: bool = True,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Say what the model should answer for each anchor of each image.

    Parameters
    ----------
    config : DetectorConfig
        The model's.
    boxes, classes : sequences of arrays, one an image
        Boxes (objects, 4) with an area, and classes (objects,) from 0.
    high, low, best
        As `match` takes them.

    Returns
    -------
    dict
        ``"classes"``: int32 (images, anchors), the labels of `match`. ``"boxes"``: float32 (images, anchors, 5), the
        offsets of the anchor's object, and 1 where there is one, else five times 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    grid = anchors(config)
    if len(boxes) != len(classes):
        raise ValueError(f"classes is for {len(classes)} images; boxes is for {len(boxes)}")
    labels = np.full((len(boxes), len(grid)), BACKGROUND, np.int32)
    offsets = np.zeros((len(boxes), len(grid), 5), np.float32)
    for image, (own, kinds) in enumerate(zip(boxes, classes, strict=True)):
        labels[image], objects = match(grid, own, kinds, high, low, best)
        if labels[image].max() >= config.classes:
            raise ValueError(f"classes[{image}] holds {labels[image].max()}; the model has {config.classes} classes")
        has = objects >= 0
        offsets[image, has, :4] = encode(np.asarray(own)[objects[has]], grid[has]) if has.any() else 0
        offsets[image, has, 4] = 1
    return {"classes": labels, "boxes": offsets}


# --- Losses ----------------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable(package="course_lib")
class FocalLoss(keras.losses.Loss):
    r"""Cross-entropy that looks away from what is easy.

    .. math:: \mathrm{FL}(p_t) = -\alpha_t (1 - p_t)^\gamma \log p_t

    for each anchor and class, with :math:`p_t` the probability that the model gives to what is true there. An anchor of
    plain background with :math:`p_t = 0.99` counts 10,000 times less with :math:`\gamma = 2` than with cross-entropy.
    The terms of an image are added and divided by the number of its anchors that stand for an object.

    Parameters
    ----------
    gamma : float
        How strongly easy ones fade; 0 gives cross-entropy.
    alpha : float
        The weight of a class that is there; one that is not has 1 - alpha.
    **kwargs
        As ``keras.losses.Loss`` takes them.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    References
    ----------
    T.-Y. Lin et al., 2017, https://arxiv.org/abs/1708.02002, equation 5 and section 4.1
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 0.25, **kwargs: Any) -> None:
        super().__init__(**{"name": "focal_loss"} | kwargs)
        self.gamma = _check.non_negative("gamma", gamma)
        if not 0 < _check.positive("alpha", alpha) < 1:
            raise ValueError(f"alpha is {alpha!r}; it must be above 0 and below 1")
        self.alpha = alpha

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Give the loss of each image.

        Parameters
        ----------
        y_true : tensor, shape (batch, anchors)
            The class of each anchor, `BACKGROUND` or `IGNORED`.
        y_pred : tensor, shape (batch, anchors, classes)
            Logits.

        Returns
        -------
        tensor, shape (batch,)
        """
        label = ops.cast(y_true, "int32")[..., None]  # (batch, anchors, 1)
        there = label == ops.arange(y_pred.shape[-1], dtype="int32")
        wrong_way = ops.where(there, -y_pred, y_pred)  # its sigmoid is 1 - p_t, its softplus -log p_t
        weight = (1 - self.alpha) + (2 * self.alpha - 1) * ops.cast(there, y_pred.dtype)
        loss = ops.cast(label != IGNORED, y_pred.dtype) * weight * ops.softplus(wrong_way)
        if self.gamma:
            loss = loss * ops.power(ops.sigmoid(wrong_way), self.gamma)
        objects = ops.sum(ops.cast(label >= 0, y_pred.dtype), axis=(1, 2))
        return ops.sum(loss, axis=(1, 2)) / ops.maximum(objects, 1)

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"gamma": self.gamma, "alpha": self.alpha}


@keras.saving.register_keras_serializable(package="course_lib")
class BoxLoss(keras.losses.Loss):
    r"""Smooth L1 on the offsets of the anchors that stand for an object: quadratic near 0, linear beyond `beta`.

    The terms of an image are added and divided by the number of those anchors.

    Parameters
    ----------
    beta : float
        Where the parabola :math:`d^2 / (2 \beta)` goes over into the line :math:`|d| - \beta / 2`.
    **kwargs
        As ``keras.losses.Loss`` takes them.

    Raises
    ------
    TypeError, ValueError
        If `beta` is out of range.

    References
    ----------
    R. Girshick, Fast R-CNN, 2015, https://arxiv.org/abs/1504.08083, equation 3
    """

    def __init__(self, beta: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**{"name": "box_loss"} | kwargs)
        self.beta = _check.positive("beta", beta)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Give the loss of each image.

        Parameters
        ----------
        y_true : tensor, shape (batch, anchors, 5)
            Offsets, and 1 where the anchor stands for an object.
        y_pred : tensor, shape (batch, anchors, 4)
            Offsets.

        Returns
        -------
        tensor, shape (batch,)
        """
        has = y_true[..., 4:]
        distance = ops.abs(y_true[..., :4] - y_pred)
        loss = ops.where(distance < self.beta, ops.square(distance) / (2 * self.beta), distance - self.beta / 2)
        return ops.sum(has * loss, axis=(1, 2)) / ops.maximum(ops.sum(has, axis=(1, 2)), 1)

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return super().get_config() | {"beta": self.beta}


# --- From answers to detections --------------------------------------------------------------------------------------


def detect(
    model: Detector, images: Any, score: float = 0.05, overlap: float = 0.5, most: int = 100, candidates: int = 300,
    batch: int = 64,
) -> list[dict[str, np.ndarray]]:  # fmt: skip
    """Find objects.

    Parameters
    ----------
    model : Detector
        Trained.
    images : array_like, shape (images, rows, columns, channels)
        As the model was trained on.
    score : float
        What an anchor's class must reach to be looked at; from 0 to 1.
    overlap : float
        Of two boxes of a class with a higher IoU, only the one with the higher score is given.
    most : int
        Detections of an image, the highest scores first.
    candidates : int
        Anchors' classes of an image that are looked at before overlaps are removed.
    batch : int
        Images that go through the network together.

    Returns
    -------
    list of dict, one an image
        ``"boxes"``: float32 (detections, 4), ``x1, y1, x2, y2`` in pixels, cut at the image's edge; ``"classes"``:
        int32 (detections,); ``"scores"``: float32 (detections,), falling. As `evaluation.detection` takes them.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    if not isinstance(model, Detector):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a Detector")
    rows, columns, channels = model.config.image
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != (rows, columns, channels):
        raise ValueError(f"images has shape {images.shape}; it must be (images, {rows}, {columns}, {channels})")
    for name, value in (("score", score), ("overlap", overlap)):
        if not 0 <= _check.non_negative(name, value) <= 1:
            raise ValueError(f"{name} is {value!r}; it must be from 0 to 1")
    most, candidates = _check.count("most", most), _check.count("candidates", candidates)
    if not len(images):
        return []
    answers = model.predict(images, batch_size=_check.count("batch", batch), verbose=0)
    grid, results = anchors(model.config), []
    for logits, offsets in zip(answers["classes"], answers["boxes"], strict=True):
        scores = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))  # (anchors, classes)
        place, kind = np.nonzero(scores >= score)
        order = np.argsort(-scores[place, kind], kind="stable")[:candidates]
        place, kind = place[order], kind[order]
        found = decode(offsets[place], grid[place]).clip(0, [columns, rows, columns, rows])
        kept = geometry.non_maximum_suppression(found, scores[place, kind], overlap, kind)[:most]
        results.append(
            {
                "boxes": found[kept].astype(np.float32),
                "classes": kind[kept].astype(np.int32),
                "scores": scores[place, kind][kept].astype(np.float32),
            }
        )
    return results
