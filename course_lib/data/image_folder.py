"""Images from folders, one for each class: the form in which most people's own pictures come.

    folder/cat/0001.jpg
    folder/cat/0002.jpg
    folder/dog/0001.png

CIFAR-10 is published in this form too, and at https://www.cs.toronto.edu/~kriz/cifar.html in one of its own, which
``keras.datasets.cifar10`` reads; its authors state no licence (A. Krizhevsky, Learning Multiple Layers of Features from
Tiny Images, 2009).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from course_lib import _check

__all__ = ["SUFFIXES", "LabelledImages", "image_folder", "read_image"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images of one size with a label each.

    Attributes
    ----------
    images : array of uint8, shape (images, rows, columns, channels)
        Brightness from 0 to 255.
    labels : array of int32, shape (images,)
        Numbers of `classes`.
    classes : tuple of str
        The names of the folders, sorted.
    names : tuple of str
        The file of each image, seen from the folder.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)


def image_folder(
    folder: str | Path, size: tuple[int, int] | None = None, limit: int | None = None, gray: bool = False
) -> LabelledImages:
    """Read all images of a folder.

    Parameters
    ----------
    folder : str or Path
        It holds a folder for each class, named after it, with files that end in one of `SUFFIXES`. Other files, and
        names that begin with a dot, are passed over.
    size : pair of int, optional
        Rows and columns that every image is resized to; None: all must have the size of the first.
    limit : int, optional
        The first so many images of each class, in the order of their names; None: all.
    gray : bool
        One channel instead of red, green and blue.

    Returns
    -------
    LabelledImages
        Sorted by class and name.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    TypeError, ValueError
        If an argument is out of its range, there is no class, a class has no image, a file is no image, or sizes
        differ.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"folder is {str(folder)!r}; there is no such folder")
    if limit is not None:
        _check.count("limit", limit)
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise ValueError(f"{folder} has no folders; there must be one for each class")
    images: list[np.ndarray] = []
    labels: list[int] = []
    names: list[str] = []
    for label, name in enumerate(classes):
        inside = (folder / name).iterdir()
        files = sorted(f for f in inside if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
        if not files:
            raise ValueError(f"{folder / name} has no image; there must be files that end in {', '.join(SUFFIXES)}")
        for file in files[:limit]:
            image, _ = read_image(file, size, gray)
            if images and image.shape != images[0].shape:
                raise ValueError(
                    f"{file} has the shape {image.shape}; those before it have {images[0].shape}. With size=(rows,"
                    " columns) all become alike"
                )
            images.append(image)
            labels.append(label)
            names.append(f"{name}/{file.name}")
    return LabelledImages(np.stack(images), np.array(labels, np.int32), tuple(classes), tuple(names))


def read_image(
    path: str | Path, size: tuple[int, int] | None = None, gray: bool = False
) -> tuple[np.ndarray, tuple[int, int]]:
    """Read one image.

    Parameters
    ----------
    path : str or Path
        Of a file that `PIL` can read.
    size : pair of int, optional
        Rows and columns to resize to, by bilinear interpolation; None: as it is.
    gray : bool
        One channel instead of red, green and blue.

    Returns
    -------
    image : array of uint8, shape (rows, columns, 3 or 1)
    original : pair of int
        Rows and columns in the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If an argument is out of its range, or the file is no image.
    """
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path is {str(path)!r}; there is no such file")
    rows, columns = _size(size)
    try:
        with Image.open(path) as file:
            original = (file.height, file.width)
            image = file.convert("L" if _check.flag("gray", gray) else "RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is no image that can be read: {error}") from None
    if size is not None and original != (rows, columns):
        image = image.resize((columns, rows), Image.Resampling.BILINEAR)
    array = np.asarray(image)
    return array.reshape(*array.shape[:2], -1).copy(), original


def _size(size: Any) -> tuple[int, int]:
    if size is None:
        return 0, 0
    try:
        rows, columns = (_check.count("size", side) for side in size)
    except (TypeError, ValueError):
        raise ValueError(f"size is {size!r}; it must be (rows, columns), whole numbers of at least 1") from None
    return rows, columns
