"""Captioned pictures of coloured shapes, drawn by rule, and a checker that says whether a picture shows what was asked.

A request names a number, a colour, a shape and a place. There are 144 of them, and each has many pictures: the free
cells are drawn, and so is how far each shape is off its cell's corner. So a model can be asked for what it never saw,
and success can be counted.

>>> data = shape_scenes(3, size=24, seed=1)
>>> data.images.shape, data.captions[0]
((3, 24, 24, 3), 'two green circles at the bottom')
>>> check(data.images[0], data.requests[0])
{'number': True, 'colour': True, 'shape': True, 'place': True}
>>> check(data.images[0], Request(2, "red", "circle", "bottom"))
{'number': True, 'colour': False, 'shape': True, 'place': True}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import ndimage

from course_lib import _check

__all__ = [
    "CAPTION_LENGTH", "COLOURS", "NUMBERS", "PLACES", "SHAPES", "WORDS", "Found", "Request", "ShapeScenes", "check",
    "find", "requests", "shape_scenes", "tokens",
]  # fmt: skip

NUMBERS = ("one", "two", "three")
COLOURS = {
    "red": (0.9, 0.15, 0.1),
    "green": (0.1, 0.7, 0.2),
    "blue": (0.15, 0.3, 1.0),
    "yellow": (0.95, 0.85, 0.1),
}
SHAPES = ("circle", "square", "triangle")
PLACES = ("left", "right", "top", "bottom")
CELLS = 3  # rows and columns of places where a shape can stand
# All words of captions, in the order of their tokens.
WORDS = ("at", "the", *NUMBERS, *COLOURS, *SHAPES, *(f"{shape}s" for shape in SHAPES), *PLACES)
CAPTION_LENGTH = 6  # words
HELD_OUT = 6  # of so many requests one is kept for testing


@dataclass(frozen=True)
class Request:
    """What a picture should show.

    Attributes
    ----------
    number : int
        Shapes, 1 to 3.
    colour : {"red", "green", "blue", "yellow"}
        Of all of them.
    shape : {"circle", "square", "triangle"}
        Of all of them.
    place : {"left", "right", "top", "bottom"}
        The column or the row of the picture in which all of them stand.

    Raises
    ------
    TypeError, ValueError
        If a field is out of range.

    Examples
    --------
    >>> Request(2, "red", "circle", "top").caption
    'two red circles at the top'
    >>> Request.parse("two red circles at the top") == Request(2, "red", "circle", "top")
    True
    """

    number: int
    colour: str
    shape: str
    place: str

    def __post_init__(self) -> None:
        """Check every field."""
        if _check.count("number", self.number) > len(NUMBERS):
            raise ValueError(f"number is {self.number}; it must be from 1 to {len(NUMBERS)}")
        _check.choice("colour", self.colour, tuple(COLOURS))
        _check.choice("shape", self.shape, SHAPES)
        _check.choice("place", self.place, PLACES)

    @property
    def caption(self) -> str:
        """The request in words."""
        plural = "s" if self.number > 1 else ""
        return f"{NUMBERS[self.number - 1]} {self.colour} {self.shape}{plural} at the {self.place}"

    @classmethod
    def parse(cls, caption: str) -> Request:
        """Read a caption: the request that has it.

        Raises
        ------
        ValueError
            If no request has this caption.
        """
        words = str(caption).lower().split()
        if len(words) == CAPTION_LENGTH and words[0] in NUMBERS and words[3:5] == ["at", "the"]:
            number, shape = NUMBERS.index(words[0]) + 1, words[2].removesuffix("s")
            if words[1] in COLOURS and shape in SHAPES and words[5] in PLACES:
                found = cls(number, words[1], shape, words[5])
                if found.caption == " ".join(words):
                    return found
        raise ValueError(f"caption is {caption!r}; it must be like 'two red circles at the top'")

    @property
    def held_out(self) -> bool:
        """Whether this combination is kept for testing: its four numbers add up to a multiple of six."""
        parts = (
            (NUMBERS[self.number - 1], NUMBERS),
            (self.colour, tuple(COLOURS)),
            (self.shape, SHAPES),
            (self.place, PLACES),
        )
        return sum(names.index(name) for name, names in parts) % HELD_OUT == 0


def requests(part: str = "all") -> list[Request]:
    """List requests.

    Parameters
    ----------
    part : {"all", "train", "held_out"}
        All 144; those to learn from; or the combinations that are kept for testing. Every two words of a kept one (such
        as "red" and "circle") stand together in some that is learned from; the four never do.

    Raises
    ------
    ValueError
        If there is no such part.
    """
    _check.choice("part", part, ("all", "train", "held_out"))
    every = [Request(*parts) for parts in product(range(1, len(NUMBERS) + 1), COLOURS, SHAPES, PLACES)]
    return [request for request in every if part == "all" or request.held_out == (part == "held_out")]


def tokens(captions: Sequence[str]) -> np.ndarray:
    """Give each word its number in `WORDS`.

    Parameters
    ----------
    captions : sequence of str
        Captions of requests.

    Returns
    -------
    numpy.ndarray of int32, shape (captions, 6)

    Raises
    ------
    ValueError
        If one is no caption.
    """
    rows = [[WORDS.index(word) for word in Request.parse(caption).caption.split()] for caption in captions]
    return np.array(rows, "int32").reshape(-1, CAPTION_LENGTH)


@dataclass(frozen=True, eq=False)
class ShapeScenes:
    """Pictures and what each shows.

    Attributes
    ----------
    images : array of float32, shape (pictures, rows, columns, 3)
        Red, green and blue, 0 to 1, on black.
    requests : tuple of Request
        One for each picture.
    """

    images: np.ndarray
    requests: tuple[Request, ...]

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.images)

    @property
    def captions(self) -> list[str]:
        """The requests in words."""
        return [request.caption for request in self.requests]

    @property
    def tokens(self) -> np.ndarray:
        """The captions as tokens, shape (pictures, 6)."""
        return tokens(self.captions)

    def take(self, numbers: Sequence[int] | np.ndarray | slice) -> ShapeScenes:
        """Give the pictures with these numbers, in this order."""
        chosen = np.arange(len(self))[numbers]
        return ShapeScenes(self.images[chosen], tuple(self.requests[n] for n in chosen))


def shape_scenes(
    count: int, size: int = 32, seed: int | None = None, part: str = "train", noise: float = 0.02
) -> ShapeScenes:
    """Draw pictures of requests that are drawn at random.

    Parameters
    ----------
    count : int
        Pictures.
    size : int
        Rows and columns; at least 24, or the shapes look alike.
    seed : int, optional
        Where draws come from; None: from NumPy's global generator.
    part : {"all", "train", "held_out"}
        Which requests; see `requests`.
    noise : float
        Standard deviation of what is added to each pixel.

    Returns
    -------
    ShapeScenes

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    The picture has 3 x 3 cells. The shapes of a picture stand in different cells of the row or column that the request
    names, each at one of four places in its cell, all equally likely, and 80 to 100 % as bright as its colour can be.
    """
    _check.count("count", count)
    _check.count("size", size, least=24)
    _check.non_negative("noise", noise)
    rng = np.random.default_rng(np.random.randint(2**31) if seed is None else _check.count("seed", seed, least=0))
    possible = requests(part)
    chosen = tuple(possible[n] for n in rng.integers(0, len(possible), count))
    images = np.stack([_draw(request, size, rng) for request in chosen])
    images = np.clip(images + noise * rng.standard_normal(images.shape), 0, 1)
    return ShapeScenes(images.astype("float32"), chosen)


@dataclass(frozen=True)
class Found:
    """A shape that `find` sees.

    Attributes
    ----------
    colour, shape : str
        Which they are.
    row, column : int
        The cell of its middle, 0 to 2.
    """

    colour: str
    shape: str
    row: int
    column: int


def find(image: Any) -> list[Found]:
    """See which shapes stand in a picture.

    Pixels that are bright enough belong to shapes; those that touch, also at a corner, and have one colour, to the same
    one. Pieces of less than a third of a triangle's area are overlooked. Of the three shapes, the one that covers a
    piece best is its shape.

    Parameters
    ----------
    image : array, shape (size, size, 3)
        0 to 1.

    Returns
    -------
    list of Found

    Raises
    ------
    TypeError, ValueError
        If it is no such array.
    """
    pixels = _check.finite("image", image, ndim=3)
    size = len(pixels)
    if pixels.shape != (size, size, 3) or size < 24:
        raise ValueError(f"image has shape {pixels.shape}; it must be (size, size, 3), size at least 24")
    palette = np.array(list(COLOURS.values()))
    brightness = pixels.max(-1)
    hue = pixels / np.maximum(brightness, 1e-6)[..., None]
    names = palette / palette.max(-1, keepdims=True)
    nearest = np.linalg.norm(hue[..., None, :] - names, axis=-1).argmin(-1)  # (size, size)
    side = size // CELLS - 2
    masks = {shape: _mask(shape, side) for shape in SHAPES}
    found = []
    for number, colour in enumerate(COLOURS):
        pieces, count = ndimage.label((brightness > 0.4) & (nearest == number), np.ones((3, 3)))
        for piece in range(1, count + 1):
            rows, columns = np.nonzero(pieces == piece)
            if len(rows) < masks["triangle"].sum() / 3:
                continue
            middle = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
            row, column = (min(int((m + 0.5) * CELLS / size), CELLS - 1) for m in middle)
            found.append(Found(colour, _best(pieces == piece, middle, masks), row, column))
    return found


def check(image: Any, request: Request) -> dict[str, bool]:
    """Say for each word of a request whether a picture agrees with it.

    Parameters
    ----------
    image : array, shape (size, size, 3)
        0 to 1.
    request : Request
        What was asked for.

    Returns
    -------
    dict
        ``"number"``: so many shapes are there; ``"colour"``, ``"shape"``, ``"place"``: there are shapes, and all of
        them have it.

    Raises
    ------
    TypeError, ValueError
        If `image` is no picture, or `request` no request.
    """
    if not isinstance(request, Request):
        raise TypeError(f"request is of type {type(request).__name__}; it must be a Request")
    found, last = find(image), CELLS - 1
    inside = {
        "left": lambda one: one.column == 0,
        "right": lambda one: one.column == last,
        "top": lambda one: one.row == 0,
        "bottom": lambda one: one.row == last,
    }[request.place]
    return {
        "number": len(found) == request.number,
        "colour": bool(found) and all(one.colour == request.colour for one in found),
        "shape": bool(found) and all(one.shape == request.shape for one in found),
        "place": bool(found) and all(inside(one) for one in found),
    }


def _draw(request: Request, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a request without noise."""
    image = np.zeros((size, size, 3))
    cell, colour = size // CELLS, np.array(COLOURS[request.colour])
    mask = _mask(request.shape, cell - 2)
    for free in rng.permutation(CELLS)[: request.number]:
        edge = CELLS - 1 if request.place in ("right", "bottom") else 0
        row, column = (edge, free) if request.place in ("top", "bottom") else (free, edge)
        top, left = np.array([row, column]) * size // CELLS + rng.integers(0, 2, 2)
        place = image[top : top + cell - 2, left : left + cell - 2]
        place[mask] = colour * rng.uniform(0.8, 1.0)
    return image


def _mask(shape: str, side: int) -> np.ndarray:
    """Give a shape's pixels in a square of this side."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side * 2 - 1  # middles of pixels, from -1 to 1
    if shape == "square":
        return np.ones((side, side), bool)
    if shape == "circle":
        return x**2 + y**2 <= 1
    return np.abs(x) <= (y + 1) / 2 + 1 / side  # a triangle that stands on its side


def _best(piece: np.ndarray, middle: tuple[float, float], masks: dict[str, np.ndarray]) -> str:
    """Name the shape that, laid on a piece's middle, shares the largest part of their union with it."""
    size, shares = len(piece), {}
    for shape, mask in masks.items():
        top, left = (round(m - (len(mask) - 1) / 2) for m in middle)
        whole = np.zeros((3 * size, 3 * size), bool)  # room for one that reaches over the edge
        whole[size + top : size + top + len(mask), size + left : size + left + len(mask)] = mask
        laid = whole[size : 2 * size, size : 2 * size]
        shares[shape] = np.sum(laid & piece) / np.sum(laid | piece)
    return max(shares, key=lambda shape: shares[shape])
