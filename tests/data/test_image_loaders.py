"""Loaders of images: small files of each form, what is wrong with wrong ones, and the real files where at hand."""

import numpy as np
import pytest
from PIL import Image

from course_lib.data.image_folder import image_folder, read_image
from course_lib.data.voc import voc
from tests.data.test_loaders import real

# --- image folders ---------------------------------------------------------------------------------------------------


def paint(path, color, size=(6, 4), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


def test_image_folder(tmp_path):
    paint(tmp_path / "b" / "2.png", (0, 255, 0))
    paint(tmp_path / "b" / "1.PNG", (255, 0, 0))
    paint(tmp_path / "a" / "x.bmp", 7, mode="L")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / ".x.png").write_text("hidden")
    (tmp_path / "about.txt").write_text("no class")
    (tmp_path / ".cache").mkdir()
    data = image_folder(tmp_path)
    assert (data.classes, data.names) == (("a", "b"), ("a/x.bmp", "b/1.PNG", "b/2.png"))
    assert (data.images.shape, data.images.dtype, len(data)) == ((3, 4, 6, 3), np.uint8, 3)
    assert data.labels.tolist() == [0, 1, 1]
    assert data.images[:, 0, 0].tolist() == [[7, 7, 7], [255, 0, 0], [0, 255, 0]]
    assert image_folder(tmp_path, limit=1).names == ("a/x.bmp", "b/1.PNG")
    gray = image_folder(tmp_path, size=(2, 5), gray=True).images
    assert gray.shape == (3, 2, 5, 1)
    assert gray[:, 0, 0, 0].tolist() == [7, 76, 150]  # 0.299 of red, 0.587 of green


