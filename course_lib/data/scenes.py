"""Scenes: images composed of real handwritten digits, with the box, the class and the pixels of each known exactly.

The digits are those of scikit-learn: 1,797 images of 8 x 8 pixels, written by 13 people (E. Alpaydin, C. Kaynak, 1998,
doi:10.24432/C50P49, licence CC BY 4.0). A scene puts some of them, enlarged, at random places, with pieces of strokes
and noise between them. Nothing is downloaded.

>>> scenes = digit_scenes(2, size=48, seed=3)
>>> scenes.images.shape, scenes.masks.shape
((2, 48, 48, 1), (2, 48, 48))
>>> [len(boxes) for boxes in scenes.boxes] == [len(classes) for classes in scenes.classes]
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["PARTS", "Scenes", "digit_images", "digit_scenes", "enlarge"]

# The images come writer after writer, so a cut keeps (but for the writer at the cut) hands apart as well as images.
PARTS = {"train": slice(0, 1297), "test": slice(1297, 1797)}
INK = 0.25  # from this brightness on, a pixel of an enlarged digit counts as its ink


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images, and what stands where in them.

    Attributes
    ----------
    images : array of float32, shape (scenes, rows, columns, 1)
        Brightness from 0 to 1; digits are bright.
    boxes : tuple of arrays of float32, each of shape (objects, 4)
        ``x1, y1, x2, y2`` in pixels: the smallest box around a digit's ink.
    classes : tuple of arrays of int32, each of shape (objects,)
        Which digit it is, 0 to 9.
    masks : array of int32, shape (scenes, rows, columns)
        The class of each pixel: 0 for the background, 1 + digit for ink. Where two digits overlap, the later one.
    """

    images: np.ndarray
    boxes: tuple[np.ndarray, ...]
    classes: tuple[np.ndarray, ...]
    masks: np.ndarray

    def __len__(self) -> int:
        """Count the scenes."""
        return len(self.images)

    def take(self, numbers: Sequence[int] | np.ndarray | slice) -> Scenes:
        """Give the scenes with these numbers, in this order."""
        chosen = np.arange(len(self))[numbers]
        boxes, classes = ([part[n] for n in chosen] for part in (self.boxes, self.classes))
        return replace(
            self, images=self.images[chosen], boxes=tuple(boxes), classes=tuple(classes), masks=self.masks[chosen]
        )

    @property
    def truths(self) -> list[dict[str, np.ndarray]]:
        """Boxes and classes of each scene, as `evaluation.detection` takes them."""
        return [{"boxes": b, "classes": c} for b, c in zip(self.boxes, self.classes, strict=True)]


