"""Videos of a moving digit whose label only the order of their frames decides.

A real digit (see `data.scenes`) moves across the frame on a straight line. Label 0, "right": it moves from left to
right, perhaps rising or falling on its way. Label 1, "left": such a video played backwards. So whatever frames a video
has, the same frames in the opposite order are as likely, with the other label: no single frame says anything about the
label, and neither do all of them in a bag. A model that beats one half must have used the order.

>>> data = moving_digits(4, frames=6, seed=1)
>>> data.videos.shape, sorted(data.labels.tolist())
((4, 6, 32, 32, 1), [0, 0, 1, 1])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from course_lib import _check
from course_lib.data.scenes import digit_images, enlarge

__all__ = ["CLASSES", "Videos", "moving_digits"]

CLASSES = ("right", "left")


@dataclass(frozen=True, eq=False)
class Videos:
    """Videos with a label each.

    Attributes
    ----------
    videos : array of float32, shape (videos, frames, rows, columns, 1)
        Brightness from 0 to 1.
    labels : array of int32, shape (videos,)
        Numbers of `CLASSES`.
    digits : array of int32, shape (videos,)
        Which digit moves; it has nothing to do with the label.
    """

    videos: np.ndarray
    labels: np.ndarray
    digits: np.ndarray

    def __len__(self) -> int:
        """Count the videos."""
        return len(self.videos)

    def take(self, numbers: Sequence[int] | np.ndarray | slice) -> Videos:
        """Give the videos with these numbers, in this order."""
        return Videos(self.videos[numbers], self.labels[numbers], self.digits[numbers])

    def shuffled(self, seed: int = 0) -> Videos:
        """Give the same videos with the frames of each in a random order of its own."""
        rng = np.random.default_rng(_check.count("seed", seed, least=0))
        orders = rng.permuted(np.tile(np.arange(self.videos.shape[1]), (len(self), 1)), axis=1)
        return replace(self, videos=self.videos[np.arange(len(self))[:, None], orders])


def moving_digits(
    count: int,
    frames: int = 8,
    seed: int = 0,
    part: str = "train",
    size: int = 32,
    heights: tuple[int, int] = (12, 18),
    noise: float = 0.05,
) -> Videos:
    """Make videos, half of them of each class.

    Parameters
    ----------
    count : int
        Videos.
    frames : int
        Pictures of each; at least 2.
    seed : int
        Decides everything that is random.
    part : {"train", "test"}
        Which digits are used; no image of a digit is in both parts.
    size : int
        Pixels a side.
    heights : pair of int
        Smallest and largest height and width of the digit; at most three quarters of `size`, to leave it room to move.
    noise : float
        Standard deviation of what is added to each pixel, before the result is cut to 0 and 1.

    Returns
    -------
    Videos

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    """
    count, frames = _check.count("count", count), _check.count("frames", frames, least=2)
    size = _check.count("size", size, least=12)
    low, high = (_check.count("heights", height, least=8) for height in heights)
    if not low <= high <= 3 * size / 4:
        raise ValueError(f"heights is {heights!r}; it must be (smallest, largest), at most {3 * size // 4}")
    _check.non_negative("noise", noise)
    rng = np.random.default_rng(_check.count("seed", seed, least=0))
    pool, digits = digit_images(part)
    chosen = rng.integers(len(pool), size=count)
    videos = noise * rng.standard_normal((count, frames, size, size), np.float32)
    for video, number in zip(videos, chosen, strict=True):
        height, width = rng.integers(low, high + 1, 2)
        picture = enlarge(pool[number], int(height), int(width)) * rng.uniform(0.7, 1.0)
        room = size - width
        start = rng.uniform(0, room / 3)  # from the left third to the right third: every video has its way to go
        columns = np.linspace(start, rng.uniform(2 * room / 3, room), frames).round().astype(int)
        first, last = rng.uniform(0, size - height, 2)
        rows = np.linspace(first, last, frames).round().astype(int)
        for frame, top, left in zip(video, rows, columns, strict=True):
            frame[top : top + height, left : left + width] += picture
    labels = rng.permutation(np.arange(count, dtype=np.int32) % 2)
    videos[labels == 1] = videos[labels == 1, ::-1]  # the only thing that a label does
    return Videos(np.clip(videos, 0, 1)[..., None].astype(np.float32), labels, digits[chosen])