def test_wrong_folders_say_why(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        image_folder(tmp_path / "none")
    with pytest.raises(ValueError, match="has no folders; there must be one for each class"):
        image_folder(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="a has no image"):
        image_folder(tmp_path)
    paint(tmp_path / "a" / "1.png", 0)
    paint(tmp_path / "b" / "1.png", 0, size=(5, 4))
    with pytest.raises(ValueError, match=r"1\.png has the shape \(4, 5, 3\); those before it have \(4, 6, 3\)"):
        image_folder(tmp_path)
    for size in ((4,), (0, 4), 4):
        with pytest.raises(ValueError, match="size is"):
            image_folder(tmp_path, size=size)
    with pytest.raises(ValueError, match="limit is 0"):
        image_folder(tmp_path, limit=0)
    (tmp_path / "b" / "1.png").write_bytes((tmp_path / "a" / "1.png").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"b.1\.png is no image that can be read"):
        image_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_image(tmp_path / "none.png")


def test_cifar_10():
    data = image_folder(real("cifar10_jpeg") / "test")
    assert data.images.shape == (1000, 32, 32, 3)
    assert np.bincount(data.labels).tolist() == [100] * 10
    assert data.classes == (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    assert data.names[0] == "airplane/0000.jpg"
    blue = data.images[..., 2].mean(axis=(1, 2)) - data.images[..., 0].mean(axis=(1, 2))
    assert blue[data.labels == 8].mean() > 5 > -5 > blue[data.labels == 3].mean()  # ships on water, cats indoors


# --- PASCAL VOC ------------------------------------------------------------------------------------------------------

OBJECT = "<object><name>{}</name><difficult>{}</difficult><bndbox>{}</bndbox></object>"
SIZE = "<size><width>8</width><height>6</height><depth>3</depth></size>"


def corners(*values):
    return "".join(f"<{name}>{v}</{name}>" for name, v in zip(("xmin", "ymin", "xmax", "ymax"), values, strict=True))


def make(folder, objects, size=SIZE, name="one"):
    for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    paint(folder / "JPEGImages" / f"{name}.jpg", (200, 10, 10), size=(8, 6))
    (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
    (folder / "ImageSets" / "Main" / "train.txt").write_text(f"{name}\n")
    return folder


def test_voc(tmp_path):
    cat, dog = OBJECT.format("cat", 0, corners(1, 1, 8, 6)), OBJECT.format("ant", 1, corners(3, 2, 3, "4.5"))
    make(tmp_path, "", name="two")
    data = voc(make(tmp_path, cat + dog), "train")
    assert (data.labels, data.names, len(data)) == (("ant", "cat"), ("one",), 1)
    assert isinstance(data.images, tuple)
    assert (data.images[0].shape, data.images[0].dtype) == ((6, 8, 3), np.uint8)
    assert np.abs(data.images[0].astype(int) - [200, 10, 10]).max() < 8
    assert data.boxes[0].tolist() == [[0, 0, 8, 6], [2, 1, 3, 4.5]]
    assert (data.classes[0].tolist(), data.difficult[0].tolist()) == ([1, 0], [False, True])
    assert data.truths[0]["boxes"] is data.boxes[0]
    half = voc(tmp_path, "train", size=(3, 16), labels=["cat", "ant"])
    assert half.images.shape == (1, 3, 16, 3)
    assert half.boxes[0].tolist() == [[0, 0, 16, 3], [4, 0.5, 6, 2.25]]
    assert half.classes[0].tolist() == [0, 1]
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("two\none\n")
    both = voc(tmp_path, "val", size=(6, 8))
    assert (both.boxes[0].shape, both.boxes[1].shape, both.classes[0].shape) == ((0, 4), (2, 4), (0,))


@pytest.mark.parametrize(
    ("objects", "size", "options", "text"),
    [
        (OBJECT.format("cat", 0, corners(0, 1, 2, 2)), SIZE, {}, r"from \(0, 1\) to \(2, 2\); .* from \(1, 1\) to \(8"),
        (OBJECT.format("cat", 0, corners(1, 1, 9, 2)), SIZE, {}, "must lie in the image"),
        (OBJECT.format("cat", 0, corners(5, 1, 4, 2)), SIZE, {}, "must lie in the image"),
        (OBJECT.format("cat", 0, corners(1, 1, "x", 2)), SIZE, {}, "<bndbox/xmax> is 'x'; it must be a number"),
        (OBJECT.format("cat", 0, ""), SIZE, {}, "<object> has no <bndbox/xmin>"),
        (OBJECT.format("", 0, corners(1, 1, 2, 2)), SIZE, {}, "<object> has no <name>"),
        ("", SIZE.replace("8", "9"), {}, r"one\.xml is for an image of 6 x 9; one\.jpg has 6 x 8"),
        ("", "", {}, "<annotation> has no <size/height>"),
        ("<object>", SIZE, {}, r"one\.xml is not XML"),
        (
            OBJECT.format("cat", 0, corners(1, 1, 2, 2)), SIZE, {"labels": ["dog"]},
            r"an object is a 'cat'; labels has \['dog'\]",
        ),
    ],
)  # fmt: skip
def test_wrong_annotations_say_why(tmp_path, objects, size, options, text):
    with pytest.raises(ValueError, match=text):
        voc(make(tmp_path, objects, size), "train", **options)


def test_missing_files_say_why(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"val\.txt'; there is no such file"):
        voc(make(tmp_path, ""), "val")
    (tmp_path / "JPEGImages" / "one.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"one\.jpg'; there is no such file"):
        voc(tmp_path, "train")


def test_blood_cells():
    folder = real("bccd") / "BCCD"
    parts = {split: voc(folder, split, size=(48, 64)) for split in ("train", "val", "test")}
    assert {split: len(data) for split, data in parts.items()} == {"train": 205, "val": 87, "test": 72}
    assert {data.labels for data in parts.values()} == {("Platelets", "RBC", "WBC")}
    counts = sum(np.bincount(np.concatenate(data.classes), minlength=3) for data in parts.values())
    assert counts.tolist() == [361, 4155, 372]
    for data in parts.values():
        assert data.images.shape[1:] == (48, 64, 3)
        boxes = np.concatenate(data.boxes)
        assert boxes.min() >= 0
        assert boxes[:, 2].max() <= 64
        assert boxes[:, 3].max() <= 48
        assert (boxes[:, 2:] > boxes[:, :2]).all()