def digit_scenes(
    count: int,
    size: int = 64,
    seed: int = 0,
    part: str = "train",
    objects: tuple[int, int] = (1, 4),
    heights: tuple[int, int] = (14, 28),
    overlap: float = 0.05,
    clutter: int = 4,
    noise: float = 0.05,
    digits: Sequence[int] = tuple(range(10)),
) -> Scenes:
    """Compose scenes.

    Parameters
    ----------
    count : int
        Scenes.
    size : int
        Pixels a side.
    seed : int
        Decides everything that is random.
    part : {"train", "test"}
        Which digits are used; no image of a digit is in both parts.
    objects : pair of int
        Fewest and most digits in a scene. Where no place is left, it has fewer, but at least one.
    heights : pair of int
        Smallest and largest height to which a digit's image of 8 x 8 pixels is enlarged; its width varies around the
        same. At most `size`.
    overlap : float
        Two digits' boxes may have at most this IoU; from 0 to below 1.
    clutter : int
        Pieces of digits, 3 x 3 of their pixels, enlarged in the same way, that lie about and are no objects.
    noise : float
        Standard deviation of what is added to each pixel, before the result is cut to 0 and 1.
    digits : sequence of int
        Which digits occur.

    Returns
    -------
    Scenes

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    count, size, clutter = (
        _check.count("count", count),
        _check.count("size", size, 8),
        _check.count("clutter", clutter, 0),
    )
    fewest, most = _pair("objects", objects, 1, 1000)
    low, high = _pair("heights", heights, 8, size)
    _check.fraction("overlap", overlap)
    _check.non_negative("noise", noise)
    rng = np.random.default_rng(_check.count("seed", seed, least=0))
    pool, labels = digit_images(part, digits)

    def sprite(crop: int) -> tuple[np.ndarray, int]:
        number = int(rng.integers(len(pool)))
        height = int(rng.integers(low, high + 1))
        width = int(np.clip(round(height * rng.uniform(0.8, 1.2)), 8, size))
        picture = pool[number]
        if crop < 8:
            row, column = rng.integers(0, 8 - crop + 1, 2)
            picture = picture[row : row + crop, column : column + crop]
            height, width = height * crop // 8, width * crop // 8
        return enlarge(picture, height, width) * rng.uniform(0.7, 1.0), int(labels[number])

    images = np.zeros((count, size, size), np.float32)
    masks = np.zeros((count, size, size), np.int32)
    boxes, classes = [], []
    for image, mask in zip(images, masks, strict=True):
        for _ in range(clutter):
            piece, _label = sprite(3)
            _paint(image, piece, *_corner(rng, piece, size))
        own_boxes: list[list[float]] = []
        own_classes: list[int] = []
        for _ in range(int(rng.integers(fewest, most + 1))):
            picture, label = sprite(8)
            ink = picture >= INK * picture.max()
            (rows,), (columns,) = np.nonzero(ink.any(axis=1)), np.nonzero(ink.any(axis=0))
            for _attempt in range(20):
                top, left = _corner(rng, picture, size)
                box = [left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1]
                if all(_iou(box, other) <= overlap for other in own_boxes):
                    break
            else:
                continue
            _paint(image, picture, top, left)
            mask[top : top + len(ink), left : left + ink.shape[1]][ink] = 1 + label
            own_boxes.append(box)
            own_classes.append(label)
        boxes.append(np.array(own_boxes, np.float32))
        classes.append(np.array(own_classes, np.int32))
    images = np.clip(images + noise * rng.standard_normal(images.shape, np.float32), 0, 1).astype(np.float32)
    return Scenes(images[..., None], tuple(boxes), tuple(classes), masks)


def digit_images(part: str = "train", digits: Sequence[int] = tuple(range(10))) -> tuple[np.ndarray, np.ndarray]:
    """Give scikit-learn's digits, cut in two parts.

    Parameters
    ----------
    part : {"train", "test"}
        The first 1,297 images, or the last 500.
    digits : sequence of int
        Which digits are wanted.

    Returns
    -------
    images : array of float32, shape (images, 8, 8)
        Brightness from 0 to 1.
    labels : array of int32, shape (images,)

    Raises
    ------
    ValueError
        If there is no such part or digit.
    """
    _check.choice("part", part, tuple(PARTS))
    wanted = sorted({_check.count("digits", digit, least=0) for digit in digits})
    if not wanted or wanted[-1] > 9:
        raise ValueError(f"digits is {digits!r}; it must hold whole numbers from 0 to 9")
    images, labels = (array[PARTS[part]] for array in _digits())
    chosen = np.isin(labels, wanted)
    return images[chosen], labels[chosen]


def enlarge(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize one picture by bilinear interpolation between the centres of its pixels.

    Parameters
    ----------
    picture : array of float, shape (rows, columns)
        What is resized.
    height, width : int
        Of the result.

    Returns
    -------
    array of float32, shape (height, width)
        Beyond the outermost centres, the outermost pixels go on.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    picture = _check.finite("picture", picture, ndim=2)
    by_rows, by_columns = (
        _interpolation(length, _check.count(name, new))
        for name, length, new in (("height", picture.shape[0], height), ("width", picture.shape[1], width))
    )
    return (by_rows @ picture @ by_columns.T).astype(np.float32)


@cache
def _interpolation(old: int, new: int) -> np.ndarray:
    """Give the matrix (new, old) whose rows say how a new pixel is mixed of two old ones."""
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.maximum(1 - np.abs(places[:, None] - np.arange(old)[None, :]), 0)


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images / 16).astype(np.float32), found.target.astype(np.int32)


def _corner(rng: np.random.Generator, picture: np.ndarray, size: int) -> tuple[int, int]:
    return tuple(int(rng.integers(0, size - side + 1)) for side in picture.shape)  # type: ignore[return-value]


def _paint(image: np.ndarray, picture: np.ndarray, top: int, left: int) -> None:
    window = image[top : top + picture.shape[0], left : left + picture.shape[1]]
    np.maximum(window, picture, out=window)


def _iou(a: list[float], b: list[float]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(wide, 0) * max(high, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def _pair(name: str, value: Any, least: int, greatest: int) -> tuple[int, int]:
    try:
        low, high = (_check.count(name, number, least) for number in value)
    except (TypeError, ValueError):
        low, high = 1, 0
    if not low <= high <= greatest:
        raise ValueError(
            f"{name} is {value!r}; it must be two whole numbers, the first not above the second, from {least}"
            f" to {greatest}"
        )
    return low, high
