"""Images with boxes in the form of PASCAL VOC: a JPEG and an XML file each, and lists of names for the splits.

    folder/JPEGImages/BloodImage_00001.jpg
    folder/Annotations/BloodImage_00001.xml
    folder/ImageSets/Main/train.txt

Sets in this form: BCCD, 364 images of blood cells, https://github.com/Shenggan/BCCD_Dataset, licence MIT; PASCAL VOC
itself, ``host.robots.ox.ac.uk/pascal/VOC``, whose pictures are from Flickr and stand under Flickr's terms of use.

References
----------
M. Everingham et al., The Pascal Visual Object Classes (VOC) Challenge, 2010, doi:10.1007/s11263-009-0275-4
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from course_lib.data.image_folder import read_image
from course_lib.data.labelled import read_text

__all__ = ["BoxedImages", "voc"]


@dataclass(frozen=True, eq=False)
class BoxedImages:
    """Images, and what stands where in them.

    Attributes
    ----------
    images : array of uint8, shape (images, rows, columns, 3), or tuple of such arrays
        Red, green and blue from 0 to 255. A tuple where they were not resized, because their sizes may differ.
    boxes : tuple of arrays of float32, each of shape (objects, 4)
        ``x1, y1, x2, y2`` in pixels of these images.
    classes : tuple of arrays of int32, each of shape (objects,)
        Numbers of `labels`.
    difficult : tuple of arrays of bool, each of shape (objects,)
        Those that even people find hard, by the authors of the set.
    labels : tuple of str
        The names of the classes.
    names : tuple of str
        Of the images.
    """

    images: np.ndarray | tuple[np.ndarray, ...]
    boxes: tuple[np.ndarray, ...]
    classes: tuple[np.ndarray, ...]
    difficult: tuple[np.ndarray, ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.names)

    @property
    def truths(self) -> list[dict[str, np.ndarray]]:
        """Boxes and classes of each image, as `evaluation.detection` takes them."""
        return [{"boxes": b, "classes": c} for b, c in zip(self.boxes, self.classes, strict=True)]


def voc(
    folder: str | Path, split: str, size: tuple[int, int] | None = None, labels: Sequence[str] | None = None
) -> BoxedImages:
    """Read one split.

    The files count pixels from 1 and give the first and the last pixel of an object. Here an edge lies between pixels,
    so 1 is taken off ``xmin`` and ``ymin``: an object that fills an image of 640 x 480 has the box 0, 0, 640, 480.

    Parameters
    ----------
    folder : str or Path
        It holds ``JPEGImages``, ``Annotations`` and ``ImageSets/Main``.
    split : str
        ``ImageSets/Main/<split>.txt`` lists the names of its images, one a line.
    size : pair of int, optional
        Rows and columns that every image is resized to, its boxes with it; None: as they are.
    labels : sequence of str, optional
        The classes, in the order of their numbers; None: all that any file in ``Annotations`` names, sorted, so that
        all splits have the same.

    Returns
    -------
    BoxedImages
        Of BCCD: 205 images in "train", 87 in "val", 72 in "test".

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file has not the form above, a class is not among `labels`, or a box does not lie in its image; the message
        names the file and what stands there.
    """
    folder = Path(folder)
    names = read_text(folder / "ImageSets" / "Main" / f"{split}.txt").split()
    if labels is None:
        files = sorted((folder / "Annotations").glob("*.xml"))
        labels = sorted({_text(o, "name", file) for file in files for o in _root(file).iter("object")})
    numbers = {name: number for number, name in enumerate(labels)}
    images, boxes, classes, difficult = [], [], [], []
    for name in names:
        image, (rows, columns) = read_image(folder / "JPEGImages" / f"{name}.jpg", size)
        file = folder / "Annotations" / f"{name}.xml"
        root = _root(file)
        said = tuple(int(_number(root, f"size/{side}", file)) for side in ("height", "width"))
        if said != (rows, columns):
            raise ValueError(f"{file} is for an image of {said[0]} x {said[1]}; {name}.jpg has {rows} x {columns}")
        objects = list(root.iter("object"))
        own = np.array([_box(o, file, rows, columns) for o in objects], np.float64).reshape(-1, 4)
        kinds = []
        for o in objects:
            label = _text(o, "name", file)
            if label not in numbers:
                raise ValueError(f"{file}: an object is a {label!r}; labels has {list(labels)}")
            kinds.append(numbers[label])
        shrink = np.array([image.shape[1] / columns, image.shape[0] / rows] * 2)
        images.append(image)
        boxes.append((own * shrink).astype(np.float32))
        classes.append(np.array(kinds, np.int32))
        difficult.append(np.array([o.findtext("difficult", "0").strip() == "1" for o in objects], bool))
    stacked = tuple(images) if size is None else np.stack(images)
    return BoxedImages(stacked, tuple(boxes), tuple(classes), tuple(difficult), tuple(labels), tuple(names))


def _root(file: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(read_text(file))
    except ElementTree.ParseError as error:
        raise ValueError(f"{file} is not XML: {error}") from None


def _text(element: ElementTree.Element, path: str, file: Path) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise ValueError(f"{file}: <{element.tag}> has no <{path}>")
    return text


def _number(element: ElementTree.Element, path: str, file: Path) -> float:
    text = _text(element, path, file)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{file}: <{path}> is {text!r}; it must be a number") from None


def _box(element: ElementTree.Element, file: Path, rows: int, columns: int) -> list[float]:
    x1, y1, x2, y2 = (_number(element, f"bndbox/{name}", file) for name in ("xmin", "ymin", "xmax", "ymax"))
    if not (1 <= x1 <= x2 <= columns and 1 <= y1 <= y2 <= rows):
        raise ValueError(
            f"{file}: a box goes from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g}); it must lie in the image, from (1, 1) to"
            f" ({columns}, {rows})"
        )
    return [x1 - 1, y1 - 1, x2, y2]
